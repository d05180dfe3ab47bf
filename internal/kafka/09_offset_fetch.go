package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/internal/coord"
	"github.com/rollway/rollway/internal/netloop"
)

// OffsetFetch (key 9), versions 1 to 9: up to where groups have read partitions.
// Where nothing is committed the offset is -1, without an error, also for a
// group that is not there. A partition or a group that is named again is
// answered once. When what groups have committed is more than a frame may have,
// those that are left are COORDINATOR_NOT_AVAILABLE, which clients ask again.
//
// Version 2 asks with no topics for all that a group has and has an error for
// the whole, 5 has leader epochs, 6 is flexible, 7 waits for transactions, of
// which there are none, 8 asks for several groups, 9 has the member of another
// kind of groups.
var offsetFetchAPI = &api{
	key: 9, name: "OffsetFetch", min: 1, max: 9, flexible: 6,
	access: access{groupResource, describeOperation},
	handle: (*session).offsetFetch,
}

func (s *session) offsetFetch(r *request, out *netloop.Out) error {
	m, err := readOffsetFetch(&r.body, r.version)
	if err != nil {
		return err
	}
	response := kmsg.NewPtrOffsetFetchResponse()
	if m.Version < 8 {
		var asked []kmsg.OffsetFetchRequestGroupTopic
		if m.Topics != nil {
			asked = make([]kmsg.OffsetFetchRequestGroupTopic, 0, len(m.Topics))
		}
		for _, t := range m.Topics {
			asked = append(asked, kmsg.OffsetFetchRequestGroupTopic{Topic: t.Topic, Partitions: t.Partitions})
		}
		s.fetchOffsetsOf(m.Group, asked, m.Version, response)
	}
	room := s.node.Limits().MaxFrameBytes
	groups := occurrencesOf(m.Groups, func(g *kmsg.OffsetFetchRequestGroup) string { return g.Group })
	for i := range m.Groups {
		name := m.Groups[i].Group
		switch {
		case groups.take(name) == 0:
		case room <= 0:
			refused := kmsg.NewOffsetFetchResponseGroup()
			refused.Group, refused.ErrorCode = name, int16(coord.CoordinatorNotAvailable)
			response.Groups = append(response.Groups, refused)
		default:
			g := s.fetchOffsets(name, m.Groups[i].Topics)
			response.Groups = append(response.Groups, g)
			room -= fetchedBytes(&g)
		}
	}
	s.answer(&r.header, response, out)
	return nil
}

func readOffsetFetch(r *reader, version int16) (*kmsg.OffsetFetchRequest, error) {
	m := kmsg.NewPtrOffsetFetchRequest()
	m.Version = version
	if version < 8 {
		m.Group = r.string()
		m.Topics = slice(r, 3, func(r *reader) kmsg.OffsetFetchRequestTopic {
			t := kmsg.NewOffsetFetchRequestTopic()
			t.Topic = r.string()
			t.Partitions = readFetchedIndexes(r)
			r.tags()
			return t
		})
		if version < 2 {
			m.Topics = nonNull(r, m.Topics)
		}
	} else {
		m.Groups = nonNull(r, slice(r, 3, func(r *reader) kmsg.OffsetFetchRequestGroup {
			g := kmsg.NewOffsetFetchRequestGroup()
			g.Group = r.string()
			if version >= 9 {
				g.MemberID = r.nullableString()
				g.MemberEpoch = r.int32()
			}
			g.Topics = slice(r, 3, func(r *reader) kmsg.OffsetFetchRequestGroupTopic {
				t := kmsg.NewOffsetFetchRequestGroupTopic()
				t.Topic = r.string()
				t.Partitions = readFetchedIndexes(r)
				r.tags()
				return t
			})
			r.tags()
			return g
		}))
	}
	if version >= 7 {
		m.RequireStable = r.bool()
	}
	r.tags()
	return m, r.end()
}

// readFetchedIndexes decodes the partitions of a topic.
func readFetchedIndexes(r *reader) []int32 {
	indexes := nonNull(r, slice(r, 4, (*reader).int32))
	r.charge(int64(len(indexes)) * int64(sizeOf(coord.CommittedOffset{})+sizeOf(topicPartition{})))
	return indexes
}

