package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/zerocopy"
)

const maxOffset = Offset(math.MaxInt64)

// Slice is a range of a segment file that holds whole batches, the last of
// which may be cut. It pins the file: Close it after the last byte has left,
// also on error. A Slice of length 0 pins nothing.
type Slice struct {
	zerocopy.Range
	// Offsets are those of the partition when the slice was cut.
	Offsets Offsets
	// AtEnd tells that nothing visible follows the slice.
	AtEnd bool
}

// Cursor remembers where a sequential reader is, so that its next fetch looks
// nothing up. It belongs to one reader; the zero value knows nothing. It pins
// nothing.
type Cursor struct {
	offset   Offset // the next record, or -1 if the position is inside a batch
	segment  *Segment
	position Position
}

// FetchRequest asks for visible records of one partition.
type FetchRequest struct {
	// Offset is the first record wanted; the slice starts with the batch that
	// holds it.
	Offset Offset
	// MaxBytes bounds the slice, but its first batch is always whole. At least 1.
	MaxBytes int64
	// Cursor, if not nil, is that of a reader who goes on where the last slice
	// ended; it is advanced.
	Cursor *Cursor

	examined bool // the segment was examined for damage
}

// Fetch returns what is visible from Offset on: of one segment, at most
// MaxBytes, empty at the high watermark. It never waits for records. It reads at
// most two blocks of an index and batch headers for one index interval; where the
// cursor fits, one block and one header, and nothing at all while the index
// entries are still in memory or the cache has the block and knows the entry.
//
// Errors: ErrOffsetOutOfRange, ErrNotReady, ErrOffline, ErrTooManyOpenFiles,
// ErrUnknownTopic after a deletion, *CorruptionError.
func (p *Partition) Fetch(r FetchRequest) (Slice, error) {
	if r.MaxBytes < 1 {
		return Slice{}, fmt.Errorf("engine: fetch from %s: MaxBytes is %d, want at least 1", p, r.MaxBytes)
	}
	var scratch Cursor
	if r.Cursor == nil {
		r.Cursor = &scratch
	}
	for {
		s, again, err := p.fetchOnce(&r)
		if !again {
			return s, err
		}
	}
}

// fetchOnce is Fetch; again is true if the segment was dropped under it.
func (p *Partition) fetchOnce(r *FetchRequest) (slice Slice, again bool, err error) {
	if err := p.readable(); err != nil {
		return Slice{}, false, err
	}
	if r.Offset, err = p.pastDamage(r.Offset); err != nil {
		return Slice{}, false, err
	}
	marks := p.marks.Load()
	empty, err := p.bound(r.Offset, marks)
	if empty || err != nil {
		return Slice{Offsets: marks.public(), AtEnd: true}, false, err
	}
	c := r.Cursor
	if c.segment == nil || c.segment.log != p.log || c.offset != r.Offset {
		*c = Cursor{offset: r.Offset}
	}
	segment, limit := p.segmentAt(c, marks)
	if segment == nil || !segment.pin() {
		*c = Cursor{}
		return Slice{}, true, nil
	}
	if c.segment == nil {
		c.position, _, err = segment.locate(r.Offset, limit)
	}
	end := mark{}
	if err == nil {
		limit = p.log.damage.bound(segment, c.position, limit)
		end, err = segment.cut(c.position, r.MaxBytes, limit)
	}
	if err == nil {
		slice, err = segment.between(c.position, end.position, marks)
	}
	if err != nil {
		if damage := segment.damageOf(err); damage != nil && !r.examined {
			// A batch that starts where it should may yet end elsewhere.
			r.examined = true
			again = segment.examine(limit, damage.Err) == nil
		}
		segment.Release()
		*c = Cursor{}
		if p.gone(segment) {
			return Slice{}, true, nil
		}
		return Slice{}, again, p.reported(err)
	}
	*c = Cursor{offset: end.offset, segment: segment, position: end.position}
	return slice, false, nil
}

