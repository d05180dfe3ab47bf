package zerocopy

import (
	"fmt"
	"net"
	"os"
	"syscall"
)

// Options say how a Sender sends. The zero value works, except that
// Path Splice needs Pipes.
type Options struct {
	// Path is the way of the bodies. Default Auto. When a way does not exist
	// for a file or a kernel, or the pool has no pipe, the body falls back,
	// from Splice to SendFile to Copy, and Counters tell.
	Path Path

	// CoalesceBelow, in bytes: on Path Auto a body below this is read into
	// user memory behind its head, and both leave in one call. Default
	// 12 KiB, the middle of where neither way wins: one client on loopback
	// with 8 requests in flight waits, by sendfile and coalesced, 4.7 and 4.2
	// us an answer at 2 KiB, 5.1 and 5.1 at 12 KiB, 6.2 and 7.1 at 32 KiB.
	// Negative: never. At most 64 KiB.
	CoalesceBelow int

	// ChunkBytes is the most that one sendfile, or one filling of a pipe,
	// is asked to move. Default 1 MiB.
	ChunkBytes int

	// Counters are told what was done. Default: the Sender's own, which
	// nobody sees.
	Counters *Counters

	// Pipes lends the pipes of Path Splice; other paths do not touch it. It
	// outlives the Sender.
	Pipes *PipePool
}

// Validate returns an error that names the field that is out of range.
func (o Options) Validate() error {
	switch {
	case o.Path > Copy:
		return fmt.Errorf("zerocopy: Options.Path %d, want Auto, SendFile, Splice or Copy", o.Path)
	case o.Path == Splice && o.Pipes == nil:
		return fmt.Errorf("zerocopy: Options.Pipes is nil, want a pool for Path Splice")
	case o.CoalesceBelow > bufferBytes/2:
		return fmt.Errorf("zerocopy: Options.CoalesceBelow %d, want at most %d", o.CoalesceBelow, bufferBytes/2)
	case o.ChunkBytes < 0:
		return fmt.Errorf("zerocopy: Options.ChunkBytes %d, want 0 (default 1 MiB) or more", o.ChunkBytes)
	}
	return nil
}

// withDefaults returns o with what its zero values stand for.
func (o Options) withDefaults() Options {
	if o.CoalesceBelow == 0 {
		o.CoalesceBelow = 12 << 10
	}
	if o.ChunkBytes == 0 {
		o.ChunkBytes = 1 << 20
	}
	if o.Counters == nil {
		o.Counters = new(Counters)
	}
	return o
}

// Sender sends to one connection from one goroutine at a time, which waits
// while the peer does not read. It allocates nothing per call.
type Sender struct {
	raw  syscall.RawConn
	turn func(fd uintptr) (done bool) // onWritable, bound once: a method value made per call would be allocated

	transfer transfer
	err      error // of the last advance
}

// NewSender returns a Sender for conn. It uses the descriptor inside conn, in
// its non-blocking mode, so conn's write deadline and Close have their usual
// effect on it and conn can be written to between calls.
func NewSender(conn *net.TCPConn, options Options) (*Sender, error) {
	if err := options.Validate(); err != nil {
		return nil, err
	}
	// Not conn.File: it puts the description that conn shares into blocking
	// mode, and a blocked goroutine would then cost a thread.
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &Sender{raw: raw}
	s.transfer.options = options.withDefaults()
	s.turn = s.onWritable
	return s, nil
}

// Send sends head, which may be empty, and then body, which may be nil, and
// returns when the socket has accepted all of it. It blocks while the peer
// does not read, up to conn's write deadline, and while the disk reads what is
// not in the page cache. It does not close body; close it after Send, whatever
// Send returned. head is not kept.
//
// The deadline is noticed when the Sender would wait, as in net.Conn.Write: a
// peer that keeps up is never cut off.
//
// sent is the exact number of bytes of head and body that the socket accepted,
// also with an error. Unless it is 0, an error leaves the peer in the middle of
// a message, and the only honest act is to close the connection. With 0 it can
// still be used: a damaged file is noticed before the head has left when the
// body goes by Copy or Splice.
//
// Errors, with errors.Is and errors.As: *ShortFileError and *FileError (the
// file), ErrPeerGone, os.ErrDeadlineExceeded, net.ErrClosed, and os.ErrClosed
// for a closed body.
func (s *Sender) Send(head []byte, body *Range) (sent int64, err error) {
	if body != nil && body.Len != 0 {
		if body.File == nil {
			return 0, fmt.Errorf("send range of %d bytes at position %d: %w", body.Len, body.Position, os.ErrClosed)
		}
		if body.Position < 0 || body.Len < 0 {
			return 0, fmt.Errorf("send range of %d bytes at position %d of %s, want neither negative", body.Len, body.Position, body.File.Name())
		}
	}
	t := &s.transfer
	t.begin(head, body)
	err = s.raw.Write(s.turn)
	if err == nil {
		err = s.err
	}
	sent = t.sent
	if err != nil {
		err = fmt.Errorf("send: %w", t.blame(err, body))
	}
	t.end()
	s.err = nil
	return sent, err
}

// Write sends p, which holds no bytes of a file; otherwise as Send. After an
// error the peer may have part of p.
func (s *Sender) Write(p []byte) error {
	_, err := s.Send(p, nil)
	return err
}

// onWritable is called by the runtime's poller, first at once and then
// whenever the socket may take more, with conn locked for writing; false asks
// to be called again.
func (s *Sender) onWritable(fd uintptr) (done bool) {
	s.err = s.transfer.advance(int(fd))
	return !s.transfer.full(s.err)
}
