package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/engine/topicconfig"
	"github.com/rollway/rollway/engine/vfs"
)

// found is what a start knows of a partition before its log is read.
type found struct {
	clean bool // the last process stopped cleanly
	// recoveryPoint: everything below was synced, indexes included. hasPoint is
	// false for a partition that no checkpoint mentions.
	recoveryPoint Offset
	hasPoint      bool
	// durable is the end of what was committed: by the recovery point or by the
	// journal. What is bad below it is damage, what is bad above a torn tail.
	durable Offset
}

// recoverWithin is recover that waits for others to close files where too many
// are open: that is no reason to go without the partition.
func (p *Partition) recoverWithin(f found) error {
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := p.recover(f)
		if !errors.Is(err, ErrTooManyOpenFiles) {
			return err
		}
		p.log.warn("recovery waits for open files", "reason", err)
		p.log.close()
		select {
		case <-p.engine.stopBackground:
			return err
		case <-time.After(pause):
		}
	}
}

// recover reads the partition's log and makes it ready. After a clean stop that
// is a look at the end of the last segment. After an unclean one what the journal
// holds is written where it is missing, every batch above the recovery point is
// checked, a torn tail is cut off, damage is put into quarantine, and what is left
// is synced before anybody can read it.
func (p *Partition) recover(f found) error {
	if err := p.checkIdentity(); err != nil {
		return err
	}
	segments, err := p.findSegments()
	if err != nil {
		return err
	}
	segments = p.dropDeleted(segments)
	f.durable = max(f.recoveryPoint, p.journaled.promise.next)
	if p.engine.options.CheckAll {
		f.clean, f.recoveryPoint = false, 0
	}
	if segments, err = p.replay(segments); err != nil {
		for _, s := range segments {
			s.drop()
		}
		return err
	}
	p.journaled.entries = nil // the journal need not be read for this partition again
	if err := p.log.loadDamage(segments); err != nil {
		return err
	}
	p.log.segments.Store(&segments)
	if len(segments) == 0 && f.durable > 0 {
		return &CorruptionError{
			Path: p.dir, Offset: 0, Position: -1,
			Err: fmt.Errorf("there is no segment, but it was durable up to %d; put the missing files back", f.durable),
		}
	}
	clean := f.clean && f.hasPoint
	if clean {
		clean, err = p.openClean(f.recoveryPoint)
		if err != nil {
			return err
		}
	}
	epochs, err := p.readEpochs()
	if err != nil {
		return err
	}
	if !clean {
		if err := p.recoverLog(f, epochs); err != nil {
			return err
		}
	}
	if err := p.recoverEpochs(epochs, clean); err != nil {
		return err
	}
	if err := p.recoverProducers(f.recoveryPoint); err != nil {
		return err
	}
	start, err := p.recoverLogStart()
	if err != nil {
		return err
	}
	p.lastAppendMs = p.newestAppendTime()
	p.covered = p.log.next
	end := p.log.end()
	p.marks.Store(&offsetMarks{logStart: start, highWatermark: end, logEnd: end, flushed: end})
	return nil
}

// newestAppendTime is what append times must not go back behind: the timestamp
// of the newest record if it was the broker's.
func (p *Partition) newestAppendTime() int64 {
	if p.log.config().TimestampType != topicconfig.LogAppendTime {
		return 0
	}
	newest := int64(0)
	for _, s := range p.log.list() {
		if s.indexed.Load() {
			newest = max(newest, s.newest.Load())
		}
	}
	return newest
}

// checkIdentity refuses a directory that belongs to another topic of the same
// name.
func (p *Partition) checkIdentity() error {
	id, err := readPartitionMetadata(p.engine.fs, p.dir)
	if err != nil {
		return fmt.Errorf("partition %s: %w", p, err)
	}
	if id != p.id {
		return &CorruptionError{
			Path: path.Join(p.dir, partitionMetadataFile), Offset: -1, Position: -1,
			Err: fmt.Errorf("topic id %v, but topic %s has %v", id, p.topic, p.id),
		}
	}
	return nil
}

// findSegments lists the .log files of the directory, in order. Sizes are those
// of the files; next is known but for the last.
func (p *Partition) findSegments() ([]*Segment, error) {
	entries, err := p.engine.fs.ReadDir(p.dir)
	if err != nil {
		return nil, err
	}
	p.sweepFiles(entries)
	var segments []*Segment
	for _, entry := range entries {
		base, kind := parseSegmentFileName(entry.Name())
		if kind != ".log" {
			if !p.foundSnapshot(entry.Name()) && kind == "" && !isPartitionFile(entry.Name()) {
				p.log.warn("unknown file is ignored", "file", path.Join(p.dir, entry.Name()))
			}
			continue
		}
		info, err := entry.Info()
		if err != nil {
			return nil, err
		}
		if !info.Mode().IsRegular() {
			return nil, &CorruptionError{
				Path: path.Join(p.dir, entry.Name()), Offset: base, Position: -1,
				Err: fmt.Errorf("%v, want a regular file", info.Mode()),
			}
		}
		s := newSegment(p.log, base)
		s.size = Position(info.Size())
		s.written.Store(info.Size())
		s.synced.Store(info.Size())
		s.createdMs = info.ModTime().UnixMilli()
		if n := len(segments); n > 0 {
			segments[n-1].next = base
			segments[n-1].sealed.Store(true)
		}
		segments = append(segments, s)
	}
	return segments, nil
}

