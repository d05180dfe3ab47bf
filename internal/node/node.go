package node

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/coord"
	"github.com/rollway/rollway/internal/metrics"
	"github.com/rollway/rollway/internal/netloop"
	"github.com/rollway/rollway/zerocopy"
)

// Node is one running node. All methods may be called concurrently.
type Node struct {
	engine   *engine.Engine
	budget   *netloop.Budget
	counters zerocopy.Counters
	metrics  metrics.Registry
	limits   Limits
	maxFiles int               // the most open files of the engine
	static   map[string]string // settings of the start; never changed
	settings atomic.Pointer[Settings]
	version  string
	log      *slog.Logger
	shared   sync.Map // by key: what Shared has made
	groups   *groups

	closeGroups sync.Once
}

// Open opens the data directory. Its partitions may still be recovering when
// it returns; see engine.Open, also for its errors.
func Open(o Options) (*Node, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	budget, err := netloop.NewBudget(o.ReceiveBytes)
	if err != nil {
		return nil, err
	}
	e, err := engine.Open(o.DataDir, o.Engine)
	if err != nil {
		return nil, err
	}
	n := &Node{
		engine: e,
		budget: budget,
		limits: Limits{
			MaxFrameBytes: o.MaxFrameBytes,
			InFlightBytes: o.InFlightBytes,
		},
		maxFiles: o.Engine.MaxOpenFiles,
		static:   o.staticSettings(e.Path()),
		version:  o.Version,
		log:      o.Log,
	}
	configs := e.NodeConfigs()
	layers := n.layers(configs)
	n.settings.Store(newSettings(configs, layers))
	n.warnOfRoom()
	if n.groups, err = openGroups(e, layers, o.Log); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return n, nil
}

// Engine is the node's engine. Do not close it: Close does.
func (n *Node) Engine() *engine.Engine { return n.engine }

// Groups keeps the consumer groups of the node. It may be called at once: what
// is not loaded yet it answers by a code that clients try again.
func (n *Node) Groups() *coord.Coordinator { return n.groups.coordinator }

// DeleteTopic removes a topic, as engine.Engine.DeleteTopicByID, and has what groups
// have committed for it removed, which is not waited for.
func (n *Node) DeleteTopic(t *engine.Topic) error {
	if err := n.engine.DeleteTopicByID(t.ID()); err != nil {
		return err
	}
	n.groups.coordinator.TopicDeleted(t.Name())
	return nil
}

// Budget bounds what all connections of all frontends receive into.
func (n *Node) Budget() *netloop.Budget { return n.budget }

// Counters say what all frontends have sent which way.
func (n *Node) Counters() *zerocopy.Counters { return &n.counters }

// Metrics holds what the frontends count of their requests.
func (n *Node) Metrics() *metrics.Registry { return &n.metrics }

// Limits are what frontends hold each connection to.
func (n *Node) Limits() Limits { return n.limits }

// ConnectionLimits are how many connections a listener may have open now, for
// netloop.Options. It takes no lock, and allocates nothing unless a setting was
// altered.
func (n *Node) ConnectionLimits() netloop.ConnectionLimits { return n.Settings().connections }

// warnOfRoom tells the operator if the bound of connections is no bound, since
// there are fewer descriptors.
func (n *Node) warnOfRoom() {
	allowed := n.ConnectionLimits().Open
	if room := roomForConnections(n.maxFiles); allowed > room {
		n.log.Warn("the limit of open files leaves room for fewer connections than are allowed",
			"room", room, "max_connections", allowed, "max_open_files", n.maxFiles)
	}
}

// Version is what the node tells its clients.
func (n *Node) Version() string { return n.version }

// Log receives what an operator should know.
func (n *Node) Log() *slog.Logger { return n.log }

// Shared returns what the frontends of one protocol share, whichever listener
// they have: what make has returned when it was first asked for under this key. A
// key has a type of its own, as in a context.
func (n *Node) Shared(key any, make func() any) any {
	if v, ok := n.shared.Load(key); ok {
		return v
	}
	v, _ := n.shared.LoadOrStore(key, make())
	return v
}

// Close answers who waits in a group, writes what groups have committed, and
// closes the engine: it makes durable what was appended and leaves the marker of
// a clean shutdown. Stop the frontends first. It blocks for the disk; a second
// call returns engine.ErrClosed.
func (n *Node) Close() error {
	n.closeGroups.Do(n.groups.close)
	return n.engine.Close()
}
