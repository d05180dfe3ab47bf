package server

import (
	"errors"
	"net"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/metrics"
	"github.com/rollway/rollway/internal/netloop"
	"github.com/rollway/rollway/internal/node"
)

// frontend is what the sessions of one listener share.
type frontend struct {
	node     *node.Node
	engine   *engine.Engine
	requests *metrics.Frontend
	options  Options // complete
	maxFrame int     // payload bytes

	node.Serving
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
func Serve(ln *net.TCPListener, n *node.Node, o Options) (*node.Listener, error) {
	f, err := newFrontend(n, o)
	if err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	newSession := func(peer netloop.Peer) netloop.Session { return newSession(f, peer) }
	loop, err := netloop.Serve(ln, newSession, f.options.netloop(n))
	if err != nil {
		return nil, err
	}
	return node.NewListener(&f.Serving, loop), nil
}
