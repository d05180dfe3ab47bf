package netloop

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rollway/rollway/zerocopy"
)

const (
	// receiveBytes is the size of a receive buffer at first: a busy peer
	// fills it in one call, and parsing many frames per call is what makes
	// small ones cheap.
	receiveBytes = 256 << 10

	// busyBytes is the size of the buffer of a peer that has filled a smaller
	// one in one call. A larger one holds more whole frames beside the cut
	// one, which is moved, and its batches go to the file by fewer writes: at
	// 64 KiB batches the server's CPU falls from 1.16 to 1.08 times that of a
	// bare loop, with 4 connections from 1.23 to 1.03 times (perf/bench).
	busyBytes = 1 << 20

	// restBytes is the most of an incomplete frame that is moved to a buffer
	// of this size for the wait for its rest, so that peers far away, each
	// with a frame on its way, do not use up the Budget.
	restBytes = 16 << 10

	// leapBytes is what a buffer may grow to in one step when a frame needs
	// it; beyond, it grows fourfold. So what a peer makes us hold follows
	// what it has sent, not what it has announced.
	leapBytes = 4 << 20
)

// input is what was received from one peer and not yet consumed.
type input struct {
	buffer     *buffer // nil when there is nothing
	start, end int     // of what is in it
	need       int     // bytes of the frame at start, 0 when not known
	peak       int     // the largest end since buffer was empty
	first      int     // size of the next first buffer, from receiveBytes to leapBytes

	n       int   // of the last call: bytes received
	filled  bool  // of the last call: it left no room, so there may be more
	err     error // of the last call
	starved int   // of the last call: a buffer of this size is needed and there is no room; else 0

	// Deadlines are not set for each frame. One that passes is judged by what
	// happened since it was set.
	armed      bool  // a deadline is set
	armedFrame bool  // it is for the frame at start
	progress   bool  // since then: that frame was consumed, or, without one, something was received; or the time was ours
	sent       int64 // conn.sent then
}

// have returns how many bytes wait for the rest of their frame.
func (in *input) have() int { return in.end - in.start }

// release gives the buffer back.
func (in *input) release(b *Budget) {
	if in.buffer != nil {
		b.put(in.buffer)
		in.buffer = nil
	}
	in.start, in.end = 0, 0
}

// room makes sure that there is room to receive into. If there is none and the
// Budget has none, it returns the size of the buffer to wait for.
func (in *input) room(b *Budget) (missing int) {
	if in.buffer != nil && in.start > 0 && (in.end == len(in.buffer.p) || in.start+in.need > len(in.buffer.p)) {
		copy(in.buffer.p, in.buffer.p[in.start:in.end])
		in.start, in.end = 0, in.have()
	}
	size := in.size()
	if size == 0 {
		return 0
	}
	f := b.try(size)
	if f == nil && in.buffer == nil {
		size = restBytes
		f = b.try(size)
	}
	switch {
	case f != nil:
		in.move(f, b)
	case in.buffer == nil || in.end == len(in.buffer.p):
		return size
	}
	// Else a small buffer with room has to do: if all waited for large ones,
	// no frame would ever be whole.
	return 0
}

// size returns the size of the buffer that is needed, or would be of use, 0
// when there is one with room.
func (in *input) size() int {
	switch {
	case in.buffer == nil:
		return max(in.first, receiveBytes)
	case len(in.buffer.p) == restBytes:
		return receiveBytes // into which many frames go
	case in.filled && len(in.buffer.p) < busyBytes && in.need <= busyBytes:
		return busyBytes
	case in.end < len(in.buffer.p):
		return 0
	case in.need > len(in.buffer.p):
		return min(bufferSize(in.need), max(leapBytes, 4*len(in.buffer.p)))
	default:
		return 2 * len(in.buffer.p)
	}
}

// move changes to buffer f, which is at least as large as what is there.
func (in *input) move(f *buffer, b *Budget) {
	if in.buffer != nil {
		copy(f.p, in.buffer.p[in.start:in.end])
		b.put(in.buffer)
	}
	in.buffer = f
	in.start, in.end = 0, in.have()
}

// rest makes the buffer small for a wait, or gives it back.
func (in *input) rest(b *Budget) {
	switch {
	case in.buffer == nil:
	case in.have() == 0:
		in.release(b)
	case in.have() <= restBytes && len(in.buffer.p) > restBytes:
		in.buffer = b.shrink(in.buffer, restBytes, in.buffer.p[in.start:in.end])
		in.start, in.end = 0, in.have()
	}
}

// consumed notes that a session took n bytes.
func (in *input) consumed(n, need int, b *Budget) {
	in.peak = max(in.peak, in.end)
	in.start += n
	in.need = need
	if n > 0 {
		in.progress = true
	}
	if in.have() == 0 {
		// Who sends large frames gets a buffer for them at once next time.
		in.first = min(max(bufferSize(max(in.peak, 1)), receiveBytes), leapBytes)
		in.peak = 0
		in.release(b)
	}
}

// read receives and calls the session until the connection is to end, and
// returns why. It is the reader's loop.
func (c *conn) read() error {
	for {
		if err := c.receive(); err != nil {
			return err
		}
		if err := c.consume(); err != nil {
			return err
		}
	}
}

// receive waits until the peer has sent something and receives it.
func (c *conn) receive() error {
	in := &c.input
	for {
		if err := c.halting(); err != nil {
			return err
		}
		if err := c.armRead(); err != nil {
			return c.errorOr(err)
		}
		in.n, in.err, in.starved = 0, nil, 0
		err := c.raw.Read(c.readable)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			if err := c.judge(); err != nil {
				return err
			}
		case err != nil:
			return c.errorOr(err)
		case in.starved > 0:
			if err := c.growLater(in.starved); err != nil {
				return err
			}
		case in.err != nil:
			return c.errorOr(in.err)
		case in.n == 0:
			return errPeerClosed
		default:
			in.end += in.n
			c.server.received.Add(int64(in.n))
			if !in.armedFrame {
				in.progress = true
			}
			return nil
		}
	}
}

