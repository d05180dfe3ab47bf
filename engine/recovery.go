package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
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

// segmentRecovery checks the batches of one segment and rebuilds the indexes for
// them.
type segmentRecovery struct {
	p      *Partition
	s      *Segment
	found  found
	epochs leaderEpochs
	end    Offset // base offset of the next segment; 0 if there is none
	// followed: the next segment has batches, so this one had ended at end when
	// that was begun.
	followed bool
	more     bool // batches follow in later segments

	check       *batchCheck
	damage      []DamagedRange
	tailDamaged bool   // the segment ends with damage
	begun       Offset // where the check began
}

// run checks the batches that end above the recovery point. torn is what is wrong
// with the first bad one above the durable end; size and next of the segment are
// those of what comes before it.
func (r *segmentRecovery) run() (torn, err error) {
	s := r.s
	from, err := r.p.startOfRecovery(s, r.found.recoveryPoint)
	if err != nil {
		return nil, err
	}
	if r.check, err = s.checkFrom(from, s.size); err != nil {
		return nil, err
	}
	defer r.check.close()
	r.check.epochs, r.begun = r.epochs, from.next
	s.size, s.next = from.position, from.next
	s.sinceIndexEntry = int64(s.size)
	if entry, ok := s.index.last(); ok {
		s.sinceIndexEntry -= int64(entry.position)
	}
	for {
		if err := r.p.engine.closing(); err != nil {
			return nil, err
		}
		if r.followed && r.check.next == r.end && r.check.position < r.check.size {
			if err := r.cutStray(); err != nil {
				return nil, err
			}
		}
		b, bad := r.check.batch()
		switch {
		case r.check.fault != nil:
			return nil, r.check.fault
		case bad != nil:
			if torn, err := r.bad(bad); torn != nil || err != nil {
				return torn, err
			}
		case b == nil:
			s.indexed.Store(true)
			return r.ends()
		default:
			r.p.epochs.assign(b.LeaderEpoch(), b.BaseOffset())
			r.p.snapshots.behind = r.p.snapshots.behind || b.ProducerID() >= 0
			if err := r.rewrite(b); err != nil {
				return nil, err
			}
			s.note(b)
			r.tailDamaged = false
		}
	}
}

// cutStray cuts off what stands behind the last batch of a segment that another
// one goes on from: it was cut off before that was begun, and a crash has brought
// it back. Its offsets, if it has any, are those of the next segment, and nobody
// was ever shown it.
func (r *segmentRecovery) cutStray() error {
	s := r.s
	s.file.useMore()
	defer s.Release()
	file, err := s.openToWrite(0)
	if err != nil {
		return err
	}
	s.log.warn("bytes behind the end of a rolled segment are cut off", "path", s.name,
		"offset", r.check.next, "position", r.check.position, "bytes", int64(r.check.size-r.check.position))
	if err := file.Truncate(int64(r.check.position)); err != nil {
		return syncFault(err)
	}
	r.check.size, r.check.valid = r.check.position, nil
	return nil // the file is synced once it is checked
}

// keepsWhole tells whether whole batches behind a bad one stay in the log wherever
// the durable end is: only processes have died, or a repair reads what there is.
func (e *Engine) keepsWhole() bool { return e.sameBoot || e.options.CheckAll }

// bad deals with a bad batch: it is what a crash tore, or damage that is passed
// over. Above the durable end it is torn if the machine stopped; if only the
// process did, the page cache has survived, and just what was being written at
// the very end can be torn.
func (r *segmentRecovery) bad(cause error) (torn, err error) {
	s, at := r.s, r.check.checkpoint
	if at.next >= r.found.durable && !r.p.engine.keepsWhole() {
		s.indexed.Store(true)
		return cause, nil
	}
	end := r.end
	if end == 0 {
		end = maxOffset
	}
	damage, err := r.check.resync(end)
	if err != nil {
		return nil, err
	}
	followed := damage.End < r.check.size || r.more
	if at.next >= r.found.durable && !followed {
		s.indexed.Store(true)
		return cause, nil
	}
	if damage.To == maxOffset {
		damage.To = r.found.durable
		r.check.next = damage.To
	}
	r.p.log.warn("batch is damaged", "path", s.name, "offset", at.next, "position", at.position, "reason", cause)
	r.pass(damage)
	return nil, nil
}

