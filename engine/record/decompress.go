package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Decompress appends src, decompressed by codec, to dst and returns the
// longer slice; src and dst must not overlap. At most limit bytes are
// appended. Decoders are pooled: it allocates little beside growing dst, by no
// more than a quarter over limit and 128 KiB, whatever sizes src declares.
// Callers that decompress often keep dst.
//
// Errors, all ErrInvalid and all with dst returned as it was: ErrTooLarge
// when the content is, or is declared to be, larger than limit;
// ErrCompressed when src is not what codec writes; ErrCodec.
func Decompress(dst []byte, codec Codec, src []byte, limit int) ([]byte, error) {
	// Above MaxSize no batch can be built again, and limit+1 must not wrap.
	limit = max(0, min(limit, MaxSize))
	var out []byte
	var err error
	switch codec {
	case CodecNone:
		if len(src) > limit {
			err = errTooLarge
		} else {
			out = append(dst, src...)
		}
	case CodecGzip:
		out, err = decompressGzip(dst, src, limit)
	case CodecSnappy:
		out, err = decompressSnappy(dst, src, limit)
	case CodecLZ4:
		out, err = decompressLZ4(dst, src, limit)
	case CodecZstd:
		out, err = decompressZstd(dst, src, limit)
	default:
		return dst, invalid(ErrCodec, "codec %d, want 0 to %d", codec, CodecZstd)
	}
	if err == errTooLarge {
		return dst, invalid(ErrTooLarge, "%s: %d bytes decompress to more than the limit of %d", codec, len(src), limit)
	}
	if err != nil {
		return dst, invalid(ErrCompressed, "%s: %d compressed bytes: %v", codec, len(src), err)
	}
	return out, nil
}

// Decompress returns the records of b uncompressed, at most limit bytes:
// b.Records itself, whatever its size, when the codec is CodecNone or there
// are none, else a slice in scratch's memory if that has the room. scratch is
// overwritten from its start. Errors: those of the function Decompress.
func (b Batch) Decompress(scratch []byte, limit int) ([]byte, error) {
	// Compaction may leave a batch of any codec with nothing behind its header.
	if b.Codec() == CodecNone || len(b) == HeaderSize {
		return b.Records(), nil
	}
	return Decompress(scratch[:0], b.Codec(), b.Records(), limit)
}

// errTooLarge travels from a codec to Decompress, which knows the values.
var errTooLarge = errors.New("too large")

type gzipReader struct {
	in  bytes.Reader
	zip gzip.Reader
}

var gzipReaders = sync.Pool{New: func() any { return new(gzipReader) }}

func decompressGzip(dst, src []byte, limit int) ([]byte, error) {
	r := gzipReaders.Get().(*gzipReader)
	defer gzipReaders.Put(r)
	defer r.in.Reset(nil) // the pool must not keep src alive
	r.in.Reset(src)
	if err := r.zip.Reset(&r.in); err != nil {
		return nil, noEOF(err)
	}
	return appendAll(dst, &r.zip, len(src), limit)
}

type lz4Reader struct {
	in  bytes.Reader
	zip *lz4.Reader
}

// A reader takes block buffers from the library's own pool; their size is
// what a frame declares, at most 4 MiB (lz4_Frame_format.md, BD byte), or
// 8 MiB when a legacy frame follows the first.
var lz4Readers = sync.Pool{New: func() any {
	r := &lz4Reader{zip: lz4.NewReader(nil)}
	if err := r.zip.Apply(lz4.ConcurrencyOption(1)); err != nil {
		panic("record: lz4 options: " + err.Error())
	}
	return r
}}

// lz4Magic starts an LZ4 frame. The library would also begin with a legacy or
// a skippable frame, which no Kafka client does.
const lz4Magic = "\x04\x22\x4d\x18"

func decompressLZ4(dst, src []byte, limit int) ([]byte, error) {
	if !bytes.HasPrefix(src, []byte(lz4Magic)) {
		return nil, errors.New("no lz4 frame")
	}
	r := lz4Readers.Get().(*lz4Reader)
	defer lz4Readers.Put(r)
	defer r.zip.Reset(&r.in) // gives its blocks back
	defer r.in.Reset(nil)
	r.in.Reset(src)
	r.zip.Reset(&r.in)
	return appendAll(dst, r.zip, len(src), limit)
}