// parseSegmentFileName splits <20 digits><suffix>; suffix is "" if the name has
// another form.
func parseSegmentFileName(name string) (base Offset, suffix string) {
	digits, rest, ok := strings.Cut(name, ".")
	if !ok || len(digits) != 20 {
		return 0, ""
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 {
		return 0, ""
	}
	switch suffix = "." + rest; suffix {
	case ".log", ".index", ".timeindex", ".txnindex", ".snapshot":
		return Offset(n), suffix
	}
	return 0, ""
}

// isPartitionFile tells the other files that belong into a partition's
// directory.
func isPartitionFile(name string) bool {
	name = strings.TrimSuffix(name, tempSuffix)
	return name == leaderEpochFile || name == partitionMetadataFile || isDeletedFileName(name)
}

// openClean finds the end of a log that was stopped cleanly; false if it is not
// where the checkpoint says, so that the log must be recovered after all.
func (p *Partition) openClean(end Offset) (bool, error) {
	s := p.log.active()
	if s == nil {
		return end == 0, nil // a log that had records has a segment
	}
	s.next = end
	p.log.next = end
	if err := s.ensureIndexes(); isFinal(err) {
		return false, err
	} else if err != nil {
		return false, nil
	}
	entry, ok := s.index.last()
	if ok {
		if _, err := s.firstOffset(foundEntry{offsetEntry: entry}, s.size); err != nil {
			return false, nil
		}
	}
	scan, err := s.scan(Position(entry.position), s.size, record.HeaderSize)
	if err != nil {
		return false, err
	}
	defer scan.close()
	next := s.base
	for scan.next() {
		next = scan.header.NextOffset()
	}
	if scan.err != nil || next != end {
		p.log.warn("the log does not end where it was stopped; it is recovered",
			"path", s.name, "end", next, "want", end, "error", scan.err)
		return false, nil
	}
	s.sinceIndexEntry = int64(s.size) - int64(entry.position)
	s.firstTimestamp = p.firstTimestamp(s)
	return true, nil
}

// firstTimestamp is that of the segment's first batch, which segment.ms counts
// from.
func (p *Partition) firstTimestamp(s *Segment) int64 {
	scan, err := s.scan(0, s.size, record.HeaderSize)
	if err != nil {
		return noTimestamp
	}
	defer scan.close()
	if !scan.next() {
		return noTimestamp
	}
	return scan.header.MaxTimestamp()
}

// recoverLog checks every batch above the recovery point. What is bad above the
// durable end is cut off behind the last good one; what is bad below it is put
// into quarantine and its bytes stay as they are.
func (p *Partition) recoverLog(f found, epochs leaderEpochs) error {
	segments := p.log.list()
	_, first := segmentOf(segments, f.recoveryPoint)
	first = max(first, 0)
	var damage []DamagedRange
	tailDamaged := false
	persisted := p.recoveryPoint
	for i := first; i < len(segments); i++ {
		s := segments[i]
		r := segmentRecovery{p: p, s: s, found: f, epochs: epochs, more: holdsBatches(segments[i+1:])}
		if i+1 < len(segments) {
			r.end, r.followed = segments[i+1].base, segments[i+1].size > 0
		}
		torn, err := r.run()
		if err != nil {
			return err
		}
		persisted = min(persisted, r.begun)
		damage = append(damage, r.damage...)
		p.log.next = s.next
		if torn != nil {
			if err := p.cutLog(segments, i, torn); err != nil {
				return err
			}
			break
		}
		tailDamaged = r.tailDamaged
		if i+1 < len(segments) {
			if err := p.syncRecovered(s); err != nil {
				return err
			}
		}
	}
	if err := p.log.addDamage(damage); err != nil {
		return err
	}
	// Index entries that were made anew below the point are in memory only: the
	// next checkpoint has to begin there.
	p.recoveryPoint = persisted
	if s := p.log.active(); s != nil {
		s.sealed.Store(tailDamaged)
		if err := p.syncRecovered(s); err != nil {
			return err
		}
	}
	return p.log.syncDir()
}

func holdsBatches(segments []*Segment) bool {
	return slices.ContainsFunc(segments, func(s *Segment) bool { return s.size > 0 })
}

// cutLog makes segment i, whose good part is known, the end of the log. Later
// segments cannot be reached any more; their bytes are kept under another name.
func (p *Partition) cutLog(segments []*Segment, i int, torn error) error {
	s := segments[i]
	s.file.useMore()
	defer s.Release()
	file, err := s.openToWrite(0)
	if err != nil {
		return err
	}
	size, err := file.Size()
	if err != nil {
		return err
	}
	p.log.warn("torn tail is cut off", "path", s.name, "offset", s.next, "position", s.size, "bytes", size-int64(s.size), "reason", torn)
	if err := file.Truncate(int64(s.size)); err != nil {
		return syncFault(err)
	}
	kept := segments[: i+1 : i+1]
	p.log.segments.Store(&kept)
	for _, later := range segments[i+1:] {
		if err := p.setAside(later); err != nil {
			return err
		}
	}
	return nil
}

// setAside renames a segment that does not continue the log. An empty one holds
// nothing and is removed.
func (p *Partition) setAside(s *Segment) error {
	defer s.drop()
	if s.size == 0 {
		return s.remove()
	}
	aside, err := freeName(p.engine.fs, s.name+asideSuffix)
	if err != nil {
		return err
	}
	p.log.warn("segment does not continue the log and is set aside", "path", s.name, "as", aside, "bytes", int64(s.size))
	if err := p.engine.fs.Rename(s.name, aside); err != nil {
		return err
	}
	for _, name := range []string{s.index.name, s.times.name} {
		if err := p.engine.fs.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// freeName returns name, with a number behind it if there is such a file.
func freeName(fsys vfs.FS, name string) (string, error) {
	free := name
	for n := 1; ; n++ {
		if _, err := fsys.Stat(free); errors.Is(err, fs.ErrNotExist) {
			return free, nil
		} else if err != nil {
			return "", err
		}
		free = fmt.Sprintf("%s.%d", name, n)
	}
}

// asideSuffix marks a segment whose batches stand behind a torn one.
const asideSuffix = ".unreachable"

// syncRecovered makes durable what recovery found of a segment in the page cache
// and what it changed, before anybody is shown it. Then its files may be closed
// for those of the next.
func (p *Partition) syncRecovered(s *Segment) error {
	s.file.useMore()
	defer s.Release()
	s.synced.Store(0)
	s.written.Store(int64(s.size))
	if err := p.engine.syncSegment(syncJob{s, s.size}); errors.Is(err, ErrTooManyOpenFiles) {
		return err
	} else if err != nil {
		return syncFault(err)
	}
	if !s.sealed.Load() {
		return nil
	}
	if err := p.log.indexesWritten(s, s.persistIndexes()); err != nil {
		return err
	}
	return s.syncIndexes()
}

// readEpochs reads the leader epochs, or finds them in the log if they are lost.
func (p *Partition) readEpochs() (leaderEpochs, error) {
	epochs, err := readLeaderEpochs(p.engine.fs, p.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrBadCheckpoint) {
		return epochs, err
	}
	if errors.Is(err, ErrBadCheckpoint) {
		p.log.warn("leader epochs cannot be read", "reason", err)
	}
	return epochs, nil
}

// recoverEpochs sets the leader epochs of the log, those of the file or else of
// the batches, and the epoch of what will be appended: a new one after an unclean
// stop.
func (p *Partition) recoverEpochs(epochs leaderEpochs, clean bool) error {
	scanned := p.epochs
	if len(epochs.entries) == 0 && p.log.next > p.log.start().offset {
		p.log.warn("leader epochs are rebuilt from the log")
		var err error
		if epochs, err = p.epochsOfLog(); err != nil {
			return err
		}
	}
	announced, _, _ := epochs.latest() // to clients, whatever the log has lost
	// An epoch that begins at the very end keeps its entry.
	epochs.truncateFromEnd(p.log.next + 1)
	for _, e := range scanned.entries {
		epochs.assign(e.epoch, e.start)
	}
	p.epochs = epochs
	recorded, _, _ := epochs.latest()
	p.epoch = max(announced, recorded)
	if p.epoch == noEpoch || !clean {
		p.epoch++
	}
	p.epochRecorded = recorded == p.epoch
	p.epochNow.Store(p.epoch)
	return nil
}

// epochsOfLog reads the epoch of every batch.
func (p *Partition) epochsOfLog() (leaderEpochs, error) {
	var epochs leaderEpochs
	for _, s := range p.log.list() {
		scan, err := s.scan(0, s.size, scanWindow)
		if err != nil {
			return epochs, err
		}
		for scan.next() {
			epochs.assign(scan.header.LeaderEpoch(), scan.header.BaseOffset())
		}
		err = scan.err
		scan.close()
		if err != nil {
			return epochs, err
		}
	}
	return epochs, nil
}
