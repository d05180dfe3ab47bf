package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/internal/golden"
)

// damagedAt fails the test unless exactly the records [from, to) of n cannot be
// read, by their offsets, by a reader who seeks behind them, and by a stream;
// what is readable has the values of crashedLog.
func damagedAt(t testing.TB, p *Partition, n int, from, to Offset) {
	t.Helper()
	want := padded(n)
	damage := (*CorruptionError)(nil)
	for off := range Offset(n) {
		s, err := p.Fetch(FetchRequest{Offset: off, MaxBytes: 1})
		if off >= from && off < to {
			if !errors.As(err, &damage) {
				t.Errorf("fetch at %d: %v, want damage", off, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("fetch at %d: %v", off, err)
			continue
		}
		b, err := s.ReadAll(nil)
		s.Close()
		if err != nil || record.Batch(b).Verify() != nil || record.Batch(b).BaseOffset() != off || !bytes.Contains(b, []byte(want[off])) {
			t.Errorf("fetch at %d gives %d bytes of offset %d, %v", off, len(b), record.Batch(b).BaseOffset(), err)
		}
	}
	if got := values(t, p, to, 1<<20); !slices.Equal(got, want[to:]) {
		t.Errorf("from %d on: %d records, want %d", to, len(got), n-int(to))
	}
	c, err := p.Seek(0)
	for err == nil && c.offset != from {
		var s Slice
		if s, err = p.FetchNext(&c, 1<<20); err == nil {
			if s.Len == 0 {
				break
			}
			s.Close()
		}
	}
	if _, err := p.FetchNext(&c, 1<<20); from > 0 && !errors.As(err, &damage) {
		t.Errorf("stream at %d: %v, want damage", c.offset, err)
	}
}

// promise puts into a new journal of dir that t-0 is durable up to next: what is
// wrong below that is damage, and recovery meets it.
func promise(t testing.TB, dir string, next Offset) {
	t.Helper()
	fs := traceDir(t, dir)
	log, err := openMetadataLog(fs)
	if err != nil {
		t.Fatal(err)
	}
	id := log.Image().Topics["t"].ID
	log.Close()
	file, err := createJournal(fs, minJournalBytes, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var r journalRecord
	r.reset()
	r.add(journalPromise{topic: id, next: next}, 0, nil)
	j := newJournal(&Engine{}, file, halfOf(minJournalBytes))
	if _, err := j.write(&r); err != nil {
		t.Fatal(err)
	}
}

// readable returns what a reader gets who passes over gaps in the offsets.
func readable(t testing.TB, p *Partition) []string {
	t.Helper()
	var all []string
	for off := Offset(0); off < p.Offsets().HighWatermark; {
		s, err := p.Fetch(FetchRequest{Offset: off, MaxBytes: 1})
		if err != nil {
			t.Fatal(err)
		}
		b, err := s.ReadAll(nil)
		s.Close()
		if err != nil {
			t.Fatal(err)
		}
		batch := record.Batch(b)
		it := batch.Iterate(batch.Records())
		for it.Next() {
			all = append(all, string(it.Record().Value))
		}
		off = batch.NextOffset()
	}
	return all
}

// Damage below the durable end keeps its bytes, also over restarts; everything
// before and behind it is served, appends go on behind the log's end, and a reader
// inside gets an error that names the range until an operator lets it past.
func TestQuarantine(t *testing.T) {
	const n = 12
	f := func(name string, from, to Offset, damage func(p []byte, size int) []byte) {
		t.Run(name, func(t *testing.T) {
			dir := crashedLog(t, n, 100)
			promise(t, dir, n)
			edit(t, func(p []byte) []byte { return damage(p, len(p)/n) }, dir, "t-0", firstLog)
			bad, err := os.ReadFile(filepath.Join(dir, "t-0", firstLog))
			if err != nil {
				t.Fatal(err)
			}
			e := openEngine(t, dir)
			for range 3 {
				p := partition(t, e, "t")
				damagedAt(t, p, n, from, to)
				if end := p.Offsets().HighWatermark; end != n {
					t.Fatalf("high watermark %d, want %d", end, n)
				}
				e = reopen(t, e)
				if got, err := os.ReadFile(filepath.Join(dir, "t-0", firstLog)); err != nil || !bytes.HasPrefix(got, bad) {
					t.Fatalf("bytes of the log have changed, %v", err)
				}
			}
			p := partition(t, e, "t")
			if r := produce(t, p, batchOf(t, 99, "more")); r.BaseOffset != n {
				t.Errorf("appended at %d, want %d", r.BaseOffset, n)
			}
			skipped, err := p.SkipDamage(-1)
			if err != nil || len(skipped) != 1 || skipped[0].From != from || skipped[0].To != to {
				t.Fatalf("skipped %+v, %v, want %d to %d", skipped, err, from, to)
			}
			want := append(slices.Delete(padded(n), int(from), int(to)), "more")
			for range 2 {
				if got := readable(t, p); !slices.Equal(got, want) {
					t.Fatalf("readable are %.200q, want %.200q", got, want)
				}
				c, err := p.Seek(0)
				if err != nil {
					t.Fatal(err)
				}
				streamed := 0
				for {
					s, err := p.FetchNext(&c, 1000)
					if err != nil {
						t.Fatal(err)
					}
					if s.Len == 0 {
						break
					}
					streamed += int(s.Len)
					s.Close()
				}
				if streamed == 0 {
					t.Error("the stream is empty")
				}
				e = recrash(t, e)
				p = partition(t, e, "t")
			}
		})
	}
	f("record", 5, 6, func(p []byte, size int) []byte {
		p[5*size+size-10] ^= 4
		return p
	})
	f("length", 5, 6, func(p []byte, size int) []byte {
		p[5*size+11] ^= 1
		return p
	})
	f("huge length", 5, 6, func(p []byte, size int) []byte {
		binary.BigEndian.PutUint32(p[5*size+8:], 1<<30)
		return p
	})
	f("base offset", 5, 6, func(p []byte, size int) []byte {
		p[5*size+7] ^= 2
		return p
	})
	f("last offset delta", 5, 6, func(p []byte, size int) []byte {
		p[5*size+26] ^= 1
		return p
	})
	f("epoch", 5, 6, func(p []byte, size int) []byte {
		p[5*size+14] ^= 1
		return p
	})
	f("magic", 5, 6, func(p []byte, size int) []byte {
		p[5*size+16] ^= 1
		return p
	})
	f("two neighbours", 5, 7, func(p []byte, size int) []byte {
		clear(p[5*size+40 : 6*size+40])
		return p
	})
	f("first", 0, 1, func(p []byte, size int) []byte {
		p[70] ^= 1
		return p
	})
	f("last", n-1, n, func(p []byte, size int) []byte {
		p[len(p)-1] ^= 1
		return p
	})
	f("end missing", n-2, n, func(p []byte, size int) []byte { return p[:len(p)-size-1] })
	f("end missing on a boundary", n-2, n, func(p []byte, size int) []byte { return p[:len(p)-2*size] })
}

// A segment that is missing in the middle or at the end is a gap without bytes.
func TestQuarantineOfMissingSegment(t *testing.T) {
	f := func(base, from, to Offset) {
		t.Helper()
		dir := crashedLog(t, 12, 4)
		setPoint(t, dir, 12)
		if err := os.Remove(filepath.Join(dir, segmentFileName("t-0", base, ".log"))); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			e := openEngine(t, dir)
			damagedAt(t, partition(t, e, "t"), 12, from, to)
			crash(t, e)
		}
	}
	f(4, 4, 8)
	f(8, 8, 12)
}

// Only what was being written when the process died can be torn while the page
// cache survives: anything else that is bad is damage, also where it was never
// committed.
func TestSameBootTearsTheEndOnly(t *testing.T) {
	f := func(change func(p []byte, size int) []byte, end Offset, damage int) {
		t.Helper()
		e := openEngine(t, t.TempDir(), sameBoot)
		p := createTopic(t, e, "t", "flush.messages", "1000")
		for _, v := range padded(8) {
			p.Append(&AppendRequest{Batches: batchOf(t, 1, v)})
		}
		crash(t, e)
		edit(t, func(p []byte) []byte { return change(p, len(p)/8) }, e.Path(), "t-0", firstLog)
		e = openEngine(t, e.Path(), sameBoot)
		p = partition(t, e, "t")
		if got := p.Offsets().LogEnd; got != end || len(p.Damage()) != damage {
			t.Errorf("log ends at %d, want %d; damage %+v, want %d", got, end, p.Damage(), damage)
		}
	}
	f(func(p []byte, size int) []byte { return p[:7*size+70] }, 7, 0)
	f(func(p []byte, size int) []byte { return append(p, "torn"...) }, 8, 0)
	f(func(p []byte, size int) []byte {
		p[5*size+70] ^= 1
		return p
	}, 8, 1)
}

// After a failed sync the page cache need not have what was written, although it
// is the same boot: what is bad above the durable end was torn then, and what
// stands behind it was never acknowledged.
func TestFailedSyncTearsInTheSameBoot(t *testing.T) {
	fs := traceDir(t, t.TempDir())
	e := openEngine(t, "", onFS(fs), sameBoot)
	p := createTopic(t, e, "t")
	produceEach(t, p, "0", "1")
	fs.hook(func(c call) error {
		if c.isLog("datasync") {
			return syscall.EIO
		}
		return nil
	})
	p.Append(&AppendRequest{Batches: batchOf(t, 1, "2")}, &AppendRequest{Batches: batchOf(t, 1, "3")})
	within(t, "the failure", func() {
		for e.Failure() == nil {
			time.Sleep(time.Millisecond)
		}
	})
	e.Close()
	size := len(batchOf(t, 1, "0"))
	edit(t, func(p []byte) []byte {
		p[3*size-1] ^= 1
		return p
	}, fs.Path(), "t-0", firstLog)
	e = openEngine(t, fs.Path(), sameBoot)
	holds(t, partition(t, e, "t"), "0", "1")
	if d := partition(t, e, "t").Damage(); len(d) > 0 {
		t.Errorf("damage %+v", d)
	}
	if _, err := os.Stat(filepath.Join(fs.Path(), storageFailedFile)); err == nil {
		t.Error("the note of the failure is still there")
	}
}

// Damage below the recovery point is found by who meets it; what stands behind it
// in the same index interval is served from then on, whatever bit it was.
func TestDamageIsFoundByReaders(t *testing.T) {
	const n = 40
	random := rand.New(rand.NewPCG(1, 2))
	e := openEngine(t, t.TempDir())
	p := createTopic(t, e, "t", "index.interval.bytes", "1000")
	produceEach(t, p, padded(n)...)
	produceEach(t, p, "end")
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(e.Path(), "t-0", firstLog)
	good, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	size := len(batchOf(t, 0, padded(1)[0]))
	for range 60 {
		bad := random.IntN(n)
		at, bit := bad*size+random.IntN(size), byte(1)<<random.IntN(8)
		edit(t, func([]byte) []byte {
			p := bytes.Clone(good)
			p[at] ^= bit
			return p
		}, name)
		os.Remove(filepath.Join(e.Path(), "t-0", quarantineFile))
		e = openEngine(t, e.Path())
		p := partition(t, e, "t")
		for off := Offset(n - 1); off >= 0; off-- {
			s, err := p.Fetch(FetchRequest{Offset: off, MaxBytes: 1})
			if err == nil {
				b, readErr := s.ReadAll(nil)
				s.Close()
				whole := readErr == nil && len(b) >= record.HeaderSize && record.Batch(b).Verify() == nil && record.Batch(b).BaseOffset() == off
				if !whole && off != Offset(bad) {
					t.Fatalf("bit %#x at %d: offset %d is lost with %d", bit, at%size, off, bad)
				}
			} else if off != Offset(bad) {
				t.Fatalf("bit %#x at %d of offset %d: fetch at %d: %v", bit, at%size, bad, off, err)
			}
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Damage that only a crc shows is below the recovery point nobody's but the
// reader's: who asks for its offset has it looked for, and skips it.
func TestDamageAt(t *testing.T) {
	e := openEngine(t, t.TempDir())
	p := createTopic(t, e, "t")
	produceEach(t, p, padded(12)...)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	edit(t, func(p []byte) []byte {
		p[5*len(p)/12+80] ^= 1
		return p
	}, e.Path(), "t-0", firstLog)
	e = openEngine(t, e.Path())
	p = partition(t, e, "t")
	if all, err := p.DamageAt(-1); err != nil || len(all) != 0 {
		t.Errorf("known before anybody looked: %+v, %v", all, err)
	}
	for _, off := range []Offset{4, 6, 12} {
		if r, err := p.DamageAt(off); !errors.Is(err, ErrOffsetOutOfRange) {
			t.Errorf("damage at %d: %+v, %v", off, r, err)
		}
		if off == 4 && len(p.Damage()) != 1 {
			t.Errorf("damage %+v after its segment was examined", p.Damage())
		}
	}
	if r, err := p.DamageAt(13); !errors.Is(err, ErrOffsetOutOfRange) || len(r) != 0 {
		t.Errorf("damage behind the end of the log: %+v, %v", r, err)
	}
	if r, err := p.DamageAt(5); err != nil || len(r) != 1 || r[0].From != 5 || r[0].To != 6 {
		t.Errorf("damage %+v, %v, want offset 5", r, err)
	}
	damagedAt(t, p, 12, 5, 6)

	os.Remove(filepath.Join(e.Path(), "t-0", quarantineFile))
	p.log.damage.ranges.Store(nil)
	if r, err := p.SkipDamage(5); err != nil || len(r) != 1 || r[0].From != 5 || !r[0].Skipped {
		t.Errorf("skipped %+v, %v, want offset 5", r, err)
	}
	want := slices.Delete(padded(12), 5, 6)
	if got := readable(t, p); !slices.Equal(got, want) {
		t.Errorf("readable are %.200q, want %.200q", got, want)
	}
	if found, err := p.OffsetByTime(5); err != nil || found.Offset != 6 {
		t.Errorf("by the time of what is damaged: %+v, %v, want offset 6", found, err)
	}
}

// A record that holds whole batches as its value is not taken for the log's own.
func TestResyncIsNotFooled(t *testing.T) {
	e := openEngine(t, t.TempDir())
	p := createTopic(t, e, "t")
	inner := batchOf(t, 1, "inner")
	record.Batch(inner).SetBaseOffset(2)
	produceEach(t, p, "0", strings.Repeat("x", 50)+string(inner)+"y", "2", "3")
	crash(t, e)
	promise(t, e.Path(), 4)
	first := len(batchOf(t, 0, "0"))
	edit(t, func(p []byte) []byte {
		p[first+65] ^= 1
		return p
	}, e.Path(), "t-0", firstLog)
	p = partition(t, openEngine(t, e.Path()), "t")
	if d := p.Damage(); len(d) != 1 || d[0].From != 1 || d[0].To != 2 {
		t.Errorf("damage %+v, want offset 1", d)
	}
	if got := values(t, p, 2, 1<<20); !slices.Equal(got, []string{"2", "3"}) {
		t.Errorf("behind the damage: %q", got)
	}
}

// SkipDamage means one range or all, and refuses an offset that is not damaged.
func TestSkipDamageRefusals(t *testing.T) {
	e := openEngine(t, t.TempDir())
	p := createTopic(t, e, "t")
	produceEach(t, p, "0")
	if _, err := p.SkipDamage(0); !errors.Is(err, ErrOffsetOutOfRange) {
		t.Errorf("no damage there: %v", err)
	}
	if skipped, err := p.SkipDamage(-1); err != nil || len(skipped) != 0 {
		t.Errorf("no damage at all: %+v, %v", skipped, err)
	}
}

// A quarantine file that is damaged is forgotten with a warning; one of a later
// version takes the partition offline.
func TestQuarantineFileLost(t *testing.T) {
	dir := crashedLog(t, 12, 100)
	promise(t, dir, 12)
	edit(t, func(p []byte) []byte {
		p[5*len(p)/12+80] ^= 1
		return p
	}, dir, "t-0", firstLog)
	e := openEngine(t, dir)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	edit(t, func(p []byte) []byte {
		p[20] ^= 1
		return p
	}, dir, "t-0", quarantineFile)
	e = openEngine(t, dir)
	if d := partition(t, e, "t").Damage(); len(d) != 0 {
		t.Errorf("damage %+v from a file whose checksum is wrong", d)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	edit(t, func(p []byte) []byte {
		p[11]++
		return p
	}, dir, "t-0", quarantineFile)
	if state, err := partition(t, openEngine(t, dir), "t").State(); state != Failed || !errors.Is(err, ErrUnknownVersion) {
		t.Errorf("partition is %v: %v", state, err)
	}
}

// The layout is that of docs/format/quarantine.md, and what is not a quarantine
// is refused.
func TestQuarantineGolden(t *testing.T) {
	ranges := []DamagedRange{{Segment: 100, From: 120, To: 125, Start: 4000, End: 5000, Skipped: true}}
	b := encodeQuarantine(ranges)
	golden.Check(t, "quarantine", golden.Hex(b,
		golden.Field{Len: 8, Name: `magic "rollquar"`}, golden.Field{Len: 4, Name: "version 1"}, golden.Field{Len: 4, Name: "1 range"},
		golden.Field{Len: 8, Name: "segment 100"}, golden.Field{Len: 8, Name: "from 120"}, golden.Field{Len: 8, Name: "to 125"},
		golden.Field{Len: 8, Name: "start 4000"}, golden.Field{Len: 8, Name: "end 5000"}, golden.Field{Len: 8, Name: "skipped"},
		golden.Field{Len: 8, Name: "checksum of bytes 0..63"}))
	if got, err := parseQuarantine("x", b); err != nil || !slices.Equal(got, ranges) {
		t.Errorf("parsed %+v, %v", got, err)
	}
}

// parseQuarantine never panics, and accepts only what encodeQuarantine writes.
func FuzzQuarantine(f *testing.F) {
	f.Add(encodeQuarantine(nil))
	f.Add(encodeQuarantine([]DamagedRange{{Segment: 1, From: 2, To: 3, Start: 4, End: 5}}))
	f.Add([]byte(quarantineMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		ranges, err := parseQuarantine("x", b)
		if err == nil && !bytes.Equal(encodeQuarantine(ranges), b) {
			t.Errorf("%x comes back as %x", b, encodeQuarantine(ranges))
		}
	})
}

// However much of a log is damaged, the ranges are bounded.
func TestQuarantineIsBounded(t *testing.T) {
	var ranges []DamagedRange
	for i := range Offset(maxQuarantineRanges + 5) {
		ranges = append(ranges, DamagedRange{From: 2 * i, To: 2*i + 1, Start: Position(20 * i), End: Position(20*i + 10)})
	}
	merged := mergeDamage(ranges)
	last := merged[len(merged)-1]
	if len(merged) != maxQuarantineRanges || last.To != 2*(maxQuarantineRanges+4)+1 {
		t.Errorf("%d ranges, the last %s", len(merged), fmt.Sprintf("%+v", last))
	}
}

// What a crash brings back behind the last batch of a rolled segment, garbage or a
// batch that was cut off before the roll, is cut off again: the segments behind it
// hold those offsets, and no record is lost.
func TestStrayTailOfRolledSegment(t *testing.T) {
	stale := record.Batch(batchOf(t, 1, "stale"))
	stale.SetBaseOffset(4)
	stale.SetLeaderEpoch(0)
	for name, tail := range map[string][]byte{"garbage": bytes.Repeat([]byte("x"), 643), "zeros": make([]byte, 100), "a batch": stale, "a cut batch": stale[:70]} {
		for _, durable := range []Offset{0, 12} {
			t.Run(fmt.Sprintf("%s, durable to %d", name, durable), func(t *testing.T) {
				dir := crashedLog(t, 12, 4)
				before, err := os.ReadFile(filepath.Join(dir, "t-0", firstLog))
				if err != nil {
					t.Fatal(err)
				}
				if durable > 0 {
					promise(t, dir, durable)
				}
				edit(t, func(p []byte) []byte { return append(p, tail...) }, dir, "t-0", firstLog)
				e := openEngine(t, dir)
				p := partition(t, e, "t")
				if damage := p.Damage(); len(damage) > 0 {
					t.Errorf("damage %+v, want none", damage)
				}
				if after, err := os.ReadFile(filepath.Join(dir, "t-0", firstLog)); err != nil || !bytes.Equal(after, before) {
					t.Errorf("the segment has %d bytes, error %v, want %d", len(after), err, len(before))
				}
				works(t, e, padded(12)...)
			})
		}
	}
}

// Bytes behind the last batch of a sealed segment below the recovery point, where
// no start looks, keep nobody from reading on, by fetches and by a stream, and the
// note of them is read again.
func TestBytesBehindSealedSegment(t *testing.T) {
	e := openEngine(t, crashedLog(t, 12, 4))
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	edit(t, func(p []byte) []byte { return append(p, "garbage behind the last batch"...) }, e.Path(), "t-0", firstLog)
	for range 3 {
		e = openEngine(t, e.Path())
		p := partition(t, e, "t")
		for _, maxBytes := range []int64{1, 300, 1 << 20} {
			if got := values(t, p, 0, maxBytes); !slices.Equal(got, padded(12)) {
				t.Errorf("fetches of %d bytes: %d records, want 12", maxBytes, len(got))
			}
		}
		c, err := p.Seek(0)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			s, err := p.FetchNext(&c, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			s.Close()
		}
		if c.offset != 12 {
			t.Errorf("a stream ends at %d, want 12", c.offset)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
