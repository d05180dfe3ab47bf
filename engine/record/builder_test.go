package record

import (
	"bytes"
	"errors"
	"os"
	"reflect"
	"slices"
	"testing"

	"github.com/rollway/rollway/internal/golden"
)

// The zero Builder and one that was Reset build the same, again and again,
// and Size is exact without compression.
func TestBuilderReuse(t *testing.T) {
	recs := sample(30, 0)
	want := build(t, BuilderOptions{}, recs...)
	var b Builder
	if err := b.Append(1, []byte("other"), nil); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		b.Reset(BuilderOptions{Codec: CodecZstd, Producer: &Producer{ID: 1}, Control: true})
		b.Reset(BuilderOptions{})
		for _, r := range recs {
			size := b.Size()
			if err := b.Append(r.Timestamp, r.Key, r.Value, r.Headers...); err != nil {
				t.Fatal(err)
			}
			if added, most := b.Size()-size, RecordSizeMax(r.Key, r.Value, r.Headers...); added > most {
				t.Errorf("a record added %d bytes, RecordSizeMax said %d", added, most)
			}
		}
		for range 2 {
			p, err := b.Build([]byte("before"))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(p[6:], want) || string(p[:6]) != "before" {
				t.Errorf("built %x, want %x", p, want)
			}
		}
		if b.Size() != len(want) || b.Count() != len(recs) {
			t.Errorf("size %d, count %d, want %d, %d", b.Size(), b.Count(), len(want), len(recs))
		}
	}
}

// A batch needs a record and a codec; what cannot be built leaves dst alone.
func TestBuilderRefuses(t *testing.T) {
	var b Builder
	if p, err := b.Build([]byte("kept")); !errors.Is(err, ErrCount) || string(p) != "kept" {
		t.Errorf("no records: %q, %v, want %v", p, err, ErrCount)
	}
	b.Reset(BuilderOptions{Codec: 6})
	if err := b.Append(0, nil, nil); err != nil {
		t.Fatal(err)
	}
	if p, err := b.Build([]byte("kept")); !errors.Is(err, ErrCodec) || string(p) != "kept" {
		t.Errorf("codec 6: %q, %v, want %v", p, err, ErrCodec)
	}
}

// A batch never exceeds MaxSize: the record that would is refused and the
// ones before it stay.
func TestBuilderTooLarge(t *testing.T) {
	var b Builder
	if err := b.Append(0, nil, []byte("first")); err != nil {
		t.Fatal(err)
	}
	size := b.Size()
	// 2 GiB in all, of one MiB of memory.
	headers := slices.Repeat([]Header{{Value: make([]byte, 1<<20)}}, 2048)
	if err := b.Append(0, nil, nil, headers...); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%v, want %v", err, ErrTooLarge)
	}
	if b.Size() != size || b.Count() != 1 {
		t.Errorf("after the refusal: %d bytes, %d records, want %d, 1", b.Size(), b.Count(), size)
	}
}

// Recompress changes codec, length and crc and nothing else.
func TestRecompress(t *testing.T) {
	recs := sample(200, 1000)
	options := BuilderOptions{BaseOffset: 1000, Producer: &Producer{ID: 5, Epoch: 1, BaseSequence: 2}, Transactional: true}
	for _, from := range allCodecs {
		options.Codec = from
		b := build(t, options, recs...)
		b.SetLeaderEpoch(4)
		b.SetLogAppendTime(99)
		for _, to := range allCodecs {
			before := slices.Clone(b)
			p, err := Recompress([]byte("before"), b, to, 1<<24)
			if err != nil {
				t.Fatalf("%s to %s: %v", from, to, err)
			}
			got := Batch(p[6:])
			if err := got.Verify(); err != nil || string(p[:6]) != "before" || !bytes.Equal(b, before) {
				t.Fatalf("%s to %s: %v", from, to, err)
			}
			back, err := Recompress(nil, got, from, 1<<24)
			if err != nil || !bytes.Equal(back, b) {
				t.Errorf("%s to %s and back: %v, or the batch differs", from, to, err)
			}
			a, _ := readAll(b)
			c, err := readAll(got)
			if err != nil || !reflect.DeepEqual(a, c) || got.Codec() != to {
				t.Errorf("%s to %s: records differ, or %v", from, to, err)
			}
		}
	}
	f := func(name string, b Batch, codec Codec, limit int, want error) {
		t.Helper()
		if p, err := Recompress([]byte("kept"), b, codec, limit); !errors.Is(err, want) || string(p) != "kept" {
			t.Errorf("%s: %q, %v, want %v", name, p, err, want)
		}
	}
	empty := slices.Clone(build(t, BuilderOptions{Codec: CodecLZ4}, recs...)[:HeaderSize]) // as compaction may leave it
	put32(empty, atLength, minLength)
	put32(empty, atCount, 0)
	empty.setCRC()
	if p, err := Recompress(nil, empty, CodecZstd, 0); err != nil || Batch(p).Verify() != nil {
		t.Errorf("a batch without records: %v, %v", err, Batch(p).Verify())
	}
	good := build(t, BuilderOptions{Codec: CodecLZ4}, recs...)
	f("limit", good, CodecZstd, 100, ErrTooLarge)
	f("unknown codec to", good, 7, 1<<24, ErrCodec)
	f("unknown codec from", damage(good, true, func(b Batch) { put16(b, atAttributes, 5) }), CodecZstd, 1<<24, ErrCodec)
	f("wrong codec from", damage(good, true, func(b Batch) { put16(b, atAttributes, 1) }), CodecZstd, 1<<24, ErrCompressed)
	f("records that cannot be parsed", damage(build(t, BuilderOptions{}, recs...), true, func(b Batch) { b[HeaderSize] = 3 }),
		CodecZstd, 1<<24, ErrRecord)
}

