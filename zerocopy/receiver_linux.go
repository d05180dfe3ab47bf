package zerocopy

import (
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// ReceiverOptions say how a Receiver receives. The zero value works and
// copies.
type ReceiverOptions struct {
	// Counters are told what was done. Default: the Receiver's own.
	Counters *Counters

	// Pipes lends the pipe to splice through. Without it, or while it has no
	// pipe to give, the bytes go through user memory. It outlives the
	// Receiver.
	Pipes *PipePool
}

// Receiver moves bytes from one connection into files, from one goroutine at a
// time. Splicing pays from about 256 KiB on; at 16 KiB it costs twice what
// receiving into memory does. Nobody sees the bytes on the way, so the file
// holds what the peer sent, verified by nobody. It allocates nothing per call.
type Receiver struct {
	raw     syscall.RawConn
	turn    func(fd uintptr) (done bool) // onReadable, bound once
	options ReceiverOptions

	// One call of ReceiveFile.
	file     *os.File
	position int64 // of the next byte in file
	left     int64 // bytes not yet in file
	pipe     *Pipe
	buffer   *buffer
	tally    Snapshot
	err      error
}

// NewReceiver returns a Receiver for conn, whose read deadline and Close have
// their usual effect on it. Bytes that others have read from conn and still
// hold are theirs to write.
func NewReceiver(conn *net.TCPConn, options ReceiverOptions) (*Receiver, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	if options.Counters == nil {
		options.Counters = new(Counters)
	}
	r := &Receiver{raw: raw, options: options}
	r.turn = r.onReadable
	return r, nil
}

// ReceiveFile moves the next length bytes of the connection, and not one more,
// into f from position on, and returns when they are in the page cache. It
// blocks until they have arrived, up to conn's read deadline.
//
// n is the exact number of bytes written to f, also with an error. After an
// error bytes may have left the connection without having reached f: close it.
// Errors: one that wraps io.ErrUnexpectedEOF when the peer closes its side too
// early; *FileError, after which f may hold part of a write; ErrPeerGone;
// os.ErrDeadlineExceeded; net.ErrClosed.
func (r *Receiver) ReceiveFile(f *os.File, position, length int64) (n int64, err error) {
	if position < 0 || length < 0 {
		return 0, fmt.Errorf("receive %d bytes into %s at position %d, want neither negative", length, f.Name(), position)
	}
	if length == 0 {
		return 0, nil
	}
	r.file, r.position, r.left = f, position, length
	if r.options.Pipes != nil {
		if r.pipe, err = r.options.Pipes.Get(); err != nil {
			r.pipe = nil // why does not matter: the bytes go another way
			r.tally.Fallbacks++
		}
	}
	err = r.raw.Read(r.turn)
	if err == nil {
		err = r.err
	}
	n = length - r.left
	r.end()
	if err != nil {
		return n, fmt.Errorf("receive %d bytes into %s at position %d, %d received: %w", length, f.Name(), position, n, err)
	}
	return n, nil
}

// end gives back what ReceiveFile took and reports to the counters.
func (r *Receiver) end() {
	if r.pipe != nil {
		r.options.Pipes.Put(r.pipe)
		r.pipe = nil
	}
	if r.buffer != nil {
		buffers.Put(r.buffer)
		r.buffer = nil
	}
	r.file, r.err = nil, nil
	r.options.Counters.add(&r.tally)
}

// onReadable is called by the runtime's poller, first at once and then
// whenever bytes may have arrived; false asks to be called again.
func (r *Receiver) onReadable(fd uintptr) (done bool) {
	r.err = r.advance(int(fd))
	if r.err != unix.EAGAIN {
		return true
	}
	r.tally.Waits++
	r.options.Counters.add(&r.tally)
	return false
}

// advance moves bytes until all have arrived in the file, which is nil; the
// socket has none, which is unix.EAGAIN as is; or something failed. The pipe
// and the buffer are empty whenever it returns one of the first two.
func (r *Receiver) advance(socket int) error {
	for r.left > 0 {
		var err error
		if r.pipe != nil {
			err = r.splice(socket)
		} else {
			err = r.copy(socket)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// splice moves what has arrived, up to a pipe full, into the file.
func (r *Receiver) splice(socket int) error {
	r.tally.ReceiveSplice.Calls++
	n, handled, err := r.pipe.FillFromSocket(socket, min(r.left, int64(r.pipe.Size())))
	if !handled {
		r.giveUpPipe()
		return nil
	}
	if err != nil {
		return err
	}
	if n == 0 {
		return io.ErrUnexpectedEOF
	}
	for r.pipe.Len() > 0 {
		r.tally.ReceiveSplice.Calls++
		n, handled, err := r.pipe.DrainToFile(r.file, r.position)
		if !handled {
			if err := r.rescue(); err != nil {
				return err
			}
			r.giveUpPipe()
			return nil
		}
		if err != nil {
			return err
		}
		r.tally.ReceiveSplice.Bytes += n
		r.stored(n)
	}
	return nil
}

// giveUpPipe makes the rest of the bytes go through user memory.
func (r *Receiver) giveUpPipe() {
	r.options.Pipes.Put(r.pipe)
	r.pipe = nil
	r.tally.Fallbacks++
}

// rescue copies what the pipe holds, which exists nowhere else any more, into
// a file that cannot be spliced to.
func (r *Receiver) rescue() error {
	b := r.memory()
	for r.pipe.Len() > 0 {
		r.tally.ReceiveCopy.Calls++
		n, err := r.pipe.read(b[:])
		if err != nil {
			return err
		}
		if err := r.store(b[:n]); err != nil {
			return err
		}
	}
	return nil
}

// copy moves what has arrived, up to a buffer full, into the file.
func (r *Receiver) copy(socket int) error {
	b := r.memory()
	r.tally.ReceiveCopy.Calls++
	n, err := TryReceive(socket, b[:min(r.left, bufferBytes)])
	if err != nil {
		return err
	}
	if n == 0 {
		return io.ErrUnexpectedEOF
	}
	return r.store(b[:n])
}

// memory returns the buffer of this call.
func (r *Receiver) memory() *buffer {
	if r.buffer == nil {
		r.buffer = buffers.Get().(*buffer)
	}
	return r.buffer
}

// store writes all of p to the file.
func (r *Receiver) store(p []byte) error {
	for len(p) > 0 {
		r.tally.ReceiveCopy.Calls++
		n, err := writeFile(r.file, p, r.position)
		if err != nil {
			return err
		}
		r.tally.ReceiveCopy.Bytes += int64(n)
		r.stored(int64(n))
		p = p[n:]
	}
	return nil
}

// stored notes that the file took n bytes.
func (r *Receiver) stored(n int64) {
	r.position += n
	r.left -= n
}
