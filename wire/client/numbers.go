package client

import (
	"errors"
	"math"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/wire"
)

// maxUnanswered is how many batches of a partition an idempotent producer has
// on their way: the server recognizes the last five.
const maxUnanswered = 5

// numbers is what an idempotent producer knows of a partition: under which id
// and epoch it numbers its batches there, and what keeps it from sending. It is
// guarded by producerPartition.mu.
type numbers struct {
	assigned wire.ProducerAssigned
	next     int32 // sequence of the next record

	// proven: the server has answered a batch since the last break, so it knows
	// this producer. Of one that it does not know it takes any batch as the
	// first, and so a later one before an earlier one that it had to refuse:
	// until then one batch is sent at a time.
	proven bool
	// offline: there is no connection. The keeper makes one, and calls resume.
	offline bool
	// refusing: a batch was refused and goes again after a pause, and nothing
	// goes before it.
	refusing bool
	pausing  bool // the end of that pause is on its way
	// renew is what the partition needs before it may send: its sequence has a
	// gap that will not be filled.
	renew renewal
	asked bool // the keeper knows
}

// renewal is what a partition needs to begin its sequence anew.
type renewal uint8

const (
	renewNothing renewal = iota
	renewEpoch           // the next epoch
	renewID              // another id: somebody uses a later epoch of this one
)

// sequenceAfter is the sequence n records after s: 0 follows 2^31-1.
func sequenceAfter(s int32, n int) int32 { return int32((int64(s) + int64(n)) & math.MaxInt32) }

// producer returns what the next batch carries.
func (n *numbers) producer() record.Producer {
	return record.Producer{ID: n.assigned.ProducerID, Epoch: n.assigned.Epoch, BaseSequence: n.next}
}

// number gives b, which nobody else touches, the next sequence.
func (n *numbers) number(b *producedBatch) {
	b.batch().SetProducer(n.producer())
	n.next = sequenceAfter(n.next, b.records)
}

// take counts a new batch, which was built as guessed: another epoch may have
// begun since.
func (n *numbers) take(b *producedBatch, guessed record.Producer) {
	if guessed != n.producer() {
		n.number(b)
		return
	}
	n.next = sequenceAfter(n.next, b.records)
}

// nextNumber returns what a batch that is built now will carry, unless another
// epoch begins meanwhile; the id is negative without idempotence.
func (t *producerPartition) nextNumber() record.Producer {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.numbers == nil {
		return record.Producer{ID: wire.NoProducer}
	}
	return t.numbers.producer()
}

// unanswered counts the batches that are on their way.
// +checklocks:t.mu
func (t *producerPartition) unanswered() (count int) {
	for _, b := range t.queue {
		if b.state == batchSent {
			count++
		}
	}
	return count
}

// first returns the first batch whose fate is not known; nil if there is none.
// +checklocks:t.mu
func (t *producerPartition) first() *producedBatch {
	for _, b := range t.queue {
		if b.state != batchDone {
			return b
		}
	}
	return nil
}

// proceed does what comes next after something has changed.
// +checklocks:t.mu
func (t *producerPartition) proceed() {
	n, p := t.numbers, t.producer
	switch {
	case n.offline:
	case (n.refusing || n.renew != renewNothing) && t.unanswered() > 0:
		// What is on its way comes back first.
	case n.renew != renewNothing:
		if !n.asked {
			n.asked = true
			p.keeper.ask(t)
		}
	case !n.refusing:
		t.pump()
	case !n.pausing:
		n.pausing = true
		p.retryAfter(t, t.pause)
		t.pause = min(2*t.pause, maxRetryPause)
	}
}

// pump sends, in order, what may be on its way.
// +checklocks:t.mu
func (t *producerPartition) pump() {
	n := t.numbers
	if n.offline || n.refusing || n.renew != renewNothing {
		return
	}
	window := int64(1)
	if n.proven {
		window = maxUnanswered
	}
	first := t.first()
	for _, b := range t.queue {
		// Batches that are done count, too: the server must remember the first
		// that is not when it gets the last.
		if first != nil && b.number >= first.number+window {
			return
		}
		before := b.state
		if before == batchDone || before == batchSent {
			continue
		}
		if b.refs.Load() > 1 { // the writer has not said that it is done
			n.refusing = true
			t.proceed()
			return
		}
		if b.send() != nil {
			// The connection is broken: the keeper will find out, too.
			b.state = before
			n.offline = true
			return
		}
	}
	if t.held > t.sealedNumber.Load() {
		t.producer.linger(t, t.held, 0)
	}
	t.held = 0
}

// acknowledged goes on after a good answer.
// +checklocks:t.mu
func (t *producerPartition) acknowledged() []unsent {
	if t.numbers == nil {
		return t.goOn(false)
	}
	t.numbers.proven = true
	t.proceed()
	return nil
}

