package bare

import (
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/rollway/rollway/wire"
	"github.com/rollway/rollway/zerocopy"
)

// copyBytes is the size of the buffer that a copying Fetcher reads into. 128
// KiB, as zerocopy's: it stays in the core's cache, a larger one is slower.
const copyBytes = 128 << 10

// Fetcher answers Fetch frames from one file: the bytes from position Offset
// on, MaxBytes of them or what is left.
type Fetcher struct {
	File *os.File
	Size int64 // of the file

	// Path is how: Auto and SendFile by sendfile, Splice through a pipe of the
	// connection's own, Copy by pread and write.
	Path zerocopy.Path
}

func (f *Fetcher) serve(conn *net.TCPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	in := frames{conn: conn, buffer: make([]byte, 64<<10)}
	a := answer{file: f.File, conn: conn, raw: raw}
	switch f.Path {
	case zerocopy.Copy:
		a.buffer = make([]byte, copyBytes)
	case zerocopy.Splice:
		if a.pipe, err = newPipe(); err != nil {
			return err
		}
		defer a.pipe.close()
		a.send = a.spliceWritable
	default:
		a.send = a.sendFileWritable
	}
	for {
		frame, err := in.next()
		if err == wire.ErrIncomplete {
			if err := in.receive(); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		if err := f.answer(&a, frame); err != nil {
			return err
		}
	}
}

func (f *Fetcher) answer(a *answer, frame wire.Frame) error {
	if frame.Kind == wire.KindHello {
		_, err := a.conn.Write(welcome(nil, frame))
		return err
	}
	m, err := wire.ParseFetch(frame)
	if err != nil {
		return err
	}
	a.head, a.position, a.left = f.appendHead(a.head[:0], frame.RequestID, m)
	if f.Path == zerocopy.Copy {
		return a.copy()
	}
	return a.byReference()
}

// appendHead appends the head of the answer to m and returns which piece of the
// file follows it.
func (f *Fetcher) appendHead(dst []byte, id uint32, m wire.Fetch) (head []byte, position, left int64) {
	left = max(0, min(int64(m.MaxBytes), f.Size-m.Offset))
	data := wire.Data{Offsets: wire.Offsets{LastStable: f.Size, HighWatermark: f.Size}}
	return wire.AppendDataHead(dst, id, &data, int(left)), m.Offset, left
}

// answer is one head and piece of the file on their way.
type answer struct {
	file *os.File
	conn *net.TCPConn
	raw  syscall.RawConn
	send func(fd uintptr) (done bool) // bound once; false waits for the socket to take more

	head     []byte
	out      []byte // of head, what has not left
	position int64
	left     int64
	buffer   []byte // of copy
	pipe     pipe   // of splice
	err      error
}

// byReference sends the answer without user memory.
func (a *answer) byReference() error {
	a.out, a.err = a.head, nil
	if err := a.raw.Write(a.send); err != nil {
		return err
	}
	return a.err
}

// sendFileWritable moves what the socket takes by sendmsg(2) and sendfile(2).
func (a *answer) sendFileWritable(fd uintptr) (done bool) {
	socket := int(fd)
	done, a.out, a.err = sendHead(socket, a.out, a.left > 0)
	if !done || a.err != nil {
		return done
	}
	done, a.position, a.left, a.err = sendFile(socket, a.file, a.position, a.left)
	return done
}

// spliceWritable moves what the socket takes by sendmsg(2) and splice(2).
func (a *answer) spliceWritable(fd uintptr) (done bool) {
	socket := int(fd)
	done, a.out, a.err = sendHead(socket, a.out, a.left > 0)
	if !done || a.err != nil {
		return done
	}
	for a.left > 0 || a.pipe.held > 0 {
		if a.pipe.held == 0 {
			n, err := a.pipe.fill(a.file, a.position, a.left)
			if err != nil {
				a.err = err
				return true
			}
			a.position += n
			a.left -= n
		}
		switch err := a.pipe.drain(socket, a.left > 0); err {
		case nil, unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			a.err = fmt.Errorf("splice to the socket: %w", err)
			return true
		}
	}
	return true
}

// sendHead sends out, with more to follow or not, and returns what the socket
// did not take: then it is not done, and the socket is full.
func sendHead(socket int, out []byte, more bool) (done bool, rest []byte, err error) {
	flags := unix.MSG_NOSIGNAL
	if more {
		flags |= unix.MSG_MORE
	}
	for len(out) > 0 {
		n, err := unix.SendmsgN(socket, out, nil, nil, flags)
		switch err {
		case nil:
			out = out[n:]
		case unix.EINTR:
		case unix.EAGAIN:
			return false, out, nil
		default:
			return true, out, fmt.Errorf("sendmsg: %w", err)
		}
	}
	return true, nil, nil
}

// sendFile sends left bytes of f from position on and returns what is still to
// be sent: then it is not done, and the socket is full.
func sendFile(socket int, f *os.File, position, left int64) (done bool, at, rest int64, err error) {
	for left > 0 {
		n, err := unix.Sendfile(socket, int(f.Fd()), &position, int(left))
		switch {
		case err == nil && n == 0:
			return true, position, left, fmt.Errorf("sendfile at position %d: %w", position, io.ErrUnexpectedEOF)
		case err == nil:
			left -= int64(n)
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return false, position, left, nil
		default:
			return true, position, left, fmt.Errorf("sendfile: %w", err)
		}
	}
	return true, position, 0, nil
}

// copy sends the answer by pread(2) and write(2), the head with the first
// piece.
func (a *answer) copy() error {
	n := copy(a.buffer, a.head)
	for n > 0 || a.left > 0 {
		room := a.buffer[n:]
		if a.left < int64(len(room)) {
			room = room[:a.left]
		}
		if len(room) > 0 {
			if _, err := a.file.ReadAt(room, a.position); err != nil {
				return err
			}
		}
		if _, err := a.conn.Write(a.buffer[:n+len(room)]); err != nil {
			return err
		}
		a.position += int64(len(room))
		a.left -= int64(len(room))
		n = 0
	}
	return nil
}
