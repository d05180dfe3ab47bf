package client

import (
	"context"
	"sync"
	"sync/atomic"
)

// budget is a number of bytes that many share. Who does not get what it wants
// waits in line, so that a large wish is not starved by small ones.
type budget struct {
	limit int64

	waiting atomic.Int64 // how many wait

	mu    sync.Mutex
	used  int64         // +checklocks:mu
	queue []*budgetWait // +checklocks:mu
}

// budgetWait is one who waits.
type budgetWait struct {
	n     int64
	given chan struct{} // closed when n was taken for it
}

// try takes n bytes if they are there and nobody waits. A wish beyond the
// limit is granted when nothing is used.
func (b *budget) try(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) > 0 || !b.fits(n) {
		return false
	}
	b.used += n
	return true
}

// +checklocks:b.mu
func (b *budget) fits(n int64) bool { return b.used == 0 || b.used+n <= b.limit }

// take takes n bytes, and waits for them until ctx ends or broken is closed;
// it reports false then, with nothing taken.
func (b *budget) take(ctx context.Context, broken <-chan struct{}, n int64) bool {
	b.mu.Lock()
	if len(b.queue) == 0 && b.fits(n) {
		b.used += n
		b.mu.Unlock()
		return true
	}
	w := &budgetWait{n: n, given: make(chan struct{})}
	b.queue = append(b.queue, w)
	b.mu.Unlock()
	b.waiting.Add(1)
	defer b.waiting.Add(-1)

	select {
	case <-w.given:
		return true
	case <-ctx.Done():
	case <-broken:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.queue {
		if b.queue[i] == w {
			b.queue = append(b.queue[:i], b.queue[i+1:]...)
			b.serve() // it may have been in the way of smaller ones
			return false
		}
	}
	b.giveBack(n) // it came at the same moment
	return false
}

// add takes n bytes whatever is there.
func (b *budget) add(n int64) {
	b.mu.Lock()
	b.used += n
	b.mu.Unlock()
}

// give gives n bytes back.
func (b *budget) give(n int64) {
	b.mu.Lock()
	b.giveBack(n)
	b.mu.Unlock()
}

// +checklocks:b.mu
func (b *budget) giveBack(n int64) {
	b.used -= n
	b.serve()
}

// serve grants the wishes at the front of the line that fit now.
// +checklocks:b.mu
func (b *budget) serve() {
	for len(b.queue) > 0 && b.fits(b.queue[0].n) {
		b.used += b.queue[0].n
		close(b.queue[0].given)
		b.queue = append(b.queue[:0], b.queue[1:]...)
	}
}
