package generator

import (
	"context"
	"errors"
)

// gate lets consumers pass or not. It is closed and opened by one goroutine.
type gate struct{ open chan struct{} }

func newGate(open bool) *gate {
	g := &gate{open: make(chan struct{})}
	if open {
		close(g.open)
	}
	return g
}

// wait waits until the gate is open.
func (g *gate) wait(ctx context.Context) error {
	select {
	case <-g.open:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// consumer receives some partitions of one topic for one subscription and has them
// checked.
type consumer struct {
	meter    *meter
	receiver receiver
	checks   map[int32]*partitionCheck // by partition

	now  int64   // when what is being taken came; 0: it is not known yet
	dues []int64 // of what is being taken
}

// consume receives until ctx ends, which is no error. gate returns the gate that is to
// be passed before anything is received.
func (c *consumer) consume(ctx context.Context, gate func() *gate) error {
	for {
		if err := gate().wait(ctx); err != nil {
			return nil
		}
		c.now, c.dues = 0, c.dues[:0]
		err := c.receiver.receive(ctx, c.take)
		if len(c.dues) > 0 {
			c.meter.received.Add(int64(len(c.dues)))
			c.meter.endToEnd.since(c.now, c.meter.window, c.dues)
		}
		var corrupt *corruptError
		switch {
		case errors.As(err, &corrupt):
			return err
		case err != nil && ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
	}
}

// take takes a message that has come. All that one receive brings was there when the
// first of it was taken.
func (c *consumer) take(partition int32, offset int64, value []byte) {
	if c.now == 0 {
		c.now = c.meter.clock.now()
	}
	if due, fresh := c.checks[partition].take(offset, value); fresh {
		c.dues = append(c.dues, due)
	}
}
