package client

import (
	"context"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/wire"
)

// FetchRequest asks for batches of one partition.
type FetchRequest struct {
	Topic     string
	Partition int32
	Offset    int64 // of the first record wanted

	// MinBytes and MaxWait let the server wait until so many bytes are there,
	// at most for so long. Default 0: it answers at once. While it waits, it
	// answers no other request of this connection.
	MinBytes int
	MaxWait  time.Duration

	// MaxBytes bounds the batches, unless the first alone is longer.
	// Default 1 MiB: a transfer that long is free of the costs of a request.
	MaxBytes int

	// MaxRecords bounds what one compressed batch may have uncompressed, in
	// bytes. Default DefaultMaxRecords.
	MaxRecords int
}

// FetchResult is the answer to a Fetch. Release it when its batches and their
// records are no longer used.
type FetchResult struct {
	Batches
	buffer *buffer
}

// Release gives the memory of the batches back; it is used again by other
// calls.
func (r *FetchResult) Release() {
	if r.buffer != nil {
		r.buffer.free()
		r.buffer, r.bytes = nil, nil
	}
}

// Fetch returns batches from an offset on, verified. There may be none.
//
// If the last of several batches is bad, those before are returned, and the
// next call gets the error.
//
// Errors: *wire.Error, *ConnectionError, *CorruptError, the cause of ctx.
func (c *Client) Fetch(ctx context.Context, q FetchRequest) (*FetchResult, error) {
	setDefault(&q.MaxBytes, 1<<20)
	setDefault(&q.MaxRecords, DefaultMaxRecords)
	result, err := c.fetch(ctx, &q)
	if err != nil {
		return nil, fmt.Errorf("fetch from %s-%d at %d: %w", q.Topic, q.Partition, q.Offset, err)
	}
	return result, nil
}

func (c *Client) fetch(ctx context.Context, q *FetchRequest) (*FetchResult, error) {
	maxBytes := min(q.MaxBytes, c.maxRecv-wire.FrameOverhead)
	m := wire.Fetch{
		Topic:     []byte(q.Topic),
		Partition: q.Partition,
		Offset:    q.Offset,
		MinBytes:  int32(min(q.MinBytes, maxBytes)),
		MaxBytes:  int32(maxBytes),
		MaxWaitMs: uint32(min(max(q.MaxWait.Milliseconds(), 0), math.MaxUint32)),
	}
	k := &fetchCall{partition: q.Partition, maxBytes: maxBytes, done: make(chan struct{})}
	if err := c.begin(ctx, &m, k); err != nil {
		return nil, err
	}
	select {
	case <-k.done:
	case <-ctx.Done():
		if k.state.CompareAndSwap(fetchWaiting, fetchAbandoned) {
			return nil, context.Cause(ctx)
		}
		<-k.done // it came at the same moment
	}
	if k.err != nil {
		return nil, k.err
	}
	result, err := k.result(q)
	if err != nil {
		k.buffer.free()
	}
	return result, err
}

// result verifies what was received.
func (k *fetchCall) result(q *FetchRequest) (*FetchResult, error) {
	s := sequence{topic: q.Topic, partition: q.Partition, next: record.Offset(q.Offset)}
	whole, skipped, err := s.take(k.received)
	if whole == 0 && err == nil && len(k.received) > 0 {
		err = &CorruptError{
			Topic: q.Topic, Partition: q.Partition, Offset: q.Offset,
			Err: fmt.Errorf("first batch cut after %d bytes, want it whole: %w", len(k.received), record.ErrShort),
		}
	}
	if whole == 0 && err != nil {
		return nil, err
	}
	return &FetchResult{
		Batches: Batches{
			Offsets: k.offsets, LeaderEpoch: k.leaderEpoch, Skipped: skipped,
			topic: q.Topic, partition: q.Partition, bytes: k.received[:whole:whole],
			from: record.Offset(q.Offset), next: s.next, maxRecords: q.MaxRecords,
		},
		buffer: k.buffer,
	}, nil
}

// fetchCall is the request of a Fetch. The buffer is the reader's until the
// state says that it is done, so that a caller who leaves early cannot share
// it with anybody.
type fetchCall struct {
	partition int32
	maxBytes  int

	state atomic.Int32
	done  chan struct{} // closed once the rest is set

	offsets     wire.Offsets
	leaderEpoch int32
	received    []byte // points into buffer
	buffer      *buffer
	err         error
}

// States of a fetchCall.
const (
	fetchWaiting   int32 = iota // for the answer
	fetchDone                   // it is there
	fetchAbandoned              // nobody waits for it any more
)

func (k *fetchCall) wants() wire.Kind { return wire.KindData }

func (k *fetchCall) receive(r *receiver, h wire.Head) error {
	d, bodyLen, err := r.data(h)
	switch {
	case err != nil:
		return err
	case d.End:
		return malformedf("Data: flag end in the answer to a Fetch, want none")
	case d.Partition != k.partition:
		return malformedf("Data: partition %d, want %d", d.Partition, k.partition)
	}
	if k.state.Load() == fetchAbandoned {
		return r.discard(h, bodyLen)
	}
	b := newBuffer(min(bodyLen, k.maxBytes))
	received, err := r.readAll(b.b[:0], h, bodyLen, max(1, k.maxBytes))
	b.b = received
	if err != nil {
		b.free()
		return err
	}
	k.offsets, k.leaderEpoch = d.Offsets, d.LeaderEpoch
	k.received, k.buffer = received, b
	if !k.state.CompareAndSwap(fetchWaiting, fetchDone) {
		b.free()
		return nil
	}
	close(k.done)
	return nil
}

func (k *fetchCall) refused(e *wire.Error) { k.end(e) }

func (k *fetchCall) lost(err error, _ bool) { k.end(err) }

// end completes the call without an answer.
func (k *fetchCall) end(err error) {
	if k.state.CompareAndSwap(fetchWaiting, fetchDone) {
		k.err = err
		close(k.done)
	}
}
