package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rollway/rollway/engine/record"
)

// openFiles bounds the open files of an engine.
func openFiles(most int) func(*Options) {
	return func(o *Options) { o.MaxOpenFiles = most }
}

// isSegmentFile tells a .log or index file of a partition.
func isSegmentFile(name string) bool {
	return strings.Contains(name, "/") && (strings.HasSuffix(name, ".log") || strings.HasSuffix(name, "index"))
}

// fileWatch checks what must hold whenever a segment or index file is opened or
// closed.
type fileWatch struct {
	t    *testing.T
	fs   *tracedFS
	most int // that may be open
	peak int
	// ending is set while an engine closes, which may be without a last sync.
	ending bool
}

// watchFiles has every open and close checked from now on.
func watchFiles(t *testing.T, fs *tracedFS, most int) *fileWatch {
	w := &fileWatch{t: t, fs: fs, most: most}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.changed = w.check
	return w
}

// check runs under fs.mu, after each open and before each close.
func (w *fileWatch) check(c call) {
	if !isSegmentFile(c.name) {
		return
	}
	if c.op == "close" {
		// By description, not by name: while one that was taken from the clock is
		// being closed, the next one of the file may write already.
		if c.dirty && !w.ending {
			w.t.Errorf("%s is closed with unsynced bytes", c.name)
		}
		return
	}
	if open := w.fs.openSegmentFiles(); open > w.most {
		w.t.Errorf("%d files are open, the most allowed is %d", open, w.most)
	} else {
		w.peak = max(w.peak, open)
	}
}

// end sets ending.
func (w *fileWatch) end(ending bool) {
	w.fs.mu.Lock()
	defer w.fs.mu.Unlock()
	w.ending = ending
}

// forgetUnsynced counts as synced what a process has left that died: the
// descriptions that wrote it are gone.
func (d *tracedFS) forgetUnsynced() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, size := range d.size {
		d.synced[name] = size
	}
}

// openSegmentFiles counts the open files of partitions. Under d.mu.
func (d *tracedFS) openSegmentFiles() (count int) {
	for name, n := range d.open {
		if isSegmentFile(name) {
			count += n
		}
	}
	return count
}

// manySegments makes a topic of 300 segments with one batch each, with an index.
func manySegments(t testing.TB, e *Engine) (*Partition, []string) {
	p := createTopic(t, e, "t", "index.interval.bytes", "10")
	all := numbered(600)
	tune(p, segmentBytes(int64(2*len(batchOf(t, 0, all[599])))))
	for i, v := range all {
		appendSoon(t, p, batchOf(t, int64(i), v))
	}
	if err := p.AwaitHighWatermark(context.Background(), 600); err != nil {
		t.Fatal(err)
	}
	// What is left is clean.
	if err := soon(func() error { _, err := e.checkpoint(false); return err }); err != nil {
		t.Fatal(err)
	}
	if n := len(p.log.list()); n < 300 {
		t.Fatalf("%d segments, want 300", n)
	}
	return p, all
}

// appendSoon appends when there is a descriptor for it, and tells how often there
// was none.
func appendSoon(t testing.TB, p *Partition, batches []byte) (refused int) {
	t.Helper()
	err := soon(func() error {
		refused++
		r := &AppendRequest{Batches: batches}
		p.Append(r)
		return r.Err
	})
	if err != nil {
		t.Errorf("append: %v", err)
	}
	return refused - 1
}

// soon does what is refused for want of a descriptor again, for 10 s.
func soon(do func() error) (err error) {
	for range 5000 {
		if err = do(); !errors.Is(err, ErrTooManyOpenFiles) {
			return err
		}
		time.Sleep(2 * time.Millisecond)
	}
	return err
}