// The bytes of a small batch, field by field. docs/format/record-batch.md
// shows the same dump.
func TestGolden(t *testing.T) {
	b := build(t, BuilderOptions{BaseOffset: 42},
		rec{Timestamp: 1_700_000_000_000, Value: []byte("hello log")},
		rec{Timestamp: 1_700_000_000_300, Key: []byte("k"), Value: []byte("bye"), Headers: []Header{{Key: []byte("host"), Value: []byte("web1")}}},
	)
	b.SetLeaderEpoch(7)
	if err := b.Verify(); err != nil {
		t.Fatal(err)
	}
	fields := []golden.Field{
		{Len: 8, Name: "baseOffset 42"},
		{Len: 4, Name: "batchLength 87"},
		{Len: 4, Name: "partitionLeaderEpoch 7"},
		{Len: 1, Name: "magic 2"},
		{Len: 4, Name: "crc of all that follows"},
		{Len: 2, Name: "attributes: no codec, CreateTime"},
		{Len: 4, Name: "lastOffsetDelta 1"},
		{Len: 8, Name: "baseTimestamp 1700000000000"},
		{Len: 8, Name: "maxTimestamp 1700000000300"},
		{Len: 8, Name: "producerId: none"},
		{Len: 2, Name: "producerEpoch: none"},
		{Len: 4, Name: "baseSequence: none"},
		{Len: 4, Name: "recordsCount 2"},
		{Len: 1, Name: "record 0: length 15"},
		{Len: 1, Name: "attributes"},
		{Len: 1, Name: "timestampDelta 0"},
		{Len: 1, Name: "offsetDelta 0"},
		{Len: 1, Name: "keyLength -1: null"},
		{Len: 1, Name: "valueLength 9"},
		{Len: 9, Name: `value "hello log"`},
		{Len: 1, Name: "headerCount 0"},
		{Len: 1, Name: "record 1: length 21"},
		{Len: 1, Name: "attributes"},
		{Len: 2, Name: "timestampDelta 300"},
		{Len: 1, Name: "offsetDelta 1"},
		{Len: 1, Name: "keyLength 1"},
		{Len: 1, Name: `key "k"`},
		{Len: 1, Name: "valueLength 3"},
		{Len: 3, Name: `value "bye"`},
		{Len: 1, Name: "headerCount 1"},
		{Len: 1, Name: "headerKeyLength 4"},
		{Len: 4, Name: `headerKey "host"`},
		{Len: 1, Name: "headerValueLength 4"},
		{Len: 4, Name: `headerValue "web1"`},
	}
	dump := golden.Hex(b, fields...)
	golden.Check(t, "batch", dump)

	page, err := os.ReadFile("../../docs/format/record-batch.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(page, dump) {
		t.Errorf("docs/format/record-batch.md does not show this dump:\n%s", dump)
	}
}

// A producer that is set late, or replaced in a finished batch, makes the batch that Reset would have made with it.
func TestSetProducer(t *testing.T) {
	build := func(options BuilderOptions, late *Producer) Batch {
		t.Helper()
		var b Builder
		b.Reset(options)
		for _, v := range []string{"a", "b"} {
			if err := b.Append(1000, nil, []byte(v)); err != nil {
				t.Fatal(err)
			}
		}
		if late != nil {
			b.SetProducer(*late)
		}
		p, err := b.Build(nil)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	want := Producer{ID: 1 << 40, Epoch: 3, BaseSequence: 1<<31 - 1}
	other := Producer{ID: 7, Epoch: 1, BaseSequence: 9}
	good := build(BuilderOptions{Codec: CodecLZ4, Producer: &want}, nil)
	if err := good.VerifyProduced(); err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]Batch{
		"late":     build(BuilderOptions{Codec: CodecLZ4}, &want),
		"replaced": build(BuilderOptions{Codec: CodecLZ4, Producer: &other}, &want),
	} {
		if !bytes.Equal(got, good) {
			t.Errorf("%s: %x, want %x", name, got, good)
		}
	}
	finished := build(BuilderOptions{Codec: CodecLZ4, Producer: &other}, nil)
	finished.SetProducer(want)
	if !bytes.Equal(finished, good) {
		t.Errorf("finished: %x, want %x", finished, good)
	}
}
