package engine

import (
	"fmt"
	"log/slog"
	"math"
	"sync/atomic"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/engine/topicconfig"
	"github.com/rollway/rollway/engine/vfs"
	"github.com/rollway/rollway/internal/invariant"
)

// Log is the list of segments of one partition and the only place that appends
// to them. Appending is for one goroutine at a time, under the partition's
// mutex; finding a segment takes no lock.
type Log struct {
	fs     vfs.FS
	dir    string
	logger *slog.Logger

	settings atomic.Pointer[topicconfig.Config]
	segments atomic.Pointer[[]*Segment] // immutable, rising; the last is active

	// The writer's.
	next     Offset
	unsynced []*Segment // segments whose .log file has bytes that are not synced
	group    [][]byte   // memory of write
}

func (l *Log) config() *topicconfig.Config { return l.settings.Load() }

func (l *Log) warn(msg string, args ...any) {
	l.logger.Warn(msg, append([]any{"partition", l.dir}, args...)...)
}

func (l *Log) list() []*Segment { return *l.segments.Load() }

// active returns the segment that is appended to; nil while there is none.
func (l *Log) active() *Segment {
	list := l.list()
	if len(list) == 0 {
		return nil
	}
	return list[len(list)-1]
}

// start is the first offset that the log has.
func (l *Log) start() mark {
	list := l.list()
	if len(list) == 0 {
		return mark{offset: l.next}
	}
	return mark{offset: list[0].base, segment: list[0]}
}

// end is where the next batch goes. Writer only.
func (l *Log) end() mark {
	if s := l.active(); s != nil {
		return mark{offset: l.next, segment: s, position: s.size}
	}
	return mark{offset: l.next}
}

// segmentOf returns the segment whose range holds off, with its index in the
// list; nil if off is below the first.
func segmentOf(list []*Segment, off Offset) (*Segment, int) {
	n := prefix(list, func(s *Segment) bool { return s.base <= off })
	if n == 0 {
		return nil, -1
	}
	return list[n-1], n - 1
}

// room returns the active segment if these bytes, which end with offset last
// and whose newest record has this timestamp, fit into it; otherwise it seals
// that and makes a new one. Writer only.
func (l *Log) room(bytes int64, last Offset, timestamp, nowMs int64) (*Segment, error) {
	s := l.active()
	if s != nil && !l.full(s, 0, bytes, last, timestamp) {
		return s, nil
	}
	return l.roll(nowMs)
}

// full tells whether the segment, to which pending bytes are about to be
// written, must be sealed before these bytes. Limits are Kafka's: positions and
// relative offsets are int32, time runs by the records' timestamps from the
// segment's first batch on.
func (l *Log) full(s *Segment, pending, bytes int64, last Offset, timestamp int64) bool {
	if int64(s.size)+pending == 0 {
		return last-s.base > math.MaxInt32
	}
	c := l.config()
	aged := s.firstTimestamp >= 0 && timestamp-s.firstTimestamp > c.SegmentMs
	return aged ||
		int64(s.size)+pending+bytes > c.SegmentBytes ||
		last-s.base > math.MaxInt32 ||
		s.index.sizeBytes()+offsetEntryWidth > c.SegmentIndexBytes ||
		s.times.sizeBytes()+timeEntryWidth > c.SegmentIndexBytes
}

// roll seals the active segment and makes a new one at the end of the log. An
// error leaves the log as it was.
func (l *Log) roll(nowMs int64) (*Segment, error) {
	fresh := newSegment(l, l.next)
	if err := fresh.create(nowMs); err != nil {
		fresh.Release()
		if rmErr := fresh.remove(); rmErr != nil {
			l.warn("a segment that could not be created was left behind", "path", fresh.name, "error", rmErr)
		}
		return nil, err
	}
	list := l.list()
	if s := l.active(); s != nil {
		if err := s.persistIndexes(); err != nil {
			// Their entries stay in memory, and on disk they can be rebuilt.
			l.warn("index entries were not written", "path", s.name, "error", err)
		}
		s.sealed.Store(true)
	}
	grown := append(list[:len(list):len(list)], fresh)
	l.segments.Store(&grown)
	return fresh, nil
}

// write appends the batches of group, adjacent in offsets and final in every
// byte, to the segment by one pwritev. It returns what reached the file also on
// error; the log has not grown then. Writer only.
func (l *Log) write(s *Segment, group [][]byte) error {
	file, err := s.open(0)
	if err != nil {
		return err
	}
	l.group = append(l.group[:0], group...) // WriteAt consumes its argument
	_, err = file.WriteAt(int64(s.size), l.group...)
	clear(l.group)
	if err != nil {
		return l.cutBack(s, file, err)
	}
	for _, batches := range group {
		l.note(s, batches)
	}
	if !s.unsynced {
		s.unsynced = true
		l.unsynced = append(l.unsynced, s)
	}
	return nil
}

// cutBack removes what a failed append left behind the end of the log. Nobody
// has been shown an offset there, so nothing that was served changes.
func (l *Log) cutBack(s *Segment, file vfs.File, cause error) error {
	if err := file.Truncate(int64(s.size)); err != nil {
		return syncFault(fmt.Errorf("%w; then the partial append could not be cut off: %w", cause, err))
	}
	return writeFault(cause)
}

// note takes batches into account that were written to the end of the segment.
func (l *Log) note(s *Segment, batches []byte) {
	for len(batches) > 0 {
		var b record.Batch
		var err error
		if b, batches, err = record.Next(batches); err != nil {
			panic(fmt.Sprintf("engine: batch changed between check and append: %v", err))
		}
		invariant.Check(b.BaseOffset() == l.next, "append at %d, want %d", b.BaseOffset(), l.next)
		s.note(b)
		l.next = b.NextOffset()
	}
	if v := s.index.view.Load(); len(v.tail) >= indexBlockEntries {
		if err := s.index.persist(); err != nil {
			l.warn("index entries were not written", "path", s.index.name, "error", err)
		}
	}
}

// takeUnsynced returns the segments with bytes that are not synced, oldest
// first and pinned. Writer only.
func (l *Log) takeUnsynced(into []*Segment) []*Segment {
	for _, s := range l.unsynced {
		s.unsynced = false
		if s.pin() {
			into = append(into, s)
		}
	}
	clear(l.unsynced)
	l.unsynced = l.unsynced[:0]
	return into
}

// close releases the segments. Slices of them stay valid.
func (l *Log) close() {
	for _, s := range l.list() {
		s.Release()
	}
	l.segments.Store(new([]*Segment))
}
