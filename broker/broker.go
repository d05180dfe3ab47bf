package broker

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/admin"
	"github.com/rollway/rollway/internal/kafka"
	"github.com/rollway/rollway/internal/node"
	"github.com/rollway/rollway/wire/server"
	"github.com/rollway/rollway/zerocopy"
)

// Broker is one running server. All methods may be called concurrently.
type Broker struct {
	node *node.Node
	wire *node.Listener // nil when it is off
	// kafka has one for each address.
	kafka []*node.Listener
	http  *admin.Server // nil when it is off

	closeNode func() error // closes the node once and always returns what that returned
}

// Open starts a broker. It returns when connections are accepted, which is
// before the partitions are recovered: see Ready. End it with Shutdown or
// Close.
//
// Errors: an address that is taken, or not on loopback without AllowAnonymous;
// those of engine.Open; options out of range. Nothing runs then.
func Open(o Options) (*Broker, error) {
	o, err := o.withSettings()
	if err != nil {
		return nil, err
	}
	l, err := o.listen()
	if err != nil {
		return nil, err
	}
	n, err := node.Open(o.node(l))
	if err != nil {
		l.close()
		return nil, err
	}
	b := &Broker{node: n, closeNode: sync.OnceValue(n.Close)}
	if err := b.serve(l, o); err != nil {
		l.close()
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// serve starts the frontends, each of which closes its socket.
func (b *Broker) serve(l listeners, o Options) (err error) {
	if l.wire != nil {
		if b.wire, err = server.Serve(l.wire, b.node, o.wireServer()); err != nil {
			return err
		}
	}
	for _, k := range l.kafka {
		s, err := kafka.Serve(k.socket, b.node, o.kafkaServer(k))
		if err != nil {
			return err
		}
		b.kafka = append(b.kafka, s)
	}
	if l.http == nil {
		return nil
	}
	b.http, err = admin.Serve(l.http, b.node, admin.Options{Listeners: b.listeners(l), Topics: o.MetricsTopics, GroupPartitions: o.MetricsGroupPartitions})
	return err
}

// listeners names those whose connections are counted. Several of the Kafka
// protocol are told apart by their own names.
func (b *Broker) listeners(l listeners) []admin.Listener {
	var list []admin.Listener
	if b.wire != nil {
		list = append(list, admin.Listener{Name: "wire", Stats: b.wire.Stats})
	}
	for i, k := range b.kafka {
		name := "kafka"
		if len(b.kafka) > 1 {
			name += "-" + strings.ToLower(l.kafka[i].name)
		}
		list = append(list, admin.Listener{Name: name, Stats: k.Stats})
	}
	return list
}

// WireAddr is the address of the native protocol with the port that was
// picked; nil when it is off.
func (b *Broker) WireAddr() net.Addr {
	if b.wire == nil {
		return nil
	}
	return b.wire.Addr()
}

// KafkaAddrs are the addresses of the Kafka protocol with the ports that were
// picked, in the order of Options.Kafka; none when it is off.
func (b *Broker) KafkaAddrs() []net.Addr {
	var addrs []net.Addr
	for _, k := range b.kafka {
		addrs = append(addrs, k.Addr())
	}
	return addrs
}

// HTTPAddr is the address of metrics and health with the port that was picked;
// nil when it is off.
func (b *Broker) HTTPAddr() net.Addr {
	if b.http == nil {
		return nil
	}
	return b.http.Addr()
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
// blocks for the disk after ctx has ended, too. Meanwhile /readyz says that it
// stops.
func (b *Broker) Shutdown(ctx context.Context) error {
	err := b.stop(func(f frontend) error { return f.Shutdown(ctx) })
	return errors.Join(err, b.closeNode())
}

// Close ends all connections at once and closes the engine: with the marker of
// a clean shutdown, since that is about the data. It blocks for the disk. Later
// calls, also after Shutdown, return what the engine's closing returned.
func (b *Broker) Close() error {
	err := b.stop(func(f frontend) error { return f.Close() })
	return errors.Join(err, b.closeNode())
}

// frontend is what serves one listener.
type frontend interface {
	Shutdown(context.Context) error
	Close() error
}

// stop ends all frontends, those of the log side by side, and returns when none
// runs any more. HTTP is the last, so that one can see what the others wait for.
func (b *Broker) stop(end func(frontend) error) error {
	if b.http != nil {
		b.http.Drain()
	}
	var all []frontend
	if b.wire != nil {
		all = append(all, b.wire)
	}
	for _, k := range b.kafka {
		all = append(all, k)
	}
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, f := range all {
		wg.Go(func() { errs[i] = end(f) })
	}
	wg.Wait()
	if b.http != nil {
		errs = append(errs, end(b.http))
	}
	return errors.Join(errs...)
}
