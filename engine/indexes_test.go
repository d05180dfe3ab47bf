package engine

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/internal/golden"
)

// kafkaIndexes is what Kafka's LogSegment.append writes into the indexes of a
// segment with these bytes, once it is sealed.
func kafkaIndexes(log []byte, interval int64) (index, times []byte) {
	var since, position int64
	newest, newestLast := int64(-1), Offset(-1)
	base := record.Batch(log).BaseOffset()
	entered := int64(-1)
	addTime := func() {
		if newest > entered {
			times = binary.BigEndian.AppendUint64(times, uint64(newest))
			times = binary.BigEndian.AppendUint32(times, uint32(newestLast-base))
			entered = newest
		}
	}
	for len(log) > 0 {
		b, rest, err := record.Next(log)
		if err != nil {
			panic(err)
		}
		if b.MaxTimestamp() > newest {
			newest, newestLast = b.MaxTimestamp(), b.LastOffset()
		}
		if since > interval {
			index = binary.BigEndian.AppendUint32(index, uint32(b.LastOffset()-base))
			index = binary.BigEndian.AppendUint32(index, uint32(position))
			addTime()
			since = 0
		}
		since += b.Size()
		position += b.Size()
		log = rest
	}
	addTime()
	return index, times
}

// seal rolls the partition, so that the indexes of what it holds are complete.
func seal(t testing.TB, p *Partition) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.log.roll(p.engine.nowMs()); err != nil {
		t.Fatal(err)
	}
}

// The indexes hold what Kafka's do, byte for byte, whatever the batches: with
// their timestamps rising, falling, equal or missing, appended one by one or
// several at a time, and also when they are rebuilt.
func TestIndexesAreKafkas(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	e := openEngine(t, t.TempDir())
	for round := range 20 {
		interval := []int64{0, 100, 500, 4096}[round%4]
		p := createTopic(t, e, fmt.Sprintf("t%d", round), "index.interval.bytes", fmt.Sprint(interval))
		for range 60 {
			var requests []*AppendRequest
			for range 1 + random.IntN(3) {
				var batches []byte
				for range 1 + random.IntN(3) {
					timestamp := int64(1000 + random.IntN(50))
					batches = append(batches, batchOf(t, timestamp, strings.Repeat("x", random.IntN(200)), "y")...)
				}
				requests = append(requests, &AppendRequest{Batches: batches})
			}
			p.Append(requests...)
		}
		seal(t, p)
		log := logBytes(t, p)
		index, times := kafkaIndexes(log, interval)
		check := func(what string) {
			t.Helper()
			for suffix, want := range map[string][]byte{".index": index, ".timeindex": times} {
				got, err := os.ReadFile(filepath.Join(e.Path(), p.dir, strings.TrimSuffix(firstLog, ".log")+suffix))
				if len(want) > 0 && err != nil || !bytes.Equal(got, want) {
					t.Errorf("interval %d, %s %s: %d bytes that differ from Kafka's %d: %v", interval, what, suffix, len(got), len(want), err)
				}
			}
		}
		check("written")
		first := p.log.list()[0]
		if err := first.rebuildIndexes(fmt.Errorf("the test says so")); err != nil {
			t.Fatal(err)
		}
		check("rebuilt")
	}
}

