package kafka

import (
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/netloop"
)

// DescribeTopicPartitions (key 75), version 0: the partitions of topics, page by
// page, in the order of names (KIP-966). No topics mean all of them. The answer
// to a page that is not the last says where the next one begins.
var describeTopicPartitionsAPI = &api{
	key: 75, name: "DescribeTopicPartitions", min: 0, max: 0, flexible: 0,
	access: access{topicResource, describeOperation},
	handle: (*session).describeTopicPartitions,
}

// mostPartitionsDescribed is how many partitions one answer has at most (Kafka's
// max.request.partition.size.limit).
const mostPartitionsDescribed = 2000

func (s *session) describeTopicPartitions(r *request, out *netloop.Out) error {
	m, err := readDescribeTopicPartitions(&r.body, r.version)
	if err != nil {
		return err
	}
	s.answer(&r.header, s.describeTopicPartitionsResponse(m), out)
	return nil
}

func readDescribeTopicPartitions(r *reader, version int16) (*kmsg.DescribeTopicPartitionsRequest, error) {
	m := kmsg.NewPtrDescribeTopicPartitionsRequest()
	m.Version = version
	m.Topics = nonNull(r, slice(r, 2, func(r *reader) kmsg.DescribeTopicPartitionsRequestTopic {
		t := kmsg.NewDescribeTopicPartitionsRequestTopic()
		t.Topic = r.string()
		r.tags()
		return t
	}))
	m.ResponsePartitionLimit = r.int32()
	if r.int8() >= 0 { // the sign of a structure that may be null
		c := kmsg.NewDescribeTopicPartitionsRequestCursor()
		c.Topic = r.string()
		c.Partition = r.int32()
		r.tags()
		m.Cursor = &c
	}
	r.tags()
	return m, r.end()
}

// describeTopicPartitionsResponse answers with one page.
func (f *frontend) describeTopicPartitionsResponse(m *kmsg.DescribeTopicPartitionsRequest) kmsg.Response {
	topics := f.engine.Topics()
	names := slices.Collect(maps.Keys(topics))
	if len(m.Topics) > 0 {
		names = names[:0]
		for _, t := range m.Topics {
			names = append(names, t.Topic)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	var begin kmsg.DescribeTopicPartitionsRequestCursor
	if m.Cursor != nil {
		begin = *m.Cursor
	}
	at, _ := slices.BinarySearch(names, begin.Topic)
	response := kmsg.NewPtrDescribeTopicPartitionsResponse()
	room := int(min(max(m.ResponsePartitionLimit, 1), mostPartitionsDescribed))
	for _, name := range names[at:] {
		if room == 0 {
			response.NextCursor = cursorAt(name, 0)
			break
		}
		t := topics[name]
		if t == nil {
			response.Topics = append(response.Topics, describeMissing(name))
			continue
		}
		first := 0
		if name == begin.Topic {
			first = int(min(max(begin.Partition, 0), int32(len(t.Partitions()))))
		}
		end := min(first+room, len(t.Partitions()))
		response.Topics = append(response.Topics, f.describePartitions(t, t.Partitions()[first:end]))
		room -= end - first
		if end < len(t.Partitions()) {
			response.NextCursor = cursorAt(name, int32(end))
			break
		}
	}
	return response
}

func cursorAt(topic string, partition int32) *kmsg.DescribeTopicPartitionsResponseNextCursor {
	c := kmsg.NewDescribeTopicPartitionsResponseNextCursor()
	c.Topic, c.Partition = topic, partition
	return &c
}

// describeMissing describes a topic that is not there.
func describeMissing(name string) kmsg.DescribeTopicPartitionsResponseTopic {
	d := kmsg.NewDescribeTopicPartitionsResponseTopic()
	d.Topic = &name
	d.ErrorCode = int16(codeUnknownTopicOrPartition)
	if !engine.IsTopicName(name) {
		d.ErrorCode = int16(codeInvalidTopic)
	}
	return d
}

// describePartitions describes some partitions of a topic.
func (f *frontend) describePartitions(t *engine.Topic, partitions []*engine.Partition) kmsg.DescribeTopicPartitionsResponseTopic {
	d := kmsg.NewDescribeTopicPartitionsResponseTopic()
	name := t.Name()
	d.Topic, d.TopicID, d.IsInternal, d.AuthorizedOperations = &name, t.ID(), t.Internal(), topicOperations
	// Shared by all partitions: only read. Kafka's tools do not take null for none.
	nodes, none := []int32{f.engine.NodeID()}, []int32{}
	for _, p := range partitions {
		e := kmsg.NewDescribeTopicPartitionsResponseTopicPartition()
		e.Partition, e.Replicas, e.ISR, e.EligibleLeaderReplicas, e.LastKnownELR = p.Index(), nodes, nodes, none, none
		e.LeaderID, e.LeaderEpoch, e.ErrorCode = leaderOf(p, f.engine.NodeID())
		d.Partitions = append(d.Partitions, e)
	}
	return d
}
