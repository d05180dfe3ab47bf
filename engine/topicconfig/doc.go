// Package topicconfig knows every topic config key of Apache Kafka 4.3: its
// type, default, valid values and meaning, and whether it is in force here.
//
// A Key describes a key; Keys and Lookup find them, Validate checks a value,
// Describe lists what holds for a topic and where that comes from. Parse turns
// the configs of a topic into a Config, the typed form the engine works with.
//
// A config is a map from key to value, both as a user writes them. A topic
// holds overrides; what it does not override comes from the Defaults of the
// node, its broker settings in Kafka's order, and what those leave open from
// the table. Values are kept as given, also those that have no effect yet, so
// that they can be given back.
//
// The package holds no state but its table and may be used concurrently.
package topicconfig
