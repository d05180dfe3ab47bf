package record

import "math/bits"

// Varints are those of Protocol Buffers: seven bits a byte, the low ones
// first, the top bit set on all but the last; signed numbers are zigzag coded.

const (
	maxVarint32 = 5  // bytes of the longest varint of 32 bits
	maxVarint64 = 10 // bytes of the longest varint of 64 bits
)

// varint64 reads a zigzag varint of at most 10 bytes from p. n is the number
// of bytes it takes, 0 if p ends before the varint does or if the value needs
// more than 64 bits.
func varint64(p []byte) (v int64, n int) {
	if len(p) > 0 && p[0] < 0x80 { // most are one byte
		return unzigzag(uint64(p[0])), 1
	}
	var u uint64
	for i := 0; i < len(p) && i < maxVarint64; i++ {
		c := p[i]
		if i == maxVarint64-1 && c > 1 {
			return 0, 0
		}
		u |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			return unzigzag(u), i + 1
		}
	}
	return 0, 0
}

// varint32 reads a zigzag varint of at most 5 bytes from p. n is the number
// of bytes it takes, 0 if p ends before the varint does or if the value needs
// more than 32 bits.
func varint32(p []byte) (v int32, n int) {
	if len(p) > 0 && p[0] < 0x80 {
		return int32(unzigzag(uint64(p[0]))), 1
	}
	var u uint64
	for i := 0; i < len(p) && i < maxVarint32; i++ {
		c := p[i]
		if i == maxVarint32-1 && c > 0x0f {
			return 0, 0
		}
		u |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			return int32(unzigzag(u)), i + 1
		}
	}
	return 0, 0
}

// appendVarint appends v in as few bytes as it needs. A value of 32 bits has
// the same bytes as varint of 32 and of 64 bits.
func appendVarint(dst []byte, v int64) []byte {
	u := zigzag(v)
	for u >= 0x80 {
		dst = append(dst, byte(u)|0x80)
		u >>= 7
	}
	return append(dst, byte(u))
}

// varintLen returns the bytes that appendVarint appends.
func varintLen(v int64) int { return (bits.Len64(zigzag(v)|1) + 6) / 7 }

func zigzag(v int64) uint64   { return uint64(v)<<1 ^ uint64(v>>63) }
func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }
