package record

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

func mustCompress(t testing.TB, codec Codec, src []byte) []byte {
	t.Helper()
	p, err := Compress(nil, codec, src)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Every codec gives back what it got, appends, keeps what was there, and
// respects a limit to the byte.
func TestCompressRoundTrip(t *testing.T) {
	for _, codec := range allCodecs {
		for _, n := range []int{0, 1, 100, 32<<10 - 1, 32 << 10, 32<<10 + 1, 64 << 10, 1 << 20, 5 << 20} {
			src := bytes.Repeat([]byte("a line of a log 12345; "), n/23+1)[:n]
			packed, err := Compress([]byte("head"), codec, src)
			if err != nil || !bytes.HasPrefix(packed, []byte("head")) {
				t.Fatalf("%s, %d bytes: %v", codec, n, err)
			}
			got, err := Decompress([]byte("kept"), codec, packed[4:], n)
			if err != nil {
				t.Fatalf("%s, %d bytes: %v", codec, n, err)
			}
			if string(got[:4]) != "kept" || !bytes.Equal(got[4:], src) {
				t.Errorf("%s, %d bytes: differs", codec, n)
			}
			if n == 0 {
				continue
			}
			got, err = Decompress([]byte("kept"), codec, packed[4:], n-1)
			if !errors.Is(err, ErrTooLarge) || !errors.Is(err, ErrInvalid) || string(got) != "kept" {
				t.Errorf("%s, %d bytes with a limit one below: %d bytes, %v", codec, n, len(got), err)
			}
		}
	}
}

// Output that fits where the caller says goes there.
func TestDecompressInPlace(t *testing.T) {
	src := bytes.Repeat([]byte("0123456789"), 5000)
	for _, codec := range allCodecs {
		packed := mustCompress(t, codec, src)
		scratch := make([]byte, 0, 1<<20)
		got, err := Decompress(scratch, codec, packed, 1<<19)
		if err != nil {
			t.Fatalf("%s: %v", codec, err)
		}
		if &got[0] != &scratch[:1][0] {
			t.Errorf("%s: output in new memory although %d bytes were free", codec, cap(scratch))
		}
	}
}

// Framings that other writers use are read: a raw snappy block, xerial blocks
// of any size, zstd and gzip in several frames, zstd and lz4 streams that
// declare a size or do not, linked lz4 blocks with checksums.
func TestDecompressForeign(t *testing.T) {
	src := []byte(strings.Repeat("Jan  1 06:25:01 combo logrotate: ALERT exited abnormally\n", 5000))
	half := len(src) / 2
	f := func(name string, codec Codec, packed []byte) {
		t.Helper()
		got, err := Decompress(nil, codec, packed, len(src))
		if err != nil || !bytes.Equal(got, src) {
			t.Errorf("%s: %d bytes, %v, want %d", name, len(got), err, len(src))
		}
		if _, err := Decompress(nil, codec, packed, len(src)-1); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s with a limit one below: %v, want %v", name, err, ErrTooLarge)
		}
	}
	f("raw snappy", CodecSnappy, snappy.Encode(nil, src))
	f("xerial, two large blocks, version 0", CodecSnappy, slices.Concat([]byte(xerialMagic), make([]byte, 8),
		xerialBlock(snappy.Encode(nil, src[:half])), xerialBlock(snappy.Encode(nil, src[half:]))))

	f("zstd stream without a size", CodecZstd, zstdStream(t, src))
	f("zstd, window 8 MiB", CodecZstd, zstdStream(t, src, zstd.WithWindowSize(8<<20)))
	f("zstd, window 128 MiB", CodecZstd, zstdStream(t, src, zstd.WithWindowSize(128<<20)))
	f("zstd with checksum", CodecZstd, zstdStream(t, src, zstd.WithEncoderCRC(true)))
	f("zstd, two frames", CodecZstd, slices.Concat(mustCompress(t, CodecZstd, src[:half]), zstdStream(t, src[half:])))

	f("lz4 defaults", CodecLZ4, lz4Frame(t, src))
	f("lz4 with everything", CodecLZ4, lz4Frame(t, src, lz4.BlockSizeOption(lz4.Block4Mb), lz4.BlockChecksumOption(true),
		lz4.ChecksumOption(true), lz4.SizeOption(uint64(len(src)))))
	f("lz4, level 9", CodecLZ4, lz4Frame(t, src, lz4.CompressionLevelOption(lz4.Level9)))
	f("lz4, two frames", CodecLZ4, slices.Concat(lz4Frame(t, src[:half]), lz4Frame(t, src[half:])))

	f("gzip of the standard library", CodecGzip, stdGzip(t, src))
	f("gzip, two members", CodecGzip, slices.Concat(stdGzip(t, src[:half]), mustCompress(t, CodecGzip, src[half:])))
}