// bound checks the offset of a fetch; empty is true at or above the high
// watermark, up to the end of the log.
func (p *Partition) bound(off Offset, marks *offsetMarks) (empty bool, err error) {
	if off < marks.logStart.offset || off > marks.logEnd.offset {
		return false, fmt.Errorf("%w: %s has offsets %d to %d, asked for %d",
			ErrOffsetOutOfRange, p, marks.logStart.offset, marks.logEnd.offset, off)
	}
	return off >= marks.highWatermark.offset, nil
}

// segmentAt returns the segment that holds the visible record at c, and where
// the visible part of it ends. It moves c into the next segment when it stands
// at the end of one.
func (p *Partition) segmentAt(c *Cursor, marks *offsetMarks) (*Segment, mark) {
	for {
		s := c.segment
		list := p.log.list()
		if s == nil {
			if s, _ = segmentOf(list, c.offset); s == nil {
				return nil, mark{}
			}
		}
		if s == marks.highWatermark.segment {
			return s, marks.highWatermark
		}
		// A later segment holds the high watermark, so this one is sealed.
		end := mark{offset: s.next, segment: s, position: s.size}
		// Who has read the last batch goes on, whatever bytes stand behind it.
		if c.segment == nil || c.position < end.position && c.offset < end.offset {
			return s, end
		}
		*c = Cursor{offset: s.next}
		if next, _ := segmentOf(list, s.next); next != nil && next.base == s.next {
			c.segment = next
		}
	}
}

// between is the slice from start to end of a segment that the caller has
// pinned; closing the slice undoes that.
func (s *Segment) between(start, end Position, marks *offsetMarks) (Slice, error) {
	file, err := s.open()
	if err != nil {
		return Slice{}, err
	}
	return Slice{
		Range:   zerocopy.NewRange(file.OS(), int64(start), int64(end-start), s),
		Offsets: marks.public(),
		AtEnd:   s == marks.highWatermark.segment && end == marks.highWatermark.position,
	}, nil
}

// reported stops the directory if a reader, who may have had to rebuild an
// index, met a failed write or sync. It returns its argument, unless that is about
// a file that is missing because the topic was deleted: files are closed while
// nobody reads them, and opened again.
func (p *Partition) reported(err error) error {
	if isFinal(err) {
		p.engine.fail(err)
	}
	if errors.Is(err, fs.ErrNotExist) && p.readable() != nil {
		return p.readable()
	}
	return err
}

// Seek returns a cursor for FetchNext at the batch that holds off, which may be
// the high watermark or above it, up to the end of the log. Errors as Fetch.
func (p *Partition) Seek(off Offset) (Cursor, error) {
	for {
		c, marks, err := p.begin(off)
		if err != nil || c.offset >= marks.highWatermark.offset {
			return c, err
		}
		segment, limit := p.segmentAt(&c, marks)
		if segment == nil || !segment.pin() {
			continue
		}
		c.position, _, err = segment.locate(c.offset, limit)
		segment.Release()
		if err != nil && p.gone(segment) {
			continue
		}
		c.segment = segment
		return c, p.reported(err)
	}
}

// begin returns where who reads from off has to begin, behind damage that readers
// are let past, and the marks that this is within.
func (p *Partition) begin(off Offset) (Cursor, *offsetMarks, error) {
	if err := p.readable(); err != nil {
		return Cursor{}, nil, err
	}
	off, err := p.pastDamage(off)
	if err != nil {
		return Cursor{}, nil, err
	}
	marks := p.marks.Load()
	_, err = p.bound(off, marks)
	return Cursor{offset: off}, marks, err
}

