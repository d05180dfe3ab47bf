package netloop

import (
	"errors"
	"io"
	"math"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rollway/rollway/zerocopy"
)

// lingerTimeout is how long a peer gets to read the last answers and to close
// its side.
const lingerTimeout = 2 * time.Second

// lingerBytes is how much of what a peer sends after the end is discarded.
const lingerBytes = 16 << 20

// conn is one connection under the driver. Its reader is the goroutine of
// serve.
type conn struct {
	server *Server
	peer   Peer
	tcp    *net.TCPConn
	raw    syscall.RawConn
	sender *zerocopy.Sender

	mu      sync.Mutex
	session Session     // +checklocks:mu — nil before newSession and after Close
	answers answers     // +checklocks:mu
	waiting bool        // +checklocks:mu — the reader waits until answers are not full
	timer   *time.Timer // +checklocks:mu — nil until the first deadline
	timerAt time.Time   // +checklocks:mu — when timer fires; zero when it is not set

	pump  pumpState
	sent  atomic.Int64 // bytes that the socket has accepted
	fired atomic.Bool  // the timer has fired since answers were last looked at

	// Of whoever has the token of pump.
	leaving  message
	piece    zerocopy.Range // what of leaving.body is being sent
	armed    bool           // a write deadline is set, which may have passed
	armedNow bool           // it was set since the last byte left

	// Of the reader.
	input input

	nudge chan struct{} // holds one: the reader is to look again at what it waits for other than the socket
	halt  chan struct{} // closed: receive nothing more
	dead  chan struct{} // closed: the socket is closed, or about to be

	endMu  sync.Mutex
	halted bool  // +checklocks:endMu — halt is closed
	cause  error // +checklocks:endMu — why dead is closed

	// Method values, bound once: one made per call would be allocated.
	readable  func(fd uintptr) bool
	runPump   func()
	wakeTimer func()
	cancel    func(Deferred)
}

// newConn returns a conn whose serve is to be called.
func newConn(s *Server, tcp *net.TCPConn, peer Peer) *conn {
	c := &conn{
		server: s,
		peer:   peer,
		tcp:    tcp,
		nudge:  make(chan struct{}, 1),
		halt:   make(chan struct{}),
		dead:   make(chan struct{}),
	}
	c.readable = c.onReadable
	c.runPump = c.pumpLater
	c.wakeTimer = c.onTimer
	c.cancel = c.cancelOne
	c.answers.init(s.options, c.wake)
	return c
}

// serve drives the connection from its beginning to its end.
func (c *conn) serve() {
	err := c.begin()
	if err == nil {
		err = c.read()
		c.input.release(c.server.options.Budget)
		err = c.finish(err)
	}
	c.end(err)
}

// begin prepares the socket and makes the session.
func (c *conn) begin() (err error) {
	if err := c.configure(); err != nil {
		return err
	}
	if c.raw, err = c.tcp.SyscallConn(); err != nil {
		return err
	}
	if c.sender, err = zerocopy.NewSender(c.tcp, c.server.options.sender()); err != nil {
		return err
	}
	defer c.rescue(&err)
	session := c.server.newSession(c.peer)
	c.mu.Lock()
	c.session = session
	c.mu.Unlock()
	return nil
}

// configure sets the options of the socket. Each connection is told, and not
// only the listener: what an MPTCP listener was told is not always inherited.
func (c *conn) configure() error {
	o := &c.server.options
	if o.Congestion != "" {
		if err := zerocopy.SetCongestion(c.tcp, o.Congestion); err != nil {
			return err
		}
	}
	if o.NotSentLowat > 0 {
		if err := zerocopy.SetNotSentLowat(c.tcp, o.NotSentLowat); err != nil {
			return err
		}
	}
	if o.SendBuffer > 0 {
		if err := c.tcp.SetWriteBuffer(o.SendBuffer); err != nil {
			return err
		}
	}
	if o.KeepAlive != 0 {
		if err := c.tcp.SetKeepAliveConfig(net.KeepAliveConfig{
			Enable: o.KeepAlive > 0, Idle: o.KeepAlive, Interval: o.KeepAlive,
		}); err != nil {
			return err
		}
	}
	err := zerocopy.SetUserTimeout(c.tcp, 2*o.StallTimeout)
	if errors.Is(err, unix.ENOPROTOOPT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil // Multipath TCP; the write deadline has to do
	}
	return err
}

// finish sends what is still to be sent after the reader has ended with err,
// and returns why the connection ends: err, unless something worse happened.
func (c *conn) finish(err error) error {
	var malformed *malformedError
	switch {
	case errors.Is(err, errPeerClosed):
		c.claim()
		c.cancelStreams()
		c.send(math.MaxInt64)
	case errors.Is(err, ErrServerClosed):
		c.drain(nil)
		c.linger()
	case errors.As(err, &malformed):
		t := time.NewTimer(c.server.options.StallTimeout)
		c.drain(t.C)
		t.Stop()
		c.linger()
	}
	select {
	case <-c.dead:
		// What was still to be sent could not leave. Of a malformed frame the
		// log says that instead.
		if malformed == nil {
			return c.causeOf()
		}
	default:
	}
	return err
}

