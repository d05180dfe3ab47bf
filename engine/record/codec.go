package record

import (
	"fmt"
	"strings"
)

// Codec says how the records of a batch are compressed: attribute bits 0 to 2.
type Codec uint8

const (
	CodecNone   Codec = 0
	CodecGzip   Codec = 1
	CodecSnappy Codec = 2 // written in the framing of xerial's snappy-java, read with or without it
	CodecLZ4    Codec = 3 // LZ4 frame format
	CodecZstd   Codec = 4
)

var codecNames = [...]string{"none", "gzip", "snappy", "lz4", "zstd"}

// Known reports whether c is one of the five codecs.
func (c Codec) Known() bool { return int(c) < len(codecNames) }

// String returns the name that Kafka's configuration uses, or "codec(n)".
func (c Codec) String() string {
	if c.Known() {
		return codecNames[c]
	}
	return fmt.Sprintf("codec(%d)", uint8(c))
}

// ParseCodec returns the codec of one of the names none, gzip, snappy, lz4
// and zstd, in lower case. Any other is ErrCodec.
func ParseCodec(name string) (Codec, error) {
	for c, s := range codecNames {
		if s == name {
			return Codec(c), nil
		}
	}
	return 0, invalid(ErrCodec, "codec %q, want one of %s", name, strings.Join(codecNames[:], ", "))
}
