package netloop

import (
	"errors"
	"fmt"
	"math"
	"os"
	"sync/atomic"
	"time"

	"github.com/rollway/rollway/zerocopy"
)

// pumpState is the token of a connection: whoever has it sends, alone.
type pumpState struct{ v atomic.Int32 }

const (
	pumpIdle     int32 = iota // nobody has it; nothing is ready
	pumpRunning               // somebody has it
	pumpAgain                 // and must look again before giving it up
	pumpClaiming              // somebody has it and must give it to the reader
	pumpClaimed               // the reader has it to the end, and is nudged by a wake
	pumpClosed                // the connection has ended
)

// try tries to get the token and leaves it at that.
func (p *pumpState) try() bool { return p.v.CompareAndSwap(pumpIdle, pumpRunning) }

// take tries to get the token; who has it looks again otherwise.
func (p *pumpState) take() bool {
	for {
		switch s := p.v.Load(); s {
		case pumpIdle:
			if p.v.CompareAndSwap(s, pumpRunning) {
				return true
			}
		case pumpRunning:
			if p.v.CompareAndSwap(s, pumpAgain) {
				return false
			}
		default:
			return false
		}
	}
}

// drop gives the token up, unless something happened since who has it looked:
// then it is kept, which is false. claimed: it went to the reader.
func (p *pumpState) drop() (dropped, claimed bool) {
	for {
		switch s := p.v.Load(); s {
		case pumpRunning:
			if p.v.CompareAndSwap(s, pumpIdle) {
				return true, false
			}
		case pumpAgain:
			p.v.Store(pumpRunning)
			return false, false
		case pumpClaiming:
			p.v.Store(pumpClaimed)
			return true, true
		default:
			panic(fmt.Sprintf("netloop: token given up in state %d", s))
		}
	}
}

// claim asks for the token for good and tells whether it was free. Otherwise
// the reader has it when claimed says so.
func (p *pumpState) claim() (claimed bool) {
	for {
		switch s := p.v.Load(); s {
		case pumpIdle:
			if p.v.CompareAndSwap(s, pumpClaimed) {
				return true
			}
		case pumpRunning, pumpAgain:
			if p.v.CompareAndSwap(s, pumpClaiming) {
				return false
			}
		default:
			return s != pumpClaiming
		}
	}
}

// wanted tells whether the reader waits for the token.
func (p *pumpState) wanted() bool { return p.v.Load() == pumpClaiming }

// claimed tells whether the reader has the token for good.
func (p *pumpState) claimed() bool { return p.v.Load() == pumpClaimed }

func (p *pumpState) close() { p.v.Store(pumpClosed) }

// wake makes whoever has the token look at the answers again, or starts a
// goroutine that does. It is called from anywhere, any time.
func (c *conn) wake() {
	switch {
	case c.pump.take():
		// The reader, or who has been started by it, still counts in wg.
		c.server.wg.Add(1)
		go c.runPump()
	case c.pump.claimed():
		c.nudgeReader()
	}
}

func (c *conn) nudgeReader() {
	select {
	case c.nudge <- struct{}{}:
	default:
	}
}

// claim waits until the reader has the token, for good.
func (c *conn) claim() {
	if c.pump.claim() {
		return
	}
	for !c.pump.claimed() {
		<-c.nudge
	}
}

// pumpLater sends what is ready and ends. It has the token.
func (c *conn) pumpLater() {
	defer c.server.wg.Done()
	for {
		c.send(math.MaxInt64)
		dropped, claimed := c.pump.drop()
		if claimed {
			c.nudgeReader()
		}
		if dropped {
			return
		}
	}
}

// pumpNow sends one turn of what is ready, leaves the rest to another
// goroutine, and tells whether anything was sent. Only the reader calls it,
// when it has the token.
func (c *conn) pumpNow() (sent bool) {
	for {
		n, more := c.send(turnBytes)
		sent = sent || n > 0
		if more {
			c.server.wg.Add(1)
			go c.runPump()
			return sent
		}
		if dropped, _ := c.pump.drop(); dropped {
			return sent
		}
	}
}

// send sends answers until none is ready, the connection fails, the reader
// wants the token, or, with more to send, at least limit bytes have left. It
// needs the token.
func (c *conn) send(limit int64) (sent int64, more bool) {
	for !c.pump.wanted() {
		if c.leaving.empty() {
			if !c.fill() {
				return sent, false
			}
		}
		if sent >= limit {
			return sent, true
		}
		n, err := c.sendSome()
		sent += n
		if err != nil {
			c.fail(err)
			return sent, false
		}
	}
	return sent, false
}

// fill looks for what is to be sent next.
func (c *conn) fill() (ready bool) {
	var err error
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.rescue(&err)
	select {
	case <-c.dead:
		return false
	default:
	}
	var now time.Time
	if c.fired.Load() {
		c.fired.Store(false)
		c.timerAt = time.Time{}
		now = time.Now()
	}
	ready = c.answers.fill(&c.leaving, now)
	if !ready {
		c.setTimer(c.answers.nextDeadline())
	}
	if c.waiting && !c.answers.full() {
		c.waiting = false
		c.nudgeReader()
	}
	return ready
}

// setTimer makes sure that the answers are looked at when it is t, unless that
// is zero. A timer for an earlier time is left to fire: most long polls are
// answered before their deadline, and setting it for each costs more.
//
// +checklocks:c.mu
func (c *conn) setTimer(t time.Time) {
	if t.IsZero() || !c.timerAt.IsZero() && !t.Before(c.timerAt) {
		return
	}
	c.timerAt = t
	if c.timer == nil {
		c.timer = time.AfterFunc(time.Until(t), c.wakeTimer)
		return
	}
	c.timer.Reset(time.Until(t))
}

// onTimer is called when timer fires.
func (c *conn) onTimer() {
	c.fired.Store(true)
	c.wake()
}

// sendSome sends leaving, at most about a turn of it.
func (c *conn) sendSome() (n int64, err error) {
	m := &c.leaving
	if !c.armed {
		if err := c.armWrite(); err != nil {
			return 0, err
		}
	}
	if m.body.File == nil {
		n, err = c.sender.Send(m.head, nil)
	} else {
		// In pieces of one to two turns: no rest that is too small for the
		// way of large ones.
		c.piece = m.body
		if c.piece.Len >= 2*turnBytes {
			c.piece.Len = turnBytes
		}
		n, err = c.sender.Send(m.head, &c.piece)
		c.piece = zerocopy.Range{}
	}
	m.sent(n)
	c.sent.Add(n)
	c.server.sent.Add(n)
	switch {
	case err == nil:
		c.armedNow = false
		return n, nil
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return n, err
	case n == 0 && c.armedNow:
		return 0, fmt.Errorf("%w for %v, with %d bytes to send", errStalled, c.server.options.StallTimeout, m.size())
	}
	// Bytes have left since the deadline was set, or before: it was set once
	// and passed while the peer kept up or nothing was to be sent. So a busy
	// connection sets one per StallTimeout and an idle one has none.
	return n, c.armWrite()
}

// armWrite gives the peer StallTimeout to accept a byte.
func (c *conn) armWrite() error {
	c.armed, c.armedNow = true, true
	return c.tcp.SetWriteDeadline(time.Now().Add(c.server.options.StallTimeout))
}
