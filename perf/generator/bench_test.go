package generator

import (
	"context"
	"math"
	"testing"
)

// promptServer is a sender that acknowledges at once.
type promptServer struct {
	delivered func(int32, int64, []int64, error)
	dues      [1]int64
}

func (s *promptServer) send(_ context.Context, m *message, _, _ []byte) error {
	s.dues[0] = m.due
	s.delivered(m.partition, m.sequence, s.dues[:], nil)
	return nil
}

func (s *promptServer) flush(context.Context) error { return nil }
func (s *promptServer) close()                      {}

// BenchmarkWorker is what the generator itself costs for a message that is sent, with
// both latencies.
func BenchmarkWorker(b *testing.B) {
	w := DefaultWorkload()
	w.ProducerRate = 1e9
	c := newMachineClock()
	defer c.close()
	m := newMeter(c)
	m.window.from.Store(math.MinInt64)
	p, err := newPayloads(w)
	if err != nil {
		b.Fatal(err)
	}
	worker := newWorker(0, "topic", 7, w, m, p)
	worker.schedule = newSchedule(m.clock.now(), w.ProducerRate, 0, 1)
	worker.sender = &promptServer{delivered: worker.delivered}
	m.window.to.Store(worker.schedule.due(int64(b.N)))
	b.SetBytes(int64(w.MessageSize))
	b.ReportAllocs()
	b.ResetTimer()
	if err := worker.work(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkVerify is what it costs for a message that came.
func BenchmarkVerify(b *testing.B) {
	w := DefaultWorkload()
	v := &verifier{run: 7, messageSize: w.MessageSize, producers: 1}
	c := v.newCheck("topic", 0, 0, 0)
	value := make([]byte, w.MessageSize)
	b.SetBytes(int64(w.MessageSize))
	b.ReportAllocs()
	for i := range int64(b.N) {
		b.StopTimer()
		m := message{run: 7, sequence: i}
		m.put(value)
		b.StartTimer()
		if _, fresh := c.take(i, value); !fresh {
			b.Fatal("a good message is refused")
		}
	}
}
