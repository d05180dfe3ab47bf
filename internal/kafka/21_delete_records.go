package kafka

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/topicconfig"
	"github.com/rollway/rollway/internal/netloop"
)

// DeleteRecords (key 21), versions 0 to 2: deletes the records of partitions
// below an offset, -1 being the high watermark.
//
// Version 2 is flexible. timeout_ms is not looked at: there is no replica to be
// waited for.
var deleteRecordsAPI = &api{
	key: 21, name: "DeleteRecords", min: 0, max: 2, flexible: 2,
	access: access{topicResource, deleteOperation},
	handle: (*session).deleteRecords,
}

func (s *session) deleteRecords(r *request, out *netloop.Out) error {
	m, err := readDeleteRecords(&r.body, r.version)
	if err != nil {
		return err
	}
	s.run(r, out, func() kmsg.Response { return s.deleteRecordsResponse(m) })
	return nil
}

func readDeleteRecords(r *reader, version int16) (*kmsg.DeleteRecordsRequest, error) {
	m := kmsg.NewPtrDeleteRecordsRequest()
	m.Version = version
	m.Topics = nonNull(r, slice(r, 3, func(r *reader) kmsg.DeleteRecordsRequestTopic {
		t := kmsg.NewDeleteRecordsRequestTopic()
		t.Topic = r.string()
		t.Partitions = nonNull(r, slice(r, 12, func(r *reader) kmsg.DeleteRecordsRequestTopicPartition {
			p := kmsg.NewDeleteRecordsRequestTopicPartition()
			p.Partition = r.int32()
			p.Offset = r.int64()
			r.tags()
			return p
		}))
		r.tags()
		return t
	}))
	m.TimeoutMillis = r.int32()
	r.tags()
	return m, r.end()
}

// deleteRecordsResponse deletes, one partition after another.
func (s *session) deleteRecordsResponse(m *kmsg.DeleteRecordsRequest) kmsg.Response {
	response := kmsg.NewPtrDeleteRecordsResponse()
	for _, t := range m.Topics {
		a := kmsg.NewDeleteRecordsResponseTopic()
		a.Topic = t.Topic
		for _, p := range t.Partitions {
			b := kmsg.NewDeleteRecordsResponseTopicPartition()
			start, err := s.deleteBelow(t.Topic, p.Partition, engine.Offset(p.Offset))
			b.Partition, b.LowWatermark = p.Partition, int64(start)
			b.ErrorCode, _ = s.outcome("DeleteRecords", err)
			a.Partitions = append(a.Partitions, b)
		}
		response.Topics = append(response.Topics, a)
	}
	return response
}

// deleteBelow deletes the records of a partition below an offset, and returns
// where its log begins then; -1 with an error.
func (s *session) deleteBelow(topic string, partition int32, before engine.Offset) (engine.Offset, error) {
	t, err := s.engine.Topic(topic)
	if err != nil {
		return -1, err
	}
	if t.Internal() {
		return -1, fmt.Errorf("%w: the records of %s are not for clients to delete", engine.ErrInternalTopic, topic)
	}
	if err := checkDeletable(t.Config()); err != nil {
		return -1, err
	}
	p, err := t.Partition(partition)
	if err != nil {
		return -1, err
	}
	return p.DeleteRecords(before)
}

// checkDeletable refuses a topic that keeps the last value of each key, as one
// of an earlier version may have it.
func checkDeletable(c *topicconfig.Config) error {
	if c.Compacts && !c.DeletesOld {
		return fmt.Errorf("%w: cleanup.policy is compact, want delete in it", errPolicyViolation)
	}
	return nil
}
