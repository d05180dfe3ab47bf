package engine

import (
	"fmt"
	"io"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/engine/vfs"
)

// batchCheck walks whole batches of a segment and checks everything about them:
// bounds, magic, crc and counts, and what the crc does not cover: that base
// offsets continue and that epochs are in order.
type batchCheck struct {
	checkpoint
	segment *Segment
	file    vfs.File
	size    Position
	epochs  leaderEpochs // those that are known to have begun; empty: any

	buffer []byte
	valid  []byte // what buffer holds, from position on

	fault error // why a read failed, as opposed to a batch that is bad
}

// checkBuffer is what a check reads at a time, unless a batch is larger.
const checkBuffer = 1 << 20

// checkpoint is a batch boundary: where the next batch starts, its base offset,
// and the leader epoch of the batch before it, -1 if there is none.
type checkpoint struct {
	position Position
	next     Offset
	epoch    int32
}

// checkFrom starts a check of the file, of this size, at a batch boundary. The
// caller, who has the segment pinned or owns its log, closes it.
func (s *Segment) checkFrom(from checkpoint, size Position) (*batchCheck, error) {
	s.file.useMore()
	file, err := s.open()
	if err != nil {
		s.Release()
		return nil, err
	}
	bytes := min(checkBuffer, max(int64(size-from.position), record.HeaderSize))
	return &batchCheck{segment: s, file: file, checkpoint: from, size: size, buffer: make([]byte, bytes)}, nil
}

func (c *batchCheck) close() { c.segment.Release() }

// batch returns the next batch, valid until the next call; nil at the end of
// the file. An error says what is wrong with it; fault tells if it could not be
// read at all.
func (c *batchCheck) batch() (record.Batch, error) {
	if c.position == c.size {
		return nil, nil
	}
	bytes, err := c.fill(record.HeaderSize)
	if err != nil {
		return nil, err
	}
	size, err := record.PeekSize(bytes)
	if err != nil {
		return nil, err
	}
	if remain := int64(c.size - c.position); size > remain {
		return nil, fmt.Errorf("batch of %d bytes, but %d remain", size, remain)
	}
	if bytes, err = c.fill(int(size)); err != nil {
		return nil, err
	}
	b := record.Batch(bytes[:size])
	if err := c.verify(b); err != nil {
		return nil, err
	}
	c.position += Position(size)
	c.valid = c.valid[size:]
	c.next, c.epoch = b.NextOffset(), b.LeaderEpoch()
	return b, nil
}

func (c *batchCheck) verify(b record.Batch) error {
	if err := b.Verify(); err != nil {
		return err
	}
	if b.BaseOffset() != c.next {
		return fmt.Errorf("base offset %d, want %d (the previous batch ends at %d)", b.BaseOffset(), c.next, c.next-1)
	}
	return c.verifyEpoch(b)
}

// verifyEpoch checks the order of epochs. Where a batch falls behind the one
// before it, what is known of the epochs tells which of the two is wrong; an
// epoch that never began is wrong in any case.
func (c *batchCheck) verifyEpoch(b record.Batch) error {
	epoch := b.LeaderEpoch()
	latest, _, known := c.epochs.latest()
	switch {
	case known && epoch > latest:
		return fmt.Errorf("leader epoch %d, want at most %d, the latest that began", epoch, latest)
	case epoch < c.epoch && (!known || c.epochs.at(b.BaseOffset()) != epoch):
		return fmt.Errorf("leader epoch %d, want at least %d as in the previous batch", epoch, c.epoch)
	}
	return nil
}

// fill returns at least want bytes from position on, of which the file must
// have as many.
func (c *batchCheck) fill(want int) ([]byte, error) {
	if len(c.valid) >= want {
		return c.valid, nil
	}
	remain := int64(c.size - c.position)
	if remain < int64(want) {
		return nil, fmt.Errorf("%d bytes remain, want %d", remain, want)
	}
	if len(c.buffer) < want {
		c.buffer = make([]byte, want)
	}
	n := copy(c.buffer, c.valid)
	more := c.buffer[n:min(int64(len(c.buffer)), remain)]
	if _, err := c.file.ReadAt(more, int64(c.position)+int64(n)); err != nil && err != io.EOF {
		c.fault = err
		return nil, err
	}
	c.valid = c.buffer[:n+len(more)]
	return c.valid, nil
}
