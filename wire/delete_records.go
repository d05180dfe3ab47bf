package wire

import "math"

// ToHighWatermark as the offset of a DeleteRecords deletes all that is visible.
const ToHighWatermark = -1

// DeleteRecords deletes the first records of a partition: those below an offset.
// It is answered by RecordsDeleted once the deletion is durable.
//
//	at  len  field
//	 0    .  topic      string, 1..249 bytes
//	 .    4  partition  i32, >= 0
//	 .    8  before     i64, >= 0: the first offset that stays, at most the high watermark; -1: the high watermark
type DeleteRecords struct {
	Topic     []byte
	Partition int32
	Before    int64
}

// Check returns an Error if a field is out of range.
func (m *DeleteRecords) Check() error {
	c := checks{kind: KindDeleteRecords}
	c.topic(m.Topic)
	c.within("partition", int64(m.Partition), 0, math.MaxInt32)
	c.atLeast("before", m.Before, ToHighWatermark)
	return c.result()
}

// AppendTo appends the frame to dst. m must pass Check.
func (m *DeleteRecords) AppendTo(dst []byte, requestID uint32) []byte {
	dst, at := beginFrame(dst)
	dst = appendString(dst, m.Topic)
	dst = appendI32(dst, m.Partition)
	dst = appendI64(dst, m.Before)
	return endFrame(dst, at, Head{Kind: KindDeleteRecords, RequestID: requestID}, 0)
}

// ParseDeleteRecords reads a DeleteRecords. Topic points into the payload.
func ParseDeleteRecords(f Frame) (DeleteRecords, error) {
	r := open(f, KindDeleteRecords, 0)
	m := DeleteRecords{
		Topic:     r.bytes("topic"),
		Partition: r.i32("partition"),
		Before:    r.i64("before"),
	}
	if err := r.close(); err != nil {
		return DeleteRecords{}, err
	}
	return m, m.Check()
}

// RecordsDeleted answers a DeleteRecords.
//
//	at  len  field
//	 0    8  logStart  i64, >= 0: the first offset that there is now
type RecordsDeleted struct {
	LogStart int64
}

// Check returns an Error if a field is out of range.
func (m *RecordsDeleted) Check() error {
	c := checks{kind: KindRecordsDeleted}
	c.atLeast("log start", m.LogStart, 0)
	return c.result()
}

// AppendTo appends the frame to dst. m must pass Check.
func (m *RecordsDeleted) AppendTo(dst []byte, requestID uint32) []byte {
	dst, at := beginFrame(dst)
	dst = appendI64(dst, m.LogStart)
	return endFrame(dst, at, Head{Kind: KindRecordsDeleted, RequestID: requestID}, 0)
}

// ParseRecordsDeleted reads a RecordsDeleted.
func ParseRecordsDeleted(f Frame) (RecordsDeleted, error) {
	r := open(f, KindRecordsDeleted, 0)
	m := RecordsDeleted{LogStart: r.i64("log start")}
	if err := r.close(); err != nil {
		return RecordsDeleted{}, err
	}
	return m, m.Check()
}
