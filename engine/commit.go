package engine

import (
	"errors"
	"runtime"
	"sync"
	"time"

	"github.com/rollway/rollway/internal/mutant"
)

// committer makes appends durable: one per data directory. Appends stage their
// bytes in the record of the next group; the committer writes that to the commit
// journal, with one sync for all, and then moves the high watermarks. What
// arrives meanwhile is the next group's, so the group grows with the load.
//
// A file that has much to commit, or bytes that were not staged, is synced itself,
// beside the groups: when that is done, the next record says so with a promise,
// and only then its high watermark moves. So nobody waits for the file of another.
// Without a journal all files of a group are synced, and the group waits for them.
type committer struct {
	engine *Engine
	wake   chan struct{} // capacity 1

	mu      sync.Mutex
	next    *commitGroup         // what is staged
	journal *journal             // nil while there is none
	delayed map[*Partition]int64 // to sync by then, ms of the engine's clock
	timer   *time.Timer          // wakes for the earliest of delayed
	direct  []*Partition         // whose files are to be synced, and nobody does it yet
	busy    int                  // syncers that run

	syncers sync.WaitGroup // they begin and end as there is something in direct

	// The committer goroutine's.
	group     *commitGroup
	jobs      []syncJob
	writeback chan writebackJob
}

// commitGroup is what one round makes durable.
type commitGroup struct {
	members []commitMember
	record  journalRecord
}

// commitMember is one partition of a group.
type commitMember struct {
	partition *Partition
	end       mark  // where it is durable after the round; zero if the record has nothing of it
	staged    int64 // bytes of it in the record
	bytes     int64 // of batches that end makes durable, in the record or in files
	direct    bool  // its files are to be synced
	synced    bool  // they were synced, up to end or to where the record goes on
}

// writebackBytes is how much of a segment gathers before its pages begin to go to
// the disk, so that the sync of a half of the journal finds little left to do and
// does not hold up commits (sync_file_range(2); it is no durability by itself).
const writebackBytes = 1 << 20

// directBytes is how many bytes of one partition in one group are cheaper to
// sync in their file than to write twice. docs/decisions/0009 has the
// measurement.
const directBytes = 48 << 10

func newCommitter(e *Engine) *committer {
	c := &committer{
		engine: e, wake: make(chan struct{}, 1), delayed: map[*Partition]int64{},
		writeback: make(chan writebackJob, 16),
	}
	c.next, c.group = new(commitGroup), new(commitGroup)
	c.next.record.reset()
	c.group.record.reset()
	c.timer = time.AfterFunc(time.Hour, c.signal)
	c.timer.Stop()
	return c
}

func (c *committer) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// add has the files of the partition synced in the next round.
func (c *committer) add(p *Partition) {
	c.mu.Lock()
	c.joinDirect(p)
	c.mu.Unlock()
	c.signal()
}

// joinDirect has the files of the partition synced in the next round. Under c.mu.
func (c *committer) joinDirect(p *Partition) {
	c.join(p).direct = true
	delete(c.delayed, p)
}

// join returns the partition's member of the next group. Under c.mu.
func (c *committer) join(p *Partition) *commitMember {
	if p.member == 0 {
		c.next.members = append(c.next.members, commitMember{partition: p})
		p.member = len(c.next.members)
	}
	return &c.next.members[p.member-1]
}

// stage puts batches, which were just written to the segment at a position from
// base on, into the next group. end is behind them. Under p.mu.
func (c *committer) stage(p *Partition, s *Segment, position Position, base Offset, batches [][]byte, end mark) {
	bytes := int(end.position - position)
	c.mu.Lock()
	m := c.join(p)
	if !m.direct && c.fits(p, m, base, bytes) {
		m.end = end
		m.staged += int64(bytes)
		m.bytes += int64(bytes)
		c.next.record.add(journalPromise{topic: p.id, partition: p.index, segment: s.base, position: position, next: end.offset}, bytes, batches)
		p.covered = end.offset
	} else {
		p.unsynced += int64(bytes)
		c.joinDirect(p)
	}
	c.mu.Unlock()
	c.signal()
}

