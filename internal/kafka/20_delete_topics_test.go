package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/node"
)

// Topics are deleted by name in every version, and by id from 6 on.
func TestDeleteTopics(t *testing.T) {
	f := openFrontend(t, node.Options{})
	c := dial(t, f)
	for version := int16(1); version <= 6; version++ {
		m := kmsg.NewPtrDeleteTopicsRequest()
		m.TimeoutMillis = 0
		names := []string{"a", "b"}
		var ids []engine.TopicID
		for i := range names {
			id := createTopic(t, f, names[i], 1).ID()
			ids = append(ids, id)
			m.TopicNames = append(m.TopicNames, names[i])
			if i == 0 {
				m.Topics = append(m.Topics, kmsg.DeleteTopicsRequestTopic{Topic: &names[i]})
			} else {
				m.Topics = append(m.Topics, kmsg.DeleteTopicsRequestTopic{TopicID: id})
			}
		}
		answer := c.ask(m, version).(*kmsg.DeleteTopicsResponse)
		if len(answer.Topics) != 2 || len(f.engine.Topics()) != 0 {
			t.Fatalf("version %d: %+v, %d topics are left", version, answer, len(f.engine.Topics()))
		}
		for i, a := range answer.Topics {
			checkOutcome(t, names[i], a.ErrorCode, a.ErrorMessage, codeNone, "")
			if text(a.Topic) != names[i] || version >= 6 && a.TopicID != ids[i] {
				t.Errorf("version %d: topic %s with id %x, want %s and %s", version, text(a.Topic), a.TopicID, names[i], ids[i])
			}
		}
	}
}

// What is not there, or not said clearly, is refused topic by topic.
func TestDeleteTopicsRefusals(t *testing.T) {
	f := openFrontend(t, node.Options{})
	id := createTopic(t, f, "t", 1).ID()
	createTopic(t, f, "twice", 1)
	c := dial(t, f)
	unknown, name, twice := "unknown", "t", "twice"
	m := kmsg.NewPtrDeleteTopicsRequest()
	m.Topics = []kmsg.DeleteTopicsRequestTopic{
		{Topic: &unknown}, {TopicID: [16]byte{1}}, {}, {Topic: &name, TopicID: id}, {Topic: &twice}, {Topic: &twice},
	}
	answer := c.ask(m, 6).(*kmsg.DeleteTopicsResponse)
	if len(answer.Topics) != 5 {
		t.Fatalf("%d answers, want 5", len(answer.Topics))
	}
	for i, want := range []struct {
		code  code
		words string
	}{
		{codeUnknownTopicOrPartition, "unknown"}, {codeUnknownTopicID, "AQ"}, {codeInvalidRequest, "neither"}, {codeInvalidRequest, "want one of them"}, {codeInvalidRequest, "2 times"},
	} {
		a := answer.Topics[i]
		checkOutcome(t, text(m.Topics[i].Topic), a.ErrorCode, a.ErrorMessage, want.code, want.words)
		if text(a.Topic) != text(m.Topics[i].Topic) || a.TopicID != m.Topics[i].TopicID {
			t.Errorf("answer %d is about %s and %x", i, text(a.Topic), a.TopicID)
		}
	}
	if len(f.engine.Topics()) != 2 {
		t.Errorf("%d topics are left, want 2", len(f.engine.Topics()))
	}
}
