package netloop

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rollway/rollway/zerocopy"
)

// scripted is a session, or a Deferred, that does what it is told.
type scripted struct {
	receive  func(out *Out)
	poll     func(out *Out, wake func()) bool
	deadline time.Time
	cancels  int
}

func (s *scripted) Receive(p []byte, out *Out) (int, int, error) {
	s.receive(out)
	return len(p), 0, nil
}
func (s *scripted) Close()                           {}
func (s *scripted) Poll(out *Out, wake func()) bool  { return s.poll(out, wake) }
func (s *scripted) Deadline() time.Time              { return s.deadline }
func (s *scripted) Cancel()                          { s.cancels++ }
func newAnswers(o Options, wake func()) (a *answers) { a = new(answers); a.init(o, wake); return a }

// note counts what was released.
type note struct{ n int }

func (n *note) Release() { n.n++ }

// Whatever is put in whatever order, by Receive and by Polls, early or late,
// leaves in the order of the requests, whole, with stream frames only between
// answers; every Range is closed once. Against a plain list as the model.
func TestAnswersMatchModel(t *testing.T) {
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for range 300 {
		seed := rand.Uint64()
		if err := runAnswers(rand.New(rand.NewPCG(seed, 0)), file); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// model is one run: what was put, as it must come out.
type model struct {
	r        *rand.Rand
	file     *os.File
	a        *answers
	want     strings.Builder // answers in order
	got      strings.Builder // everything that left
	ranges   int
	released note
	asleep   []func() // wakes that were not called yet
	frames   int      // of streams
}

// answer puts one answer, "(...)", and returns what it looks like.
func (m *model) answer(out *Out, id int) string {
	var want strings.Builder
	put := func(s string) {
		out.Buf = append(out.Buf, s...)
		want.WriteString(s)
	}
	put(fmt.Sprintf("(%d", id))
	for range m.r.IntN(3) {
		if m.r.IntN(2) == 0 {
			put(strings.Repeat("x", 1+m.r.IntN(1<<m.r.IntN(18))))
		} else {
			m.ranges++
			length := 1 + m.r.Int64N(1<<20)
			out.Range(zerocopy.NewRange(m.file, int64(m.ranges), length, &m.released))
			fmt.Fprintf(&want, "<%d+%d>", m.ranges, length)
		}
	}
	put(")")
	return want.String()
}

// deferred returns a Deferred that gives one answer in one to three Polls that
// put nothing or all.
func (m *model) deferred(id int) Deferred {
	polls := m.r.IntN(3)
	var slot strings.Builder
	m.want.WriteString(fmt.Sprintf("{%d}", id)) // its place, filled in below
	return &scripted{poll: func(out *Out, wake func()) bool {
		if polls > 0 {
			polls--
			m.asleep = append(m.asleep, wake)
			return false
		}
		slot.WriteString(m.answer(out, id))
		text := strings.Replace(m.want.String(), fmt.Sprintf("{%d}", id), slot.String(), 1)
		m.want.Reset()
		m.want.WriteString(text)
		return true
	}}
}

// stream returns a stream of frames "[n]", some followed by a Range.
func (m *model) stream() Deferred {
	left := 1 + m.r.IntN(5)
	return &scripted{poll: func(out *Out, wake func()) bool {
		m.frames++
		out.Buf = append(out.Buf, "[s"...)
		m.ranges++
		out.Range(zerocopy.NewRange(m.file, int64(m.ranges), 1+m.r.Int64N(2<<20), &m.released))
		out.Buf = append(out.Buf, ']')
		if left--; left == 0 {
			return true
		}
		m.asleep = append(m.asleep, wake)
		return false
	}}
}

// leave sends one message in pieces, and tells whether there was one.
func (m *model) leave(msg *message) bool {
	if !m.a.fill(msg, time.Time{}) {
		return false
	}
	for !msg.empty() {
		n := 1 + m.r.Int64N(msg.size())
		head := min(n, int64(len(msg.head)))
		m.got.Write(msg.head[:head])
		if n == msg.size() && msg.body.File != nil {
			// A Range is written down by its end, which pieces do not move.
			fmt.Fprintf(&m.got, "<%d>", msg.body.Position+msg.body.Len)
		}
		msg.sent(n)
	}
	return true
}

func runAnswers(r *rand.Rand, file *os.File) error {
	m := &model{r: r, file: file}
	m.a = newAnswers(Options{InFlightBytes: 1 << 20, MaxQueuedAnswers: 20}, func() {})
	var msg message
	id := 0
	for range 100 {
		switch r.IntN(3) {
		case 0:
			if m.a.full() {
				break
			}
			m.a.receive(&scripted{receive: func(out *Out) {
				for n := r.IntN(5); n > 0 && out.Room() > 0; n-- {
					id++
					switch r.IntN(8) {
					case 0:
						out.Stream(m.stream())
					case 1, 2:
						out.Defer(m.deferred(id))
					default:
						m.want.WriteString(m.answer(out, id))
					}
				}
			}}, nil)
		case 1:
			m.leave(&msg)
		case 2:
			if n := len(m.asleep); n > 0 {
				m.asleep[r.IntN(n)]() // and perhaps once more later
			}
		}
	}
	if r.IntN(4) == 0 { // the connection ends here
		m.a.fill(&msg, time.Time{})
		msg.release()
		m.a.clear(func(d Deferred) { d.Cancel() })
		return m.check(false)
	}
	for m.a.pending() || len(m.a.streams) > 0 {
		for _, wake := range m.asleep {
			wake()
		}
		for m.leave(&msg) {
		}
	}
	return m.check(true)
}

// check compares what left with what was put.
func (m *model) check(all bool) error {
	if m.released.n != m.ranges {
		return fmt.Errorf("%d Ranges closed, want %d", m.released.n, m.ranges)
	}
	if !all {
		return nil
	}
	// "<position+length>" of the model is "<end>" of what left.
	want := replaceRanges(m.want.String())
	var got strings.Builder
	depth, frames := 0, 0
	for rest := m.got.String(); rest != ""; {
		if strings.HasPrefix(rest, "[s") {
			if depth != 0 {
				return fmt.Errorf("a stream's frame within an answer")
			}
			frames++
			_, rest, _ = strings.Cut(rest, "]")
			continue
		}
		switch rest[0] {
		case '(':
			depth++
		case ')':
			depth--
		}
		got.WriteByte(rest[0])
		rest = rest[1:]
	}
	if got.String() != want {
		return fmt.Errorf("left:\n%.2000s\nwant:\n%.2000s", got.String(), want)
	}
	if frames != m.frames {
		return fmt.Errorf("%d frames of streams left, want %d", frames, m.frames)
	}
	return nil
}

// replaceRanges writes each "<position+length>" as "<end>".
func replaceRanges(s string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(s, "<")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		var at, length int64
		fmt.Sscanf(rest, "%d+%d>", &at, &length)
		fmt.Fprintf(&b, "<%d>", at+length)
		_, s, _ = strings.Cut(rest, ">")
	}
}

// Small answers leave in one message, those of Deferreds that are ready included.
func TestAnswersCoalesce(t *testing.T) {
	a := newAnswers(Options{InFlightBytes: 1 << 20, MaxQueuedAnswers: 100}, func() {})
	done := &scripted{poll: func(out *Out, _ func()) bool { out.Buf = append(out.Buf, "d "...); return true }}
	a.receive(&scripted{receive: func(out *Out) {
		for range 10 {
			out.Buf = append(out.Buf, "b "...)
			out.Defer(done)
		}
	}}, nil)
	var m message
	if !a.fill(&m, time.Time{}) || string(m.head) != strings.Repeat("b d ", 10) {
		t.Errorf("first message %q, want all", m.head)
	}
	m.sent(m.size())
	if a.fill(&m, time.Time{}) || a.pending() {
		t.Errorf("second message %q, want none", m.head)
	}
}

// The memory of answers goes back when they have left: an idle connection
// keeps none, and giant ones are not pooled.
func TestAnswersGiveMemoryBack(t *testing.T) {
	a := newAnswers(Options{InFlightBytes: 1 << 30, MaxQueuedAnswers: 1 << 20}, func() {})
	var m message
	done := &scripted{poll: func(out *Out, _ func()) bool { return true }}
	f := func(put func(out *Out)) {
		t.Helper()
		a.receive(&scripted{receive: put}, nil)
		for a.fill(&m, time.Time{}) {
			m.sent(m.size())
		}
		if o := &a.queued; o.Buf != nil || o.block != nil || m.block != nil || m.head != nil || cap(o.items) > 16 {
			t.Errorf("kept: %d bytes, %d items, %d bytes in the message", cap(o.Buf), cap(o.items), cap(m.head))
		}
	}
	f(func(out *Out) {})
	f(func(out *Out) { out.Buf = append(out.Buf, make([]byte, 10<<20)...) })
	f(func(out *Out) {
		for range 10_000 {
			out.Defer(done)
			out.Buf = append(out.Buf, "0123456789"...)
		}
	})
}

// Bytes behind a Deferred do not pile up: the queue's memory follows what waits, not what passed.
func TestAnswersMemoryIsBounded(t *testing.T) {
	a := newAnswers(Options{InFlightBytes: 1 << 30, MaxQueuedAnswers: 1 << 20}, func() {})
	var m message
	next := false
	waiting := func() *scripted {
		return &scripted{poll: func(*Out, func()) bool { defer func() { next = false }(); return next }}
	}
	for range 10_000 {
		a.receive(&scripted{receive: func(out *Out) {
			out.Defer(waiting())
			out.Buf = append(out.Buf, make([]byte, 1000)...)
		}}, nil)
		if a.queued.count() > 2 { // never empty
			next = true
			a.wakeHead()
		}
		for a.fill(&m, time.Time{}) {
			m.sent(m.size())
		}
	}
	if got := len(a.queued.Buf); got > 4*blockBytes { // its capacity is that of a pooled block
		t.Errorf("%d bytes held for %d that wait", got, a.queued.size())
	}
	if got := cap(a.queued.items); got > 64 {
		t.Errorf("%d places held for %d items", got, a.queued.count())
	}
}

// A stream that always wakes itself and puts nothing does not keep fill from returning.
func TestAnswersBusyStream(t *testing.T) {
	wakes := 0
	a := newAnswers(Options{InFlightBytes: 1 << 20, MaxQueuedAnswers: 100}, func() { wakes++ })
	a.receive(&scripted{receive: func(out *Out) {
		out.Stream(&scripted{poll: func(_ *Out, wake func()) bool { wake(); return false }})
	}}, nil)
	var m message
	if a.fill(&m, time.Time{}) || wakes == 0 {
		t.Errorf("ready, or not woken again: %d wakes", wakes)
	}
}

// The next deadline is the earliest of those who were polled, in order or
// beside it, and only who has reached his own is polled for it.
func TestAnswersDeadlines(t *testing.T) {
	start := time.Now()
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	var polled strings.Builder
	one := func(name string, deadline time.Time) *scripted {
		return &scripted{deadline: deadline, poll: func(*Out, func()) bool {
			polled.WriteString(name)
			return false
		}}
	}
	a := newAnswers(Options{InFlightBytes: 1 << 20, MaxQueuedAnswers: 100}, func() {})
	head, stream := one("h", at(20)), one("s", at(10))
	a.receive(&scripted{receive: func(out *Out) {
		out.Defer(head)
		out.Defer(one("later", at(1)))
		out.Stream(stream)
		out.Stream(one("never", time.Time{}))
	}}, nil)
	var m message
	f := func(now time.Time, wantPolled string, wantNext time.Time) {
		t.Helper()
		polled.Reset()
		a.fill(&m, now)
		if got := a.nextDeadline(); polled.String() != wantPolled || !got.Equal(wantNext) {
			t.Errorf("polled %q, next deadline %v; want %q, %v", polled.String(), got.Sub(start), wantPolled, wantNext.Sub(start))
		}
	}
	f(time.Time{}, "hsnever", at(10))
	f(at(9), "", at(10))
	stream.deadline = at(30)
	f(at(10), "s", at(20))
	head.deadline = time.Time{}
	f(at(20), "h", at(30))
	f(at(29), "", at(30))
}

// Defer in a Poll is a bug and panics, and the Deferred is still cancelled.
func TestDeferInPoll(t *testing.T) {
	a := newAnswers(Options{InFlightBytes: 1 << 20, MaxQueuedAnswers: 100}, func() {})
	d := &scripted{poll: func(out *Out, _ func()) bool { out.Defer(nil); return true }}
	a.receive(&scripted{receive: func(out *Out) { out.Defer(d) }}, nil)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		a.fill(new(message), time.Time{})
	}()
	a.clear(func(d Deferred) { d.Cancel() })
	if d.cancels != 1 {
		t.Errorf("%d cancels, want 1", d.cancels)
	}
}

// A session that holds is not called again until the answer that it waits for
// is done, although more was received.
func TestHold(t *testing.T) {
	var a answers
	a.init(Options{InFlightBytes: 1 << 20, MaxQueuedAnswers: 100}, func() {})
	var out Out
	out.prepare(1<<20, 100)
	out.Hold()
	if out.Room() == 0 {
		t.Fatal("held with nothing to wait for")
	}
	done := false
	answer := func(*Out, func()) bool { return done }
	a.receive(&scripted{receive: func(o *Out) {
		o.Defer(&scripted{poll: answer})
		o.Defer(&scripted{poll: func(*Out, func()) bool { return false }})
		o.Hold()
		if o.Room() != 0 {
			t.Error("there is room after Hold")
		}
	}}, nil)
	var m message
	a.fill(&m, time.Time{})
	if !a.full() {
		t.Fatal("not held while the first answer waits")
	}
	done = true
	a.wakeHead()
	a.fill(&m, time.Time{})
	if a.full() {
		t.Fatal("held after the first answer was done")
	}
}
