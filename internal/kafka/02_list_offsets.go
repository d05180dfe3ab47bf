package kafka

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/netloop"
)

// ListOffsets (key 2), versions 1 to 11: where a log begins and ends, and which
// record was the first of a time.
//
// Version 2 has isolation levels, 4 leader epochs; 6 is flexible; 7 asks for the
// highest timestamp, 8 for the earliest local record, 9 for the latest that is
// in remote storage; 10 has a timeout, which nothing here takes long enough for;
// 11 asks for the earliest that is to go to remote storage (KIP-1023).
var listOffsetsAPI = &api{
	key: 2, name: "ListOffsets", min: 1, max: 11, flexible: 6,
	access: access{topicResource, describeOperation},
	handle: (*session).listOffsets,
}

// Timestamps that stand for something else (ListOffsetsRequest.java).
const (
	latestTimestamp                = -1
	earliestTimestamp              = -2
	maxTimestamp                   = -3
	earliestLocalTimestamp         = -4
	latestTieredTimestamp          = -5
	earliestPendingUploadTimestamp = -6
)

// sinceVersion tells in which version such a timestamp came; ok is false if this
// server does not know it.
func sinceVersion(timestamp int64) (version int16, ok bool) {
	switch timestamp {
	case latestTimestamp, earliestTimestamp:
		return 1, true
	case maxTimestamp:
		return 7, true
	case earliestLocalTimestamp:
		return 8, true
	case latestTieredTimestamp:
		return 9, true
	case earliestPendingUploadTimestamp:
		return 11, true
	}
	return 0, timestamp >= 0
}

// listOffsets answers at once when only the ends of logs are asked for; a search
// by time reads and opens batches, and is a task.
func (s *session) listOffsets(r *request, out *netloop.Out) error {
	m, err := readListOffsets(&r.body, r.version)
	if err != nil {
		return err
	}
	for _, t := range m.Topics {
		for _, p := range t.Partitions {
			if p.Timestamp >= 0 || p.Timestamp == maxTimestamp {
				s.run(r, out, func() kmsg.Response { return s.listOffsetsResponse(m) })
				return nil
			}
		}
	}
	s.answer(&r.header, s.listOffsetsResponse(m), out)
	return nil
}

func readListOffsets(r *reader, version int16) (*kmsg.ListOffsetsRequest, error) {
	m := kmsg.NewPtrListOffsetsRequest()
	m.Version = version
	m.ReplicaID = r.int32()
	if version >= 2 {
		m.IsolationLevel = r.int8()
	}
	m.Topics = slice(r, 3, func(r *reader) kmsg.ListOffsetsRequestTopic {
		t := kmsg.NewListOffsetsRequestTopic()
		t.Topic = r.string()
		t.Partitions = slice(r, 12, func(r *reader) kmsg.ListOffsetsRequestTopicPartition {
			p := kmsg.NewListOffsetsRequestTopicPartition()
			p.Partition = r.int32()
			if version >= 4 {
				p.CurrentLeaderEpoch = r.int32()
			}
			p.Timestamp = r.int64()
			r.tags()
			return p
		})
		r.tags()
		return t
	})
	if version >= 10 {
		m.TimeoutMillis = r.int32()
	}
	r.tags()
	return m, r.end()
}

func (s *session) listOffsetsResponse(m *kmsg.ListOffsetsRequest) kmsg.Response {
	response := kmsg.NewPtrListOffsetsResponse()
	again, topics := askedTwice(m)
	for n, t := range m.Topics {
		topic := kmsg.NewListOffsetsResponseTopic()
		topic.Topic = t.Topic
		topic.Partitions = make([]kmsg.ListOffsetsResponseTopicPartition, 0, len(t.Partitions))
		for i := range t.Partitions {
			asked := &t.Partitions[i]
			p := kmsg.NewListOffsetsResponseTopicPartition()
			p.Partition = asked.Partition
			found, code := engine.FoundOffset{Offset: -1, Timestamp: -1, LeaderEpoch: -1}, codeInvalidRequest
			if !again[askedPartition{topics[n], asked.Partition}] {
				found, code = s.findOffset(t.Topic, asked, m.Version)
			}
			p.ErrorCode = int16(code)
			p.Offset, p.Timestamp, p.LeaderEpoch = int64(found.Offset), found.Timestamp, found.LeaderEpoch
			topic.Partitions = append(topic.Partitions, p)
		}
		response.Topics = append(response.Topics, topic)
	}
	return response
}

// askedPartition is a partition of a request. topic is the index of the first
// topic with its name: a name may be long, and its partitions many.
type askedPartition struct{ topic, partition int32 }

// askedTwice returns the partitions that stand in m more than once, which Kafka
// refuses, and for each topic of m the index of the first with its name.
func askedTwice(m *kmsg.ListOffsetsRequest) (again map[askedPartition]bool, topics []int32) {
	again, topics = map[askedPartition]bool{}, make([]int32, len(m.Topics))
	byName := make(map[string]int32, len(m.Topics))
	for i, t := range m.Topics {
		first, found := byName[t.Topic]
		if !found {
			first = int32(i)
			byName[t.Topic] = first
		}
		topics[i] = first
		for _, p := range t.Partitions {
			key := askedPartition{first, p.Partition}
			_, found := again[key]
			again[key] = found
		}
	}
	return again, topics
}

// findOffset answers for one partition.
func (s *session) findOffset(topic string, asked *kmsg.ListOffsetsRequestTopicPartition, version int16) (engine.FoundOffset, code) {
	none := engine.FoundOffset{Offset: -1, Timestamp: -1, LeaderEpoch: -1}
	if since, ok := sinceVersion(asked.Timestamp); !ok || version < since {
		return none, codeUnsupportedVersion
	}
	p, err := s.engine.Partition([]byte(topic), asked.Partition)
	if err == nil {
		err = checkLeaderEpoch(p, asked.CurrentLeaderEpoch)
	}
	found := none
	if err == nil {
		switch asked.Timestamp {
		case latestTimestamp:
			found, err = p.Latest()
		case earliestTimestamp, earliestLocalTimestamp:
			found, err = p.Earliest()
		case maxTimestamp:
			found, err = p.OffsetOfMaxTimestamp()
		case latestTieredTimestamp, earliestPendingUploadTimestamp:
			// Nothing is in remote storage, nor will be.
		default:
			found, err = p.OffsetByTime(asked.Timestamp)
		}
	}
	if err != nil {
		c, _ := s.refuse("ListOffsets", err)
		return none, c
	}
	return found, codeNone
}

// checkLeaderEpoch refuses a client that has another leader epoch of p in mind
// than the one there is (KIP-320); -1 is none.
func checkLeaderEpoch(p *engine.Partition, epoch int32) error {
	switch now := p.LeaderEpoch(); {
	case epoch < 0 || epoch == now:
		return nil
	case epoch < now:
		return fmt.Errorf("%w: %s: epoch %d, want %d", errFencedLeaderEpoch, p, epoch, now)
	default:
		return fmt.Errorf("%w: %s: epoch %d, want %d", errUnknownLeaderEpoch, p, epoch, now)
	}
}
