package kafka

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/node"
)

// text is the text of an answer, "" for none.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// checkOutcome fails the test unless an answer has this code, and a text with
// these words in it where it has one at all.
func checkOutcome(t testing.TB, what string, gotCode int16, gotText *string, want code, words string) {
	t.Helper()
	if code(gotCode) != want || !strings.Contains(text(gotText), words) || want == codeNone && gotText != nil {
		t.Errorf("%s: error %d %q, want %d and %q in it", what, gotCode, text(gotText), want, words)
	}
}

// newTopic is a topic to be created, with configs as pairs of key and value.
func newTopic(name string, partitions int32, factor int16, configs ...string) kmsg.CreateTopicsRequestTopic {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, factor
	for i := 0; i < len(configs); i += 2 {
		t.Configs = append(t.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: configs[i], Value: &configs[i+1]})
	}
	return t
}

// assignedTopic is one whose partitions 0, 1, ... are to be on these nodes.
func assignedTopic(name string, partitions ...[]int32) kmsg.CreateTopicsRequestTopic {
	t := newTopic(name, -1, -1)
	for i, replicas := range partitions {
		t.ReplicaAssignment = append(t.ReplicaAssignment, kmsg.CreateTopicsRequestTopicReplicaAssignment{Partition: int32(i), Replicas: replicas})
	}
	return t
}

// Topics are made in every version, with what the answer says: partitions,
// replicas, id and every config; timeout 0 makes them, too, and what is only
// validated is not there.
func TestCreateTopics(t *testing.T) {
	f := openFrontend(t, node.Options{Engine: engine.Options{DefaultPartitions: 3}})
	c := dial(t, f)
	for version := int16(2); version <= 7; version++ {
		name := "v" + string(rune('0'+version))
		m := kmsg.NewPtrCreateTopicsRequest()
		m.TimeoutMillis = 0
		m.Topics = []kmsg.CreateTopicsRequestTopic{
			newTopic(name, 2, 1, "retention.ms", "7000"), newTopic(name+"-default", -1, -1), assignedTopic(name+"-assigned", []int32{0}, []int32{0}),
		}
		for _, m.ValidateOnly = range []bool{true, false} {
			answer := c.ask(m, version).(*kmsg.CreateTopicsResponse)
			for i, want := range []int32{2, 3, 2} {
				a := answer.Topics[i]
				checkOutcome(t, a.Topic, a.ErrorCode, a.ErrorMessage, codeNone, "")
				topic, err := f.engine.Topic(m.Topics[i].Topic)
				if (err == nil) == m.ValidateOnly {
					t.Fatalf("version %d, validate only %v: topic %s: %v", version, m.ValidateOnly, a.Topic, err)
				}
				if !m.ValidateOnly && (len(topic.Partitions()) != int(want) || version >= 7 && a.TopicID != topic.ID()) {
					t.Errorf("version %d: topic %s has %d partitions and id %s, answer %+v", version, a.Topic, len(topic.Partitions()), topic.ID(), a)
				}
				if version < 5 {
					continue
				}
				if a.NumPartitions != want || a.ReplicationFactor != 1 || len(a.Configs) < 30 || a.ConfigErrorCode != 0 {
					t.Errorf("version %d, validate only %v: %+v, want %d partitions", version, m.ValidateOnly, a, want)
				}
				for _, config := range a.Configs {
					if config.Name == "retention.ms" && i == 0 && (text(config.Value) != "7000" || config.Source != int8(kmsg.ConfigSourceDynamicTopicConfig)) ||
						config.Name == "segment.bytes" && (text(config.Value) != "1073741824" || config.Source != int8(kmsg.ConfigSourceDefaultConfig)) {
						t.Errorf("version %d: %s is %s from %d", version, config.Name, text(config.Value), config.Source)
					}
				}
			}
		}
	}
}