// fits tells whether bytes of a partition may go into the record: there is a
// journal, what lies before them is durable or in the record, and neither they
// nor the record are so large that the file is better synced. A partition that
// had much when it was synced last is taken to have much again: what is staged
// before that shows is written for nothing. Under c.mu.
func (c *committer) fits(p *Partition, m *commitMember, base Offset, bytes int) bool {
	return c.journal != nil && base == p.covered && !p.heavy && m.staged+int64(bytes) <= directBytes &&
		len(c.next.record.bytes)+journalEntrySize+bytes <= c.journal.recordLimit()
}

// addWithin has the partition synced at most delayMs from now, unless that is
// so far away that it means never.
func (c *committer) addWithin(p *Partition, delayMs int64) {
	const never = int64(365 * 24 * time.Hour / time.Millisecond)
	if delayMs >= never {
		return
	}
	due := c.engine.nowMs() + delayMs
	c.mu.Lock()
	defer c.mu.Unlock()
	// flush.ms may have become shorter since the partition was put there.
	if earlier, ok := c.delayed[p]; ok && earlier <= due {
		return
	}
	if p.member != 0 && c.next.members[p.member-1].direct {
		return
	}
	c.delayed[p] = due
	c.timer.Reset(c.untilEarliest())
}

// untilEarliest is how long the first of delayed may still wait.
func (c *committer) untilEarliest() time.Duration {
	first := int64(-1)
	for _, due := range c.delayed {
		if first < 0 || due < first {
			first = due
		}
	}
	return time.Duration(max(first-c.engine.nowMs(), 0)) * time.Millisecond
}

// run commits until stop; the last round takes what is staged then.
func (c *committer) run(stop <-chan struct{}) {
	for {
		select {
		case <-c.wake:
			// Who was answered by the last round is ready to run and appends again
			// at once: behind them the group is whole. Without this the first of
			// them has a sync of its own, for which all others wait.
			runtime.Gosched()
			c.commit()
		case <-stop:
			c.timer.Stop()
			c.drain()
			close(c.writeback)
			return
		}
	}
}

// drain commits until nothing is staged and no file is being synced. Nobody
// appends any more.
func (c *committer) drain() {
	for more := true; more; {
		c.commit()
		c.syncers.Wait()
		c.mu.Lock()
		more = len(c.next.members) > 0
		c.mu.Unlock()
	}
}

// take returns what is staged, with what is due, and begins the next group.
func (c *committer) take() (*commitGroup, *journal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.delayed) > 0 {
		now := c.engine.nowMs()
		for p, due := range c.delayed {
			if due <= now {
				c.joinDirect(p)
			}
		}
		if len(c.delayed) > 0 {
			c.timer.Reset(c.untilEarliest())
		}
	}
	c.next, c.group = c.group, c.next
	for i := range c.group.members {
		m := &c.group.members[i]
		m.partition.member = 0
	}
	return c.group, c.journal
}

// commit runs one round. Once a write or sync of the directory has failed it
// does nothing any more.
func (c *committer) commit() {
	g, j := c.take()
	defer g.reset()
	if len(g.members) == 0 || c.engine.failure() != nil {
		return
	}
	if j == nil {
		c.engine.wantJournal()
	} else if !c.makeRoom(g, j) {
		j = nil
	}
	if j == nil {
		c.syncGroup(g)
	} else {
		c.beginSyncs(g)
		if c.engine.failure() == nil {
			c.writeRecord(g, j)
		}
	}
	// A write or sync of this round or of another goroutine may have failed:
	// then nothing is acknowledged, for the lost pages may be ours.
	if c.engine.failure() != nil && !mutant.Is(mutant.SyncErrorSwallowed) {
		return
	}
	c.engine.stats.countCommit(g)
	for _, m := range g.members {
		if m.end.segment != nil {
			m.partition.committed(m.end)
		}
	}
	c.beginWriteback(g)
}

// writebackJob is a piece of a segment, pinned, whose pages may begin to go to the
// disk.
type writebackJob struct {
	segment  *Segment
	from, to Position
}

