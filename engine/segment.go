package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/engine/vfs"
	"github.com/rollway/rollway/internal/mutant"
)

// noTimestamp is the timestamp of a batch that has none, and the highest of a
// segment without one (Kafka's RecordBatch.NO_TIMESTAMP).
const noTimestamp = -1

// unknownTimestamp stands for the highest timestamp of a sealed segment whose
// time index was not read yet.
const unknownTimestamp = -2

// Segment is one .log file and its indexes. Batches are appended to the active
// segment, the last of the log; the others are sealed and never change.
//
// A segment lives until its log has dropped it and every Slice of it is
// closed: its file knows both.
type Segment struct {
	base Offset
	log  *Log
	name string     // <partition directory>/<base>.log
	file descriptor // owned by the log; a use for each Slice

	syncMu  sync.Mutex   // held while the .log file is synced
	synced  atomic.Int64 // all below this position is synced; under syncMu
	written atomic.Int64 // all below this position was written; above synced the file must stay open

	indexMu sync.Mutex // held while the indexes are loaded or rebuilt
	indexed atomic.Bool
	index   *OffsetIndex
	times   *TimeIndex
	newest  atomic.Int64 // highest timestamp in ms, noTimestamp or unknownTimestamp

	// The writer's, under the partition's mutex. size and next are read by
	// everybody once a later segment exists: publishing that one orders them.
	size            Position
	next            Offset
	sealed          atomic.Bool
	sentBack        Position // the committer's: its pages below are on their way to the disk
	listed          bool     // the segment is in the log's list of unsynced ones
	newestLast      Offset   // last offset of the batch that holds the highest timestamp
	sinceIndexEntry int64    // bytes
	firstTimestamp  int64    // highest timestamp of the first batch; segment.ms counts from it
	createdMs       int64

	newestSure bool // newest was not just read from an index; under Engine.deletionMu
}

func newSegment(l *Log, base Offset) *Segment {
	s := &Segment{
		base:           base,
		log:            l,
		name:           segmentFileName(l.dir, base, ".log"),
		index:          newOffsetIndex(l.files, l.cache, segmentFileName(l.dir, base, ".index"), base),
		times:          newTimeIndex(l.files, l.cache, segmentFileName(l.dir, base, ".timeindex"), base),
		next:           base,
		newestLast:     -1,
		firstTimestamp: noTimestamp,
	}
	s.file.init(l.files, s)
	s.newest.Store(unknownTimestamp)
	return s
}

// segmentFileName is Kafka's: the base offset in 20 digits.
func segmentFileName(dir string, base Offset, suffix string) string {
	return fmt.Sprintf("%s/%020d%s", dir, base, suffix)
}

// pin keeps the segment, and its file once that is open, until Release; false if
// the log has dropped the segment and nobody holds it any more.
func (s *Segment) pin() bool { return s.file.use() }

// Release undoes one pin. It is what closing a Slice does.
func (s *Segment) Release() {
	if s.file.done() {
		s.close()
	}
}

// drop is the log's Release, which it calls once.
func (s *Segment) drop() {
	if s.file.giveUp() {
		s.close()
	}
}

func (s *Segment) close() {
	s.file.close()
	s.index.close()
	s.times.close()
}

// syncedTo is the position up to which the .log file is synced.
func (s *Segment) syncedTo() Position { return Position(s.synced.Load()) }

// dirty tells whether the .log file has bytes that are not synced: then it must
// not be closed, or the next description would not be told of their loss.
func (s *Segment) dirty() bool { return s.synced.Load() < s.written.Load() }

// mustStayOpen says that the file is about to change in the middle: it is dirty
// until syncRecovered.
func (s *Segment) mustStayOpen() {
	s.synced.Store(0)
	s.written.Store(max(int64(s.size), 1))
}

// open returns the .log file; see descriptor.open. The caller holds a pin: the
// log's own does not keep the file open.
func (s *Segment) open() (vfs.File, error) { return s.file.open(s.name, 0, false) }