// fetchOffsetsOf answers for one group in a version that has only one.
func (s *session) fetchOffsetsOf(group string, asked []kmsg.OffsetFetchRequestGroupTopic, version int16, response *kmsg.OffsetFetchResponse) {
	fetched := s.fetchOffsets(group, asked)
	response.ErrorCode = fetched.ErrorCode
	response.Topics = make([]kmsg.OffsetFetchResponseTopic, 0, len(fetched.Topics))
	if fetched.ErrorCode != 0 && version < 2 {
		fetched.Topics = refusedOffsets(asked, fetched.ErrorCode)
	}
	for i := range fetched.Topics {
		t := kmsg.NewOffsetFetchResponseTopic()
		t.Topic = fetched.Topics[i].Topic
		t.Partitions = make([]kmsg.OffsetFetchResponseTopicPartition, 0, len(fetched.Topics[i].Partitions))
		for _, p := range fetched.Topics[i].Partitions {
			t.Partitions = append(t.Partitions, kmsg.OffsetFetchResponseTopicPartition(p))
		}
		response.Topics = append(response.Topics, t)
	}
}

// refusedOffsets are the partitions asked for, each with an error.
func refusedOffsets(asked []kmsg.OffsetFetchRequestGroupTopic, errorCode int16) []kmsg.OffsetFetchResponseGroupTopic {
	refused := make([]kmsg.OffsetFetchResponseGroupTopic, 0, len(asked))
	for _, t := range asked {
		a := kmsg.NewOffsetFetchResponseGroupTopic()
		a.Topic = t.Topic
		for _, index := range t.Partitions {
			p := noOffset(index)
			p.ErrorCode = errorCode
			a.Partitions = append(a.Partitions, p)
		}
		refused = append(refused, a)
	}
	return refused
}

// noMetadata is never changed.
var noMetadata string

// noOffset is the answer for a partition of which nothing is committed.
func noOffset(index int32) kmsg.OffsetFetchResponseGroupTopicPartition {
	p := kmsg.NewOffsetFetchResponseGroupTopicPartition()
	p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = index, -1, -1, &noMetadata
	return p
}

// fetchOffsets answers for one group. asked is nil where all that there is is
// asked for.
func (s *session) fetchOffsets(group string, asked []kmsg.OffsetFetchRequestGroupTopic) kmsg.OffsetFetchResponseGroup {
	fetched, code := s.groups().FetchOffsets(group, distinctPartitions(asked))
	answer := kmsg.NewOffsetFetchResponseGroup()
	answer.Group, answer.ErrorCode = group, int16(code)
	answer.Topics = make([]kmsg.OffsetFetchResponseGroupTopic, 0, len(fetched))
	for i := range fetched {
		t := &fetched[i]
		a := kmsg.NewOffsetFetchResponseGroupTopic()
		a.Topic = t.Topic
		a.Partitions = make([]kmsg.OffsetFetchResponseGroupTopicPartition, 0, len(t.Partitions))
		for j := range t.Partitions {
			c := &t.Partitions[j]
			p := noOffset(c.Partition)
			p.Offset, p.LeaderEpoch, p.Metadata = c.Offset, c.LeaderEpoch, &c.Metadata
			if asked != nil || p.Offset >= 0 {
				a.Partitions = append(a.Partitions, p)
			}
		}
		if asked != nil || len(a.Partitions) > 0 {
			answer.Topics = append(answer.Topics, a)
		}
	}
	return answer
}

// fetchedBytes is what an answer takes, about.
func fetchedBytes(g *kmsg.OffsetFetchResponseGroup) int {
	n := 0
	for i := range g.Topics {
		n += len(g.Topics[i].Topic)
		for j := range g.Topics[i].Partitions {
			n += int(sizeOf(g.Topics[i].Partitions[j])) + len(*g.Topics[i].Partitions[j].Metadata)
		}
	}
	return n
}

type topicPartition struct {
	topic     string
	partition int32
}

// distinctPartitions returns the partitions that are asked for, each once; nil
// for nil.
func distinctPartitions(asked []kmsg.OffsetFetchRequestGroupTopic) []coord.TopicPartitions {
	if asked == nil {
		return nil
	}
	count := 0
	for i := range asked {
		count += len(asked[i].Partitions)
	}
	seen := make(map[topicPartition]bool, count)
	distinct := make([]coord.TopicPartitions, 0, len(asked))
	for _, t := range asked {
		of := coord.TopicPartitions{Topic: t.Topic, Partitions: make([]int32, 0, len(t.Partitions))}
		for _, index := range t.Partitions {
			if key := (topicPartition{t.Topic, index}); !seen[key] {
				seen[key] = true
				of.Partitions = append(of.Partitions, index)
			}
		}
		distinct = append(distinct, of)
	}
	return distinct
}
