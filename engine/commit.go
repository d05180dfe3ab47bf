package engine

import (
	"sync"
	"time"
)

// committer makes appends durable: one per data directory. It takes all
// partitions that have asked since the last round, syncs their files, several
// at a time, and then moves their high watermarks. What arrives during a round
// is the next one's, so the group grows with the load.
//
// It is the only one that syncs .log files of partitions that are ready, so a
// write-back error, which the kernel reports once, cannot go to somebody who
// does not look (DESIGN: a write-back error is final).
type committer struct {
	engine *Engine
	wake   chan struct{} // capacity 1

	mu      sync.Mutex
	queue   []*Partition         // to sync now
	delayed map[*Partition]int64 // to sync by then, ms of the engine's clock
	timer   *time.Timer          // wakes for the earliest of delayed

	// The committer goroutine's.
	round []*Partition
	jobs  []*Segment
	ends  []mark
}

func newCommitter(e *Engine) *committer {
	c := &committer{engine: e, wake: make(chan struct{}, 1), delayed: map[*Partition]int64{}}
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

// add has the partition synced in the next round.
func (c *committer) add(p *Partition) {
	c.mu.Lock()
	queued := p.queued
	if !queued {
		p.queued = true
		c.queue = append(c.queue, p)
	}
	c.mu.Unlock()
	if !queued {
		c.signal()
	}
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
	if earlier, ok := c.delayed[p]; ok && earlier <= due || p.queued {
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

// run commits until stop; the last round takes what is queued then.
func (c *committer) run(stop <-chan struct{}) {
	for {
		select {
		case <-c.wake:
			c.commit()
		case <-stop:
			c.timer.Stop()
			c.commit()
			return
		}
	}
}

// take moves what is due into round.
func (c *committer) take() []*Partition {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.round, c.queue = c.queue, c.round[:0]
	for _, p := range c.round {
		p.queued = false
		delete(c.delayed, p)
	}
	if len(c.delayed) > 0 {
		now := c.engine.nowMs()
		for p, due := range c.delayed {
			if due <= now {
				delete(c.delayed, p)
				c.round = append(c.round, p)
			}
		}
		if len(c.delayed) > 0 {
			c.timer.Reset(c.untilEarliest())
		}
	}
	return c.round
}

// commit runs one round. Once a write or sync of the directory has failed it
// does nothing any more.
func (c *committer) commit() {
	round := c.take()
	if len(round) == 0 || c.engine.failure() != nil {
		return
	}
	c.jobs, c.ends = c.jobs[:0], c.ends[:0]
	for _, p := range round {
		p.mu.Lock()
		c.jobs = p.log.takeUnsynced(c.jobs)
		c.ends = append(c.ends, p.log.end())
		p.mu.Unlock()
	}
	c.engine.syncAll(c.jobs)
	for _, s := range c.jobs {
		s.Release()
	}
	clear(c.jobs)
	// A sync of this round or of another goroutine may have failed: then
	// nothing is acknowledged, for the lost pages may be ours.
	if c.engine.failure() == nil {
		c.engine.stats.Commits.Add(1)
		for i, p := range round {
			p.committed(c.ends[i])
		}
	}
	clear(round)
	clear(c.ends)
}

// syncAll syncs the .log files of the segments, SyncParallelism at a time. The
// first error stops the directory at once: no further sync is begun.
func (e *Engine) syncAll(segments []*Segment) {
	forEach(segments, e.options.SyncParallelism, func(s *Segment) error {
		if err := e.failure(); err != nil {
			return err
		}
		file, err := s.open(0)
		if err == nil {
			e.stats.Syncs.Add(1)
			err = file.Datasync()
		}
		if err != nil {
			e.fail(syncFault(err))
		}
		return err
	})
}

// forEach calls f for each item, at most width at a time and the first on the
// caller's goroutine, and returns the first error after all have ended.
func forEach[T any](items []T, width int, f func(T) error) error {
	if len(items) == 1 || width <= 1 {
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
