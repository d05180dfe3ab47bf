package zerocopy

import (
	"fmt"
	"io"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// The four steps of splice(2). Each is one call, and none of them waits for
// the peer when the socket is O_NONBLOCK; those with a file wait for the disk.
// SPLICE_F_NONBLOCK concerns the pipe, SPLICE_F_MOVE does nothing since 2.6.21
// and is not given.
//
// handled is false when splice cannot do this; then nothing was moved.

// FillFromFile moves up to length bytes, at least 1, of f from position on
// into p, which must be empty, by reference. It moves no more than p has room
// for. Errors, all with n = 0: a *ShortFileError when the file ends at
// position; a *FileError; any other errno wrapped.
func (p *Pipe) FillFromFile(f *os.File, position, length int64) (n int64, handled bool, err error) {
	for {
		at := position
		n, err := unix.Splice(int(f.Fd()), &at, p.w, nil, int(min(length, maxCallBytes)), unix.SPLICE_F_NONBLOCK)
		runtime.KeepAlive(f)
		switch {
		case err == nil && n == 0:
			return 0, true, &ShortFileError{Path: f.Name(), Position: position, Wanted: length}
		case err == nil:
			p.held += n
			return n, true, nil
		case err == unix.EINTR: // a signal before the first byte
		case err == unix.EAGAIN:
			// Not a full pipe, p is empty: a file that never waits. There is
			// nothing to poll for, so the caller reads it.
			return 0, false, nil
		case unavailable(err):
			return 0, false, nil
		default:
			p.dirty = true
			return 0, true, rangeError("splice", f, position, err)
		}
	}
}

// DrainToSocket moves what is inside p, which must not be empty, to socket;
// n may be less. Errors, all with n = 0: unix.EAGAIN as is when the socket is
// full; one that wraps ErrPeerGone; any other errno wrapped.
func (p *Pipe) DrainToSocket(socket int) (n int64, handled bool, err error) {
	for {
		n, err := unix.Splice(p.r, nil, socket, nil, int(p.held), unix.SPLICE_F_NONBLOCK)
		switch {
		case err == nil && n == 0:
			return 0, true, p.lost()
		case err == nil:
			p.held -= n
			return n, true, nil
		case err == unix.EINTR: // a signal before the first byte
		case err == unix.EAGAIN: // the socket is full: p is known not to be empty
			return 0, true, err
		case unavailable(err):
			return 0, false, nil
		default:
			p.dirty = true
			return 0, true, socketError("splice", err)
		}
	}
}

// FillFromSocket moves up to length bytes, at least 1, that have arrived at
// socket into p, which must be empty. n = 0 without an error means that the
// peer has closed its side. Errors: unix.EAGAIN as is when nothing has
// arrived; one that wraps ErrPeerGone; any other errno wrapped.
func (p *Pipe) FillFromSocket(socket int, length int64) (n int64, handled bool, err error) {
	for {
		n, err := unix.Splice(socket, nil, p.w, nil, int(min(length, maxCallBytes)), unix.SPLICE_F_NONBLOCK)
		switch {
		case err == nil:
			p.held += n
			return n, true, nil
		case err == unix.EINTR: // a signal before the first byte
		case err == unix.EAGAIN: // nothing has arrived: p is known to have room
			return 0, true, err
		case unavailable(err):
			return 0, false, nil
		default:
			p.dirty = true
			return 0, true, socketError("splice", err)
		}
	}
}

// DrainToFile moves what is inside p, which must not be empty, into f from
// position on; n may be less, but is at least 1 without an error. A file that
// is open O_APPEND is not handled. Errors: a *FileError; any other errno
// wrapped.
func (p *Pipe) DrainToFile(f *os.File, position int64) (n int64, handled bool, err error) {
	for {
		at := position
		n, err := unix.Splice(p.r, nil, int(f.Fd()), &at, int(p.held), 0)
		runtime.KeepAlive(f)
		switch {
		case err == nil && n == 0:
			return 0, true, p.lost()
		case err == nil:
			p.held -= n
			return n, true, nil
		case err == unix.EINTR: // a signal before the first byte
		case unavailable(err):
			return 0, false, nil
		default:
			p.dirty = true
			return 0, true, rangeError("splice", f, position, err)
		}
	}
}

// read copies up to len(q) bytes out of p, which must not be empty, by one
// read(2), for a destination that cannot be spliced to.
func (p *Pipe) read(q []byte) (n int, err error) {
	for {
		n, err := unix.Read(p.r, q)
		switch {
		case err == nil && n == 0:
			return 0, p.lost()
		case err == nil:
			p.held -= int64(n)
			return n, nil
		case err == unix.EINTR: // a signal before the first byte
		default:
			p.dirty = true
			return 0, os.NewSyscallError("read pipe", err)
		}
	}
}

// lost says that the kernel found p empty where bytes must be.
func (p *Pipe) lost() error {
	p.dirty = true
	return fmt.Errorf("pipe is empty, want %d bytes in it: %w", p.held, io.ErrUnexpectedEOF)
}
