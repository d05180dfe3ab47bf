package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/engine/topicconfig"
)

// bases are those of the partition's segments.
func bases(p *Partition) []Offset {
	var all []Offset
	for _, s := range p.log.list() {
		all = append(all, s.base)
	}
	return all
}

// A segment is sealed before the batch that would make it larger than
// segment.bytes, and may have exactly that size.
func TestRollBySize(t *testing.T) {
	e := openEngine(t, t.TempDir())
	p := createTopic(t, e, "t")
	tune(p, segmentBytes(int64(3*len(batchOf(t, 0, "0")))))
	produceEach(t, p, numbered(10)...)
	if got, want := bases(p), []Offset{0, 3, 6, 9}; !slices.Equal(got, want) {
		t.Errorf("segments at %v, want %v", got, want)
	}
	for _, s := range p.log.list()[:3] {
		if int64(s.size) != p.log.config().SegmentBytes || !s.sealed.Load() {
			t.Errorf("segment %d of %d bytes, sealed %v", s.base, s.size, s.sealed.Load())
		}
	}
	holds(t, p, numbered(10)...)
}

// segment.ms counts from the first batch's timestamp to the next one's; late
// records seal nothing; and it counts on after a restart.
func TestRollByTimestamps(t *testing.T) {
	for _, clean := range []bool{true, false} {
		e := openEngine(t, t.TempDir())
		p := createTopic(t, e, "t", "segment.ms", "1000")
		for _, timestamp := range []int64{5000, 5999, 1, 6000, 6001, 6002, 99} {
			produce(t, p, batchOf(t, timestamp, "x"))
		}
		if got, want := bases(p), []Offset{0, 4}; !slices.Equal(got, want) {
			t.Errorf("segments at %v, want %v", got, want)
		}
		if clean {
			e = reopen(t, e)
		} else {
			e = recrash(t, e)
		}
		p = partition(t, e, "t")
		produce(t, p, batchOf(t, 7001, "x"))
		produce(t, p, batchOf(t, 7002, "x"))
		if got, want := bases(p), []Offset{0, 4, 8}; !slices.Equal(got, want) {
			t.Errorf("clean %v: segments at %v, want %v", clean, got, want)
		}
	}
}

// Records without timestamps have the wall clock seal a segment, from when it
// was made.
func TestRollByWallClock(t *testing.T) {
	clock := newFakeClock()
	e := openEngine(t, t.TempDir(), clock.use)
	p := createTopic(t, e, "t", "segment.ms", "1000")
	add := func(after time.Duration) {
		t.Helper()
		clock.ms.Add(after.Milliseconds())
		produce(t, p, batchOf(t, -1, "x"))
	}
	add(0)
	add(500 * time.Millisecond)
	add(500 * time.Millisecond)
	add(time.Millisecond)
	add(1001 * time.Millisecond)
	add(-time.Hour) // a clock that goes back seals nothing
	if got, want := bases(p), []Offset{0, 3, 4}; !slices.Equal(got, want) {
		t.Errorf("segments at %v, want %v", got, want)
	}
}

// With LogAppendTime segment.ms counts append times, whatever the producers say.
func TestRollByAppendTime(t *testing.T) {
	clock := newFakeClock()
	e := openEngine(t, t.TempDir(), clock.use)
	p := createTopic(t, e, "t", "segment.ms", "1000", "message.timestamp.type", "LogAppendTime")
	for _, timestamp := range []int64{1, 1 << 50, 7} {
		produce(t, p, batchOf(t, timestamp, "x"))
	}
	clock.ms.Add(1001)
	produce(t, p, batchOf(t, 1, "x"))
	if got, want := bases(p), []Offset{0, 3}; !slices.Equal(got, want) {
		t.Errorf("segments at %v, want %v", got, want)
	}
}

// A segment whose offset index or time index has no room for another entry is
// sealed.
func TestRollByFullIndex(t *testing.T) {
	f := func(indexBytes int64, timestamp func(i int) int64, want []Offset) {
		t.Helper()
		e := openEngine(t, t.TempDir())
		p := createTopic(t, e, "t", "index.interval.bytes", "0")
		tune(p, func(c *topicconfig.Config) { c.SegmentIndexBytes = indexBytes })
		for i := range 12 {
			produce(t, p, batchOf(t, timestamp(i), "x"))
		}
		if got := bases(p); !slices.Equal(got, want) {
			t.Errorf("index of %d bytes: segments at %v, want %v", indexBytes, got, want)
		}
		for _, s := range p.log.list() {
			if s.index.sizeBytes() > indexBytes || s.times.sizeBytes() > indexBytes {
				t.Errorf("segment %d has indexes of %d and %d bytes, want at most %d", s.base, s.index.sizeBytes(), s.times.sizeBytes(), indexBytes)
			}
		}
		e.Close()
	}
	// The first batch of a segment has no entry, each later one has one.
	f(4*offsetEntryWidth, func(int) int64 { return 5 }, []Offset{0, 5, 10})
	f(3*timeEntryWidth, func(i int) int64 { return int64(i) }, []Offset{0, 4, 8})
}

