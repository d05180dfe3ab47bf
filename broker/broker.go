package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/netloop"
	"github.com/rollway/rollway/internal/node"
	"github.com/rollway/rollway/wire/server"
	"github.com/rollway/rollway/zerocopy"
)

// Broker is one running server. All methods may be called concurrently.
type Broker struct {
	node *node.Node
	wire *server.Server // nil when it is off

	closeNode func() error // closes the node once and always returns what that returned
}

// Open starts a broker. It returns when connections are accepted, which is
// before the partitions are recovered: see Ready. End it with Shutdown or
// Close.
//
// Errors: an address that is taken, or not on loopback without AllowAnonymous;
// those of engine.Open; options out of range. Nothing runs then.
func Open(o Options) (*Broker, error) {
	ln, err := o.listen()
	if err != nil {
		return nil, err
	}
	n, err := node.Open(o.node())
	if err != nil {
		if ln != nil {
			ln.Close()
		}
		return nil, err
	}
	b := &Broker{node: n, closeNode: sync.OnceValue(n.Close)}
	if ln == nil {
		return b, nil
	}
	if b.wire, err = server.Serve(ln, n, o.wire()); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return b, nil
}

// listen listens where the native protocol is to be served; nil if nowhere.
func (o Options) listen() (*net.TCPListener, error) {
	address := o.Wire
	switch address {
	case Off:
		return nil, nil
	case "":
		address = DefaultWire
	}
	resolved, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("wire listener %s: %w", address, err)
	}
	if !resolved.IP.IsLoopback() && !o.AllowAnonymous {
		return nil, fmt.Errorf("wire listener %s is not on loopback, and there is no authentication: whoever reaches it may read, write and delete; "+
			"listen on 127.0.0.1, or allow anonymous access (AllowAnonymous, --allow-anonymous)", address)
	}
	// What was checked is what is listened on: the name is not resolved again.
	ln, err := netloop.Listen(context.Background(), resolved.String())
	if err != nil {
		return nil, fmt.Errorf("wire listener %s: %w", address, err)
	}
	return ln, nil
}

// WireAddr is the address of the native protocol with the port that was
// picked; nil when it is off.
func (b *Broker) WireAddr() net.Addr {
	if b.wire == nil {
		return nil
	}
	return b.wire.Addr()
}

// Engine is the broker's engine, for who embeds it: what is appended there is
// seen by clients, and the reverse. Do not close it: Shutdown and Close do.
func (b *Broker) Engine() *engine.Engine { return b.node.Engine() }

// Version is what the broker tells its clients.
func (b *Broker) Version() string { return b.node.Version() }

// Sent tells how many bytes and system calls went which way.
func (b *Broker) Sent() zerocopy.Snapshot { return b.node.Counters().Snapshot() }

// Ready returns nil when no partition is recovering any more, or ctx's error.
func (b *Broker) Ready(ctx context.Context) error { return b.node.Engine().WaitReady(ctx) }

// Shutdown accepts and receives nothing more, lets the answers to what was
// received leave, all of them or until ctx ends, and then closes the engine:
// with the marker of a clean shutdown, whatever became of the connections. It
// blocks for the disk after ctx has ended, too.
func (b *Broker) Shutdown(ctx context.Context) error {
	var err error
	if b.wire != nil {
		err = b.wire.Shutdown(ctx)
	}
	return errors.Join(err, b.closeNode())
}

// Close ends all connections at once and closes the engine: with the marker of
// a clean shutdown, since that is about the data. It blocks for the disk. Later
// calls, also after Shutdown, return what the engine's closing returned.
func (b *Broker) Close() error {
	var err error
	if b.wire != nil {
		err = b.wire.Close()
	}
	return errors.Join(err, b.closeNode())
}
