package record

import (
	"encoding/binary"
	"hash/crc32"
	"math"
)

// Offset is the number of a record in its partition, from 0.
type Offset int64

// RecordBatch v2, big-endian. crc is CRC-32C of bytes 21..end; bytes 0..16
// are NOT covered.
//
//	at  len  field
//	 0    8  baseOffset             assigned at append, in place
//	 8    4  batchLength            bytes after this field
//	12    4  partitionLeaderEpoch   assigned at append, in place
//	16    1  magic                  2
//	17    4  crc
//	21    2  attributes             bits 0-2 codec, 3 timestamp type, 4 transactional, 5 control, 6 delete horizon
//	23    4  lastOffsetDelta        last offset = baseOffset + lastOffsetDelta
//	27    8  baseTimestamp          ms since 1970; the delete horizon when attribute bit 6 is set
//	35    8  maxTimestamp           ms; the append time when attribute bit 3 is set
//	43    8  producerId             -1: none
//	51    2  producerEpoch
//	53    4  baseSequence
//	57    4  recordsCount
//	61    .  records                compressed as one piece when the codec is not 0
const (
	atBaseOffset      = 0
	atLength          = 8
	atLeaderEpoch     = 12
	atMagic           = 16
	atCRC             = 17
	atAttributes      = 21
	atLastOffsetDelta = 23
	atBaseTimestamp   = 27
	atMaxTimestamp    = 35
	atProducerID      = 43
	atProducerEpoch   = 51
	atBaseSequence    = 53
	atCount           = 57
)

const (
	// HeaderSize is the number of bytes before the records.
	HeaderSize = 61
	// Overhead is the number of bytes that batchLength does not count:
	// baseOffset and batchLength itself.
	Overhead = 12
	// MaxSize is the most bytes that one whole batch may have: positions in
	// Kafka's offset index are int32, so no segment holds more.
	MaxSize = math.MaxInt32
	// Magic is the only value of the magic byte that this package reads.
	Magic = 2
	// NoTimestamp is the timestamp of records that have none.
	NoTimestamp = -1

	minLength = HeaderSize - Overhead // batchLength of a batch without records
	crcFrom   = atAttributes          // the first byte that crc covers
)

// castagnoli is the polynomial of CRC-32C (RFC 3720, section B.4).
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A Batch is a view of the bytes of exactly one whole RecordBatch v2, as
// [Next] cuts it and [Builder.Build] makes it. It may also be a view of its
// first HeaderSize bytes only, as read from a file: then all accessors and
// the two setters SetBaseOffset and SetLeaderEpoch work; Verify,
// VerifyProduced, Records, Decompress, SetLogAppendTime and SetProducer need
// the whole batch. Iterate reads the header alone and takes the records as an argument.
//
// The accessors do not check: they need len(b) >= HeaderSize and panic
// below. They return what the bytes say, which means something only after
// Verify.
type Batch []byte

// BaseOffset returns the offset of the first record. It is not covered by
// the crc.
func (b Batch) BaseOffset() Offset {
	return Offset(binary.BigEndian.Uint64(b[atBaseOffset:HeaderSize]))
}

// Length returns the field batchLength: the bytes after it, Size - Overhead.
func (b Batch) Length() int32 { return int32(binary.BigEndian.Uint32(b[atLength:HeaderSize])) }

// Size returns the bytes of the whole batch as its header declares them,
// also when b is a view of the header only. It is len(b) after Verify.
func (b Batch) Size() int64 { return Overhead + int64(b.Length()) }

// LeaderEpoch returns the partition leader epoch, -1 when a producer sent
// the batch. It is not covered by the crc.
func (b Batch) LeaderEpoch() int32 {
	return int32(binary.BigEndian.Uint32(b[atLeaderEpoch:HeaderSize]))
}

// Magic returns the version of the format. It is not covered by the crc.
func (b Batch) Magic() int8 { return int8(b[atMagic]) }

// CRC returns the stored CRC-32C of the bytes from the attributes on.
func (b Batch) CRC() uint32 { return binary.BigEndian.Uint32(b[atCRC:HeaderSize]) }

// Attributes returns the attributes of the batch.
func (b Batch) Attributes() Attributes {
	return Attributes(binary.BigEndian.Uint16(b[atAttributes:HeaderSize]))
}

// Codec returns how the records are compressed; 5, 6 and 7 are no codec.
func (b Batch) Codec() Codec { return b.Attributes().Codec() }

// LastOffsetDelta returns the offset of the last record minus BaseOffset.
// Compaction keeps it when it removes that record.
func (b Batch) LastOffsetDelta() int32 {
	return int32(binary.BigEndian.Uint32(b[atLastOffsetDelta:HeaderSize]))
}

// LastOffset returns the offset of the last record.
func (b Batch) LastOffset() Offset { return b.BaseOffset() + Offset(b.LastOffsetDelta()) }

// NextOffset returns the offset that follows the batch.
func (b Batch) NextOffset() Offset { return b.LastOffset() + 1 }

