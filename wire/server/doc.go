// Package server serves the native protocol (docs/protocol.md) from a node: a
// session for each connection, without sockets, goroutines or locks of its
// own, driven by internal/netloop.
//
// # Types
//
//   - Serve starts one listener with its connections, a node.Listener.
//   - session is the state of one connection: what Receive does with a frame is
//     in the file of its message (produce.go, fetch.go, ...).
//   - Answers that are not there yet are netloop.Deferreds: produceGroup waits
//     for the high watermark, longPoll for records, subscription pushes
//     records, groupChange waits for the coordinator of groups, task runs what
//     takes long on a goroutine of its own.
//   - node.HighWatermarkWait is the one way in which they wait for a partition.
//
// # Invariants
//
//   - Requests are carried out in the order in which they came, and answered
//     in it; only subscriptions stand beside the order.
//   - Batches are appended before Receive returns, out of the receive buffer:
//     nothing keeps a reference to it.
//   - In steady state a Produce and a Fetch allocate nothing here.
//   - A malformed frame is answered by one Error and ends the connection. A
//     request that is refused is answered by one Error and ends nothing.
//   - What a connection can make the server hold is bounded: by its limits
//     (Options, node.Limits), and by what netloop bounds. At a bound the
//     session takes no further request until an answer has left.
//
// # Locks
//
// There are none of its own but those of node.Closing, a leaf.
package server
