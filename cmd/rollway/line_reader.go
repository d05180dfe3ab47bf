package main

import (
	"bytes"
	"io"
)

// lineReader cuts an input into lines. It allocates its buffer and nothing per
// line; the buffer grows to what the longest line needs, at most to the limit.
type lineReader struct {
	r     io.Reader
	limit int // bytes of a line, its end not counted

	buffer []byte
	unread []byte // what of buffer was read and not yet given out
	ended  error  // why r gives no more, io.EOF at its end

	number int64 // lines given out, from 1
}

// firstLineBuffer is what is read at a time, unless a line is longer.
const firstLineBuffer = 256 << 10

// A longLineError is a line above the limit.
type longLineError struct {
	line int64 // its number, from 1
	size int64 // bytes, without its end
}

func (longLineError) Error() string { return "line too long" }

func newLineReader(r io.Reader, limit int) *lineReader {
	return &lineReader{r: r, limit: limit, buffer: make([]byte, min(firstLineBuffer, limit+1))}
}

// next returns the next line without its "\n", valid until the next call. A
// last line without "\n" counts, unless it is empty. At the end it returns
// io.EOF; a line above the limit is a longLineError, after which there is no
// next one; other errors are the reader's.
func (l *lineReader) next() ([]byte, error) {
	searched := 0
	for {
		if i := bytes.IndexByte(l.unread[searched:], '\n'); i >= 0 {
			line := l.unread[:searched+i]
			l.unread = l.unread[searched+i+1:]
			l.number++
			if len(line) > l.limit {
				return nil, longLineError{l.number, int64(len(line))}
			}
			return line, nil
		}
		searched = len(l.unread)
		if l.ended == nil && searched > l.limit {
			return nil, l.measure()
		}
		if l.ended != nil {
			return l.last()
		}
		l.fill()
	}
}

// last returns what is left when the input has ended.
func (l *lineReader) last() ([]byte, error) {
	line := l.unread
	l.unread = nil
	if len(line) == 0 || l.ended != io.EOF {
		return nil, l.ended
	}
	l.number++
	if len(line) > l.limit {
		return nil, longLineError{l.number, int64(len(line))}
	}
	return line, nil
}

// fill reads more behind what is unread, which it moves to the front of the
// buffer when there is little room left, and into a larger buffer when there
// is none: next has given up before, if that would exceed the limit.
func (l *lineReader) fill() {
	atFront := cap(l.unread) == cap(l.buffer)
	switch {
	case len(l.unread) == len(l.buffer):
		l.buffer = append(make([]byte, 0, 2*len(l.buffer)), l.unread...)[:2*len(l.buffer)]
		l.unread = l.buffer[:len(l.unread)]
	case !atFront && cap(l.unread)-len(l.unread) <= len(l.buffer)/2:
		l.unread = l.buffer[:copy(l.buffer, l.unread)]
	}
	n := len(l.unread)
	room := l.unread[n:cap(l.unread)]
	for range 100 { // as bufio: a reader that gives nothing for ever is broken
		got, err := l.r.Read(room)
		l.unread = l.unread[:n+got]
		if err != nil {
			l.ended = err
		}
		if got > 0 || err != nil {
			return
		}
	}
	l.ended = io.ErrNoProgress
}

// measure reads to the end of a line that is too long, so that the error can
// say how long it is.
func (l *lineReader) measure() error {
	l.number++
	size := int64(len(l.unread))
	for l.ended == nil {
		l.unread = l.buffer[:0]
		l.fill()
		if i := bytes.IndexByte(l.unread, '\n'); i >= 0 {
			size += int64(i)
			break
		}
		size += int64(len(l.unread))
	}
	l.unread, l.ended = nil, io.EOF
	return longLineError{l.number, size}
}
