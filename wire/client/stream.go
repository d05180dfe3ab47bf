package client

import (
	"fmt"

	"github.com/rollway/rollway/engine/record"
)

// peekBytes is how much of a batch tells its length and whether it is one: up
// to the magic. The shortest batch is longer.
const peekBytes = 17

// block is memory that a subscription receives into.
//
//	taken    ready    whole   end
//	|--------|--------|-------|------- room
//	consumer's        reader's
//
// What is before ready are whole batches.
type block struct {
	buffer *buffer
	taken  int // given to the consumer; guarded by Subscription.mu
	ready  int // free for the consumer; guarded by Subscription.mu. Invariant: taken <= ready
}

// stream joins the pieces in which a partition's log arrives: it has them
// received one behind the other into blocks, and finds where batches end. A
// batch that does not fit its block is moved to the next, as much as is there
// of it: that is all that is ever copied.
//
// It belongs to who receives.
type stream struct {
	maxBatch int64 // longest batch that is taken

	tail  *block // nil before the first piece and when nothing is unfinished
	end   int    // of what was received into tail
	whole int    // of the last whole batch in tail. Invariant: whole <= end
	size  int64  // of the batch at whole, or 0 if too little of it is there

	next record.Offset // that follows the last whole batch, as it says itself
}

// room returns where the next bytes go, of which n are on their way: at least
// one byte. next is the block that this begins with, if it is not the one of
// before, which then gets nothing any more.
func (s *stream) room(n int) (p []byte, next *block) {
	if s.tail != nil && s.end < len(s.tail.buffer.b) && int64(s.whole)+s.size <= int64(len(s.tail.buffer.b)) {
		return s.tail.buffer.b[s.end:], nil
	}
	carried := s.end - s.whole
	want := min(carried+n, largeBufferBytes)
	next = &block{buffer: newBuffer(max(want, int(s.size)))}
	if carried > 0 {
		copy(next.buffer.b, s.tail.buffer.b[s.whole:s.end])
	}
	s.tail, s.end, s.whole = next, carried, 0
	return next.buffer.b[carried:], next
}

// arrived takes note of n bytes in the room, and moves whole and size.
//
// Errors: what the next batch says about itself is not what a batch can say.
func (s *stream) arrived(n int) error {
	s.end += n
	for {
		p := s.tail.buffer.b[s.whole:s.end]
		s.size = 0
		if len(p) < peekBytes {
			return nil
		}
		size, err := record.PeekSize(p)
		if err != nil {
			return err
		}
		if size > s.maxBatch {
			return fmt.Errorf("batch of %d bytes, want at most %d, the longest frame: %w", size, s.maxBatch, record.ErrTooLarge)
		}
		if int64(len(p)) < size {
			s.size = size
			return nil
		}
		s.next = record.Batch(p[:size]).NextOffset()
		s.whole += int(size)
	}
}

// drop lets the tail go if nothing in it is unfinished, and reports whether it
// has.
func (s *stream) drop() bool {
	if s.end > s.whole {
		return false
	}
	s.tail, s.end, s.whole = nil, 0, 0
	return true
}