// A directory of 300 segments and 600 index files works with 32 descriptors:
// while readers of all kinds and a writer need others at each step, never more
// are open, none is closed that has unsynced bytes, every reader gets its bytes,
// and the engine counts what is open.
func TestOpenFilesAreBounded(t *testing.T) {
	const most = 32
	fs := traceDir(t, t.TempDir())
	w := watchFiles(t, fs, most)
	e := openEngine(t, "", onFS(fs), openFiles(most))
	p, all := manySegments(t, e)
	holds(t, p, all...)
	for restart := range 2 { // one clean, one not
		var using sync.WaitGroup
		for n := range 4 {
			using.Go(func() { wander(t, p, all, uint64(n)) })
		}
		using.Go(func() {
			for i := range 100 {
				appendSoon(t, p, batchOf(t, int64(600+i), "more"))
			}
		})
		within(t, "wandering", using.Wait)
		if err := p.AwaitHighWatermark(context.Background(), Offset(len(all)+100)); err != nil {
			t.Fatal(err)
		}
		all = append(all, strings.Split(strings.Repeat("more ", 100), " ")[:100]...)
		holds(t, p, all...)
		fs.mu.Lock()
		open := fs.openSegmentFiles()
		fs.mu.Unlock()
		if s := e.Stats(); s.OpenFiles != open || s.MaxOpenFiles != most {
			t.Errorf("%+v, but %d files are open", s, open)
		}
		if restart == 0 {
			e = reopen(t, e, onFS(fs), openFiles(most))
		} else {
			w.end(true)
			crash(t, e)
			w.end(false)
			fs.forgetUnsynced()
			e = openEngine(t, "", onFS(fs), openFiles(most))
		}
		p = partition(t, e, "t")
		tune(p, segmentBytes(int64(2*len(batchOf(t, 0, "599")))))
		holds(t, p, all...)
	}
	if w.peak < most-most/4 {
		t.Errorf("at most %d of %d files were open: nothing was tested", w.peak, most)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if names := fs.leaked(); len(names) > 0 {
		t.Errorf("files left open: %v", names)
	}
}

// wander reads here and there, holds a few slices while it goes on, and looks
// into each before it lets it go.
func wander(t *testing.T, p *Partition, all []string, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 1))
	type held struct {
		slice Slice
		off   Offset
	}
	var slices []held
	for range 300 {
		off := Offset(random.IntN(len(all)))
		if random.IntN(4) == 0 && off < 600 {
			var got FoundOffset
			err := soon(func() (err error) {
				got, err = p.OffsetByTime(int64(off))
				return err
			})
			if err != nil || got.Offset != off {
				t.Errorf("offset of time %d: %+v, %v", off, got, err)
			}
			continue
		}
		var s Slice
		err := soon(func() (err error) {
			s, err = p.Fetch(FetchRequest{Offset: off, MaxBytes: 1})
			return err
		})
		if err != nil {
			t.Error(err)
			return
		}
		if slices = append(slices, held{s, off}); len(slices) == 4 {
			h := slices[0]
			slices = slices[1:]
			checkValue(t, &h.slice, h.off, all[h.off])
			h.slice.Close()
		}
	}
	for _, h := range slices {
		checkValue(t, &h.slice, h.off, all[h.off])
		h.slice.Close()
	}
}

// checkValue wants the slice to hold one batch with one value.
func checkValue(t *testing.T, s *Slice, off Offset, want string) {
	got, err := s.ReadAll(nil)
	if err != nil {
		t.Error(err)
		return
	}
	b := record.Batch(got)
	if err := b.Verify(); err != nil || b.BaseOffset() != off || !bytes.Contains(got, []byte(want)) {
		t.Errorf("fetch at %d: batch at %d, %v, want %q in it", off, b.BaseOffset(), err, want)
	}
}

