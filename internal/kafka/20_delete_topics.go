package kafka

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/netloop"
)

// DeleteTopics (key 20), versions 1 to 6: removes topics.
//
// Version 3 has TOPIC_DELETION_DISABLED, where those before have
// INVALID_REQUEST; 4 is flexible, 5 has texts, 6 deletes by topic id, too, and
// answers with it. timeout_ms is not looked at: Kafka answers 0 with
// REQUEST_TIMED_OUT, here the topics are removed.
var deleteTopicsAPI = &api{
	key: 20, name: "DeleteTopics", min: 1, max: 6, flexible: 4,
	access: access{topicResource, deleteOperation},
	handle: (*session).deleteTopics,
}

func (s *session) deleteTopics(r *request, out *netloop.Out) error {
	m, err := readDeleteTopics(&r.body, r.version)
	if err != nil {
		return err
	}
	s.run(r, out, func() kmsg.Response { return s.deleteTopicsResponse(m) })
	return nil
}

func readDeleteTopics(r *reader, version int16) (*kmsg.DeleteTopicsRequest, error) {
	m := kmsg.NewPtrDeleteTopicsRequest()
	m.Version = version
	if version >= 6 {
		m.Topics = nonNull(r, slice(r, 18, func(r *reader) kmsg.DeleteTopicsRequestTopic {
			t := kmsg.NewDeleteTopicsRequestTopic()
			t.Topic = r.nullableString()
			t.TopicID = r.uuid()
			r.tags()
			return t
		}))
		r.chargeTexts(len(m.Topics))
	} else {
		m.TopicNames = nonNull(r, slice(r, 1, (*reader).string))
		r.chargeTexts(len(m.TopicNames))
	}
	m.TimeoutMillis = r.int32()
	r.tags()
	return m, r.end()
}

// topicRef is a topic as a request refers to it: by its name or by its id, the
// other being zero.
type topicRef struct {
	name  string
	named bool
	id    engine.TopicID
}

// String is for texts.
func (r topicRef) String() string {
	if r.named {
		return r.name
	}
	return r.id.String()
}

// deleteTopicsResponse removes the topics, one after another.
func (s *session) deleteTopicsResponse(m *kmsg.DeleteTopicsRequest) kmsg.Response {
	asked := make([]topicRef, 0, max(len(m.TopicNames), len(m.Topics)))
	for _, name := range m.TopicNames {
		asked = append(asked, topicRef{name: name, named: true})
	}
	for _, t := range m.Topics {
		ref := topicRef{id: t.TopicID, named: t.Topic != nil}
		if ref.named {
			ref.name = *t.Topic
		}
		asked = append(asked, ref)
	}
	disabled := s.deletionDisabled(m.Version)
	response := kmsg.NewPtrDeleteTopicsResponse()
	refs := occurrencesOf(asked, func(r *topicRef) topicRef { return *r })
	for _, ref := range asked {
		var err error
		switch times := refs.take(ref); {
		case times == 0:
			continue
		case times > 1:
			err = duplicate("topic", ref.String(), times)
		case disabled != nil:
			err = disabled
		default:
			ref, err = s.deleteTopic(ref)
		}
		a := kmsg.NewDeleteTopicsResponseTopic()
		a.TopicID = ref.id
		if ref.named {
			a.Topic = &ref.name
		}
		a.ErrorCode, a.ErrorMessage = s.outcome("DeleteTopics", err)
		response.Topics = append(response.Topics, a)
	}
	return response
}

// deletionDisabled refuses to delete topics where that is not wanted.
func (f *frontend) deletionDisabled(version int16) error {
	switch {
	case f.node.Settings().DeleteTopicEnabled():
		return nil
	case version < 3:
		return fmt.Errorf("%w: delete.topic.enable is false", errInvalidRequest)
	}
	return fmt.Errorf("%w: delete.topic.enable is false", errTopicDeletionDisabled)
}

// deleteTopic removes a topic, and returns both its name and its id if there
// was one.
func (s *session) deleteTopic(ref topicRef) (topicRef, error) {
	var t *engine.Topic
	var err error
	switch {
	case ref.named && ref.id != engine.TopicID{}:
		return ref, fmt.Errorf("%w: topic %.100q and id %s, want one of them", errInvalidRequest, ref.name, ref.id)
	case ref.named:
		t, err = s.engine.Topic(ref.name)
	case ref.id == engine.TopicID{}:
		return ref, fmt.Errorf("%w: neither the name of a topic nor its id", errInvalidRequest)
	default:
		t, err = s.topicByID(ref.id)
	}
	if err != nil {
		return ref, err
	}
	// By its id: another topic that has its name by now is not meant.
	return topicRef{name: t.Name(), named: true, id: t.ID()}, s.node.DeleteTopic(t)
}

// topicByID returns the topic of that id, or errUnknownTopicID.
func (f *frontend) topicByID(id engine.TopicID) (*engine.Topic, error) {
	t, err := f.engine.TopicByID(id)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", errUnknownTopicID, id)
	}
	return t, nil
}
