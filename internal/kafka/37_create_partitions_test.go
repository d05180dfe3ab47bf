package kafka

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/node"
)

// Topics grow in every version, not where that is only validated, and what Kafka
// refuses is refused with its code and a text.
func TestCreatePartitions(t *testing.T) {
	f := openFrontend(t, node.Options{Engine: engine.Options{MaxPartitions: 40}})
	c := dial(t, f)
	for version := int16(0); version <= 3; version++ {
		name := "t" + strings.Repeat("x", int(version))
		createTopic(t, f, name, 2)
		partitions := func() int {
			topic, _ := f.engine.Topic(name)
			return len(topic.Partitions())
		}
		check := func(topic string, count int32, validateOnly bool, want code, words string, assignment ...[]int32) {
			t.Helper()
			m := kmsg.NewPtrCreatePartitionsRequest()
			m.TimeoutMillis, m.ValidateOnly = 0, validateOnly
			a := kmsg.CreatePartitionsRequestTopic{Topic: topic, Count: count}
			for _, replicas := range assignment {
				a.Assignment = append(a.Assignment, kmsg.CreatePartitionsRequestTopicAssignment{Replicas: replicas})
			}
			m.Topics = append(m.Topics, a)
			answer := c.ask(m, version).(*kmsg.CreatePartitionsResponse)
			if len(answer.Topics) != 1 || answer.Topics[0].Topic != topic {
				t.Fatalf("version %d: %+v", version, answer)
			}
			checkOutcome(t, topic, answer.Topics[0].ErrorCode, answer.Topics[0].ErrorMessage, want, words)
		}
		for _, validateOnly := range []bool{true, false} {
			check(name, 2, validateOnly, codeInvalidPartitions, "has 2, asked for 2")
			check(name, 1, validateOnly, codeInvalidPartitions, "has 2, asked for 1")
			check(name, 0, validateOnly, codeInvalidPartitions, "found 0")
			check(name, -1, validateOnly, codeInvalidPartitions, "found -1")
			check(name, 1000, validateOnly, codeInvalidPartitions, "at most 40")
			check("unknown", 3, validateOnly, codeUnknownTopicOrPartition, "unknown")
			check(name, 3, validateOnly, codeInvalidReplicaAssignment, "on node 7", []int32{7})
			check(name, 3, validateOnly, codeInvalidReplicaAssignment, "2 partitions, want those of 1", []int32{0}, []int32{0})
			check(name, 4, validateOnly, codeInvalidReplicaAssignment, "2 replicas", []int32{0}, []int32{0, 1})
		}
		check(name, 3, true, codeNone, "", []int32{0})
		if n := partitions(); n != 2 {
			t.Fatalf("version %d: %d partitions after what was refused or validated", version, n)
		}
		check(name, 4, false, codeNone, "", []int32{0}, []int32{0})
		check(name, 5, false, codeNone, "")
		if n := partitions(); n != 5 {
			t.Errorf("version %d: %d partitions, want 5", version, n)
		}
	}
	m := kmsg.NewPtrCreatePartitionsRequest()
	m.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: "t", Count: 6}, {Topic: "t", Count: 7}}
	answer := c.ask(m, 3).(*kmsg.CreatePartitionsResponse)
	if len(answer.Topics) != 1 {
		t.Fatalf("%+v", answer)
	}
	checkOutcome(t, "twice", answer.Topics[0].ErrorCode, answer.Topics[0].ErrorMessage, codeInvalidRequest, "2 times")
}
