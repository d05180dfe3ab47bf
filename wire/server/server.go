package server

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/metrics"
	"github.com/rollway/rollway/internal/netloop"
	"github.com/rollway/rollway/internal/node"
)

// Server serves the native protocol on one listener.
type Server struct {
	frontend *frontend
	loop     *netloop.Server
}

// frontend is what the sessions of one Server share.
type frontend struct {
	node     *node.Node
	engine   *engine.Engine
	requests *metrics.Frontend
	options  Options // complete
	maxFrame int     // payload bytes

	closing node.Closing
	tasks   sync.WaitGroup // goroutines of tasks
}

func newFrontend(n *node.Node, o Options) (*frontend, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	return &frontend{node: n, engine: n.Engine(), requests: n.Metrics().Frontend(requestsSpec()), options: o, maxFrame: maxFrame(n)}, nil
}

// Serve begins to accept connections of ln, which it closes from now on, also
// on an error. It returns at once; end it with Shutdown or Close, before the
// node is closed.
func Serve(ln *net.TCPListener, n *node.Node, o Options) (*Server, error) {
	f, err := newFrontend(n, o)
	if err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	newSession := func(peer netloop.Peer) netloop.Session { return newSession(f, peer) }
	loop, err := netloop.Serve(ln, newSession, f.options.netloop(n))
	if err != nil {
		return nil, err
	}
	return &Server{frontend: f, loop: loop}, nil
}

// Addr is the address that is listened on.
func (s *Server) Addr() net.Addr { return s.loop.Addr() }

// Stats counts connections and bytes since Serve.
func (s *Server) Stats() netloop.Stats { return s.loop.Stats() }

// Shutdown accepts and receives nothing more, answers what has begun, tells
// waiting readers that the server stops, and closes each connection when its
// last answer has left, all of them when ctx ends. Its error is then
// netloop.ErrServerClosed, with ctx's. Nothing of the Server runs any more when
// it returns.
func (s *Server) Shutdown(ctx context.Context) error {
	s.frontend.closing.Begin()
	err := s.loop.Shutdown(ctx)
	s.frontend.tasks.Wait()
	return err
}

// Close ends all connections at once. Nothing of the Server runs any more when
// it returns. It may be called again, also after Shutdown.
func (s *Server) Close() error {
	s.frontend.closing.Begin()
	err := s.loop.Close()
	s.frontend.tasks.Wait()
	return err
}