// What Kafka refuses is refused with its code and a text that says why, beside
// topics that are made.
func TestCreateTopicsRefusals(t *testing.T) {
	f := openFrontend(t, node.Options{Engine: engine.Options{MaxPartitions: 10}})
	createTopic(t, f, "a.b", 1)
	c := dial(t, f)
	for _, validateOnly := range []bool{true, false} {
		check := func(topic kmsg.CreateTopicsRequestTopic, want code, words string) {
			t.Helper()
			m := kmsg.NewPtrCreateTopicsRequest()
			m.ValidateOnly = validateOnly
			m.Topics = []kmsg.CreateTopicsRequestTopic{topic}
			answer := c.ask(m, 7).(*kmsg.CreateTopicsResponse)
			a := answer.Topics[0]
			checkOutcome(t, topic.Topic, a.ErrorCode, a.ErrorMessage, want, words)
			if a.NumPartitions != -1 || a.ReplicationFactor != -1 || a.Configs == nil || len(a.Configs) > 0 {
				t.Errorf("%s: refused with %+v", topic.Topic, a)
			}
		}
		check(newTopic("a.b", 1, 1), codeTopicAlreadyExists, "a.b")
		check(newTopic("a_b", 1, 1), codeInvalidTopic, "a.b and the new a_b differ only in")
		check(newTopic("", 1, 1), codeInvalidTopic, "empty")
		check(newTopic("..", 1, 1), codeInvalidTopic, "..")
		check(newTopic("no/name", 1, 1), codeInvalidTopic, "'/'")
		check(newTopic(strings.Repeat("x", 30000), 1, 1), codeInvalidTopic, "at most 249")
		check(newTopic("n", 0, 1), codeInvalidPartitions, "found 0")
		check(newTopic("n", -2, 1), codeInvalidPartitions, "found -2")
		check(newTopic("n", 11, 1), codeInvalidPartitions, "at most 10")
		check(newTopic("n", 1, 0), codeInvalidReplicationFactor, "found 0")
		check(newTopic("n", 1, -2), codeInvalidReplicationFactor, "found -2")
		check(newTopic("n", 1, 3), codeInvalidReplicationFactor, "found 3, want 1")
		check(newTopic("n", 1, 1, "segment.byts", "1"), codeInvalidConfig, "segment.bytes")
		check(newTopic("n", 1, 1, "segment.bytes", "200"), codeInvalidConfig, "1048576")
		check(newTopic("a.b", 1, 3), codeTopicAlreadyExists, "a.b")
		check(newTopic("n", 0, 3, "no.such", "1"), codeInvalidConfig, "no.such")
		null := newTopic("n", 1, 1)
		null.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: "segment.bytes"}}
		check(null, codeInvalidConfig, "null")

		check(assignedTopic("n", []int32{1}), codeInvalidReplicaAssignment, "on node 1")
		check(assignedTopic("n", []int32{0, 1}), codeInvalidReplicaAssignment, "2 replicas")
		check(assignedTopic("n", []int32{}), codeInvalidReplicaAssignment, "no replicas")
		gap := assignedTopic("n", []int32{0}, []int32{0})
		gap.ReplicaAssignment[1].Partition = 2
		check(gap, codeInvalidReplicaAssignment, "without a gap")
		gap.ReplicaAssignment[1].Partition = 0
		check(gap, codeInvalidReplicaAssignment, "twice")
		both := assignedTopic("n", []int32{0})
		both.NumPartitions = 1
		check(both, codeInvalidRequest, "assignment")
		both.NumPartitions, both.ReplicationFactor = -1, 1
		check(both, codeInvalidRequest, "assignment")
	}

	m := kmsg.NewPtrCreateTopicsRequest()
	m.Topics = []kmsg.CreateTopicsRequestTopic{newTopic("twice", 1, 1), newTopic("once", 1, 1), newTopic("twice", 2, 1)}
	answer := c.ask(m, 7).(*kmsg.CreateTopicsResponse)
	if len(answer.Topics) != 2 {
		t.Fatalf("%d answers, want one for each name", len(answer.Topics))
	}
	checkOutcome(t, "twice", answer.Topics[0].ErrorCode, answer.Topics[0].ErrorMessage, codeInvalidRequest, "2 times")
	checkOutcome(t, "once", answer.Topics[1].ErrorCode, answer.Topics[1].ErrorMessage, codeNone, "")
	if _, err := f.engine.Topic("twice"); err == nil {
		t.Error("a topic that the request has twice was made")
	}
}
