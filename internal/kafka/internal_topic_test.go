package kafka

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/internal/coord"
	"github.com/rollway/rollway/internal/node"
)

// The topic of offsets is not made by asking for it, is told to be internal once
// it is there, and clients neither produce to it, grow it nor delete it or its
// records. They may read it.
func TestInternalTopic(t *testing.T) {
	f := openFrontend(t, node.Options{})
	c := dial(t, f)
	name := node.OffsetsTopic
	ask := func() kmsg.MetadataResponseTopic {
		m := kmsg.NewPtrMetadataRequest()
		m.AllowAutoTopicCreation = true
		m.Topics = []kmsg.MetadataRequestTopic{{Topic: &name}}
		return c.ask(m, 9).(*kmsg.MetadataResponse).Topics[0]
	}
	if got := ask(); code(got.ErrorCode) != codeUnknownTopicOrPartition {
		t.Fatalf("before it is there: %+v", got)
	}
	create := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 1, 1
	create.Topics, create.TimeoutMillis = append(create.Topics, topic), 1000
	if got := c.ask(create, 5).(*kmsg.CreateTopicsResponse).Topics[0]; code(got.ErrorCode) != codeInvalidTopic {
		t.Errorf("create: %+v", got)
	}

	createTopic(t, f, "t", 1)
	commitOffset(t, f)
	got := ask()
	if got.ErrorCode != 0 || !got.IsInternal || len(got.Partitions) != 50 {
		t.Errorf("once it is there: error %d, internal %v, %d partitions", got.ErrorCode, got.IsInternal, len(got.Partitions))
	}
	if p := c.produced(produceTo(f, name, 0, -1, batchOf(t, "x")), 9)[0]; code(p.ErrorCode) != codeInvalidTopic {
		t.Errorf("produce: %+v", p)
	}
	d := kmsg.NewPtrDeleteRecordsRequest()
	d.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: name, Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Offset: -1}}}}
	if got := c.ask(d, 2).(*kmsg.DeleteRecordsResponse).Topics[0].Partitions[0]; code(got.ErrorCode) != codeInvalidTopic {
		t.Errorf("delete records: %+v", got)
	}
	remove := kmsg.NewPtrDeleteTopicsRequest()
	remove.TopicNames, remove.TimeoutMillis = []string{name}, 1000
	if got := c.ask(remove, 5).(*kmsg.DeleteTopicsResponse).Topics[0]; code(got.ErrorCode) != codeInvalidTopic {
		t.Errorf("delete: %+v", got)
	}
	grow := kmsg.NewPtrCreatePartitionsRequest()
	more := kmsg.NewCreatePartitionsRequestTopic()
	more.Topic, more.Count = name, 60
	grow.Topics, grow.TimeoutMillis = append(grow.Topics, more), 1000
	if got := c.ask(grow, 2).(*kmsg.CreatePartitionsResponse).Topics[0]; code(got.ErrorCode) != codeInvalidTopic {
		t.Errorf("grow: %+v", got)
	}
	index := coord.PartitionOf("g", 50)
	if _, p := c.fetched(fetchOf(f, wantedOf{topic: name, index: index}), 11); len(p[0].RecordBatches) == 0 {
		t.Errorf("fetch: %+v", p[0])
	}
}

// commitOffset has group "g" commit an offset, which makes the topic.
func commitOffset(t *testing.T, f *frontend) {
	t.Helper()
	r := &coord.CommitRequest{Group: "g", Generation: -1, Topics: []coord.CommitTopic{{Topic: "t", Partitions: []coord.CommitPartition{{Offset: 1, LeaderEpoch: -1}}}}}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		p := f.node.Groups().Commit(r, time.Now())
		woken := make(chan struct{}, 1)
		answer, done := p.Poll(func() { woken <- struct{}{} })
		if !done {
			<-woken
			answer, _ = p.Poll(func() {})
		}
		if answer == coord.None {
			return
		}
	}
	t.Fatal("no commit within 20 s")
}
