package kafka

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/internal/coord"
	"github.com/rollway/rollway/internal/netloop"
)

// OffsetDelete (key 47), version 0, never flexible: forgets, durably, up to where
// a group has read partitions of topics that no member is subscribed to
// (KIP-496).
var offsetDeleteAPI = &api{
	key: 47, name: "OffsetDelete", min: 0, max: 0, flexible: 1,
	access: access{groupResource, deleteOperation},
	handle: (*session).offsetDelete,
}

func (s *session) offsetDelete(r *request, out *netloop.Out) error {
	m, err := readOffsetDelete(&r.body, r.version)
	if err != nil {
		return err
	}
	deletion := s.deletionRequest(m)
	await(s, r, out, nil, func(codes []coord.Code) kmsg.Response {
		return s.offsetDeleteResponse(m, deletion, codes[0])
	}, s.groups().DeleteOffsets(deletion, time.Now()))
	return nil
}

func readOffsetDelete(r *reader, version int16) (*kmsg.OffsetDeleteRequest, error) {
	m := kmsg.NewPtrOffsetDeleteRequest()
	m.Version = version
	m.Group = r.string()
	m.Topics = nonNull(r, slice(r, 6, func(r *reader) kmsg.OffsetDeleteRequestTopic {
		t := kmsg.NewOffsetDeleteRequestTopic()
		t.Topic = r.string()
		t.Partitions = nonNull(r, slice(r, 4, func(r *reader) kmsg.OffsetDeleteRequestTopicPartition {
			p := kmsg.NewOffsetDeleteRequestTopicPartition()
			p.Partition = r.int32()
			return p
		}))
		return t
	}))
	return m, r.end()
}

// deletionRequest returns what is to be deleted: topic by topic as in m, without
// the partitions that there are not.
func (s *session) deletionRequest(m *kmsg.OffsetDeleteRequest) *coord.DeleteOffsetsRequest {
	d := &coord.DeleteOffsetsRequest{Group: m.Group, Topics: make([]coord.DeleteOffsetsTopic, 0, len(m.Topics))}
	topics := s.engine.Topics()
	for _, t := range m.Topics {
		of := coord.DeleteOffsetsTopic{Topic: t.Topic}
		for _, p := range t.Partitions {
			if hasPartition(topics[t.Topic], p.Partition) {
				of.Partitions = append(of.Partitions, p.Partition)
			}
		}
		d.Topics = append(d.Topics, of)
	}
	return d
}

func (s *session) offsetDeleteResponse(m *kmsg.OffsetDeleteRequest, d *coord.DeleteOffsetsRequest, code coord.Code) kmsg.Response {
	response := kmsg.NewPtrOffsetDeleteResponse()
	if response.ErrorCode = int16(code); code != coord.None {
		return response
	}
	for i, t := range m.Topics {
		a := kmsg.NewOffsetDeleteResponseTopic()
		a.Topic = t.Topic
		rest := d.Topics[i].Partitions
		for _, p := range t.Partitions {
			b := kmsg.NewOffsetDeleteResponseTopicPartition()
			b.Partition, b.ErrorCode = p.Partition, int16(codeUnknownTopicOrPartition)
			if len(rest) > 0 && rest[0] == p.Partition {
				b.ErrorCode, rest = int16(d.Topics[i].Code), rest[1:]
			}
			a.Partitions = append(a.Partitions, b)
		}
		response.Topics = append(response.Topics, a)
	}
	return response
}
