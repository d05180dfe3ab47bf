package kafka

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/internal/coord"
	"github.com/rollway/rollway/internal/netloop"
)

// LeaveGroup (key 13), versions 0 to 5: takes members out of a group.
//
// Version 3 takes out several at once, static ones by their instance id (KIP-345),
// 4 is flexible, 5 has reasons.
var leaveGroupAPI = &api{
	key: 13, name: "LeaveGroup", min: 0, max: 5, flexible: 4,
	access: access{groupResource, readOperation},
	handle: (*session).leaveGroup,
}

func (s *session) leaveGroup(r *request, out *netloop.Out) error {
	m, err := readLeaveGroup(&r.body, r.version)
	if err != nil {
		return err
	}
	leave := &coord.LeaveRequest{Group: m.Group, Members: make([]coord.LeavingMember, 0, len(m.Members))}
	if m.Version < 3 {
		leave.Members = []coord.LeavingMember{{MemberID: m.MemberID}}
	}
	for _, member := range m.Members {
		leave.Members = append(leave.Members, coord.LeavingMember{MemberID: member.MemberID, Instance: emptyIfNull(member.InstanceID)})
	}
	code := s.groups().Leave(leave, time.Now())
	s.answer(&r.header, leaveGroupResponse(m, leave, code), out)
	return nil
}

func readLeaveGroup(r *reader, version int16) (*kmsg.LeaveGroupRequest, error) {
	m := kmsg.NewPtrLeaveGroupRequest()
	m.Version = version
	m.Group = r.string()
	if version < 3 {
		m.MemberID = r.string()
		return m, r.end()
	}
	m.Members = nonNull(r, slice(r, 3, func(r *reader) kmsg.LeaveGroupRequestMember {
		member := kmsg.NewLeaveGroupRequestMember()
		member.MemberID = r.string()
		member.InstanceID = r.nullableString()
		if version >= 5 {
			member.Reason = r.nullableString()
		}
		r.tags()
		return member
	}))
	r.charge(int64(len(m.Members)) * int64(sizeOf(coord.LeavingMember{})))
	r.tags()
	return m, r.end()
}

// leaveGroupResponse answers with the code for all or, where that is none, for
// each.
func leaveGroupResponse(m *kmsg.LeaveGroupRequest, left *coord.LeaveRequest, code coord.Code) kmsg.Response {
	response := kmsg.NewPtrLeaveGroupResponse()
	response.ErrorCode = int16(code)
	switch {
	case code != coord.None:
	case m.Version < 3:
		response.ErrorCode = int16(left.Members[0].Code)
	default:
		response.Members = make([]kmsg.LeaveGroupResponseMember, 0, len(m.Members))
		for i := range m.Members {
			member := kmsg.NewLeaveGroupResponseMember()
			member.MemberID, member.InstanceID = m.Members[i].MemberID, m.Members[i].InstanceID
			member.ErrorCode = int16(left.Members[i].Code)
			response.Members = append(response.Members, member)
		}
	}
	return response
}
