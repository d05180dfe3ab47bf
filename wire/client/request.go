package client

import (
	"context"
	"fmt"

	"github.com/rollway/rollway/wire"
)

// request is what waits for one answer. The reader goroutine calls receive or
// refused when the answer comes, or else lost when none can come any more.
// None of them waits for anything but, in receive, for the payload.
type request interface {
	// wants is the kind of the answer.
	wants() wire.Kind
	// receive takes the payload of the answer. An error breaks the connection,
	// and the request is lost then.
	receive(r *receiver, h wire.Head) error
	// refused takes the server's Error.
	refused(e *wire.Error)
	// lost takes the error of the connection; sent is false if no byte of the
	// request was given to the kernel.
	lost(err error, sent bool)
}

// unanswered is a request in the queue of those that wait.
type unanswered struct {
	id   uint32
	slot bool // holds one of Client.slots
	req  request
}

// requestQueue holds the unanswered requests in the order in which they are
// sent, which is that of the answers: a ring.
type requestQueue struct {
	ring  []unanswered // its length is 0 or a power of two
	first int
	count int
	sent  int // so many of the front were given to the kernel
}

func (q *requestQueue) push(u unanswered) {
	if q.count == len(q.ring) {
		grown := make([]unanswered, max(16, 2*len(q.ring)))
		for i := range q.count {
			grown[i] = *q.at(i)
		}
		q.ring, q.first = grown, 0
	}
	q.count++
	*q.at(q.count - 1) = u
}

// at returns the i-th from the front.
func (q *requestQueue) at(i int) *unanswered { return &q.ring[(q.first+i)&(len(q.ring)-1)] }

// pop removes the front.
func (q *requestQueue) pop() unanswered {
	u := *q.at(0)
	*q.at(0) = unanswered{}
	q.first = (q.first + 1) & (len(q.ring) - 1)
	q.count--
	q.sent = max(0, q.sent-1)
	return u
}

// message is what a call sends.
type message interface {
	Check() error
	AppendTo(dst []byte, requestID uint32) []byte
}

// call is a request whose answer is small.
type call[T any] struct {
	kind  wire.Kind
	parse func(wire.Frame) (T, error)

	done   chan struct{} // closed once answer or err is set
	answer T
	err    error
}

func (k *call[T]) wants() wire.Kind { return k.kind }

func (k *call[T]) receive(r *receiver, h wire.Head) error {
	f, err := r.frame(h)
	if err != nil {
		return err
	}
	if k.answer, err = k.parse(f); err != nil {
		return malformed(err)
	}
	close(k.done)
	return nil
}

func (k *call[T]) refused(e *wire.Error) {
	k.err = e
	close(k.done)
}

func (k *call[T]) lost(err error, _ bool) {
	k.err = err
	close(k.done)
}

// roundTrip sends m and waits for its answer, which is of kind and read by
// parse. If ctx ends before, the answer is dropped when it comes.
func roundTrip[T any](ctx context.Context, c *Client, m message, kind wire.Kind, parse func(wire.Frame) (T, error)) (T, error) {
	k := &call[T]{kind: kind, parse: parse, done: make(chan struct{})}
	var none T
	if err := c.begin(ctx, m, k); err != nil {
		return none, err
	}
	select {
	case <-k.done:
		return k.answer, k.err
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
}

// begin checks m and queues it as the request k, once there is room for it.
func (c *Client) begin(ctx context.Context, m message, k request) error {
	if err := m.Check(); err != nil {
		return err
	}
	if err := c.acquireSlot(ctx); err != nil {
		return err
	}
	id := c.nextRequestID()
	frame := m.AppendTo(nil, id)
	err := c.checkFrame(frame)
	if err == nil {
		err = c.send(outFrame{bytes: frame}, unanswered{id: id, slot: true, req: k})
	}
	if err != nil {
		c.releaseSlot()
	}
	return err
}

// checkFrame refuses a frame that the server would not take.
func (c *Client) checkFrame(frame []byte) error {
	if n := len(frame) - wire.HeadSize; n > c.maxSend {
		return fmt.Errorf("request of %d payload bytes, want at most the server's %d", n, c.maxSend)
	}
	return nil
}

// acquireSlot waits for one of Options.MaxRequests.
func (c *Client) acquireSlot(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case c.slots <- struct{}{}:
		return nil
	case <-c.broken:
		return c.Err()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// releaseSlot gives a slot back.
func (c *Client) releaseSlot() { <-c.slots }
