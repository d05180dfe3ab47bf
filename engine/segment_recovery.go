package engine

import (
	"errors"
	"fmt"
	"math"

	"github.com/rollway/rollway/engine/record"
)

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
