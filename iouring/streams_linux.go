package iouring

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/rollway/rollway/internal/invariant"
)

// Handler is what Streams calls, always from Turn or Close. It may call methods
// of Streams and Stream, but not Turn and Close.
type Handler interface {
	// Opened is called for a connection that was accepted.
	Opened(s *Stream)

	// Received has bytes that the peer of s has sent, never none. The buffer is the
	// handler's until it gives it back, also beside an error, which it may do in this
	// call or much later; while it has all of them, nothing is received. An error
	// ends the stream as End does.
	Received(s *Stream, b Buffer) error

	// Closed is called when s is closed and nothing of it is in flight: with
	// io.EOF when its peer had no more to send and was sent all, and else with
	// what ended it. s may not be used afterwards.
	Closed(s *Stream, err error)
}

// StreamsOptions bound Streams. The zero value works.
type StreamsOptions struct {
	// PauseBytes is how much may wait to be sent to a peer before nothing more is
	// received from it; it is resumed at half of that. What was received already
	// can still add to it. Default 256 KiB.
	PauseBytes int
}

// Validate returns an error that names the field that is out of range.
func (o StreamsOptions) Validate() error {
	if o.PauseBytes < 0 {
		return fmt.Errorf("iouring: StreamsOptions.PauseBytes %d, want 0 (default 256 KiB) or more", o.PauseBytes)
	}
	return nil
}

// Streams serves connections on a ring: it accepts them, keeps a multishot
// receive going on each, sends what it is given, one send at a time for each
// connection, and closes them when nothing of them is in flight any more.
//
// It is for one goroutine, that of its ring; only Wake may be called by others.
type Streams struct {
	queue   Queue
	buffers *Buffers
	handler Handler
	pause   int

	listener  int // -1: none
	accepting bool
	refused   error // why the last accept failed, until a connection was closed; nil: go on
	cancels   int   // of the listener, in flight
	closing   bool

	streams []*Stream // by index; nil: free
	free    []int     // indexes
	open    int       // Invariant: how many of streams are not nil
	dirty   []*Stream // to be looked at by advance before the next Enter
	starved []*Stream // whose receive found no buffer
	backlog []SQE     // what found the queue full, in order

	wake     *os.File // eventfd
	waking   bool     // its read is in flight
	wakeInto []byte
}

// UserData is the index of a stream and what it is of that.
const (
	dataReceive = iota
	dataSend
	dataCancel
	dataClose
	dataAccept // of no stream, from here on
	dataCancelAccept
	dataWake

	dataBits = 8
)

// maxTurn is how many completions a Turn handles at most: as many as the largest
// completion queue holds, so that one that is filled while it is emptied ends.
const maxTurn = maxCompletionsEntries

// NewStreams returns Streams without a connection. The buffers must be
// registered with the ring behind queue. Close it before the ring.
func NewStreams(queue Queue, buffers *Buffers, handler Handler, o StreamsOptions) (*Streams, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.PauseBytes == 0 {
		o.PauseBytes = 256 << 10
	}
	// In blocking mode: a read of the ring waits without a thread, and one of a
	// non-blocking descriptor would not wait.
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	d := &Streams{queue: queue, buffers: buffers, handler: handler, pause: o.PauseBytes, listener: -1}
	d.wake = os.NewFile(uintptr(fd), "eventfd")
	if d.wakeInto, err = Allocate(8); err != nil {
		d.wake.Close()
		return nil, err
	}
	return d, nil
}

// Listen accepts connections of a listening socket from the next Turn on. The
// socket stays the caller's, who keeps it open until Close has returned. What is
// accepted inherits its options.
func (d *Streams) Listen(listener int) { d.listener = listener }

// Len returns how many connections there are.
func (d *Streams) Len() int { return d.open }

// GiveBack gives a buffer that Received got back to the kernel.
func (d *Streams) GiveBack(b Buffer) { d.buffers.GiveBack(b) }

// Wake ends the wait of the Turn that goes on, or that comes next. Anybody may
// call it at any time; after Close it is an error.
func (d *Streams) Wake() error {
	_, err := d.wake.Write([]byte{1, 0, 0, 0, 0, 0, 0, 0})
	return err
}

// Turn submits what is to be done, waits until something is there, unless wait is
// false, and handles all of it. An error is one of the ring, or of the listener,
// and is for good.
func (d *Streams) Turn(wait bool) error {
	if err := d.submit(); err != nil {
		return err
	}
	least := 0
	if wait && len(d.backlog) == 0 {
		least = 1
	}
	if err := d.queue.Enter(least); err != nil {
		return err
	}
	for range maxTurn {
		c, ok := d.queue.Next()
		if !ok {
			break
		}
		d.complete(c)
	}
	if d.refused != nil && d.open == 0 && !d.closing {
		return d.refused // nobody is there whose end would make room
	}
	return nil
}

