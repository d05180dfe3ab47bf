package brokerconfig

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/rollway/rollway/engine/topicconfig"
)

// Layers are the settings of a node, by Kafka's names: what stands further up
// wins, as in Kafka, and what no layer has comes from the table. Each may be
// nil. They are not changed after they were handed over. What they hold is
// valid; names that are not in the table are ignored.
type Layers struct {
	Own    map[string]string // of this node, altered while it ran
	All    map[string]string // of all nodes, altered while they ran
	Static map[string]string // of the node's start
}

// Entry is the state of one setting.
type Entry struct {
	Key
	// Value is what holds, without white space around it, unless Unset; of a
	// setting with Synonyms it is its own, whichever of them counts.
	Value  string
	Unset  bool // nothing is set, and there is no default
	Source topicconfig.Source
	// Origins are all places that have a value for the setting or for those of
	// its Synonyms that count after it, the first one counts.
	Origins []topicconfig.Origin
}

// Describe returns what holds: an entry for each key, sorted by name.
func (l Layers) Describe() []Entry {
	entries := make([]Entry, len(keys))
	for i, k := range keys {
		e := Entry{Key: k, Origins: l.origins(k)}
		e.Value, e.Source, e.Unset = l.find(k)
		entries[i] = e
	}
	return entries
}

// layers returns the layers with where they come from, the first wins.
func (l Layers) layers() [3]layer {
	return [...]layer{{l.Own, topicconfig.FromNode}, {l.All, topicconfig.FromAllNodes}, {l.Static, topicconfig.FromStatic}}
}

type layer struct {
	settings map[string]string
	source   topicconfig.Source
}

// find returns the own value of k.
func (l Layers) find(k Key) (value string, source topicconfig.Source, unset bool) {
	for _, layer := range l.layers() {
		if value, ok := layer.settings[k.Name]; ok {
			return strings.TrimSpace(value), layer.source, false
		}
	}
	return k.Default, topicconfig.FromDefault, k.NoDefault
}

// origins returns all places that have a value for k.
func (l Layers) origins(k Key) []topicconfig.Origin {
	var origins []topicconfig.Origin
	names := k.Synonyms[slices.Index(k.Synonyms, k.Name):]
	for _, layer := range l.layers() {
		for _, name := range names {
			if value, ok := layer.settings[name]; ok {
				origins = append(origins, topicconfig.Origin{Name: name, Value: strings.TrimSpace(value), Source: layer.source})
			}
		}
	}
	for _, name := range names {
		if of, ok := Lookup(name); ok && !of.NoDefault {
			origins = append(origins, topicconfig.Origin{Name: name, Value: of.Default, Source: topicconfig.FromDefault})
		}
	}
	return origins
}

// Value returns the own value of the setting of that name, its default if no
// layer has it. It panics if there is no such setting.
func (l Layers) Value(name string) string {
	k, ok := Lookup(name)
	if !ok {
		panic("brokerconfig: no setting " + name)
	}
	value, _, _ := l.find(k)
	return value
}

// Bool returns the value of a setting of type Boolean.
func (l Layers) Bool(name string) bool { return strings.EqualFold(l.Value(name), "true") }

// Int returns the value of a setting of type Short, Int or Long.
func (l Layers) Int(name string) int64 {
	n, err := strconv.ParseInt(l.Value(name), 10, 64)
	if err != nil {
		panic(fmt.Sprintf("brokerconfig: %s: %v, after it was validated", name, err))
	}
	return n
}
