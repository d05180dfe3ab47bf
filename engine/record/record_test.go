package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

var allCodecs = []Codec{CodecNone, CodecGzip, CodecSnappy, CodecLZ4, CodecZstd}

// A rec is a record as a test writes it down.
type rec struct {
	Timestamp  int64
	Offset     Offset
	Key, Value []byte
	Headers    []Header
}

// build returns the batch of recs, whose offsets are not looked at.
func build(t testing.TB, options BuilderOptions, recs ...rec) Batch {
	t.Helper()
	var b Builder
	b.Reset(options)
	for _, r := range recs {
		if err := b.Append(r.Timestamp, r.Key, r.Value, r.Headers...); err != nil {
			t.Fatal(err)
		}
	}
	p, err := b.Build(nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// readAll returns copies of the records of b.
func readAll(b Batch) ([]rec, error) {
	records, err := b.Decompress(nil, 1<<24)
	if err != nil {
		return nil, err
	}
	var recs []rec
	it := b.Iterate(records)
	for it.Next() {
		r := it.Record()
		c := rec{Timestamp: r.Timestamp, Offset: r.Offset, Key: bytes.Clone(r.Key), Value: bytes.Clone(r.Value)}
		for h := r.Headers(); h.Next(); {
			c.Headers = append(c.Headers, Header{bytes.Clone(h.Header().Key), bytes.Clone(h.Header().Value)})
		}
		recs = append(recs, c)
	}
	return recs, it.Err()
}

// sample returns n records of every shape: null, empty and long fields,
// headers, timestamps that go back.
func sample(n int, base Offset) []rec {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	recs := make([]rec, n)
	for i := range recs {
		r := rec{Timestamp: 1_700_000_000_000 + rng.Int64N(20_000) - 10_000, Offset: base + Offset(i)}
		switch i % 4 {
		case 0:
			r.Value = fmt.Appendf(nil, "2026-01-01 host%d sshd[%d]: session opened", i, rng.IntN(1<<16))
		case 1:
			r.Key, r.Value = []byte{}, []byte{}
		case 2:
			r.Key = fmt.Appendf(nil, "key-%d", i)
		case 3:
			r.Key, r.Value = []byte("k"), bytes.Repeat([]byte{byte(i)}, rng.IntN(3000))
			r.Headers = []Header{{[]byte("trace"), []byte("17")}, {[]byte(""), nil}, {[]byte("empty"), []byte{}}}
		}
		recs[i] = r
	}
	return recs
}

// logBatch returns a batch of about size bytes of log lines, without compression.
func logBatch(t testing.TB, size int) Batch {
	t.Helper()
	var b Builder
	for i := 0; b.Size() < size; i++ {
		line := fmt.Appendf(nil, "Jan %2d 06:25:%02d combo sshd(pam_unix)[%d]: authentication failure; rhost=10.0.%d.%d", i%28+1, i%60, 19000+i, i%7, i%251)
		if err := b.Append(1_700_000_000_000+int64(i), nil, line); err != nil {
			t.Fatal(err)
		}
	}
	p, err := b.Build(nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// What goes in comes out, with every codec, and every view agrees.
func TestRoundTrip(t *testing.T) {
	producer := &Producer{ID: 4711, Epoch: 3, BaseSequence: 99}
	for _, codec := range allCodecs {
		for _, n := range []int{1, 2, 63, 64, 65, 1000} {
			recs := sample(n, 50)
			b := build(t, BuilderOptions{Codec: codec, BaseOffset: 50, Producer: producer, Transactional: true}, recs...)
			if err := b.Verify(); err != nil {
				t.Fatalf("%s, %d records: %v", codec, n, err)
			}
			if err := b.VerifyProduced(); err != nil {
				t.Fatalf("%s, %d records: %v", codec, n, err)
			}
			if b.Codec() != codec || int(b.Count()) != n || b.LastOffset() != Offset(49+n) || b.NextOffset() != Offset(50+n) {
				t.Errorf("%s, %d records: header %x", codec, n, b[:HeaderSize])
			}
			got, err := readAll(b)
			if err != nil {
				t.Fatalf("%s, %d records: %v", codec, n, err)
			}
			if !reflect.DeepEqual(got, recs) {
				t.Errorf("%s, %d records: what came out differs from what went in", codec, n)
			}
		}
	}
}

// Every accessor reads its own field.
func TestAccessors(t *testing.T) {
	b := build(t, BuilderOptions{
		Codec: CodecSnappy, BaseOffset: 1 << 40, LogAppendTime: true, Transactional: true, Control: true,
		Producer: &Producer{ID: 1 << 33, Epoch: 7, BaseSequence: 1 << 20},
	}, rec{Timestamp: 1000}, rec{Timestamp: 3000}, rec{Timestamp: 2000})
	b.SetLeaderEpoch(12)
	f := func(name string, got, want any) {
		t.Helper()
		if got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	for _, b := range []Batch{b, b[:HeaderSize]} { // the whole batch and the header-only view
		f("BaseOffset", b.BaseOffset(), Offset(1<<40))
		f("LeaderEpoch", b.LeaderEpoch(), int32(12))
		f("Magic", b.Magic(), int8(2))
		f("Codec", b.Codec(), CodecSnappy)
		f("LogAppendTime", b.Attributes().LogAppendTime(), true)
		f("Transactional", b.Attributes().Transactional(), true)
		f("Control", b.Attributes().Control(), true)
		f("DeleteHorizon", b.Attributes().DeleteHorizon(), false)
		f("LastOffsetDelta", b.LastOffsetDelta(), int32(2))
		f("LastOffset", b.LastOffset(), Offset(1<<40+2))
		f("NextOffset", b.NextOffset(), Offset(1<<40+3))
		f("BaseTimestamp", b.BaseTimestamp(), int64(1000))
		f("MaxTimestamp", b.MaxTimestamp(), int64(3000))
		f("ProducerID", b.ProducerID(), int64(1<<33))
		f("ProducerEpoch", b.ProducerEpoch(), int16(7))
		f("BaseSequence", b.BaseSequence(), int32(1<<20))
		f("Count", b.Count(), int32(3))
	}
	f("Length", b.Length(), int32(len(b)-Overhead))
	f("Size", b.Size(), int64(len(b)))
	f("Size of the header only", b[:HeaderSize].Size(), int64(len(b)))
	f("CRC", b.CRC(), b.computeCRC())
	f("len(Records)", len(b.Records()), len(b)-HeaderSize)
	f("all attribute bits", Attributes(-1).DeleteHorizon(), true)
	none := build(t, BuilderOptions{}, rec{})
	f("ProducerID of none", none.ProducerID(), int64(-1))
	f("ProducerEpoch of none", none.ProducerEpoch(), int16(-1))
	f("BaseSequence of none", none.BaseSequence(), int32(-1))
	f("LeaderEpoch of a new batch", none.LeaderEpoch(), int32(-1))
}

// Base offset and epoch are patched without touching the crc; append time
// computes it again and gives every record the same time.
func TestPatch(t *testing.T) {
	b := build(t, BuilderOptions{}, rec{Timestamp: 5}, rec{Timestamp: 7})
	crc := b.CRC()
	b.SetBaseOffset(1 << 50)
	b.SetLeaderEpoch(77)
	if b.CRC() != crc || b.Verify() != nil || b.BaseOffset() != 1<<50 || b.LeaderEpoch() != 77 {
		t.Errorf("after SetBaseOffset and SetLeaderEpoch: %x: %v", b[:HeaderSize], b.Verify())
	}
	b.SetLogAppendTime(123456)
	if err := b.Verify(); err != nil {
		t.Fatal(err)
	}
	if b.BaseTimestamp() != 5 || b.MaxTimestamp() != 123456 || b.CRC() == crc {
		t.Errorf("after SetLogAppendTime: %x", b[:HeaderSize])
	}
	recs, err := readAll(b)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range recs {
		if r.Timestamp != 123456 || r.Offset != 1<<50+Offset(i) {
			t.Errorf("record %d: timestamp %d, offset %d", i, r.Timestamp, r.Offset)
		}
	}
}

// damage returns a copy of b with edit applied, and with a matching crc if
// sealed: then the crc does not hide the check that is tested.
func damage(b Batch, sealed bool, edit func(b Batch)) Batch {
	c := slices.Clone(b)
	edit(c)
	if sealed {
		c.setCRC()
	}
	return c
}

func put16(b Batch, at int, v int16) { binary.BigEndian.PutUint16(b[at:], uint16(v)) }
func put32(b Batch, at int, v int32) { binary.BigEndian.PutUint32(b[at:], uint32(v)) }
func put64(b Batch, at int, v int64) { binary.BigEndian.PutUint64(b[at:], uint64(v)) }

// Each way to damage a batch is found, with its own error and kind.
func TestVerify(t *testing.T) {
	good := build(t, BuilderOptions{Producer: &Producer{ID: 9}}, sample(10, 0)...)
	f := func(name string, b Batch, stored, produced, kind error) {
		t.Helper()
		check := func(level string, err, want error) {
			t.Helper()
			if want == nil {
				if err != nil {
					t.Errorf("%s: %s: %v", name, level, err)
				}
				return
			}
			other := ErrCorrupt
			if kind == ErrCorrupt {
				other = ErrInvalid
			}
			if !errors.Is(err, want) || !errors.Is(err, kind) || errors.Is(err, other) {
				t.Errorf("%s: %s: %v, want %v and %v", name, level, err, want, kind)
			}
		}
		check("Verify", b.Verify(), stored)
		check("VerifyProduced", b.VerifyProduced(), produced)
	}
	raw := func(edit func(b Batch)) Batch { return damage(good, false, edit) }
	sealed := func(edit func(b Batch)) Batch { return damage(good, true, edit) }

	f("good", good, nil, nil, nil)
	f("empty", nil, ErrShort, ErrShort, ErrCorrupt)
	f("half a header", good[:HeaderSize-1], ErrShort, ErrShort, ErrCorrupt)
	f("header only", good[:HeaderSize], ErrShort, ErrShort, ErrCorrupt)
	f("one byte short", good[:len(good)-1], ErrShort, ErrShort, ErrCorrupt)
	f("one byte long", append(slices.Clone(good), 0), ErrLength, ErrLength, ErrCorrupt)
	f("zero bytes", make(Batch, 4096), ErrLength, ErrLength, ErrCorrupt)
	f("length 48", raw(func(b Batch) { put32(b, atLength, 48) }), ErrLength, ErrLength, ErrCorrupt)
	f("length -1", raw(func(b Batch) { put32(b, atLength, -1) }), ErrLength, ErrLength, ErrCorrupt)
	f("length 2^31-1", raw(func(b Batch) { put32(b, atLength, math.MaxInt32) }), ErrLength, ErrLength, ErrCorrupt)
	f("length 2^31-13", raw(func(b Batch) { put32(b, atLength, math.MaxInt32-12) }), ErrShort, ErrShort, ErrCorrupt)
	f("magic 0", raw(func(b Batch) { b[atMagic] = 0 }), ErrMagic, ErrMagic, ErrInvalid)
	f("magic 1", raw(func(b Batch) { b[atMagic] = 1 }), ErrMagic, ErrMagic, ErrInvalid)
	f("magic 1, short message", raw(func(b Batch) { b[atMagic] = 1; put32(b, atLength, 22) }), ErrMagic, ErrMagic, ErrInvalid)
	f("magic 3", raw(func(b Batch) { b[atMagic] = 3 }), ErrMagic, ErrMagic, ErrCorrupt)
	f("magic 255", raw(func(b Batch) { b[atMagic] = 255 }), ErrMagic, ErrMagic, ErrCorrupt)
	f("crc", raw(func(b Batch) { b[atCRC] ^= 1 }), ErrCRC, ErrCRC, ErrCorrupt)
	f("base offset -1", raw(func(b Batch) { b.SetBaseOffset(-1) }), ErrOffset, nil, ErrCorrupt)
	f("base offset 2^63-10", raw(func(b Batch) { b.SetBaseOffset(math.MaxInt64 - 9) }), ErrOffset, nil, ErrCorrupt)
	f("base offset 2^63-11", raw(func(b Batch) { b.SetBaseOffset(math.MaxInt64 - 10) }), nil, nil, nil)
	f("epoch", raw(func(b Batch) { b.SetLeaderEpoch(-5) }), nil, nil, nil)
	f("delta -1", sealed(func(b Batch) { put32(b, atLastOffsetDelta, -1) }), ErrCount, ErrCount, ErrInvalid)
	f("count -1", sealed(func(b Batch) { put32(b, atCount, -1) }), ErrCount, ErrCount, ErrInvalid)
	f("count above delta", sealed(func(b Batch) { put32(b, atCount, 11) }), ErrCount, ErrCount, ErrInvalid)
	f("count that cannot fit", sealed(func(b Batch) {
		put32(b, atCount, math.MaxInt32)
		put32(b, atLastOffsetDelta, math.MaxInt32)
	}), ErrCount, ErrCount, ErrInvalid)
	f("gap as after compaction", sealed(func(b Batch) { put32(b, atLastOffsetDelta, 15) }), nil, ErrCount, ErrInvalid)
	empty := slices.Clone(good[:HeaderSize])
	put32(empty, atLength, minLength)
	put32(empty, atCount, 0)
	empty.setCRC()
	f("no records as after compaction", empty, nil, ErrCount, ErrInvalid)
	f("codec 5", sealed(func(b Batch) { put16(b, atAttributes, 5) }), nil, ErrCodec, ErrInvalid)
	f("control", sealed(func(b Batch) { put16(b, atAttributes, 1<<5) }), nil, ErrAttributes, ErrInvalid)
	f("delete horizon", sealed(func(b Batch) { put16(b, atAttributes, 1<<6) }), nil, ErrAttributes, ErrInvalid)
	f("append time", sealed(func(b Batch) { put16(b, atAttributes, 1<<3) }), nil, ErrAttributes, ErrInvalid)
	f("unused attribute", sealed(func(b Batch) { put16(b, atAttributes, 1<<7) }), nil, nil, nil)
	f("sequence -1 with an id", sealed(func(b Batch) { put32(b, atBaseSequence, -1) }), nil, ErrSequence, ErrInvalid)
	f("epoch -1 with an id", sealed(func(b Batch) { put16(b, atProducerEpoch, -1) }), nil, ErrSequence, ErrInvalid)
	f("transactional without an id", sealed(func(b Batch) {
		put16(b, atAttributes, 1<<4)
		put64(b, atProducerID, -1)
	}), nil, ErrSequence, ErrInvalid)
}

// Any single flipped bit from the magic on is found; before it, exactly the
// bits of base offset and leader epoch go unnoticed.
func TestVerifyEveryBit(t *testing.T) {
	b := build(t, BuilderOptions{}, sample(4, 0)...)
	for bit := range 8 * len(b) {
		b[bit/8] ^= 1 << (bit % 8)
		at := bit / 8
		uncovered := at < atLength && bit != 7 || at >= atLeaderEpoch && at < atMagic // bit 7 is the sign of the base offset
		if err := b.Verify(); (err == nil) != uncovered {
			t.Errorf("bit %d of byte %d flipped: %v", bit%8, at, err)
		}
		b[bit/8] ^= 1 << (bit % 8)
	}
}

// The texts say what was found and wanted.
func TestErrorText(t *testing.T) {
	b := build(t, BuilderOptions{}, rec{Value: []byte("v")})
	f := func(err error, want string) {
		t.Helper()
		if err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	f(damage(b, false, func(b Batch) { put32(b, atCRC, 0x1d7a03c2) }).Verify(), fmt.Sprintf("crc 1d7a03c2, want %08x", b.CRC()))
	f(b[:20].Verify(), "batch header ends after 20 bytes, want 61")
	f(b[:65].Verify(), fmt.Sprintf("batch ends after 65 bytes, want %d", len(b)))
	f(damage(b, false, func(b Batch) { b[atMagic] = 9 }).Verify(), "magic 9, want 2")
	f(damage(b, false, func(b Batch) { b[atMagic] = 1 }).Verify(),
		"magic 1, want 2: message formats before Kafka 0.11 are not supported")
	f(make(Batch, 61).Verify(), "batchLength 0, want 49 to 2147483635")
	f(damage(b, true, func(b Batch) { put32(b, atCount, 3) }).Verify(), "3 records with last offset delta 0, want 0 to 1")
	_, err := ParseCodec("zip")
	f(err, `codec "zip", want one of none, gzip, snappy, lz4, zstd`)
	packed := mustCompress(t, CodecZstd, make([]byte, 100))
	_, err = Decompress(nil, CodecZstd, packed, 99)
	f(err, fmt.Sprintf("zstd: %d bytes decompress to more than the limit of 99", len(packed)))
}

// Next cuts batches off a buffer and says how a buffer ends.
func TestNext(t *testing.T) {
	one := build(t, BuilderOptions{}, rec{Value: []byte("one")})
	two := build(t, BuilderOptions{Codec: CodecLZ4}, sample(20, 0)...)
	both := slices.Concat(one, two)

	b, rest, err := Next(both)
	if err != nil || !bytes.Equal(b, one) || !bytes.Equal(rest, two) {
		t.Fatalf("first: %d bytes, %d left, %v", len(b), len(rest), err)
	}
	if cap(b) != len(b) {
		t.Errorf("a batch of %d bytes has capacity %d: append would overwrite the next", len(b), cap(b))
	}
	b, rest, err = Next(rest)
	if err != nil || !bytes.Equal(b, two) || len(rest) != 0 {
		t.Fatalf("second: %d bytes, %d left, %v", len(b), len(rest), err)
	}
	for cut := range len(one) {
		b, rest, err = Next(one[:cut])
		if !errors.Is(err, ErrShort) || b != nil || len(rest) != cut {
			t.Fatalf("cut at %d: %d bytes, %d left, %v", cut, len(b), len(rest), err)
		}
	}
	f := func(at int, v byte, want error) {
		t.Helper()
		c := slices.Clone(one)
		c[at] = v
		if _, _, err := Next(c); !errors.Is(err, want) {
			t.Errorf("byte %d is %d: %v, want %v", at, v, err, want)
		}
	}
	f(atMagic, 3, ErrMagic)
	f(atMagic, 1, ErrMagic)
	f(atLength, 0x80, ErrLength)
	f(atLength+3, 48, ErrLength)
	f(atLength, 0x01, ErrShort)
}

// PeekSize needs 12 bytes, and looks at the magic when it is there.
func TestPeekSize(t *testing.T) {
	b := build(t, BuilderOptions{}, sample(3, 0)...)
	for n := range HeaderSize {
		size, err := PeekSize(b[:n])
		if n < Overhead {
			if !errors.Is(err, ErrShort) {
				t.Errorf("%d bytes: %v, want %v", n, err, ErrShort)
			}
		} else if err != nil || size != int64(len(b)) {
			t.Errorf("%d bytes: size %d, %v, want %d", n, size, err, len(b))
		}
	}
	f := func(length int32, magic byte, want error) {
		t.Helper()
		var head [17]byte
		binary.BigEndian.PutUint32(head[atLength:], uint32(length))
		head[atMagic] = magic
		if _, err := PeekSize(head[:]); !errors.Is(err, want) {
			t.Errorf("length %d, magic %d: %v, want %v", length, magic, err, want)
		}
	}
	f(49, 2, nil)
	f(48, 2, ErrLength)
	f(0, 0, ErrLength)
	f(14, 0, ErrMagic)
	f(math.MaxInt32-12, 2, nil)
	f(math.MaxInt32-11, 2, ErrLength)
	f(math.MinInt32, 2, ErrLength)
}

// Records that no writer makes are refused, each with a text that names the
// record and the values.
func TestIterateBad(t *testing.T) {
	head := build(t, BuilderOptions{}, rec{}, rec{}, rec{})[:HeaderSize] // three records, offset deltas 0 to 2
	record := func(timeDelta int64, delta int32, key, value []byte, headers ...Header) []byte {
		return appendRecord(nil, bodySize(timeDelta, delta, key, value, headers), timeDelta, delta, key, value, headers)
	}
	ok0, ok1, ok2 := record(0, 0, nil, nil), record(-5, 1, []byte("k"), nil), record(9, 2, nil, []byte{}, Header{})
	wrap := func(body ...byte) []byte { return append(appendVarint(nil, int64(len(body))), body...) }
	f := func(want string, parts ...[]byte) {
		t.Helper()
		it := head.Iterate(slices.Concat(parts...))
		n := 0
		for it.Next() {
			n++
		}
		err := it.Err()
		if it.Next() {
			t.Errorf("Next goes on after %v", err)
		}
		if want == "" {
			if err != nil || n != 3 {
				t.Errorf("%d records, %v", n, err)
			}
			return
		}
		if !errors.Is(err, ErrRecord) || !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%d records, %v, want %s", n, err, want)
		}
	}
	f("", ok0, ok1, ok2)
	f("record 2 of 3: length: no varint in 0 bytes", ok0, ok1)
	f("1 bytes after the last of 3 records", ok0, ok1, ok2, []byte{0})
	f("record 0 of 3: length 0, want at least 6", []byte{0})
	f("record 0 of 3: length -1 with", []byte{1, 1, 1, 1})
	f("record 1 of 3: length 63 with 2 bytes left", ok0, []byte{126, 0, 0})
	f("length: no varint in 6 bytes", []byte{0xff, 0xff, 0xff, 0xff, 0x1f, 0})
	f("length -2147483648 with", []byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0})
	f("timestamp delta: no varint in 0 bytes", wrap(0))
	f("timestamp delta: no varint in 11", wrap(0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0))
	f("offset delta: no varint in 0 bytes", wrap(0, 0))
	f("offset delta -1, want 0 to 2", wrap(0, 0, 1))
	f("record 1 of 3: offset delta 0, want 1 to 2", ok0, ok0)
	f("offset delta 3, want 0 to 2", record(0, 3, nil, nil))
	f("key does not fit in 1 bytes", wrap(0, 0, 0, 2))
	f("key does not fit in 2 bytes", wrap(0, 0, 0, 3, 0)) // length -2
	f("value does not fit in 0 bytes", wrap(0, 0, 0, 1))
	f("value does not fit in 1 bytes", wrap(0, 0, 0, 1, 100))
	f("header count: no varint in 0 bytes", wrap(0, 0, 0, 1, 1))
	f("-1 headers in 0 bytes", wrap(0, 0, 0, 1, 1, 1))
	f("1 headers in 1 bytes", wrap(0, 0, 0, 1, 1, 2, 0))
	f("2147483647 headers in 0 bytes", wrap(0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f))
	f("header 0: key is null", wrap(0, 0, 0, 1, 1, 2, 1, 1))
	f("header 0: value does not fit", wrap(0, 0, 0, 1, 1, 2, 0, 4))
	f("3 bytes after its last field", wrap(0, 0, 0, 1, 1, 0, 7, 7, 7))

	put32(head, atCount, -1)
	it := head.Iterate(nil)
	if it.Next() || !errors.Is(it.Err(), ErrCount) {
		t.Errorf("count -1: %v", it.Err())
	}
}

// A batch that compaction thinned out keeps its offsets; one without records
// gives none.
func TestIterateGaps(t *testing.T) {
	b := build(t, BuilderOptions{BaseOffset: 100}, rec{}, rec{}, rec{})[:HeaderSize]
	put32(b, atLastOffsetDelta, 10)
	put32(b, atCount, 2)
	var records []byte
	for _, delta := range []int32{3, 9} {
		records = appendRecord(records, bodySize(0, delta, nil, nil, nil), 0, delta, nil, nil, nil)
	}
	var offsets []Offset
	it := b.Iterate(records)
	for it.Next() {
		offsets = append(offsets, it.Record().Offset)
	}
	if it.Err() != nil || !slices.Equal(offsets, []Offset{103, 109}) || b.NextOffset() != 111 {
		t.Errorf("offsets %d, next %d, %v", offsets, b.NextOffset(), it.Err())
	}
	put32(b, atCount, 0)
	if it := b.Iterate(nil); it.Next() || it.Err() != nil {
		t.Errorf("no records: %v", it.Err())
	}
}

// Timestamps at the ends of int64 survive the deltas.
func TestTimestampExtremes(t *testing.T) {
	recs := []rec{{Timestamp: NoTimestamp}, {Timestamp: math.MaxInt64}, {Timestamp: math.MinInt64}, {Timestamp: 0}}
	for i := range recs {
		recs[i].Offset = Offset(i)
	}
	got, err := readAll(build(t, BuilderOptions{}, recs...))
	if err != nil || !reflect.DeepEqual(got, recs) {
		t.Errorf("%v, %v, want %v", got, err, recs)
	}
}

// Every varint reads as it was written, with its length, and nothing longer
// than its type is accepted.
func TestVarint(t *testing.T) {
	f := func(v int64) {
		t.Helper()
		p := appendVarint(nil, v)
		if len(p) != varintLen(v) {
			t.Errorf("%d takes %d bytes, varintLen says %d", v, len(p), varintLen(v))
		}
		if got, n := varint64(p); got != v || n != len(p) {
			t.Errorf("%d reads as %d of %d bytes", v, got, n)
		}
		got, n := varint32(p)
		if fits := v == int64(int32(v)); fits && (int64(got) != v || n != len(p)) || !fits && n != 0 {
			t.Errorf("%d reads as 32-bit %d of %d bytes", v, got, n)
		}
		for cut := range p {
			if _, n := varint64(p[:cut]); n != 0 {
				t.Errorf("%d cut after %d bytes reads as %d bytes", v, cut, n)
			}
		}
	}
	for shift := range 64 {
		for d := int64(-2); d <= 2; d++ {
			f(1<<shift + d)
			f(-(1 << shift) + d)
		}
	}
	if _, n := varint64(append(bytes.Repeat([]byte{0xff}, 9), 2)); n != 0 {
		t.Errorf("a varint of 65 bits reads as %d bytes", n)
	}
	if _, n := varint64(append(bytes.Repeat([]byte{0x80}, 10), 0)); n != 0 {
		t.Errorf("a varint of 11 bytes reads as %d bytes", n)
	}
}

func TestParseCodec(t *testing.T) {
	for _, c := range allCodecs {
		if got, err := ParseCodec(c.String()); got != c || err != nil {
			t.Errorf("%s parses as %s, %v", c, got, err)
		}
	}
	for _, name := range []string{"", "GZIP", "zstd ", "codec(5)"} {
		if _, err := ParseCodec(name); !errors.Is(err, ErrCodec) {
			t.Errorf("%q: %v, want %v", name, err, ErrCodec)
		}
	}
	if got := Codec(5).String(); got != "codec(5)" {
		t.Errorf("codec 5 is %s", got)
	}
}
