package kafka

import (
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// What a pair of a Produce and a Fetch takes on one connection, alone and
// beside eight others that send a mutated request every few milliseconds and
// connect again when they are thrown out.
func BenchmarkBesideHostile(b *testing.B) {
	for _, hostile := range []int{0, 8} {
		name := "alone"
		if hostile > 0 {
			name = "beside hostile peers"
		}
		b.Run(name, func(b *testing.B) {
			f := hostileFrontend(b)
			createTopicWith(b, f, "mine", nil)
			s := serve(b, f)
			stop := make(chan struct{})
			var wg sync.WaitGroup
			frames := requestsOf(f, rand.New(rand.NewPCG(7, 8)))
			for i := range hostile {
				wg.Go(func() { torment(s.Addr().String(), frames, rand.New(rand.NewPCG(9, uint64(i))), stop) })
			}
			c := dialTo(b, s)
			batch := batchOf(b, "a value")
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				base := c.produced(produceTo(f, "mine", 0, -1, batch), 9)[0].BaseOffset
				if _, p := c.fetched(fetchOf(f, wantedOf{topic: "mine", offset: base}), 11); len(p[0].RecordBatches) != len(batch) {
					b.Fatalf("offset %d: %+v", base, p[0])
				}
				took = append(took, time.Since(began))
			}
			close(stop)
			wg.Wait()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
		})
	}
}

// torment sends mutated requests until stop is closed.
func torment(addr string, frames [][]byte, rng *rand.Rand, stop <-chan struct{}) {
	var conn net.Conn
	for {
		select {
		case <-stop:
			if conn != nil {
				conn.Close()
			}
			return
		case <-time.After(time.Duration(1+rng.IntN(8)) * time.Millisecond):
		}
		if conn == nil {
			var err error
			if conn, err = net.Dial("tcp", addr); err != nil {
				continue
			}
			go io.Copy(io.Discard, conn)
		}
		if _, err := conn.Write(mutate(rng, frames[rng.IntN(len(frames))])); err != nil {
			conn.Close()
			conn = nil
		}
	}
}
