package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/internal/invariant"
)

// stream reads the partition by Seek and FetchNext up to the high watermark.
func stream(t testing.TB, p *Partition, from Offset, maxBytes int64) []byte {
	t.Helper()
	c, err := p.Seek(from)
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	for {
		s, err := p.FetchNext(&c, maxBytes)
		if err != nil {
			t.Fatal(err)
		}
		if s.Len == 0 {
			if !s.AtEnd {
				t.Fatal("empty slice before the end")
			}
			return all
		}
		if s.Len > maxBytes {
			t.Fatalf("slice of %d bytes, want at most %d", s.Len, maxBytes)
		}
		all = append(all, sliceBytes(t, &s)...)
	}
}

// sliceBytes reads and closes a slice; its last batch may be cut.
func sliceBytes(t testing.TB, s *Slice) []byte {
	t.Helper()
	p := make([]byte, s.Len)
	if s.Len > 0 {
		if _, err := s.File.ReadAt(p, s.Position); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	return p
}

// The slices of a stream, joined, are the log byte for byte from the batch on
// that holds the asked offset, however they are cut; it goes on where records
// are appended later.
func TestStreamIsTheLog(t *testing.T) {
	e := openEngine(t, t.TempDir())
	p := createTopic(t, e, "t", "index.interval.bytes", "200")
	tune(p, segmentBytes(1000))
	for i := range 50 {
		produce(t, p, batchOf(t, int64(i), numbered(1+i%3)...))
	}
	log := logBytes(t, p)
	next := p.Offsets().HighWatermark
	for off := Offset(0); off <= next; off++ {
		start := 0
		for start < len(log) && record.Batch(log[start:]).LastOffset() < off {
			start += int(record.Batch(log[start:]).Size())
		}
		for _, maxBytes := range []int64{1, 7, 100, 5000, math.MaxInt64} {
			if maxBytes == 1 && off%20 != 0 {
				continue
			}
			if got := stream(t, p, off, maxBytes); !bytes.Equal(got, log[start:]) {
				t.Fatalf("stream from %d by %d: %d bytes that differ from the %d of the log", off, maxBytes, len(got), len(log)-start)
			}
		}
	}
	tail, err := p.Seek(next)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if s, err := p.FetchNext(&tail, 1<<20); s.Len != 0 || !s.AtEnd || err != nil {
			t.Fatalf("at the end: %d bytes, %v", s.Len, err)
		}
		r := produce(t, p, batchOf(t, 1, strings.Repeat("x", i*20)))
		s, err := p.FetchNext(&tail, math.MaxInt64)
		if err != nil {
			t.Fatal(err)
		}
		if got := sliceBytes(t, &s); !bytes.Equal(got, r.Batches) {
			t.Fatalf("append %d: %d bytes streamed, want the %d of the batch", i, len(got), len(r.Batches))
		}
	}
}

// Offsets outside the log, and bounds below one byte, are refused; from the high
// watermark to the end of the log there is nothing yet.
func TestFetchRefusals(t *testing.T) {
	e := openEngine(t, t.TempDir())
	p := createTopic(t, e, "t")
	produceEach(t, p, "0", "1")
	for _, off := range []Offset{-1, 3, math.MaxInt64, math.MinInt64} {
		_, err := p.Fetch(FetchRequest{Offset: off, MaxBytes: 1})
		matchError(t, err, ErrOffsetOutOfRange, "t-0 has offsets 0 to 2")
		_, err = p.Seek(off)
		matchError(t, err, ErrOffsetOutOfRange, "t-0 has offsets 0 to 2")
	}
	for _, maxBytes := range []int64{0, -1, math.MinInt64} {
		if _, err := p.Fetch(FetchRequest{MaxBytes: maxBytes}); err == nil || !strings.Contains(err.Error(), "at least 1") {
			t.Errorf("fetch of %d bytes: %v", maxBytes, err)
		}
		if _, err := p.FetchNext(new(Cursor), maxBytes); err == nil || !strings.Contains(err.Error(), "at least 1") {
			t.Errorf("next %d bytes: %v", maxBytes, err)
		}
	}
	s, err := p.Fetch(FetchRequest{Offset: 2, MaxBytes: 1})
	if s.Len != 0 || !s.AtEnd || s.Offsets.HighWatermark != 2 || err != nil {
		t.Errorf("fetch at the end: %+v, %v", s, err)
	}
	s.Close()
}

