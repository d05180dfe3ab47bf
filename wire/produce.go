package wire

import "math"

// Acks says when a Produce is answered.
type Acks int8

// Acks of a Produce. On one node AcksAll and AcksLeader are the same promise.
const (
	AcksAll    Acks = -1 // when the high watermark has passed the batches
	AcksNone   Acks = 0  // never
	AcksLeader Acks = 1  // when the high watermark has passed the batches
)

// Produce appends batches to a partition.
//
//	at  len  field
//	 0    .  topic      string, 1..249 bytes
//	 .    4  partition  i32, >= 0
//	 .    1  acks       i8: -1 all, 0 none, 1 leader
//	 .    .  batches    RecordBatches v2, one or more, verbatim, to the end of the payload
type Produce struct {
	Topic     []byte
	Partition int32
	Acks      Acks
	Batches   []byte
}

// Check returns an Error if a field is out of range. It does not look into the
// batches.
func (m *Produce) Check() error {
	c := checks{kind: KindProduce}
	m.checkFields(&c)
	if len(m.Batches) == 0 {
		c.failf("batches: 0 bytes, want at least one batch")
	}
	return c.result()
}

// checkFields checks all but the batches.
func (m *Produce) checkFields(c *checks) {
	c.topic(m.Topic)
	c.within("partition", int64(m.Partition), 0, math.MaxInt32)
	c.within("acks", int64(m.Acks), int64(AcksAll), int64(AcksLeader))
}

// AppendTo appends the frame to dst. m must pass Check.
func (m *Produce) AppendTo(dst []byte, requestID uint32) []byte {
	return append(AppendProduceHead(dst, requestID, m, len(m.Batches)), m.Batches...)
}

// AppendProduceHead appends what stands before the batches of a Produce: the
// head and the other fields of m. The caller sends bodyLen bytes of batches
// after it; m.Batches is not used.
func AppendProduceHead(dst []byte, requestID uint32, m *Produce, bodyLen int) []byte {
	dst, at := beginFrame(dst)
	dst = appendString(dst, m.Topic)
	dst = appendI32(dst, m.Partition)
	dst = append(dst, uint8(m.Acks))
	return endFrame(dst, at, Head{Kind: KindProduce, RequestID: requestID}, bodyLen)
}

// ParseProduce reads a Produce. Topic and Batches point into the payload; its
// owner may change the batches in place.
func ParseProduce(f Frame) (Produce, error) {
	r := open(f, KindProduce, 0)
	m := Produce{
		Topic:     r.bytes("topic"),
		Partition: r.i32("partition"),
		Acks:      Acks(r.u8("acks")),
		Batches:   r.rest(),
	}
	if err := r.close(); err != nil {
		return Produce{}, err
	}
	return m, m.Check()
}

// Produced answers a Produce whose acks are not AcksNone.
//
//	at  len  field
//	 0    8  baseOffset     i64, >= 0: offset of the first record
//	 8    8  nextOffset     i64, > baseOffset: one beyond the offset of the last
//	16    8  logAppendTime  i64: ms since 1970, or -1 if the records keep their own timestamps
//	24    8  logStart       i64, >= 0: first offset of the partition
type Produced struct {
	BaseOffset      int64
	NextOffset      int64
	LogAppendTimeMs int64
	LogStart        int64
}

// Check returns an Error if a field is out of range.
func (m *Produced) Check() error {
	c := checks{kind: KindProduced}
	c.atLeast("base offset", m.BaseOffset, 0)
	if m.NextOffset <= m.BaseOffset {
		c.failf("next offset: %d, want more than base offset %d", m.NextOffset, m.BaseOffset)
	}
	c.atLeast("log append time", m.LogAppendTimeMs, -1)
	c.atLeast("log start", m.LogStart, 0)
	return c.result()
}

// AppendTo appends the frame to dst. m must pass Check.
func (m *Produced) AppendTo(dst []byte, requestID uint32) []byte {
	dst, at := beginFrame(dst)
	dst = appendI64(dst, m.BaseOffset)
	dst = appendI64(dst, m.NextOffset)
	dst = appendI64(dst, m.LogAppendTimeMs)
	dst = appendI64(dst, m.LogStart)
	return endFrame(dst, at, Head{Kind: KindProduced, RequestID: requestID}, 0)
}

// ParseProduced reads a Produced.
func ParseProduced(f Frame) (Produced, error) {
	r := open(f, KindProduced, 0)
	m := Produced{
		BaseOffset:      r.i64("base offset"),
		NextOffset:      r.i64("next offset"),
		LogAppendTimeMs: r.i64("log append time"),
		LogStart:        r.i64("log start"),
	}
	if err := r.close(); err != nil {
		return Produced{}, err
	}
	return m, m.Check()
}
