package client

import (
	"net"
	"time"

	"github.com/rollway/rollway/wire"
)

// outFrame is one frame to be sent.
type outFrame struct {
	bytes []byte
	batch *producedBatch // whose frame it is, or nil
}

// lost tells the batch that its frame was not, or perhaps not, sent.
func (f outFrame) lost(err error, sent bool) {
	if f.batch != nil {
		f.batch.notWritten(err, sent)
	}
}

// send queues f, and u as the request that its answer belongs to; a u without
// a request is not answered. The bytes belong to the writer until they are
// written. It never waits.
//
// Errors: the *ConnectionError; nothing was queued then.
func (c *Client) send(f outFrame, u unanswered) error {
	c.mu.Lock()
	if c.err != nil {
		defer c.mu.Unlock()
		return c.err
	}
	c.out = append(c.out, f)
	if u.req != nil {
		c.pending.push(u)
	}
	c.mu.Unlock()
	c.wakeWriter()
	return nil
}

// grant queues credit for a subscription. Grants that are not yet sent are
// summed, so the queue holds each subscription once. It never waits.
func (c *Client) grant(s *Subscription, n int64) {
	c.mu.Lock()
	if c.err == nil {
		if s.granted == 0 {
			c.credits = append(c.credits, s)
		}
		s.granted += n
	}
	c.mu.Unlock()
	c.wakeWriter()
}

func (c *Client) wakeWriter() {
	select {
	case c.wake <- struct{}{}:
	default: // it will find this, too
	}
}

// writeLoop sends what is queued, all of it by one system call (writev takes
// up to 1024 frames), until the connection ends.
func (c *Client) writeLoop() {
	var idle <-chan time.Time
	if ms := c.welcome.IdleTimeoutMs; ms > 0 {
		// Thrice within the time that the server waits for a sign of life.
		ticker := time.NewTicker(time.Duration(ms) * time.Millisecond / 3)
		defer ticker.Stop()
		idle = ticker.C
	}
	var buffers net.Buffers
	var credits []byte
	silent := true // nothing was sent since the last tick
	for {
		frames := c.takeOut(&credits)
		if len(frames) == 0 && len(credits) == 0 {
			select {
			case <-c.wake:
			case <-idle:
				if silent {
					c.sendSignOfLife()
				}
				silent = true
			case <-c.broken:
				return
			}
			continue
		}
		buffers = buffers[:0]
		for _, f := range frames {
			buffers = append(buffers, f.bytes)
		}
		if len(credits) > 0 {
			buffers = append(buffers, credits)
		}
		rest := buffers // WriteTo consumes it
		if _, err := rest.WriteTo(c.conn); err != nil {
			c.writeFailed(err)
			return
		}
		clear(buffers)
		silent = false
		c.written(frames)
	}
}

// takeOut takes all that is queued: frames, and as credits the Credit frames
// that follow them. They are valid until written.
func (c *Client) takeOut(credits *[]byte) []outFrame {
	c.mu.Lock()
	defer c.mu.Unlock()
	*credits = (*credits)[:0]
	for _, s := range c.credits {
		m := wire.Credit{Bytes: s.granted}
		*credits = m.AppendTo(*credits, s.id)
		s.granted = 0
	}
	clear(c.credits)
	c.credits = c.credits[:0]
	c.out, c.writing = c.writing[:0], c.out
	c.pending.sent = c.pending.count
	return c.writing
}

// written tells the batches among frames, which the writer has taken, that the
// writer is done with them.
func (c *Client) written(frames []outFrame) {
	for _, f := range frames {
		if f.batch != nil {
			f.batch.written()
		}
	}
	c.mu.Lock()
	clear(c.writing)
	c.writing = c.writing[:0]
	c.mu.Unlock()
}

// writeFailed gives the reader some time to find out what the server has to
// say about it.
func (c *Client) writeFailed(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writeErr = err
	c.conn.SetReadDeadline(time.Now().Add(drainTimeout))
}

// sendSignOfLife queues a frame that means nothing: the server ignores an
// Unsubscribe for an id that has no subscription. Without it an idle producer
// would find its connection closed.
func (c *Client) sendSignOfLife() {
	var m wire.Unsubscribe
	// Only a broken connection refuses it, and that is found anyway.
	_ = c.send(outFrame{bytes: m.AppendTo(nil, c.nextRequestID())}, unanswered{})
}

// unsubscribe queues the Unsubscribe of s.
func (c *Client) unsubscribe(s *Subscription) {
	var m wire.Unsubscribe
	_ = c.send(outFrame{bytes: m.AppendTo(nil, s.id)}, unanswered{})
}

// subscribe registers s under a new id and queues m.
func (c *Client) subscribe(s *Subscription, m *wire.Subscribe) error {
	if err := m.Check(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	for {
		c.subscriptionID += 2
		if _, taken := c.subscriptions[c.subscriptionID]; !taken {
			break
		}
	}
	s.id = c.subscriptionID
	c.subscriptions[s.id] = s
	c.out = append(c.out, outFrame{bytes: m.AppendTo(nil, s.id)})
	c.wakeWriter()
	return nil
}
