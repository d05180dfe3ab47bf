package netloop

import (
	"slices"
	"sync/atomic"
	"time"
)

const (
	// turnBytes is what ordered answers and streams each send before the
	// other has its turn, and a reader before it goes back to receiving. At
	// 1 MiB the cost of changing over does not show beside that of sending.
	turnBytes = 1 << 20

	// writeBytes is how many bytes of small answers leave in one write, or a
	// few more. Throughput is flat above 64 KiB.
	writeBytes = 64 << 10
)

// answers are those of one connection that have not left yet: in order what
// polled holds, the output of the last Poll, and then what queued holds, the
// output of Receive; and beside them the streams. They are the same for every
// driver, which calls one method at a time.
type answers struct {
	queued Out
	polled Out // never holds Deferreds

	maxBytes int64 // of answers in memory and not sent
	maxItems int
	leaving  int64 // bytes of the message that is being sent

	// The Deferred in front of queued.
	asked    bool        // it was polled once
	deadline time.Time   // as it said then
	woken    atomic.Bool // since then
	wakeHead func()      // given to every Deferred in order

	streams    []*stream
	turn       int   // index in streams of the one whose turn is next
	ordered    int64 // bytes of ordered answers since the last turn of a stream
	unfinished bool  // queued begins within an answer

	wake func() // calls the driver
}

// stream is a Deferred beside the order.
type stream struct {
	d        Deferred
	deadline time.Time   // as it said when it was last polled
	woken    atomic.Bool // since then, or never polled
	wake     func()
}

// init makes a ready. wake is what a Deferred that became ready calls; it
// must satisfy what Deferred promises of a wake.
func (a *answers) init(o Options, wake func()) {
	a.maxBytes, a.maxItems = o.InFlightBytes, o.MaxQueuedAnswers
	a.wake = wake
	a.wakeHead = func() {
		a.woken.Store(true)
		wake()
	}
}

// full tells whether nothing more is to be received for now.
func (a *answers) full() bool {
	return a.queued.held || a.queued.count() >= a.maxItems || a.queued.size()+a.polled.size()+a.leaving >= a.maxBytes
}

// pending tells whether an answer in order is still to come or to leave.
func (a *answers) pending() bool {
	return a.leaving > 0 || !a.polled.empty() || !a.queued.empty()
}

// receive calls s.Receive.
func (a *answers) receive(s Session, p []byte) (n, need int, err error) {
	o := &a.queued
	o.prepare(a.maxBytes-a.polled.size()-a.leaving, a.maxItems)
	before, ranges := o.count(), o.bytes
	n, need, err = s.Receive(p, o)
	if o.count() > before && o.bytes != ranges {
		// Only Ranges have bytes after them that may belong to them.
		o.push(item{kind: itemEnd})
	}
	a.adopt(o)
	o.settle()
	return n, need, err
}

// fill moves what is to be sent next into m, which is empty, and tells whether
// there is anything. now is the time if a deadline may have passed, else zero.
func (a *answers) fill(m *message, now time.Time) (ready bool) {
	a.leaving = 0
	a.expire(now)
	for polls := 0; m.body.File == nil && len(m.head) < writeBytes; {
		if a.take(m, &a.polled) {
			continue
		}
		if a.ordered >= turnBytes && !a.unfinished && a.pollStream(&polls) {
			continue
		}
		if a.take(m, &a.queued) || a.pollHead() {
			continue
		}
		// Nothing in order is ready, so this is between two answers.
		if !a.pollStream(&polls) {
			break
		}
	}
	a.leaving = m.size()
	return !m.empty()
}

// take moves the bytes at the front of o, or else the Range or end there, to
// m, and tells whether there was anything but a Deferred.
func (a *answers) take(m *message, o *Out) bool {
	before, it := o.next()
	switch {
	case before > 0:
		m.takeBytes(o, before)
		a.took(o, int64(before))
	case it == nil || it.kind == itemDeferred:
		return false
	case it.kind == itemRange:
		m.body = it.body
		o.pop()
		a.took(o, m.body.Len)
	case it.kind == itemEnd:
		o.pop()
		a.unfinished = false
	}
	return true
}

