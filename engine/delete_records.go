package engine

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// ToHighWatermark as the argument of DeleteRecords deletes all that is visible.
const ToHighWatermark Offset = -1

// DeleteRecords deletes the records below before, which is at most the high
// watermark, or ToHighWatermark, and returns the first offset that the log has
// then: before, or what it was if that is further. It is durable when it
// returns, and never undone: not by a power cut either. Segments that hold
// nothing else go as a whole, also the active one; within a segment the records
// are out of reach but keep their place. It blocks for the disk.
//
// Errors: ErrOffsetOutOfRange; ErrNotReady, ErrOffline, ErrUnknownTopic after a
// deletion; ErrNoSpace, then nothing was deleted; ErrStorageFailed.
func (p *Partition) DeleteRecords(before Offset) (Offset, error) {
	p.engine.deletionMu.Lock()
	defer p.engine.deletionMu.Unlock()
	if err := p.usable(); err != nil {
		return -1, err
	}
	marks := p.marks.Load()
	if before == ToHighWatermark {
		before = marks.highWatermark.offset
	}
	if before < 0 || before > marks.highWatermark.offset {
		return -1, fmt.Errorf("%w: %s: records below %d cannot be deleted, only those below the high watermark, %d",
			ErrOffsetOutOfRange, p, before, marks.highWatermark.offset)
	}
	if before <= marks.logStart.offset {
		return marks.logStart.offset, nil
	}
	start, err := p.startAt(before, marks)
	if err == nil {
		err = p.engine.recordLogStart(p, before)
	}
	if err != nil {
		return -1, p.reported(p.refusal(err))
	}
	p.moveStart(start)
	if err := p.bury(); err != nil {
		if isFinal(err) {
			return -1, p.reported(err)
		}
		p.log.warn("files of deleted segments keep their names until retention tries again", "error", err)
	}
	return before, nil
}

// startAt finds the batch that holds the offset, which is to be the first of
// the log. It seals the active segment if that holds no record from there on,
// so that it can go.
func (p *Partition) startAt(off Offset, marks *offsetMarks) (mark, error) {
	if off < marks.highWatermark.offset {
		c, err := p.Seek(off)
		if damage := (*CorruptionError)(nil); errors.As(err, &damage) {
			// What is damaged keeps nothing that lies before it.
			s, _ := segmentOf(p.log.list(), off)
			return mark{offset: off, segment: s}, nil
		}
		return mark{offset: off, segment: c.segment, position: c.position}, err
	}
	if active := p.log.active(); active != nil {
		if _, err := p.seal(active, func() bool { return p.log.next == off }); err != nil {
			return mark{}, err
		}
	}
	if s, _ := segmentOf(p.log.list(), off); s != nil && s.base == off {
		return mark{offset: off, segment: s}, nil
	}
	return marks.highWatermark, nil
}

// recordLogStart makes it durable that the partition begins at off. It also
// forgets what earlier ones need not be remembered any more: those of segments
// that are gone for certain, and of topics. Under deletionMu.
func (e *Engine) recordLogStart(p *Partition, off Offset) error {
	starts := maps.Clone(e.logStarts)
	maps.DeleteFunc(starts, func(key partitionKey, start Offset) bool {
		t := e.Topics()[key.topic]
		if t == nil || int(key.index) >= len(t.partitions) {
			return true
		}
		return t.partitions[key.index].beginsBehind(start)
	})
	starts[partitionKey{p.topic, p.index}] = off
	return e.writeLogStarts(starts)
}

// beginsBehind tells that no file of the log holds anything below start, nor
// can a power cut bring one back. Under deletionMu.
func (p *Partition) beginsBehind(start Offset) bool {
	if PartitionState(p.state.Load()) != Ready || len(p.doomed) > 0 {
		return false
	}
	list := p.log.list()
	return len(list) > 0 && list[0].base >= start
}

// writeLogStarts makes these the starts of logs that lie inside of their first
// segment. Under deletionMu.
func (e *Engine) writeLogStarts(starts offsetCheckpoint) error {
	if err := e.withBallast(func() error { return starts.write(e.fs, logStartOffsetFile) }); err != nil {
		if isFinal(err) {
			e.fail(err)
		}
		return fmt.Errorf("write %s: %w", logStartOffsetFile, err)
	}
	e.logStarts = starts
	return nil
}

