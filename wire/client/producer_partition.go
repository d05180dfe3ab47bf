package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/wire"
)

// Pauses before a refused batch is sent again: the first, and the longest that
// doubling leads to. A server recovers or frees room in about these times.
const (
	firstRetryPause = 50 * time.Millisecond
	maxRetryPause   = time.Second
)

// heldPause is when a batch that is held back is looked at again, should what holds it
// back not end by itself.
const heldPause = 5 * time.Millisecond

// producerPartition is what a Producer knows of one partition: the batch that
// is open, and those that are sealed and not done.
type producerPartition struct {
	producer *Producer
	index    int32

	// sealedNumber is the number of the last batch sealed.
	sealedNumber atomic.Int64

	// building is held while records are appended and a batch is built,
	// compressed and queued, so that batches are queued in order. The reader
	// never takes it.
	building sync.Mutex
	builder  record.Builder // +checklocks:building
	sequence int64          // of the next record. +checklocks:building
	cost     int64          // of the open batch, in Producer.room. +checklocks:building

	mu sync.Mutex
	// queue holds the batches that are sealed and not reported, in order.
	queue []*producedBatch // +checklocks:mu
	// holding is true from a refusal until every batch that was on its way
	// then is done: nothing is sent but what was refused, one by one.
	holding bool // +checklocks:mu
	// pause is the next before sending again.
	pause time.Duration // +checklocks:mu
	// numbers is what an idempotent producer knows; nil without idempotence.
	numbers *numbers // +checklocks:mu
	// held is the number of the open batch that has lingered and is held back, see
	// hold; it may have been sealed since. 0: none.
	held int64 // +checklocks:mu
	// progress, if not nil, is closed when a batch leaves the queue.
	progress chan struct{} // +checklocks:mu
}

func newProducerPartition(p *Producer, index int32) *producerPartition {
	t := &producerPartition{producer: p, index: index, pause: firstRetryPause}
	t.builder.Reset(record.BuilderOptions{Codec: p.options.Codec})
	return t
}

// append puts r, of at most size bytes, into the open batch, and sends it when
// it is full.
func (t *producerPartition) append(r *Record, size int) error {
	p := t.producer
	t.building.Lock()
	defer t.building.Unlock()
	if p.closed.Load() {
		return ErrProducerClosed
	}
	if p.broken.Load() {
		return p.fault()
	}
	if t.builder.Count() > 0 && t.full(t.builder.Size()+size-1) {
		t.sealOpen()
	}
	timestamp := r.TimestampMs
	if timestamp == 0 {
		timestamp = time.Now().UnixMilli()
	}
	if err := t.builder.Append(timestamp, r.Key, r.Value, r.Headers...); err != nil {
		return err
	}
	t.cost += int64(size)
	if t.builder.Count() == 1 {
		p.room.add(batchOverheadBytes)
		t.cost += batchOverheadBytes
	}
	// Whoever waits for room must not wait for this batch to linger.
	if t.full(t.builder.Size()) || p.room.waiting.Load() > 0 {
		t.sealOpen()
	} else if t.builder.Count() == 1 {
		p.linger(t, t.sealedNumber.Load()+1, p.options.Linger)
	}
	return nil
}

