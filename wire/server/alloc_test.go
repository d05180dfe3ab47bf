package server

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/invariant"
	"github.com/rollway/rollway/internal/netloop"
	"github.com/rollway/rollway/internal/node"
	"github.com/rollway/rollway/wire"
)

// steady drives a session without allocating: p is received again and again.
type steady struct {
	t       testing.TB
	session *session
	out     *netloop.Probe
	p, copy []byte
	woken   chan struct{}
	wake    func()
}

func newSteady(t testing.TB, f *frontend, p []byte) *steady {
	s := &steady{t: t, session: greeted(t, f).session, out: netloop.NewProbe(4<<20, 1024), p: p, woken: make(chan struct{}, 1)}
	s.copy = make([]byte, len(p))
	s.wake = func() {
		select {
		case s.woken <- struct{}{}:
		default:
		}
	}
	return s
}

// round receives p once and lets all answers leave; it returns how many bytes
// they had in Ranges and how many Deferreds there were.
func (s *steady) round() (bytes int64, deferreds int) {
	copy(s.copy, s.p) // batches are changed in place
	n, _, err := s.session.Receive(s.copy, &s.out.Out)
	if n != len(s.p) || err != nil {
		s.t.Fatalf("consumed %d of %d: %v", n, len(s.p), err)
	}
	for i := range s.out.Items() {
		body, deferred := s.out.Item(i)
		if deferred != nil {
			deferreds++
			s.poll(deferred)
			continue
		}
		bytes += body.Len
		body.Close()
	}
	if len(s.out.Buf) < wire.HeadSize || wire.Kind(s.out.Buf[4]) == wire.KindError {
		s.t.Fatalf("answers of %d bytes, or an Error", len(s.out.Buf))
	}
	s.out.Reset()
	return bytes, deferreds
}

func (s *steady) poll(d netloop.Deferred) {
	for !d.Poll(&s.out.Out, s.wake) {
		<-s.woken
	}
}

func allocsOf(t *testing.T, f func()) float64 {
	t.Helper()
	if invariant.Enabled {
		t.Skip("the race detector and invariant checks allocate")
	}
	for range 100 {
		f() // fills the pools
	}
	return testing.AllocsPerRun(500, f)
}

// A Fetch, sequential or not, allocates nothing once its memory is there.
func TestFetchAllocs(t *testing.T) {
	f := openFrontend(t, Options{})
	p := createTopic(t, f, "t", pageCache)
	for range 64 {
		r := &engine.AppendRequest{Batches: batchOf(t, strings.Repeat("x", 64<<10)), Acks: engine.AcksAll}
		if p.Append(r); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	var requests []byte
	for offset := range int64(63) {
		requests = (&wire.Fetch{Topic: []byte("t"), Offset: offset, MinBytes: 1, MaxBytes: 64 << 10, MaxWaitMs: 500}).AppendTo(requests, uint32(offset+1))
	}
	s := newSteady(t, f, requests)
	var bytes int64
	allocs := allocsOf(t, func() { bytes, _ = s.round() })
	if bytes < 63*64<<10 {
		t.Errorf("a round of 63 fetches gives %d bytes", bytes)
	}
	if allocs != 0 {
		t.Errorf("%v allocations in 63 fetches, want none", allocs)
	}
}

// A Produce allocates nothing beside what the engine does for the append: one
// that is acknowledged at once, and one that waits for its commit.
func TestProduceAllocs(t *testing.T) {
	f := openFrontend(t, Options{})
	check := func(topic string, configs map[string]string, waits bool) {
		t.Helper()
		p := createTopic(t, f, topic, configs)
		batch := batchOf(t, "a value")
		var requests []byte
		appends := make([]*engine.AppendRequest, 50)
		for i := range appends {
			requests = produceTo(topic, 0, wire.AcksAll, batch).AppendTo(requests, uint32(i+1))
			appends[i] = new(engine.AppendRequest)
		}
		w := node.HighWatermarkWait{}
		w.Reset(p)
		woken := make(chan struct{}, 1)
		wake := func() { woken <- struct{}{} }
		bare := allocsOf(t, func() {
			for _, r := range appends {
				*r = engine.AppendRequest{Batches: batch, Acks: engine.AcksAll}
			}
			p.Append(appends...)
			if next := appends[len(appends)-1].NextOffset; w.Await(next, wake) {
				<-woken
			}
		})
		s := newSteady(t, f, requests)
		deferred := 0
		allocs := allocsOf(t, func() {
			_, n := s.round()
			deferred += n
		})
		if (deferred > 0) != waits {
			t.Errorf("%s: %d answers waited", topic, deferred)
		}
		if allocs > bare {
			t.Errorf("%s: %v allocations in 50 Produces, the engine alone makes %v", topic, allocs, bare)
		}
	}
	check("cached", pageCache, false)
	check("durable", nil, true)
}

// A Fetch that waits allocates nothing either, once its memory is there.
func TestLongPollAllocs(t *testing.T) {
	f := openFrontend(t, Options{})
	p := createTopic(t, f, "t", nil)
	r := &engine.AppendRequest{Batches: batchOf(t, "x"), Acks: engine.AcksAll}
	if err := p.Produce(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	request := (&wire.Fetch{Topic: []byte("t"), Offset: 1, MinBytes: 1, MaxBytes: 1, MaxWaitMs: uint32(time.Hour.Milliseconds())}).AppendTo(nil, 1)
	m := greeted(t, f)
	o := netloop.NewProbe(4<<20, 64)
	wake := func() {}
	p2 := make([]byte, len(request))
	allocs := allocsOf(t, func() {
		copy(p2, request)
		if _, _, err := m.session.Receive(p2, &o.Out); err != nil {
			t.Fatal(err)
		}
		_, d := o.Item(0)
		if d.Poll(&o.Out, wake) {
			t.Fatal("answered, want a wait")
		}
		d.Cancel()
		o.Reset()
	})
	if allocs != 0 {
		t.Errorf("%v allocations for a wait, want none", allocs)
	}
}