// appendAll appends what r gives to dst, at most limit bytes. packed is the
// compressed size, from which the first allocation is guessed; the later ones
// double, so that memory follows what was really read.
func appendAll(dst []byte, r io.Reader, packed, limit int) ([]byte, error) {
	start := len(dst)
	guess := max(4*packed, 4<<10) // text shrinks to about a quarter
	for {
		n := len(dst) - start
		if n > limit {
			return nil, errTooLarge
		}
		if len(dst) == cap(dst) {
			dst = slices.Grow(dst, min(max(guess, n), limit+1-n)) // one more byte tells limit from above it
		}
		// Grow may round up: never read more than one byte above the limit.
		end := min(cap(dst), start+limit+1)
		m, err := r.Read(dst[len(dst):end])
		dst = dst[:len(dst)+m]
		if err == io.EOF {
			if len(dst)-start > limit {
				return nil, errTooLarge
			}
			return dst, nil
		}
		if err != nil {
			return nil, noEOF(err)
		}
	}
}

// noEOF makes an end of input inside a header the error that it is.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// decompressSnappy reads a raw snappy block or xerial's framing of several.
func decompressSnappy(dst, src []byte, limit int) ([]byte, error) {
	if len(src) < len(xerialHeader) || !bytes.HasPrefix(src, []byte(xerialMagic)) {
		return appendSnappyBlock(dst, src, limit)
	}
	start := len(dst)
	src = src[len(xerialHeader):] // there is only one version, and old writers left it 0
	for len(src) > 0 {
		if len(src) < 4 {
			return nil, io.ErrUnexpectedEOF
		}
		size := int64(binary.BigEndian.Uint32(src))
		src = src[4:]
		if size > int64(len(src)) {
			return nil, io.ErrUnexpectedEOF
		}
		var err error
		if dst, err = appendSnappyBlock(dst, src[:size], limit-(len(dst)-start)); err != nil {
			return nil, err
		}
		src = src[size:]
	}
	return dst, nil
}

func appendSnappyBlock(dst, block []byte, limit int) ([]byte, error) {
	n, err := snappy.DecodedLen(block)
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, errTooLarge
	}
	dst = slices.Grow(dst, n)
	at := len(dst)
	// Decode writes into its first argument, which has the length.
	if _, err := snappy.Decode(dst[at:at+n], block); err != nil {
		return nil, err
	}
	return dst[:at+n], nil
}

const (
	// zstdMaxWindow is what the reference decoder accepts by default
	// (ZSTD_WINDOWLOG_LIMIT_DEFAULT, 27).
	zstdMaxWindow = 128 << 20
	// zstdMaxBlock is the most bytes that a block decodes to (RFC 8878,
	// section 3.1.1.2.4).
	zstdMaxBlock = 128 << 10
)

// zstdDecoder is one decoder for all: DecodeAll may be called concurrently
// and keeps a pool of its own, as large as GOMAXPROCS, at most 4. It uses its
// output as window, so a declared window costs no memory, and stops within a
// block of the output's capacity.
var zstdDecoder = sync.OnceValue(func() *zstd.Decoder {
	d, err := zstd.NewReader(nil,
		zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderMaxMemory(MaxSize+zstdMaxBlock),
		zstd.WithDecoderMaxWindow(zstdMaxWindow),
	)
	if err != nil {
		panic("record: zstd options: " + err.Error())
	}
	return d
})

// decompressZstd decodes into the capacity it gives and starts again with
// four times as much when that is not enough: a stream, which is what the
// Java client writes, does not declare its size. The repeated work is at most
// a third, and none when the size is declared.
func decompressZstd(dst, src []byte, limit int) ([]byte, error) {
	if len(src) == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	room := max(8*len(src), 64<<10)
	var h zstd.Header
	if h.Decode(src) == nil && h.HasFCS {
		if h.FrameContentSize > uint64(limit) {
			return nil, errTooLarge
		}
		room = int(h.FrameContentSize)
	}
	for {
		room = min(room, limit)
		// One block more than room: a block that does not fit is reported
		// like a corrupt one, but while no more than room is decoded the
		// next one always fits, so that an error there is a real one.
		dst = slices.Grow(dst, room+zstdMaxBlock)
		at := len(dst)
		out, err := zstdDecoder().DecodeAll(src, dst[at:at:at+room+zstdMaxBlock])
		if len(out) <= room && !errors.Is(err, zstd.ErrDecoderSizeExceeded) {
			if err != nil {
				return nil, err
			}
			return append(dst, out...), nil // out is already there
		}
		if room == limit {
			return nil, errTooLarge
		}
		room = 4 * max(room, 16<<10)
	}
}
