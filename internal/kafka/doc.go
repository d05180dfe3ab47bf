// Package kafka serves the Kafka protocol from a node: a session for each
// connection, without sockets or locks of its own, driven by internal/netloop.
//
// # Files
//
// One file per API key, 00_produce.go and so on, with what differs between its
// versions on top: how a request is decoded and how it is answered. apis.go is
// the table of them. reader.go decodes, within bounds; answers are encoded by
// kmsg, but those of Produce and Fetch, which are on the hot path: they have
// decoders into memory that is used again, and appender.go.
//
// Groups are kept by internal/coord, which answers at once or later: awaited.go
// has the Deferred for the latter. What it keeps are copies, since the reader's
// strings outlive the request, and bytes do where it says so.
//
// # Invariants
//
//   - A connection is strictly first in, first out: requests are carried out
//     and answered in the order in which they came. Produce requests in a row
//     overlap; any other waits until those before it are answered.
//   - A Fetch that waits lets nothing else of its connection be handled. Whoever
//     reads a fetch session holds fetchSession.mu, above all locks of the engine.
//   - A JoinGroup or SyncGroup that waits lets nothing else of its connection be
//     handled either, but the end of the connection is noticed meanwhile.
//   - Batches are appended before Receive returns, out of the receive buffer.
//     Nothing keeps a reference to it.
//   - What a request makes us allocate is bounded by its size, whatever it
//     declares (reader.memory); before the first valid request of a connection
//     a frame has at most 16 KiB.
//   - A request that cannot be decoded, or of a key or version that is not in
//     the table, ends the connection, as it does with Apache Kafka.
package kafka
