package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/rollway/rollway/engine/topicconfig"
)

// PartitionState is what a partition can do.
type PartitionState int32

const (
	// Recovering: its log is being read after a start. Try again.
	Recovering PartitionState = iota
	// Ready: it appends and serves.
	Ready
	// Failed: its files are damaged in a way that recovery does not mend.
	Failed
	// Deleted: its topic is gone.
	Deleted
)

func (s PartitionState) String() string {
	switch s {
	case Recovering:
		return "recovering"
	case Ready:
		return "ready"
	case Failed:
		return "failed"
	case Deleted:
		return "deleted"
	}
	return fmt.Sprintf("state %d", int32(s))
}

// Partition is one log of a topic. All methods may be called concurrently.
type Partition struct {
	engine *Engine
	topic  string
	id     TopicID
	index  int32
	dir    string

	internal bool // its topic is the node's own

	state    atomic.Int32 // a PartitionState
	fault    error        // why state is Failed; written before it
	log      *Log
	marks    atomic.Pointer[offsetMarks]
	marksMu  sync.Mutex // serializes changes of marks
	waiters  waiters
	traffic  traffic
	member   int       // index + 1 in the next commit group, 0 if it is not in it; under committer.mu
	heavy    bool      // when it was synced last, that was much; under committer.mu
	unsynced int64     // bytes appended that are neither in a record nor being synced; under committer.mu
	syncing  syncState // of its files beside the commit groups; under committer.mu
	covered  Offset    // all below is durable or in the next commit group; under committer.mu
	epochNow atomic.Int32
	// checkpointed is the recovery point that stands on disk.
	checkpointed atomic.Int64

	// Of the start: set before it is recovered, then only read.
	journaled journaled
	replayed  int // batches that were written from the journal

	doomed []*Segment // have left the log, their files not renamed yet; under Engine.deletionMu

	mu            sync.Mutex // held while appending; nothing but the page cache is waited for
	epochs        leaderEpochs
	epoch         int32
	epochRecorded bool // epoch stands in leader-epoch-checkpoint
	lastAppendMs  int64
	group         [][]byte
	waitsForSpace bool   // recovery has found none, and that was logged; recovery's
	recoveryPoint Offset // all below is durable, indexes included

	producers        *producerTable // nil while no producer is idempotent
	producersBounded bool           // it was logged that some are forgotten

	snapshotMu sync.Mutex // held while a snapshot is written; may be taken under mu
	snapshots  producerSnapshots
}

func newPartition(e *Engine, topic *TopicImage, index int32, config *topicconfig.Config) *Partition {
	p := &Partition{engine: e, internal: e.IsInternal(topic.Name), topic: topic.Name, id: topic.ID, index: index, dir: partitionDirName(topic.Name, index)}
	p.log = &Log{fs: e.fs, files: e.files, cache: e.indexCache, dir: p.dir, logger: e.options.Log}
	p.log.rolled = p.rolled
	p.snapshots.newest = noSnapshot
	p.log.settings.Store(config)
	p.log.segments.Store(new([]*Segment))
	p.marks.Store(new(offsetMarks))
	return p
}

// String is the partition's name as clients and directories spell it.
func (p *Partition) String() string { return p.dir }

// Topic is the name of its topic.
func (p *Partition) Topic() string { return p.topic }

// Index is its number within the topic, from 0.
func (p *Partition) Index() int32 { return p.index }

// Internal tells whether its topic is the node's own (Options.InternalTopics), to
// which clients do not append.
func (p *Partition) Internal() bool { return p.internal }

// TopicID is the id of its topic.
func (p *Partition) TopicID() TopicID { return p.id }

// State tells what the partition can do, and why if that is nothing.
func (p *Partition) State() (PartitionState, error) {
	s := PartitionState(p.state.Load())
	if s == Failed {
		return s, p.fault
	}
	return s, nil
}

// Offsets returns the current ends; zero before the partition is ready.
func (p *Partition) Offsets() Offsets { return p.marks.Load().public() }

// Size is how many bytes of batches the log has in its segments; 0 before the
// partition is ready and after it has failed. It takes no lock.
func (p *Partition) Size() int64 {
	if PartitionState(p.state.Load()) != Ready {
		return 0
	}
	// Sizes of segments that a later one follows do not change. The active one
	// has grown up to the end of the log, or was just made if that lies in
	// another: the end is read first.
	end := p.marks.Load().logEnd
	list := p.log.list()
	var n int64
	for i, s := range list {
		switch {
		case i < len(list)-1:
			n += int64(s.size)
		case s == end.segment:
			n += int64(end.position)
		}
	}
	return n
}

// LeaderEpoch is written into each batch that is appended; it rises at each
// start after an unclean stop.
func (p *Partition) LeaderEpoch() int32 { return p.epochNow.Load() }

