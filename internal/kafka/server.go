package kafka

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/metrics"
	"github.com/rollway/rollway/internal/netloop"
	"github.com/rollway/rollway/internal/node"
	"github.com/rollway/rollway/wire"
)

// frontend is what the sessions of one listener share.
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

	node.Serving
}

// Serve begins to accept connections of ln, which it closes from now on, also
// on an error. It returns at once; end it with Shutdown or Close, before the
// node is closed.
func Serve(ln *net.TCPListener, n *node.Node, o Options) (*node.Listener, error) {
	f := newFrontend(n, ln.Addr(), o)
	newSession := func(peer netloop.Peer) netloop.Session { return newSession(f, peer) }
	loop, err := netloop.Serve(ln, newSession, o.netloop(n))
	if err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return node.NewListener(&f.Serving, loop), nil
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
