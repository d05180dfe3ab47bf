package engine

import (
	"fmt"
	"maps"
	"slices"

	"github.com/rollway/rollway/engine/topicconfig"
)

// NodeConfigChange describes how broker settings are altered, all at once or not
// at all.
type NodeConfigChange struct {
	// AllNodes alters the settings of all nodes; those of this one win over
	// them, and both over what the node was started with.
	AllNodes bool
	Set      map[string]string // by Kafka's names
	Reset    []string          // no longer altered
}

// NodeConfigs returns the broker settings that AlterNodeConfigs has set: those of
// this node, and those of all. Do not change them.
func (e *Engine) NodeConfigs() (own, all map[string]string) {
	nodes := e.metadata.Image().NodeConfigs
	return nodes[e.options.NodeID], nodes[AllNodes]
}

// AlterNodeConfigs alters broker settings; it is durable when it returns. The
// settings that topic configs have their defaults from are in force then, for
// every topic that does not set the config itself. All others are kept for the
// caller, who validates them.
//
// Errors: topicconfig's, for a value that a setting behind a topic config does
// not take, or that a topic cannot have beside what it sets itself;
// ErrInvalidMetadata for more settings, or longer ones, than there may be;
// ErrNoSpace (nothing was changed); ErrStorageFailed; ErrClosed.
func (e *Engine) AlterNodeConfigs(change NodeConfigChange) error {
	e.admin.Lock()
	defer e.admin.Unlock()
	if err := e.writable(); err != nil {
		return err
	}
	image := e.metadata.Image()
	records := change.records(e.options.NodeID)
	next, err := image.with(records)
	if err == nil {
		err = e.checkDefaults(e.defaultsWith(next.NodeConfigs))
	}
	if err == nil {
		err = e.commitMetadata(records...)
	}
	if err != nil {
		return fmt.Errorf("alter broker settings: %w", err)
	}
	return nil
}

// records returns the change as records, in the order of names.
func (c NodeConfigChange) records(node int32) []MetadataRecord {
	if c.AllNodes {
		node = AllNodes
	}
	var records []MetadataRecord
	for _, key := range c.Reset {
		records = append(records, NodeConfigRecord{Node: node, Key: key, Remove: true})
	}
	for _, key := range slices.Sorted(maps.Keys(c.Set)) {
		records = append(records, NodeConfigRecord{Node: node, Key: key, Value: c.Set[key]})
	}
	return records
}

// defaultsWith returns the defaults of topics with these settings: the ones in
// force if nothing of them changes.
func (e *Engine) defaultsWith(nodes map[int32]map[string]string) *topicconfig.Defaults {
	now := e.defaults.Load()
	own, all := topicSettings(nodes[e.options.NodeID]), topicSettings(nodes[AllNodes])
	if maps.Equal(own, now.Node) && maps.Equal(all, now.AllNodes) {
		return now
	}
	return &topicconfig.Defaults{Node: own, AllNodes: all, Static: now.Static}
}

// topicSettings returns those settings that topic configs have their defaults
// from.
func topicSettings(settings map[string]string) map[string]string {
	of := map[string]string{}
	for name, value := range settings {
		if _, _, ok := topicconfig.LookupSetting(name); ok {
			of[name] = value
		}
	}
	return of
}

// checkDefaults finds out whether a topic could be made, and each that there is
// could be opened, with these defaults.
func (e *Engine) checkDefaults(defaults *topicconfig.Defaults) error {
	if defaults == e.defaults.Load() {
		return nil
	}
	if _, err := topicconfig.Parse(nil, *defaults); err != nil {
		return err
	}
	topics := e.Topics()
	for _, name := range slices.Sorted(maps.Keys(topics)) {
		if _, err := topicconfig.ParseStored(topics[name].image.Configs, *defaults); err != nil {
			return fmt.Errorf("topic %s: %w", name, err)
		}
	}
	return nil
}
