// Package zerocopy moves ranges of files to sockets, and bytes of sockets to
// files, without passing them through user memory where the kernel can do
// without, and counts what went which way. It knows nothing of logs or
// protocols.
//
// # Two floors
//
// The ground floor is steps on raw descriptors: TrySendFile, TrySend,
// TryReceive and the four of Pipe. A step is one system call (and its repeats
// after EINTR) that never waits for the peer; each stands in a file of its
// own, named after the call, with every errno and its reason. EAGAIN comes
// back as is, for an event loop to wait on. A fast path also returns handled:
// false means that it does not exist here, and that nothing was consumed.
//
// On it stand Sender and Receiver, which belong to one connection and block
// one goroutine: they put steps together until all bytes have left or arrived,
// and wait by the runtime's poller in between. What a Sender does between two
// waits is in transfer_linux.go, which knows no connection.
//
// # Types
//
//   - Range: a piece of a file that its owner keeps in place until Close. It is
//     the currency between who owns files and who owns sockets.
//   - Path: auto, sendfile, splice or copy, for a setting.
//   - Sender sends head + Range, Receiver receives into a file.
//   - Counters: bytes and system calls of each way, shared by all connections.
//   - PipePool lends the Pipes that splice needs, a bounded number.
//
// # Invariants
//
//   - The number of bytes that a call reports is exact, also beside an error.
//   - An end of file inside a range is a *ShortFileError, never a wait.
//   - A pipe that saw an error or holds bytes never returns to its pool.
//   - Whatever the kernel is given the descriptor of is kept alive by its
//     *os.File until the call has ended.
//   - Nothing is allocated per transfer. A connection on which nothing moves
//     holds neither a buffer nor a pipe.
//
// # Locks
//
// PipePool has one mutex and takes no other lock under it. A transfer runs
// under the write lock, or for a Receiver the read lock, that the net package
// keeps per connection, and takes the pool's mutex inside it only to give back
// a pipe. Counters are atomic.
package zerocopy