// beginWriteback has the pages of segments that were journaled, and not synced,
// sent to the disk in pieces. It waits for nothing: a piece that finds no room in
// the queue goes with the next.
func (c *committer) beginWriteback(g *commitGroup) {
	for _, m := range g.members {
		s := m.end.segment
		if s == nil {
			continue
		}
		from := max(s.sentBack, s.syncedTo())
		if m.end.position-from < writebackBytes || !s.pin() {
			continue
		}
		select {
		case c.writeback <- writebackJob{s, from, m.end.position}:
			s.sentBack = m.end.position
		default:
			s.Release()
		}
	}
}

// runWriteback begins the write-back of what the committer puts into the queue.
// It makes nothing durable; its errors are final like those of a sync.
func (c *committer) runWriteback() {
	for job := range c.writeback {
		if c.engine.failure() == nil {
			file, err := job.segment.openToWrite(0)
			if err == nil {
				err = file.StartWriteback(int64(job.from), int64(job.to-job.from))
			}
			if err != nil && !errors.Is(err, ErrTooManyOpenFiles) { // then it is synced and was closed
				c.engine.fail(syncFault(err))
			}
		}
		job.segment.Release()
	}
}

// makeRoom sees that the group's record fits the journal; false if it does not.
func (c *committer) makeRoom(g *commitGroup, j *journal) bool {
	carried, ok := j.room(len(g.record.bytes))
	for _, promise := range carried {
		g.record.add(promise, 0, nil)
	}
	return ok
}

// syncGroup syncs the files of all members and waits for that.
func (c *committer) syncGroup(g *commitGroup) {
	c.jobs = c.jobs[:0]
	for i := range g.members {
		m := &g.members[i]
		p := m.partition
		p.mu.Lock()
		m.end = p.log.end()
		c.jobs = p.log.unsyncedBelow(m.end, c.jobs)
		c.mu.Lock()
		p.covered = m.end.offset // what is appended from here on goes on from there
		m.bytes += p.unsynced
		p.unsynced, m.staged, m.synced = 0, 0, true
		c.mu.Unlock()
		p.mu.Unlock()
	}
	c.engine.syncAll(c.jobs)
	releaseJobs(c.jobs)
	clear(c.jobs)
}

// beginSyncs has the files of the direct members synced beside the record, as many
// at a time as SyncParallelism says. With 1 nothing runs beside anything: they are
// synced before it returns.
func (c *committer) beginSyncs(g *commitGroup) {
	c.mu.Lock()
	for _, m := range g.members {
		if m.direct {
			c.queue(m.partition)
		}
	}
	most := c.engine.options.SyncParallelism
	begin := min(len(c.direct), most-c.busy)
	c.busy += begin
	c.mu.Unlock()
	for range begin {
		if most == 1 {
			c.syncQueued()
		} else {
			c.syncers.Go(c.syncQueued)
		}
	}
}

// queue has the files of the partition synced, once more if that is going on: it
// may have begun before the last append. Under c.mu.
func (c *committer) queue(p *Partition) {
	switch p.syncing {
	case notSynced:
		p.syncing = syncWaits
		c.direct = append(c.direct, p)
	case syncBegun:
		p.syncing = syncAgain
	}
}

// syncState is what is done about the files of a partition beside the groups.
type syncState int8

const (
	notSynced syncState = iota
	syncWaits           // it is in committer.direct
	syncBegun           // what was appended up to then is being synced
	syncAgain           // and when that is done, what came after it
)

// syncQueued syncs the files of partitions until none waits for it.
func (c *committer) syncQueued() {
	for {
		c.mu.Lock()
		if len(c.direct) == 0 {
			c.busy--
			c.mu.Unlock()
			return
		}
		p := c.direct[0]
		c.direct = c.direct[1:]
		c.mu.Unlock()
		c.syncPartition(p)
	}
}