// The first batch of a fetch is whole however small the fetch is, and a fetch is
// never larger than asked for otherwise.
func TestFetchSize(t *testing.T) {
	e := openEngine(t, t.TempDir())
	p := createTopic(t, e, "t")
	produceEach(t, p, padded(10)...)
	size := int64(len(batchOf(t, 0, padded(1)...)))
	for maxBytes := int64(1); maxBytes < 12*size; maxBytes += 13 {
		s, err := p.Fetch(FetchRequest{Offset: 1, MaxBytes: maxBytes})
		if err != nil {
			t.Fatal(err)
		}
		if want := min(max(maxBytes, size), 9*size); s.Len != want {
			t.Errorf("fetch of %d bytes has %d, want %d", maxBytes, s.Len, want)
		}
		if s.AtEnd != (s.Len == 9*size) {
			t.Errorf("fetch of %d of %d bytes: at end %v", s.Len, 9*size, s.AtEnd)
		}
		s.Close()
	}
}

// A segment that cannot be opened costs an error, after which the reader is
// where it was: nothing is skipped.
func TestFetchOfUnopenableSegment(t *testing.T) {
	fs := traceDir(t, t.TempDir())
	e := openEngine(t, "", onFS(fs))
	p := createTopic(t, e, "t")
	tune(p, segmentBytes(300))
	produceEach(t, p, numbered(20)...)
	log := logBytes(t, p)
	e = reopen(t, e, onFS(fs))
	p = partition(t, e, "t")
	failing := false
	fs.hook(func(c call) error {
		if failing && c.isLog("open") {
			return syscall.EMFILE
		}
		return nil
	})
	step := func(what string, read func() error) {
		t.Helper()
		failing = true
		err := read()
		failing = false
		if err != nil && !errors.Is(err, syscall.EMFILE) {
			t.Errorf("%s: %v", what, err)
		}
		if err != nil {
			if err := read(); err != nil {
				t.Errorf("%s, again: %v", what, err)
			}
		}
	}
	var cursor Cursor
	var got []byte
	for done := false; !done; {
		step("stream", func() error {
			s, err := p.FetchNext(&cursor, 1<<20)
			if err == nil {
				done = s.Len == 0
				got = append(got, sliceBytes(t, &s)...)
			}
			return err
		})
	}
	if !bytes.Equal(got, log) {
		t.Errorf("%d bytes streamed, want the %d of the log", len(got), len(log))
	}
	e = reopen(t, e, onFS(fs))
	p = partition(t, e, "t")
	cursor, got = Cursor{}, nil
	for off, done := Offset(0), false; !done; {
		step("fetch", func() error {
			s, err := p.Fetch(FetchRequest{Offset: off, MaxBytes: 1 << 20, Cursor: &cursor})
			if err == nil {
				done = s.AtEnd
				batches := sliceBytes(t, &s)
				got = append(got, batches...)
				for len(batches) > 0 {
					var b record.Batch
					b, batches, _ = record.Next(batches)
					off = b.NextOffset()
				}
			}
			return err
		})
	}
	if !bytes.Equal(got, log) {
		t.Errorf("%d bytes fetched, want the %d of the log", len(got), len(log))
	}
}

// FetchWait returns when there is enough, when the time is over, and at the end
// of a segment, and keeps the cursor of a fetch that was repeated right.
func TestFetchWaitMinBytes(t *testing.T) {
	e := openEngine(t, t.TempDir())
	p := createTopic(t, e, "t")
	size := int64(len(batchOf(t, 0, "0")))
	produceEach(t, p, "0")
	var cursor Cursor
	request := FetchRequest{MaxBytes: 1 << 20, Cursor: &cursor}
	s, err := p.FetchWait(context.Background(), request, 2*size, time.Millisecond)
	if err != nil || s.Len != size {
		t.Errorf("when the time is over: %d bytes, %v, want %d", s.Len, err, size)
	}
	s.Close()
	arrived := make(chan Slice)
	go func() {
		s, err := p.FetchWait(context.Background(), FetchRequest{MaxBytes: 1 << 20, Cursor: new(Cursor)}, 3*size, time.Minute)
		if err != nil {
			t.Error(err)
		}
		arrived <- s
	}()
	produceEach(t, p, "1")
	produceEach(t, p, "2")
	if s = <-arrived; s.Len < 3*size {
		t.Errorf("%d bytes, want at least %d", s.Len, 3*size)
	}
	s.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s, err = p.FetchWait(ctx, FetchRequest{Offset: 3, MaxBytes: 1}, 1, time.Minute)
	if err != nil || s.Len != 0 {
		t.Errorf("with a context that has ended: %d bytes, %v", s.Len, err)
	}
}

