package wire

import "math"

// Fetch asks for batches from an offset on.
//
//	at  len  field
//	 0    .  topic      string, 1..249 bytes
//	 .    4  partition  i32, >= 0
//	 .    8  offset     i64, >= 0
//	 .    4  minBytes   i32, 0..maxBytes: wait until so many bytes are visible
//	 .    4  maxBytes   i32, >= 1: most bytes of batches, unless the first alone is longer
//	 .    4  maxWaitMs  u32: wait so long at most
type Fetch struct {
	Topic     []byte
	Partition int32
	Offset    int64
	MinBytes  int32
	MaxBytes  int32
	MaxWaitMs uint32
}

// Check returns an Error if a field is out of range.
func (m *Fetch) Check() error {
	c := checks{kind: KindFetch}
	c.topic(m.Topic)
	c.within("partition", int64(m.Partition), 0, math.MaxInt32)
	c.atLeast("offset", m.Offset, 0)
	c.within("max bytes", int64(m.MaxBytes), 1, math.MaxInt32)
	c.within("min bytes", int64(m.MinBytes), 0, int64(m.MaxBytes))
	return c.result()
}

// AppendTo appends the frame to dst. m must pass Check.
func (m *Fetch) AppendTo(dst []byte, requestID uint32) []byte {
	dst, at := beginFrame(dst)
	dst = appendString(dst, m.Topic)
	dst = appendI32(dst, m.Partition)
	dst = appendI64(dst, m.Offset)
	dst = appendI32(dst, m.MinBytes)
	dst = appendI32(dst, m.MaxBytes)
	dst = appendU32(dst, m.MaxWaitMs)
	return endFrame(dst, at, Head{Kind: KindFetch, RequestID: requestID}, 0)
}

// ParseFetch reads a Fetch. Topic points into the payload.
func ParseFetch(f Frame) (Fetch, error) {
	r := open(f, KindFetch, 0)
	m := Fetch{
		Topic:     r.bytes("topic"),
		Partition: r.i32("partition"),
		Offset:    r.i64("offset"),
		MinBytes:  r.i32("min bytes"),
		MaxBytes:  r.i32("max bytes"),
		MaxWaitMs: r.u32("max wait"),
	}
	if err := r.close(); err != nil {
		return Fetch{}, err
	}
	return m, m.Check()
}

// Offsets are the borders of a partition at one moment, ends exclusive.
//
// Invariant: 0 <= LogStart <= LastStable <= HighWatermark.
type Offsets struct {
	LogStart      int64
	LastStable    int64
	HighWatermark int64
}

// dataFieldsSize is the length of the fields of a Data before its batches.
const dataFieldsSize = 4 + 3*8 + 4

// DataHeaderSize is the length of all that stands before the batches of a
// Data: its head and its fields.
const DataHeaderSize = HeadSize + dataFieldsSize

// Data carries batches: one answers each Fetch, a subscription gets them
// unasked.
//
//	at  len  field
//	 0    4  partition      i32, >= 0
//	 4    8  logStart       i64, >= 0
//	12    8  lastStable     i64, >= logStart
//	20    8  highWatermark  i64, >= lastStable
//	28    4  leaderEpoch    i32, >= 0: of the partition now
//	32    .  batches        exactly as on disk, to the end of the payload
//
// In the answer to a Fetch the first batch is whole and holds the offset asked
// for, or is the first one after it; the last may be cut, and the reader drops
// what is cut. In a subscription the batches go on at the byte where those of
// the Data before ended; see Subscribe. There may be none at all.
type Data struct {
	End         bool // FlagEnd: the subscription has ended
	Partition   int32
	Offsets     Offsets
	LeaderEpoch int32
	Batches     []byte
}

// Check returns an Error if a field is out of range. It does not look into the
// batches.
func (m *Data) Check() error {
	c := checks{kind: KindData}
	c.within("partition", int64(m.Partition), 0, math.MaxInt32)
	if o := m.Offsets; o.LogStart < 0 || o.LastStable < o.LogStart || o.HighWatermark < o.LastStable {
		c.failf("log start %d, last stable %d, high watermark %d, want them in this order, from 0", o.LogStart, o.LastStable, o.HighWatermark)
	}
	c.within("leader epoch", int64(m.LeaderEpoch), 0, math.MaxInt32)
	return c.result()
}

// AppendTo appends the frame to dst. m must pass Check.
func (m *Data) AppendTo(dst []byte, requestID uint32) []byte {
	return append(AppendDataHead(dst, requestID, m, len(m.Batches)), m.Batches...)
}

// AppendDataHead appends what stands before the batches of a Data: the
// DataHeaderSize bytes of its head and its other fields. The caller sends
// exactly bodyLen bytes of batches after it, by sendfile if it likes;
// m.Batches is not used.
func AppendDataHead(dst []byte, requestID uint32, m *Data, bodyLen int) []byte {
	var flags uint8
	if m.End {
		flags |= FlagEnd
	}
	dst, at := beginFrame(dst)
	dst = appendI32(dst, m.Partition)
	dst = appendI64(dst, m.Offsets.LogStart)
	dst = appendI64(dst, m.Offsets.LastStable)
	dst = appendI64(dst, m.Offsets.HighWatermark)
	dst = appendI32(dst, m.LeaderEpoch)
	return endFrame(dst, at, Head{Kind: KindData, Flags: flags, RequestID: requestID}, bodyLen)
}

// ParseData reads a Data. Batches points into the payload.
func ParseData(f Frame) (Data, error) {
	r := open(f, KindData, FlagEnd)
	m := Data{
		End:       f.Flags&FlagEnd != 0,
		Partition: r.i32("partition"),
		Offsets: Offsets{
			LogStart:      r.i64("log start"),
			LastStable:    r.i64("last stable"),
			HighWatermark: r.i64("high watermark"),
		},
		LeaderEpoch: r.i32("leader epoch"),
		Batches:     r.rest(),
	}
	if err := r.close(); err != nil {
		return Data{}, err
	}
	return m, m.Check()
}
