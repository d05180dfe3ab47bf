package kafka

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/internal/coord"
	"github.com/rollway/rollway/internal/netloop"
)

// SyncGroup (key 14), versions 0 to 5: gives a member its assignment, which the
// leader's request has for all of them. The answer comes when the leader has sent
// it.
//
// Version 3 has static members, 4 is flexible, 5 says which protocol is meant.
var syncGroupAPI = &api{
	key: 14, name: "SyncGroup", min: 0, max: 5, flexible: 4,
	access: access{groupResource, readOperation},
	handle: (*session).syncGroup,
}

func (s *session) syncGroup(r *request, out *netloop.Out) error {
	m, err := readSyncGroup(&r.body, r.version)
	if err != nil {
		return err
	}
	if m.Version >= 5 && (m.ProtocolType == nil || m.Protocol == nil) {
		s.answer(&r.header, syncGroupResponse([]coord.SyncAnswer{{Code: coord.InconsistentGroupProtocol}}), out)
		return nil
	}
	sync := &coord.SyncRequest{
		Group: m.Group, MemberID: m.MemberID, Instance: emptyIfNull(m.InstanceID), Generation: m.Generation,
		ProtocolType: emptyIfNull(m.ProtocolType), Protocol: emptyIfNull(m.Protocol),
		Assignments: make([]coord.Assignment, 0, len(m.GroupAssignment)),
	}
	for _, a := range m.GroupAssignment {
		sync.Assignments = append(sync.Assignments, coord.Assignment{MemberID: a.MemberID, Data: a.MemberAssignment})
	}
	await(s, r, out, &coord.SyncAnswer{Code: coord.NotCoordinator}, syncGroupResponse, s.groups().Sync(sync, time.Now()))
	return nil
}

// readSyncGroup decodes a request. All of it outlives the request: the
// coordinator keeps it.
func readSyncGroup(r *reader, version int16) (*kmsg.SyncGroupRequest, error) {
	m := kmsg.NewPtrSyncGroupRequest()
	m.Version = version
	m.Group = r.string()
	m.Generation = r.int32()
	m.MemberID = r.string()
	if version >= 3 {
		m.InstanceID = r.nullableString()
	}
	if version >= 5 {
		m.ProtocolType = r.nullableString()
		m.Protocol = r.nullableString()
	}
	m.GroupAssignment = nonNull(r, slice(r, 2, func(r *reader) kmsg.SyncGroupRequestGroupAssignment {
		a := kmsg.NewSyncGroupRequestGroupAssignment()
		a.MemberID = r.string()
		a.MemberAssignment = r.copiedBytes()
		r.tags()
		return a
	}))
	r.tags()
	return m, r.end()
}

func syncGroupResponse(answers []coord.SyncAnswer) kmsg.Response {
	a := &answers[0]
	response := kmsg.NewPtrSyncGroupResponse()
	response.ErrorCode, response.MemberAssignment = int16(a.Code), a.Assignment
	if a.Code == coord.None {
		response.ProtocolType, response.Protocol = &a.ProtocolType, &a.Protocol
	}
	return response
}