// forgetLogStarts durably removes the starts of partitions that are about to be
// made: an earlier topic of that name may have left some, and the new logs begin
// at 0.
func (e *Engine) forgetLogStarts(topic string, first, end int32) error {
	e.deletionMu.Lock()
	defer e.deletionMu.Unlock()
	starts := maps.Clone(e.logStarts)
	for index := first; index < end; index++ {
		delete(starts, partitionKey{topic, index})
	}
	if len(starts) == len(e.logStarts) {
		return nil
	}
	return e.writeLogStarts(starts)
}

// readLogStarts reads the starts of logs. Without them, logs begin with their
// first segments.
func (e *Engine) readLogStarts() error {
	starts, err := readOffsetCheckpoint(e.fs, logStartOffsetFile)
	if errors.Is(err, ErrBadCheckpoint) {
		e.options.Log.Warn("starts of logs are lost; what DeleteRecords has deleted within a segment is there again",
			"file", logStartOffsetFile, "error", err)
		starts, err = offsetCheckpoint{}, nil
	}
	e.logStarts = starts
	return err
}

// awaitDeletions returns when the deletions that were under way are over.
func (e *Engine) awaitDeletions() {
	e.deletionMu.Lock()
	defer e.deletionMu.Unlock()
}

// recordedLogStart is what DeleteRecords has moved the start of the partition
// to, 0 if it has not.
func (e *Engine) recordedLogStart(p *Partition) Offset {
	e.deletionMu.Lock()
	defer e.deletionMu.Unlock()
	return e.logStarts[partitionKey{p.topic, p.index}]
}

// dropDeleted takes the segments that lie below the recorded start out of those
// that were found: a crash came before they were renamed, or a power cut brought
// them back, perhaps not all. It runs before anything of them is looked at.
func (p *Partition) dropDeleted(found []*Segment) []*Segment {
	drop := endingBy(found, p.engine.recordedLogStart(p))
	for _, s := range found[:drop] {
		s.drop()
	}
	p.engine.deletionMu.Lock()
	p.doomed = found[:drop:drop]
	p.engine.deletionMu.Unlock()
	return found[drop:]
}

// recoverLogStart returns where the recovered log begins, and goes on with the
// deletion of what lies before. A recorded start beyond the end of the log means
// that records which were deleted were not durable either, which is so where
// flush.messages allows it, or that the file is wrong: then no byte is removed,
// but set aside, and the log goes on at that start.
func (p *Partition) recoverLogStart() (mark, error) {
	start, recorded := p.log.start(), p.engine.recordedLogStart(p)
	switch {
	case recorded > p.log.next:
		p.log.warn("the log ends before its start, which DeleteRecords has moved; it goes on there", "end", p.log.next, "start", recorded)
		if err := p.restartAt(recorded); err != nil {
			return mark{}, err
		}
		start = p.log.start()
	case recorded > start.offset:
		s, _ := segmentOf(p.log.list(), recorded)
		start = mark{offset: recorded, segment: s}
	}
	p.epochs.truncateFromStart(start.offset)
	p.engine.deletionMu.Lock()
	defer p.engine.deletionMu.Unlock()
	if err := p.bury(); isFinal(err) {
		return mark{}, err
	} else if err != nil {
		p.log.warn("files of deleted segments keep their names until retention tries again", "error", err)
	}
	return start, nil
}

// restartAt makes an empty segment at start, beyond the end of the log, and sets
// all others aside. A crash before the last of them finds a log with a gap and
// comes back here.
func (p *Partition) restartAt(start Offset) error {
	list := p.log.list()
	p.log.segments.Store(new([]*Segment))
	p.log.next = start
	if _, err := p.log.roll(p.engine.nowMs()); err != nil {
		return err
	}
	for _, s := range slices.Backward(list) {
		if err := p.setAside(s); err != nil {
			return err
		}
	}
	return p.log.syncDir()
}
