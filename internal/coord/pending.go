package coord

import "time"

// Pending is an answer that is there or still to come: a netloop.Deferred can
// hold it, without a goroutine. Whoever has it calls Poll until it is done, or
// Cancel; neither waits for anything but the coordinator's lock.
type Pending[T any] struct {
	c      *Coordinator
	done   bool
	answer T
	wake   func()
	// abandon undoes what waits for the answer; nil: nothing does.
	abandon func(now time.Time)
}

// answered returns an answer that is there.
func answered[T any](c *Coordinator, answer T) *Pending[T] {
	return &Pending[T]{c: c, done: true, answer: answer}
}

// Poll returns the answer if it is there. If it is not, wake is called once it
// is: with the coordinator's lock held, so it must neither block nor call the
// coordinator.
func (p *Pending[T]) Poll(wake func()) (answer T, done bool) {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	if !p.done {
		p.wake = wake
	}
	return p.answer, p.done
}

// Cancel tells that nobody waits for the answer any longer, since the connection
// that it was for has ended. What was asked for is done all the same, but a
// member that waited is from now on one that has to send something before its
// session ends, and one that could not know its own id is gone. It does nothing
// when the answer is there.
func (p *Pending[T]) Cancel(now time.Time) {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	p.wake = nil
	if p.done {
		return
	}
	p.done = true
	if p.abandon != nil {
		abandon := p.abandon
		p.abandon = nil
		abandon(now)
	}
	p.c.rouse()
}

// resolve gives the answer, the first time that it is called. The coordinator's
// lock is held.
func (p *Pending[T]) resolve(answer T) {
	if p == nil || p.done {
		return
	}
	p.done, p.answer, p.abandon = true, answer, nil
	if wake := p.wake; wake != nil {
		p.wake = nil
		wake()
	}
}
