package node

import (
	"time"

	"github.com/rollway/rollway/engine"
)

// Lag says how far a group is behind in a partition. What is not known is -1.
type Lag struct {
	LogStart, HighWatermark int64
	// Records are those that the group has not read: from what it has committed,
	// or from the log start if that is above, to the high watermark.
	Records int64
	// AgeMs is the age of the first of them in ms, as near as
	// engine.Partition.TimestampNear tells: at least 0, and 0 if there are none.
	AgeMs int64
}

// unknownLag is that of a partition of which nothing is known.
var unknownLag = Lag{LogStart: -1, HighWatermark: -1, Records: -1, AgeMs: -1}

// LagOf returns the lag of a group that has committed an offset, or none if that
// is -1, in a partition, which may be gone or not ready. It reads indexes and
// headers of batches, for at most one index interval, so it may wait for the disk.
func (n *Node) LagOf(topic string, partition int32, committed int64, now time.Time) Lag {
	p, lag := n.behind(topic, partition, committed)
	switch {
	case lag.Records < 0:
		return lag
	case lag.Records == 0:
		lag.AgeMs = 0
		return lag
	}
	timestamp, err := p.TimestampNear(engine.Offset(max(committed, lag.LogStart)))
	if err == nil && timestamp >= 0 {
		lag.AgeMs = max(0, now.UnixMilli()-timestamp)
	}
	return lag
}

// RecordsBehind is the Records of LagOf. It reads nothing.
func (n *Node) RecordsBehind(topic string, partition int32, committed int64) int64 {
	_, lag := n.behind(topic, partition, committed)
	return lag.Records
}

// behind is LagOf but for the age, which is -1. The partition is nil if it is not
// ready.
func (n *Node) behind(topic string, partition int32, committed int64) (*engine.Partition, Lag) {
	lag := unknownLag
	t, err := n.engine.Topic(topic)
	if err != nil {
		return nil, lag
	}
	p, err := t.Partition(partition)
	if err != nil {
		return nil, lag
	}
	if state, _ := p.State(); state != engine.Ready {
		return nil, lag
	}
	o := p.Offsets()
	lag.LogStart, lag.HighWatermark = int64(o.LogStart), int64(o.HighWatermark)
	if committed >= 0 {
		lag.Records = max(0, lag.HighWatermark-max(committed, lag.LogStart))
	}
	return p, lag
}
