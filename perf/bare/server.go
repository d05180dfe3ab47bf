package bare

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"

	"github.com/rollway/rollway/wire"
	"github.com/rollway/rollway/zerocopy"
)

// Handler answers the frames of one connection until the peer leaves or
// something fails.
type Handler interface {
	serve(conn *net.TCPConn) error
}

// Server accepts connections on a free port of 127.0.0.1.
type Server struct {
	ln      *net.TCPListener
	handler Handler
	wg      sync.WaitGroup

	mu     sync.Mutex
	conns  map[*net.TCPConn]struct{} // nil when closed
	failed error                     // the first error of a connection
}

// Listen starts a Server. Connections get the congestion control algorithm of
// that name, or keep the system's if it is empty.
func Listen(handler Handler, congestion string) (*Server, error) {
	var config net.ListenConfig
	config.SetMultipathTCP(false) // rollway's listeners speak TCP only
	ln, err := config.Listen(context.Background(), "tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Server{ln: ln.(*net.TCPListener), handler: handler, conns: map[*net.TCPConn]struct{}{}}
	if congestion != "" {
		err = zerocopy.SetCongestion(s.ln, congestion)
	}
	if err != nil {
		ln.Close()
		return nil, err
	}
	s.wg.Go(s.accept)
	return s, nil
}

// Addr returns the address that is listened on.
func (s *Server) Addr() netip.AddrPort { return s.ln.Addr().(*net.TCPAddr).AddrPort() }

// Close ends all connections, waits for them and returns the first error that
// one had, unless that is that its peer has left.
func (s *Server) Close() error {
	s.mu.Lock()
	conns := s.conns
	s.conns = nil
	s.mu.Unlock()
	s.ln.Close()
	for conn := range conns {
		conn.Close()
	}
	s.wg.Wait()
	return s.failed
}

func (s *Server) accept() {
	for {
		conn, err := s.ln.AcceptTCP()
		if err != nil {
			s.end(nil, err)
			return
		}
		s.mu.Lock()
		open := s.conns != nil
		if open {
			s.conns[conn] = struct{}{}
			s.wg.Go(func() { s.end(conn, s.handler.serve(conn)) })
		}
		s.mu.Unlock()
		if !open {
			conn.Close()
		}
	}
}

// end closes conn and keeps err if it is the first one to tell.
func (s *Server) end(conn *net.TCPConn, err error) {
	if conn != nil {
		conn.Close()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
	if s.failed == nil && !left(err) && !errors.Is(err, net.ErrClosed) {
		s.failed = err
	}
}

// frames cuts what a connection receives into frames.
type frames struct {
	conn       *net.TCPConn
	buffer     []byte
	start, end int // of what was received and not yet cut
}

// receive waits for more bytes. Frames cut before it are overwritten.
func (f *frames) receive() error {
	if f.start > 0 {
		f.end = copy(f.buffer, f.buffer[f.start:f.end])
		f.start = 0
	}
	if f.end == len(f.buffer) {
		return errFrameTooLarge(len(f.buffer))
	}
	n, err := f.conn.Read(f.buffer[f.end:])
	f.end += n
	return err
}

// next cuts off the next frame; wire.ErrIncomplete when there is none.
func (f *frames) next() (wire.Frame, error) {
	frame, rest, err := wire.Split(f.buffer[f.start:f.end], 0)
	f.start = f.end - len(rest)
	return frame, err
}

// welcome appends the answer to a Hello.
func welcome(dst []byte, hello wire.Frame) []byte {
	w := wire.Welcome{
		Version: wire.Version, Software: "bare", SoftwareVersion: "0", MaxFrame: wire.DefaultMaxFrame,
		MaxInFlight: wire.DefaultMaxInFlight, MaxCredit: wire.DefaultMaxCredit,
	}
	return w.AppendTo(dst, hello.RequestID)
}
