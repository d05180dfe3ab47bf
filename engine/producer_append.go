package engine

import (
	"fmt"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/engine/topicconfig"
)

// verdict says what is to become of a producer's request.
type verdict int

const (
	admitted verdict = iota // it is appended
	answered                // nothing is: r.Err says why, or it is a duplicate
	deferred                // it is judged again when the group has been written
)

// admit judges the request of an idempotent producer by what is known of it and
// by the requests ahead, which are about to be written in one group with it.
// The rules are Kafka's (ProducerAppendInfo, ProducerStateEntry):
//
//   - a range that is one of the last five batches is a duplicate, and answered
//     with that batch's offsets;
//   - an epoch must not be below the known one, and a new one begins at 0;
//   - within an epoch sequences follow one another, and 0 follows 2^31-1;
//   - a producer of which nothing is known may begin anywhere.
//
// Under p.mu.
func (p *Partition) admit(r *AppendRequest, ahead []*AppendRequest, nowMs int64, config *topicconfig.Config) verdict {
	by := &r.producer
	// Pipelined requests of one producer are the rule, so the search ends with
	// the first look.
	for i := len(ahead) - 1; i >= 0; i-- {
		before := ahead[i]
		if before.Err != nil || before.Duplicate || before.producer.id != by.id {
			continue
		}
		if before.producer.epoch == by.epoch && sequenceAfter(before.producer.last, 1) == by.first {
			return admitted
		}
		return deferred
	}
	s := p.producers.find(by.id, nowMs, p.engine.producerExpirationMs.Load())
	if s == nil {
		return admitted
	}
	if s.epoch == by.epoch {
		if i := s.starting(by.first); i >= 0 {
			p.answerDuplicate(r, s.batches()[i:], config)
			return answered
		}
	}
	if r.Err = by.follows(s); r.Err != nil {
		r.Err = fmt.Errorf("%w: %s", r.Err, p)
		return answered
	}
	return admitted
}

// starting returns the index of the known batch whose first record has this
// sequence, -1 if there is none.
func (s *producerState) starting(first int32) int {
	for i, b := range s.batches() {
		if b.base() == first {
			return i
		}
	}
	return -1
}

// follows is nil if the range comes next after what is known of the producer.
func (r *producedBy) follows(s *producerState) error {
	last, _ := s.last()
	switch {
	case r.epoch < s.epoch:
		return fmt.Errorf("%w: producer %d: epoch %d, want at least %d", ErrInvalidProducerEpoch, r.id, r.epoch, s.epoch)
	case r.epoch > s.epoch && r.first != 0:
		return fmt.Errorf("%w: producer %d: the new epoch %d begins with sequence %d, want 0", ErrOutOfOrderSequence, r.id, r.epoch, r.first)
	case r.epoch == s.epoch && r.first != sequenceAfter(last.lastSequence, 1):
		return fmt.Errorf("%w: producer %d epoch %d: sequences %d to %d, want them from %d on",
			ErrOutOfOrderSequence, r.id, r.epoch, r.first, r.last, sequenceAfter(last.lastSequence, 1))
	}
	return nil
}

// answerDuplicate answers a request that begins where one of the known batches
// did: with the offsets of the known batches if it is they and nothing else. A
// request is one piece, so one that is in the log in part, or cut into other
// batches, is refused.
func (p *Partition) answerDuplicate(r *AppendRequest, known []producerBatch, config *topicconfig.Config) {
	next, matched := known[0].baseOffset(), 0
	for rest := r.Batches; len(rest) > 0; matched++ {
		b, after, err := record.Next(rest)
		if err != nil {
			panic(fmt.Sprintf("engine: batch changed between check and append: %v", err))
		}
		if matched == len(known) || known[matched].delta != b.LastOffsetDelta() || known[matched].baseOffset() != next {
			r.Err = fmt.Errorf("%w: producer %d epoch %d: sequences %d to %d are in the log in part, from offset %d on, or in other batches; want all or none: %s",
				ErrOutOfOrderSequence, r.producer.id, r.producer.epoch, r.producer.first, r.producer.last, known[0].baseOffset(), p)
			return
		}
		next = known[matched].lastOffset + 1
		rest = after
	}
	r.Duplicate = true
	r.BaseOffset, r.NextOffset = known[0].baseOffset(), next
	r.LogAppendTime = noTimestamp
	if config.TimestampType == topicconfig.LogAppendTime {
		r.LogAppendTime = known[matched-1].timestamp
	}
}

// noteProducers takes the requests into account that were written. Under p.mu.
func (p *Partition) noteProducers(requests []*AppendRequest, nowMs int64) {
	for _, r := range requests {
		if r.Err != nil || r.Duplicate || r.producer.id < 0 {
			continue
		}
		if p.producers == nil {
			p.producers = newProducerTable()
		}
		for rest := r.Batches; len(rest) > 0; {
			b, after, err := record.Next(rest)
			if err != nil {
				panic(fmt.Sprintf("engine: batch changed between check and append: %v", err))
			}
			p.producers.note(b, nowMs)
			rest = after
		}
	}
	p.boundProducers()
}

// boundProducers keeps the number of known producers within its limit. Under
// p.mu.
func (p *Partition) boundProducers() {
	if p.producers == nil {
		return
	}
	forgotten := p.producers.bound(p.engine.options.MaxProducers)
	p.traffic.producers.Store(int64(len(p.producers.byID)))
	if forgotten == 0 {
		return
	}
	if !p.producersBounded {
		p.producersBounded = true // one line, not one for each producer
		p.log.warn("more idempotent producers than are remembered; those that have been silent for longest are forgotten",
			"limit", p.engine.options.MaxProducers)
	}
}

// ProducerInfo describes an idempotent producer of a partition
// (DescribeProducers).
type ProducerInfo struct {
	ID           int64
	Epoch        int16
	LastSequence int32  // -1: no batch of this epoch is known
	LastOffset   Offset // likewise
	// Timestamp is the highest of the last batch, in ms; the time of append
	// under LogAppendTime.
	Timestamp int64
}

// Producers describes the idempotent producers that the partition remembers, in
// the order of their last appends.
func (p *Partition) Producers() []ProducerInfo {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.producers == nil {
		return nil
	}
	list := make([]ProducerInfo, 0, len(p.producers.byID))
	for s := p.producers.oldest; s != nil; s = s.newer {
		last, _ := s.last()
		list = append(list, ProducerInfo{ID: s.id, Epoch: s.epoch, LastSequence: last.lastSequence, LastOffset: last.lastOffset, Timestamp: s.timestamp})
	}
	return list
}
