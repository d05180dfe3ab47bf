package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"time"

	"github.com/rollway/rollway/engine/topicconfig"
)

// retentionLooks is how many time indexes of sealed segments one pass reads to
// learn how old segments are whose files say that they are young. After a start
// over 10,000 partitions all are known within an hour of passes; reading them
// all in the first one would be a second start.
const retentionLooks = 1000

// runRetention deletes what topics keep no longer, every RetentionInterval and
// for the first time a tenth of that after the start, and unlinks what was
// deleted when its delay is over. It is the one schedule of the directory. A stop
// still unlinks what is due.
func (e *Engine) runRetention() {
	// As Kafka, which begins after log.initial.task.delay.ms: 30 s of 5 minutes.
	// A server that is started again and again must get there too.
	passes := time.NewTimer(e.options.RetentionInterval / 10)
	defer passes.Stop()
	defer e.removals.timer.Stop()
	for {
		select {
		case <-passes.C:
			select {
			case <-e.ready:
				e.retain()
			default:
			}
			passes.Reset(e.options.RetentionInterval)
		case <-e.removals.wake:
			e.removeDue()
		case <-e.stopBackground:
			e.removeDue()
			return
		}
	}
}

// retentionPass is one pass over all partitions.
type retentionPass struct {
	nowMs int64
	looks int // time indexes that may still be read; see retentionLooks
}

// retain runs one pass. A partition whose retention meets an error waits for
// the next one.
func (e *Engine) retain() {
	pass := retentionPass{nowMs: e.nowMs(), looks: retentionLooks}
	for _, t := range e.Topics() {
		for _, p := range t.partitions {
			if e.writable() != nil {
				return
			}
			if PartitionState(p.state.Load()) != Ready {
				continue
			}
			if err := p.retain(&pass); err != nil {
				e.options.Log.Warn("retention waits for the next pass", "partition", p.String(), "error", p.reported(err))
			}
		}
	}
}

// retain deletes the segments that the topic does not keep, oldest first, up to
// the first that stays, and seals one that is older than segment.ms although
// nothing is appended.
func (p *Partition) retain(pass *retentionPass) error {
	p.engine.deletionMu.Lock()
	defer p.engine.deletionMu.Unlock()
	drop, err := p.expired(pass)
	if drop > 0 {
		// Deleting goes on where sealing did not, on a full disk for example.
		start, kept := p.marks.Load().logStart, p.log.list()[drop]
		if start.offset < kept.base {
			start = mark{offset: kept.base, segment: kept}
		}
		if err := p.syncBelow(kept.base); err != nil {
			return p.reported(err)
		}
		p.moveStart(start)
	}
	return errors.Join(err, p.bury())
}

// expired counts the segments that are to be deleted, from the first on. The
// active one is sealed if it is among them, so that its successor, which is
// empty, keeps the end of the log; and if it is idle. Under deletionMu.
func (p *Partition) expired(pass *retentionPass) (int, error) {
	marks, config := p.marks.Load(), p.log.config()
	p.mu.Lock()
	list, end := p.log.list(), p.log.end()
	p.mu.Unlock()
	if len(list) == 0 {
		return 0, nil
	}
	limits := retentionLimits{config: config, logStart: marks.logStart.offset, pass: pass}
	limits.setExcess(list, end.position)
	for i, s := range list {
		to, empty := end, s == end.segment && end.position == 0
		if s != end.segment {
			to = mark{offset: s.next, segment: s, position: s.size}
		}
		gone := to.offset <= marks.highWatermark.offset && !empty
		var err error
		if gone {
			gone, err = limits.exceeded(to)
		}
		if err != nil || !gone {
			return i, errors.Join(err, p.sealIdle(end.segment, pass))
		}
	}
	sealed, err := p.seal(end.segment, func() bool { return p.log.next == end.offset })
	if !sealed {
		return len(list) - 1, err
	}
	return len(list), err
}

// retentionLimits are those of one partition in one pass.
type retentionLimits struct {
	config   *topicconfig.Config
	logStart Offset
	pass     *retentionPass
	excess   int64 // bytes above retention.bytes that the segments looked at so far leave, if limited
	limited  bool
}

// setExcess takes the sizes of the segments, the last of which is active.
func (l *retentionLimits) setExcess(list []*Segment, active Position) {
	l.limited = l.config.DeletesOld && l.config.RetentionBytes >= 0
	l.excess = int64(active) - l.config.RetentionBytes
	for _, s := range list[:len(list)-1] {
		l.excess += int64(s.size)
	}
}

// exceeded tells whether the segment that ends at to is to be deleted. The
// segments before it are.
func (l *retentionLimits) exceeded(to mark) (bool, error) {
	gone := to.offset <= l.logStart // by DeleteRecords, whatever the policy
	if l.limited && l.excess >= int64(to.position) {
		gone = true
	}
	l.excess -= int64(to.position)
	if gone || !l.config.DeletesOld || l.config.RetentionMs < 0 {
		return gone, nil
	}
	return l.pass.outlived(to, l.config)
}

