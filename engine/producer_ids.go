package engine

import (
	"fmt"
	"math"
	"sync"
)

// producerIDBlock is how many producer ids one commit of the metadata reserves,
// as in Kafka (ProducerIdsBlock). Those that were not given when the process ends
// are lost; there are 2^63.
const producerIDBlock = 1000

// lastProducerEpoch is the highest that a producer is given: Kafka keeps the one
// above for itself, to fence a producer whose epochs are exhausted.
const lastProducerEpoch = math.MaxInt16 - 1

// ProducerID names an idempotent producer, and which of its lives is meant: a
// partition refuses an epoch below one that it has seen.
type ProducerID struct {
	ID    int64 // -1: none
	Epoch int16
}

// NoProducerID is what a producer asks with that has no id yet.
var NoProducerID = ProducerID{ID: -1, Epoch: -1}

// producerIDs are the ids that are reserved and not given.
type producerIDs struct {
	mu   sync.Mutex // held across the commit of a block
	next int64
	end  int64 // exclusive
}

// InitProducerID gives an idempotent producer its id and epoch. One that has none
// gets an id that no other producer ever had or will have, and epoch 0. One that
// has both gets the next epoch, which begins its sequences anew (KIP-360); when
// its epochs are exhausted, a new id. Which epochs there are is what the
// partitions know, so an epoch that was given and never produced with may be
// given again.
//
// It blocks for a sync once in 1,000 ids. Errors: ErrUnknownProducerID;
// ErrInvalidProducerEpoch when a partition knows a later epoch; ErrNoSpace;
// ErrStorageFailed.
func (e *Engine) InitProducerID(current ProducerID) (ProducerID, error) {
	if err := e.writable(); err != nil {
		return NoProducerID, err
	}
	if current.ID < 0 {
		return e.newProducerID()
	}
	if reserved := e.metadata.Image().NextProducerID; current.ID >= reserved {
		return NoProducerID, fmt.Errorf("%w: %d, want one below %d", ErrUnknownProducerID, current.ID, reserved)
	}
	if known := e.knownEpoch(current.ID); current.Epoch < max(known, 0) {
		return NoProducerID, fmt.Errorf("%w: producer %d: epoch %d, want at least %d", ErrInvalidProducerEpoch, current.ID, current.Epoch, max(known, 0))
	}
	if current.Epoch >= lastProducerEpoch {
		return e.newProducerID()
	}
	return ProducerID{ID: current.ID, Epoch: current.Epoch + 1}, nil
}

// newProducerID takes the next id, from a new block if need be.
func (e *Engine) newProducerID() (ProducerID, error) {
	ids := &e.producerIDs
	ids.mu.Lock()
	defer ids.mu.Unlock()
	if ids.next == ids.end {
		// Only this function moves it, and not before the commit is durable.
		first := e.metadata.Image().NextProducerID
		r := ProducerIDsRecord{Next: first + producerIDBlock}
		if err := e.commitMetadata(r); err != nil {
			return NoProducerID, forWantOfSpace(fmt.Errorf("reserve producer ids from %d on: %w", first, err))
		}
		ids.next, ids.end = first, first+producerIDBlock
	}
	id := ids.next
	ids.next++
	return ProducerID{ID: id}, nil
}

// knownEpoch is the highest epoch of a producer that a partition knows;
// noProducerEpoch if none does.
func (e *Engine) knownEpoch(id int64) int16 {
	known := int16(noProducerEpoch)
	for _, t := range e.Topics() {
		for _, p := range t.partitions {
			p.mu.Lock()
			if s := p.producers.find(id, e.nowMs(), e.producerExpirationMs.Load()); s != nil {
				known = max(known, s.epoch)
			}
			p.mu.Unlock()
		}
	}
	return known
}
