// Package node is one running node: the engine over its data directory, and
// what every frontend shares with the others, so that a bound is one bound and
// not one for each of them.
//
// Node is the only type. A frontend takes from it the engine, the budget that
// all connections receive into, the counters of what was sent which way, where
// requests are counted, the limits, the broker settings by Kafka's names
// (Settings, DescribeSettings, AlterSettings), the version to announce and the
// logger. A Node knows no protocol and no listener.
//
// # Order of the end
//
// Frontends are stopped first, by who started them: their sessions hold
// slices and wait for the engine. Close then closes the engine.
package node
