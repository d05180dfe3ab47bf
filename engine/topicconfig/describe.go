package topicconfig

// Source tells where the value of a config comes from.
type Source uint8

const (
	FromDefault Source = iota // the table
	FromBroker                // the defaults of the node
	FromTopic                 // an override of the topic
)

// String returns default, broker or topic.
func (s Source) String() string {
	return [...]string{"default", "broker", "topic"}[s]
}

// Entry is the state of one config of a topic.
type Entry struct {
	Key
	Value  string // what holds, as given but for white space around it
	Source Source
}

// Describe returns what holds for a topic with these overrides on a node with
// these defaults: an entry for each key, sorted by name. What the maps hold
// under names that are no keys is left out.
func Describe(overrides, defaults map[string]string) []Entry {
	v := values{overrides, defaults}
	entries := make([]Entry, len(keys))
	for i, k := range keys {
		value, source := v.find(k)
		entries[i] = Entry{k, value, source}
	}
	return entries
}
