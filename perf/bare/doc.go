// Package bare has the least that a Go server can do for a fetch or a produce:
// the roof that rollway's figures are held against. It speaks rollway's frames,
// so that one client drives both, and does nothing of what makes a log: no
// index, no offsets, no segments, no recovery.
//
// Fetcher answers a Fetch with a head and a piece of one file, by sendfile, by
// splice or by pread and write; the asked offset is a position in the file.
// Sink takes a Produce, checks the batch's crc and writes it by pwritev, synced
// or not.
// Server accepts connections and gives each a goroutine.
//
// Loop serves all connections by one thread and epoll: a Fetcher by sendfile, or
// a LoopSink, which writes what a wakeup brought on all connections by one
// pwritev for each partition, and makes it durable by one fdatasync for each, or
// by one of a journal. RingLoop does that for a LoopSink by io_uring: multishot
// receive into provided buffers, out of which the batches are written.
//
// What a careful author of such a loop would do is done here too: an explicit
// offset and MSG_MORE for sendfile, large receive buffers and one pwritev for
// all that a receive brought. No socket option is set but the congestion
// control and TCP_NODELAY.
package bare
