package embeddedbroker

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rollway/rollway/broker"
)

// startBroker starts a broker whose data live in a directory of the test, and
// returns the address that Kafka clients use. It ends with the test.
func startBroker(t *testing.T) (address string) {
	t.Helper()
	b, err := broker.Open(broker.Options{
		DataDir: t.TempDir(),
		Wire:    broker.Off,
		Kafka:   "127.0.0.1:0", // a free port
		HTTP:    broker.Off,
		Log:     slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b.KafkaAddrs()[0].String()
}

// A Kafka client produces to the broker of this process, which creates the
// topic, and consumes what it produced.
func TestProduceAndConsume(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client, err := kgo.NewClient(
		kgo.SeedBrokers(startBroker(t)),
		kgo.AllowAutoTopicCreation(),
		kgo.ConsumeTopics("orders"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()

	const count = 100
	for i := range count {
		r := &kgo.Record{Topic: "orders", Key: fmt.Appendf(nil, "order-%d", i), Value: []byte("a book")}
		client.Produce(ctx, r, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := client.Flush(ctx); err != nil {
		t.Fatal(err)
	}

	for got := 0; got < count; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if want := fmt.Sprintf("order-%d", got); string(r.Key) != want || r.Offset != int64(got) {
				t.Errorf("offset %d has the key %s, want %s", r.Offset, r.Key, want)
			}
			got++
		})
	}
}
