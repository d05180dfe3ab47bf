package netloop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollway/rollway/zerocopy"
)

// Server accepts connections of one listener and drives them.
type Server struct {
	ln         *net.TCPListener
	newSession func(Peer) Session
	options    Options // complete: no field has its zero value's meaning
	ownPipes   *zerocopy.PipePool

	accepting chan struct{}  // closed when no more is accepted
	wg        sync.WaitGroup // every goroutine of the Server

	mu        sync.Mutex
	admission admission          // +checklocks:mu
	conns     map[*conn]struct{} // +checklocks:mu
	closed    bool               // +checklocks:mu — no connection is added any more

	accepted, refused, malformed, failed atomic.Int64
	received, sent                       atomic.Int64
}

// Stats are what a Server did since it began. The fields are read one after
// another.
type Stats struct {
	Connections int   // open now
	Accepted    int64 // connections, without the refused ones
	Refused     int64 // connections over a bound
	Malformed   int64 // connections closed for what the peer sent
	Failed      int64 // connections closed for another error, without ordinary resets
	Received    int64 // bytes
	Sent        int64 // bytes that the sockets have accepted
}

// Serve begins to accept connections of ln, which the Server closes from now
// on, also on an error, and to drive each with a session of its own.
// newSession may be called concurrently; it must not block.
//
// End it with Shutdown or Close.
func Serve(ln *net.TCPListener, newSession func(Peer) Session, o Options) (*Server, error) {
	s, err := newServer(ln, newSession, o)
	if err != nil {
		ln.Close()
		return nil, err
	}
	s.wg.Go(s.accept)
	return s, nil
}

// newServer returns a Server that does not accept yet.
func newServer(ln *net.TCPListener, newSession func(Peer) Session, o Options) (*Server, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	if o.Congestion != "" {
		// Each connection is told too. Here it is checked.
		if err := zerocopy.SetCongestion(ln, o.Congestion); err != nil {
			return nil, fmt.Errorf("listener %v: %w", ln.Addr(), err)
		}
	}
	s := &Server{
		ln:         ln,
		newSession: newSession,
		accepting:  make(chan struct{}),
		admission:  admission{perIP: map[netip.Addr]int{}},
		conns:      map[*conn]struct{}{},
	}
	if o.Path == zerocopy.Splice && o.Pipes == nil {
		pipes, err := zerocopy.NewPipePool(zerocopy.PipePoolOptions{})
		if err != nil {
			return nil, err
		}
		s.ownPipes, o.Pipes = pipes, pipes
	}
	s.options = o
	return s, nil
}

// Addr returns the address that is listened on.
func (s *Server) Addr() net.Addr { return s.ln.Addr() }

// Stats returns what was done so far.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	open := s.admission.open
	s.mu.Unlock()
	return Stats{
		Connections: open,
		Accepted:    s.accepted.Load(),
		Refused:     s.refused.Load(),
		Malformed:   s.malformed.Load(),
		Failed:      s.failed.Load(),
		Received:    s.received.Load(),
		Sent:        s.sent.Load(),
	}
}

// Close closes the listener and every connection at once, and returns when
// every session was closed and every goroutine has ended. Concurrent and later
// calls wait for the same.
func (s *Server) Close() error {
	err := s.stop((*conn).abort)
	s.wg.Wait()
	if s.ownPipes != nil {
		s.ownPipes.Close()
	}
	return err
}

// Shutdown closes the listener, receives nothing more and lets the answers in
// order leave, those included that are not ready yet; streams are cancelled. A
// connection is closed when its last answer has left. When ctx ends, the rest
// is closed as by Close, and the error is ErrServerClosed with ctx's. Either
// way every session was closed and every goroutine has ended when it returns.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.stop((*conn).stop)
	done := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return errors.Join(err, s.Close())
	case <-ctx.Done():
	}
	err = errors.Join(err, s.Close())
	<-done
	return errors.Join(fmt.Errorf("%w: answers were cut off: %w", ErrServerClosed, context.Cause(ctx)), err)
}

// stop ends the listener and calls end for every connection.
func (s *Server) stop(end func(*conn)) error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	conns := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()

	var err error
	if first {
		close(s.accepting)
		err = s.ln.Close()
	}
	for _, c := range conns {
		end(c)
	}
	return err
}

// accept takes connections until the Server stops.
func (s *Server) accept() {
	refused := refusals{log: s.options.Log}
	var pause time.Duration
	for {
		tcp, err := s.ln.AcceptTCP()
		if err != nil {
			// ECONNABORTED is handled below the net package, and the rest is
			// over when the listener is closed. What remains is a lack, of
			// descriptors (EMFILE, ENFILE) or of memory, which others may end:
			// wait 5 ms, then twice as long each time up to a second.
			select {
			case <-s.accepting:
				return
			default:
			}
			if errors.Is(err, net.ErrClosed) {
				s.options.Log.Error("listener was closed by another", "listener", s.ln.Addr())
				return
			}
			if pause == 0 {
				s.options.Log.Error("accepting connections pauses", "listener", s.ln.Addr(), "reason", err)
			}
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			select {
			case <-s.accepting:
				return
			case <-time.After(pause):
			}
			continue
		}
		pause = 0
		peer := peerOf(tcp)
		if err := s.admit(tcp, peer); err != nil {
			if errors.Is(err, ErrServerClosed) {
				tcp.Close()
				return
			}
			// Counted first: the peer, which sees the end, may ask.
			s.refused.Add(1)
			refused.add(peer.Remote, err)
			tcp.Close()
		}
	}
}

// admit starts to drive a connection, unless it is over a bound.
func (s *Server) admit(tcp *net.TCPConn, peer Peer) error {
	limits := s.options.Limits()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrServerClosed
	}
	if err := s.admission.enter(peer.Remote.Addr(), limits); err != nil {
		return err
	}
	s.accepted.Add(1)
	c := newConn(s, tcp, peer)
	s.conns[c] = struct{}{}
	s.wg.Go(c.serve)
	return nil
}

// remove forgets a connection that has ended.
func (s *Server) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.admission.leave(c.peer.Remote.Addr())
}

// peerOf returns the ends of tcp.
func peerOf(tcp *net.TCPConn) Peer {
	f := func(a net.Addr) netip.AddrPort {
		t, ok := a.(*net.TCPAddr)
		if !ok {
			return netip.AddrPort{} // closed already
		}
		p := t.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
	}
	return Peer{Remote: f(tcp.RemoteAddr()), Local: f(tcp.LocalAddr())}
}
