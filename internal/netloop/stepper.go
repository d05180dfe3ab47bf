package netloop

import (
	"fmt"
	"slices"
	"time"

	"github.com/rollway/rollway/zerocopy"
)

// Stepper drives a session in memory, a step at a time, and keeps every promise
// of a driver; where the session breaks one of its own it panics. It is for
// tests and fuzzers: it has no goroutine, sends nothing anywhere and reads the
// Ranges that a driver would send. It is for one goroutine.
type Stepper struct {
	Session Session

	// MaxBytes and MaxItems bound what one call may put, see Out.Room.
	MaxBytes int64
	MaxItems int

	Input   []byte        // received and not consumed
	Err     error         // of Session.Receive, after which nothing is received
	Sent    []byte        // what has left; whoever looks at it takes it off
	Largest int           // bytes of the largest output of one Poll
	Woken   chan struct{} // receives when a Turn may find something to do

	queue   []any // []byte or Deferred, in order
	streams []Deferred
	closed  bool
}

// NewStepper returns one whose session has received nothing, with room for 4
// MiB and 64 items. Close it.
func NewStepper(s Session) *Stepper {
	return &Stepper{Session: s, MaxBytes: 4 << 20, MaxItems: 64, Woken: make(chan struct{}, 1)}
}

// Pending returns how many answers in order and how many streams are not done.
func (s *Stepper) Pending() (answers, streams int) { return len(s.queue), len(s.streams) }

// Close ends the connection as a driver does. It may be called again.
func (s *Stepper) Close() {
	if s.closed {
		return
	}
	s.closed = true
	for _, q := range s.queue {
		if d, ok := q.(Deferred); ok {
			d.Cancel()
		}
	}
	for _, d := range s.streams {
		d.Cancel()
	}
	s.Session.Close()
}

// Receive gives p to the session.
func (s *Stepper) Receive(p []byte) {
	s.Input = append(s.Input, p...)
	s.Turn()
}

// Turn calls the session and sends, until nothing changes.
func (s *Stepper) Turn() {
	s.send()
	for s.Err == nil && len(s.queue) < s.MaxItems {
		o := Out{maxBytes: s.MaxBytes, maxItems: s.MaxItems - len(s.queue)}
		p := slices.Clone(s.Input) // the session may change it, and must not keep it
		n, need, err := s.Session.Receive(p, &o)
		if n < 0 || n > len(p) || need < 0 || (need > 0 && need <= len(p)-n) {
			panic(fmt.Sprintf("netloop: Receive consumed %d of %d bytes and needs %d", n, len(p), need))
		}
		for i := range p {
			p[i] = 0xdd
		}
		s.Input = s.Input[n:]
		s.Err = err
		s.queue = append(s.queue, s.take(&o)...)
		s.streams = append(s.streams, o.streams...)
		s.send()
		if n == 0 {
			return
		}
	}
}

// Wait waits until a Turn may find something to do, at most until expired
// receives, and takes it. It is false if that receives first.
func (s *Stepper) Wait(expired <-chan time.Time) bool {
	var deadline <-chan time.Time
	if len(s.queue) > 0 {
		if d, ok := s.queue[0].(Deferred); ok && !d.Deadline().IsZero() {
			deadline = time.After(time.Until(d.Deadline()))
		}
	}
	select {
	case <-s.Woken:
	case <-deadline:
	case <-expired:
		return false
	}
	s.Turn()
	return true
}

// take returns what the session put into o.
func (s *Stepper) take(o *Out) (queue []any) {
	rest := o.Buf
	for _, it := range o.items {
		queue = append(queue, slices.Clone(rest[:it.before]))
		rest = rest[it.before:]
		switch it.kind {
		case itemDeferred:
			queue = append(queue, it.deferred)
		case itemRange:
			queue = append(queue, read(it.body))
		}
	}
	return append(queue, slices.Clone(rest))
}

// read returns the bytes of a Range and closes it.
func read(r zerocopy.Range) []byte {
	defer r.Close()
	p := make([]byte, r.Len)
	if _, err := r.File.ReadAt(p, r.Position); err != nil {
		panic(fmt.Sprintf("netloop: read %d bytes at %d of %s: %v", r.Len, r.Position, r.File.Name(), err))
	}
	return p
}

// send lets leave what is ready.
func (s *Stepper) send() {
	for progress := true; progress; {
		progress = false
		for len(s.queue) > 0 {
			if p, ok := s.queue[0].([]byte); ok {
				s.Sent = append(s.Sent, p...)
			} else if !s.poll(s.queue[0].(Deferred)) {
				break
			}
			s.queue = s.queue[1:]
		}
		for i := 0; i < len(s.streams); i++ {
			before := len(s.Sent)
			if s.poll(s.streams[i]) {
				s.streams = slices.Delete(s.streams, i, i+1)
				i--
			}
			progress = progress || len(s.Sent) > before
		}
	}
}

// poll polls d.
func (s *Stepper) poll(d Deferred) (done bool) {
	o := Out{maxBytes: 1 << 20, maxItems: s.MaxItems, inPoll: true}
	asked := time.Now()
	done = d.Poll(&o, s.wake)
	before := len(s.Sent)
	for _, p := range s.take(&o) {
		s.Sent = append(s.Sent, p.([]byte)...)
	}
	s.Largest = max(s.Largest, len(s.Sent)-before)
	if at := d.Deadline(); !done && !at.IsZero() && asked.After(at) {
		panic(fmt.Sprintf("netloop: %T: a Poll %v after its deadline was not done", d, asked.Sub(at)))
	}
	return done
}

func (s *Stepper) wake() {
	select {
	case s.Woken <- struct{}{}:
	default:
	}
}

// Do has call put answers, as the session would in Receive.
func (s *Stepper) Do(call func(out *Out)) {
	o := Out{maxBytes: s.MaxBytes, maxItems: s.MaxItems - len(s.queue)}
	call(&o)
	s.queue = append(s.queue, s.take(&o)...)
	s.streams = append(s.streams, o.streams...)
	s.Turn()
}

// Probe is an Out outside of a driver, for tests that count allocations.
type Probe struct{ Out }

// NewProbe returns one with room for so much, see Out.Room.
func NewProbe(maxBytes int64, maxItems int) *Probe {
	return &Probe{Out{maxBytes: maxBytes, maxItems: maxItems}}
}

// Items returns how many Ranges and Deferreds there are.
func (p *Probe) Items() int { return len(p.items) }

// Item returns one of them, a Range or a Deferred.
func (p *Probe) Item(i int) (*zerocopy.Range, Deferred) {
	if it := &p.items[i]; it.kind == itemDeferred {
		return nil, it.deferred
	}
	return &p.items[i].body, nil
}

// Reset empties p, without closing anything.
func (p *Probe) Reset() {
	p.Buf, p.items, p.streams = p.Buf[:0], p.items[:0], p.streams[:0]
	p.bytes, p.marked, p.held = 0, 0, false
}
