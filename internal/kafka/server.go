package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/metrics"
	"github.com/rollway/rollway/internal/netloop"
	"github.com/rollway/rollway/internal/node"
	"github.com/rollway/rollway/wire"
)

// Server serves the Kafka protocol on one listener.
type Server struct {
	frontend *frontend
	loop     *netloop.Server
}

// frontend is what the sessions of one Server share.
type frontend struct {
	node     *node.Node
	engine   *engine.Engine
	requests *metrics.Frontend
	maxFrame int // bytes behind the length
	// maxBatch is the size of the largest batch that is taken: readers of the
	// native protocol, whose frames have the same bound, must get it too.
	maxBatch int

	// advertised is where clients are told to find this node; without a host,
	// where they have found it.
	advertised Address

	longestWait time.Duration // of a Fetch; 0 is without bound

	fetchSessions *fetchSessions // of the node

	closing node.Closing
	tasks   sync.WaitGroup // goroutines of tasks
}

// Serve begins to accept connections of ln, which it closes from now on, also
// on an error. It returns at once; end it with Shutdown or Close, before the
// node is closed.
func Serve(ln *net.TCPListener, n *node.Node, o Options) (*Server, error) {
	f := newFrontend(n, ln.Addr(), o)
	newSession := func(peer netloop.Peer) netloop.Session { return newSession(f, peer) }
	loop, err := netloop.Serve(ln, newSession, o.netloop(n))
	if err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return &Server{frontend: f, loop: loop}, nil
}

// fetchSessionsKey is the key of a node's fetch sessions.
type fetchSessionsKey struct{}

// newFrontend returns what sessions of a listener at local share.
func newFrontend(n *node.Node, local net.Addr, o Options) *frontend {
	f := &frontend{node: n, engine: n.Engine(), maxFrame: n.Limits().MaxFrameBytes, advertised: o.Advertised, longestWait: o.idle()}
	f.requests = n.Metrics().Frontend(requestsSpec())
	f.fetchSessions = n.Shared(fetchSessionsKey{}, func() any { return newFetchSessions() }).(*fetchSessions)
	f.maxBatch = min(f.maxFrame, wire.MaxFrameCap) - wire.FrameOverhead
	if tcp, ok := local.(*net.TCPAddr); ok {
		if f.advertised.Port == 0 {
			f.advertised.Port = int32(tcp.Port)
		}
		if f.advertised.Host == "" && !tcp.IP.IsUnspecified() {
			f.advertised.Host = tcp.IP.String()
		}
	}
	return f
}

// addressFor is where a client that came to local is told to find this node.
func (f *frontend) addressFor(local netip.AddrPort) Address {
	a := f.advertised
	if a.Host == "" {
		a.Host = local.Addr().WithZone("").String()
	}
	return a
}

// partition returns a partition by the name of its topic or, if ids, by its id.
func (f *frontend) partition(name []byte, id engine.TopicID, ids bool, index int32) (*engine.Partition, error) {
	if !ids {
		return f.engine.Partition(name, index)
	}
	t, err := f.engine.TopicByID(id)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnknownTopicID, err)
	}
	return t.Partition(index)
}

// Addr is the address that is listened on.
func (s *Server) Addr() net.Addr { return s.loop.Addr() }

// Stats counts connections and bytes since Serve.
func (s *Server) Stats() netloop.Stats { return s.loop.Stats() }

// Shutdown accepts and receives nothing more, answers what has begun, waiting
// fetches with what there is, and closes each connection when its last answer
// has left, all of them when ctx ends. Its error is then
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