// submit pushes all that has become due.
func (d *Streams) submit() error {
	if !d.waking && !d.closing {
		d.waking = true
		d.push(Read(int(d.wake.Fd()), d.wakeInto, 0).With(dataWake))
	}
	if d.listener >= 0 && !d.accepting && d.refused == nil && !d.closing {
		d.accepting = true
		d.push(AcceptMultishot(d.listener).With(dataAccept))
	}
	// A receive for each buffer that is there: more would end at once.
	for n := min(len(d.starved), d.buffers.Free()); n > 0; n-- {
		s := d.starved[0]
		d.starved = d.starved[1:]
		s.starved = false
		d.touch(s)
	}
	for len(d.dirty) > 0 {
		s := d.dirty[len(d.dirty)-1]
		d.dirty = d.dirty[:len(d.dirty)-1]
		s.dirty = false
		s.advance()
	}
	return d.pushBacklog()
}

// push queues a submission, behind those that found the queue full.
func (d *Streams) push(s SQE) {
	if len(d.backlog) > 0 || d.queue.Push(s) != nil {
		d.backlog = append(d.backlog, s)
	}
}

// pushBacklog pushes what found the queue full as long as the kernel takes more.
// The backlog is bounded: a stream has at most a receive, a send and three cancels.
func (d *Streams) pushBacklog() error {
	for i, s := range d.backlog {
		if d.queue.Push(s) == nil {
			continue
		}
		if err := d.queue.Enter(0); err != nil {
			return err
		}
		if d.queue.Push(s) != nil {
			d.backlog = append(d.backlog[:0], d.backlog[i:]...)
			return nil // completions must be handled first
		}
	}
	d.backlog = d.backlog[:0]
	return nil
}

// touch has s be looked at before the next Enter.
func (d *Streams) touch(s *Stream) {
	if !s.dirty {
		s.dirty = true
		d.dirty = append(d.dirty, s)
	}
}

// complete handles one completion.
func (d *Streams) complete(c CQE) {
	kind, index := c.UserData%(1<<dataBits), int(c.UserData>>dataBits)
	switch kind {
	case dataAccept:
		d.accepted(c)
		return
	case dataCancelAccept:
		d.cancels--
		if c.Err() == unix.EALREADY {
			d.cancelAccept() // it is being carried out and may go on for long
		}
		return
	case dataWake:
		d.waking = false
		return
	}
	s := d.streams[index] // never freed while something of it is in flight
	switch kind {
	case dataReceive:
		s.received(c)
	case dataSend:
		s.sent(c)
	case dataCancel:
		s.cancelled(c)
	case dataClose:
		d.closed(s)
		return
	}
	d.touch(s)
}

// accepted handles a completion of the multishot accept.
func (d *Streams) accepted(c CQE) {
	if !c.More() {
		d.accepting = false
	}
	switch err := c.Err(); err {
	case nil:
		d.opened(int(c.Result))
	case unix.ECONNABORTED, unix.EINTR, unix.EAGAIN, unix.EPROTO, unix.ECANCELED:
		// The peer has given up before we came to it, or the multishot ended: the
		// next submit goes on, unless Close has cancelled it.
	default:
		// EMFILE, ENFILE, ENOMEM, ENOBUFS: accept(2) would fail at once again, until a
		// connection is closed.
		d.refused = fmt.Errorf("accept: %w", err)
	}
}

func (d *Streams) cancelAccept() {
	if d.accepting {
		d.cancels++
		d.push(Cancel(dataAccept).With(dataCancelAccept))
	}
}

// opened makes a stream of a connection.
func (d *Streams) opened(fd int) {
	index := len(d.streams)
	if n := len(d.free); n > 0 {
		index, d.free = d.free[n-1], d.free[:n-1]
	} else {
		d.streams = append(d.streams, nil)
	}
	s := &Stream{streams: d, fd: fd, index: index}
	d.streams[index] = s
	d.open++
	d.touch(s)
	if d.closing {
		s.End(os.ErrClosed)
		s.silent = true
		return
	}
	d.handler.Opened(s)
}

// closed forgets a stream whose descriptor is closed.
func (d *Streams) closed(s *Stream) {
	invariant.Check(!s.receiving && !s.sending && s.cancels == 0, "stream %d closed with operations in flight", s.index)
	if s.starved {
		for i := range d.starved {
			if d.starved[i] == s {
				d.starved = append(d.starved[:i], d.starved[i+1:]...)
				break
			}
		}
	}
	s.out.free()
	d.streams[s.index] = nil
	d.free = append(d.free, s.index)
	d.open--
	d.refused = nil
	if !s.silent {
		d.handler.Closed(s, s.err)
	}
}

// Close ends all streams with os.ErrClosed, waits until nothing is in flight, and
// frees what it has. After an error of the ring all memory is left as it is.
func (d *Streams) Close() error {
	d.closing = true
	for _, s := range d.streams {
		if s != nil {
			s.End(os.ErrClosed)
		}
	}
	d.cancelAccept()
	if d.waking {
		if err := d.Wake(); err != nil {
			return err
		}
	}
	for d.open > 0 || d.accepting || d.cancels > 0 || d.waking {
		if err := d.Turn(true); err != nil {
			return err
		}
	}
	return errors.Join(d.wake.Close(), Free(d.wakeInto))
}