// outlived tells whether the newest record of the segment that ends at to is older
// than retention.ms. It reads nothing where memory has the answer. A damaged
// segment, whose records cannot be asked, has the age of its file.
func (pass *retentionPass) outlived(to mark, config *topicconfig.Config) (bool, error) {
	s := to.segment
	old, err := pass.looksOld(s, config)
	if err == nil && old && !s.newestSure {
		if err = s.confirmNewest(to); err == nil {
			old, err = pass.looksOld(s, config)
		}
	}
	if damage := (*CorruptionError)(nil); errors.As(err, &damage) {
		return pass.fileIsOld(s, config)
	}
	return old && err == nil, err
}

// looksOld is outlived by what memory or the time index says. The age is that of
// the file where timestamps do not say it: without any, and where one lies so
// far ahead of the clock that no topic takes it now, which must not keep the
// segment until then.
func (pass *retentionPass) looksOld(s *Segment, config *topicconfig.Config) (bool, error) {
	newest := s.newest.Load()
	if newest == unknownTimestamp {
		if !pass.fileMayBeOld(s, config) {
			if pass.looks == 0 {
				return false, nil
			}
			pass.looks--
		}
		var err error
		if newest, err = s.learnNewest(); err != nil {
			return false, err
		}
	}
	if newest >= 0 && newest-pass.nowMs <= config.TimestampAfterMaxMs {
		return pass.nowMs-newest > config.RetentionMs, nil
	}
	return pass.fileIsOld(s, config)
}

// fileMayBeOld is false if the segment's file is certainly younger than
// retention.ms. It was written to last at createdMs or later, for that is when it
// was made or, if a start has found it, what its modification time was.
func (pass *retentionPass) fileMayBeOld(s *Segment, config *topicconfig.Config) bool {
	return pass.nowMs-s.createdMs > config.RetentionMs
}

// fileIsOld tells whether the segment's file is older than retention.ms.
func (pass *retentionPass) fileIsOld(s *Segment, config *topicconfig.Config) (bool, error) {
	if !pass.fileMayBeOld(s, config) {
		return false, nil
	}
	info, err := s.log.fs.Stat(s.name)
	if err != nil {
		return false, err
	}
	return pass.nowMs-info.ModTime().UnixMilli() > config.RetentionMs, nil
}

// learnNewest finds the highest timestamp of a sealed segment that was found at
// start. It reads the time index, checked as for a lookup, and leaves no file
// open, for most segments are looked at once. One that fails a check, or is
// missing, is rebuilt.
func (s *Segment) learnNewest() (int64, error) {
	times := newTimeIndex(s.log.files, s.log.cache, s.times.name, s.base)
	defer times.close()
	if err := times.load(s.next); err == nil {
		if last, ok := times.last(); ok {
			s.newest.CompareAndSwap(unknownTimestamp, last.timestamp)
			return s.newest.Load(), nil
		}
	} else if damage := (*CorruptionError)(nil); !errors.As(err, &damage) {
		return 0, err
	}
	if err := s.ensureIndexes(); err != nil {
		return 0, err
	}
	return s.newest.Load(), nil
}

// confirmNewest reads the headers of the batches behind the last entry of the
// time index, which is where the newest record should be, and raises newest to
// what they say: an index that a crash has cut between two entries or filled
// with zeros (KAFKA-10207) may pass all checks, and the segment would go too
// early. Where timestamps rise that is one index interval. A segment that this
// process has made needs none of it. Under Engine.deletionMu.
func (s *Segment) confirmNewest(end mark) error {
	if err := s.ensureIndexes(); err != nil {
		return err
	}
	if last, ok := s.times.last(); ok {
		start, _, err := s.locateIndexed(s.base+Offset(last.last), end)
		if err != nil {
			return err
		}
		scan, err := s.scan(start, end.position, scanWindow)
		if err != nil {
			return err
		}
		defer scan.close()
		for scan.next() {
			s.raiseNewest(scan.header.MaxTimestamp())
		}
		if scan.err != nil {
			return scan.err
		}
	}
	s.newestSure = true
	return nil
}

// raiseNewest takes a timestamp into account, perhaps beside an append.
func (s *Segment) raiseNewest(timestamp int64) {
	for now := s.newest.Load(); timestamp > now; now = s.newest.Load() {
		if s.newest.CompareAndSwap(now, timestamp) {
			return
		}
	}
}

// sealIdle seals the active segment if it is older than segment.ms by the
// clock. Appends seal by timestamps; where none come, nobody else would.
func (p *Partition) sealIdle(active *Segment, pass *retentionPass) error {
	if pass.nowMs-active.createdMs <= p.log.config().SegmentMs {
		return nil
	}
	_, err := p.seal(active, func() bool { return true })
	return err
}

// seal makes a new active segment behind active, if that still is the active
// one, holds something, and allowed agrees.
func (p *Partition) seal(active *Segment, allowed func() bool) (sealed bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if PartitionState(p.state.Load()) != Ready || p.log.active() != active || active.size == 0 || !allowed() {
		return false, nil
	}
	if err := p.engine.writable(); err != nil {
		return false, err
	}
	err = p.engine.withBallast(func() error {
		_, err := p.log.roll(p.engine.nowMs())
		return err
	})
	if err != nil {
		return false, fmt.Errorf("seal %s: %w", active.name, err)
	}
	return true, nil
}

