package record

import "encoding/binary"

// minOldLength is the least size field of a message of magic 0: crc 4, magic
// 1, attributes 1, key and value lengths 4 and 4. It stands where batchLength
// does, and magic where magic does.
const minOldLength = 14

// Next cuts the first batch off p: b is a view of it and rest is what
// follows, both in p's memory. It checks bounds, length and magic, not the
// crc or anything that the crc covers: that is Verify's work.
//
// Errors: ErrShort when p ends before the batch does, as at the end of a
// fetch response or of a torn file, with b nil and rest p; ErrLength and
// ErrMagic when no batch starts here. An empty p is ErrShort too.
func Next(p []byte) (b Batch, rest []byte, err error) {
	if len(p) < HeaderSize {
		return nil, p, corrupt(ErrShort, "batch header ends after %d bytes, want %d", len(p), HeaderSize)
	}
	size, err := PeekSize(p)
	if err != nil {
		return nil, p, err
	}
	if int64(len(p)) < size {
		return nil, p, corrupt(ErrShort, "batch ends after %d bytes, want %d", len(p), size)
	}
	// The capacity ends with the batch, so that nobody appends into the next.
	return Batch(p[:size:size]), p[size:], nil
}

// PeekSize returns the size in bytes of the whole batch that starts with
// head: at least HeaderSize, at most MaxSize. head is at least the first
// Overhead (12) bytes of the batch; the magic is checked too when head
// reaches it (17 bytes).
//
// Errors: ErrShort when head has fewer than 12 bytes; ErrLength; ErrMagic.
func PeekSize(head []byte) (int64, error) {
	if len(head) < Overhead {
		return 0, corrupt(ErrShort, "batch header ends after %d bytes, want at least %d", len(head), Overhead)
	}
	length := int32(binary.BigEndian.Uint32(head[atLength:]))
	if len(head) > atMagic {
		// Before the length: a short message of an old format has a length
		// that looks wrong, and its magic is the better explanation. Zero
		// bytes are no old message.
		if m := head[atMagic]; m < Magic && length >= minOldLength {
			return 0, invalid(ErrMagic, "magic %d, want %d: message formats before Kafka 0.11 are not supported", m, Magic)
		}
	}
	if length < minLength || int64(length) > MaxSize-Overhead {
		return 0, corrupt(ErrLength, "batchLength %d, want %d to %d", length, minLength, MaxSize-Overhead)
	}
	if len(head) > atMagic && head[atMagic] != Magic {
		return 0, corrupt(ErrMagic, "magic %d, want %d", head[atMagic], Magic)
	}
	return Overhead + int64(length), nil
}
