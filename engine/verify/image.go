package verify

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/rollway/rollway/engine/dump"
)

// topic is one topic of the metadata log.
type topic struct {
	id         string
	name       string
	partitions int32
	configs    map[string]string
	image      *image // that it is in
}

// image is what the metadata log says: the topics, the ids of those that were
// deleted and whose directories may still be there, and the broker settings that
// were altered, by whose they are as in dump.Change and by name.
type image struct {
	byID    map[string]*topic
	byName  map[string]*topic
	deleted map[string]bool
	nodes   map[string]map[string]string
}

func newImage() *image {
	return &image{byID: map[string]*topic{}, byName: map[string]*topic{}, deleted: map[string]bool{}, nodes: map[string]map[string]string{}}
}

// apply follows one change. One that does not fit is for the problem that the
// commit has; what can be understood of it is.
func (m *image) apply(c dump.Change) {
	t := m.byID[c.TopicID]
	switch c.Kind {
	case dump.ChangeTopic:
		t = &topic{id: c.TopicID, name: c.Name, partitions: c.Partitions, configs: map[string]string{}, image: m}
		for _, config := range c.Configs {
			t.configs[config.Key] = config.Value
		}
		m.byID[c.TopicID], m.byName[c.Name] = t, t
		return
	case dump.ChangePurgeTopic:
		delete(m.deleted, c.TopicID)
		return
	case dump.ChangeSetNodeConfig:
		if m.nodes[c.Node] == nil {
			m.nodes[c.Node] = map[string]string{}
		}
		for _, config := range c.Configs {
			m.nodes[c.Node][config.Key] = config.Value
		}
		return
	case dump.ChangeRemoveNodeConfig:
		for _, config := range c.Configs {
			delete(m.nodes[c.Node], config.Key)
		}
		return
	}
	if t == nil {
		return
	}
	switch c.Kind {
	case dump.ChangePartitions:
		t.partitions = c.Partitions
	case dump.ChangeSetConfig:
		for _, config := range c.Configs {
			t.configs[config.Key] = config.Value
		}
	case dump.ChangeRemoveConfig:
		for _, config := range c.Configs {
			delete(t.configs, config.Key)
		}
	case dump.ChangeRemoveTopic:
		delete(m.byID, t.id)
		delete(m.byName, t.name)
		m.deleted[t.id] = true
	}
}

// setting returns the broker setting of that name, if it was altered: the node's
// own, for a log has settings of no other node, else that of all.
func (m *image) setting(name string) (string, bool) {
	for node, settings := range m.nodes {
		if value, ok := settings[name]; ok && node != dump.AllNodes {
			return value, true
		}
	}
	value, ok := m.nodes[dump.AllNodes][name]
	return value, ok
}

// topics returns them by name.
func (m *image) topics() []*topic {
	names := slices.Sorted(maps.Keys(m.byName))
	topics := make([]*topic, len(names))
	for i, name := range names {
		topics[i] = m.byName[name]
	}
	return topics
}

// partition returns the topic that a directory with this name is a partition
// of; nil if there is none.
func (m *image) partition(dir string) *topic {
	name, index, ok := splitPartitionDir(dir)
	t := m.byName[name]
	if !ok || t == nil || index >= int64(t.partitions) {
		return nil
	}
	return t
}

// splitPartitionDir reads <topic>-<index>.
func splitPartitionDir(dir string) (name string, index int64, ok bool) {
	dash := strings.LastIndexByte(dir, '-')
	if dash <= 0 {
		return "", 0, false
	}
	index, err := strconv.ParseInt(dir[dash+1:], 10, 32)
	ok = err == nil && index >= 0 && strconv.FormatInt(index, 10) == dir[dash+1:]
	return dir[:dash], index, ok
}

// indexIntervalBytes is after how many bytes the topic's offset indexes get an
// entry; where neither the topic nor a setting that was altered says, Kafka's
// default.
func (t *topic) indexIntervalBytes() int64 {
	const byDefault = 4096
	if t == nil {
		return byDefault
	}
	value, ok := t.configs["index.interval.bytes"]
	if !ok {
		value, _ = t.image.setting("log.index.interval.bytes")
	}
	n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
	if err != nil {
		return byDefault
	}
	return n
}