// drain waits until all answers in order have left, until the connection
// fails, or until expired receives.
func (c *conn) drain(expired <-chan time.Time) {
	c.claim()
	c.cancelStreams()
	for {
		c.send(math.MaxInt64)
		c.mu.Lock()
		pending := c.answers.pending()
		c.mu.Unlock()
		if !pending {
			return
		}
		select {
		case <-c.nudge:
		case <-c.dead:
			return
		case <-expired:
			c.fail(errUnanswered)
		}
	}
}

// linger tells the peer that nothing more comes and discards what it still
// sends until it closes its side: the kernel answers bytes that nobody reads
// with a reset, which makes the peer's kernel throw away what it has not read.
func (c *conn) linger() {
	if c.tcp.CloseWrite() != nil {
		return
	}
	// Not setReadDeadline, which keeps the one of the past.
	if c.tcp.SetReadDeadline(time.Now().Add(lingerTimeout)) != nil {
		return
	}
	io.CopyN(io.Discard, c.tcp, lingerBytes) // how it ends makes no difference
}

// end releases everything and says why.
func (c *conn) end(err error) {
	c.fail(err)
	c.claim() // finish may have it already
	c.pump.close()
	c.leaving.release()
	c.mu.Lock()
	if c.timer != nil {
		c.timer.Stop()
	}
	c.answers.clear(c.cancel)
	if c.session != nil {
		c.guard("close", c.session.Close)
		c.session = nil
	}
	c.mu.Unlock()
	c.report(err)
	c.server.remove(c)
}

// report counts and logs an end that is not ordinary.
func (c *conn) report(err error) {
	var (
		malformed *malformedError
		panicked  *panicError
		log       = c.server.options.Log.With("peer", c.peer.Remote, "reason", err)
	)
	switch {
	case errors.As(err, &panicked):
		c.server.failed.Add(1)
		log.Error("connection closed", "stack", string(panicked.stack))
	case errors.As(err, &malformed):
		if malformed.err != io.EOF {
			c.server.malformed.Add(1)
			log.Warn("connection closed")
		}
	case errors.Is(err, errPeerClosed), errors.Is(err, ErrServerClosed), errors.Is(err, errIdle),
		errors.Is(err, zerocopy.ErrPeerGone) && !errors.Is(err, unix.ETIMEDOUT):
	default:
		c.server.failed.Add(1)
		log.Warn("connection closed")
	}
}

// stop makes the reader stop receiving and finish.
func (c *conn) stop() {
	c.endMu.Lock()
	defer c.endMu.Unlock()
	if c.halted {
		return
	}
	c.halted = true
	close(c.halt)
	c.tcp.SetReadDeadline(time.Unix(1, 0)) // wakes the reader; its error would be that of a closed socket
}

// abort ends the connection at once.
func (c *conn) abort() { c.fail(ErrServerClosed) }

// fail closes the socket, which ends every wait for it. The first reason counts.
func (c *conn) fail(err error) {
	c.endMu.Lock()
	defer c.endMu.Unlock()
	if c.cause != nil {
		return
	}
	c.cause = err
	close(c.dead)
	if !c.halted {
		c.halted = true
		close(c.halt)
	}
	c.tcp.Close() // its error says nothing about what was received
}

// causeOf returns why fail was called.
func (c *conn) causeOf() error {
	c.endMu.Lock()
	defer c.endMu.Unlock()
	return c.cause
}

// setReadDeadline sets when the reader's wait for the socket ends, unless it
// was told to stop.
func (c *conn) setReadDeadline(t time.Time) error {
	c.endMu.Lock()
	defer c.endMu.Unlock()
	if c.halted {
		return nil
	}
	return c.tcp.SetReadDeadline(t)
}

func (c *conn) cancelStreams() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers.cancelStreams(c.cancel)
}

// cancelOne cancels d, whatever it does.
func (c *conn) cancelOne(d Deferred) { c.guard("cancel", d.Cancel) }

// guard calls f, at the end of a connection, where a panic can only be logged.
func (c *conn) guard(what string, f func()) {
	defer func() {
		if v := recover(); v != nil {
			c.server.options.Log.Error("session panicked", "peer", c.peer.Remote, "in", what, "reason", v, "stack", string(debug.Stack()))
		}
	}()
	f()
}

// rescue, deferred, turns a panic into an error. The connection fails before
// c.mu is given up: what the session was about to put may be half there, and
// must not be sent.
func (c *conn) rescue(err *error) {
	if v := recover(); v != nil {
		*err = &panicError{value: v, stack: debug.Stack()}
		c.fail(*err)
	}
}

// malformedError is what Session.Receive returned.
type malformedError struct{ err error }

func (e *malformedError) Error() string { return e.err.Error() }
func (e *malformedError) Unwrap() error { return e.err }