// pass goes on behind damage.
func (r *segmentRecovery) pass(damage DamagedRange) {
	damage.Segment = r.s.base
	r.damage = append(r.damage, damage)
	r.s.sinceIndexEntry += int64(damage.End - r.s.size)
	r.s.size, r.s.next = damage.End, damage.To
	r.tailDamaged = true
}

// ends looks at the end of a segment whose batches are good: whether the next one
// goes on there, or the log is long enough.
func (r *segmentRecovery) ends() (torn, err error) {
	s, want := r.s, r.end
	if want == 0 {
		want = max(s.next, r.found.durable)
	}
	switch {
	case s.next == want:
		return nil, nil
	case s.next > want:
		cause := fmt.Errorf("the next segment starts at offset %d, but this one ends at %d", want, s.next)
		if want < r.found.durable {
			return nil, s.damage(s.next, s.size, fmt.Errorf("%w; everything below offset %d was durable, so this is no torn tail", cause, r.found.durable))
		}
		return cause, nil
	case s.next >= r.found.durable && !(r.p.engine.keepsWhole() && r.more):
		return fmt.Errorf("the next segment starts at offset %d", want), nil
	}
	r.pass(DamagedRange{From: s.next, To: want, Start: s.size, End: s.size})
	return nil, nil
}

// startOfRecovery returns where the first batch that ends above point begins,
// and drops the index entries from there on. Below it nothing is read but the
// indexes and headers for one index interval.
func (p *Partition) startOfRecovery(s *Segment, point Offset) (checkpoint, error) {
	epoch, _, _ := p.epochs.latest() // of what was checked of the segments before
	begin := checkpoint{next: s.base, epoch: epoch}
	if point <= s.base {
		return begin, p.forgetIndexes(s)
	}
	from, err := p.resume(s, point)
	if damage := (*CorruptionError)(nil); errors.As(err, &damage) {
		p.log.warn("index is rebuilt from the log", "path", s.name, "reason", err)
		return begin, p.forgetIndexes(s)
	}
	return from, err
}

// resume is startOfRecovery for a point inside the segment. A *CorruptionError
// means that the indexes or headers below point are damaged.
func (p *Partition) resume(s *Segment, point Offset) (checkpoint, error) {
	bound := s.next
	if !s.sealed.Load() {
		bound = s.base + math.MaxInt32 + 1 // where the last segment ends is not known yet
	}
	if err := errors.Join(s.index.load(bound, s.size), s.times.load(bound)); err != nil {
		return checkpoint{}, err
	}
	err := errors.Join(
		s.index.keep(func(e offsetEntry) bool { return s.base+Offset(e.last) < point }),
		s.times.keep(func(e timeEntry) bool { return s.base+Offset(e.last) < point }))
	if err != nil {
		return checkpoint{}, err
	}
	s.newest.Store(noTimestamp)
	if t, ok := s.times.last(); ok {
		s.newest.Store(t.timestamp)
		s.newestLast = s.base + Offset(t.last)
	}
	entry, ok := s.index.last()
	if ok {
		if _, err := s.firstOffset(foundEntry{offsetEntry: entry}, s.size); err != nil {
			return checkpoint{}, err
		}
	}
	scan, err := s.scan(Position(entry.position), s.size, record.HeaderSize)
	if err != nil {
		return checkpoint{}, err
	}
	defer scan.close()
	from := checkpoint{position: Position(entry.position), next: s.base, epoch: -1}
	for scan.next() && scan.header.NextOffset() <= point {
		from = checkpoint{position: scan.end, next: scan.header.NextOffset(), epoch: scan.header.LeaderEpoch()}
		if t := scan.header.MaxTimestamp(); t > s.newest.Load() {
			s.newest.Store(t)
			s.newestLast = scan.header.LastOffset()
		}
	}
	s.firstTimestamp = p.firstTimestamp(s)
	if scan.err != nil {
		// A torn tail that begins at point looks like a damaged length of the batch
		// before it, which would hide those behind: then all of the segment tells.
		return checkpoint{}, scan.err
	}
	return from, nil
}

func (p *Partition) forgetIndexes(s *Segment) error {
	s.newest.Store(noTimestamp)
	s.newestLast = -1
	return errors.Join(s.index.reset(), s.times.reset())
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
