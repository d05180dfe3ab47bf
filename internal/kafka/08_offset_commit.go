package kafka

import (
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/coord"
	"github.com/rollway/rollway/internal/netloop"
)

// OffsetCommit (key 8), versions 2 to 9: keeps for a group up to where it has
// read partitions. The answer comes when that is durable.
//
// Versions 2 to 4 have how long it is to be kept; 6 has leader epochs, 7 static
// members, 8 is flexible, 9 stands for errors of another kind of groups.
var offsetCommitAPI = &api{
	key: 8, name: "OffsetCommit", min: 2, max: 9, flexible: 8,
	access: access{groupResource, readOperation},
	handle: (*session).offsetCommit,
}

// offsetCommit commits the offsets of partitions that there are. Where there are
// none nobody is asked about the group, as with Kafka.
func (s *session) offsetCommit(r *request, out *netloop.Out) error {
	m, err := readOffsetCommit(&r.body, r.version)
	if err != nil {
		return err
	}
	response, commit := s.commitRequest(m)
	if len(commit.Topics) == 0 {
		s.answer(&r.header, response, out)
		return nil
	}
	await(s, r, out, nil, func(codes []coord.Code) kmsg.Response {
		return committed(response, commit, codes[0])
	}, s.groups().Commit(commit, time.Now()))
	return nil
}

func readOffsetCommit(r *reader, version int16) (*kmsg.OffsetCommitRequest, error) {
	m := kmsg.NewPtrOffsetCommitRequest()
	m.Version = version
	m.Group = r.string()
	m.Generation = r.int32()
	m.MemberID = r.string()
	if version >= 7 {
		m.InstanceID = r.nullableString()
	}
	if version <= 4 {
		m.RetentionTimeMillis = r.int64()
	}
	m.Topics = nonNull(r, slice(r, 3, func(r *reader) kmsg.OffsetCommitRequestTopic {
		t := kmsg.NewOffsetCommitRequestTopic()
		t.Topic = r.string()
		t.Partitions = nonNull(r, slice(r, 14, func(r *reader) kmsg.OffsetCommitRequestTopicPartition {
			p := kmsg.NewOffsetCommitRequestTopicPartition()
			p.Partition = r.int32()
			p.Offset = r.int64()
			if version >= 6 {
				p.LeaderEpoch = r.int32()
			}
			p.Metadata = r.nullableString()
			r.tags()
			return p
		}))
		r.tags()
		return t
	}))
	r.tags()
	return m, r.end()
}

// commitRequest returns what is to be committed, and the answer without what
// comes of that: the partitions without an error in it are those of the request,
// in order.
func (s *session) commitRequest(m *kmsg.OffsetCommitRequest) (*kmsg.OffsetCommitResponse, *coord.CommitRequest) {
	commit := &coord.CommitRequest{
		Group: m.Group, MemberID: m.MemberID, Instance: emptyIfNull(m.InstanceID), Generation: m.Generation,
		Retention: time.Duration(min(m.RetentionTimeMillis, math.MaxInt64/int64(time.Millisecond))) * time.Millisecond,
	}
	response := kmsg.NewPtrOffsetCommitResponse()
	topics := s.engine.Topics()
	for _, t := range m.Topics {
		answer := kmsg.NewOffsetCommitResponseTopic()
		answer.Topic = t.Topic
		answer.Partitions = make([]kmsg.OffsetCommitResponseTopicPartition, 0, len(t.Partitions))
		topic := topics[t.Topic]
		var partitions []coord.CommitPartition
		for i := range t.Partitions {
			p := &t.Partitions[i]
			a := kmsg.NewOffsetCommitResponseTopicPartition()
			a.Partition = p.Partition
			if hasPartition(topic, p.Partition) {
				partitions = append(partitions, coord.CommitPartition{
					Partition: p.Partition, Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: emptyIfNull(p.Metadata),
				})
			} else {
				a.ErrorCode = int16(codeUnknownTopicOrPartition)
			}
			answer.Partitions = append(answer.Partitions, a)
		}
		response.Topics = append(response.Topics, answer)
		if len(partitions) > 0 {
			commit.Topics = append(commit.Topics, coord.CommitTopic{Topic: t.Topic, TopicID: topic.ID(), Partitions: partitions})
		}
	}
	return response, commit
}

// hasPartition tells whether a topic, which may be nil, has a partition of that
// index.
func hasPartition(t *engine.Topic, index int32) bool {
	return t != nil && index >= 0 && int(index) < len(t.Partitions())
}

// committed completes an answer by what came of a commit.
func committed(response *kmsg.OffsetCommitResponse, commit *coord.CommitRequest, code coord.Code) kmsg.Response {
	rest := commit.Topics
	for i := range response.Topics {
		for j := range response.Topics[i].Partitions {
			p := &response.Topics[i].Partitions[j]
			if p.ErrorCode != 0 {
				continue
			}
			for len(rest[0].Partitions) == 0 {
				rest = rest[1:]
			}
			p.ErrorCode = int16(code)
			if code == coord.None {
				p.ErrorCode = int16(rest[0].Partitions[0].Code)
			}
			rest[0].Partitions = rest[0].Partitions[1:]
		}
	}
	return response
}
