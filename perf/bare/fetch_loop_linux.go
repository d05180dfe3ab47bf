package bare

import (
	"github.com/rollway/rollway/wire"
)

// requestBytes is what a connection of a Fetcher on a Loop has to receive into:
// requests are some 60 bytes.
const requestBytes = 4 << 10

// loopFetch is what a Fetcher keeps of a connection of a Loop: requests that
// were received, and an answer on its way.
type loopFetch struct {
	requests   []byte
	start, end int // of what is not yet answered
	head       []byte
	out        []byte // of head, what has not left
	position   int64
	left       int64
}

func (f *Fetcher) open(c *loopConn) { c.fetch.requests = make([]byte, requestBytes) }

func (f *Fetcher) readable(c *loopConn) error {
	s := &c.fetch
	if s.start > 0 {
		s.end = copy(s.requests, s.requests[s.start:s.end])
		s.start = 0
	}
	if s.end == len(s.requests) {
		return errFrameTooLarge(len(s.requests))
	}
	n, err := c.receive(nil, s.requests[s.end:])
	if err != nil {
		return err
	}
	s.end += n
	return f.answerAll(c)
}

func (f *Fetcher) writable(c *loopConn) error {
	done, err := f.push(c)
	if err != nil || !done {
		return err
	}
	if err := c.block(false); err != nil {
		return err
	}
	return f.answerAll(c)
}

func (f *Fetcher) turned() error { return nil }

// answerAll answers what was received until the socket is full.
func (f *Fetcher) answerAll(c *loopConn) error {
	s := &c.fetch
	for {
		frame, rest, err := wire.Split(s.requests[s.start:s.end], 0)
		s.start = s.end - len(rest)
		if err == wire.ErrIncomplete {
			return nil
		}
		if err != nil {
			return err
		}
		if err := f.begin(s, frame); err != nil {
			return err
		}
		if done, err := f.push(c); err != nil {
			return err
		} else if !done {
			return c.block(true)
		}
	}
}

// begin makes the answer to a frame.
func (f *Fetcher) begin(s *loopFetch, frame wire.Frame) error {
	if frame.Kind == wire.KindHello {
		s.head = welcome(s.head[:0], frame)
		s.out, s.left = s.head, 0
		return nil
	}
	m, err := wire.ParseFetch(frame)
	if err != nil {
		return err
	}
	s.head, s.position, s.left = f.appendHead(s.head[:0], frame.RequestID, m)
	s.out = s.head
	return nil
}

// push sends what the socket takes of the answer. The sends wait for nothing, but
// sendfile for the disk if the file is not in the page cache.
func (f *Fetcher) push(c *loopConn) (done bool, err error) {
	s := &c.fetch
	done, s.out, err = sendHead(c.fd, s.out, s.left > 0)
	if !done || err != nil {
		return done, err
	}
	done, s.position, s.left, err = sendFile(c.fd, f.File, s.position, s.left)
	return done, err
}
