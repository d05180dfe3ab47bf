// Package brokerconfig knows the broker settings of Apache Kafka 4.3 that mean
// something here, by Kafka's names, and a few of our own that begin with
// "rollway.": type, default, valid values, meaning, and whether they may be
// altered while a node runs.
//
// A Key describes a setting; Keys and Lookup find them, Validate checks a value.
// Layers hold what was set where, and tell what holds (Value) and why
// (Describe), in Kafka's order. The settings that topic configs have their
// defaults from are taken from engine/topicconfig.
//
// The package holds no state but its table and may be used concurrently.
package brokerconfig
