// Package clients runs Kafka clients that others wrote against a server that
// it builds and starts: franz-go, sarama and segmentio/kafka-go as libraries,
// kcat as a program, and, when `make compat` asks for it, clients in Python and
// JavaScript. It is a module of its own, so that none of them is a dependency
// of rollway.
//
// With ROLLWAY_COMPAT_BROKER=HOST:PORT the tests use the broker there instead:
// Apache's, for instance, to learn whether it is ours that is different. Where a
// test looks at once for what it has changed, Apache's may not have it yet.
package clients
