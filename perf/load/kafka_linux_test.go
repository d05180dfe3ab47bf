package load

import (
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/rollway/rollway/broker"
	"github.com/rollway/rollway/wire"
)

// What producers of Kafka's protocol send, consumers of both get, with one and
// with many requests in flight; an answer that is none is an error.
func TestKafka(t *testing.T) {
	b, err := broker.Open(broker.Options{
		DataDir: t.TempDir(), Wire: "127.0.0.1:0", Kafka: "127.0.0.1:0", HTTP: broker.Off,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	if err := b.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	native := Target{Addr: b.WireAddr().(*net.TCPAddr).AddrPort(), Congestion: congestion}
	kafka := Target{Addr: b.KafkaAddrs()[0].(*net.TCPAddr).AddrPort(), Congestion: congestion, Kafka: true}
	if err := native.CreateTopic(t.Context(), wire.CreateTopic{Topic: "t", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	batch, err := Batch(64 << 10)
	if err != nil {
		t.Fatal(err)
	}
	const batches = 64
	p, err := NewProducers(t.Context(), kafka, ProducerOptions{Topic: "t", Partitions: 1, Connections: 2, Window: 5, Batch: batch})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if got, err := p.Run(ProduceRun{Batches: batches}); err != nil || got.Batches != batches {
		t.Fatalf("%d batches, %v; want %d", got.Batches, err, batches)
	}
	log := Log{Topic: "t", Bytes: batches * batch.Size(), BatchBytes: batch.Size(), Step: int64(batch.Count())}
	for _, target := range []Target{native, kafka} {
		c, err := NewConsumer(t.Context(), target, log)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for _, r := range []FetchRun{{Bytes: 2 * log.Bytes, MaxBytes: 1 << 20, Depth: 8}, {Bytes: log.Bytes, MaxBytes: 64 << 10, Depth: 1}} {
			if got, _, err := c.Run(r); err != nil || got != r.Bytes {
				t.Errorf("%+v: %d bytes, %v", r, got, err)
			}
			if err := c.Check(r.MaxBytes); err != nil {
				t.Errorf("%+v: %v", r, err)
			}
		}
	}

	log.Topic = "none"
	c, err := NewConsumer(t.Context(), kafka, log)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Check(1 << 20); err == nil || !strings.Contains(err.Error(), "error") {
		t.Errorf("fetch from a topic that is not there: %v", err)
	}
	p, err = NewProducers(t.Context(), kafka, ProducerOptions{Topic: "none", Partitions: 1, Connections: 1, Window: 1, Batch: batch})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, err := p.Run(ProduceRun{Batches: 1}); err == nil || !strings.Contains(err.Error(), "error 3: unknown topic") {
		t.Errorf("produce to a topic that is not there: %v", err)
	}
}
