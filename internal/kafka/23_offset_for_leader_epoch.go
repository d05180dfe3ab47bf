package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/netloop"
)

// OffsetForLeaderEpoch (key 23), versions 2 to 4: where a leader epoch ends, by
// which a consumer notices that what it has read is gone from the log (KIP-320).
//
// Version 3 has a replica id, which consumers leave at -2; 4 is flexible.
var offsetForLeaderEpochAPI = &api{
	key: 23, name: "OffsetForLeaderEpoch", min: 2, max: 4, flexible: 4,
	access: access{topicResource, describeOperation},
	handle: (*session).offsetForLeaderEpoch,
}

// offsetForLeaderEpoch is a task: the epochs are read when no append is under
// way.
func (s *session) offsetForLeaderEpoch(r *request, out *netloop.Out) error {
	m, err := readOffsetForLeaderEpoch(&r.body, r.version)
	if err != nil {
		return err
	}
	s.run(r, out, func() kmsg.Response { return s.offsetForLeaderEpochResponse(m) })
	return nil
}

func readOffsetForLeaderEpoch(r *reader, version int16) (*kmsg.OffsetForLeaderEpochRequest, error) {
	m := kmsg.NewPtrOffsetForLeaderEpochRequest()
	if version >= 3 {
		m.ReplicaID = r.int32()
	}
	m.Topics = slice(r, 3, func(r *reader) kmsg.OffsetForLeaderEpochRequestTopic {
		t := kmsg.NewOffsetForLeaderEpochRequestTopic()
		t.Topic = r.string()
		t.Partitions = slice(r, 12, func(r *reader) kmsg.OffsetForLeaderEpochRequestTopicPartition {
			p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
			p.Partition = r.int32()
			p.CurrentLeaderEpoch = r.int32()
			p.LeaderEpoch = r.int32()
			r.tags()
			return p
		})
		r.tags()
		return t
	})
	r.tags()
	return m, r.end()
}

func (s *session) offsetForLeaderEpochResponse(m *kmsg.OffsetForLeaderEpochRequest) kmsg.Response {
	response := kmsg.NewPtrOffsetForLeaderEpochResponse()
	for _, t := range m.Topics {
		topic := kmsg.NewOffsetForLeaderEpochResponseTopic()
		topic.Topic = t.Topic
		topic.Partitions = make([]kmsg.OffsetForLeaderEpochResponseTopicPartition, 0, len(t.Partitions))
		for _, asked := range t.Partitions {
			e := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			e.Partition = asked.Partition
			p, err := s.engine.Partition([]byte(t.Topic), asked.Partition)
			if err == nil {
				err = checkLeaderEpoch(p, asked.CurrentLeaderEpoch)
			}
			if err == nil {
				var end engine.Offset
				e.LeaderEpoch, end, err = endOfEpoch(p, asked.LeaderEpoch)
				e.EndOffset = int64(end)
			}
			if err != nil {
				c, _ := s.refuse("OffsetForLeaderEpoch", err)
				e.ErrorCode, e.LeaderEpoch, e.EndOffset = int16(c), -1, -1
			}
			topic.Partitions = append(topic.Partitions, e)
		}
		response.Topics = append(response.Topics, topic)
	}
	return response
}

// endOfEpoch returns the largest leader epoch of p up to the asked one, and where
// it ends. It blocks while p appends, unless asked is the present epoch.
func endOfEpoch(p *engine.Partition, asked int32) (epoch int32, end engine.Offset, err error) {
	if asked != p.LeaderEpoch() {
		return p.EndOfEpoch(asked)
	}
	// It ends where the log does, also before a batch of it was written.
	if _, err := p.Latest(); err != nil {
		return -1, -1, err
	}
	return asked, p.Offsets().LogEnd, nil
}
