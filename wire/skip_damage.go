package wire

import "math"

// AllDamage as the offset of a SkipDamage means all damaged ranges that are
// known of the partition.
const AllDamage = -1

// SkipDamage lets readers past damage of a partition: a Fetch of an offset that
// is lost gets what follows, and no Error. It is answered by DamageSkipped once
// that is durable.
//
//	at  len  field
//	 0    .  topic      string, 1..249 bytes
//	 .    4  partition  i32, >= 0
//	 .    8  offset     i64, >= 0: the damaged range that holds it; -1: all that are known
//	 .    1  dryRun     1: only tell what would be skipped, 0: skip it
type SkipDamage struct {
	Topic     []byte
	Partition int32
	Offset    int64
	DryRun    bool
}

// Check returns an Error if a field is out of range.
func (m *SkipDamage) Check() error {
	c := checks{kind: KindSkipDamage}
	c.topic(m.Topic)
	c.within("partition", int64(m.Partition), 0, math.MaxInt32)
	c.atLeast("offset", m.Offset, AllDamage)
	return c.result()
}

// AppendTo appends the frame to dst. m must pass Check.
func (m *SkipDamage) AppendTo(dst []byte, requestID uint32) []byte {
	dst, at := beginFrame(dst)
	dst = appendString(dst, m.Topic)
	dst = appendI32(dst, m.Partition)
	dst = appendI64(dst, m.Offset)
	dst = appendBool(dst, m.DryRun)
	return endFrame(dst, at, Head{Kind: KindSkipDamage, RequestID: requestID}, 0)
}

// ParseSkipDamage reads a SkipDamage. Topic points into the payload.
func ParseSkipDamage(f Frame) (SkipDamage, error) {
	r := open(f, KindSkipDamage, 0)
	m := SkipDamage{
		Topic:     r.bytes("topic"),
		Partition: r.i32("partition"),
		Offset:    r.i64("offset"),
		DryRun:    r.boolean("dry run"),
	}
	if err := r.close(); err != nil {
		return SkipDamage{}, err
	}
	return m, m.Check()
}

// DamagedRange is a range of offsets whose records are lost: their bytes are
// damaged, or missing.
//
//	at  len  field
//	 0    8  from     i64, >= 0: the first offset that is lost
//	 8    8  to       i64, > from: where reading goes on
//	16    1  skipped  1 if readers were let past it before the request, else 0
type DamagedRange struct {
	From, To int64
	Skipped  bool
}

// DamagedRangeSize is what an encoded DamagedRange takes.
const DamagedRangeSize = 8 + 8 + 1

// DamageSkipped answers a SkipDamage.
//
//	at  len  field
//	 0    .  ranges  array of DamagedRange, in the order of their offsets: those that were meant
type DamageSkipped struct {
	Ranges []DamagedRange
}

// Check returns an Error if a field is out of range.
func (m *DamageSkipped) Check() error {
	c := checks{kind: KindDamageSkipped}
	for i := range m.Ranges {
		r := &m.Ranges[i]
		c.atLeast("range, from", r.From, 0)
		if r.To <= r.From {
			c.failf("range, to: %d, want more than %d, where it begins", r.To, r.From)
		}
	}
	return c.result()
}

// AppendTo appends the frame to dst. m must pass Check.
func (m *DamageSkipped) AppendTo(dst []byte, requestID uint32) []byte {
	dst, at := beginFrame(dst)
	dst = appendU32(dst, uint32(len(m.Ranges)))
	for i := range m.Ranges {
		r := &m.Ranges[i]
		dst = appendI64(dst, r.From)
		dst = appendI64(dst, r.To)
		dst = appendBool(dst, r.Skipped)
	}
	return endFrame(dst, at, Head{Kind: KindDamageSkipped, RequestID: requestID}, 0)
}

// ParseDamageSkipped reads a DamageSkipped.
func ParseDamageSkipped(f Frame) (DamageSkipped, error) {
	r := open(f, KindDamageSkipped, 0)
	var m DamageSkipped
	if n := r.count("ranges", DamagedRangeSize); n > 0 {
		m.Ranges = make([]DamagedRange, n)
	}
	for i := range m.Ranges {
		m.Ranges[i] = DamagedRange{
			From:    r.i64("range, from"),
			To:      r.i64("range, to"),
			Skipped: r.boolean("range, skipped"),
		}
	}
	if err := r.close(); err != nil {
		return DamageSkipped{}, err
	}
	return m, m.Check()
}
