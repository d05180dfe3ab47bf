package generator

import (
	"context"
	"sync"
)

// room bounds the messages of a worker that have no answer. It may be used
// concurrently.
type room struct {
	mu   sync.Mutex
	left int           // +checklocks:mu
	some chan struct{} // one element: there was none, and there is some now
}

func newRoom(messages int) *room {
	return &room{left: messages, some: make(chan struct{}, 1)}
}

// take waits for room for one message, unless ctx has ended. It is for one goroutine.
func (r *room) take(ctx context.Context) error {
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		r.mu.Lock()
		ok := r.left > 0
		if ok {
			r.left--
		}
		r.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-r.some:
		case <-ctx.Done():
		}
	}
}

// give makes room again.
func (r *room) give(messages int) {
	r.mu.Lock()
	r.left += messages
	r.mu.Unlock()
	select {
	case r.some <- struct{}{}:
	default:
	}
}