// The two files for eight batches and an interval of 200 bytes.
func TestIndexesGolden(t *testing.T) {
	defer func() {
		page, err := os.ReadFile("../docs/format/indexes.md")
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile("testdata/indexes.golden")
		if err != nil || !strings.Contains(string(page), string(want)) {
			t.Errorf("docs/format/indexes.md does not show testdata/indexes.golden: %v", err)
		}
	}()
	e := openEngine(t, t.TempDir())
	p := createTopic(t, e, "t", "index.interval.bytes", "200")
	var table strings.Builder
	for i, timestamp := range []int64{1000, 3000, 2000, 4000, 4000, 3500, 5000, 4500} {
		r := produce(t, p, batchOf(t, timestamp, strings.Repeat("x", 10*i), "y"))
		b := record.Batch(r.Batches)
		fmt.Fprintf(&table, "batch of %d bytes, offsets %d to %d, max timestamp %d\n", b.Size(), b.BaseOffset(), b.LastOffset(), b.MaxTimestamp())
	}
	seal(t, p)
	read := func(suffix string) []byte {
		t.Helper()
		content, err := os.ReadFile(filepath.Join(e.Path(), "t-0", strings.TrimSuffix(firstLog, ".log")+suffix))
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	var fields []golden.Field
	index := read(".index")
	for range len(index) / offsetEntryWidth {
		fields = append(fields, golden.Field{Len: 4, Name: "relativeOffset"}, golden.Field{Len: 4, Name: "position"})
	}
	table.WriteString("\n.index\n")
	table.Write(golden.Hex(index, fields...))
	fields = nil
	times := read(".timeindex")
	for range len(times) / timeEntryWidth {
		fields = append(fields, golden.Field{Len: 8, Name: "timestamp"}, golden.Field{Len: 4, Name: "relativeOffset"})
	}
	table.WriteString("\n.timeindex\n")
	table.Write(golden.Hex(times, fields...))
	golden.Check(t, "indexes", []byte(table.String()))
}

// damagedIndex stops a log of three sealed segments and an active one, damages a
// file of the second, which has four entries or more, and starts again. Every
// lookup must be right, the log untouched, the reason reported, and the files of
// the second segment what they were.
func damagedIndex(t *testing.T, suffix, reason string, damage func(p []byte) []byte) {
	t.Helper()
	const records, perSegment = 70, 20
	from := crashedLog(t, records, perSegment)
	e := openEngine(t, from)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(e.Path(), "t-0")
	name := fmt.Sprintf("%020d", perSegment)
	logs, before := snapshot(t, dir, ".log"), snapshot(t, dir, name)
	path := filepath.Join(dir, name+suffix)
	content, err := os.ReadFile(path)
	if err != nil || len(content) < 48 {
		t.Fatalf("%s: %d bytes, %v", path, len(content), err)
	}
	if content = damage(content); content == nil {
		err = os.Remove(path)
	} else {
		err = os.WriteFile(path, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	log := new(lines)
	e = openEngine(t, e.Path(), log.use)
	p := partition(t, e, "t")
	for off, v := range padded(records) {
		s, err := p.Fetch(FetchRequest{Offset: Offset(off), MaxBytes: 1})
		if err != nil {
			t.Fatal(err)
		}
		batch, err := s.ReadAll(nil)
		if s.Close(); err != nil || !bytes.Contains(batch, []byte(v)) || record.Batch(batch).BaseOffset() != Offset(off) {
			t.Fatalf("fetch at %d: batch %q, %v", off, batch, err)
		}
		found, err := p.OffsetByTime(int64(off))
		if found.Offset != Offset(off) || found.Timestamp != int64(off) || err != nil {
			t.Fatalf("offset by time %d: %+v, %v", off, found, err)
		}
	}
	if !strings.Contains(log.String(), "index is rebuilt from the log") || !strings.Contains(log.String(), reason) {
		t.Errorf("reported %s, want %q", log, reason)
	}
	if after := snapshot(t, dir, ".log"); after != logs {
		t.Errorf("log files were\n%sand are\n%s", logs, after)
	}
	if after := snapshot(t, dir, name); after != before {
		t.Errorf("files of the segment were\n%sand are\n%s", before, after)
	}
}

// Each check of an offset index that fails has the index rebuilt.
func TestOffsetIndexChecks(t *testing.T) {
	f := func(name, reason string, damage func(p []byte) []byte) {
		t.Run(name, func(t *testing.T) { damagedIndex(t, ".index", reason, damage) })
	}
	set := func(at int, value uint32) func([]byte) []byte {
		return func(p []byte) []byte {
			if at < 0 {
				at += len(p)
			}
			binary.BigEndian.PutUint32(p[at:], value)
			return p
		}
	}
	f("size", "want a multiple of 8", func(p []byte) []byte { return append(p, 1, 2, 3) })
	f("cut entry", "want a multiple of 8", func(p []byte) []byte { return p[:len(p)-1] })
	f("zero padding", "zero padding", func(p []byte) []byte { return append(p, make([]byte, 80)...) })
	f("all zeros", "position 0", func(p []byte) []byte { return make([]byte, len(p)) })
	f("offset does not rise", "offset does not rise", func(p []byte) []byte {
		copy(p[16:20], p[8:12])
		return p
	})
	f("position does not rise", "position does not rise", func(p []byte) []byte {
		copy(p[20:24], p[12:16])
		return p
	})
	f("offset beyond the segment", "but the segment ends at 40", set(-8, 20))
	f("position beyond the log", "but the log has", set(-4, 1<<30))
	f("position 0", "position 0", set(4, 0))
	f("negative offset", "negative offset", set(-8, 1<<31))
	f("negative position", "but the log has", set(-4, 1<<31))
	f("empty", "missing or empty", func([]byte) []byte { return []byte{} })
	f("missing", "missing or empty", func([]byte) []byte { return nil })
}

// Each check of a time index that fails has both indexes rebuilt.
func TestTimeIndexChecks(t *testing.T) {
	f := func(name, reason string, damage func(p []byte) []byte) {
		t.Run(name, func(t *testing.T) { damagedIndex(t, ".timeindex", reason, damage) })
	}
	f("size", "want a multiple of 12", func(p []byte) []byte { return append(p, 1) })
	f("zero padding", "zero padding", func(p []byte) []byte { return append(p, make([]byte, 120)...) })
	f("all zeros", "zero padding", func(p []byte) []byte { return make([]byte, len(p)) })
	f("timestamp does not rise", "timestamp does not rise", func(p []byte) []byte {
		copy(p[24:32], p[12:20])
		return p
	})
	f("offset does not rise", "offset does not rise", func(p []byte) []byte {
		copy(p[32:36], p[20:24])
		return p
	})
	f("negative timestamp", "negative timestamp", func(p []byte) []byte {
		p[0] |= 0x80
		return p
	})
	f("negative offset", "negative offset", func(p []byte) []byte {
		p[len(p)-4] |= 0x80
		return p
	})
	f("offset beyond the segment", "but the segment ends at 40", func(p []byte) []byte {
		binary.BigEndian.PutUint32(p[len(p)-4:], 20)
		return p
	})
	f("empty", "missing or empty", func([]byte) []byte { return []byte{} })
	f("missing", "missing or empty", func([]byte) []byte { return nil })
}

// An entry that passes all checks and is wrong is caught by the header of the
// batch that it names.
func TestWrongEntryIsCaughtByTheHeader(t *testing.T) {
	f := func(name, reason string, damage func(p []byte) []byte) {
		t.Run(name, func(t *testing.T) { damagedIndex(t, ".index", reason, damage) })
	}
	add := func(at int, delta uint32) func([]byte) []byte {
		return func(p []byte) []byte {
			field := p[8*(len(p)/16)+at:]
			binary.BigEndian.PutUint32(field, binary.BigEndian.Uint32(field)+delta)
			return p
		}
	}
	size := uint32(len(batchOf(t, 0, padded(1)...)))
	f("into the middle of a batch", "the log has no batch there", add(4, 1))
	f("onto another batch", "the log has a batch that ends with offset", add(4, size))
	f("last offset too high", "the log has a batch that ends with offset", add(0, 1))
	f("last offset too low", "the log has a batch that ends with offset", add(0, ^uint32(0)))
}

// In the active segment, whose index belongs to the writer, a wrong entry costs
// a longer search and nothing else.
func TestWrongEntryInActiveSegment(t *testing.T) {
	e := openEngine(t, crashedLog(t, 30, 100))
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	name := strings.TrimSuffix(firstLog, ".log") + ".index"
	edit(t, func(p []byte) []byte {
		p[15]++ // position of the second entry
		return p
	}, e.Path(), "t-0", name)
	works(t, openEngine(t, e.Path()), padded(30)...)
}

// Entries reach the file in blocks; lookups find those in the file, those in
// memory, and those at the border, before and after a restart.
func TestIndexBlocks(t *testing.T) {
	const batches = 3*indexBlockEntries + 100
	fs := traceDir(t, t.TempDir())
	fs.noSync = true
	e := openEngine(t, "", onFS(fs))
	p := createTopic(t, e, "t", "index.interval.bytes", "0")
	for i := range batches {
		p.Append(&AppendRequest{Batches: batchOf(t, int64(i), fmt.Sprint(i))})
	}
	await(t, p, "commit", func(o Offsets) bool { return o.HighWatermark == batches })
	check := func(p *Partition) {
		t.Helper()
		for off := range batches {
			s, err := p.Fetch(FetchRequest{Offset: Offset(off), MaxBytes: 1})
			if err != nil {
				t.Fatal(err)
			}
			batch, err := s.ReadAll(nil)
			if s.Close(); err != nil || record.Batch(batch).BaseOffset() != Offset(off) {
				t.Fatalf("fetch at %d: %v, %v", off, batch, err)
			}
			if off%37 == 0 {
				if found, err := p.OffsetByTime(int64(off)); found.Offset != Offset(off) || err != nil {
					t.Fatalf("offset by time %d: %+v, %v", off, found, err)
				}
			}
		}
	}
	view := p.log.active().index.view.Load()
	if view.persisted < 2*indexBlockEntries || len(view.tail) == 0 {
		t.Fatalf("%d entries in the file and %d in memory, want some in both", view.persisted, len(view.tail))
	}
	// The checkpoint that follows the start may write some entries earlier.
	if writes := fs.find("write", ".index"); len(writes) > batches/indexBlockEntries+1 {
		t.Errorf("index written %d times, want once a block of %d entries", len(writes), indexBlockEntries)
	}
	check(p)
	e = reopen(t, e)
	check(partition(t, e, "t"))
	e = recrash(t, e)
	check(partition(t, e, "t"))
}

// readsOf counts what f reads of .log files: the headers, and whatever else, of
// which there must be nothing.
func readsOf(t testing.TB, fs *tracedFS, f func()) (headers int) {
	t.Helper()
	fs.reset()
	f()
	for _, c := range fs.find("read", ".log") {
		if c.bytes != record.HeaderSize {
			t.Errorf("%d bytes read at %d of %s, want headers only", c.bytes, c.at, c.name)
		}
		headers++
	}
	return headers
}

// A first fetch reads headers for at most one index interval; whoever goes on
// with a cursor in the active segment reads nothing, also of the index; a
// FetchNext stream reads nothing anywhere; a cursor over sealed segments that
// another process wrote reads one header a fetch, to validate where it ends.
func TestFetchReads(t *testing.T) {
	const records, perInterval = 2000, 10
	fs := traceDir(t, t.TempDir())
	fs.noSync = true
	e := openEngine(t, "", onFS(fs))
	size := len(batchOf(t, 0, padded(1)...))
	p := createTopic(t, e, "t", "index.interval.bytes", fmt.Sprint(size*perInterval))
	for _, v := range padded(records) {
		p.Append(&AppendRequest{Batches: batchOf(t, 1, v)})
	}
	await(t, p, "commit", func(o Offsets) bool { return o.HighWatermark == records })
	maxBytes := int64(3 * perInterval * size)
	fetch := func(p *Partition, off Offset, c *Cursor) Offset {
		t.Helper()
		s, err := p.Fetch(FetchRequest{Offset: off, MaxBytes: maxBytes, Cursor: c})
		if err != nil || s.Len == 0 {
			t.Fatalf("fetch at %d: %d bytes, %v", off, s.Len, err)
		}
		if s.Len%int64(size) != 0 || s.Len < maxBytes/2 && !s.AtEnd {
			t.Errorf("fetch at %d ends after %d bytes, want a batch boundary in the last half of %d", off, s.Len, maxBytes)
		}
		s.Close()
		return off + Offset(s.Len/int64(size))
	}
	for _, from := range []Offset{0, 5, 777, 1500} {
		cursor, off := new(Cursor), from
		if n := readsOf(t, fs, func() { off = fetch(p, off, cursor) }); n > perInterval+2 {
			t.Errorf("first fetch at %d: %d headers read, an interval has %d", from, n, perInterval)
		}
		if n := readsOf(t, fs, func() {
			for off < records {
				off = fetch(p, off, cursor)
			}
		}); n > 0 || fs.bytesRead("index") > 0 {
			t.Errorf("sequential fetches from %d: %d headers and %d bytes of the index read, want nothing", from, n, fs.bytesRead("index"))
		}
	}
	stream := func(p *Partition, from Offset) {
		t.Helper()
		var c Cursor
		var err error
		if n := readsOf(t, fs, func() { c, err = p.Seek(from) }); err != nil || n > perInterval+2 {
			t.Errorf("seek to %d: %d headers read, %v, an interval has %d", from, n, err, perInterval)
		}
		got := int64(0)
		if n := readsOf(t, fs, func() {
			for {
				s, err := p.FetchNext(&c, 1000)
				if err != nil {
					t.Fatal(err)
				}
				if s.Len == 0 {
					return
				}
				got += s.Len
				s.Close()
			}
		}); n > 0 || fs.bytesRead("index") > 0 {
			t.Errorf("stream from %d: %d headers and %d bytes of the index read, want nothing", from, n, fs.bytesRead("index"))
		}
		if want := int64(records-int(from)) * int64(size); got != want {
			t.Errorf("stream from %d: %d bytes, want %d", from, got, want)
		}
	}
	stream(p, 0)
	stream(p, 1234)

	seal(t, p)
	e = reopen(t, e, onFS(fs))
	p = partition(t, e, "t")
	stream(p, 1234)
	stream(p, 3)
	cursor, off := new(Cursor), fetch(p, 42, new(Cursor))
	off = fetch(p, off, cursor)
	fetches := 0
	n := readsOf(t, fs, func() {
		for off < records {
			off = fetch(p, off, cursor)
			fetches++
		}
	})
	if n > fetches {
		t.Errorf("%d headers read in %d sequential fetches of a sealed segment, want at most one each", n, fetches)
	}
	t.Logf("sealed segment: %d headers and %d bytes of the index read in %d fetches", n, fs.bytesRead("index"), fetches)
}

// The entries of an index are found by binary search like by looking at each.
func TestPrefix(t *testing.T) {
	for n := range 20 {
		var entries []int
		for i := range n {
			entries = append(entries, 2*i)
		}
		for x := -1; x <= 2*n; x++ {
			want := 0
			for _, e := range entries {
				if e <= x {
					want++
				}
			}
			if got := prefix(entries, func(e int) bool { return e <= x }); got != want {
				t.Errorf("prefix up to %d of %v is %d, want %d", x, entries, got, want)
			}
		}
	}
}
