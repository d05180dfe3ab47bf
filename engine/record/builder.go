package record

import (
	"encoding/binary"
	"math"
)

// A Producer identifies the idempotent producer of a batch (KIP-98).
type Producer struct {
	ID           int64 // at least 0, given by the server
	Epoch        int16 // at least 0
	BaseSequence int32 // sequence number of the first record, at least 0
}

// BuilderOptions are the fields of a batch that do not follow from its
// records. The zero value is what a plain producer sends.
type BuilderOptions struct {
	// Codec compresses the records. Default: none.
	Codec Codec
	// BaseOffset is the offset of the first record. Default 0, as a producer
	// sends it; the append assigns another.
	BaseOffset Offset
	// Producer is the idempotent producer. Default: none, so id, epoch and
	// sequence are -1.
	Producer *Producer
	// LogAppendTime sets attribute bit 3: readers take the highest of the
	// appended timestamps for every record. Default: each keeps its own.
	LogAppendTime bool
	// Transactional sets attribute bit 4. It needs a Producer to be accepted.
	Transactional bool
	// Control sets attribute bit 5. Producers must not.
	Control bool
}

// attributes returns the attribute bits that the options mean.
func (o *BuilderOptions) attributes() Attributes {
	a := Attributes(o.Codec) & attrCodec
	if o.LogAppendTime {
		a |= attrLogAppendTime
	}
	if o.Transactional {
		a |= attrTransactional
	}
	if o.Control {
		a |= attrControl
	}
	return a
}

// noProducer is what the producer fields hold when there is none.
var noProducer = Producer{ID: -1, Epoch: -1, BaseSequence: -1}

// A Builder makes batches for clients, tools and tests: Reset, Append once
// per record, Build. It keeps its memory from batch to batch and then
// allocates nothing without compression. The zero Builder is ready to append
// with zero options.
type Builder struct {
	options       BuilderOptions
	producer      Producer // copy of *options.Producer, so that the caller may reuse it
	records       []byte   // uncompressed. Invariant: HeaderSize + len(records) <= MaxSize
	count         int32
	baseTimestamp int64 // of the first record
	maxTimestamp  int64
}

// Reset begins a new batch with options and drops what was appended. It
// copies options and keeps the builder's memory.
func (b *Builder) Reset(options BuilderOptions) {
	b.options = options
	if options.Producer != nil {
		b.producer = *options.Producer
		b.options.Producer = &b.producer
	}
	b.records = b.records[:0]
	b.count, b.baseTimestamp, b.maxTimestamp = 0, 0, 0
}

// SetProducer sets or replaces the producer of the batch that is begun, which
// Build writes into it. It copies p and keeps the records.
func (b *Builder) SetProducer(p Producer) {
	b.producer = p
	b.options.Producer = &b.producer
}

// Append adds a record with the timestamp in milliseconds since 1970, or
// NoTimestamp. A nil key or value is null. It copies all it is given.
//
// Errors: ErrTooLarge when the batch would exceed MaxSize without
// compression; the batch is then as before and can be built.
func (b *Builder) Append(timestamp int64, key, value []byte, headers ...Header) error {
	base := b.baseTimestamp
	if b.count == 0 {
		base = timestamp
	}
	// The difference may wrap; so does the sum when the record is read.
	body := bodySize(timestamp-base, b.count, key, value, headers)
	if room := MaxSize - HeaderSize - len(b.records); body+maxVarint32 > room {
		return invalid(ErrTooLarge, "record of %d bytes in a batch of %d, want at most %d in all",
			body, b.Size(), MaxSize)
	}
	b.records = appendRecord(b.records, body, timestamp-base, b.count, key, value, headers)
	if b.count == 0 {
		b.baseTimestamp, b.maxTimestamp = timestamp, timestamp
	}
	b.maxTimestamp = max(b.maxTimestamp, timestamp)
	b.count++
	return nil
}

// Count returns the number of records appended since Reset.
func (b *Builder) Count() int { return int(b.count) }

// Size returns the bytes that the batch has without compression: exactly
// what Build appends when the codec is none, and an estimate from above for
// the others as long as the data can be compressed at all.
func (b *Builder) Size() int { return HeaderSize + len(b.records) }

// RecordSizeMax returns the most bytes that a record adds to Builder.Size,
// whatever the records before it.
func RecordSizeMax(key, value []byte, headers ...Header) int {
	return maxVarint32 + bodySize(math.MinInt64, math.MaxInt32, key, value, headers)
}