// openToWrite is open for who may take the writers' reserve.
func (s *Segment) openToWrite(flag int) (vfs.File, error) { return s.file.open(s.name, flag, true) }

// create makes the files of a new active segment. The name is durable when it
// returns.
func (s *Segment) create(nowMs int64) error {
	if _, err := s.openToWrite(os.O_CREATE | os.O_EXCL); err != nil {
		return err
	}
	if err := errors.Join(s.index.reset(), s.times.reset()); err != nil {
		return err
	}
	s.indexed.Store(true)
	s.newest.Store(noTimestamp)
	s.newestSure = true
	s.createdMs = nowMs
	if mutant.Is(mutant.DirectoryNotSynced) {
		return nil
	}
	return s.log.syncDir()
}

// note takes a batch into account that lies at the end of the file.
func (s *Segment) note(b record.Batch) {
	first, last, timestamp := b.BaseOffset(), b.LastOffset(), b.MaxTimestamp()
	if s.size == 0 {
		s.firstTimestamp = timestamp
	}
	if timestamp > s.newest.Load() {
		s.newest.Store(timestamp)
		s.newestLast = last
	}
	if s.sinceIndexEntry > s.log.config().IndexIntervalBytes {
		s.index.append(first, last, s.size)
		s.times.append(s.newest.Load(), s.newestLast)
		s.sinceIndexEntry = 0
	}
	s.size += Position(b.Size())
	s.sinceIndexEntry += b.Size()
	s.next = last + 1
}

// persistIndexes writes to the index files what is not there yet. Kafka's time
// index ends with the highest timestamp of the segment, so it is added. A reader
// who rebuilds the indexes of a sealed segment is waited for.
func (s *Segment) persistIndexes() error {
	s.indexMu.Lock()
	defer s.indexMu.Unlock()
	s.times.append(s.newest.Load(), s.newestLast)
	err := errors.Join(s.index.persist(), s.times.persist())
	if _, ok := s.times.last(); ok && err == nil {
		// Kafka's tools open both where there is one.
		err = s.index.touch()
	}
	return err
}

// ensureIndexes loads the indexes of a segment that was found at start, and
// rebuilds them from the log if they are missing or fail a check. The segment is
// sealed, or nobody else uses it yet.
func (s *Segment) ensureIndexes() error {
	if s.indexed.Load() {
		return nil
	}
	s.indexMu.Lock()
	defer s.indexMu.Unlock()
	if s.indexed.Load() {
		return nil
	}
	err := s.loadIndexes()
	damage := (*CorruptionError)(nil)
	if errors.As(err, &damage) {
		err = s.rebuildIndexes(damage)
	}
	if err != nil {
		return err
	}
	s.indexed.Store(true)
	return nil
}

func (s *Segment) loadIndexes() error {
	if err := s.index.load(s.next, s.size); err != nil {
		return err
	}
	if err := s.times.load(s.next); err != nil {
		return err
	}
	if _, ok := s.index.last(); !ok {
		if exceeds, err := s.exceedsInterval(); err != nil {
			return err
		} else if exceeds {
			return &CorruptionError{Path: s.index.name, Offset: -1, Err: errors.New("missing or empty")}
		}
	}
	last, ok := s.times.last()
	if !ok && s.size > 0 {
		// A time index ends with the segment's highest timestamp, so only
		// records without timestamps leave it empty.
		return &CorruptionError{Path: s.times.name, Offset: -1, Err: errors.New("missing or empty")}
	}
	s.newest.Store(noTimestamp)
	if ok {
		s.newest.Store(last.timestamp)
		s.newestLast = s.base + Offset(last.last)
	}
	return nil
}

// exceedsInterval tells whether a batch starts so far behind the first that the
// offset index has an entry for it. It reads headers for one index interval.
// A batch that is damaged is for the lookup that follows to report.
func (s *Segment) exceedsInterval() (bool, error) {
	interval := Position(s.log.config().IndexIntervalBytes)
	if s.size <= interval {
		return false, nil
	}
	scan, err := s.scan(0, s.size, record.HeaderSize)
	if err != nil {
		return false, err
	}
	defer scan.close()
	for scan.next() {
		if scan.position > interval {
			return true, nil
		}
	}
	return false, nil
}

