package node

import (
	"context"
	"testing"
	"time"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/engine/vfs"
)

// timedBatch is a batch of records with these timestamps, in ms.
func timedBatch(t *testing.T, timestamps ...int64) []byte {
	t.Helper()
	var b record.Builder
	b.Reset(record.BuilderOptions{})
	for _, ms := range timestamps {
		if err := b.Append(ms, nil, []byte("v")); err != nil {
			t.Fatal(err)
		}
	}
	batch, err := b.Build(nil)
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

// The lag counts the records that there still are from the committed offset on,
// and is as old as the first of them; nothing is known of what is not there.
func TestLagOf(t *testing.T) {
	n := openGroupNode(t, vfs.NewMem("/lag"), nil)
	topic, err := n.Engine().CreateTopic(engine.TopicSpec{Name: "t", Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	p := topic.Partitions()[0]
	for _, batch := range [][]byte{timedBatch(t, 1000, 1500), timedBatch(t, 4000), timedBatch(t, 9000, 9100, 9200), timedBatch(t, -1)} {
		if err := p.Produce(context.Background(), &engine.AppendRequest{Batches: batch, Acks: engine.AcksAll}); err != nil {
			t.Fatal(err)
		}
	}
	f := func(topic string, partition int32, committed int64, want Lag) {
		t.Helper()
		if got := n.LagOf(topic, partition, committed, time.UnixMilli(9050)); got != want {
			t.Errorf("lag of %s-%d at %d is %+v, want %+v", topic, partition, committed, got, want)
		}
		if got := n.RecordsBehind(topic, partition, committed); got != want.Records {
			t.Errorf("%d records behind in %s-%d at %d, want %d", got, topic, partition, committed, want.Records)
		}
	}
	f("t", 0, 0, Lag{0, 7, 7, 8050})
	f("t", 0, 1, Lag{0, 7, 6, 8050}) // by the first record of its batch
	f("t", 0, 2, Lag{0, 7, 5, 5050})
	f("t", 0, 3, Lag{0, 7, 4, 50})
	f("t", 0, 6, Lag{0, 7, 1, -1}) // has no timestamp
	f("t", 0, 7, Lag{0, 7, 0, 0})
	f("t", 0, 100, Lag{0, 7, 0, 0})
	f("t", 0, -1, Lag{0, 7, -1, -1})
	f("t", 1, 0, unknownLag)
	f("u", 0, 0, unknownLag)
	if got := n.LagOf("t", 0, 3, time.UnixMilli(100)); got.AgeMs != 0 {
		t.Errorf("a record of the future is %d ms old, want 0", got.AgeMs)
	}
	if _, err := p.DeleteRecords(2); err != nil {
		t.Fatal(err)
	}
	f("t", 0, 0, Lag{2, 7, 5, 5050})
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
}
