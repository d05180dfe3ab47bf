package client

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/rollway/rollway/wire"
)

// readAheadBytes is the length of the buffer that heads and short payloads are
// received into. 16 KiB holds 340 answers to a Produce, and copying as much
// out of it, which is all that a long payload loses to it, costs what a read
// costs, 1-2 us.
const readAheadBytes = 16 << 10

// spillStartBytes is what is allocated at first for a payload that does not
// fit the read-ahead buffer. It doubles as bytes arrive, so that a length in a
// head costs memory only when it comes true.
const spillStartBytes = 64 << 10

// receiver cuts frames out of a stream. It belongs to one goroutine.
type receiver struct {
	src      io.Reader
	maxFrame int // most payload bytes of a frame

	buf        []byte
	start, end int // received and not yet consumed is buf[start:end]
}

func newReceiver(src io.Reader, maxFrame int) *receiver {
	return &receiver{src: src, maxFrame: maxFrame, buf: make([]byte, readAheadBytes)}
}

// malformed says that the server sent what the protocol does not allow. It
// hides what kind of error err is: a *wire.Error in a chain is always one that
// the server has sent.
func malformed(err error) error { return malformedf("%v", err) }

// malformedf is malformed with a formatted text.
func malformedf(format string, args ...any) error {
	return fmt.Errorf("malformed frame from the server: "+format, args...)
}

// head reads the head of the next frame. It returns io.EOF if the stream ends
// before it begins.
func (r *receiver) head() (wire.Head, error) {
	if err := r.need(wire.HeadSize); err != nil {
		if r.end-r.start > 0 && errors.Is(err, io.EOF) {
			return wire.Head{}, fmt.Errorf("head cut after %d of %d bytes: %w", r.end-r.start, wire.HeadSize, io.ErrUnexpectedEOF)
		}
		return wire.Head{}, err
	}
	h, err := wire.ParseHead(r.buf[r.start:r.end])
	if err != nil {
		return wire.Head{}, malformed(err)
	}
	if int64(h.Length) > int64(r.maxFrame) {
		return wire.Head{}, malformedf("%s: %d payload bytes, want at most %d", h.Kind, h.Length, r.maxFrame)
	}
	r.start += wire.HeadSize
	return h, nil
}

// frame reads the payload that follows h. It is valid until the next call of
// the receiver.
func (r *receiver) frame(h wire.Head) (wire.Frame, error) {
	p, err := r.take(h, int(h.Length))
	if err == nil || !errors.Is(err, errLong) {
		return wire.Frame{Head: h, Payload: p}, err
	}
	p, err = r.readAll(nil, h, int(h.Length), spillStartBytes)
	return wire.Frame{Head: h, Payload: p}, err
}

// errLong: more was asked for than the read-ahead buffer holds.
var errLong = errors.New("longer than the read-ahead buffer")

// take reads the next n bytes of the payload of h; they are valid until the
// next call of the receiver. It returns errLong, with nothing consumed, if
// they cannot be buffered.
func (r *receiver) take(h wire.Head, n int) ([]byte, error) {
	if n > len(r.buf) {
		return nil, errLong
	}
	if err := r.need(n); err != nil {
		return nil, cut(h, err)
	}
	p := r.buf[r.start : r.start+n : r.start+n]
	r.start += n
	return p, nil
}

// data reads the fields of the Data that h announces, and returns them with
// how many bytes of batches follow.
func (r *receiver) data(h wire.Head) (d wire.Data, bodyLen int, err error) {
	const fields = wire.DataHeaderSize - wire.HeadSize
	p, err := r.take(h, min(fields, int(h.Length)))
	if err != nil {
		return wire.Data{}, 0, err
	}
	d, err = wire.ParseData(wire.Frame{Head: h, Payload: p})
	if err != nil {
		return wire.Data{}, 0, malformed(err)
	}
	return d, int(h.Length) - fields, nil
}

// readAll appends the next n bytes of the payload of h to dst, which it grows
// to expected bytes at once and beyond them by doubling, as bytes arrive. On an
// error it returns what has arrived.
func (r *receiver) readAll(dst []byte, h wire.Head, n, expected int) ([]byte, error) {
	end := len(dst) + n
	dst = slices.Grow(dst, min(n, expected))
	for len(dst) < end {
		if len(dst) == cap(dst) {
			dst = slices.Grow(dst, min(end-len(dst), len(dst)))
		}
		got, err := r.read(h, dst[len(dst):min(cap(dst), end)])
		dst = dst[:len(dst)+got]
		if err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// read reads at least one byte of the payload of h into p, which is not empty:
// what is buffered, or else by one read of the source, straight into p.
func (r *receiver) read(h wire.Head, p []byte) (int, error) {
	if r.start < r.end {
		n := copy(p, r.buf[r.start:r.end])
		r.start += n
		return n, nil
	}
	n, err := r.src.Read(p)
	if n > 0 {
		return n, nil // an error comes again with the next read
	}
	if err == nil {
		err = io.ErrNoProgress // no net.Conn does this
	}
	return 0, cut(h, err)
}

// discard skips the next n bytes of the payload of h.
func (r *receiver) discard(h wire.Head, n int) error {
	for n > 0 {
		if r.start == r.end {
			if err := r.need(1); err != nil {
				return cut(h, err)
			}
		}
		skipped := min(n, r.end-r.start)
		r.start += skipped
		n -= skipped
	}
	return nil
}

// need reads until n bytes are buffered, n being at most the buffer's length.
func (r *receiver) need(n int) error {
	if r.end-r.start >= n {
		return nil
	}
	if r.start > 0 {
		r.end = copy(r.buf, r.buf[r.start:r.end])
		r.start = 0
	}
	for r.end < n {
		got, err := r.src.Read(r.buf[r.end:])
		r.end += got
		switch {
		case r.end >= n:
		case err != nil:
			return err
		case got == 0:
			return io.ErrNoProgress
		}
	}
	return nil
}

// cut is the error for a stream that ended in the payload of h.
func cut(h wire.Head, err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%s of %d payload bytes cut: %w", h.Kind, h.Length, err)
}
