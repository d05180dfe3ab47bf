package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/engine/vfs"
	"github.com/rollway/rollway/internal/invariant"
)

// settle waits until the cache has taken in what was put.
func (c *indexCache) settle() {
	c.mu.RLock()
	defer c.mu.RUnlock()
	c.blocks.Wait()
}

// A block is found again under its own view and number only, unless the block in
// the file has grown, and never once the cache is closed.
func TestIndexCacheKeys(t *testing.T) {
	c := &indexCache{mostBytes: 1 << 20}
	f := func(view uint64, number, bytes int, want string) {
		t.Helper()
		got := ""
		if b := c.get(view, number, bytes); b != nil {
			got = string(b.entries)
		}
		if got != want {
			t.Errorf("block %d of view %d, %d bytes of it: %q, want %q", number, view, bytes, got, want)
		}
	}
	f(1, 0, 4, "")
	read := []byte("1--0")
	b := c.put(1, 0, read, 1)
	clear(read)
	c.put(1, 1, []byte("1--1"), 0)
	c.put(2, 0, []byte("2--0"), 0)
	c.settle()
	f(1, 0, 4, "1--0")
	f(1, 1, 4, "1--1")
	f(2, 0, 4, "2--0")
	f(2, 1, 4, "")
	f(3, 0, 4, "")
	f(1, 0, 5, "")
	c.put(1, 0, []byte("1--0 and more"), 1)
	c.settle()
	f(1, 0, 4, "1--0 and more")
	if b.first(0) == nil || c.get(1, 1, 4).first(0) != nil {
		t.Error("first offsets are remembered of the wrong blocks")
	}
	c.close()
	f(1, 0, 4, "")
	if c.put(1, 0, []byte("1--0"), 1) != nil {
		t.Error("a closed cache keeps a block")
	}
	c.close()
}

// The cache holds no more than it may, whatever is put.
func TestIndexCacheIsBounded(t *testing.T) {
	const most = 64 << 10
	c := &indexCache{mostBytes: most}
	defer c.close()
	for view := range uint64(1000) {
		c.put(view, 0, make([]byte, 1+view*4), int(view/2))
		if view%100 == 0 {
			c.settle()
		}
	}
	c.settle()
	held, count := int64(0), 0
	c.blocks.IterValues(func(b *indexBlock) bool {
		held += b.size()
		count++
		return false
	})
	if held > most || count == 0 {
		t.Errorf("%d blocks of %d bytes are kept, want some and at most %d bytes", count, held, most)
	}
}

// Lookups may go on while the cache is closed.
func TestIndexCacheClosesUnderLookups(t *testing.T) {
	for range 20 {
		c := &indexCache{mostBytes: 1 << 20}
		var lookups sync.WaitGroup
		for view := range uint64(4) {
			lookups.Go(func() {
				for n := range 200 {
					if c.get(view, n, 1) == nil {
						c.put(view, n, []byte{1}, 1)
					}
				}
			})
		}
		c.close()
		lookups.Wait()
	}
}

// sealedSegments starts on three sealed segments of two full index blocks and a
// part each, and an active one.
func sealedSegments(t testing.TB, change ...func(*Options)) (p *Partition, fs *tracedFS, records Offset, batchBytes int64) {
	t.Helper()
	fs = traceDir(t, t.TempDir())
	fs.noSync = true
	const perSegment = 2*indexBlockEntries + 100
	e := openEngine(t, "", onFS(fs))
	p = createTopic(t, e, "t", "index.interval.bytes", "0")
	for range 3 {
		for range perSegment {
			p.Append(&AppendRequest{Batches: batchOf(t, int64(records), "value")})
			records++
		}
		seal(t, p)
	}
	p.Append(&AppendRequest{Batches: batchOf(t, int64(records), "value")})
	records++
	await(t, p, "commit", func(o Offsets) bool { return o.HighWatermark == records })
	e = reopen(t, e, append(change, onFS(fs))...)
	return partition(t, e, "t"), fs, records, int64(len(batchOf(t, 0, "value")))
}

// readThrough fetches from the cursor to the end of the log, and lets the cache
// settle after each fetch.
func readThrough(t testing.TB, p *Partition, c *Cursor, maxBytes int64) {
	t.Helper()
	for {
		before := c.offset
		s, err := p.Fetch(FetchRequest{Offset: c.offset, MaxBytes: maxBytes, Cursor: c})
		if err != nil || s.Len == 0 {
			t.Fatalf("fetch at %d: %d bytes, %v", before, s.Len, err)
		}
		s.Close()
		if p.engine.indexCache.blocks != nil {
			p.engine.indexCache.settle()
		}
		if s.AtEnd {
			return
		}
	}
}

