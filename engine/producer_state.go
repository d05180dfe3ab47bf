package engine

import (
	"fmt"
	"math"

	"github.com/rollway/rollway/engine/record"
)

// recentBatches is how many of its last batches are known of each producer, and
// so how many it may have in flight to a partition: Kafka's
// ProducerStateEntry.NUM_BATCHES_TO_RETAIN.
const recentBatches = 5

// What a producer's epoch and sequence are while nothing of it is known
// (RecordBatch.NO_PRODUCER_EPOCH and NO_SEQUENCE).
const (
	noProducerEpoch = -1
	noSequence      = -1
)

// producerBatch is what is kept of one batch of a producer in the log.
type producerBatch struct {
	lastSequence int32 // of its last record
	delta        int32 // records in it, less one
	lastOffset   Offset
	timestamp    int64 // highest of the batch, ms; the time of append under LogAppendTime
}

// base is the sequence of the first record.
func (b producerBatch) base() int32 { return sequenceAfter(b.lastSequence, -b.delta) }

func (b producerBatch) baseOffset() Offset { return b.lastOffset - Offset(b.delta) }

// sequenceAfter is the sequence n records after s: 0 follows 2^31-1.
func sequenceAfter(s, n int32) int32 { return int32((int64(s) + int64(n)) & math.MaxInt32) }

// producerState is what a partition knows of one idempotent producer.
type producerState struct {
	id     int64
	epoch  int16
	count  uint8 // of recent
	recent [recentBatches]producerBatch

	timestamp  int64 // of the last batch, ms; that of a snapshot when no batch is left
	appendedMs int64 // wall clock of the last append: expiry counts from it

	// Transactions are not built; these are kept from snapshots that a Kafka
	// wrote. Both are -1 for none.
	coordinatorEpoch int32
	txnFirstOffset   Offset

	older, newer *producerState // neighbours in the table's order of appends
}

// batches are those that are known, the newest last.
func (s *producerState) batches() []producerBatch { return s.recent[:s.count] }

// last is the newest batch; ok is false when none is known.
func (s *producerState) last() (b producerBatch, ok bool) {
	if s.count == 0 {
		return producerBatch{lastSequence: noSequence, lastOffset: -1}, false
	}
	return s.recent[s.count-1], true
}

// setEpoch begins an epoch: the batches of another one count no longer.
func (s *producerState) setEpoch(epoch int16) {
	if s.epoch != epoch {
		s.epoch, s.count = epoch, 0
	}
}

// add notes a batch; the oldest makes room for it.
func (s *producerState) add(b producerBatch) {
	if s.count == recentBatches {
		copy(s.recent[:], s.recent[1:])
		s.count--
	}
	s.recent[s.count] = b
	s.count++
	s.timestamp = b.timestamp
}

// producerTable is what a partition knows of its idempotent producers. It has no
// lock: all methods are called under the partition's mutex. A partition without
// such producers has no table.
type producerTable struct {
	byID map[int64]*producerState

	// The same producers as a list, in the order of their last appends.
	oldest, newest *producerState
}

func newProducerTable() *producerTable { return &producerTable{byID: map[int64]*producerState{}} }

// find returns the state of a producer; nil if nothing is known of it, also
// because it has been silent for expirationMs: then it is forgotten now.
func (t *producerTable) find(id, nowMs, expirationMs int64) *producerState {
	if t == nil {
		return nil
	}
	s := t.byID[id]
	if s != nil && nowMs-s.appendedMs >= expirationMs {
		t.forget(s)
		return nil
	}
	return s
}

// touch returns the state of a producer that appends now, made if there is none,
// as the newest of the list.
func (t *producerTable) touch(id, nowMs int64) *producerState {
	s := t.byID[id]
	if s == nil {
		s = &producerState{id: id, epoch: noProducerEpoch, timestamp: noTimestamp, coordinatorEpoch: -1, txnFirstOffset: -1}
	} else {
		t.unlink(s)
	}
	s.appendedMs = nowMs
	t.put(s)
	return s
}

// put makes s, which is not in the list, the newest.
func (t *producerTable) put(s *producerState) {
	t.byID[s.id] = s
	s.older, s.newer = t.newest, nil
	if t.newest != nil {
		t.newest.newer = s
	} else {
		t.oldest = s
	}
	t.newest = s
}

func (t *producerTable) unlink(s *producerState) {
	if s.older != nil {
		s.older.newer = s.newer
	} else {
		t.oldest = s.newer
	}
	if s.newer != nil {
		s.newer.older = s.older
	} else {
		t.newest = s.older
	}
}

func (t *producerTable) forget(s *producerState) {
	t.unlink(s)
	delete(t.byID, s.id)
}

// bound forgets producers so that at most limit are left: those first that have
// been silent for longest. A producer that is forgotten while it is alive may go
// on with any sequence, as after its expiry.
func (t *producerTable) bound(limit int) (forgotten int) {
	for ; len(t.byID) > limit; forgotten++ {
		t.forget(t.oldest)
	}
	return forgotten
}

// expire forgets the producers that have been silent for expirationMs.
func (t *producerTable) expire(nowMs, expirationMs int64) {
	for s := t.oldest; s != nil && nowMs-s.appendedMs >= expirationMs; s = t.oldest {
		t.forget(s)
	}
}

// note takes a batch into account that stands in the log, whatever its sequence
// is: an append has been judged before, and what recovery finds is a fact. A
// control batch says which epoch its producer has and has no sequence.
func (t *producerTable) note(b record.Batch, nowMs int64) {
	s := t.touch(b.ProducerID(), nowMs)
	s.setEpoch(b.ProducerEpoch())
	if b.Attributes().Control() {
		s.timestamp = b.MaxTimestamp()
		return
	}
	delta := b.LastOffsetDelta()
	s.add(producerBatch{
		lastSequence: sequenceAfter(b.BaseSequence(), delta),
		delta:        delta,
		lastOffset:   b.LastOffset(),
		timestamp:    b.MaxTimestamp(),
	})
}

// producedBy says which producer made the batches of a request, and with which
// sequences: one producer, and one range without a gap.
type producedBy struct {
	id    int64 // -1: none
	epoch int16
	first int32 // sequence of the first record of the request
	last  int32 // and of the last
}

// include takes the next batch of a request into account, which has passed
// record.Batch.VerifyProduced. first says that there is none before it.
func (r *producedBy) include(b record.Batch, first bool) error {
	id, epoch, base := b.ProducerID(), b.ProducerEpoch(), b.BaseSequence()
	if id < 0 {
		id = -1 // the other fields mean nothing then
	}
	switch {
	case first:
		r.id, r.epoch, r.first = id, epoch, base
	case r.id != id || id >= 0 && r.epoch != epoch:
		return fmt.Errorf("%w: batches of producer %d epoch %d and of producer %d epoch %d in one request, want one producer",
			record.ErrInvalid, r.id, r.epoch, id, epoch)
	case id >= 0 && base != sequenceAfter(r.last, 1):
		return fmt.Errorf("%w: producer %d epoch %d: a batch with sequence %d follows %d in one request, want %d",
			ErrOutOfOrderSequence, id, epoch, base, r.last, sequenceAfter(r.last, 1))
	}
	if id >= 0 {
		r.last = sequenceAfter(base, b.LastOffsetDelta())
	}
	return nil
}