// Topics that are synced by flush.ms alone keep their files open until then. When
// that leaves too few they are synced at once, so appending to 100 partitions
// goes on with 16 descriptors, and no description is closed that wrote bytes that
// were not synced.
func TestUnsyncedFilesAreSyncedToBeClosed(t *testing.T) {
	fs := traceDir(t, t.TempDir())
	watchFiles(t, fs, leastOpenFiles)
	e := openEngine(t, "", onFS(fs), openFiles(leastOpenFiles))
	topic, err := e.CreateTopic(TopicSpec{Name: "t", Partitions: 100, Configs: map[string]string{"flush.messages": "1000000"}})
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for round := range 3 {
		for _, p := range topic.Partitions() {
			refused += appendSoon(t, p, batchOf(t, 1, fmt.Sprint(round)))
		}
	}
	if _, err := e.AlterTopic("t", TopicChange{Set: map[string]string{"flush.messages": "1"}}); err != nil {
		t.Fatal(err)
	}
	for _, p := range topic.Partitions() {
		within(t, "syncing", func() {
			for p.Offsets().Flushed < 3 {
				time.Sleep(time.Millisecond)
			}
		})
	}
	for _, p := range topic.Partitions() {
		holds(t, p, "0", "1", "2")
	}
	if syncs := len(fs.find("datasync", ".log")); syncs < 100 {
		t.Errorf("%d syncs, want at least one for each partition", syncs)
	}
	t.Logf("%d appends were refused meanwhile", refused)
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

// When readers hold as many files as they may, one more is refused in a way that
// can be tried again, an append is not, and both work when a reader lets go.
func TestReserveIsForWriters(t *testing.T) {
	e := openEngine(t, t.TempDir(), openFiles(leastOpenFiles))
	p, all := manySegments(t, e)
	var held []Slice
	var err error
	for off := Offset(0); err == nil; off += 2 {
		var s Slice
		if s, err = p.Fetch(FetchRequest{Offset: off, MaxBytes: 1}); err == nil {
			held = append(held, s)
		}
	}
	if n := len(held); !errors.Is(err, ErrTooManyOpenFiles) || n < 4 || n > leastOpenFiles {
		t.Fatalf("after %d slices: %v", n, err)
	}
	for i := range 10 { // a few rolls
		if appendSoon(t, p, batchOf(t, int64(600+i), fmt.Sprint(600+i))); t.Failed() {
			return
		}
	}
	if err := p.AwaitHighWatermark(context.Background(), 610); err != nil {
		t.Fatal(err)
	}
	for i := range held {
		checkValue(t, &held[i], Offset(2*i), all[2*i])
		held[i].Close()
	}
	holds(t, p, numbered(610)...)
}

// What is used is kept, what was used longest ago goes.
func TestClockKeepsWhatIsUsed(t *testing.T) {
	dir := t.TempDir()
	fs := traceDir(t, dir)
	a := newDescriptors(fs, 12)
	files := make([]descriptor, 20)
	touch := func(i int) {
		t.Helper()
		files[i].useMore()
		if _, err := files[i].open(fmt.Sprint(i), os.O_CREATE, false); err != nil {
			t.Fatal(err)
		}
		files[i].done()
	}
	for i := range files {
		files[i].init(a, nil)
	}
	for i := range files {
		touch(i)
		touch(0)
		if !files[0].isOpen() || !files[i].isOpen() {
			t.Fatalf("after %d: file 0 open %v, file %d open %v", i, files[0].isOpen(), i, files[i].isOpen())
		}
	}
	if n := a.count(); n != 8 {
		t.Errorf("%d files open, want 8 and a reserve of 4", n)
	}
	for i := range files {
		files[i].close()
	}
	if n, leaked := a.count(), fs.leaked(); n != 0 || len(leaked) > 0 || len(a.clock) > 0 {
		t.Errorf("%d files counted, %v open, %d in the clock after all were closed", n, leaked, len(a.clock))
	}
}

// Descriptors that are used, opened, closed and given up from all sides are
// counted to the last one, and whoever uses a file can read it.
func TestDescriptorsConcurrently(t *testing.T) {
	const most, count = 16, 60
	dir := t.TempDir()
	for i := range count {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), []byte(fmt.Sprint(i)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	fs := traceDir(t, dir)
	a := newDescriptors(fs, most)
	files := make([]descriptor, count)
	for i := range files {
		files[i].init(a, nil)
	}
	read := func(random *rand.Rand) error {
		i := random.IntN(count)
		d := &files[i]
		if !d.use() {
			return nil // given up below
		}
		defer func() {
			if d.done() {
				d.close()
			}
		}()
		f, err := d.open(fmt.Sprint(i), 0, random.IntN(2) == 0)
		if errors.Is(err, ErrTooManyOpenFiles) {
			return nil
		}
		if err != nil {
			return err
		}
		got := make([]byte, len(fmt.Sprint(i)))
		if _, err := f.ReadAt(got, 0); err != nil || string(got) != fmt.Sprint(i) {
			return fmt.Errorf("file %d: read %q, %w", i, got, err)
		}
		return nil
	}
	var using sync.WaitGroup
	for n := range 6 {
		using.Go(func() {
			random := rand.New(rand.NewPCG(uint64(n), 2))
			for range 2000 {
				if err := read(random); err != nil {
					t.Error(err)
					return
				}
			}
			for i := n; i < count; i += 6 { // the owner of this one gives it up
				if files[i].giveUp() {
					files[i].close()
				}
			}
		})
	}
	within(t, "reading", using.Wait)
	if n, leaked := a.count(), fs.leaked(); n != 0 || len(leaked) > 0 {
		t.Errorf("%d files counted, %v open in the end", n, leaked)
	}
}

// A process that is out of descriptors closes an idle file for a new one, and
// says so in a way that can be tried again if there is none.
func TestDescriptorLimitOfTheProcess(t *testing.T) {
	fs := traceDir(t, t.TempDir())
	e := openEngine(t, "", onFS(fs))
	_, all := manySegments(t, e)
	e = reopen(t, e, onFS(fs))
	p := partition(t, e, "t")
	var held []Slice
	const limit = 40
	fs.hook(func(c call) error {
		if c.op != "open" {
			return nil
		}
		fs.mu.Lock()
		defer fs.mu.Unlock()
		if fs.openSegmentFiles() >= limit {
			return &os.PathError{Op: "open", Path: c.name, Err: syscall.EMFILE}
		}
		return nil
	})
	holds(t, p, all...)
	for off := Offset(0); ; off += 2 {
		s, err := p.Fetch(FetchRequest{Offset: off, MaxBytes: 1})
		if err != nil {
			if !errors.Is(err, ErrTooManyOpenFiles) || !errors.Is(err, syscall.EMFILE) {
				t.Errorf("fetch without a descriptor: %v", err)
			}
			break
		}
		held = append(held, s)
	}
	for i := range held {
		held[i].Close()
	}
	holds(t, p, all...)
}

// A reader whose file was closed meanwhile is told that the topic was deleted,
// not that a file is missing.
func TestDeletedTopicOfClosedFiles(t *testing.T) {
	fs := traceDir(t, t.TempDir())
	e := openEngine(t, "", onFS(fs), openFiles(leastOpenFiles))
	p, _ := manySegments(t, e)
	first := p.log.list()[0]
	first.pin()
	defer first.Release()
	if first.file.isOpen() {
		t.Fatal("the first segment is still open, want it closed for others")
	}
	fs.hook(func(c call) error {
		if c.op == "open" && c.name == first.name {
			fs.hook(nil)
			if err := e.DeleteTopic("t"); err != nil {
				t.Error(err)
			}
		}
		return nil
	})
	if _, err := p.Fetch(FetchRequest{Offset: 0, MaxBytes: 1}); !errors.Is(err, ErrUnknownTopic) {
		t.Errorf("fetch of a topic that is deleted: %v", err)
	}
}
