package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/rollway/rollway/engine/record"
)

// readBackBytes is what one answer brings: few round trips, little memory.
const readBackBytes = 4 << 20

// Partition is one of a topic's.
type Partition struct {
	Topic  string
	Number int32
}

// ReadBack is Reader.ReadBack on a connection of its own.
func ReadBack(ctx context.Context, t Target, p Partition, each func(record.Batch) error) (end int64, err error) {
	r, err := NewReader(ctx, t)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	return r.ReadBack(p, each)
}

// Reader reads partitions back on one connection. It is for one goroutine.
type Reader struct {
	conn   *net.TCPConn
	speaks protocol
	id     uint32
}

// NewReader connects to the target. It ends with ctx; Close it in any case.
func NewReader(ctx context.Context, t Target) (*Reader, error) {
	conn, err := t.dial(ctx)
	if err != nil {
		return nil, err
	}
	return &Reader{conn: conn, speaks: t.protocol(), id: firstID}, nil
}

// Close closes the connection.
func (r *Reader) Close() error { return r.conn.Close() }

// ReadBack reads a partition from its start to its high watermark and calls each
// with every batch, which is valid only during the call: bounds, crc and the
// continuity of offsets have been checked. It returns the high watermark. After an
// error the Reader is of no more use.
func (r *Reader) ReadBack(p Partition, each func(record.Batch) error) (end int64, err error) {
	for next := int64(0); ; {
		batches, end, err := r.fetch(p, next)
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

func (r *Reader) fetch(p Partition, offset int64) (batches []byte, end int64, err error) {
	r.id = max(1, r.id+1)
	request := r.speaks.appendFetch(nil, fetch{topic: p.Topic, partition: p.Number, offset: offset, maxBytes: readBackBytes}, r.id)
	r.conn.SetDeadline(time.Now().Add(answerTime))
	if _, err := r.conn.Write(request); err != nil {
		return nil, 0, err
	}
	return r.speaks.readAnswer(r.conn, r.id)
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
