package node

import (
	"maps"
	"slices"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/brokerconfig"
	"github.com/rollway/rollway/internal/netloop"
)

// Settings are the broker settings that frontends act on, as they hold. They are
// never changed; ask the Node again.
type Settings struct {
	of *engine.NodeConfigs // what was altered

	autoCreateTopics           bool
	acceptAnyReplicationFactor bool
	deleteTopicEnabled         bool
	defaultPartitions          int32
	defaultReplicationFactor   int16
	fetchMaxBytes              int32
	fetchSessionSlots          int
	connections                netloop.ConnectionLimits
}

// newSettings takes from layers what Settings hold.
func newSettings(of *engine.NodeConfigs, layers brokerconfig.Layers) *Settings {
	return &Settings{
		of:                         of,
		autoCreateTopics:           layers.Bool("auto.create.topics.enable"),
		acceptAnyReplicationFactor: layers.Bool("rollway.accept.any.replication.factor"),
		deleteTopicEnabled:         layers.Bool("delete.topic.enable"),
		defaultPartitions:          int32(layers.Int("num.partitions")),
		defaultReplicationFactor:   int16(layers.Int("default.replication.factor")),
		fetchMaxBytes:              int32(layers.Int("fetch.max.bytes")),
		fetchSessionSlots:          int(layers.Int("max.incremental.fetch.session.cache.slots")),
		connections: netloop.ConnectionLimits{
			Open:  connectionsAllowed(layers.Int("max.connections")),
			PerIP: connectionsAllowed(layers.Int("max.connections.per.ip")),
		},
	}
}

// AutoCreateTopics is auto.create.topics.enable.
func (s *Settings) AutoCreateTopics() bool { return s.autoCreateTopics }

// AcceptAnyReplicationFactor is rollway.accept.any.replication.factor.
func (s *Settings) AcceptAnyReplicationFactor() bool { return s.acceptAnyReplicationFactor }

// DeleteTopicEnabled is delete.topic.enable.
func (s *Settings) DeleteTopicEnabled() bool { return s.deleteTopicEnabled }

// DefaultPartitions is num.partitions.
func (s *Settings) DefaultPartitions() int32 { return s.defaultPartitions }

// DefaultReplicationFactor is default.replication.factor.
func (s *Settings) DefaultReplicationFactor() int16 { return s.defaultReplicationFactor }

// FetchMaxBytes is fetch.max.bytes.
func (s *Settings) FetchMaxBytes() int32 { return s.fetchMaxBytes }

// FetchSessionSlots is max.incremental.fetch.session.cache.slots.
func (s *Settings) FetchSessionSlots() int { return s.fetchSessionSlots }

// Settings returns what holds now. It takes no lock and, unless a setting was
// altered since the last call, allocates nothing.
func (n *Node) Settings() *Settings {
	now := n.engine.NodeConfigs()
	s := n.settings.Load()
	if s.of != now {
		// Who is late here stores what was altered again meanwhile; the next
		// call finds that out.
		s = newSettings(now, n.layers(now))
		n.settings.Store(s)
	}
	return s
}

// DescribeSettings lists every setting: what holds, why, and what it means.
func (n *Node) DescribeSettings() []brokerconfig.Entry {
	return n.layers(n.engine.NodeConfigs()).Describe()
}

// AlterSettings sets and resets settings of all nodes, or, with perNode, of this
// one, all at once or not at all; they are durable and in force when it returns.
//
// Errors: those of brokerconfig for a setting that is not known, is read-only or
// does not take the value; those of engine.AlterNodeConfigs.
func (n *Node) AlterSettings(perNode bool, set map[string]string, reset []string) error {
	return n.alterSettings(perNode, set, reset, false)
}

// ValidateSettings returns what AlterSettings would, and alters nothing.
func (n *Node) ValidateSettings(perNode bool, set map[string]string, reset []string) error {
	return n.alterSettings(perNode, set, reset, true)
}

func (n *Node) alterSettings(perNode bool, set map[string]string, reset []string, validateOnly bool) error {
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if err := brokerconfig.ValidateUpdate(name, set[name]); err != nil {
			return err
		}
	}
	now := n.engine.NodeConfigs()
	altered := now.All
	if perNode {
		altered = now.Own
	}
	for _, name := range reset {
		// What another version has set may go, whatever it is.
		if _, ok := altered[name]; ok {
			continue
		}
		if err := brokerconfig.CheckUpdate(name); err != nil {
			return err
		}
	}
	before := n.ConnectionLimits()
	err := n.engine.AlterNodeConfigs(engine.NodeConfigChange{AllNodes: !perNode, Set: set, Reset: reset, ValidateOnly: validateOnly})
	if n.ConnectionLimits() != before {
		n.warnOfRoom()
	}
	return err
}

// layers returns all settings with those that were altered as in configs.
func (n *Node) layers(configs *engine.NodeConfigs) brokerconfig.Layers {
	return brokerconfig.Layers{Own: alterable(configs.Own), All: alterable(configs.All), Static: n.static}
}

// alterable returns those of settings that AlterSettings would set: another
// version, or who has the engine, may have set others.
func alterable(settings map[string]string) map[string]string {
	kept := map[string]string{}
	for name, value := range settings {
		if brokerconfig.ValidateUpdate(name, value) == nil {
			kept[name] = value
		}
	}
	return kept
}
