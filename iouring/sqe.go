package iouring

import (
	"time"

	"golang.org/x/sys/unix"
)

// SQE is a submission: one operation that the kernel is to carry out. Make it by
// one of the functions below, and give it the number by which its completion will
// be known with With.
//
// Buffer is the kernel's from Push until the last completion of the operation,
// whatever that says: see the package's ownership rules. So is the descriptor FD:
// whoever closes it meanwhile, or lets the collector do so, makes the operation
// that of another file.
type SQE struct {
	Op       Op
	Flags    SQEFlags
	Priority uint16 // ioprio: the flags of accept, receive and send
	FD       int    // descriptor; -1: none
	Offset   uint64 // position in the file; or what the operation says
	Buffer   []byte // what to read into or write from
	OpFlags  uint32 // flags of the operation
	UserData uint64 // comes back in its completions
	Group    uint16 // of provided buffers, with SQEBufferSelect
	Target   uint64 // of a cancel: the UserData of what to cancel
	Wait     time.Duration
}

// With returns the submission with another UserData.
func (s SQE) With(userData uint64) SQE {
	s.UserData = userData
	return s
}

// Nop does nothing and completes with 0.
func Nop() SQE { return SQE{Op: OpNop, FD: -1} }

// AcceptMultishot accepts connections of a listening socket until it fails or is
// cancelled; each completion is one descriptor, close-on-exec, in blocking mode.
// Since Linux 5.19. Man page: io_uring_prep_multishot_accept(3).
func AcceptMultishot(listener int) SQE {
	return SQE{Op: OpAccept, FD: listener, Priority: acceptMultishot, OpFlags: unix.SOCK_CLOEXEC}
}

// Receive receives once into buffer, at least 1 byte; 0 is the end of the stream.
func Receive(socket int, buffer []byte) SQE {
	return SQE{Op: OpReceive, FD: socket, Buffer: buffer}
}

// ReceiveMultishot receives whenever something arrives, each time into a buffer
// that the kernel takes from the group, until the stream ends, something fails or
// it is cancelled. When there is no buffer it ends with ENOBUFS: submit it again
// only after one was given back, or it ends at once. Since Linux 6.0. Man page:
// io_uring_prep_recv_multishot(3).
func ReceiveMultishot(socket int, group uint16) SQE {
	return SQE{Op: OpReceive, FD: socket, Flags: SQEBufferSelect, Priority: receiveMultishot, Group: group}
}

// Send sends what the socket takes of buffer, all of it with MSG_WAITALL unless
// something fails in between; flags are those of send(2), and MSG_NOSIGNAL is
// always set. A buffer sent with MSG_MORE leaves with what follows it, or 200 ms
// later.
func Send(socket int, buffer []byte, flags int) SQE {
	return SQE{Op: OpSend, FD: socket, Buffer: buffer, OpFlags: uint32(flags) | unix.MSG_NOSIGNAL}
}

// Read reads at a position of a file; of what has none, position is ignored.
func Read(fd int, buffer []byte, position int64) SQE {
	return SQE{Op: OpRead, FD: fd, Buffer: buffer, Offset: uint64(position)}
}

// Write writes at a position of a file; it may write less. A buffered write to a
// file system without IOCB_NOWAIT for it, such as ext4, goes to a worker thread
// and costs more than pwrite(2).
func Write(fd int, buffer []byte, position int64) SQE {
	return SQE{Op: OpWrite, FD: fd, Buffer: buffer, Offset: uint64(position)}
}

// Fsync makes durable what was written to a file before it was submitted, but
// not what is in flight; with dataOnly as fdatasync(2). It always goes to a
// worker thread.
func Fsync(fd int, dataOnly bool) SQE {
	s := SQE{Op: OpFsync, FD: fd}
	if dataOnly {
		s.OpFlags = fsyncDataOnly
	}
	return s
}

// Timeout completes with ETIME after wait.
func Timeout(wait time.Duration) SQE {
	return SQE{Op: OpTimeout, FD: -1, Wait: wait}
}

// Cancel cancels the operation in flight that was submitted with that UserData,
// one of them if there are several. It completes with 0; with ENOENT if there was
// none; or with EALREADY if it is being carried out and may complete as if nothing
// had been. What was cancelled completes with ECANCELED itself.
func Cancel(userData uint64) SQE {
	return SQE{Op: OpCancel, FD: -1, Target: userData}
}

// CancelAll cancels everything that is in flight. It completes with how many
// operations those were. Since Linux 5.19.
func CancelAll() SQE {
	return SQE{Op: OpCancel, FD: -1, OpFlags: cancelAll | cancelAny}
}

// Close closes a descriptor. Nothing may be in flight on it.
func Close(fd int) SQE { return SQE{Op: OpClose, FD: fd} }