// rebuildIndexes makes both indexes anew from the headers of the segment's
// batches. Lookups beside it find what is there already and scan the rest.
func (s *Segment) rebuildIndexes(why error) error {
	s.log.warn("index is rebuilt from the log", "path", s.name, "reason", why)
	if err := errors.Join(s.index.reset(), s.times.reset()); err != nil {
		return err
	}
	again := newSegment(s.log, s.base)
	again.index, again.times = s.index, s.times
	again.newest.Store(noTimestamp)
	scan, err := s.scan(0, s.size, scanWindow)
	if err != nil {
		return err
	}
	defer scan.close()
	for scan.next() {
		again.sinceIndexEntry += int64(scan.position - again.size)
		again.size = scan.position // damage was passed over
		again.note(scan.header)
	}
	if scan.err != nil {
		return scan.err
	}
	s.newest.Store(again.newest.Load())
	s.newestLast = again.newestLast
	if err := s.log.indexesWritten(s, again.persistIndexes()); err != nil {
		return err
	}
	if err := s.syncIndexes(); !errors.Is(err, errSyncRefused) {
		return err
	}
	return nil // the directory has stopped; readers go on
}

// syncIndexes makes durable what is in the index files.
func (s *Segment) syncIndexes() error {
	createdIndex, err := s.index.sync()
	if err != nil {
		return err
	}
	createdTimes, err := s.times.sync()
	if err != nil || !createdIndex && !createdTimes {
		return err
	}
	return s.log.syncDir()
}

// locate returns the start of the batch that holds off, and that batch's base
// offset. It reads batch headers for at most one index interval, more only when
// the index or the log turns out to be damaged: then all batches of the segment
// are checked, and what is bad is in quarantine afterwards. The segment must hold
// off below limit.
func (s *Segment) locate(off Offset, limit mark) (Position, Offset, error) {
	at, first, err := s.locateIndexed(off, limit)
	if err == nil {
		return at, first, nil
	}
	damage := s.damageOf(err)
	if damage == nil {
		return 0, 0, err
	}
	if err := s.examine(limit, damage.Err); err != nil {
		return 0, 0, err
	}
	if r, ok := s.log.damage.at(off); ok {
		return 0, 0, r.error(s.log, off)
	}
	return s.locateIndexed(off, limit)
}

func (s *Segment) locateIndexed(off Offset, limit mark) (Position, Offset, error) {
	if err := s.ensureIndexes(); err != nil {
		return 0, 0, err
	}
	at, first, err := s.locateByIndex(off, limit)
	if err == nil {
		return at, first, nil
	}
	if damage := (*CorruptionError)(nil); !errors.As(err, &damage) || damage.Path != s.index.name {
		return at, first, err
	}
	if !s.sealed.Load() {
		// The index belongs to the writer.
		return s.locateFrom(0, off, limit)
	}
	s.indexMu.Lock()
	defer s.indexMu.Unlock()
	// Somebody else may have rebuilt it meanwhile.
	if at, first, again := s.locateByIndex(off, limit); again == nil {
		return at, first, nil
	}
	if err := s.rebuildIndexes(err); err != nil {
		return 0, 0, err
	}
	return s.locateByIndex(off, limit)
}

func (s *Segment) locateByIndex(off Offset, limit mark) (Position, Offset, error) {
	entry, found, err := s.index.lookup(off)
	if err != nil {
		return 0, 0, err
	}
	if found && !mutant.Is(mutant.IndexTrusted) {
		if _, err := s.firstOffset(entry, limit.position); err != nil {
			return 0, 0, err
		}
	}
	return s.locateFrom(Position(entry.position), off, limit)
}