// syncPartition makes durable in its files what the partition has, and puts the
// promise of that into the next group. Nothing is acknowledged before the record
// with it is durable: a start must know how far the log was whole.
func (c *committer) syncPartition(p *Partition) {
	p.mu.Lock()
	end := p.log.end()
	jobs := p.log.unsyncedBelow(end, nil)
	size := Position(0)
	for _, job := range jobs {
		size += job.end - job.segment.syncedTo()
	}
	c.mu.Lock()
	p.syncing, p.heavy = syncBegun, size > directBytes
	bytes := p.unsynced
	p.unsynced = 0
	if p.member != 0 {
		c.next.members[p.member-1].direct = false // what has joined is synced now
	}
	c.mu.Unlock()
	p.mu.Unlock()
	for _, job := range jobs {
		c.engine.syncSegment(job)
	}
	releaseJobs(jobs)
	if c.engine.failure() != nil {
		return
	}
	c.mu.Lock()
	again := p.syncing == syncAgain
	p.syncing = notSynced
	if again {
		c.queue(p)
	}
	if end.segment != nil {
		c.next.record.add(p.promiseOf(end), 0, nil)
		m := c.join(p)
		m.synced = true
		m.bytes += bytes
		if m.end.offset < end.offset {
			m.end = end
		}
		p.covered = max(p.covered, end.offset)
	}
	c.mu.Unlock()
	c.signal()
}

// writeRecord makes the record durable. If the file system has no room for it,
// files are synced after all.
func (c *committer) writeRecord(g *commitGroup, j *journal) {
	if g.record.entries == 0 {
		return
	}
	for _, m := range g.members {
		if m.staged > 0 {
			j.holds(m.partition)
		}
	}
	written, err := j.write(&g.record)
	switch {
	case written:
		c.engine.stats.JournalSyncs.Add(1)
		c.engine.stats.JournalBytes.Add(wholeBlocks(len(g.record.bytes)))
	case isFinal(err):
		c.engine.fail(err)
	default:
		c.engine.options.Log.Warn("journal could not be written; files are synced instead", "error", err)
		c.syncGroup(g)
	}
}

func (g *commitGroup) reset() {
	clear(g.members)
	g.members = g.members[:0]
	g.record.reset()
}

// syncJob is a segment, pinned, that is to be synced up to end.
type syncJob struct {
	segment *Segment
	end     Position
}

func releaseJobs(jobs []syncJob) {
	for _, job := range jobs {
		job.segment.Release()
	}
}

// syncAll syncs .log files, SyncParallelism at a time. The first error stops the
// directory at once: no further sync is begun.
func (e *Engine) syncAll(jobs []syncJob) {
	forEach(jobs, e.options.SyncParallelism, func(job syncJob) error {
		return e.syncSegment(job)
	})
}

// syncSegment syncs the .log file up to end, unless that was done. There is one
// syncer of a file at a time: of two that overlap the kernel would tell only one
// about a write-back error. The directory has stopped before the other goes on.
func (e *Engine) syncSegment(job syncJob) error {
	s := job.segment
	s.syncMu.Lock()
	defer s.syncMu.Unlock()
	if s.syncedTo() >= job.end {
		return nil
	}
	if err := e.failure(); err != nil {
		return err
	}
	file, err := s.openToWrite(0)
	if errors.Is(err, ErrTooManyOpenFiles) {
		return err // recovery comes again; what was written here is open
	}
	if err == nil {
		e.stats.Syncs.Add(1)
		err = file.Datasync()
	}
	if err != nil {
		e.fail(syncFault(err))
		return err
	}
	s.synced.Store(int64(job.end))
	return nil
}

// forEach calls f for each item, at most width at a time and the first on the
// caller's goroutine, and returns the first error after all have ended.
func forEach[T any](items []T, width int, f func(T) error) error {
	if len(items) <= 1 || width <= 1 {
		var first error
		for _, item := range items {
			if err := f(item); err != nil && first == nil {
				first = err
			}
		}
		return first
	}
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		next  int
		first error
	)
	for range min(width, len(items)) {
		wg.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= len(items) {
					return
				}
				if err := f(items[i]); err != nil {
					mu.Lock()
					if first == nil {
						first = err
					}
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return first
}
