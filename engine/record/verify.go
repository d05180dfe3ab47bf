package record

import "math"

// minRecordSize is the least bytes of an uncompressed record: one each for
// length, attributes, timestamp delta, offset delta, key length, value length
// and header count.
const minRecordSize = 7

// Verify checks what every stored batch satisfies: b is exactly one whole
// batch of magic 2, its crc is right, its offsets lie in [0, 2^63), its count
// is in [0, lastOffsetDelta+1] (compaction removes records and keeps the
// offsets; it may leave none), and so many records can fit. It does not look
// into the records and knows nothing of the batch before: continuity of base
// offsets and order of epochs, which no crc covers, are the caller's.
//
// It reads every byte once and allocates nothing unless it returns an error.
//
// Errors: ErrShort, ErrLength, ErrMagic, ErrCRC, ErrOffset (all ErrCorrupt,
// but an old magic is ErrInvalid); ErrCount (ErrInvalid).
func (b Batch) Verify() error {
	if err := b.verifyBytes(); err != nil {
		return err
	}
	if base, delta := b.BaseOffset(), b.LastOffsetDelta(); base < 0 || base > math.MaxInt64-1-Offset(delta) {
		return corrupt(ErrOffset, "base offset %d with last offset delta %d, want 0 to %d", base, delta, int64(math.MaxInt64-1))
	}
	return nil
}

// VerifyProduced checks what a batch satisfies that a producer sends: all of
// Verify except the base offset, which the append assigns; and at least one
// record, no gap in the offsets (count = lastOffsetDelta+1), a known codec,
// the producer's own timestamps, no control flag, no delete horizon, and a
// sequence and epoch if there is a producer id. Like Verify it does not look
// into the records.
//
// Errors: those of Verify except ErrOffset, and ErrCount, ErrCodec,
// ErrAttributes and ErrSequence (all ErrInvalid).
func (b Batch) VerifyProduced() error {
	if err := b.verifyBytes(); err != nil {
		return err
	}
	count, delta, attributes := b.Count(), b.LastOffsetDelta(), b.Attributes()
	switch {
	case count == 0:
		return invalid(ErrCount, "batch without records")
	case count-1 != delta:
		return invalid(ErrCount, "%d records with last offset delta %d, want %d", count, delta, count-1)
	case !attributes.Codec().Known():
		return invalid(ErrCodec, "codec %d, want 0 to %d", attributes.Codec(), CodecZstd)
	case attributes.Control():
		return invalid(ErrAttributes, "control batch from a producer")
	case attributes.DeleteHorizon():
		return invalid(ErrAttributes, "delete horizon set by a producer")
	case attributes.LogAppendTime():
		return invalid(ErrAttributes, "timestamp type LogAppendTime set by a producer")
	case b.ProducerID() >= 0 && (b.BaseSequence() < 0 || b.ProducerEpoch() < 0):
		return invalid(ErrSequence, "producer id %d with epoch %d and base sequence %d, want both at least 0",
			b.ProducerID(), b.ProducerEpoch(), b.BaseSequence())
	case b.ProducerID() < 0 && attributes.Transactional():
		return invalid(ErrSequence, "transactional batch without a producer id")
	}
	return nil
}

// verifyBytes checks lengths, magic, crc and counts.
func (b Batch) verifyBytes() error {
	if len(b) < HeaderSize {
		return corrupt(ErrShort, "batch header ends after %d bytes, want %d", len(b), HeaderSize)
	}
	size, err := PeekSize(b)
	if err != nil {
		return err
	}
	if int64(len(b)) < size {
		return corrupt(ErrShort, "batch ends after %d bytes, want %d", len(b), size)
	}
	if int64(len(b)) > size {
		return corrupt(ErrLength, "batchLength %d in a batch of %d bytes, want %d", b.Length(), len(b), len(b)-Overhead)
	}
	if got := b.computeCRC(); got != b.CRC() {
		return corrupt(ErrCRC, "crc %08x, want %08x", b.CRC(), got)
	}
	count, delta := b.Count(), b.LastOffsetDelta()
	if delta < 0 {
		return invalid(ErrCount, "last offset delta %d, want at least 0", delta)
	}
	if count < 0 || int64(count) > int64(delta)+1 {
		return invalid(ErrCount, "%d records with last offset delta %d, want 0 to %d", count, delta, int64(delta)+1)
	}
	if room := len(b) - HeaderSize; b.Codec() == CodecNone && int64(count)*minRecordSize > int64(room) {
		return invalid(ErrCount, "%d records in %d bytes, want at most %d", count, room, room/minRecordSize)
	}
	return nil
}