// KAFKA-6264: a batch whose last offset is more than an int32 away from the
// segment's base, which the indexes could not hold, goes into a new segment.
func TestKafka6264RollByOffsetDelta(t *testing.T) {
	e := openEngine(t, t.TempDir())
	p := createTopic(t, e, "t")
	produceEach(t, p, "0")
	f := func(last Offset, want bool) {
		t.Helper()
		if got := p.log.full(p.log.active(), 0, incoming{bytes: 70, last: last, newest: 1}); got != want {
			t.Errorf("a batch up to offset %d: full is %v, want %v", last, got, want)
		}
	}
	f(1, false)
	f(math.MaxInt32, false)
	f(math.MaxInt32+1, true)

	// The same through Append: a log whose first segment is that far away.
	p.mu.Lock()
	p.log.next = math.MaxInt32
	p.mu.Unlock()
	produce(t, p, batchOf(t, 1, "last of the segment"))
	produce(t, p, batchOf(t, 1, "first of the next"))
	if got, want := bases(p), []Offset{0, math.MaxInt32 + 1}; !slices.Equal(got, want) {
		t.Errorf("segments at %v, want %v", got, want)
	}
}

// What is too large, empty, damaged or not a producer's to send is refused by
// name, and nothing is appended.
func TestAppendRefusals(t *testing.T) {
	e := openEngine(t, t.TempDir())
	p := createTopic(t, e, "t", "max.message.bytes", "500")
	tune(p, segmentBytes(1000))
	f := func(batches []byte, want error, text string) {
		t.Helper()
		r := &AppendRequest{Batches: batches, Acks: AcksAll}
		matchError(t, p.Produce(context.Background(), r), want, text)
		if o := p.Offsets(); o.LogEnd != 0 {
			t.Errorf("offsets %+v after a refusal", o)
		}
	}
	large := func(n int) []byte { return batchOf(t, 1, strings.Repeat("x", n)) }
	f(nil, record.ErrInvalid, "no batch in the request")
	f(large(501), ErrMessageTooLarge, "max.message.bytes is 500")
	f(slices.Concat(large(400), large(400), large(400)), ErrMessageTooLarge, "segment.bytes is 1000")
	f(slices.Concat(large(10), large(500)), ErrMessageTooLarge, "max.message.bytes is 500")
	f([]byte("garbage"), record.ErrCorrupt, "byte 0 of the request")
	f(slices.Concat(large(10), []byte("garbage")), record.ErrCorrupt, fmt.Sprintf("byte %d of the request", len(large(10))))
	f(large(10)[:60], record.ErrCorrupt, "byte 0")
	flipped := large(10)
	flipped[len(flipped)-1] ^= 1
	f(flipped, record.ErrCRC, "crc")
	old := large(10)
	old[16] = 1
	f(old, record.ErrInvalid, "magic")
}

// Several batches of a request, and several requests of a call, are one
// pwritev, in order, each request with its own offsets.
func TestOneWritePerAppend(t *testing.T) {
	fs := traceDir(t, t.TempDir())
	e := openEngine(t, "", onFS(fs))
	p := createTopic(t, e, "t")
	produceEach(t, p, "0")
	fs.reset()
	requests := []*AppendRequest{
		{Batches: slices.Concat(batchOf(t, 1, "1", "2"), batchOf(t, 1, "3"))},
		{Batches: batchOf(t, 1, "4")},
		{Batches: slices.Concat(batchOf(t, 1, "5"), batchOf(t, 1, "6"), batchOf(t, 1, "7", "8"))},
	}
	p.Append(requests...)
	var got []Offset
	for _, r := range requests {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		got = append(got, r.BaseOffset, r.NextOffset)
	}
	if want := []Offset{1, 4, 4, 5, 5, 9}; !slices.Equal(got, want) {
		t.Errorf("offsets %v, want %v", got, want)
	}
	if writes := fs.find("write", "0.log"); len(writes) != 1 {
		t.Errorf("writes %v, want one", writes)
	}
	await(t, p, "commit", func(o Offsets) bool { return o.HighWatermark == 9 })
	holds(t, p, numbered(9)...)
}

// A call whose requests do not fit into one segment is split between requests,
// never within one: one pwritev and one new segment each time.
func TestAppendSplitByRoll(t *testing.T) {
	fs := traceDir(t, t.TempDir())
	e := openEngine(t, "", onFS(fs))
	p := createTopic(t, e, "t")
	size := int64(len(batchOf(t, 1, "0")))
	tune(p, segmentBytes(5*size))
	var requests []*AppendRequest
	for i := range 7 { // two batches each
		requests = append(requests, &AppendRequest{
			Batches: slices.Concat(batchOf(t, 1, fmt.Sprint(2*i)), batchOf(t, 1, fmt.Sprint((2*i+1)%10))),
		})
	}
	p.Append(requests...)
	for i, r := range requests {
		if r.Err != nil || r.BaseOffset != Offset(2*i) || r.NextOffset != Offset(2*i+2) {
			t.Errorf("request %d: offsets %d to %d, %v", i, r.BaseOffset, r.NextOffset, r.Err)
		}
	}
	if got, want := bases(p), []Offset{0, 4, 8, 12}; !slices.Equal(got, want) {
		t.Errorf("segments at %v, want %v", got, want)
	}
	writes := 0
	for _, c := range fs.find("write", ".log") {
		if c.isLog("write") {
			writes++
		}
	}
	if writes != 4 {
		t.Errorf("%d writes, want one a segment", writes)
	}
	await(t, p, "commit", func(o Offsets) bool { return o.HighWatermark == 14 })
}

