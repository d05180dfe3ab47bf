package record

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Compress appends src, compressed by codec, to dst and returns the longer
// slice; src and dst must not overlap. Encoders are pooled: it allocates
// little beside growing dst.
//
// Errors: ErrCodec for an unknown codec, with dst returned as it was.
func Compress(dst []byte, codec Codec, src []byte) ([]byte, error) {
	switch codec {
	case CodecNone:
		return append(dst, src...), nil
	case CodecGzip:
		return compressGzip(dst, src)
	case CodecSnappy:
		return compressXerial(dst, src), nil
	case CodecLZ4:
		return compressLZ4(dst, src)
	case CodecZstd:
		return zstdEncoder().EncodeAll(src, dst), nil
	}
	return dst, invalid(ErrCodec, "codec %d, want 0 to %d", codec, CodecZstd)
}

// An appender is an io.Writer that appends to a slice.
type appender struct{ p []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.p = append(a.p, p...)
	return len(p), nil
}

type gzipWriter struct {
	out appender
	zip *gzip.Writer
}

var gzipWriters = sync.Pool{New: func() any {
	return &gzipWriter{zip: gzip.NewWriter(nil)}
}}

func compressGzip(dst, src []byte) ([]byte, error) {
	w := gzipWriters.Get().(*gzipWriter)
	defer gzipWriters.Put(w)
	w.out.p = dst
	w.zip.Reset(&w.out)
	_, err := w.zip.Write(src)
	if err == nil {
		err = w.zip.Close()
	}
	out := w.out.p
	w.out.p = nil
	if err != nil {
		return dst, fmt.Errorf("gzip: %w", err)
	}
	return out, nil
}

type lz4Writer struct {
	out appender
	zip *lz4.Writer
}

var lz4Writers = sync.Pool{New: func() any {
	w := &lz4Writer{zip: lz4.NewWriter(nil)}
	err := w.zip.Apply(
		// As the Java client: 64 KiB blocks and no checksum of the content,
		// which the batch's crc covers already.
		lz4.BlockSizeOption(lz4.Block64Kb),
		lz4.ChecksumOption(false),
		lz4.ConcurrencyOption(1),
	)
	if err != nil {
		panic("record: lz4 options: " + err.Error())
	}
	return w
}}

func compressLZ4(dst, src []byte) ([]byte, error) {
	w := lz4Writers.Get().(*lz4Writer)
	defer lz4Writers.Put(w)
	w.out.p = dst
	w.zip.Reset(&w.out)
	_, err := w.zip.Write(src)
	if err == nil {
		err = w.zip.Close()
	}
	out := w.out.p
	w.out.p = nil
	if err != nil {
		return dst, fmt.Errorf("lz4: %w", err)
	}
	return out, nil
}

// zstdEncoder is one encoder for all: EncodeAll may be called concurrently
// and keeps a pool of its own, as large as GOMAXPROCS.
var zstdEncoder = sync.OnceValue(func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil,
		zstd.WithEncoderCRC(false), // the batch's crc covers the content
		zstd.WithLowerEncoderMem(true),
		zstd.WithZeroFrames(true), // an empty input is a frame too
	)
	if err != nil {
		panic("record: zstd options: " + err.Error())
	}
	return e
})

// The framing of xerial's snappy-java, which the Java client writes: this
// header, then blocks of at most 32 KiB of content, each a length (uint32,
// big-endian) and a raw snappy block. The two numbers are version and lowest
// compatible version.
const (
	xerialMagic     = "\x82SNAPPY\x00"
	xerialHeader    = xerialMagic + "\x00\x00\x00\x01\x00\x00\x00\x01"
	xerialBlockSize = 32 << 10
)

func compressXerial(dst, src []byte) []byte {
	dst = append(dst, xerialHeader...)
	for len(src) > 0 {
		n := min(len(src), xerialBlockSize)
		at := len(dst)
		dst = slices.Grow(dst, 4+snappy.MaxEncodedLen(n))
		// Encode returns a slice of its first argument, which has room.
		block := snappy.Encode(dst[at+4:cap(dst)], src[:n])
		dst = dst[:at+4+len(block)]
		binary.BigEndian.PutUint32(dst[at:], uint32(len(block)))
		src = src[n:]
	}
	return dst
}
