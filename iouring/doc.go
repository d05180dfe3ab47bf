// Package iouring is one io_uring instance of Linux: what the kernel allows of it,
// setting it up, submissions and completions, provided buffers, and connections
// that are served by it. It uses no cgo and no liburing; the structures are those
// of the kernel's include/uapi/linux/io_uring.h, the man pages io_uring(7) and
// those that it names.
//
// # Two floors
//
// Ring is the instance itself: Push queues an SQE, Enter submits what was pushed
// and waits, Next takes a CQE. Buffers are a ring of provided buffers, from which
// the kernel takes one when it has something to receive.
//
// Streams stands on that, on anything that is a Queue: it serves connections by
// multishot accept, multishot receive and sends, and knows what becomes of them
// when a completion is short, failed, late, or the last one. A Handler gets what
// was received.
//
// Probe says what the kernel supports. Open asks for the newest way to set a ring
// up first and takes the best that the kernel has:
//
//	6.1   SINGLE_ISSUER and DEFER_TASKRUN
//	6.0   SINGLE_ISSUER and COOP_TASKRUN; Streams needs this
//	5.19  COOP_TASKRUN
//	5.7   none of them; less is ErrUnavailable
//
// Where a sysctl, seccomp or the kernel's age forbids rings, the error says which
// is likely and wraps ErrUnavailable: use something else.
//
// # Who owns what
//
//   - A buffer is the kernel's from Push to the last completion of its operation,
//     the one without CQEMore: it may be written or read at any time in between,
//     also after a cancel was submitted, and also after the process has forgotten
//     it. Nothing here keeps it alive. So it lies outside the Go heap (Allocate),
//     or is pinned (runtime.Pinner), and is never on a stack, which moves.
//   - What an SQE itself points to, the time of a timeout, lies beside the queue:
//     the kernel reads it when it takes the submission, and the caller need not
//     care.
//   - A descriptor is in use until the last completion too. Hold the *os.File and
//     not only its number: the garbage collector closes it, and the number becomes
//     another file's. For the same reason a descriptor is closed when nothing is in
//     flight on it; Streams does so.
//   - A provided buffer is the kernel's until a completion names it, then the
//     program's from Buffers.Take to GiveBack. Take it from every completion that
//     names one, or it is lost.
//   - A ring is for the thread that opened it, unless Options.AnyThread: the kernel
//     answers EEXIST to another one. Lock the goroutine (runtime.LockOSThread)
//     before Open, and hand work over by a queue of your own and Streams.Wake.
//   - Closing a ring does not end what is in flight, it only forgets it: the kernel
//     writes into memory that may be something else by then. Ring.Close therefore
//     cancels and waits, and Streams.Close before it.
//
// # What is not obvious
//
//   - With DEFER_TASKRUN a completion is made when the owner enters: a loop that
//     only looks at Next waits for ever.
//   - A multishot operation ends with the completion that lacks CQEMore, whatever
//     its result is: also with bytes, when the completion queue was full.
//   - A multishot receive that found no buffer ends with ENOBUFS, and would at once
//     again. It is submitted again only after a buffer was given back.
//   - When the completion queue is full the kernel keeps what does not fit, and
//     gives it at the next Enter. Nothing is lost, but it is slow.
//   - Completions of different operations come in any order: a cancel's before or
//     after the one of what it cancelled. Those of one multishot come in theirs.
//   - A send on a socket may be short although MSG_WAITALL is set. Two sends in
//     flight on one socket may pass one another, so Streams has one.
//   - A buffered write or an fsync goes to a worker thread of the kernel on most
//     file systems, and costs more than the system call.
//
// # Memory order
//
// Both queues and the buffer ring are shared with the kernel: whoever adds an
// entry writes it and then stores the tail, whoever takes one reads it and then
// stores the head. Loads and stores of these words are those of sync/atomic, which
// are sequentially consistent: more than the acquire and release that
// io_uring(7) asks for. Our own word is read plainly.
//
// # Locks
//
// None. Streams.Wake writes to an eventfd and may be called by anybody, all else
// by one goroutine.
package iouring