// A slice stays as it was while the log grows behind it.
func TestSliceIsStable(t *testing.T) {
	e := openEngine(t, t.TempDir())
	p := createTopic(t, e, "t")
	tune(p, segmentBytes(500))
	produceEach(t, p, "0")
	s, err := p.Fetch(FetchRequest{MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	want := logBytes(t, p)
	produceEach(t, p, numbered(30)...)
	if got := sliceBytes(t, &s); !bytes.Equal(got, want) {
		t.Errorf("slice of %d bytes, want the %d of then", len(got), len(want))
	}
}

// Neither kind of fetch allocates once it goes on with a cursor.
func TestFetchAllocatesNothing(t *testing.T) {
	if invariant.Enabled {
		return // assertions and the race detector allocate
	}
	p := filledPartition(t, 8<<20)
	var cursor Cursor
	if allocs := testing.AllocsPerRun(200, func() { fetchOn(t, p, &cursor, 256<<10) }); allocs != 0 {
		t.Errorf("Fetch with a cursor: %v allocations, want 0", allocs)
	}
	cursor = Cursor{}
	if allocs := testing.AllocsPerRun(200, func() { nextOn(t, p, &cursor, 256<<10) }); allocs != 0 {
		t.Errorf("FetchNext: %v allocations, want 0", allocs)
	}
	off := Offset(0)
	if allocs := testing.AllocsPerRun(200, func() {
		s, err := p.Fetch(FetchRequest{Offset: off, MaxBytes: 256 << 10})
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		off = (off + 7) % 100
	}); allocs != 0 {
		t.Errorf("Fetch without a cursor: %v allocations, want 0", allocs)
	}
	if _, err := p.engine.Partition([]byte("t"), 0); err != nil {
		t.Fatal(err)
	}
	name := []byte("t")
	if allocs := testing.AllocsPerRun(200, func() { p.engine.Partition(name, 0) }); allocs != 0 {
		t.Errorf("Engine.Partition: %v allocations, want 0", allocs)
	}
}

// filledPartition returns a partition with about so many bytes in batches of 64
// KiB in the page cache.
func filledPartition(t testing.TB, bytes int64) *Partition {
	t.Helper()
	p := createTopic(t, openEngine(t, t.TempDir()), "t", "flush.messages", "1000000000")
	batch := batchOf(t, 1, strings.Repeat("x", 64<<10-80))
	for n := int64(0); n < bytes; n += int64(len(batch)) {
		produce(t, p, batch)
	}
	return p
}

// fetchOn fetches at the cursor, from the start again at the end, and returns
// how many bytes.
func fetchOn(t testing.TB, p *Partition, c *Cursor, maxBytes int64) int64 {
	s, err := p.Fetch(FetchRequest{Offset: c.offset, MaxBytes: maxBytes, Cursor: c})
	if err != nil {
		t.Fatal(err)
	}
	if s.AtEnd {
		*c = Cursor{}
	}
	n := s.Len
	s.Close()
	return n
}

// nextOn is fetchOn by FetchNext.
func nextOn(t testing.TB, p *Partition, c *Cursor, maxBytes int64) int64 {
	s, err := p.FetchNext(c, maxBytes)
	if err != nil {
		t.Fatal(err)
	}
	if s.AtEnd {
		*c = Cursor{}
	}
	n := s.Len
	s.Close()
	return n
}

// What cutting a slice of 1 MiB from the page cache costs, sending not counted.
func BenchmarkFetch(b *testing.B) {
	for _, f := range []struct {
		name string
		read func(testing.TB, *Partition, *Cursor, int64) int64
	}{{"cursor", fetchOn}, {"next", nextOn}} {
		b.Run(f.name, func(b *testing.B) {
			p := filledPartition(b, 64<<20)
			var c Cursor
			b.ReportAllocs()
			for b.Loop() {
				f.read(b, p, &c, 1<<20)
			}
		})
	}
}

// What an append into the page cache costs: check, patch, pwritev.
func BenchmarkAppend(b *testing.B) {
	for _, bytes := range []int{1 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("%dKiB", bytes>>10), func(b *testing.B) {
			e := openEngine(b, b.TempDir())
			p := createTopic(b, e, "t", "flush.messages", "1000000000")
			r := &AppendRequest{Batches: batchOf(b, 1, strings.Repeat("x", bytes-80)), Acks: AcksNone}
			b.SetBytes(int64(len(r.Batches)))
			b.ReportAllocs()
			for b.Loop() {
				if p.Append(r); r.Err != nil {
					b.Fatal(r.Err)
				}
			}
		})
	}
}
