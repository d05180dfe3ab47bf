package zerocopy

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Pipe is the kernel buffer that splice(2) needs between a file and a socket.
// It belongs to one transfer at a time and is not safe for concurrent use.
// Its methods are in splice_linux.go.
type Pipe struct {
	r, w  int   // the ends, both O_NONBLOCK and O_CLOEXEC
	size  int   // capacity as the kernel counts it: bytes when every slot holds a full page
	held  int64 // Invariant: the bytes inside, unless dirty
	dirty bool  // a call on it failed: what is inside is unknown
}

// newPipe returns an empty pipe of size bytes, or of what the system grants:
// one user may have 16,384 pages in all his pipes (pipe-user-pages-soft in
// pipe(7)), and beyond that pipes are born with two pages and cannot grow.
func newPipe(size int) (*Pipe, error) {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("pipe2", err)
	}
	p := &Pipe{r: ends[0], w: ends[1]}
	if err := p.resize(size); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// resize asks for size bytes, then for half as often as the system refuses,
// but for no less than the pipe has.
func (p *Pipe) resize(size int) error {
	has, err := unix.FcntlInt(uintptr(p.w), unix.F_GETPIPE_SZ, 0)
	if err != nil {
		return os.NewSyscallError("fcntl F_GETPIPE_SZ", err)
	}
	p.size = has
	for want := size; want != p.size; want /= 2 {
		got, err := unix.FcntlInt(uintptr(p.w), unix.F_SETPIPE_SZ, want)
		switch {
		case err == nil:
			p.size = got // rounded up to a power of two of pages
			return nil
		case err == unix.EPERM && want/2 > p.size:
			// Above pipe-max-size, or above what is left of the user's pages.
		case err == unix.EPERM:
			return nil
		default:
			return fmt.Errorf("fcntl F_SETPIPE_SZ %d: %w", want, err)
		}
	}
	return nil
}

// close closes both ends. Their errors say nothing about any file.
func (p *Pipe) close() {
	unix.Close(p.r)
	unix.Close(p.w)
}

// Size returns the pipe's capacity in bytes. It holds that many only when
// each slot holds a full page; a slot per 4 KiB.
func (p *Pipe) Size() int { return p.size }

// Len returns how many bytes are inside; 0 for a nil pipe.
func (p *Pipe) Len() int64 {
	if p == nil {
		return 0
	}
	return p.held
}