// full tells whether a batch of this size is to be sent. One that would only wait
// behind another that waits goes on to grow: few large batches in the window of an
// idempotent producer carry more than few small ones. It is sent with the next
// record once the other is gone, or by itself when it has lingered and the other is gone.
// +checklocks:t.building
func (t *producerPartition) full(size int) bool {
	p := t.producer
	if size < p.batchBytes || size >= p.grownBytes {
		return size >= p.batchBytes
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	last := len(t.queue) - 1
	return t.numbers == nil || last < 0 || t.queue[last].state != batchWaiting
}

// seal sends the open batch.
func (t *producerPartition) seal() {
	t.building.Lock()
	defer t.building.Unlock()
	if t.builder.Count() > 0 {
		t.sealOpen()
	}
}

// lingered sends the open batch of that number, whose deadline has come, or holds it
// back.
func (t *producerPartition) lingered(number int64) {
	t.building.Lock()
	defer t.building.Unlock()
	switch {
	case t.builder.Count() == 0 || number != t.sealedNumber.Load()+1: // it was sealed
	case t.hold(number):
		t.producer.linger(t, number, heldPause)
	default:
		t.sealOpen()
	}
}

// hold tells whether the open batch would only wait behind another until the window has
// room, which the next answer makes: it may grow until then. Else many records that come
// one by one would be as many batches, each the slower for those before it. pump sends it.
func (t *producerPartition) hold(number int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, last := t.numbers, len(t.queue)-1
	if n == nil || n.offline || n.refusing || n.renew != renewNothing || last < 0 || t.queue[last].state != batchWaiting {
		return false
	}
	t.held = number
	return true
}

// sealOpen builds the open batch, which is not empty, and sends it unless the
// partition is holding.
// +checklocks:t.building
func (t *producerPartition) sealOpen() {
	p := t.producer
	b := p.batches.Get().(*producedBatch)
	headLen := wire.HeadSize + 2 + len(p.topicBytes) + 4 + 1
	number := t.nextNumber()
	if number.ID >= 0 {
		t.builder.SetProducer(number)
	}
	frame, err := t.builder.Build(slices.Grow(b.frame[:0], headLen+t.builder.Size())[:headLen])
	b.partition, b.frame, b.headLen = t, frame, headLen
	b.number = t.sealedNumber.Load() + 1
	b.sequence, b.records, b.cost = t.sequence, t.builder.Count(), t.cost
	b.refs.Store(1)
	t.sequence += int64(b.records)
	t.cost = 0
	t.builder.Reset(record.BuilderOptions{Codec: p.options.Codec})
	if err == nil && b.bytes() > p.maxBatch {
		err = fmt.Errorf("%w: batch of %d bytes, want at most %d", ErrRecordTooLarge, b.bytes(), p.maxBatch)
	}

	t.mu.Lock()
	t.queue = append(t.queue, b)
	t.sealedNumber.Store(b.number)
	switch {
	case err != nil:
	case t.numbers != nil:
		t.numbers.take(b, number)
		t.pump()
	case !t.holding:
		err = b.send()
	}
	if err != nil {
		b.state = batchDone
	}
	t.mu.Unlock()
	if err != nil {
		t.report(b, b.notAppended(err))
	}
	p.sealed(t.index)
}

// settle takes the good result of b. Those before it that were refused cannot
// be sent again without changing the order, unless they are numbered: then they
// are in the log, or else the server will say that they are out of order.
func (t *producerPartition) settle(b *producedBatch, result BatchResult) {
	t.mu.Lock()
	if b.state == batchDone {
		t.mu.Unlock()
		return // given up by Close
	}
	var overtaken []*producedBatch
	for _, earlier := range t.queue {
		if earlier == b {
			break
		}
		if earlier.state == batchRefused && t.numbers == nil {
			earlier.state = batchDone
			overtaken = append(overtaken, earlier)
		}
	}
	b.state = batchDone
	t.pause = firstRetryPause
	failed := t.acknowledged()
	t.mu.Unlock()

	for _, earlier := range overtaken {
		t.report(earlier, earlier.notAppended(ErrOvertaken))
	}
	t.report(b, result)
	t.reportUnsent(failed)
}

// refused takes the server's refusal of b: it holds the partition if b may be
// sent again.
func (t *producerPartition) refused(b *producedBatch, e *wire.Error) {
	t.mu.Lock()
	if b.state == batchDone {
		t.mu.Unlock()
		return // given up by Close
	}
	if t.numbers != nil {
		fate := t.refusedNumbered(b, e)
		t.mu.Unlock()
		if fate != nil {
			t.report(b, *fate)
		}
		return
	}
	if t.mayRetry(b, e) {
		b.state = batchRefused
		t.holding = true
		failed := t.goOn(true)
		t.mu.Unlock()
		t.reportUnsent(failed)
		return
	}
	b.state = batchDone
	failed := t.goOn(false)
	t.mu.Unlock()
	if e.InDoubt() {
		t.report(b, b.inDoubt(e))
	} else {
		t.report(b, b.notAppended(e))
	}
	t.reportUnsent(failed)
}

// mayRetry tells whether b, refused with e, is to be sent again. A server that
// closes will not take it, and one node does not get more replicas.
// +checklocks:t.mu
func (t *producerPartition) mayRetry(b *producedBatch, e *wire.Error) bool {
	retryFor := t.producer.options.RetryFor
	if !e.Retryable() || e.Code == wire.CodeServerClosing || e.Code == wire.CodeNotEnoughReplicas || retryFor < 0 {
		return false
	}
	now := time.Now()
	if b.deadline.IsZero() {
		b.deadline = now.Add(retryFor)
	}
	return now.Add(t.pause).Before(b.deadline)
}

// goOn sends what may be sent after an answer, of a partition that is holding:
// nothing while other answers are awaited, then the first batch that was
// refused, after a pause if wait is true, and all when there is none. It
// returns batches that could not be sent, for reportUnsent.
// +checklocks:t.mu
func (t *producerPartition) goOn(wait bool) (failed []unsent) {
	if !t.holding {
		return nil
	}
	for _, b := range t.queue {
		if b.state == batchSent {
			return nil
		}
	}
	for _, b := range t.queue {
		switch b.state {
		case batchDone:
			continue
		case batchRefused:
			if wait || b.refs.Load() > 1 { // the writer has not said that it is done
				t.producer.retryAfter(t, t.pause)
				t.pause = min(2*t.pause, maxRetryPause)
				return failed
			}
			if err := b.send(); err != nil {
				b.state = batchDone
				failed = append(failed, unsent{b, err})
				continue
			}
			return failed
		case batchWaiting:
			t.holding = false
			if err := b.send(); err != nil {
				b.state = batchDone
				failed = append(failed, unsent{b, err})
			}
		}
	}
	t.holding = false
	return failed
}

// unsent is a batch that could not be sent, and why.
type unsent struct {
	batch *producedBatch
	err   error
}

// reportUnsent reports what goOn has returned.
func (t *producerPartition) reportUnsent(failed []unsent) {
	for _, f := range failed {
		t.report(f.batch, f.batch.notAppended(f.err))
	}
}

// sendAgain ends a pause.
func (t *producerPartition) sendAgain() {
	t.mu.Lock()
	if t.numbers != nil {
		t.pauseOver()
		t.mu.Unlock()
		return
	}
	failed := t.goOn(false)
	t.mu.Unlock()
	t.reportUnsent(failed)
}

// lost takes the end of the connection before b was answered.
func (t *producerPartition) lost(b *producedBatch, err error, sent bool) {
	t.mu.Lock()
	if t.numbers != nil && b.state != batchDone && !errors.Is(err, ErrClosed) {
		t.lostNumbered(b, sent)
		t.mu.Unlock()
		return
	}
	known := b.state == batchDone
	b.state = batchDone
	t.mu.Unlock()
	switch {
	case known: // given up by Close
	case sent:
		t.report(b, b.inDoubt(err))
	default:
		t.report(b, b.notAppended(err))
	}
}

// connectionBroken fails the batches that were not sent, or refused. The
// client tells about those that wait for an answer.
func (t *producerPartition) connectionBroken(err error) {
	t.end(err, batchWaiting, batchRefused)
}

// giveUp fails all batches that are not done, because of Close.
func (t *producerPartition) giveUp(cause error) {
	t.end(fmt.Errorf("%w: %w", ErrProducerClosed, cause), batchWaiting, batchRefused, batchSent)
}

// end makes the batches done that are in one of the states.
func (t *producerPartition) end(err error, states ...batchState) {
	t.mu.Lock()
	var ended []*producedBatch
	var sent []bool
	for _, b := range t.queue {
		if slices.Contains(states, b.state) {
			ended, sent = append(ended, b), append(sent, b.state == batchSent || b.doubt)
			b.state = batchDone
		}
	}
	t.mu.Unlock()
	for i, b := range ended {
		if sent[i] {
			t.report(b, b.inDoubt(err))
		} else {
			t.report(b, b.notAppended(err))
		}
	}
}

// report tells the fate of b, whose state is done, and removes it. Whoever
// waits for it has its error then.
func (t *producerPartition) report(b *producedBatch, result BatchResult) {
	t.producer.report(b, result)
	t.mu.Lock()
	at := slices.Index(t.queue, b)
	last := len(t.queue) - 1
	copy(t.queue[at:], t.queue[at+1:])
	t.queue[last] = nil
	t.queue = t.queue[:last]
	if t.progress != nil {
		close(t.progress)
		t.progress = nil
	}
	t.mu.Unlock()
	b.unref()
}

// lastNumber returns the number of the last batch sealed.
func (t *producerPartition) lastNumber() int64 { return t.sealedNumber.Load() }

// await waits until all batches up to number are done.
func (t *producerPartition) await(ctx context.Context, number int64) error {
	for {
		t.mu.Lock()
		if len(t.queue) == 0 || t.queue[0].number > number {
			t.mu.Unlock()
			return nil
		}
		if t.progress == nil {
			t.progress = make(chan struct{})
		}
		progress := t.progress
		t.mu.Unlock()
		select {
		case <-progress:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
