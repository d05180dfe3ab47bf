package wire

import "math"

// Query says which offset a ListOffsets asks for.
type Query uint8

// Queries of a ListOffsets.
const (
	QueryEarliest     Query = 1 // the first offset of the partition
	QueryLatest       Query = 2 // the high watermark: the offset that the next visible record will have
	QueryTimestamp    Query = 3 // the first record whose timestamp is at least that asked for
	QueryMaxTimestamp Query = 4 // the first record that has the greatest timestamp
)

// ListOffsets asks for one offset of a partition.
//
//	at  len  field
//	 0    .  topic      string, 1..249 bytes
//	 .    4  partition  i32, >= 0
//	 .    1  query      1 earliest, 2 latest, 3 by timestamp, 4 max timestamp
//	 .    8  timestamp  i64, >= 0: ms since 1970; 0 unless query is 3
type ListOffsets struct {
	Topic       []byte
	Partition   int32
	Query       Query
	TimestampMs int64
}

// Check returns an Error if a field is out of range.
func (m *ListOffsets) Check() error {
	c := checks{kind: KindListOffsets}
	c.topic(m.Topic)
	c.within("partition", int64(m.Partition), 0, math.MaxInt32)
	c.within("query", int64(m.Query), int64(QueryEarliest), int64(QueryMaxTimestamp))
	c.atLeast("timestamp", m.TimestampMs, 0)
	if m.Query != QueryTimestamp && m.TimestampMs != 0 {
		c.failf("timestamp: %d with query %d, want 0", m.TimestampMs, m.Query)
	}
	return c.result()
}

// AppendTo appends the frame to dst. m must pass Check.
func (m *ListOffsets) AppendTo(dst []byte, requestID uint32) []byte {
	dst, at := beginFrame(dst)
	dst = appendString(dst, m.Topic)
	dst = appendI32(dst, m.Partition)
	dst = append(dst, uint8(m.Query))
	dst = appendI64(dst, m.TimestampMs)
	return endFrame(dst, at, Head{Kind: KindListOffsets, RequestID: requestID}, 0)
}

// ParseListOffsets reads a ListOffsets. Topic points into the payload.
func ParseListOffsets(f Frame) (ListOffsets, error) {
	r := open(f, KindListOffsets, 0)
	m := ListOffsets{
		Topic:       r.bytes("topic"),
		Partition:   r.i32("partition"),
		Query:       Query(r.u8("query")),
		TimestampMs: r.i64("timestamp"),
	}
	if err := r.close(); err != nil {
		return ListOffsets{}, err
	}
	return m, m.Check()
}

// OffsetFound answers a ListOffsets.
//
//	at  len  field
//	 0    8  offset       i64, or -1: no such record
//	 8    8  timestamp    i64: of the record, ms since 1970; -1 if the query asked for none or there is none
//	16    4  leaderEpoch  i32: of the record's batch, or of the partition for queries 1 and 2; -1 if not known
type OffsetFound struct {
	Offset      int64
	TimestampMs int64
	LeaderEpoch int32
}

// Check returns an Error if a field is out of range.
func (m *OffsetFound) Check() error {
	c := checks{kind: KindOffsetFound}
	c.atLeast("offset", m.Offset, -1)
	c.atLeast("timestamp", m.TimestampMs, -1)
	c.within("leader epoch", int64(m.LeaderEpoch), -1, math.MaxInt32)
	return c.result()
}

// AppendTo appends the frame to dst. m must pass Check.
func (m *OffsetFound) AppendTo(dst []byte, requestID uint32) []byte {
	dst, at := beginFrame(dst)
	dst = appendI64(dst, m.Offset)
	dst = appendI64(dst, m.TimestampMs)
	dst = appendI32(dst, m.LeaderEpoch)
	return endFrame(dst, at, Head{Kind: KindOffsetFound, RequestID: requestID}, 0)
}

// ParseOffsetFound reads an OffsetFound.
func ParseOffsetFound(f Frame) (OffsetFound, error) {
	r := open(f, KindOffsetFound, 0)
	m := OffsetFound{
		Offset:      r.i64("offset"),
		TimestampMs: r.i64("timestamp"),
		LeaderEpoch: r.i32("leader epoch"),
	}
	if err := r.close(); err != nil {
		return OffsetFound{}, err
	}
	return m, m.Check()
}
