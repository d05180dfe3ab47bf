package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/engine/topicconfig"
	"github.com/rollway/rollway/internal/node"
)

// Records are deleted up to an offset or to the end, in every version, and each
// partition is answered for itself.
func TestDeleteRecords(t *testing.T) {
	f := openFrontend(t, node.Options{})
	c := dial(t, f)
	p := createTopic(t, f, "t", 2).Partitions()[0]
	for version := int16(0); version <= 2; version++ {
		begin := p.Offsets().LogStart
		appendAll(t, p, batchOf(t, "a", "b"), batchOf(t, "c"))
		check := func(topic string, partition int32, before, want int64, wantCode code) {
			t.Helper()
			m := kmsg.NewPtrDeleteRecordsRequest()
			m.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: topic, Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Partition: partition, Offset: before}}}}
			answer := c.ask(m, version).(*kmsg.DeleteRecordsResponse)
			a := answer.Topics[0].Partitions[0]
			if answer.Topics[0].Topic != topic || a.Partition != partition || a.LowWatermark != want || code(a.ErrorCode) != wantCode {
				t.Errorf("version %d, %s-%d below %d: %+v, want %d and error %d", version, topic, partition, before, a, want, wantCode)
			}
		}
		check("t", 0, int64(begin)+2, int64(begin)+2, codeNone)
		check("t", 0, int64(begin), int64(begin)+2, codeNone)
		check("t", 0, int64(begin)+4, -1, codeOffsetOutOfRange)
		check("t", 0, -2, -1, codeOffsetOutOfRange)
		check("t", 0, -1, int64(begin)+3, codeNone)
		check("t", 2, 0, -1, codeUnknownTopicOrPartition)
		check("t", -1, 0, -1, codeUnknownTopicOrPartition)
		check("u", 0, 0, -1, codeUnknownTopicOrPartition)
	}
}

// What a topic keeps for compaction is not deleted by offset, unless it deletes
// by age, too.
func TestCheckDeletable(t *testing.T) {
	check := func(policy string, want code) {
		t.Helper()
		config, err := topicconfig.ParseStored(map[string]string{"cleanup.policy": policy}, topicconfig.Defaults{})
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := refusal(checkDeletable(config)); got != want {
			t.Errorf("cleanup.policy=%s: error %d, want %d", policy, got, want)
		}
	}
	check("delete", codeNone)
	check("", codeNone)
	check("compact,delete", codeNone)
	check("compact", codePolicyViolation)
}
