package engine

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/engine/vfs"
)

// scanWindow is how much a scan of a whole segment reads at a time.
const scanWindow = 64 << 10

// headerScan walks the batches of a segment and reads only their headers, or a
// window of the file at a time where batches are small. The headers have sane
// lengths and magic, and their offsets go on from one to the next; nothing else of
// them is checked. What is known to be damaged is passed over.
type headerScan struct {
	segment  *Segment
	file     vfs.File
	position Position     // of header
	header   record.Batch // the first HeaderSize bytes of the batch, valid until next
	err      error

	end    Position // where the next batch starts
	expect Offset   // its base offset; -1 when that is not known
	limit  Position
	damage []DamagedRange // of the segment
	window []byte
	valid  []byte // what of window was read
	start  Position
}

var scans = sync.Pool{New: func() any { return new(headerScan) }}

// scan starts a walk at position, which must be a batch boundary, that ends at
// limit. The caller, who has the segment pinned or owns its log, closes it.
func (s *Segment) scan(position, limit Position, windowBytes int) (*headerScan, error) {
	s.file.useMore()
	file, err := s.open()
	if err != nil {
		s.Release()
		return nil, err
	}
	c := scans.Get().(*headerScan)
	window := c.window
	if cap(window) < windowBytes {
		window = make([]byte, windowBytes)
	}
	*c = headerScan{
		segment: s, file: file, position: position, end: position, expect: -1, limit: limit,
		damage: s.log.damage.in(s), window: window[:windowBytes],
	}
	if position == 0 {
		c.expect = s.base
	}
	return c, nil
}

func (c *headerScan) close() {
	window := c.window
	c.segment.Release()
	*c = headerScan{window: window}
	scans.Put(c)
}

// next goes to the next batch; false at the limit or on an error.
func (c *headerScan) next() bool {
	c.passDamage()
	if c.err != nil || c.end >= c.limit {
		return false
	}
	c.position = c.end
	head, err := c.read(c.position)
	if err != nil {
		return c.fail(err)
	}
	size, err := record.PeekSize(head)
	if err != nil {
		return c.fail(c.segment.damage(c.expect, c.position, err))
	}
	if Position(size) > c.limit-c.position {
		return c.fail(c.segment.damage(c.expect, c.position, fmt.Errorf("batch of %d bytes, but %d remain", size, c.limit-c.position)))
	}
	c.header = record.Batch(head)
	if err := c.inOrder(); err != nil {
		return c.fail(c.segment.damage(c.expect, c.position, err))
	}
	c.end = c.position + Position(size)
	c.expect = c.header.NextOffset()
	return true
}

// inOrder checks the offsets of the header.
func (c *headerScan) inOrder() error {
	base := c.header.BaseOffset()
	switch {
	case c.expect >= 0 && base != c.expect:
		return fmt.Errorf("base offset %d, want %d", base, c.expect)
	case c.header.LastOffsetDelta() < 0:
		return fmt.Errorf("last offset delta %d, want at least 0", c.header.LastOffsetDelta())
	}
	return nil
}

// passDamage goes to the end of the damage that begins where the next batch
// should.
func (c *headerScan) passDamage() {
	for len(c.damage) > 0 && c.damage[0].Start <= c.end {
		if r := c.damage[0]; r.Start == c.end || r.End > c.end {
			c.end, c.expect = r.End, r.To
		}
		c.damage = c.damage[1:]
	}
}

func (c *headerScan) fail(err error) bool {
	c.err = err
	return false
}

// fault is why next returned false where a batch had to be.
func (c *headerScan) fault() error {
	if c.err != nil {
		return c.err
	}
	return c.segment.damage(c.expect, c.position, errors.New("no batch, want one"))
}

// read returns the header at position, from the window if it is there.
func (c *headerScan) read(position Position) ([]byte, error) {
	if at := int64(position - c.start); position >= c.start && at+record.HeaderSize <= int64(len(c.valid)) {
		return c.valid[at : at+record.HeaderSize], nil
	}
	c.start = position
	want := min(int64(len(c.window)), int64(c.limit-position))
	n, err := c.file.ReadAt(c.window[:want], int64(position))
	c.valid = c.window[:n]
	if n >= record.HeaderSize {
		return c.valid[:record.HeaderSize], nil
	}
	if err == nil || err == io.EOF {
		err = c.segment.damage(c.expect, position, fmt.Errorf("%d bytes remain, want a batch header of %d", n, record.HeaderSize))
	}
	return nil, err
}
