package kafka

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/internal/coord"
	"github.com/rollway/rollway/internal/netloop"
)

// JoinGroup (key 11), versions 0 to 9: makes a client a member of the next
// generation of a group. The answer comes when all members have joined, and the
// leader's tells it of all of them.
//
// Version 1 has the time that a rebalance may take, before that is the session
// timeout; 4 has a member get an id first and join with it (KIP-394), 5 has
// static members (KIP-345), 6 is flexible, 7 has the protocol type in its
// answer, 8 a reason, 9 tells a leader that there is nothing to assign (KIP-814).
var joinGroupAPI = &api{
	key: 11, name: "JoinGroup", min: 0, max: 9, flexible: 6,
	access: access{groupResource, readOperation},
	handle: (*session).joinGroup,
}

func (s *session) joinGroup(r *request, out *netloop.Out) error {
	m, err := readJoinGroup(&r.body, r.version)
	if err != nil {
		return err
	}
	closed := coord.JoinAnswer{Code: coord.NotCoordinator, MemberID: m.MemberID, Generation: -1}
	await(s, r, out, &closed, joinGroupResponse, s.groups().Join(s.joinRequest(r, m), time.Now()))
	return nil
}

// readJoinGroup decodes a request. All of it outlives the request: the
// coordinator keeps it.
func readJoinGroup(r *reader, version int16) (*kmsg.JoinGroupRequest, error) {
	m := kmsg.NewPtrJoinGroupRequest()
	m.Version = version
	m.Group = r.string()
	m.SessionTimeoutMillis = r.int32()
	if version >= 1 {
		m.RebalanceTimeoutMillis = r.int32()
	}
	m.MemberID = r.string()
	if version >= 5 {
		m.InstanceID = r.nullableString()
	}
	m.ProtocolType = r.string()
	m.Protocols = nonNull(r, slice(r, 2, func(r *reader) kmsg.JoinGroupRequestProtocol {
		p := kmsg.NewJoinGroupRequestProtocol()
		p.Name = r.string()
		p.Metadata = r.copiedBytes()
		r.tags()
		return p
	}))
	if version >= 8 {
		m.Reason = r.nullableString()
	}
	r.tags()
	return m, r.end()
}

func (s *session) joinRequest(r *request, m *kmsg.JoinGroupRequest) *coord.JoinRequest {
	join := &coord.JoinRequest{
		Group: m.Group, MemberID: m.MemberID, Instance: emptyIfNull(m.InstanceID),
		ClientID: string(r.clientID), ClientHost: s.clientHost(),
		SessionTimeout:   time.Duration(m.SessionTimeoutMillis) * time.Millisecond,
		RebalanceTimeout: time.Duration(m.RebalanceTimeoutMillis) * time.Millisecond,
		ProtocolType:     m.ProtocolType,
		Protocols:        make([]coord.Protocol, 0, len(m.Protocols)),
		RequireMemberID:  m.Version >= 4,
		SkipAssignment:   m.Version >= 9,
	}
	if m.Version == 0 {
		join.RebalanceTimeout = -1
	}
	for _, p := range m.Protocols {
		join.Protocols = append(join.Protocols, coord.Protocol{Name: p.Name, Metadata: p.Metadata})
	}
	return join
}

// clientHost is where a member comes from, as Kafka's tools show it.
func (s *session) clientHost() string { return "/" + s.peer.Remote.Addr().String() }

func joinGroupResponse(answers []coord.JoinAnswer) kmsg.Response {
	a := &answers[0]
	response := kmsg.NewPtrJoinGroupResponse()
	response.ErrorCode, response.MemberID, response.Generation = int16(a.Code), a.MemberID, a.Generation
	response.LeaderID, response.SkipAssignment = a.Leader, a.SkipAssignment
	if a.Code == coord.None {
		response.ProtocolType, response.Protocol = &a.ProtocolType, &a.Protocol
	}
	response.Members = make([]kmsg.JoinGroupResponseMember, 0, len(a.Members))
	for i := range a.Members {
		of := &a.Members[i]
		member := kmsg.NewJoinGroupResponseMember()
		member.MemberID, member.InstanceID, member.ProtocolMetadata = of.ID, nullIfEmpty(&of.Instance), of.Metadata
		response.Members = append(response.Members, member)
	}
	return response
}

// emptyIfNull returns "" for null.
func emptyIfNull(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// nullIfEmpty returns null for "".
func nullIfEmpty(s *string) *string {
	if *s == "" {
		return nil
	}
	return s
}
