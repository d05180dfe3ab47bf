package client

import (
	"errors"
	"fmt"
	"iter"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/wire"
)

// DefaultMaxRecords is the default bound in bytes for the records of one
// compressed batch: 64 MiB, four times the longest frame of a server with
// default settings. A batch may claim any size, and without a bound a few KiB
// would cost as much memory as they like.
const DefaultMaxRecords = 64 << 20

// Batches are verified batches of one partition, in the order of the log and
// as they stand in it: whole, with a right crc, each at offsets behind those
// of the one before. They point into memory of whoever returned them, who says
// how long they are valid.
type Batches struct {
	// Offsets and LeaderEpoch are those of the partition when the server sent
	// the newest of the batches, or later.
	Offsets     wire.Offsets
	LeaderEpoch int32

	// Skipped is how many offsets no batch has had since the offset asked for,
	// or since the batches returned before. Offsets that compaction has removed,
	// or that are lost to damage that an operator lets readers past, are counted
	// here; on any other log it is 0.
	Skipped int64

	topic      string
	partition  int32
	bytes      []byte
	from       record.Offset // records below were not asked for
	next       record.Offset
	maxRecords int
}

// Bytes returns the batches one behind the other. The first may begin with
// records below the offset asked for.
func (b *Batches) Bytes() []byte { return b.bytes }

// Next returns the offset that follows the batches: the one to ask for next.
func (b *Batches) Next() record.Offset { return b.next }

// All returns the batches one by one.
func (b *Batches) All() iter.Seq[record.Batch] {
	return func(yield func(record.Batch) bool) {
		for rest := b.bytes; len(rest) > 0; {
			batch, after, err := record.Next(rest)
			if err != nil {
				panic("client: verified batches cannot be cut: " + err.Error())
			}
			if !yield(batch) {
				return
			}
			rest = after
		}
	}
}

// Records returns the records from the offset asked for on; the records of
// control batches, which are no data, are left out. A record is valid until
// the next one is asked for. Those of uncompressed batches point into the
// batches, others into memory that is used again.
//
// An error ends the iteration: a *CorruptError, also if a batch decompresses
// to more than the limit that was set where the batches were asked for.
//
//	for r, err := range batches.Records() {
//		if err != nil {
//			return err
//		}
//		use(r.Key, r.Value)
//	}
func (b *Batches) Records() iter.Seq2[*record.Record, error] {
	return func(yield func(*record.Record, error) bool) {
		var inflated *buffer
		defer func() {
			if inflated != nil {
				inflated.free()
			}
		}()
		var it record.Iterator
		for batch := range b.All() {
			if batch.Attributes().Control() || batch.LastOffset() < b.from {
				continue
			}
			records := batch.Records()
			if batch.Codec() != record.CodecNone {
				if inflated == nil {
					inflated = newBuffer(smallBufferBytes)
				}
				var err error
				if records, err = batch.Decompress(inflated.b, b.maxRecords); err != nil {
					yield(nil, b.corrupt(batch, err))
					return
				}
				if cap(records) > cap(inflated.b) {
					inflated.b = records
				}
			}
			it = batch.Iterate(records)
			for it.Next() {
				if r := it.Record(); r.Offset >= b.from && !yield(r, nil) {
					return
				}
			}
			if err := it.Err(); err != nil {
				yield(nil, b.corrupt(batch, err))
				return
			}
		}
	}
}

func (b *Batches) corrupt(batch record.Batch, err error) error {
	return &CorruptError{Topic: b.topic, Partition: b.partition, Offset: int64(batch.BaseOffset()), Err: err}
}

// sequence checks that the batches of a partition follow one another.
type sequence struct {
	topic     string
	partition int32
	next      record.Offset // the least that the next batch may end at, and begin at unless it is the first
	begun     bool
}

// take verifies the whole batches at the start of p. It returns how many bytes
// they have, and how many offsets lie between them. What follows the last whole
// batch is left, as is a batch that is bad, with a *CorruptError.
func (s *sequence) take(p []byte) (n int, skipped int64, err error) {
	for n < len(p) {
		batch, _, err := record.Next(p[n:])
		if errors.Is(err, record.ErrShort) {
			return n, skipped, nil
		}
		if err == nil {
			err = s.check(batch)
		}
		if err != nil {
			return n, skipped, &CorruptError{Topic: s.topic, Partition: s.partition, Offset: int64(s.next), Err: err}
		}
		skipped += int64(max(0, batch.BaseOffset()-s.next))
		s.next = batch.NextOffset()
		s.begun = true
		n += len(batch)
	}
	return n, skipped, nil
}

// check verifies one batch and its place behind those before.
func (s *sequence) check(batch record.Batch) error {
	if err := batch.Verify(); err != nil {
		return err
	}
	switch base, next := batch.BaseOffset(), batch.NextOffset(); {
	case s.begun && base < s.next:
		return fmt.Errorf("base offset %d, want at least %d: %w", base, s.next, record.ErrOffset)
	case next <= s.next:
		return fmt.Errorf("offsets %d..%d, want %d or later: %w", base, next-1, s.next, record.ErrOffset)
	}
	return nil
}