// FetchNext returns the bytes that follow c, at most maxBytes and of one
// segment, and advances c. Successive slices joined are the log, byte for byte:
// one may end, and the next begin, in the middle of a batch. It looks nothing up
// and reads nothing. Empty at the high watermark. maxBytes is at least 1.
//
// Errors: ErrOffsetOutOfRange if the segment was deleted, and those of Fetch; c
// stays where it is.
func (p *Partition) FetchNext(c *Cursor, maxBytes int64) (Slice, error) {
	if maxBytes < 1 {
		return Slice{}, fmt.Errorf("engine: fetch from %s: maxBytes is %d, want at least 1", p, maxBytes)
	}
	if err := p.readable(); err != nil {
		return Slice{}, err
	}
	if err := p.streamPastDamage(c); err != nil {
		return Slice{}, err
	}
	marks := p.marks.Load()
	if c.segment == nil {
		// Seek met the high watermark; there may be records now.
		found, err := p.Seek(c.offset)
		if err != nil || found.segment == nil {
			return Slice{Offsets: marks.public(), AtEnd: true}, err
		}
		*c = found
		marks = p.marks.Load()
	}
	segment, limit := p.segmentAt(c, marks)
	if segment == nil {
		_, err := p.bound(c.offset, marks)
		return Slice{Offsets: marks.public(), AtEnd: true}, err
	}
	limit = p.log.damage.bound(segment, c.position, limit)
	remain := limit.position - c.position
	if remain == 0 {
		c.segment = segment
		return Slice{Offsets: marks.public(), AtEnd: true}, nil
	}
	if c.before(marks.logStart) || !segment.pin() {
		return Slice{}, p.deletedUnder(segment)
	}
	end := c.position + min(remain, Position(maxBytes))
	s, err := segment.between(c.position, end, marks)
	if err != nil {
		segment.Release()
		if p.gone(segment) {
			return Slice{}, p.deletedUnder(segment)
		}
		return Slice{}, p.reported(err)
	}
	*c = Cursor{offset: -1, segment: segment, position: end}
	if end == limit.position {
		c.offset = limit.offset
	}
	return s, nil
}

// streamPastDamage moves a stream that stands at damage behind it, if readers are
// let past that.
func (p *Partition) streamPastDamage(c *Cursor) error {
	if c.offset < 0 {
		return nil // inside a batch; a stream stops where damage begins
	}
	to, err := p.pastDamage(c.offset)
	if err == nil && to != c.offset {
		*c = Cursor{offset: to}
	}
	return err
}

// before tells that the reader stands before the start of the log.
func (c *Cursor) before(start mark) bool {
	switch {
	case c.offset >= 0:
		return c.offset < start.offset
	case start.segment == nil:
		return false
	case c.segment == start.segment:
		return c.position < start.position
	}
	return c.segment.base < start.segment.base
}

// deletedUnder is what a reader is told whose segment has left the log, or the
// part of it that was to be read.
func (p *Partition) deletedUnder(s *Segment) error {
	return fmt.Errorf("%w: what was read of %s (segment %d) is deleted, offsets start at %d",
		ErrOffsetOutOfRange, p, s.base, p.marks.Load().logStart.offset)
}

// FetchWait is Fetch that waits, at most maxWait, until at least minBytes are
// visible or the segment ends. It returns an empty slice when the time is over.
func (p *Partition) FetchWait(ctx context.Context, r FetchRequest, minBytes int64, maxWait time.Duration) (Slice, error) {
	ctx, cancel := context.WithTimeout(ctx, maxWait)
	defer cancel()
	for {
		before := Cursor{}
		if r.Cursor != nil {
			before = *r.Cursor
		}
		s, err := p.Fetch(r)
		if err != nil || s.Len >= minBytes || !s.AtEnd {
			return s, err
		}
		if err := p.AwaitHighWatermark(ctx, s.Offsets.HighWatermark+1); err != nil {
			if ctx.Err() != nil || s.Len > 0 {
				return s, nil // what is visible stays so, also if no more will come
			}
			return Slice{}, err
		}
		s.Close()
		if r.Cursor != nil {
			*r.Cursor = before
		}
	}
}

// ReadAll reads the batches of the slice into memory, appended to dst: for
// callers without a socket. A batch that is cut at the end is left out.
func (s *Slice) ReadAll(dst []byte) ([]byte, error) {
	at := len(dst)
	dst = append(dst, make([]byte, s.Len)...)
	if s.Len == 0 {
		return dst, nil
	}
	if _, err := s.File.ReadAt(dst[at:], s.Position); err != nil {
		return dst[:at], err
	}
	whole := dst[at:]
	for len(whole) > 0 {
		_, rest, err := record.Next(whole)
		if err != nil {
			break
		}
		whole = rest
	}
	return dst[:len(dst)-len(whole)], nil
}
