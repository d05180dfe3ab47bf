package generator

import (
	"context"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// testClock is moved by whoever waits.
type testClock struct{ t int64 }

func (c *testClock) now() int64 { return c.t }

func (c *testClock) sleepUntil(ctx context.Context, t int64) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	c.t = max(c.t, t)
	return nil
}

// stallingServer is a sender whose server takes a while for each message, one after
// another, and nothing at all from stallFrom to stallTo. It answers as time goes by.
type stallingServer struct {
	clock              *testClock
	service            time.Duration
	stallFrom, stallTo int64
	delivered          func(int32, int64, []int64, error)
}

// send waits for the answer: with one message in flight this is what a client does.
func (s *stallingServer) send(_ context.Context, m *message, _, _ []byte) error {
	if s.clock.t >= s.stallFrom && s.clock.t < s.stallTo {
		s.clock.t = s.stallTo
	}
	s.clock.t += int64(s.service)
	s.delivered(m.partition, m.sequence, []int64{m.due}, nil)
	return nil
}

func (s *stallingServer) flush(context.Context) error { return nil }
func (s *stallingServer) close()                      {}

// stalled runs one worker for 10 s at a server that takes 100 us for a message and
// stalls for half a second.
func stalled(t *testing.T, rate float64) (publish, delay *hdrhistogram.Histogram) {
	t.Helper()
	w := DefaultWorkload()
	w.ProducerRate, w.MaxInFlightMessages = rate, 1
	clock := &testClock{t: 1e18}
	m := newMeter(clock)
	m.window.from.Store(clock.t)
	m.window.to.Store(clock.t + int64(10*time.Second))
	p, err := newPayloads(w)
	if err != nil {
		t.Fatal(err)
	}
	worker := newWorker(0, "topic", 7, w, m, p)
	if rate > 0 {
		worker.schedule = newSchedule(clock.t, rate, 0, 1)
	}
	worker.sender = &stallingServer{
		clock: clock, service: 100 * time.Microsecond, delivered: worker.delivered,
		stallFrom: clock.t + int64(4*time.Second), stallTo: clock.t + int64(4500*time.Millisecond),
	}
	if err := worker.work(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := worker.unsent(clock.t); n != 0 {
		t.Errorf("%d messages were not sent", n)
	}
	return m.publish.all(), m.delay.all()
}

// A server that stalls for half a second in ten shows in the p99 of an open loop, which counts from when messages were due, and not in that of a closed loop, where one message pays for all.
func TestNoCoordinatedOmission(t *testing.T) {
	ms := func(h *hdrhistogram.Histogram, percentile float64) int64 {
		return h.ValueAtPercentile(percentile) / 1000
	}

	open, delay := stalled(t, 1000)
	if n := open.TotalCount(); n != 10_000 {
		t.Errorf("%d messages of an open loop, want 10,000", n)
	}
	// 500 of 10,000 were due in the stall, at even distances from its end, and about 50
	// more before the server had caught up: the worst 1 % are those of its first 100 ms.
	if p99, max := ms(open, 99), ms(open, 100); p99 < 390 || p99 > 460 || max < 495 || max > 505 {
		t.Errorf("open loop: p99 %d ms, max %d ms; want about 400 to 450 and 500", p99, max)
	}
	if p50 := open.ValueAtPercentile(50); p50 != 100 {
		t.Errorf("open loop: p50 %d us, want 100", p50)
	}
	if p99 := ms(delay, 99); p99 < 390 || p99 > 460 {
		t.Errorf("open loop: p99 of the delay %d ms, want about 400 to 450", p99)
	}

	closed, _ := stalled(t, 0)
	if n := closed.TotalCount(); n < 94_000 || n > 96_000 {
		t.Errorf("%d messages of a closed loop, want 95,000", n)
	}
	if p99, max := closed.ValueAtPercentile(99), ms(closed, 100); p99 > 101 || max < 495 {
		t.Errorf("closed loop: p99 %d us, max %d ms; want 100 and 500", p99, max)
	}
}

// Of a server that cannot keep up, what was due and never left counts with the age that it has, so the latencies of an open loop grow with the time that is missing.
func TestUnsent(t *testing.T) {
	w := DefaultWorkload()
	w.ProducerRate, w.MaxInFlightMessages = 1000, 1
	clock := &testClock{t: 1e18}
	m := newMeter(clock)
	m.window.from.Store(clock.t)
	m.window.to.Store(clock.t + int64(10*time.Second))
	p, err := newPayloads(w)
	if err != nil {
		t.Fatal(err)
	}
	worker := newWorker(0, "topic", 7, w, m, p)
	worker.schedule = newSchedule(clock.t, 1000, 0, 1)
	ctx, cancel := context.WithCancel(t.Context())
	server := &stallingServer{clock: clock, service: 5 * time.Millisecond}
	server.delivered = func(partition int32, sequence int64, dues []int64, err error) {
		worker.delivered(partition, sequence, dues, err)
		if clock.t >= 1e18+int64(10*time.Second) {
			cancel() // the run gives up
		}
	}
	worker.sender = server
	if err := worker.work(ctx); err != context.Canceled {
		t.Fatalf("%v, want %v", err, context.Canceled)
	}
	unsent := worker.unsent(clock.t)
	if unsent < 7995 || unsent > 8005 {
		t.Errorf("%d messages were not sent, want 8,000 of 10,000 at five times the rate that is possible", unsent)
	}
	all := m.publish.all()
	if n := all.TotalCount(); n != 10_000 {
		t.Errorf("%d latencies, want one of each message that was due", n)
	}
	if max := all.Max() / 1000; max < 7900 || max > 8100 {
		t.Errorf("max %d ms, want the 8 s that the first unsent message has waited", max)
	}
}

// The schedules of several workers take turns and have the rate together, whatever its period is.
func TestSchedule(t *testing.T) {
	const start, rate, workers = int64(1e18), 3333, 7
	var count int
	for number := range workers {
		s := newSchedule(start, rate, number, workers)
		for i := int64(0); s.due(i) < start+int64(3*time.Second); i++ {
			count++
			if got := s.due(i+1) - s.due(i); got < int64(time.Second)*workers/3333-1 || got > int64(time.Second)*workers/3333+1 {
				t.Fatalf("worker %d, message %d: %d ns to the next", number, i, got)
			}
		}
		if got, want := s.due(0)-start, int64(number)*1e9/3333; got < want || got > want+1 {
			t.Errorf("worker %d begins at %d, want %d", number, got, want)
		}
	}
	if count != 9999 {
		t.Errorf("%d messages in 3 s, want 9,999", count)
	}
}
