package client

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/internal/invariant"
	"github.com/rollway/rollway/wire"
)

// producedBatch is a sealed batch of a Producer with the frame that carries
// it. It is the request of that frame.
type producedBatch struct {
	partition *producerPartition
	number    int64 // in its partition, from 1
	sequence  int64 // of its first record in the partition
	records   int
	cost      int64 // of Producer.room
	frame     []byte
	headLen   int // bytes of frame before the batch

	// The rest is guarded by partition.mu.

	state    batchState
	deadline time.Time // until when it may be sent again; zero before a refusal
	doubt    bool      // an earlier sending has had no answer that tells its fate

	// refs counts who may touch it: its partition, until its fate is reported;
	// the writer, while it has the frame; the client, while it waits for the
	// answer. The last gives it to the pool.
	refs atomic.Int32
}

// batchState says what a batch waits for.
type batchState uint8

const (
	batchWaiting batchState = iota // to be sent
	batchSent                      // for its answer
	batchRefused                   // to be sent again
	batchDone                      // for nothing: its fate is known
)

// unref drops one reference.
func (b *producedBatch) unref() {
	if b.refs.Add(-1) == 0 {
		pool := &b.partition.producer.batches
		*b = producedBatch{frame: b.frame[:0]}
		pool.Put(b)
	}
}

// bytes returns the length of the batch itself.
func (b *producedBatch) bytes() int { return len(b.frame) - b.headLen }

// batch returns the batch in the frame.
func (b *producedBatch) batch() record.Batch { return record.Batch(b.frame[b.headLen:]) }

// send queues the frame under a new request id. partition.mu is held, or the
// batch known to nobody else. The writer must not have the frame.
func (b *producedBatch) send() error {
	p := b.partition.producer
	c := p.connection()
	m := wire.Produce{Topic: p.topicBytes, Partition: b.partition.index, Acks: p.options.Acks.wire()}
	id := c.nextRequestID()
	head := wire.AppendProduceHead(b.frame[:0], id, &m, b.bytes())
	invariant.Check(len(head) == b.headLen, "head of a produce has %d bytes, want %d", len(head), b.headLen)
	u := unanswered{id: id, req: b}
	refs := int32(2)
	if m.Acks == wire.AcksNone {
		u, refs = unanswered{}, 1
	}
	b.state = batchSent
	b.refs.Add(refs)
	err := c.send(outFrame{bytes: b.frame, batch: b}, u)
	if err != nil {
		b.refs.Add(-refs)
	}
	return err
}

// written: the writer is done with the frame.
func (b *producedBatch) written() {
	if b.partition.producer.options.Acks == AcksNone {
		b.partition.settle(b, b.result(nil))
	}
	b.unref()
}

// notWritten: the writer will not write the frame, or has perhaps done so in
// part. If it is answered, its request tells the fate.
func (b *producedBatch) notWritten(err error, sent bool) {
	if b.partition.producer.options.Acks == AcksNone {
		b.partition.lost(b, err, sent)
	}
	b.unref()
}

func (b *producedBatch) wants() wire.Kind { return wire.KindProduced }

func (b *producedBatch) receive(r *receiver, h wire.Head) error {
	f, err := r.frame(h)
	if err != nil {
		return err
	}
	m, err := wire.ParseProduced(f)
	if err != nil {
		return malformed(err)
	}
	if m.NextOffset-m.BaseOffset != int64(b.records) {
		return malformedf("Produced: offsets %d..%d, want %d of them", m.BaseOffset, m.NextOffset-1, b.records)
	}
	result := b.result(nil)
	result.BaseOffset, result.NextOffset, result.LogAppendTimeMs = m.BaseOffset, m.NextOffset, m.LogAppendTimeMs
	b.partition.settle(b, result)
	b.unref()
	return nil
}

func (b *producedBatch) refused(e *wire.Error) {
	b.partition.refused(b, e)
	b.unref()
}

func (b *producedBatch) lost(err error, sent bool) {
	b.partition.lost(b, err, sent)
	b.unref()
}

// result returns the result that err means, nil for a good one without
// offsets.
func (b *producedBatch) result(err error) BatchResult {
	return BatchResult{
		Topic: b.partition.producer.topic, Partition: b.partition.index,
		Sequence: b.sequence, Records: b.records, Bytes: b.bytes(),
		BaseOffset: -1, NextOffset: -1, LogAppendTimeMs: -1,
		Err: err,
	}
}

// inDoubt returns the result of a batch that may or may not be in the log.
func (b *producedBatch) inDoubt(cause error) BatchResult {
	return b.result(&InDoubtError{
		Topic: b.partition.producer.topic, Partition: b.partition.index,
		Sequence: b.sequence, Records: b.records,
		Err: cause,
	})
}

// notAppended returns the result of a batch that is not in the log.
func (b *producedBatch) notAppended(cause error) BatchResult {
	return b.result(fmt.Errorf("produce to %s-%d: not appended, records %d..%d of this producer: %w",
		b.partition.producer.topic, b.partition.index, b.sequence, b.sequence+int64(b.records)-1, cause))
}
