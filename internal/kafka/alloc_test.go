package kafka

import (
	"slices"
	"strings"
	"testing"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/internal/invariant"
	"github.com/rollway/rollway/internal/netloop"
	"github.com/rollway/rollway/internal/node"
)

// steady drives a session without allocating: p is received again and again.
type steady struct {
	t       testing.TB
	session *session
	out     *outProbe
	p, copy []byte
	woken   chan struct{}
	wake    func()
}

func newSteady(t testing.TB, f *frontend, p []byte) *steady {
	s := &steady{t: t, session: newSession(f, peer), out: newOutProbe(), p: p, woken: make(chan struct{}, 1)}
	s.session.valid = true
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
	s.out.receive(s.t, s.session, s.copy)
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
	if len(s.out.Buf) < sizeBytes {
		s.t.Fatalf("answers of %d bytes", len(s.out.Buf))
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
	return testing.AllocsPerRun(100, f)
}

// fewestAllocsOf is allocsOf with what the engine does in the background left out: its
// indexes grow and its commits go as disk and scheduler have it, which only adds.
func fewestAllocsOf(t *testing.T, f func()) float64 {
	t.Helper()
	fewest := allocsOf(t, f)
	for range 4 {
		fewest = min(fewest, allocsOf(t, f))
	}
	return fewest
}

// A Produce allocates nothing beside what the engine does for the append: one
// that is acknowledged at once, and one that waits for its commit.
func TestProduceAllocs(t *testing.T) {
	f := openFrontend(t, node.Options{})
	check := func(topic string, version int16, configs map[string]string) {
		t.Helper()
		p := createTopicWith(t, f, topic, configs)
		batch := batchOf(t, "a value")
		var requests []byte
		appends := make([]*engine.AppendRequest, 50)
		for i := range appends {
			requests = append(requests, frameOf(produceTo(f, topic, 0, -1, batch), version, int32(i+1))...)
			appends[i] = new(engine.AppendRequest)
		}
		w := node.HighWatermarkWait{}
		w.Reset(p)
		woken := make(chan struct{}, 1)
		wake := func() { woken <- struct{}{} }
		bare := fewestAllocsOf(t, func() {
			for _, r := range appends {
				*r = engine.AppendRequest{Batches: batch, Acks: engine.AcksAll}
			}
			p.Append(appends...)
			if next := appends[len(appends)-1].NextOffset; w.Await(next, wake) {
				<-woken
			}
		})
		s := newSteady(t, f, requests)
		if allocs := fewestAllocsOf(t, func() { s.round() }); allocs > bare {
			t.Errorf("%s, version %d: %v allocations in 50 Produces, the engine alone makes %v", topic, version, allocs, bare)
		}
	}
	check("cached", 9, pageCache)
	check("durable", 12, nil)
	check("ids", 13, pageCache)
	check("long-"+strings.Repeat("x", 200), 3, pageCache)
}

// A Fetch, sequential or not, allocates nothing once its memory is there.
func TestFetchAllocs(t *testing.T) {
	f := openFrontend(t, node.Options{})
	p := createTopicWith(t, f, "t", pageCache)
	createTopic(t, f, "idle", 3)
	appendAll(t, p, slices.Repeat([]record.Batch{batchOf(t, strings.Repeat("x", 64<<10))}, 64)...)
	for _, version := range []int16{4, 11, 12, 17} {
		var requests []byte
		for offset := range int64(63) {
			m := fetchOf(f, wantedOf{topic: "t", offset: offset, maxBytes: 64 << 10}, wantedOf{topic: "idle"}, wantedOf{topic: "idle", index: 2})
			requests = append(requests, frameOf(m, version, int32(offset+1))...)
		}
		s := newSteady(t, f, requests)
		var bytes int64
		allocs := allocsOf(t, func() { bytes, _ = s.round() })
		if bytes < 63*64<<10 {
			t.Errorf("version %d: a round of 63 fetches gives %d bytes", version, bytes)
		}
		if allocs != 0 {
			t.Errorf("version %d: %v allocations in 63 fetches, want none", version, allocs)
		}
	}
}

// A Fetch of a session allocates nothing either: one that changes an offset, and
// one that finds nothing new.
func TestFetchSessionAllocs(t *testing.T) {
	f := openFrontend(t, node.Options{})
	p := createTopicWith(t, f, "t", pageCache)
	createTopic(t, f, "idle", 3)
	appendAll(t, p, batchOf(t, strings.Repeat("x", 64<<10)))
	for _, version := range []int16{12, 17} {
		c := dial(t, f)
		response, _ := c.fetched(inSession(fetchOf(f, wantedOf{topic: "t"}, wantedOf{topic: "idle"}, wantedOf{topic: "idle", index: 1}), 0, 0), version)
		set := f.fetchSessions.get(response.SessionID)
		for offset, want := range []int64{64 << 10, 0} {
			m := inSession(fetchOf(f, wantedOf{topic: "t", offset: int64(offset)}), response.SessionID, 7)
			s := newSteady(t, f, frameOf(m, version, 1))
			var bytes int64
			allocs := allocsOf(t, func() {
				set.epoch = 7
				bytes, _ = s.round()
			})
			if bytes < want || want == 0 && bytes > 0 {
				t.Errorf("version %d, offset %d: %d bytes", version, offset, bytes)
			}
			if allocs != 0 {
				t.Errorf("version %d, offset %d: %v allocations, want none", version, offset, allocs)
			}
		}
	}
}

// A Fetch that waits allocates nothing either, once its memory is there.
func TestLongPollAllocs(t *testing.T) {
	f := openFrontend(t, node.Options{})
	createTopic(t, f, "t", 2)
	m := fetchOf(f, wantedOf{topic: "t"}, wantedOf{topic: "t", index: 1})
	m.MaxWaitMillis = 3_600_000
	request := frameOf(m, 12, 1)
	p := make([]byte, len(request))
	s, out := newSession(f, peer), newOutProbe()
	wake := func() {}
	allocs := allocsOf(t, func() {
		copy(p, request)
		out.receive(t, s, p)
		d := out.deferred(t)
		if d.Poll(&out.Out, wake) {
			t.Fatal("answered, want a wait")
		}
		d.Cancel()
		out.Reset()
	})
	if allocs != 0 {
		t.Errorf("%v allocations for a wait, want none", allocs)
	}
}
