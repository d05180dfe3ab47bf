package kafka

import (
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/internal/node"
)

// Page after page, whatever its size, lists every partition once and in order,
// of all topics or of those asked for.
func TestDescribeTopicPartitions(t *testing.T) {
	f := openFrontend(t, node.Options{})
	c := dial(t, f)
	var all, some []string
	for i := range 4 {
		name := fmt.Sprint("t", i)
		createTopic(t, f, name, int32(i+1))
		for index := range i + 1 {
			all = append(all, fmt.Sprint(name, "-", index))
		}
	}
	some = append(slices.Clone(all[1:3]), all[6:]...) // t1 and t3
	pages := func(limit int32, topics ...string) (listed []string, count int) {
		t.Helper()
		m := kmsg.NewPtrDescribeTopicPartitionsRequest()
		m.ResponsePartitionLimit = limit
		for _, name := range topics {
			m.Topics = append(m.Topics, kmsg.DescribeTopicPartitionsRequestTopic{Topic: name})
		}
		for {
			count++
			answer := c.ask(m, 0).(*kmsg.DescribeTopicPartitionsResponse)
			page := 0
			for _, topic := range answer.Topics {
				known, err := f.engine.Topic(*topic.Topic)
				if err != nil || topic.ErrorCode != 0 || topic.TopicID != known.ID() || topic.AuthorizedOperations != topicOperations {
					t.Fatalf("topic %+v: %v", topic, err)
				}
				for _, p := range topic.Partitions {
					if p.ErrorCode != 0 || p.LeaderID != 0 || p.LeaderEpoch < 0 || !slices.Equal(p.Replicas, []int32{0}) || !slices.Equal(p.ISR, []int32{0}) || len(p.OfflineReplicas) != 0 {
						t.Errorf("partition %+v", p)
					}
					if p.EligibleLeaderReplicas == nil || p.LastKnownELR == nil {
						t.Errorf("partition %d: null for no replicas, which ends Kafka's tools", p.Partition)
					}
					listed = append(listed, fmt.Sprint(*topic.Topic, "-", p.Partition))
					page++
				}
			}
			if limit > 0 && page > int(limit) {
				t.Errorf("a page of %d partitions, want at most %d", page, limit)
			}
			if answer.NextCursor == nil {
				return listed, count
			}
			m.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: answer.NextCursor.Topic, Partition: answer.NextCursor.Partition}
		}
	}
	for limit := int32(1); limit <= 12; limit++ {
		want := (len(all) + int(limit) - 1) / int(limit)
		if listed, count := pages(limit); !slices.Equal(listed, all) || count != want {
			t.Errorf("limit %d: %v in %d pages, want %v in %d", limit, listed, count, all, want)
		}
		if listed, _ := pages(limit, "t3", "t1", "t3"); !slices.Equal(listed, some) {
			t.Errorf("limit %d: %v, want %v", limit, listed, some)
		}
	}
	if _, count := pages(0); count != len(all) {
		t.Errorf("limit 0: %d pages, want %d", count, len(all))
	}

	m := kmsg.NewPtrDescribeTopicPartitionsRequest()
	m.Topics = []kmsg.DescribeTopicPartitionsRequestTopic{{Topic: "unknown"}, {Topic: "no/name"}, {Topic: "t0"}}
	answer := c.ask(m, 0).(*kmsg.DescribeTopicPartitionsResponse)
	for i, want := range []code{codeInvalidTopic, codeNone, codeUnknownTopicOrPartition} { // in the order of names
		if got := code(answer.Topics[i].ErrorCode); got != want {
			t.Errorf("topic %s: error %d, want %d", *answer.Topics[i].Topic, got, want)
		}
	}
	// A cursor at what is gone goes on with what follows.
	m.Topics = nil
	m.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: "t2-gone", Partition: 9}
	if answer = c.ask(m, 0).(*kmsg.DescribeTopicPartitionsResponse); len(answer.Topics) != 1 || *answer.Topics[0].Topic != "t3" || len(answer.Topics[0].Partitions) != 4 {
		t.Errorf("behind a topic that is gone: %+v", answer.Topics)
	}
}
