package bare

import (
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/rollway/rollway/wire"
)

// copyBytes is the size of the buffer that a copying Fetcher reads into. 128
// KiB, as zerocopy's: it stays in the core's cache, a larger one is slower.
const copyBytes = 128 << 10

// Fetcher answers Fetch frames from one file: the bytes from position Offset
// on, MaxBytes of them or what is left.
type Fetcher struct {
	File *os.File
	Size int64 // of the file
	Copy bool  // by pread and write instead of sendfile
}

func (f *Fetcher) serve(conn *net.TCPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	in := frames{conn: conn, buffer: make([]byte, 64<<10)}
	a := answer{file: f.File, conn: conn, raw: raw}
	a.send = a.onWritable
	if f.Copy {
		a.buffer = make([]byte, copyBytes)
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
	a.position = m.Offset
	a.left = max(0, min(int64(m.MaxBytes), f.Size-m.Offset))
	data := wire.Data{Offsets: wire.Offsets{LastStable: f.Size, HighWatermark: f.Size}}
	a.head = wire.AppendDataHead(a.head[:0], frame.RequestID, &data, int(a.left))
	if f.Copy {
		return a.copy()
	}
	return a.sendFile()
}

// answer is one head and piece of the file on their way.
type answer struct {
	file *os.File
	conn *net.TCPConn
	raw  syscall.RawConn
	send func(fd uintptr) bool // onWritable, bound once

	head     []byte
	out      []byte // of head, what has not left
	position int64
	left     int64
	buffer   []byte // of copy
	err      error
}

// sendFile sends the answer by sendmsg(2) and sendfile(2).
func (a *answer) sendFile() error {
	a.out, a.err = a.head, nil
	if err := a.raw.Write(a.send); err != nil {
		return err
	}
	return a.err
}

// onWritable moves what the socket takes; false waits for it to take more.
func (a *answer) onWritable(fd uintptr) (done bool) {
	socket := int(fd)
	for len(a.out) > 0 {
		flags := unix.MSG_NOSIGNAL
		if a.left > 0 {
			flags |= unix.MSG_MORE
		}
		n, err := unix.SendmsgN(socket, a.out, nil, nil, flags)
		switch err {
		case nil:
			a.out = a.out[n:]
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			a.err = fmt.Errorf("sendmsg: %w", err)
			return true
		}
	}
	for a.left > 0 {
		n, err := unix.Sendfile(socket, int(a.file.Fd()), &a.position, int(a.left))
		switch {
		case err == nil && n == 0:
			a.err = fmt.Errorf("sendfile at position %d: %w", a.position, io.ErrUnexpectedEOF)
			return true
		case err == nil:
			a.left -= int64(n)
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return false
		default:
			a.err = fmt.Errorf("sendfile: %w", err)
			return true
		}
	}
	return true
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
