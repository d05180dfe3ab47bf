package engine

import (
	"github.com/rollway/rollway/internal/invariant"
	"github.com/rollway/rollway/internal/mutant"
)

// Offsets are the ends of a partition's log, exclusive:
//
//	LogStart <= LastStable <= HighWatermark <= LogEnd, Flushed <= LogEnd
//
// and HighWatermark <= Flushed unless the topic opted out of that by
// flush.messages. Readers get what lies below HighWatermark (read_uncommitted)
// or LastStable (read_committed).
type Offsets struct {
	LogStart      Offset
	LastStable    Offset
	HighWatermark Offset
	LogEnd        Offset
	Flushed       Offset
}

// mark is an offset and where its batch starts, so that bounding a fetch reads
// nothing. The segment is nil while the log has no file.
type mark struct {
	offset   Offset
	segment  *Segment
	position Position
}

// offsetMarks are the Offsets with their places. The partition publishes an
// immutable copy at each change.
type offsetMarks struct {
	logStart, highWatermark, logEnd, flushed mark
}

// public returns the offsets without their places. There are no transactions,
// so everything visible is stable.
func (o *offsetMarks) public() Offsets {
	return Offsets{
		LogStart:      o.logStart.offset,
		LastStable:    o.highWatermark.offset,
		HighWatermark: o.highWatermark.offset,
		LogEnd:        o.logEnd.offset,
		Flushed:       o.flushed.offset,
	}
}

// settle derives the high watermark, which never goes back, from the other
// marks.
func (o *offsetMarks) settle(durable bool) {
	to := o.logEnd
	if durable && !mutant.Is(mutant.HighWatermarkBeforeSync) {
		to = o.flushed
	}
	if to.offset >= o.highWatermark.offset {
		o.highWatermark = to
	}
	if invariant.Enabled {
		p := o.public()
		ok := p.LogStart <= p.LastStable && p.LastStable <= p.HighWatermark &&
			p.HighWatermark <= p.LogEnd && p.Flushed <= p.LogEnd
		invariant.Check(ok, "offsets out of order: %+v", p)
	}
}