// Snappy is written as the Java client writes it: xerial's header, then blocks
// of 32 KiB of content with a length before each.
func TestSnappyFraming(t *testing.T) {
	src := bytes.Repeat([]byte("abcdefgh"), 10<<10) // 80 KiB
	p := mustCompress(t, CodecSnappy, src)
	if want := "\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"; !bytes.HasPrefix(p, []byte(want)) {
		t.Fatalf("header % x, want % x", p[:16], want)
	}
	var sizes []int
	for p = p[16:]; len(p) > 0; {
		n := binary.BigEndian.Uint32(p)
		content, err := snappy.DecodeStrict(nil, p[4:4+n])
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, len(content))
		p = p[4+n:]
	}
	if !slices.Equal(sizes, []int{32 << 10, 32 << 10, 16 << 10}) {
		t.Errorf("blocks of %d bytes, want 32 KiB, 32 KiB, 16 KiB", sizes)
	}
}

// Data that no codec wrote is an error, never a panic, and the destination
// stays as it was. So is every truncation of good data, as far as a codec can
// tell.
func TestDecompressBad(t *testing.T) {
	f := func(name string, codec Codec, src []byte, want error) {
		t.Helper()
		got, err := Decompress([]byte("kept"), codec, src, 1<<20)
		if !errors.Is(err, want) || !errors.Is(err, ErrInvalid) || string(got) != "kept" {
			t.Errorf("%s: %q, %v, want %v", name, got, err, want)
		}
	}
	garbage := bytes.Repeat([]byte{0x5a, 0xff, 0x00, 0x13}, 50)
	for _, codec := range allCodecs[1:] {
		f(codec.String()+" of nothing", codec, nil, ErrCompressed)
		f(codec.String()+" of garbage", codec, garbage, ErrCompressed)
		packed := mustCompress(t, codec, []byte(strings.Repeat("the same line again\n", 100)))
		for _, n := range []int{1, 3, 7, 15, len(packed) / 2, len(packed) - 1} {
			if codec == CodecSnappy && n == len(xerialHeader) {
				continue // a framing without blocks is empty
			}
			f(codec.String()+" cut", codec, packed[:n], ErrCompressed)
		}
		if codec != CodecSnappy {
			f(codec.String()+" with bytes after it", codec, append(packed, garbage...), ErrCompressed)
		}
	}
	f("codec 5", 5, garbage, ErrCodec)
	f("codec 255", 255, garbage, ErrCodec)
	f("xerial length beyond the end", CodecSnappy, []byte(xerialHeader+"\x7f\xff\xff\xff\x00"), ErrCompressed)
	f("xerial length of 4 GiB", CodecSnappy, []byte(xerialHeader+"\xff\xff\xff\xff\x00"), ErrCompressed)
	f("xerial, half a length", CodecSnappy, []byte(xerialHeader+"\x00\x00"), ErrCompressed)
	f("lz4 legacy frame", CodecLZ4, []byte("\x02\x21\x4c\x18\x05\x00\x00\x00\x40hello"), ErrCompressed)
	if out, err := Compress([]byte("kept"), 5, nil); !errors.Is(err, ErrCodec) || string(out) != "kept" {
		t.Errorf("Compress with codec 5: %q, %v", out, err)
	}
}

