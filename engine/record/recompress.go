package record

import (
	"encoding/binary"
	"sync"
)

// Recompress appends to dst the batch b with its records compressed by codec
// and returns the longer slice. All else is as in b: header fields, the other
// attributes, the records' bytes. It reads the records once, so a batch whose
// records cannot be parsed is refused here. b is not changed, and dst must not
// overlap it. limit is the most bytes that the records may have uncompressed.
//
// b must have passed Verify. Errors, with dst returned as it was: those of
// Decompress, Iterator.Err, and ErrTooLarge when the result exceeds MaxSize.
func Recompress(dst []byte, b Batch, codec Codec, limit int) ([]byte, error) {
	scratch := scratches.Get().(*[]byte)
	defer scratches.Put(scratch)
	records, err := b.Decompress(*scratch, limit)
	if err != nil {
		return dst, err
	}
	if b.Codec() != CodecNone && len(b) > HeaderSize && cap(records) <= scratchKeep {
		*scratch = records[:0]
	}
	it := b.Iterate(records)
	for it.Next() {
	}
	if err := it.Err(); err != nil {
		return dst, err
	}

	at := len(dst)
	out := append(dst, b[:HeaderSize]...)
	attributes := b.Attributes()&^attrCodec | Attributes(codec)&attrCodec
	binary.BigEndian.PutUint16(out[at+atAttributes:], uint16(attributes))
	if out, err = Compress(out, codec, records); err != nil {
		return dst, err
	}
	if err := Batch(out[at:]).seal(); err != nil {
		return dst, err
	}
	return out, nil
}

// scratches holds buffers for uncompressed records, of at most scratchKeep
// bytes each: larger ones are left to the garbage collector.
var scratches = sync.Pool{New: func() any { return new([]byte) }}

const scratchKeep = 4 << 20 // four times Kafka's default max.message.bytes
