package kafka

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/internal/coord"
	"github.com/rollway/rollway/internal/netloop"
)

// DescribeGroups (key 15), versions 0 to 6: what groups do, and their members. A
// group that is named again is described once. When what there is to say of the
// groups is more than a frame may have, those that are left are
// COORDINATOR_NOT_AVAILABLE, which clients ask again.
//
// Version 3 has the operations that the client may carry out, 4 static members,
// 5 is flexible, 6 has GROUP_ID_NOT_FOUND and a text for a group that is not
// there (KIP-1043), which before is one without an error that is dead.
var describeGroupsAPI = &api{
	key: 15, name: "DescribeGroups", min: 0, max: 6, flexible: 5,
	access: access{groupResource, describeOperation},
	handle: (*session).describeGroups,
}

func (s *session) describeGroups(r *request, out *netloop.Out) error {
	m, err := readDescribeGroups(&r.body, r.version)
	if err != nil {
		return err
	}
	response := kmsg.NewPtrDescribeGroupsResponse()
	room := s.node.Limits().MaxFrameBytes
	names := occurrencesOf(m.Groups, func(name *string) string { return *name })
	for _, name := range m.Groups {
		switch {
		case names.take(name) == 0:
		case room <= 0:
			response.Groups = append(response.Groups, refusedDescription(name, coord.CoordinatorNotAvailable, m))
		default:
			d := s.describeGroup(name, m)
			response.Groups = append(response.Groups, d)
			for i := range d.Members {
				room -= len(d.Members[i].ProtocolMetadata) + len(d.Members[i].MemberAssignment)
			}
		}
	}
	s.answer(&r.header, response, out)
	return nil
}

func readDescribeGroups(r *reader, version int16) (*kmsg.DescribeGroupsRequest, error) {
	m := kmsg.NewPtrDescribeGroupsRequest()
	m.Version = version
	m.Groups = nonNull(r, slice(r, 1, (*reader).string))
	r.charge(int64(len(m.Groups)) * int64(sizeOf(kmsg.DescribeGroupsResponseGroup{})))
	if version >= 6 {
		r.chargeTexts(len(m.Groups))
	}
	if version >= 3 {
		m.IncludeAuthorizedOperations = r.bool()
	}
	r.tags()
	return m, r.end()
}

// refusedDescription is the answer for a group of which nothing is said but a code.
func refusedDescription(name string, code coord.Code, m *kmsg.DescribeGroupsRequest) kmsg.DescribeGroupsResponseGroup {
	d := kmsg.NewDescribeGroupsResponseGroup()
	d.Group, d.ErrorCode = name, int16(code)
	d.AuthorizedOperations = operations(m.IncludeAuthorizedOperations, groupOperations)
	return d
}

func (s *session) describeGroup(name string, m *kmsg.DescribeGroupsRequest) kmsg.DescribeGroupsResponseGroup {
	of, code := s.groups().Describe(name)
	d := refusedDescription(name, code, m)
	if code != coord.None {
		return d
	}
	if d.State = of.State.String(); of.State == coord.Dead && m.Version >= 6 {
		d.ErrorCode, d.ErrorMessage = s.outcome("DescribeGroups", fmt.Errorf("%w: %.100q", errGroupIDNotFound, name))
	}
	d.ProtocolType, d.Protocol = of.ProtocolType, of.Protocol
	d.Members = make([]kmsg.DescribeGroupsResponseGroupMember, 0, len(of.Members))
	for i := range of.Members {
		from := &of.Members[i]
		member := kmsg.NewDescribeGroupsResponseGroupMember()
		member.MemberID, member.InstanceID = from.ID, nullIfEmpty(&from.Instance)
		member.ClientID, member.ClientHost = from.ClientID, from.ClientHost
		member.ProtocolMetadata, member.MemberAssignment = from.Metadata, from.Assignment
		d.Members = append(d.Members, member)
	}
	return d
}
