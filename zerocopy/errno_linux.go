package zerocopy

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// maxCallBytes is the most that one call moves: MAX_RW_COUNT of the kernel,
// 2^31 less one page, see sendfile(2).
const maxCallBytes = 0x7ffff000

// unavailable tells whether errno means that this way of moving bytes does not
// exist here, so that nothing was consumed and copying may still work. It is
// asked only about sendfile and splice.
func unavailable(errno error) bool {
	switch errno {
	case unix.EINVAL, // the file system has no splice_read or splice_write, or the file is open O_APPEND
		unix.EOPNOTSUPP, // the same, said by some network and FUSE file systems
		unix.ENOSYS,     // a kernel or sandbox without the call
		unix.EPERM,      // a seccomp profile refuses the call
		unix.EOVERFLOW:  // the range passes the largest position that the file system declares
		return true
	}
	return false
}

// socketError names what happened on the connection. op is the system call.
func socketError(op string, errno error) error {
	switch errno {
	case unix.EPIPE, // the peer has reset, or we have shut down, before this call
		unix.ECONNRESET,   // the peer resets during this call
		unix.ECONNABORTED, // as above, seen on the receiving side
		unix.ENOTCONN,     // closed before it was ever established
		unix.ETIMEDOUT,    // TCP_USER_TIMEOUT or keepalive gave it up, tcp(7)
		unix.EHOSTUNREACH, // a router or our own routing table says so, ip(7)
		unix.ENETUNREACH,
		unix.ENETDOWN:
		return fmt.Errorf("%s: %w: %w", op, ErrPeerGone, errno)
	}
	return os.NewSyscallError(op, errno)
}

// rangeError names what happened in a call that has a file on one side and a
// socket on the other, which one errno must tell apart.
func rangeError(op string, f *os.File, position int64, errno error) error {
	switch errno {
	case unix.EIO, // the disk could not give or take the page
		unix.ENODATA, // critical medium error
		unix.EUCLEAN, // the file system found itself corrupt (EFSCORRUPTED)
		unix.EBADMSG, // its checksum does not match (EFSBADCRC)
		unix.ESTALE,  // the server of a network file system forgot the file
		unix.ENOSPC, unix.EDQUOT, unix.EFBIG, unix.EROFS,
		unix.EISDIR, unix.EBADF:
		return &FileError{Op: op, Path: f.Name(), Position: position, Err: errno}
	}
	return socketError(op, errno)
}
