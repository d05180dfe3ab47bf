package load

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/rollway/rollway/broker"
	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/wire"
)

// startBroker starts a rollway with a topic t and returns where it is, by both
// protocols.
func startBroker(t *testing.T, partitions int32) []Target {
	t.Helper()
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
	if err := native.CreateTopic(t.Context(), wire.CreateTopic{Topic: "t", Partitions: partitions}); err != nil {
		t.Fatal(err)
	}
	return []Target{native, {Addr: b.KafkaAddrs()[0].(*net.TCPAddr).AddrPort(), Congestion: congestion, Kafka: true}}
}

// What was produced is read back from each partition, by both protocols; spread
// batches go to one partition after the other.
func TestReadBack(t *testing.T) {
	const partitions, connections, window, batches = 6, 2, 3, 60
	targets := startBroker(t, partitions)
	batch, err := Batch(64 << 10)
	if err != nil {
		t.Fatal(err)
	}
	for i, target := range targets {
		p, err := NewProducers(t.Context(), target, ProducerOptions{
			Topic: "t", Partitions: partitions, Connections: connections, Window: window, Batch: batch, Spread: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		if _, err := p.Run(ProduceRun{Batches: batches}); err != nil {
			t.Fatal(err)
		}
		r, err := NewReader(t.Context(), target)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for number := range int32(partitions) {
			want := int64(i+1) * batches / partitions
			count := int64(0)
			end, err := r.ReadBack(Partition{"t", number}, func(b record.Batch) error {
				if b.CRC() != batch.CRC() || b.Size() != batch.Size() {
					t.Errorf("batch of crc %08x with %d bytes, want %08x with %d", b.CRC(), b.Size(), batch.CRC(), batch.Size())
				}
				count++
				return nil
			})
			if err != nil || count != want || end != want*int64(batch.Count()) {
				t.Errorf("partition %d: %d batches, end %d, %v; want %d of %d records", number, count, end, err, want, batch.Count())
			}
		}
		stop := errors.New("enough")
		if _, err := r.ReadBack(Partition{"t", 0}, func(record.Batch) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("read back with a function that fails: %v, want its error", err)
		}
		if _, err := ReadBack(t.Context(), target, Partition{"none", 0}, nil); err == nil {
			t.Error("read back of a topic that is not there: no error")
		}
	}
}

// A walk over batches finds one that was changed, one that is missing and one that
// is cut.
func TestWalk(t *testing.T) {
	batch, err := Batch(1 << 10)
	if err != nil {
		t.Fatal(err)
	}
	log := func(offsets ...int64) (p []byte) {
		for _, o := range offsets {
			b := record.Batch(append([]byte(nil), batch...))
			b.SetBaseOffset(record.Offset(o))
			p = append(p, b...)
		}
		return p
	}
	f := func(p []byte, want int64, ok bool) {
		t.Helper()
		next, err := walk(p, 10, func(record.Batch) error { return nil })
		if next != want || (err == nil) != ok {
			t.Errorf("walk to %d, %v; want %d, error: %v", next, err, want, !ok)
		}
	}
	f(log(10, 11, 12), 13, true)
	f(log(10, 11, 12)[:3<<10-1], 12, true)
	f(nil, 10, true)
	f(log(10, 12), 11, false)
	f(log(9, 10), 10, false)
	flipped := log(10, 11)
	flipped[1<<10+100] ^= 1
	f(flipped, 11, false)
}

// Tailers get what is produced while they wait, by both protocols, and batches at
// a rate do not come faster than that.
func TestTailer(t *testing.T) {
	const batches = 20
	targets := startBroker(t, 1)
	batch, err := Batch(4 << 10)
	if err != nil {
		t.Fatal(err)
	}
	log := Log{Topic: "t", BatchBytes: batch.Size(), Step: int64(batch.Count())}
	var tailers []*Tailer
	done := make(chan error, len(targets))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, target := range targets {
		tailer, err := NewTailer(ctx, target, log)
		if err != nil {
			t.Fatal(err)
		}
		defer tailer.Close()
		tailers = append(tailers, tailer)
		go func() { done <- tailer.Run(batches*batch.Size(), 64<<10) }()
	}
	p, err := NewProducers(t.Context(), targets[0], ProducerOptions{Topic: "t", Partitions: 1, Connections: 1, Window: 4, Batch: batch})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	const rate = 1000
	produced, err := p.Run(ProduceRun{Batches: batches, Rate: rate})
	if least := (batches - 1) * time.Second / rate; err != nil || produced.Elapsed < least {
		t.Errorf("%d batches took %v, %v; want at least %v", batches, produced.Elapsed, err, least)
	}
	for _, tailer := range tailers {
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := tailer.Run(1, 100); err == nil {
			t.Error("answers of 100 bytes: no error")
		}
	}
	for _, tailer := range tailers {
		if got := tailer.Bytes(); got != batches*batch.Size() {
			t.Errorf("tailer got %d bytes, want %d", got, batches*batch.Size())
		}
	}
}