// Build appends the whole batch, with its crc, to dst and returns the longer
// slice. The builder keeps its records: Build again gives the same batch,
// Reset begins another.
//
// Errors, with dst returned as it was: ErrCount when there is no record,
// ErrCodec, ErrTooLarge when data that cannot be compressed exceeds MaxSize
// by its framing.
func (b *Builder) Build(dst []byte) ([]byte, error) {
	if b.count == 0 {
		return dst, invalid(ErrCount, "batch without records")
	}
	at := len(dst)
	out := b.appendHeader(dst)
	out, err := Compress(out, b.options.Codec, b.records)
	if err != nil {
		return dst, err
	}
	if err := Batch(out[at:]).seal(); err != nil {
		return dst, err
	}
	return out, nil
}

// appendHeader appends the header with length and crc zero.
func (b *Builder) appendHeader(dst []byte) []byte {
	producer := noProducer
	if b.options.Producer != nil {
		producer = *b.options.Producer
	}
	dst = binary.BigEndian.AppendUint64(dst, uint64(b.options.BaseOffset))
	dst = binary.BigEndian.AppendUint32(dst, 0)              // batchLength
	dst = binary.BigEndian.AppendUint32(dst, math.MaxUint32) // partitionLeaderEpoch -1: not assigned
	dst = append(dst, Magic)
	dst = binary.BigEndian.AppendUint32(dst, 0) // crc
	dst = binary.BigEndian.AppendUint16(dst, uint16(b.options.attributes()))
	dst = binary.BigEndian.AppendUint32(dst, uint32(b.count-1)) // lastOffsetDelta
	dst = binary.BigEndian.AppendUint64(dst, uint64(b.baseTimestamp))
	dst = binary.BigEndian.AppendUint64(dst, uint64(b.maxTimestamp))
	dst = binary.BigEndian.AppendUint64(dst, uint64(producer.ID))
	dst = binary.BigEndian.AppendUint16(dst, uint16(producer.Epoch))
	dst = binary.BigEndian.AppendUint32(dst, uint32(producer.BaseSequence))
	return binary.BigEndian.AppendUint32(dst, uint32(b.count))
}

// seal stores the length and the crc of the finished batch b. Errors:
// ErrTooLarge.
func (b Batch) seal() error {
	if len(b) > MaxSize {
		return invalid(ErrTooLarge, "batch of %d bytes, want at most %d", len(b), MaxSize)
	}
	binary.BigEndian.PutUint32(b[atLength:], uint32(len(b)-Overhead))
	b.setCRC()
	return nil
}

// appendRecord appends a record whose bytes after the length are body, as
// bodySize counted them.
//
//	length varint, attributes int8 (0), timestampDelta varlong,
//	offsetDelta varint, keyLength varint, key, valueLength varint, value,
//	headerCount varint, headers (keyLength, key, valueLength, value)
func appendRecord(dst []byte, body int, timeDelta int64, offsetDelta int32, key, value []byte, headers []Header) []byte {
	dst = appendVarint(dst, int64(body))
	dst = append(dst, 0)
	dst = appendVarint(dst, timeDelta)
	dst = appendVarint(dst, int64(offsetDelta))
	dst = appendBytes(dst, key)
	dst = appendBytes(dst, value)
	dst = appendVarint(dst, int64(len(headers)))
	for i := range headers {
		dst = appendVarint(dst, int64(len(headers[i].Key))) // a key is never null
		dst = append(dst, headers[i].Key...)
		dst = appendBytes(dst, headers[i].Value)
	}
	return dst
}

// bodySize returns the bytes of a record after its length.
func bodySize(timeDelta int64, offsetDelta int32, key, value []byte, headers []Header) int {
	n := 1 + varintLen(timeDelta) + varintLen(int64(offsetDelta)) + bytesSize(key) + bytesSize(value) +
		varintLen(int64(len(headers)))
	for i := range headers {
		key := headers[i].Key
		n += varintLen(int64(len(key))) + len(key) + bytesSize(headers[i].Value)
	}
	return n
}

// appendBytes appends a varint length and p, or the length -1 when p is nil.
func appendBytes(dst, p []byte) []byte {
	if p == nil {
		return appendVarint(dst, -1)
	}
	return append(appendVarint(dst, int64(len(p))), p...)
}

// bytesSize returns the bytes that appendBytes appends.
func bytesSize(p []byte) int {
	if p == nil {
		return 1
	}
	return varintLen(int64(len(p))) + len(p)
}