// BaseTimestamp returns the milliseconds since 1970 to which the records'
// timestamp deltas are added: the timestamp of the first record, or the
// delete horizon when Attributes().DeleteHorizon().
func (b Batch) BaseTimestamp() int64 {
	return int64(binary.BigEndian.Uint64(b[atBaseTimestamp:HeaderSize]))
}

// MaxTimestamp returns the highest timestamp of the records in milliseconds
// since 1970, or the time of append of all of them when
// Attributes().LogAppendTime().
func (b Batch) MaxTimestamp() int64 {
	return int64(binary.BigEndian.Uint64(b[atMaxTimestamp:HeaderSize]))
}

// ProducerID returns the id of the idempotent producer, -1 for none.
func (b Batch) ProducerID() int64 {
	return int64(binary.BigEndian.Uint64(b[atProducerID:HeaderSize]))
}

// ProducerEpoch returns the epoch of the idempotent producer, -1 for none.
func (b Batch) ProducerEpoch() int16 {
	return int16(binary.BigEndian.Uint16(b[atProducerEpoch:HeaderSize]))
}

// BaseSequence returns the producer's sequence number of the first record,
// -1 for none.
func (b Batch) BaseSequence() int32 {
	return int32(binary.BigEndian.Uint32(b[atBaseSequence:HeaderSize]))
}

// Count returns the number of records. It is less than LastOffsetDelta()+1,
// and possibly 0, after compaction.
func (b Batch) Count() int32 { return int32(binary.BigEndian.Uint32(b[atCount:HeaderSize])) }

// Records returns the records as they are stored: compressed as one piece
// when Codec is not CodecNone. They share the memory of b.
func (b Batch) Records() []byte { return b[HeaderSize:] }

// SetBaseOffset assigns the offset of the first record, in place. The crc
// stays valid.
func (b Batch) SetBaseOffset(o Offset) {
	binary.BigEndian.PutUint64(b[atBaseOffset:HeaderSize], uint64(o))
}

// SetLeaderEpoch assigns the partition leader epoch, in place. The crc stays
// valid.
func (b Batch) SetLeaderEpoch(epoch int32) {
	binary.BigEndian.PutUint32(b[atLeaderEpoch:HeaderSize], uint32(epoch))
}

// SetLogAppendTime gives every record the timestamp ms (milliseconds since
// 1970), in place: it sets attribute bit 3 and the max timestamp and computes
// the crc again over the whole batch. The base timestamp and the records stay
// as they are, as in Kafka; readers take the max timestamp for each record.
func (b Batch) SetLogAppendTime(ms int64) {
	binary.BigEndian.PutUint16(b[atAttributes:], uint16(b.Attributes()|attrLogAppendTime))
	binary.BigEndian.PutUint64(b[atMaxTimestamp:], uint64(ms))
	b.setCRC()
}

// SetProducer makes another producer, epoch and sequence the batch's, in place,
// and computes the crc again over the whole batch.
func (b Batch) SetProducer(p Producer) {
	binary.BigEndian.PutUint64(b[atProducerID:], uint64(p.ID))
	binary.BigEndian.PutUint16(b[atProducerEpoch:], uint16(p.Epoch))
	binary.BigEndian.PutUint32(b[atBaseSequence:], uint32(p.BaseSequence))
	b.setCRC()
}

// setCRC stores the crc of what b holds now.
func (b Batch) setCRC() { binary.BigEndian.PutUint32(b[atCRC:], b.computeCRC()) }

func (b Batch) computeCRC() uint32 { return crc32.Checksum(b[crcFrom:], castagnoli) }

// Attributes are the flags of a batch. Bits 7 to 15 are unused; they are
// kept and have no meaning.
type Attributes int16

const (
	attrCodec         Attributes = 7      // bits 0 to 2
	attrLogAppendTime Attributes = 1 << 3 // KIP-32
	attrTransactional Attributes = 1 << 4 // KIP-98
	attrControl       Attributes = 1 << 5 // KIP-98
	attrDeleteHorizon Attributes = 1 << 6 // KIP-534
)

// Codec returns how the records are compressed; 5, 6 and 7 are no codec.
func (a Attributes) Codec() Codec { return Codec(a & attrCodec) }

// LogAppendTime reports whether every record has the batch's max timestamp,
// set by the server, instead of its producer's.
func (a Attributes) LogAppendTime() bool { return a&attrLogAppendTime != 0 }

// Transactional reports whether the batch belongs to a transaction.
func (a Attributes) Transactional() bool { return a&attrTransactional != 0 }

// Control reports whether the records are markers for clients' machinery (a
// transaction's end, for example), not data.
func (a Attributes) Control() bool { return a&attrControl != 0 }

// DeleteHorizon reports whether the base timestamp is the time after which
// compaction may remove the batch's tombstones and markers.
func (a Attributes) DeleteHorizon() bool { return a&attrDeleteHorizon != 0 }
