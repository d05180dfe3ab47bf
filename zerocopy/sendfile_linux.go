package zerocopy

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// TrySendFile moves up to length bytes, at least 1, of f from position on to
// socket by one sendfile(2), which neither uses nor moves the file's own
// offset. The socket must be O_NONBLOCK: then the call does not wait for the
// peer, but it does wait for the disk when the bytes are not in the page cache.
//
// n bytes, possibly fewer than length, were accepted by the socket; the kernel
// still refers to the file's pages until the peer has acknowledged them.
// handled is false when sendfile cannot do this; then nothing was moved.
//
// Errors, all with n = 0: unix.EAGAIN as is when the socket is full; a
// *ShortFileError when the file ends at position; a *FileError; one that wraps
// ErrPeerGone; any other errno wrapped.
func TrySendFile(socket int, f *os.File, position, length int64) (n int64, handled bool, err error) {
	for {
		at := position
		sent, err := unix.Sendfile(socket, int(f.Fd()), &at, int(min(length, maxCallBytes)))
		// Without this the collector may close f, and with it the descriptor,
		// between Fd and the end of the call.
		runtime.KeepAlive(f)
		switch {
		case err == nil && sent == 0:
			// End of file. Waiting or trying again would loop forever.
			return 0, true, &ShortFileError{Path: f.Name(), Position: position, Wanted: length}
		case err == nil:
			return int64(sent), true, nil
		case err == unix.EINTR:
			// A signal before the first byte; later ones end in a short count.
		case err == unix.EAGAIN:
			return 0, true, err
		case unavailable(err):
			return 0, false, nil
		default:
			return 0, true, rangeError("sendfile", f, position, err)
		}
	}
}