// refusedNumbered takes the server's refusal of b. It returns the fate of b if
// that is final.
// +checklocks:t.mu
func (t *producerPartition) refusedNumbered(b *producedBatch, e *wire.Error) *BatchResult {
	n := t.numbers
	outOfTurn := e.Code == wire.CodeOutOfOrderSequence || e.Code == wire.CodeInvalidProducerEpoch
	switch {
	case outOfTurn && (n.renew != renewNothing || t.first() != b):
		// One before it was refused, so this one had to be. Both go again.
	case t.mayRetryNumbered(b, e):
		b.doubt = b.doubt || e.InDoubt()
	default:
		fate := b.final(e, e.InDoubt())
		if !b.deadline.IsZero() {
			// Those behind it have waited for as long.
			for _, behind := range t.queue {
				t.setDeadline(behind, b.deadline.Add(-t.producer.options.RetryFor))
			}
		}
		n.renew = max(n.renew, renewalAfter(e.Code))
		t.proceed()
		return &fate
	}
	b.state = batchRefused
	n.refusing, n.proven = true, false
	t.proceed()
	return nil
}

// renewalAfter is what a partition needs when a batch has failed for good.
func renewalAfter(code wire.Code) renewal {
	if code == wire.CodeInvalidProducerEpoch {
		return renewID
	}
	return renewEpoch
}

// mayRetryNumbered tells whether b is to be sent again. What is in doubt may be:
// the server will recognize it.
// +checklocks:t.mu
func (t *producerPartition) mayRetryNumbered(b *producedBatch, e *wire.Error) bool {
	if !e.InDoubt() && (!e.Retryable() || e.Code == wire.CodeNotEnoughReplicas) {
		return false
	}
	now := time.Now()
	t.setDeadline(b, now)
	return now.Add(t.pause).Before(b.deadline)
}

// setDeadline lets b be sent again until RetryFor from now, unless that was set
// before.
// +checklocks:t.mu
func (t *producerPartition) setDeadline(b *producedBatch, now time.Time) {
	if b.deadline.IsZero() {
		b.deadline = now.Add(t.producer.options.RetryFor)
	}
}

// final ends b, and returns its fate. partition.mu is held.
func (b *producedBatch) final(cause error, doubt bool) BatchResult {
	b.state = batchDone
	if doubt || b.doubt {
		return b.inDoubt(cause)
	}
	return b.notAppended(cause)
}

// lostNumbered takes the end of the connection before b was answered.
// +checklocks:t.mu
func (t *producerPartition) lostNumbered(b *producedBatch, sent bool) {
	b.state = batchRefused
	b.doubt = b.doubt || sent
	t.setDeadline(b, time.Now())
	t.numbers.offline, t.numbers.proven = true, false
}

// pauseOver sends again what was refused, one batch first.
// +checklocks:t.mu
func (t *producerPartition) pauseOver() {
	n := t.numbers
	n.pausing, n.refusing = false, false
	t.proceed()
}

// resume goes on over a new connection. Everything that was on its way over the
// old one has been lost.
func (t *producerPartition) resume() {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.numbers
	n.offline, n.refusing, n.proven = false, false, false
	t.pause = firstRetryPause
	for _, b := range t.queue {
		if b.state == batchWaiting {
			b.deadline = time.Time{} // it is not to blame for the break
		}
	}
	t.proceed()
}

// expire fails the batches that have waited for a connection, or for another
// epoch, for too long.
func (t *producerPartition) expire(now time.Time, cause error) {
	t.mu.Lock()
	var fates []fate
	for _, b := range t.queue {
		if b.state != batchRefused && b.state != batchWaiting {
			continue
		}
		if t.setDeadline(b, now); now.Before(b.deadline) {
			continue
		}
		fates = append(fates, fate{b, b.final(cause, false)})
		t.numbers.renew = max(t.numbers.renew, renewEpoch)
	}
	t.mu.Unlock()
	t.reportFates(fates)
}

// errAfterGap is why a batch is given up that may be in the log behind one that
// is not.
var errAfterGap = errors.New("client: the connection ended before it was answered, and a batch before it has failed since")

// begin numbers what is to be sent anew, under another id or epoch; false if the
// writer still has a frame of it. What may be in the log under its old number is
// given up: under a new one it might be stored twice.
func (t *producerPartition) begin(assigned wire.ProducerAssigned) bool {
	t.mu.Lock()
	for _, b := range t.queue {
		if b.state != batchDone && b.refs.Load() > 1 {
			t.mu.Unlock()
			return false
		}
	}
	n := t.numbers
	n.assigned, n.next = assigned, 0
	var fates []fate
	for _, b := range t.queue {
		switch {
		case b.state == batchDone:
		case b.doubt:
			fates = append(fates, fate{b, b.final(errAfterGap, true)})
		default:
			n.number(b)
		}
	}
	n.renew, n.asked, n.refusing, n.proven = renewNothing, false, false, false
	t.proceed()
	t.mu.Unlock()
	t.reportFates(fates)
	return true
}

// fate is a batch that is done and not reported.
type fate struct {
	batch  *producedBatch
	result BatchResult
}

func (t *producerPartition) reportFates(fates []fate) {
	for _, f := range fates {
		t.report(f.batch, f.result)
	}
}