// Bad requests among good ones are refused alone.
func TestBadRequestAmongGood(t *testing.T) {
	e := openEngine(t, t.TempDir())
	p := createTopic(t, e, "t")
	good := func(v string) *AppendRequest { return &AppendRequest{Batches: batchOf(t, 1, v)} }
	bad := func() *AppendRequest { return &AppendRequest{Batches: []byte("garbage")} }
	requests := []*AppendRequest{bad(), good("0"), bad(), bad(), good("1"), bad()}
	p.Append(requests...)
	for i, r := range requests {
		if wantErr := i != 1 && i != 4; (r.Err != nil) != wantErr {
			t.Errorf("request %d: %v", i, r.Err)
		}
	}
	if requests[1].BaseOffset != 0 || requests[4].BaseOffset != 1 {
		t.Errorf("offsets %d and %d, want 0 and 1", requests[1].BaseOffset, requests[4].BaseOffset)
	}
	await(t, p, "commit", func(o Offsets) bool { return o.HighWatermark == 2 })
	holds(t, p, "0", "1")
	// A request that was refused may be used again.
	requests[0].Batches = batchOf(t, 1, "2")
	if err := p.Produce(context.Background(), requests[0]); err != nil {
		t.Error(err)
	}
}

// compression.type recompresses batches of another codec, and passes those of
// the same one through, byte for byte but for what the log decides.
func TestCompressionType(t *testing.T) {
	batch := func(codec record.Codec) []byte {
		var b record.Builder
		b.Reset(record.BuilderOptions{Codec: codec})
		for i := range 50 {
			if err := b.Append(int64(i), []byte("key"), []byte(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
		}
		out, err := b.Build(nil)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	e := openEngine(t, t.TempDir())
	for name, want := range map[string]record.Codec{
		"producer": record.CodecLZ4, "uncompressed": record.CodecNone, "gzip": record.CodecGzip,
		"snappy": record.CodecSnappy, "lz4": record.CodecLZ4, "zstd": record.CodecZstd,
	} {
		p := createTopic(t, e, name, "compression.type", name)
		sent := batch(record.CodecLZ4)
		produce(t, p, slices.Clone(sent))
		stored := record.Batch(logBytes(t, p))
		if stored.Codec() != want {
			t.Errorf("%s: codec %v, want %v", name, stored.Codec(), want)
		}
		if want == record.CodecLZ4 && !slices.Equal(stored[record.Overhead+9:], sent[record.Overhead+9:]) {
			t.Errorf("%s: the batch was not passed through", name)
		}
		holds(t, p, numbered(50)...)
	}
	p := createTopic(t, e, "bad", "compression.type", "zstd")
	r := &AppendRequest{Batches: []byte("garbage")}
	if p.Append(r); !errors.Is(r.Err, record.ErrCorrupt) {
		t.Errorf("garbage to be recompressed: %v", r.Err)
	}
}

// With compression.type set, batches of that codec stay the bytes that they are
// and others are compressed anew, in one request.
func TestRecompress(t *testing.T) {
	build := func(codec record.Codec, value string) []byte {
		var b record.Builder
		b.Reset(record.BuilderOptions{Codec: codec})
		if err := b.Append(1, nil, []byte(value)); err != nil {
			t.Fatal(err)
		}
		out, err := b.Build(nil)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	e := openEngine(t, t.TempDir())
	p := createTopic(t, e, "t", "compression.type", "lz4")
	same := append(build(record.CodecLZ4, "a"), build(record.CodecLZ4, "b")...)
	kept, err := recompressed(same, record.CodecLZ4, p.log.config())
	if err != nil || &kept[0] != &same[0] {
		t.Fatalf("batches of the codec were copied, or refused: %v", err)
	}
	mixed := append(build(record.CodecNone, "c"), build(record.CodecLZ4, "d")...)
	mixed = append(mixed, build(record.CodecZstd, "e")...)
	produce(t, p, same)
	produce(t, p, mixed)
	if got := values(t, p, 0, 1<<20); strings.Join(got, "") != "abcde" {
		t.Fatalf("values %q", got)
	}
	s, err := p.Fetch(FetchRequest{MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	stored, err := s.ReadAll(nil)
	if err != nil {
		t.Fatal(err)
	}
	if holdsOther(stored, record.CodecLZ4) {
		t.Error("a batch of another codec was stored")
	}
}