// EndOfEpoch answers OffsetForLeaderEpoch (KIP-320): the largest epoch up to
// the asked one and where it ends; -1 and -1 if there is none.
func (p *Partition) EndOfEpoch(epoch int32) (int32, Offset, error) {
	if err := p.readable(); err != nil {
		return -1, -1, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	found, end := p.epochs.endOffset(epoch, p.marks.Load().logEnd.offset)
	return found, end, nil
}

// readable is nil if the partition serves fetches.
func (p *Partition) readable() error {
	switch PartitionState(p.state.Load()) {
	case Ready:
		return nil
	case Recovering:
		return fmt.Errorf("%w: %s is being recovered, try again", ErrNotReady, p)
	case Deleted:
		return fmt.Errorf("%w: %s was deleted", ErrUnknownTopic, p.topic)
	}
	return fmt.Errorf("%w: %s: %w", ErrOffline, p, p.fault)
}

// usable is nil if the partition also appends.
func (p *Partition) usable() error {
	if err := p.readable(); err != nil {
		return err
	}
	return p.engine.writable()
}

// update changes the marks by change, settles the high watermark and wakes who
// waited for it.
func (p *Partition) update(change func(*offsetMarks)) *offsetMarks {
	p.marksMu.Lock()
	before := p.marks.Load()
	after := *before
	change(&after)
	after.settle(p.log.config().Durable())
	if after != *before {
		p.marks.Store(&after)
	}
	p.marksMu.Unlock()
	if after.highWatermark.offset > before.highWatermark.offset {
		p.waiters.wake(after.highWatermark.offset)
	}
	return &after
}

// awaitAppends returns when the appends that were under way are over.
func (p *Partition) awaitAppends() {
	p.mu.Lock()
	defer p.mu.Unlock()
}

// committed says that the log is durable up to end.
func (p *Partition) committed(end mark) {
	p.update(func(o *offsetMarks) {
		if end.offset > o.logEnd.offset {
			o.logEnd = end
		}
		if end.offset > o.flushed.offset {
			o.flushed = end
		}
	})
}

// Await arms w to be notified when the high watermark has reached at, and
// returns false, without arming, if it has, or if the partition or, once it is
// ready, its directory has stopped: then there is nothing to wait for.
func (p *Partition) Await(w *Waiter, at Offset) bool {
	return p.waiters.add(w, at, func(at Offset) bool {
		switch PartitionState(p.state.Load()) {
		case Ready:
			return p.marks.Load().highWatermark.offset >= at || p.engine.failure() != nil
		case Recovering:
			return false // whatever happens, its end is notified
		}
		return true
	})
}

// Forget disarms w. When it returns, Notify is not running and will not be
// called.
func (p *Partition) Forget(w *Waiter) { p.waiters.remove(w) }

// Acknowledged tells whether an append that ends at next may be acknowledged:
// true when the high watermark has passed it, an error when that will not
// happen any more, else false.
func (p *Partition) Acknowledged(next Offset) (bool, error) {
	if p.marks.Load().highWatermark.offset >= next {
		return true, nil
	}
	return false, p.usable()
}

// AwaitHighWatermark returns nil when the high watermark has reached at. Errors:
// ctx's; ErrStorageFailed, ErrUnknownTopic after a deletion.
func (p *Partition) AwaitHighWatermark(ctx context.Context, at Offset) error {
	reached := make(chan struct{}, 1)
	w := Waiter{Notify: func() { reached <- struct{}{} }}
	for {
		if ok, err := p.Acknowledged(at); ok || (err != nil && !errors.Is(err, ErrNotReady)) {
			return err
		}
		if !p.Await(&w, at) {
			continue
		}
		select {
		case <-reached:
		case <-ctx.Done():
			p.Forget(&w)
			return ctx.Err()
		}
	}
}

// stop ends the partition, unless it has ended before, wakes everybody and
// gives its files back.
func (p *Partition) stop(state PartitionState, why error) {
	p.mu.Lock()
	now := PartitionState(p.state.Load())
	if now == Recovering || now == Ready {
		p.fault = why
		p.state.Store(int32(state))
	}
	if now == Ready {
		p.log.close()
	}
	p.mu.Unlock()
	p.awaitSnapshot() // its directory may be renamed next
	p.waiters.wake(maxOffset)
}

// start makes a recovered partition ready, unless its topic was deleted
// meanwhile.
func (p *Partition) start() {
	p.mu.Lock()
	if !p.state.CompareAndSwap(int32(Recovering), int32(Ready)) {
		p.log.close()
	}
	p.mu.Unlock()
	p.waiters.wake(maxOffset)
}

// recordEpoch makes the partition's leader epoch durable before the first batch
// that carries it. Under p.mu.
func (p *Partition) recordEpoch() error {
	if p.epochRecorded {
		return nil
	}
	p.epochs.assign(p.epoch, p.log.next)
	if err := p.epochs.write(p.engine.fs, p.dir); err != nil {
		return err
	}
	p.epochRecorded = true
	return nil
}
