package bare

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// pipeBytes is the capacity of a pipe: 1 MiB, the default of
// /proc/sys/fs/pipe-max-size.
const pipeBytes = 1 << 20

// pipe is the kernel buffer that splice(2) needs between a file and a socket.
type pipe struct {
	r, w int
	held int // bytes inside
}

func newPipe() (pipe, error) {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		return pipe{}, os.NewSyscallError("pipe2", err)
	}
	p := pipe{r: ends[0], w: ends[1]}
	// A smaller pipe would be another mechanism: no fallback.
	if _, err := unix.FcntlInt(uintptr(p.w), unix.F_SETPIPE_SZ, pipeBytes); err != nil {
		p.close()
		return pipe{}, fmt.Errorf("fcntl F_SETPIPE_SZ %d: %w; see pipe-user-pages-soft in pipe(7)", pipeBytes, err)
	}
	return p, nil
}

func (p *pipe) close() {
	unix.Close(p.r)
	unix.Close(p.w)
}

// fill moves up to length bytes of f from position on into the pipe, which must
// be empty.
func (p *pipe) fill(f *os.File, position, length int64) (int64, error) {
	for {
		at := position
		n, err := unix.Splice(int(f.Fd()), &at, p.w, nil, int(min(length, pipeBytes)), unix.SPLICE_F_NONBLOCK)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, fmt.Errorf("splice at position %d: %w", position, err)
		case n == 0:
			return 0, fmt.Errorf("splice at position %d: %w", position, io.ErrUnexpectedEOF)
		default:
			p.held = int(n)
			return n, nil
		}
	}
}

// drain moves what the socket takes out of the pipe, which must not be empty;
// more is true when the answer goes on behind it. The errno comes back as it is.
func (p *pipe) drain(socket int, more bool) error {
	flags := unix.SPLICE_F_NONBLOCK
	if more {
		flags |= unix.SPLICE_F_MORE
	}
	n, err := unix.Splice(p.r, nil, socket, nil, p.held, flags)
	if err != nil {
		return err
	}
	p.held -= int(n)
	return nil
}
