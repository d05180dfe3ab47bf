package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/internal/coord"
)

// offsetsReadBytes is how much of the offsets log is read at a time.
const offsetsReadBytes = 1 << 20

// loadOffsets replays what is in the topic of offsets into the coordinator,
// partition by partition as they are recovered, and tells it of those that cannot
// be read.
func loadOffsets(ctx context.Context, e *engine.Engine, c *coord.Coordinator, partitions int32, log *slog.Logger) {
	topic, err := e.Topic(OffsetsTopic)
	if err != nil {
		for index := range partitions {
			c.Loaded(index, time.Now())
		}
		return
	}
	began := time.Now()
	records := 0
	for index := range partitions {
		n, err := loadOffsetsPartition(ctx, topic.Partitions()[index], c, log)
		records += n
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			log.Error("offsets of groups cannot be loaded; those groups wait until the server starts again with the partition mended",
				"topic", OffsetsTopic, "partition", index, "error", err)
			c.Unloadable(index)
		default:
			c.Loaded(index, time.Now())
		}
	}
	log.Info("offsets of groups are loaded", "records", records, "took", time.Since(began).Round(time.Millisecond))
}

// loadOffsetsPartition replays one partition, once it is recovered, and returns
// how many records it has.
func loadOffsetsPartition(ctx context.Context, p *engine.Partition, c *coord.Coordinator, log *slog.Logger) (records int, err error) {
	if err := awaitReady(ctx, p); err != nil {
		return 0, err
	}
	var (
		end     = p.Offsets().HighWatermark
		next    = p.Offsets().LogStart
		cursor  engine.Cursor
		batches []byte
	)
	for next < end && ctx.Err() == nil {
		slice, err := p.Fetch(engine.FetchRequest{Offset: next, MaxBytes: offsetsReadBytes, Cursor: &cursor})
		if err != nil {
			return records, err
		}
		batches, err = slice.ReadAll(batches[:0])
		slice.Close()
		if err != nil {
			return records, err
		}
		n, after, bad, err := replayBatches(batches, p.Index(), c)
		records += n
		if bad != nil {
			log.Warn("a record of the offsets of groups was passed over", "partition", p.String(), "reason", bad)
		}
		if err != nil {
			return records, err
		}
		if after <= next {
			return records, fmt.Errorf("%s: nothing at offset %d, the end is %d", p, next, end)
		}
		next = after
	}
	return records, ctx.Err()
}

// awaitReady returns nil when p is ready.
func awaitReady(ctx context.Context, p *engine.Partition) error {
	changed := make(chan struct{}, 1)
	w := engine.Waiter{Notify: func() { changed <- struct{}{} }}
	for {
		state, err := p.State()
		switch state {
		case engine.Ready:
			return nil
		case engine.Recovering:
		default:
			return errors.Join(fmt.Errorf("%s is %s", p, state), err)
		}
		if !p.Await(&w, math.MaxInt64) {
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			p.Forget(&w)
			return ctx.Err()
		}
	}
}

// replayBatches replays the records of whole batches, and returns how many there
// are and the offset behind them. bad is why a record says nothing that the
// coordinator knows, which changes nothing for the others.
func replayBatches(batches []byte, partition int32, c *coord.Coordinator) (records int, next engine.Offset, bad, err error) {
	var scratch []byte
	for rest := batches; len(rest) > 0; {
		var b record.Batch
		if b, rest, err = record.Next(rest); err == nil {
			err = b.Verify()
		}
		if err != nil {
			return records, next, bad, err
		}
		next = b.NextOffset()
		if b.Attributes().Control() {
			continue
		}
		// Kafka compresses them by offsets.topic.compression.codec.
		plain, err := b.Decompress(scratch, offsetsMessageBytes)
		if err != nil {
			return records, next, bad, err
		}
		if b.Codec() != record.CodecNone {
			scratch = plain
		}
		it := b.Iterate(plain)
		for it.Next() {
			r := it.Record()
			records++
			if err := c.Replay(partition, r.Key, r.Value); err != nil && bad == nil {
				bad = fmt.Errorf("record at offset %d: %w", r.Offset, err)
			}
		}
		if err := it.Err(); err != nil {
			return records, next, bad, err
		}
	}
	return records, next, bad, nil
}
