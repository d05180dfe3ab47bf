package engine

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

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
	// ValidateOnly alters nothing: the errors are all that is wanted.
	ValidateOnly bool
}

// NodeConfigs are the broker settings that AlterNodeConfigs has set, by Kafka's
// names. It is never changed; do not change it.
type NodeConfigs struct {
	Own map[string]string // of this node; they win
	All map[string]string // of all nodes
}

// NodeConfigs returns the settings as they are: another pointer than before only
// if one was altered. It takes no lock.
func (e *Engine) NodeConfigs() *NodeConfigs { return e.nodeConfigs.Load() }

// find returns the value of the setting of that name, if it was altered.
func (c *NodeConfigs) find(name string) (string, bool) {
	if value, ok := c.Own[name]; ok {
		return value, true
	}
	value, ok := c.All[name]
	return value, ok
}

// AlterNodeConfigs alters broker settings; it is durable when it returns. The
// settings that topic configs have their defaults from are in force then, for
// every topic that does not set the config itself, and producer.id.expiration.ms
// is; num.recovery.threads.per.data.dir is in force from the next Open on. All
// others are kept for the caller, who validates them.
//
// Errors: topicconfig's, for a value that one of these settings does not take,
// or that a topic cannot have beside what it sets itself;
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
		err = e.checkNodeConfigs(e.nodeConfigsOf(next))
	}
	if err == nil && !change.ValidateOnly {
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

// nodeConfigsOf returns the settings that image has: those in force if none has
// changed.
func (e *Engine) nodeConfigsOf(image *MetadataImage) *NodeConfigs {
	now := e.nodeConfigs.Load()
	next := &NodeConfigs{Own: image.NodeConfigs[e.options.NodeID], All: image.NodeConfigs[AllNodes]}
	if maps.Equal(next.Own, now.Own) && maps.Equal(next.All, now.All) {
		return now
	}
	return next
}

// checkNodeConfigs finds out whether these settings are valid, a topic could be
// made with them, and each that there is could be opened.
func (e *Engine) checkNodeConfigs(configs *NodeConfigs) error {
	if _, err := configs.producerIDExpirationMs(); err != nil {
		return err
	}
	if _, err := configs.recoveryThreads(); err != nil {
		return err
	}
	defaults := e.defaultsWith(configs)
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

// applyNodeConfigs puts the settings that image has in force, but for the
// configs of topics. Under metaMu.
func (e *Engine) applyNodeConfigs(image *MetadataImage) error {
	configs := e.nodeConfigsOf(image)
	expiration, err := configs.producerIDExpirationMs()
	if err != nil {
		return err
	}
	if expiration == 0 {
		expiration = e.options.ProducerIDExpiration.Milliseconds()
	}
	e.producerExpirationMs.Store(expiration)
	e.defaults.Store(e.defaultsWith(configs))
	e.nodeConfigs.Store(configs)
	return nil
}

// defaultsWith returns the defaults of topics with these settings: the ones in
// force if nothing of them changes.
func (e *Engine) defaultsWith(configs *NodeConfigs) *topicconfig.Defaults {
	now := e.defaults.Load()
	own, all := topicSettings(configs.Own), topicSettings(configs.All)
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

// recoveryParallelism is how many partitions are recovered at a time by a start
// with these settings.
func (e *Engine) recoveryParallelism() int {
	n, err := e.nodeConfigs.Load().recoveryThreads()
	if err != nil || n == 0 {
		return e.options.RecoveryParallelism // also where another version took what this one does not
	}
	return int(n)
}

// producerIDExpirationMs returns producer.id.expiration.ms, 0 if it was not
// altered.
func (c *NodeConfigs) producerIDExpirationMs() (int64, error) {
	return c.atLeastOne("producer.id.expiration.ms")
}

// recoveryThreads returns num.recovery.threads.per.data.dir, 0 if it was not
// altered.
func (c *NodeConfigs) recoveryThreads() (int64, error) {
	return c.atLeastOne("num.recovery.threads.per.data.dir")
}

// atLeastOne returns a setting that is a 32-bit integer as in Kafka, and at least
// 1; 0 if it was not altered.
func (c *NodeConfigs) atLeastOne(name string) (int64, error) {
	value, ok := c.find(name)
	if !ok {
		return 0, nil
	}
	n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 32)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%w %s: found %s, want a 32-bit integer, at least 1", topicconfig.ErrInvalidSetting, name, quoted(value))
	}
	return n, nil
}
