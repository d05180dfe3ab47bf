// Package engine keeps logs in one data directory, in Apache Kafka's on-disk
// format, and hands out ranges of their files. It knows no sockets.
//
// [Open] gives an [Engine], whose [Topic]s have [Partition]s. [Partition.Append]
// takes record batches; [Partition.Fetch] and [Partition.FetchNext] give a
// [Slice]: a range of a segment file, pinned until it is closed, that
// package zerocopy sends to a socket. [Partition.Produce] and
// [Partition.FetchWait] are the same for callers who may block.
//
// # Invariants
//
//   - What is visible is durable: the high watermark is the flushed offset, unless
//     the topic opted out by flush.messages. Whoever was answered reads its own
//     write.
//   - An error of a write or a sync is final ([Engine.Failure]): nothing is
//     synced, appended or acknowledged after it; readers keep what is visible.
//     A full disk is no such error unless a sync reports it.
//   - A byte that was visible is never overwritten or cut off. Segments go as a
//     whole.
//   - A name is durable before anything refers to it; the recovery point moves
//     only after the log and the indexes below it are durable.
//   - Offsets.LogStart <= LastStable <= HighWatermark <= LogEnd, Flushed <= LogEnd.
//
// # Locks
//
// In the order in which they may be taken: Engine.admin, Engine.metaMu,
// Engine.checkpointMu, Partition.mu, Segment.indexMu, Partition.marksMu, and the
// leaves committer.mu, waiters.mu, sparseIndex.mu, descriptor.mu, descriptors.mu and
// indexCache.mu. Readers take none but the last, for reading, on the way to a slice
// of a segment whose indexes are loaded: offsets, segment lists and index views are
// immutable snapshots behind atomic pointers.
package engine
