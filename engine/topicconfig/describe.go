package topicconfig

import (
	"strconv"
	"strings"
)

// Source tells where the value of a config comes from. A greater one wins.
type Source uint8

const (
	FromDefault  Source = iota // the table
	FromStatic                 // what the node was started with
	FromAllNodes               // a setting of all nodes, altered while they ran
	FromNode                   // a setting of the node, altered while it ran
	FromTopic                  // an override of the topic
)

// String returns default, static, all nodes, node or topic.
func (s Source) String() string {
	return [...]string{"default", "static", "all nodes", "node", "topic"}[s]
}

// Origin is one place that has a value for a config.
type Origin struct {
	Name   string // of the topic config or the broker setting that has it
	Value  string // as given but for white space around it, in the unit of Name
	Source Source
}

// Entry is the state of one config of a topic.
type Entry struct {
	Key
	Value  string // what holds, as given but for white space around it
	Source Source
	// Origins are all places that have a value, that of Value first; Kafka
	// calls them synonyms. The default is one of them if a broker setting is
	// behind the config.
	Origins []Origin
}

// Describe returns what holds for a topic with these overrides on a node with
// these defaults: an entry for each key, sorted by name. What they hold under
// names that are no keys is left out.
func Describe(overrides map[string]string, defaults Defaults) []Entry {
	v := values{overrides, defaults}
	entries := make([]Entry, len(keys))
	for i, k := range keys {
		value, source := v.find(k)
		entries[i] = Entry{k, value, source, v.origins(k)}
	}
	return entries
}

// origins returns all places that have a value for k.
func (v values) origins(k Key) []Origin {
	var origins []Origin
	if value, ok := v.overrides[k.Name]; ok {
		origins = append(origins, Origin{k.Name, strings.TrimSpace(value), FromTopic})
	}
	for _, layer := range v.defaults.layers() {
		if value, by, ok := layer.find(k); ok {
			origins = append(origins, Origin{by.Name, value, layer.source})
		}
	}
	for _, s := range k.Synonyms {
		if value, ok := k.DefaultOf(s); ok {
			origins = append(origins, Origin{s.Name, value, FromDefault})
		}
	}
	return origins
}

// DefaultOf returns the default of s, a broker setting behind k, in its unit. Of
// several settings only the last has one, as in Kafka.
func (k Key) DefaultOf(s Synonym) (string, bool) {
	if s != k.Synonyms[len(k.Synonyms)-1] {
		return "", false
	}
	if s.Unit == 1 {
		return k.Default, true
	}
	n, err := strconv.ParseInt(k.Default, 10, 64)
	if err != nil {
		panic("topicconfig: " + k.Name + " has a unit and no number as its default")
	}
	return strconv.FormatInt(n/s.Unit, 10), true
}
