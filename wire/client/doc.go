// Package client is the Go client of rollway's native protocol, which
// docs/protocol.md specifies.
//
// # Types
//
//   - Client is one connection: Dial makes it, its calls are about topics,
//     offsets and single fetches.
//   - Producer gathers records into batches and sends them.
//   - Subscription receives what is appended to a partition, without being
//     asked again.
//   - Batches are verified batches as they stand in the log; Records walks
//     their records.
//
// # A connection
//
// Requests of all goroutines are pipelined. They are queued, and the writer
// goroutine sends all that is queued by one system call; the reader goroutine
// takes the answers, which come in the order of the requests. A Fetch that
// waits holds back the answers behind it, those of a Producer too: long waits
// belong on a connection of their own, or into a Subscription.
//
// A call whose context ends leaves the connection usable; its late answer is
// dropped. A connection that breaks, or a frame that is not of the protocol,
// fails all calls and everything that hangs on the connection with one
// *ConnectionError. A Client does not reconnect: what a broken connection leaves
// in doubt is for the caller to decide, so a new Client is, too. A Producer does,
// for itself, unless idempotence is off: the server recognizes what it sends
// again, so nothing is left in doubt.
//
// Errors that the server answers are *wire.Error, found by errors.As.
//
// # Invariants
//
//   - The reader goroutine never waits for a caller: what a subscription gets
//     is parked in memory that its credit bounds, answers go to whoever waits
//     or nowhere. So one slow consumer holds up nobody else.
//   - Requests are answered in order: the queue of unanswered requests has the
//     order in which their bytes are sent, and only the reader goroutine takes
//     from it.
//   - No length that the server names is believed before it was compared with
//     a limit, and what is received into grows with what arrives, or was asked
//     for.
//   - Payloads beyond a few KiB are received into the memory that they are
//     read from.
//
// # Lock order
//
// producerPartition.building, producerPartition.mu, then Producer.mu, keeper.mu
// or Client.mu; Subscription.mu, then Client.mu. Producer.calling, under which
// OnBatch runs, is taken with none of the others held but building, when a
// batch cannot even be queued. budget.mu is a leaf.
package client