// took notes that n bytes were taken from o.
func (a *answers) took(o *Out, n int64) {
	if o != &a.queued {
		return // counted when they were put
	}
	a.ordered += n
	before, it := o.next()
	a.unfinished = it != nil && (it.kind != itemDeferred || before > 0)
}

// pollHead polls the Deferred in front of the queue, if there is one that may
// have something, and tells whether there is now something to do.
func (a *answers) pollHead() (progress bool) {
	_, it := a.queued.next()
	if it == nil || a.asked && !a.woken.Load() {
		return false
	}
	a.asked = true
	a.woken.Store(false) // before Poll, so that a wake from now on counts
	done := a.poll(it.deferred, a.wakeHead)
	a.ordered += a.polled.size()
	if done {
		a.asked, a.deadline = false, time.Time{}
		a.queued.pop()
		return true
	}
	a.deadline = it.deferred.Deadline()
	return !a.polled.empty()
}

// pollStream polls the next stream that may have something, in turn, and tells
// whether there was one. polls counts them in one fill.
func (a *answers) pollStream(polls *int) bool {
	a.ordered = 0
	if *polls > len(a.streams) {
		// Some wake themselves and put nothing: let others have the lock.
		a.wake()
		return false
	}
	for range a.streams {
		if a.turn >= len(a.streams) {
			a.turn = 0
		}
		s := a.streams[a.turn]
		a.turn++
		if !s.woken.Load() {
			continue
		}
		*polls++
		s.woken.Store(false)
		if a.poll(s.d, s.wake) {
			a.turn--
			a.streams = slices.Delete(a.streams, a.turn, a.turn+1)
		} else {
			s.deadline = s.d.Deadline()
		}
		return true
	}
	return false
}

// poll calls d.Poll, whose output goes to polled.
func (a *answers) poll(d Deferred, wake func()) (done bool) {
	o := &a.polled
	o.prepare(turnBytes, a.maxItems)
	o.inPoll = true
	done = d.Poll(o, wake)
	a.adopt(o)
	o.settle()
	return done
}

// adopt takes the streams that a call has started.
func (a *answers) adopt(o *Out) {
	for i, d := range o.streams {
		s := &stream{d: d}
		s.woken.Store(true)
		s.wake = func() {
			s.woken.Store(true)
			a.wake()
		}
		a.streams = append(a.streams, s)
		o.streams[i] = nil
	}
	o.streams = o.streams[:0]
}

// expire wakes those whose deadline is not after now.
func (a *answers) expire(now time.Time) {
	if now.IsZero() {
		return
	}
	past := func(t time.Time) bool { return !t.IsZero() && !t.After(now) }
	if past(a.deadline) {
		a.woken.Store(true)
	}
	for _, s := range a.streams {
		if past(s.deadline) {
			s.woken.Store(true)
		}
	}
}

// next returns the earliest deadline of those who were polled; zero when none
// has one.
func (a *answers) nextDeadline() time.Time {
	next := a.deadline
	for _, s := range a.streams {
		if !s.deadline.IsZero() && (next.IsZero() || s.deadline.Before(next)) {
			next = s.deadline
		}
	}
	return next
}

// cancelStreams ends all streams.
func (a *answers) cancelStreams(cancel func(Deferred)) {
	for _, s := range a.streams {
		cancel(s.d)
	}
	a.streams = nil
}

// clear ends everything. A call that panicked may have left something in any
// place.
func (a *answers) clear(cancel func(Deferred)) {
	for _, o := range []*Out{&a.polled, &a.queued} {
		a.adopt(o)
		o.clear(cancel)
	}
	a.cancelStreams(cancel)
}