// Sequential fetches of sealed segments read each block of an index once and one
// header a fetch; who goes the same way again reads nothing, and allocates nothing
// for it. The same goes for the blocks of a time index.
func TestSecondPassReadsNothing(t *testing.T) {
	p, fs, records, size := sealedSegments(t)
	pass := func() (headers, index int) {
		var cursor Cursor
		s, err := p.Fetch(FetchRequest{Offset: 1, MaxBytes: 50 * size, Cursor: &cursor})
		if err != nil {
			t.Fatal(err)
		}
		s.Close() // it looks headers up: it has no place to go on from
		p.engine.indexCache.settle()
		headers = readsOf(t, fs, func() { readThrough(t, p, &cursor, 50*size) })
		return headers, len(fs.find("read", ".index"))
	}
	headers, index := pass()
	if kept := p.engine.Stats().IndexCacheBytes; kept == 0 {
		t.Error("the cache holds 0 bytes after a pass")
	}
	if headers == 0 || index == 0 {
		t.Errorf("first pass: %d headers and the index %d times read, want some", headers, index)
	}
	if headers, index = pass(); headers != 0 || index != 0 {
		t.Errorf("second pass: %d headers and the index %d times read, want nothing", headers, index)
	}
	byTime := func() int {
		fs.reset()
		for at := Offset(0); at < records-1; at += 100 {
			if found, err := p.OffsetByTime(int64(at)); err != nil || found.Offset != at {
				t.Fatalf("offset by time %d: %+v, %v", at, found, err)
			}
			p.engine.indexCache.settle()
		}
		return len(fs.find("read", ".timeindex"))
	}
	byTime()
	if n := byTime(); n != 0 {
		t.Errorf("time index read %d times by lookups like those before, want nothing", n)
	}
	if invariant.Enabled {
		return // assertions and the race detector allocate
	}
	var cursor Cursor
	if allocs := testing.AllocsPerRun(50, func() {
		s, err := p.Fetch(FetchRequest{Offset: cursor.offset, MaxBytes: 50 * size, Cursor: &cursor})
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
	}); allocs != 0 {
		t.Errorf("Fetch from cached blocks: %v allocations, want 0", allocs)
	}
}

// Without a cache each pass reads what the first did, and nothing is made.
func TestIndexCacheOff(t *testing.T) {
	p, fs, _, size := sealedSegments(t, func(o *Options) { o.IndexCacheBytes = -1 })
	pass := func() (reads int) {
		fs.reset()
		readThrough(t, p, &Cursor{}, 50*size)
		return len(fs.find("read", ".index"))
	}
	pass() // loads the indexes
	if first, second := pass(), pass(); first == 0 || first != second {
		t.Errorf("index read %d times, then %d, want the same", first, second)
	}
	if p.engine.indexCache.blocks != nil {
		t.Error("there is a cache, want none")
	}
}

// An index that has changed since it was checked is noticed by the first lookup
// that relies on a wrong entry, is made anew, and nothing that was read of the old
// one is served again.
func TestCachedIndexChangedOnDisk(t *testing.T) {
	p, _, records, size := sealedSegments(t)
	s := p.log.list()[1]
	if err := s.ensureIndexes(); err != nil {
		t.Fatal(err)
	}
	var right []byte
	edit(t, func(content []byte) []byte {
		right = bytes.Clone(content)
		for at := 4; at < len(content); at += offsetEntryWidth {
			binary.BigEndian.PutUint32(content[at:], binary.BigEndian.Uint32(content[at:])+1)
		}
		return content
	}, p.engine.Path(), s.index.name)
	id := s.index.view.Load().id
	for range 2 {
		for off := s.base; off < s.next; off += 7 {
			got, err := p.Fetch(FetchRequest{Offset: off, MaxBytes: 10 * size})
			if err != nil {
				t.Fatal(err)
			}
			batch, err := got.ReadAll(nil)
			if got.Close(); err != nil || record.Batch(batch).BaseOffset() != off {
				t.Fatalf("fetch at %d: %v, %v", off, batch, err)
			}
		}
		p.engine.indexCache.settle()
	}
	if s.index.view.Load().id == id {
		t.Error("the index has the view that it had, want another")
	}
	edit(t, func(content []byte) []byte {
		if !bytes.Equal(content, right) {
			t.Error("the index file was not made anew")
		}
		return content
	}, p.engine.Path(), s.index.name)
	if n := len(values(t, p, 0, 10*size)); Offset(n) != records {
		t.Errorf("%d records, want %d", n, records)
	}
}