// syncBelow makes durable what lies below base and is not, as in a topic that is
// synced by flush.ms. Retention is about to delete it: a power cut before that is
// durable would bring back files without what was in them, and the log would end,
// and give offsets again, before where it had begun. Under deletionMu.
func (p *Partition) syncBelow(base Offset) error {
	if p.marks.Load().flushed.offset >= base {
		return nil
	}
	for _, s := range p.log.list() {
		if s.base >= base {
			break
		}
		if s.dirty() {
			if err := p.engine.syncSegment(syncJob{s, s.size}); err != nil {
				return err
			}
		}
	}
	return nil
}

// moveStart has the log begin at to, and takes the segments that end there or
// before out of it. Who reads them finds their files open, or that their
// offsets are out of range. Under deletionMu; to is at most the high watermark.
func (p *Partition) moveStart(to mark) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if PartitionState(p.state.Load()) != Ready {
		return
	}
	list := p.log.list()
	drop := endingBy(list, to.offset)
	p.epochs.truncateFromStart(to.offset)
	// Offsets before the list: who misses a segment there finds out why.
	p.update(func(o *offsetMarks) {
		o.logStart = to
		if first := list[drop]; o.flushed.offset < first.base {
			o.flushed = mark{offset: first.base, segment: first} // what was below is gone, durable or not
		}
	})
	p.doomed = append(p.doomed, p.log.dropHead(drop)...)
}

// endingBy counts the leading segments that end at start or below. The last one
// stays whatever it holds: it tells where the log ends.
func endingBy(list []*Segment, start Offset) int {
	return prefix(list[:max(len(list)-1, 0)], func(s *Segment) bool { return s.next <= start })
}

// dropHead takes the first n segments, all sealed, out of the log and returns
// them. Slices of them stay valid. Writer only.
func (l *Log) dropHead(n int) []*Segment {
	list := l.list()
	kept := append([]*Segment(nil), list[n:]...)
	l.segments.Store(&kept)
	dropped := list[:n:n]
	for _, s := range dropped {
		l.forgetUnsynced(s)
		s.drop()
	}
	return dropped
}

// forgetUnsynced takes a segment that is to be deleted off the list of those
// that a commit has to sync.
func (l *Log) forgetUnsynced(s *Segment) {
	l.unsynced = slices.DeleteFunc(l.unsynced, func(other *Segment) bool { return other == s })
	s.listed = false
}

// gone tells that the log has dropped the segment, so that a reader who had it
// before and could not open a file of it has met no fault.
func (p *Partition) gone(s *Segment) bool {
	return s.sealed.Load() && s.next <= p.marks.Load().logStart.offset
}

// bury gives the files of the segments that have left the log the names of
// deleted ones, durably and one segment after the other: whatever a power cut
// brings back continues the log. An error that is not final leaves the rest for
// the next pass. Under deletionMu.
func (p *Partition) bury() error {
	for len(p.doomed) > 0 {
		s := p.doomed[0]
		files, err := p.renameDoomed(s)
		if err != nil {
			return fmt.Errorf("rename the deleted %s: %w", s.name, err)
		}
		if err := p.log.syncDir(); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		p.engine.removeLater(p.log.config().FileDeleteDelayMs, removal{files: files})
		p.doomed = p.doomed[1:]
		if len(p.doomed) == 0 {
			p.doomed = nil
			return p.log.forgetDamageBefore(s.next)
		}
	}
	return nil
}

// renameDoomed renames the files of a segment, those that are there, and returns
// their new names. The log comes first: without it the others mean nothing, and
// a start removes them. The producer snapshots that belonged to it go at once.
func (p *Partition) renameDoomed(s *Segment) (files []string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if PartitionState(p.state.Load()) == Deleted {
		return nil, nil // the directory may be that of a new topic
	}
	for _, suffix := range []string{".log", ".index", ".timeindex", ".txnindex"} {
		name := segmentFileName(p.dir, s.base, suffix)
		err := p.engine.withBallast(func() error { return p.engine.fs.Rename(name, name+deletedSuffix) })
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		files = append(files, name+deletedSuffix)
	}
	p.dropSnapshots(s.next)
	return files, nil
}

// sweepFiles has the files of a partition's directory unlinked that a process
// before this one was deleting: those that have the name of deleted ones, and
// the indexes of a segment below the first whose log is renamed or gone.
func (p *Partition) sweepFiles(entries []fs.DirEntry) {
	first := Offset(-1)
	var files []string
	for _, entry := range entries {
		if base, kind := parseSegmentFileName(entry.Name()); kind == ".log" {
			first = base
			break
		}
	}
	for _, entry := range entries {
		base, kind := parseSegmentFileName(entry.Name())
		orphan := kind == ".index" || kind == ".timeindex" || kind == ".txnindex"
		if isDeletedFileName(entry.Name()) || orphan && base < first {
			files = append(files, path.Join(p.dir, entry.Name()))
		}
	}
	if len(files) > 0 {
		p.engine.removeLater(0, removal{files: files})
	}
}