// locateFrom walks the headers from start, a batch boundary. The header behind the
// batch that it finds tells whether that ends where it says: one flipped bit could
// have a batch claim the offsets of those behind it.
func (s *Segment) locateFrom(start Position, off Offset, limit mark) (Position, Offset, error) {
	scan, err := s.scan(start, limit.position, record.HeaderSize)
	if err != nil {
		return 0, 0, err
	}
	defer scan.close()
	for scan.next() {
		if scan.header.LastOffset() < off {
			continue
		}
		at, first := scan.position, scan.header.BaseOffset()
		if first == off || scan.next() || scan.err == nil && scan.expect == limit.offset {
			return at, first, nil
		}
		break
	}
	if scan.err != nil {
		return 0, 0, scan.err
	}
	return 0, 0, s.damage(scan.expect, limit.position, fmt.Errorf("the batches end at offset %d, want %d", scan.expect, limit.offset))
}

// firstOffset is the base offset of the batch that entry, below limit, names.
// Unless this process wrote the entry, or has held it against the log before, it
// reads that batch's header: an index has no checksum, and nothing is sent on its
// word alone.
func (s *Segment) firstOffset(entry foundEntry, limit Position) (Offset, error) {
	if entry.first != unknownFirst {
		return s.base + Offset(entry.first), nil
	}
	last := s.base + Offset(entry.last)
	scan, err := s.scan(Position(entry.position), limit, record.HeaderSize)
	if err != nil {
		return 0, err
	}
	defer scan.close()
	found := "no batch"
	if scan.next() {
		if scan.header.LastOffset() == last {
			first := scan.header.BaseOffset()
			entry.confirm(first - s.base)
			return first, nil
		}
		found = fmt.Sprintf("a batch that ends with offset %d", scan.header.LastOffset())
	}
	return 0, &CorruptionError{
		Path: s.index.name, Offset: last, Position: Position(entry.position),
		Err: fmt.Errorf("the log has %s there", found),
	}
}

// cut returns where a range that starts at start, a batch boundary, ends: at
// the end (limit) if that is at most maxBytes away, else on a boundary that the
// index knows in the last half of the range, else in the middle of a batch, but
// never before the first batch ends. The offset of the result is -1 if its
// position is no known boundary.
func (s *Segment) cut(start Position, maxBytes int64, limit mark) (mark, error) {
	if int64(limit.position-start) <= maxBytes {
		return limit, nil
	}
	if err := s.ensureIndexes(); err != nil {
		return mark{}, err
	}
	aim := start + Position(maxBytes)
	entry, ok, err := s.index.boundary(aim)
	if isDamage(err) {
		ok = false // it has changed under us; the next lookup by offset rebuilds it
	} else if err != nil {
		return mark{}, err
	}
	if at := Position(entry.position); ok && at > start+Position(maxBytes/2) {
		if first, err := s.firstOffset(entry, limit.position); err == nil {
			return mark{offset: first, segment: s, position: at}, nil
		}
	}
	return s.cutAtFirst(start, aim, limit)
}

// cutAtFirst ends a range at aim, or with its first batch if that is longer.
func (s *Segment) cutAtFirst(start, aim Position, limit mark) (mark, error) {
	scan, err := s.scan(start, limit.position, record.HeaderSize)
	if err != nil {
		return mark{}, err
	}
	defer scan.close()
	if !scan.next() {
		return mark{}, scan.fault()
	}
	if end, next := scan.end, scan.expect; end >= aim {
		// A reader goes on there, so the length must not be a damaged one.
		if end < limit.position && !scan.next() {
			return mark{}, scan.fault()
		}
		return mark{offset: next, segment: s, position: end}, nil
	}
	return mark{offset: -1, segment: s, position: aim}, nil
}

func (s *Segment) damage(off Offset, at Position, err error) error {
	return &CorruptionError{Path: s.name, Offset: off, Position: at, Err: err}
}

// remove unlinks the files of a segment that its log has dropped.
func (s *Segment) remove() error {
	var errs []error
	for _, name := range []string{s.name, s.index.name, s.times.name} {
		if err := s.log.fs.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