// A few bytes that unfold to much, or say that they will, cost no more memory
// than the limit allows.
func TestDecompressBombs(t *testing.T) {
	const limit = 1 << 20
	// Beside the output up to its limit: at most two 4 MiB lz4 blocks, or the
	// decoders' tables when a pool is empty.
	const memory = 12 * limit
	zeros := make([]byte, 32<<20)
	f := func(name string, codec Codec, src []byte) {
		t.Helper()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Decompress(nil, codec, src, limit)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v, want %v", name, err, ErrTooLarge)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > memory {
			t.Errorf("%s: %d compressed bytes made it allocate %d, want at most %d", name, len(src), got, memory)
		}
	}
	for _, codec := range allCodecs[1:] {
		f(codec.String()+" of 32 MiB", codec, mustCompress(t, codec, zeros))
	}
	f("raw snappy that declares 4 GiB", CodecSnappy, []byte("\xff\xff\xff\xff\x0f\x00"))
	f("raw snappy that declares limit+1", CodecSnappy, append(binary.AppendUvarint(nil, limit+1), 0))
	f("lz4 that declares 2^62", CodecLZ4, lz4Bomb(t, zeros))
	f("zstd that declares 2^62", CodecZstd, []byte("\x28\xb5\x2f\xfd\xe0\x00\x00\x00\x00\x00\x00\x00\x40\x01\x00\x00"))
	f("zstd stream of 32 MiB", CodecZstd, zstdStream(t, zeros))
	f("zstd stream, window 128 MiB", CodecZstd, zstdStream(t, zeros, zstd.WithWindowSize(128<<20)))
	f("zstd run-length blocks", CodecZstd, zstdRuns(1000))

	// A window beyond what decoders have to accept is refused, not obeyed.
	huge := []byte("\x28\xb5\x2f\xfd\x00\xf8\x01\x00\x00") // window 2^41
	if _, err := Decompress(nil, CodecZstd, huge, limit); !errors.Is(err, ErrInvalid) {
		t.Errorf("zstd window of 2 TiB: %v, want %v", err, ErrInvalid)
	}
	// A limit below zero and one beyond MaxSize are those.
	if _, err := Decompress(nil, CodecGzip, stdGzip(t, []byte("x")), -1); !errors.Is(err, ErrTooLarge) {
		t.Errorf("limit -1: %v, want %v", err, ErrTooLarge)
	}
	if out, err := Decompress(nil, CodecGzip, stdGzip(t, []byte("x")), int(^uint(0)>>1)); err != nil || string(out) != "x" {
		t.Errorf("the largest limit: %q, %v", out, err)
	}
}

// Codecs may be used concurrently.
func TestCompressConcurrently(t *testing.T) {
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			src := bytes.Repeat([]byte{'a' + byte(i), 'x', 'y'}, 20_000)
			var packed, got []byte
			for n := range 20 {
				codec := allCodecs[n%len(allCodecs)]
				var err error
				if packed, err = Compress(packed[:0], codec, src); err != nil {
					t.Error(err)
				}
				if got, err = Decompress(got[:0], codec, packed, len(src)); err != nil || !bytes.Equal(got, src) {
					t.Errorf("%s: %d bytes, %v", codec, len(got), err)
				}
			}
		})
	}
	wg.Wait()
}

func xerialBlock(block []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(block))), block...)
}

// zstdStream returns src as a stream that does not declare its size, as the
// Java client writes it.
func zstdStream(t testing.TB, src []byte, options ...zstd.EOption) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, append(options, zstd.WithEncoderConcurrency(1))...)
	if err != nil {
		t.Fatal(err)
	}
	for len(src) > 0 { // in pieces: a single Write before Close would declare the size
		n := min(len(src), 100_000)
		if _, err := w.Write(src[:n]); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		src = src[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// zstdRuns returns a frame without a size of n run-length blocks of 128 KiB,
// four bytes each.
func zstdRuns(n int) []byte {
	p := []byte("\x28\xb5\x2f\xfd\x00\x58") // window 2 MiB
	for i := range n {
		block := uint32(128<<10)<<3 | 1<<1 // size, type RLE
		if i == n-1 {
			block |= 1 // last
		}
		p = append(p, byte(block), byte(block>>8), byte(block>>16), 'z')
	}
	return p
}

func lz4Frame(t testing.TB, src []byte, options ...lz4.Option) []byte {
	t.Helper()
	var b bytes.Buffer
	w := lz4.NewWriter(&b)
	if err := w.Apply(options...); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(src); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// lz4Bomb returns a frame of 4 MiB blocks that declares a content of 2^62
// bytes and holds src.
func lz4Bomb(t testing.TB, src []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := lz4.NewWriter(&b)
	if err := w.Apply(lz4.BlockSizeOption(lz4.Block4Mb), lz4.SizeOption(1<<62)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(src); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err == nil {
		t.Fatal("the writer closes a frame whose declared size is wrong")
	}
	return b.Bytes()
}

func stdGzip(t testing.TB, src []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(src); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
