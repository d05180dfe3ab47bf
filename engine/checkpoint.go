package engine

import (
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/rollway/rollway/internal/mutant"
)

// runCheckpoints moves the recovery points every CheckpointInterval.
func (e *Engine) runCheckpoints() {
	ticker := time.NewTicker(e.options.CheckpointInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-e.stopBackground:
			return
		}
		select {
		case <-e.ready: // until then the points of the last process count
			e.tryCheckpoint()
		default:
		}
	}
}

// tryCheckpoint is a checkpoint that nobody waits for.
func (e *Engine) tryCheckpoint() {
	if e.failure() != nil {
		return
	}
	if _, err := e.checkpoint(false); err != nil {
		e.options.Log.Warn("checkpoint was not written", "error", err)
		return
	}
	e.checkpointMu.Lock()
	defer e.checkpointMu.Unlock()
	e.journalRecovered()
}

// checkpoint makes the indexes below each partition's durable end durable too
// and then says in recovery-point-offset-checkpoint that recovery need not look
// there. whole is true if that covers every partition to its end. final is for
// a clean stop: it also records epochs that no batch carries yet.
func (e *Engine) checkpoint(final bool) (whole bool, err error) {
	e.checkpointMu.Lock()
	defer e.checkpointMu.Unlock()
	moved, err := e.movePoints(final)
	if err != nil {
		return false, err
	}
	points, snapshots := offsetCheckpoint{}, offsetCheckpoint{}
	whole = true
	for _, t := range e.Topics() {
		for _, p := range t.partitions {
			point := p.recoveryPoint
			if PartitionState(p.state.Load()) != Ready || point < p.Offsets().LogEnd {
				whole = false
			}
			points[partitionKey{p.topic, p.index}] = point
			p.listSnapshot(snapshots, e.snapshotList)
		}
	}
	if err := e.writeSnapshotList(snapshots); err != nil {
		return false, err
	}
	if !moved.changed && !final {
		return whole && !moved.stayed, nil
	}
	return whole && !moved.stayed, e.writePoints(points)
}

// movedPoints is what became of the partitions' recovery points.
type movedPoints struct {
	changed bool // some point moved
	stayed  bool // some point could not be moved
	noSpace int  // how many of those for want of space
}

// movePoints moves the recovery points of all partitions, SyncParallelism at a
// time, or as few as the bound of open files asks for: with thousands of them a
// checkpoint is thousands of syncs. Its error is final. Under e.checkpointMu.
func (e *Engine) movePoints(final bool) (all movedPoints, err error) {
	var partitions []*Partition
	for _, t := range e.Topics() {
		partitions = append(partitions, t.partitions...)
	}
	const filesEach = 16 // a partition needs four, and is not to push others out
	width := min(e.options.SyncParallelism, max(1, e.options.MaxOpenFiles/filesEach))
	var mu sync.Mutex
	err = forEach(partitions, width, func(p *Partition) error {
		if err := e.failure(); err != nil {
			return err
		}
		if PartitionState(p.state.Load()) != Ready {
			return nil
		}
		moved, err := e.checkpointOne(p, final)
		if isFinal(err) {
			e.fail(err)
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		all.changed = all.changed || moved
		if err == nil {
			return nil
		}
		all.stayed = true
		if isNoSpace(err) {
			all.noSpace++ // a line each would fill a log
		}
		if !isNoSpace(err) || all.noSpace == 1 {
			e.options.Log.Warn("recovery point stays", "partition", p.String(), "error", err)
		}
		return nil
	})
	if all.noSpace > 1 {
		e.options.Log.Warn("recovery points stay for want of space", "partitions", all.noSpace)
	}
	return all, err
}

// checkpointOne is Partition.checkpoint. A clean stop may draw on the ballast,
// but not what is tried again in any case.
func (e *Engine) checkpointOne(p *Partition, final bool) (moved bool, err error) {
	if !final {
		return p.checkpoint(false)
	}
	err = e.withBallast(func() (err error) {
		moved, err = p.checkpoint(true)
		return err
	})
	return moved, err
}

// writePoints makes these the recovery points. Under e.checkpointMu.
func (e *Engine) writePoints(points offsetCheckpoint) error {
	if err := points.write(e.fs, recoveryPointFile); err != nil {
		if isFinal(err) {
			e.fail(err)
		}
		return fmt.Errorf("write %s: %w", recoveryPointFile, err)
	}
	e.points = points
	for _, t := range e.Topics() {
		for _, p := range t.partitions {
			p.checkpointed.Store(int64(points[partitionKey{p.topic, p.index}]))
		}
	}
	return nil
}

// forgetPoints durably removes the recovery points of partitions that are about
// to be made: an earlier topic of that name may have left some, and beside them
// a new log would look as if its end were missing.
func (e *Engine) forgetPoints(topic string, first, end int32) error {
	e.checkpointMu.Lock()
	defer e.checkpointMu.Unlock()
	points := maps.Clone(e.points)
	for index := first; index < end; index++ {
		delete(points, partitionKey{topic, index})
	}
	if len(points) == len(e.points) {
		return nil
	}
	return e.writePoints(points)
}

// checkpoint moves the partition's recovery point to its durable end, and tells
// whether it moved.
func (p *Partition) checkpoint(final bool) (moved bool, err error) {
	p.mu.Lock()
	flushed := p.marks.Load().flushed
	end := flushed.offset
	from := p.recoveryPoint
	var jobs []syncJob
	if final {
		err = p.recordEpochIfNew()
	}
	var segments []*Segment
	if end > from {
		// What is durable may be so in the journal only.
		jobs = p.log.unsyncedBelow(flushed, nil)
		list := p.log.list()
		_, first := segmentOf(list, from)
		for _, s := range list[max(first, 0):] {
			if s.pin() { // the topic may be deleted while its files are synced
				segments = append(segments, s)
			}
		}
	}
	p.mu.Unlock()
	for _, job := range jobs {
		if syncErr := p.engine.syncSegment(job); err == nil && syncErr != nil {
			err = syncErr
		}
		job.segment.Release()
	}
	for _, s := range segments {
		if err == nil {
			err = p.engine.failure()
		}
		if err == nil {
			err = p.settleIndexes(s)
		}
		s.Release()
	}
	if err == nil {
		err = p.snapshotProducers()
	}
	if err != nil || len(segments) == 0 {
		return false, err
	}
	p.recoveryPoint = end
	return true, nil
}

// settleIndexes writes to the index files of a segment what is in memory only, and
// makes it durable: one segment at a time, for they stay open in between.
func (p *Partition) settleIndexes(s *Segment) error {
	p.mu.Lock()
	err := s.persistIndexes()
	p.mu.Unlock()
	if err != nil || mutant.Is(mutant.RecoveryPointBeforeIndexSync) {
		return err
	}
	return s.syncIndexes()
}

// recordEpochIfNew makes an epoch durable that clients were told of although no
// batch carries it: it must not be announced with a lower number after a clean
// start. Under p.mu.
func (p *Partition) recordEpochIfNew() error {
	if p.epochRecorded || p.epoch == 0 {
		return nil
	}
	return p.recordEpoch()
}
