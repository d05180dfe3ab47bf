package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"sync/atomic"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/engine/topicconfig"
	"github.com/rollway/rollway/engine/vfs"
	"github.com/rollway/rollway/internal/invariant"
	"github.com/rollway/rollway/internal/mutant"
)

// Log is the list of segments of one partition and the only place that appends
// to them. Appending is for one goroutine at a time, under the partition's
// mutex; finding a segment takes no lock.
type Log struct {
	fs     vfs.FS
	files  *descriptors
	cache  *indexCache
	dir    string
	logger *slog.Logger
	// rolled is told the base of a new segment before anything is appended to
	// it; its error keeps the segment from being made.
	rolled func(base Offset) error

	damage   quarantine
	settings atomic.Pointer[topicconfig.Config]
	segments atomic.Pointer[[]*Segment] // immutable, rising; the last is active

	// The writer's.
	next     Offset
	unsynced []*Segment // segments whose .log file may have bytes that are not synced, oldest first
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

// incoming is what the log needs to know of batches that are to be appended.
type incoming struct {
	bytes  int64
	last   Offset
	newest int64 // highest timestamp, ms
	nowMs  int64 // wall clock
}

// room returns the active segment if the batches fit into it; otherwise it seals
// that and makes a new one. Writer only.
func (l *Log) room(in incoming) (*Segment, error) {
	if s := l.active(); s != nil && !l.full(s, 0, in) {
		return s, nil
	}
	return l.roll(in.nowMs)
}

// full tells whether the segment, to which pending bytes are about to be
// written, must be sealed before these batches. Limits are Kafka's: positions
// and relative offsets are int32; time runs by the records' timestamps from the
// segment's first batch on, and by the wall clock where they have none.
func (l *Log) full(s *Segment, pending int64, in incoming) bool {
	if in.last-s.base > math.MaxInt32 || s.sealed.Load() {
		return true // a segment whose end is damaged is sealed while it is the last
	}
	if int64(s.size)+pending == 0 {
		return false
	}
	c := l.config()
	age := in.newest - s.firstTimestamp
	if s.firstTimestamp < 0 || in.newest < 0 {
		age = in.nowMs - s.createdMs
	}
	return age > c.SegmentMs ||
		int64(s.size)+pending+in.bytes > c.SegmentBytes ||
		s.index.sizeBytes()+offsetEntryWidth > c.SegmentIndexBytes ||
		s.times.sizeBytes()+timeEntryWidth > c.SegmentIndexBytes
}

// roll seals the active segment and makes a new one at the end of the log. An
// error leaves the log as it was.
func (l *Log) roll(nowMs int64) (*Segment, error) {
	fresh := newSegment(l, l.next)
	err := fresh.create(nowMs)
	s := l.active()
	if err == nil && s != nil {
		err = l.indexesWritten(s, s.persistIndexes())
	}
	if err == nil {
		err = l.rolled(fresh.base)
	}
	if err != nil {
		fresh.drop()
		if rmErr := fresh.remove(); rmErr != nil {
			l.warn("a segment that could not be created was left behind", "path", fresh.name, "error", rmErr)
		}
		return nil, err
	}
	if s != nil {
		s.sealed.Store(true)
	}
	list := l.list()
	grown := append(list[:len(list):len(list)], fresh)
	l.segments.Store(&grown)
	return fresh, nil
}

// write appends the batches of group, adjacent in offsets and final in every
// byte, to the segment by one pwritev. After an error the log has not grown,
// unless the error is final. Writer only.
func (l *Log) write(s *Segment, group [][]byte) error {
	s.file.useMore()
	defer s.Release()
	file, err := s.openToWrite(0)
	if err != nil {
		return err
	}
	l.group = append(l.group[:0], group...) // WriteAt consumes its argument
	s.written.Store(int64(s.size) + 1)      // at least; before the write, so that the file stays open
	n, err := file.WriteAt(int64(s.size), l.group...)
	clear(l.group)
	s.written.Store(int64(s.size) + n)
	if err != nil && !mutant.Is(mutant.ShortWriteIgnored) {
		return l.cutBack(s, file, err)
	}
	if !s.listed {
		s.listed = true
		l.unsynced = append(l.unsynced, s)
	}
	for _, batches := range group {
		l.note(s, batches)
	}
	if len(s.index.view.Load().tail) >= indexBlockEntries {
		return l.indexesWritten(s, s.index.persist())
	}
	return nil
}

// indexesWritten passes an error of writing index entries on if it is final.
// Otherwise, as on a full disk, the entries stay in memory until the next try.
func (l *Log) indexesWritten(s *Segment, err error) error {
	if err == nil || isFinal(err) {
		return err
	}
	l.warn("index entries were not written", "path", s.name, "error", err)
	return nil
}

// cutBack removes what a failed append left behind the end of the log. Nobody
// has been shown an offset there, so nothing that was served changes.
func (l *Log) cutBack(s *Segment, file vfs.File, cause error) error {
	end := s.size
	if mutant.Is(mutant.TruncateBelowHighWatermark) {
		end /= 2
	}
	if err := file.Truncate(int64(end)); err != nil {
		return syncFault(fmt.Errorf("%w; then the partial append could not be cut off: %w", cause, err))
	}
	s.written.Store(int64(s.size))
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
}

// unsyncedBelow appends to jobs what must be synced for the log to be durable in
// its files up to end, oldest first and pinned. Writer only.
func (l *Log) unsyncedBelow(end mark, jobs []syncJob) []syncJob {
	kept := l.unsynced[:0]
	for _, s := range l.unsynced {
		if s.syncedTo() >= s.size {
			s.listed = false
			continue
		}
		kept = append(kept, s)
		to := s.size
		if end.segment == s {
			to = end.position
		} else if end.offset <= s.base {
			continue
		}
		if s.syncedTo() < to && s.pin() {
			jobs = append(jobs, syncJob{s, to})
		}
	}
	clear(l.unsynced[len(kept):])
	l.unsynced = kept
	return jobs
}

// syncDir makes the names of the partition's files durable. A directory that is
// not there was not synced either: its topic was deleted meanwhile, which is no
// write-back error.
func (l *Log) syncDir() error {
	err := l.fs.SyncDir(l.dir)
	if isDescriptorLimit(err) && l.files.forgo() {
		err = l.fs.SyncDir(l.dir)
	}
	if isDescriptorLimit(err) {
		return fmt.Errorf("%w: %w", ErrTooManyOpenFiles, err) // nothing was synced, and nothing lost
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncFault(err)
}

// close releases the segments. Slices of them stay valid. Writer only.
func (l *Log) close() {
	for _, s := range l.list() {
		s.drop()
	}
	l.segments.Store(new([]*Segment))
}