// onReadable is called by the runtime's poller, first at once and then when
// the socket may have something; false asks to be called again. No buffer is
// held in between but what an incomplete frame needs.
func (c *conn) onReadable(fd uintptr) (done bool) {
	in := &c.input
	b := c.server.options.Budget
	if missing := in.room(b); missing > 0 {
		// Only a connection that has something to receive waits for memory.
		if !isReadable(fd) {
			return false
		}
		in.starved = missing
		return true
	}
	in.n, in.err = zerocopy.TryReceive(int(fd), in.buffer.p[in.end:])
	in.filled = in.end+in.n == len(in.buffer.p)
	if in.err == unix.EAGAIN {
		in.err = nil
		in.rest(b)
		return false
	}
	return true
}

// growLater waits for a buffer of size bytes.
func (c *conn) growLater(size int) error {
	in := &c.input
	o := &c.server.options
	// Who waits with a full buffer may be waiting for others who do the same,
	// which must end. Who has none just waits.
	var timeout time.Duration
	if in.buffer != nil {
		timeout = o.FrameTimeout
	}
	f, err := o.Budget.get(size, c.halt, timeout)
	if err != nil {
		return err
	}
	if f == nil {
		return c.halting()
	}
	in.move(f, o.Budget)
	in.progress = true // the time was ours
	return nil
}

// consume hands what was received to the session and sends what it answers,
// until nothing whole is left.
func (c *conn) consume() error {
	in := &c.input
	for {
		// With the token before the call, a wake within it starts nothing.
		token := c.pump.try()
		n, need, full, err := c.callReceive(in.buffer.p[in.start:in.end])
		if _, panicked := err.(*panicError); panicked {
			n, need = 0, 0
		}
		if err == nil && need > c.server.options.MaxFrameBytes {
			err = &malformedError{fmt.Errorf("%w: %d bytes, want at most %d", errFrameTooLarge, need, c.server.options.MaxFrameBytes)}
		}
		in.consumed(n, need, c.server.options.Budget)
		if (token || c.pump.take()) && c.pumpNow() {
			in.progress = true // the time was ours, or what the peer took to read
		}
		if err != nil {
			return err
		}
		if full {
			// What is left may hold whole frames.
			if err := c.waitRoom(); err != nil {
				return err
			}
			if in.have() > 0 {
				continue
			}
		}
		if in.have() >= c.server.options.MaxFrameBytes && in.have() >= receiveBytes {
			return &malformedError{fmt.Errorf("%w: no end within %d bytes", errFrameTooLarge, in.have())}
		}
		return nil
	}
}

// callReceive calls the session. full: it may have left whole frames, because
// there was no room for answers.
func (c *conn) callReceive(p []byte) (n, need int, full bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.rescue(&err)
	n, need, err = c.answers.receive(c.session, p)
	if n < 0 || n > len(p) || need < 0 {
		panic(fmt.Sprintf("netloop: Receive consumed %d of %d bytes and needs %d", n, len(p), need))
	}
	if err != nil {
		err = &malformedError{err}
	}
	return n, need, c.answers.full(), err
}

// waitRoom waits until there is room for answers again. Meanwhile nothing is
// received.
func (c *conn) waitRoom() error {
	for {
		c.mu.Lock()
		c.waiting = c.answers.full()
		waiting := c.waiting
		c.mu.Unlock()
		if !waiting {
			return nil
		}
		c.input.rest(c.server.options.Budget)
		c.input.progress = true // the time is ours
		select {
		case <-c.nudge:
		case <-c.halt:
			return c.halting()
		}
	}
}

// armRead sets the deadline of the wait for the socket, unless one is set that
// will do.
func (c *conn) armRead() error {
	in := &c.input
	o := &c.server.options
	frame := in.have() > 0
	var timeout time.Duration
	switch {
	case frame && !(in.armed && in.armedFrame):
		timeout = o.FrameTimeout
	case !frame && !in.armed && o.IdleTimeout > 0:
		timeout = o.IdleTimeout
	default:
		return nil
	}
	in.armed, in.armedFrame, in.progress = true, frame, false
	in.sent = c.sent.Load()
	return c.setReadDeadline(time.Now().Add(timeout))
}

// judge says whether the deadline that has passed ends the connection.
func (c *conn) judge() error {
	if err := c.halting(); err != nil {
		return err
	}
	in := &c.input
	in.armed = false
	switch {
	case in.progress:
	case in.armedFrame && in.have() > 0:
		return fmt.Errorf("%w for %v: %d bytes, wanted %d", errFrameTimeout, c.server.options.FrameTimeout, in.have(), in.need)
	case !in.armedFrame && in.have() == 0 && in.sent == c.sent.Load() && !c.busy():
		return errIdle
	}
	// Without another deadline the one that has passed would stay in force.
	return c.setReadDeadline(time.Time{})
}

// busy tells whether the connection has an answer to come or a stream.
func (c *conn) busy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.answers.pending() || len(c.answers.streams) > 0
}

// halting returns why the reader is to stop, if it is.
func (c *conn) halting() error {
	select {
	case <-c.halt:
	default:
		return nil
	}
	if err := c.causeOf(); err != nil {
		return err
	}
	return ErrServerClosed
}

// errorOr returns err, unless the socket was closed for another reason.
func (c *conn) errorOr(err error) error {
	if stop := c.halting(); stop != nil {
		return stop
	}
	return err
}
