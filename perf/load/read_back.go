package load

import (
	"context"
	"errors"
	"fmt"

	"github.com/rollway/rollway/engine/record"
)

// readBackBytes is what one answer brings: few round trips, little memory.
const readBackBytes = 4 << 20

// Partition is one of a topic's.
type Partition struct {
	Topic  string
	Number int32
}

// ReadBack reads a partition from its start to its high watermark and calls each
// with every batch, which is valid only during the call: bounds, crc and the
// continuity of offsets have been checked. It returns the high watermark.
func ReadBack(ctx context.Context, t Target, p Partition, each func(record.Batch) error) (end int64, err error) {
	conn, err := t.dial(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	speaks := t.protocol()
	next := int64(0)
	for id := uint32(firstID); ; id++ {
		request := speaks.appendFetch(nil, fetch{topic: p.Topic, partition: p.Number, offset: next, maxBytes: readBackBytes}, id)
		if _, err := conn.Write(request); err != nil {
			return 0, err
		}
		batches, end, err := speaks.readAnswer(conn, id)
		if err != nil {
			return 0, fmt.Errorf("%s-%d at offset %d: %w", p.Topic, p.Number, next, err)
		}
		if next == end {
			return end, nil
		}
		before := next
		if next, err = walk(batches, next, each); err != nil {
			return 0, fmt.Errorf("%s-%d: %w", p.Topic, p.Number, err)
		}
		if next == before {
			return 0, fmt.Errorf("%s-%d at offset %d: answer of %d bytes without a whole batch, high watermark %d", p.Topic, p.Number, next, len(batches), end)
		}
	}
}

// walk checks the batches in p, the first of which begins at offset next, and
// returns where the last whole one ends.
func walk(p []byte, next int64, each func(record.Batch) error) (int64, error) {
	for {
		b, rest, err := record.Next(p)
		if errors.Is(err, record.ErrShort) {
			return next, nil // the last batch may be cut
		}
		if err == nil {
			err = b.Verify()
		}
		if err == nil && int64(b.BaseOffset()) != next {
			err = fmt.Errorf("base offset %d, want %d", b.BaseOffset(), next)
		}
		if err == nil {
			err = each(b)
		}
		if err != nil {
			return next, fmt.Errorf("batch at offset %d: %w", next, err)
		}
		next, p = int64(b.NextOffset()), rest
	}
}
