package iouring

import (
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// Stream is a connection of Streams.
type Stream struct {
	// Value is the handler's.
	Value any

	streams *Streams
	fd      int
	index   int
	out     outBuffer
	err     error // what ended it; nil: nothing has

	receiving bool // a multishot receive is in flight
	sending   bool // a send is in flight
	cancels   int  // in flight
	finished  bool // the peer sends no more: close when all is sent
	paused    bool // too much waits to be sent
	starved   bool // in the list of those
	dirty     bool // in the list of those
	stopping  bool // a cancel of the receive was submitted, for a pause
	ending    bool // all that is in flight was cancelled
	closing   bool // the close is in flight
	silent    bool // the handler was not told of it
}

// Send sends a copy of p behind all that was sent before, from the next Turn on.
// Nothing happens after the stream has ended.
func (s *Stream) Send(p []byte) error {
	if s.err != nil {
		return nil
	}
	if err := s.out.append(p); err != nil {
		return err
	}
	s.streams.touch(s)
	return nil
}

// Unsent returns how many bytes of Send have not left.
func (s *Stream) Unsent() int { return s.out.len() }

// End ends the stream with err, without sending what has not left. Closed is
// called later; Received is not called any more. What comes after the first End
// does nothing.
func (s *Stream) End(err error) {
	if s.err == nil {
		s.err = err
		s.streams.touch(s)
	}
}

// advance submits what follows from the state of the stream. All of what it does
// is decided here.
func (s *Stream) advance() {
	if s.closing {
		return
	}
	if s.err != nil {
		s.abandon()
		return
	}
	if !s.sending && s.out.len() > 0 {
		s.sending = true
		s.push(Send(s.fd, s.out.next(), unix.MSG_WAITALL), dataSend)
	}
	switch unsent := s.out.len(); {
	case s.finished:
		if unsent == 0 && !s.receiving {
			s.err = io.EOF
			s.abandon()
		}
		return
	case unsent > s.streams.pause:
		s.paused = true
	case unsent <= s.streams.pause/2:
		s.paused = false
	}
	switch {
	case s.paused && s.receiving && !s.stopping:
		s.stopping = true
		s.cancels++
		s.push(Cancel(s.data(dataReceive)), dataCancel)
	case !s.paused && !s.receiving && !s.starved:
		s.receiving, s.stopping = true, false
		s.push(ReceiveMultishot(s.fd, s.streams.buffers.Group()), dataReceive)
	}
}

// abandon cancels what is in flight, once, and closes the descriptor when there
// is nothing more: closed earlier, its number could be another file's.
func (s *Stream) abandon() {
	if !s.ending {
		s.ending = true
		if s.receiving {
			s.cancels++
			s.push(Cancel(s.data(dataReceive)), dataCancel)
		}
		if s.sending {
			s.cancels++
			s.push(Cancel(s.data(dataSend)), dataCancel)
		}
	}
	if !s.receiving && !s.sending && s.cancels == 0 {
		s.closing = true
		s.push(Close(s.fd), dataClose)
	}
}

// received handles a completion of the receive.
func (s *Stream) received(c CQE) {
	if !c.More() {
		s.receiving = false
	}
	// Also of a completion that is not wanted, or the buffer would be lost.
	buffer, taken := s.streams.buffers.Take(c)
	if taken && (s.err != nil || c.Result <= 0) {
		s.streams.GiveBack(buffer)
		taken = false
	}
	if s.err != nil {
		return
	}
	switch err := c.Err(); {
	case err == nil && c.Result == 0:
		s.finished = true
	case err == nil && !taken:
		s.End(fmt.Errorf("receive %d bytes into no buffer", c.Result))
	case err == nil:
		if err := s.streams.handler.Received(s, buffer); err != nil {
			s.End(err)
		}
	case err == unix.ENOBUFS:
		// Submitted again at once it would end at once, for ever.
		s.starved = true
		s.streams.starved = append(s.streams.starved, s)
	case err == unix.EAGAIN || err == unix.EINTR || err == unix.ECANCELED:
		// Nothing arrived, or it paused: advance goes on if it is to.
	default:
		s.End(fmt.Errorf("receive: %w", err))
	}
}

// cancelled handles the completion of a cancel. What was cancelled has one of its
// own.
func (s *Stream) cancelled(c CQE) {
	s.cancels--
	if c.Err() == unix.EALREADY {
		// It is being carried out and may go on for long: advance tries again.
		s.stopping, s.ending = false, false
	}
}

// sent handles the completion of a send, which may have sent less than all.
func (s *Stream) sent(c CQE) {
	s.sending = false
	switch err := c.Err(); err {
	case nil:
		s.out.sent(int(c.Result))
		if c.Result == 0 {
			s.End(fmt.Errorf("send: %w", io.ErrNoProgress))
		}
	case unix.EAGAIN, unix.EINTR:
		s.out.sent(0)
	default:
		s.out.sent(0)
		s.End(fmt.Errorf("send: %w", err))
	}
}

func (s *Stream) data(kind uint64) uint64 { return uint64(s.index)<<dataBits | kind }

func (s *Stream) push(q SQE, kind uint64) { s.streams.push(q.With(s.data(kind))) }
