package kafka

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/internal/coord"
	"github.com/rollway/rollway/internal/netloop"
)

// Heartbeat (key 12), versions 0 to 4: tells that a member lives, and is told
// whether it has to join again.
//
// Version 3 has static members, 4 is flexible.
var heartbeatAPI = &api{
	key: 12, name: "Heartbeat", min: 0, max: 4, flexible: 4,
	access: access{groupResource, readOperation},
	handle: (*session).heartbeat,
}

func (s *session) heartbeat(r *request, out *netloop.Out) error {
	m, err := readHeartbeat(&r.body, r.version)
	if err != nil {
		return err
	}
	beat := &coord.HeartbeatRequest{Group: m.Group, MemberID: m.MemberID, Instance: emptyIfNull(m.InstanceID), Generation: m.Generation}
	response := kmsg.NewPtrHeartbeatResponse()
	response.ErrorCode = int16(s.groups().Heartbeat(beat, time.Now()))
	s.answer(&r.header, response, out)
	return nil
}

func readHeartbeat(r *reader, version int16) (*kmsg.HeartbeatRequest, error) {
	m := kmsg.NewPtrHeartbeatRequest()
	m.Version = version
	m.Group = r.string()
	m.Generation = r.int32()
	m.MemberID = r.string()
	if version >= 3 {
		m.InstanceID = r.nullableString()
	}
	r.tags()
	return m, r.end()
}
