package kafka

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/netloop"
)

// CreatePartitions (key 37), versions 0 to 3: adds partitions to topics.
//
// Version 2 is flexible, 3 lets a quota refuse. timeout_ms is not looked at.
var createPartitionsAPI = &api{
	key: 37, name: "CreatePartitions", min: 0, max: 3, flexible: 2,
	access: access{topicResource, alterOperation},
	handle: (*session).createPartitions,
}

func (s *session) createPartitions(r *request, out *netloop.Out) error {
	m, err := readCreatePartitions(&r.body, r.version)
	if err != nil {
		return err
	}
	s.run(r, out, func() kmsg.Response { return s.createPartitionsResponse(m) })
	return nil
}

// readCreatePartitions decodes a request; an Assignment is nil where the server
// is to choose.
func readCreatePartitions(r *reader, version int16) (*kmsg.CreatePartitionsRequest, error) {
	m := kmsg.NewPtrCreatePartitionsRequest()
	m.Version = version
	m.Topics = nonNull(r, slice(r, 7, func(r *reader) kmsg.CreatePartitionsRequestTopic {
		t := kmsg.NewCreatePartitionsRequestTopic()
		t.Topic = r.string()
		t.Count = r.int32()
		t.Assignment = slice(r, 2, func(r *reader) kmsg.CreatePartitionsRequestTopicAssignment {
			a := kmsg.NewCreatePartitionsRequestTopicAssignment()
			a.Replicas = nonNull(r, slice(r, 4, (*reader).int32))
			r.tags()
			return a
		})
		r.tags()
		return t
	}))
	r.chargeTexts(len(m.Topics))
	m.TimeoutMillis = r.int32()
	m.ValidateOnly = r.bool()
	r.tags()
	return m, r.end()
}

// createPartitionsResponse adds partitions, one topic after another.
func (s *session) createPartitionsResponse(m *kmsg.CreatePartitionsRequest) kmsg.Response {
	response := kmsg.NewPtrCreatePartitionsResponse()
	names := occurrencesOf(m.Topics, func(t *kmsg.CreatePartitionsRequestTopic) string { return t.Topic })
	for i := range m.Topics {
		t := &m.Topics[i]
		var err error
		switch times := names.take(t.Topic); {
		case times == 0:
			continue
		case times > 1:
			err = duplicate("topic", t.Topic, times)
		default:
			err = s.addPartitions(t, m.ValidateOnly)
		}
		a := kmsg.NewCreatePartitionsResponseTopic()
		a.Topic = t.Topic
		a.ErrorCode, a.ErrorMessage = s.outcome("CreatePartitions", err)
		response.Topics = append(response.Topics, a)
	}
	return response
}

// addPartitions has the topic grow to t.Count partitions, or only finds out
// whether it could.
func (s *session) addPartitions(t *kmsg.CreatePartitionsRequestTopic, checkOnly bool) error {
	topic, err := s.engine.Topic(t.Topic)
	if err != nil {
		return err
	}
	if t.Count <= 0 {
		return fmt.Errorf("%w: found %d, want more than the %d that topic %s has", engine.ErrInvalidPartitions, t.Count, len(topic.Partitions()), t.Topic)
	}
	change := engine.TopicChange{Partitions: t.Count}
	if err := s.engine.CheckChange(t.Topic, change); err != nil {
		return err
	}
	if t.Assignment != nil {
		now := int32(len(topic.Partitions()))
		if len(t.Assignment) != int(t.Count-now) {
			return fmt.Errorf("%w: replicas of %d partitions, want those of %d: %s has %d and is to have %d",
				errInvalidReplicaAssignment, len(t.Assignment), t.Count-now, t.Topic, now, t.Count)
		}
		for i, a := range t.Assignment {
			if err := s.checkReplicas(now+int32(i), a.Replicas); err != nil {
				return err
			}
		}
	}
	if checkOnly {
		return nil
	}
	_, err = s.engine.AlterTopic(t.Topic, change)
	return err
}
