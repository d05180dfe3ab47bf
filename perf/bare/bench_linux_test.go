package bare

import (
	"fmt"
	"io"
	"testing"

	"github.com/rollway/rollway/perf/load"
)

// BenchmarkSink is many producers with one small batch in flight each, which is
// where the ways to serve them differ. Client and server share the process.
func BenchmarkSink(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		batch, err := load.Batch(size)
		if err != nil {
			b.Fatal(err)
		}
		for _, way := range []string{"goroutines", "epoll", "ring"} {
			b.Run(fmt.Sprintf("%s/batch=%d", way, size), func(b *testing.B) {
				s, sink := listenBy(b, way)
				defer sink.Close()
				defer s.Close()
				p, err := load.NewProducers(b.Context(), load.Target{Addr: s.Addr(), Congestion: congestion},
					load.ProducerOptions{Topic: "t", Partitions: 1, Connections: 64, Window: 1, Batch: batch})
				if err != nil {
					b.Fatal(err)
				}
				defer p.Close()
				b.SetBytes(int64(size))
				b.ReportAllocs()
				b.ResetTimer()
				if _, err := p.Run(load.ProduceRun{Batches: int64(b.N)}); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}

// listenBy starts a server with a sink of one partition.
func listenBy(b *testing.B, way string) (s server, sink io.Closer) {
	b.Helper()
	if way == "goroutines" {
		sink, err := NewSink(SinkOptions{Dir: b.TempDir(), Partitions: 1})
		if err != nil {
			b.Fatal(err)
		}
		s, err := Listen(sink, congestion)
		if err != nil {
			b.Fatal(err)
		}
		return s, sink
	}
	loopSink, err := NewLoopSink(LoopSinkOptions{Dir: b.TempDir(), Partitions: 1})
	if err != nil {
		b.Fatal(err)
	}
	if way == "ring" {
		return listenRing(b, loopSink, RingOptions{}), loopSink
	}
	l, err := ListenLoop(loopSink, congestion)
	if err != nil {
		b.Fatal(err)
	}
	return l, loopSink
}