// A header that was damaged after the start is noticed by the first fetch that
// relies on its entry, although the entry's block is in the cache; the rest is
// served.
func TestCachedEntryOfDamagedHeader(t *testing.T) {
	p, fs, _, _ := sealedSegments(t)
	fetch := func(off Offset) error {
		s, err := p.Fetch(FetchRequest{Offset: off, MaxBytes: 1})
		if err == nil {
			s.Close()
		}
		p.engine.indexCache.settle()
		return err
	}
	s := p.log.list()[0]
	bad := s.base + 300
	if err := fetch(bad - 100); err != nil { // the block of both
		t.Fatal(err)
	}
	fs.reset()
	entry, ok, err := s.index.lookup(bad)
	if err != nil || !ok || entry.first != unknownFirst || len(fs.find("read", ".index")) != 0 {
		t.Fatalf("entry of offset %d: %+v, %v, %v, index read %d times; want it unconfirmed from the cache", bad, entry, ok, err, len(fs.find("read", ".index")))
	}
	edit(t, func(content []byte) []byte {
		content[entry.position+23]++ // lastOffsetDelta
		return content
	}, filepath.Join(p.engine.Path(), s.name))
	damage := (*CorruptionError)(nil)
	if err := fetch(bad); !errors.As(err, &damage) {
		t.Errorf("fetch of the damaged batch: %v, want a *CorruptionError", err)
	}
	for _, off := range []Offset{bad - 1, bad + 1} {
		if err := fetch(off); err != nil {
			t.Errorf("fetch at %d, beside the damage: %v", off, err)
		}
	}
}

// cacheGoroutines counts the goroutines of the cache's library.
func cacheGoroutines() int {
	stacks := make([]byte, 4<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	return strings.Count(string(stacks), "created by github.com/dgraph-io/ristretto/")
}

// An engine that nobody reads blocks from has no cache; one that has ends it with
// Close.
func TestIndexCacheGoroutines(t *testing.T) {
	ended := func() {
		for cacheGoroutines() != 0 {
			time.Sleep(time.Millisecond)
		}
	}
	within(t, "end of the caches of tests before", ended)
	p, _, _, size := sealedSegments(t)
	if n := cacheGoroutines(); n != 0 {
		t.Errorf("%d goroutines of an idle engine's cache, want none", n)
	}
	readThrough(t, p, &Cursor{}, 50*size)
	if cacheGoroutines() == 0 {
		t.Error("no goroutines of a cache in use; the count is wrong")
	}
	if err := p.engine.Close(); err != nil {
		t.Fatal(err)
	}
	within(t, "end of the cache's goroutines", ended)
}

// An engine has as many goroutines for a thousand partitions that were written and
// read as for one.
func TestNoGoroutinePerPartition(t *testing.T) {
	goroutines := func(partitions int32) (count int) {
		before := settledGoroutines()
		e := openEngine(t, "", onFS(vfs.NewMem("/data")))
		topic, err := e.CreateTopic(TopicSpec{
			Name: "t", Partitions: partitions, Configs: map[string]string{"index.interval.bytes": "0"},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range topic.Partitions() {
			for i := range int64(3) {
				produce(t, p, batchOf(t, i, "value"))
			}
			seal(t, p)
			if found, err := p.OffsetByTime(2); err != nil || found.Offset != 2 {
				t.Fatalf("%s: offset by time: %+v, %v", p, found, err)
			}
		}
		if cacheGoroutines() == 0 {
			t.Error("the cache is not in use, want it to be counted")
		}
		count = settledGoroutines() - before
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		return count
	}
	one, thousand := goroutines(1), goroutines(1000)
	if one != thousand || one <= 0 {
		t.Errorf("%d goroutines with one partition, %d with a thousand, want the same", one, thousand)
	}
}

// settledGoroutines is how many goroutines there are once those that are ending
// have ended.
func settledGoroutines() int {
	least := runtime.NumGoroutine()
	for range 50 {
		time.Sleep(time.Millisecond)
		least = min(least, runtime.NumGoroutine())
	}
	return least
}

// What cutting a slice of a sealed segment costs a reader who goes the same way
// again, with the cache and without.
func BenchmarkSealedFetch(b *testing.B) {
	for name, bytes := range map[string]int64{"cache": defaultIndexCacheBytes, "off": -1} {
		b.Run(name, func(b *testing.B) {
			p, _, _, size := sealedSegments(b, func(o *Options) { o.IndexCacheBytes = bytes })
			readThrough(b, p, &Cursor{}, 50*size)
			b.ReportAllocs()
			var cursor Cursor
			for b.Loop() {
				fetchOn(b, p, &cursor, 50*size)
			}
		})
	}
}
