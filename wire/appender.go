package wire

import (
	"encoding/binary"
	"math"

	"github.com/rollway/rollway/internal/invariant"
)

// beginFrame appends room for a head and returns where it is.
func beginFrame(dst []byte) (grown []byte, at int) {
	return append(dst, make([]byte, HeadSize)...), len(dst)
}

// endFrame completes the frame whose head is at dst[at:]: what was appended
// after it is the payload, which bodyLen more bytes continue that the caller
// sends from elsewhere. h.Length is set here.
func endFrame(dst []byte, at int, h Head, bodyLen int) []byte {
	length := len(dst) - at - HeadSize + bodyLen
	if invariant.Enabled && (bodyLen < 0 || length > MaxFrameCap) {
		invariant.Check(false, "%s: %d payload bytes, %d of them to follow, want at most %d", h.Kind, length, bodyLen, MaxFrameCap)
	}
	h.Length = uint32(length)
	putHead(dst[at:], h)
	return dst
}

func appendU16(dst []byte, v uint16) []byte { return binary.BigEndian.AppendUint16(dst, v) }
func appendU32(dst []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(dst, v) }
func appendI32(dst []byte, v int32) []byte  { return binary.BigEndian.AppendUint32(dst, uint32(v)) }
func appendI64(dst []byte, v int64) []byte  { return binary.BigEndian.AppendUint64(dst, uint64(v)) }

func appendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// appendString appends a u16 length and the bytes of s. All limits of the
// protocol are far below what the length can say.
func appendString[T string | []byte](dst []byte, s T) []byte {
	if invariant.Enabled && len(s) > math.MaxUint16 {
		invariant.Check(false, "string of %d bytes, want at most %d", len(s), math.MaxUint16)
	}
	return append(appendU16(dst, uint16(len(s))), s...)
}
