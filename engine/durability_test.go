package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rollway/rollway/engine/topicconfig"
)

// fakeClock is a wall clock that stands still until it is moved.
type fakeClock struct{ ms atomic.Int64 }

func newFakeClock() *fakeClock {
	c := new(fakeClock)
	c.ms.Store(1_700_000_000_000)
	return c
}

func (c *fakeClock) now() time.Time { return time.UnixMilli(c.ms.Load()) }

func (c *fakeClock) use(o *Options) { o.Now = c.now }

// advance moves the clock and has the committer look at it, as its timer would.
func (c *fakeClock) advance(e *Engine, d time.Duration) {
	c.ms.Add(d.Milliseconds())
	e.committer.signal()
}

// await fails the test unless the partition's offsets come to satisfy want.
func await(t testing.TB, p *Partition, what string, want func(Offsets) bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !want(p.Offsets()); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: offsets %+v", what, p.Offsets())
		}
	}
}

// An append is answered, and the high watermark passes it, only when every byte
// of the log up to it is durable, and the name of its segment.
func TestVisibleMeansDurable(t *testing.T) {
	fs := traceDir(t, t.TempDir())
	e := openEngine(t, "", onFS(fs))
	p := createTopic(t, e, "t")
	tune(p, segmentBytes(1000))
	check := func(at Offset) {
		for _, s := range p.log.list() {
			visible := visiblePart(s, p.marks.Load()).position
			if durable := fs.durable(s.name); durable < int64(visible) {
				t.Errorf("at %d: %d bytes of %s are visible, %d durable", at, visible, s.name, durable)
			}
		}
		if o := p.Offsets(); o.HighWatermark > o.Flushed {
			t.Errorf("offsets %+v", o)
		}
	}
	// Also looked at while each sync and each directory sync is under way.
	fs.hook(func(c call) error {
		if c.op == "datasync" || c.op == "syncdir" {
			check(-1)
		}
		return nil
	})
	for i := range 40 {
		r := produce(t, p, batchOf(t, 1, fmt.Sprintf("%200d", i)))
		if hw := p.Offsets().HighWatermark; hw < r.NextOffset {
			t.Fatalf("answered at high watermark %d, want %d", hw, r.NextOffset)
		}
		check(r.BaseOffset)
	}
	if n := len(p.log.list()); n < 5 {
		t.Fatalf("%d segments, want several", n)
	}
}

// Neither a reader nor ListOffsets sees an append while its sync is under way,
// and its producer, once answered, reads it.
func TestUnsyncedIsInvisible(t *testing.T) {
	fs := traceDir(t, t.TempDir())
	e := openEngine(t, "", onFS(fs))
	p := createTopic(t, e, "t")
	produceEach(t, p, "0")
	syncing, release := make(chan struct{}), make(chan struct{})
	fs.hook(func(c call) error {
		if c.isLog("datasync") {
			close(syncing)
			<-release
		}
		return nil
	})
	answered := make(chan error)
	go func() {
		answered <- p.Produce(context.Background(), &AppendRequest{Batches: batchOf(t, 99, "1"), Acks: AcksLeader})
	}()
	<-syncing
	if o := p.Offsets(); o.LogEnd != 2 || o.HighWatermark != 1 || o.LastStable != 1 || o.Flushed != 1 {
		t.Errorf("offsets %+v while the second record is synced", o)
	}
	holds(t, p, "0")
	if latest, err := p.Latest(); latest.Offset != 1 || err != nil {
		t.Errorf("latest %+v, %v, want 1", latest, err)
	}
	if found, err := p.OffsetByTime(99); found.Offset != -1 || err != nil {
		t.Errorf("by time %+v, %v, want none", found, err)
	}
	select {
	case err := <-answered:
		t.Errorf("answered before the sync: %v", err)
	default:
	}
	fs.hook(nil)
	close(release)
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	holds(t, p, "0", "1")
	if found, err := p.OffsetByTime(99); found.Offset != 1 || err != nil {
		t.Errorf("by time %+v, %v, want 1", found, err)
	}
}

// Producers that come while a sync is under way share the next one.
func TestGroupCommit(t *testing.T) {
	fs := traceDir(t, t.TempDir())
	e := openEngine(t, "", onFS(fs))
	p := createTopic(t, e, "t")
	produceEach(t, p, "first")
	syncing, release := make(chan struct{}, 10), make(chan struct{})
	fs.hook(func(c call) error {
		if c.isLog("datasync") {
			syncing <- struct{}{}
			<-release
		}
		return nil
	})
	before := e.Stats()
	const producers = 50
	var answered sync.WaitGroup
	send := func() {
		r := &AppendRequest{Batches: batchOf(t, 1, "x"), Acks: AcksAll}
		p.Append(r)
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		answered.Go(func() {
			if err := p.AwaitHighWatermark(context.Background(), r.NextOffset); err != nil {
				t.Error(err)
			}
		})
	}
	send()
	<-syncing
	for range producers - 1 {
		send()
	}
	close(release)
	within(t, "a group of producers", answered.Wait)
	if got := e.Stats().Syncs - before.Syncs; got != 2 {
		t.Errorf("%d syncs for %d producers, want 2", got, producers)
	}
	if got := e.Stats().Commits - before.Commits; got != 2 {
		t.Errorf("%d commits for %d producers, want 2", got, producers)
	}
}

// A commit syncs each file of the group once, the partitions' together.
func TestGroupCommitOfPartitions(t *testing.T) {
	fs := traceDir(t, t.TempDir())
	e := openEngine(t, "", onFS(fs))
	topic, err := e.CreateTopic(TopicSpec{Name: "t", Partitions: 8})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range topic.Partitions() {
		produceEach(t, p, "x")
	}
	var blocked atomic.Bool
	blocked.Store(true)
	syncing, release := make(chan struct{}), make(chan struct{})
	fs.hook(func(c call) error {
		if c.isLog("datasync") && blocked.Swap(false) {
			close(syncing)
			<-release
		}
		return nil
	})
	topic.Partitions()[0].Append(&AppendRequest{Batches: batchOf(t, 1, "y")})
	<-syncing
	before := e.Stats()
	for _, p := range topic.Partitions() {
		p.Append(&AppendRequest{Batches: batchOf(t, 1, "y")})
		p.Append(&AppendRequest{Batches: batchOf(t, 1, "z")})
	}
	close(release)
	for i, p := range topic.Partitions() {
		want := Offset(3)
		if i == 0 {
			want = 4
		}
		await(t, p, "commit", func(o Offsets) bool { return o.HighWatermark == want })
	}
	after := e.Stats()
	if syncs, commits := after.Syncs-before.Syncs, after.Commits-before.Commits; syncs != 8 || commits > 2 {
		t.Errorf("%d syncs and %d commits, want 8 and 1, or 2 with the one under way", syncs, commits)
	}
}

// failedDirectory checks what must hold once a write or sync of a directory has
// failed: nothing is acknowledged, nothing is synced, readers keep acked
// records, no clean shutdown; and after a restart the acknowledged ones are
// there.
func failedDirectory(t *testing.T, fs *tracedFS, e *Engine, acked []string) {
	t.Helper()
	p := partition(t, e, "t")
	if err := e.Failure(); err == nil {
		t.Fatal("the directory goes on")
	}
	// A checkpoint that is under way may end the sync that it is in.
	e.checkpointMu.Lock()
	fs.reset()
	e.checkpointMu.Unlock()
	for range 3 {
		r := &AppendRequest{Batches: batchOf(t, 1, "too late"), Acks: AcksAll}
		if err := p.Produce(context.Background(), r); !errors.Is(err, ErrStorageFailed) {
			t.Errorf("append to a stopped directory: %v", err)
		}
	}
	if _, err := e.CreateTopic(TopicSpec{Name: "other"}); !errors.Is(err, ErrStorageFailed) {
		t.Errorf("create a topic in a stopped directory: %v", err)
	}
	if _, err := e.AlterTopic("t", TopicChange{Partitions: 3}); !errors.Is(err, ErrStorageFailed) {
		t.Errorf("alter a topic in a stopped directory: %v", err)
	}
	if err := e.DeleteTopic("t"); !errors.Is(err, ErrStorageFailed) {
		t.Errorf("delete a topic in a stopped directory: %v", err)
	}
	if _, err := e.checkpoint(false); err != nil && !errors.Is(err, ErrStorageFailed) {
		t.Errorf("checkpoint: %v", err)
	}
	holds(t, p, acked...)
	fs.hook(nil)
	if err := e.Close(); !errors.Is(err, e.Failure()) {
		t.Errorf("close: %v", err)
	}
	if _, err := fs.Stat(cleanShutdownFile); err == nil {
		t.Error("marked as cleanly shut down")
	}
	if late := fs.find("datasync", ""); len(late) > 0 {
		t.Errorf("synced after the failure: %v", late)
	}
	if names := fs.leaked(); len(names) > 0 {
		t.Errorf("files left open: %v", names)
	}
	e = openEngine(t, e.Path())
	got := values(t, partition(t, e, "t"), 0, 1<<20)
	if len(got) < len(acked) || fmt.Sprint(got[:len(acked)]) != fmt.Sprint(acked) {
		t.Errorf("after a restart %q, want %q first", got, acked)
	}
}

// Rule 2: after a failed write or sync of a .log file, whichever it is, the
// directory stops: whoever waits is told, nothing is acknowledged any more, no
// sync is repeated.
func TestWriteBackErrorIsFinal(t *testing.T) {
	f := func(op string, fault error, nth int) {
		t.Helper()
		told := make(chan error, 1)
		fs := traceDir(t, t.TempDir())
		e := openEngine(t, "", onFS(fs), func(o *Options) { o.OnFailure = func(err error) { told <- err } })
		p := createTopic(t, e, "t")
		tune(p, segmentBytes(700))
		var count atomic.Int32
		fs.hook(func(c call) error {
			if c.isLog(op) && int(count.Add(1)) == nth {
				return fault
			}
			return nil
		})
		var acked []string
		for i := 0; ; i++ {
			v := fmt.Sprintf("%100d", i)
			err := p.Produce(context.Background(), &AppendRequest{Batches: batchOf(t, 1, v), Acks: AcksAll})
			if err != nil {
				if !errors.Is(err, ErrStorageFailed) || !errors.Is(err, fault) {
					t.Errorf("%s %d: %v, want %v because of %v", op, nth, err, ErrStorageFailed, fault)
				}
				break
			}
			acked = append(acked, v)
		}
		if len(acked) != nth-1 {
			t.Errorf("%s %d: %d acknowledged, want %d", op, nth, len(acked), nth-1)
		}
		if err := <-told; !errors.Is(err, fault) {
			t.Errorf("OnFailure was told %v", err)
		}
		failedDirectory(t, fs, e, acked)
	}
	for nth := 1; nth <= 20; nth++ {
		f("datasync", syscall.EIO, nth)
	}
	f("datasync", syscall.ENOSPC, 3) // delayed allocation: the pages are lost
	f("write", syscall.EIO, 1)
	f("write", syscall.EIO, 7)
	f("write", syscall.EROFS, 2)
}

// Of a group of files of which one cannot be synced nothing is acknowledged, and
// those whose sync has not begun are not synced any more.
func TestSyncFailureStopsTheGroup(t *testing.T) {
	fs := traceDir(t, t.TempDir())
	e := openEngine(t, "", onFS(fs), func(o *Options) { o.SyncParallelism = 1 })
	topic, err := e.CreateTopic(TopicSpec{Name: "t", Partitions: 6})
	if err != nil {
		t.Fatal(err)
	}
	held, release := make(chan struct{}), make(chan struct{})
	var count atomic.Int32
	fs.hook(func(c call) error {
		if !c.isLog("datasync") {
			return nil
		}
		switch count.Add(1) {
		case 1: // keeps the committer busy until a group has gathered
			close(held)
			<-release
		case 3:
			return syscall.EIO
		}
		return nil
	})
	partitions := topic.Partitions()
	partitions[0].Append(&AppendRequest{Batches: batchOf(t, 1, "x")})
	<-held
	results := make(chan error, len(partitions))
	for _, p := range partitions {
		r := &AppendRequest{Batches: batchOf(t, 1, "y"), Acks: AcksAll}
		p.Append(r)
		go func() { results <- p.AwaitHighWatermark(context.Background(), r.NextOffset) }()
	}
	close(release)
	for range partitions {
		if err := <-results; !errors.Is(err, ErrStorageFailed) {
			t.Errorf("a producer of the group was told %v", err)
		}
	}
	if got := count.Load(); got != 3 {
		t.Errorf("%d syncs begun, want none after the third, which failed", got)
	}
}

// A directory sync that fails where a segment is made is final too.
func TestDirectorySyncFailureIsFinal(t *testing.T) {
	fs := traceDir(t, t.TempDir())
	e := openEngine(t, "", onFS(fs))
	p := createTopic(t, e, "t")
	tune(p, segmentBytes(200))
	produceEach(t, p, "0")
	fs.hook(func(c call) error {
		if c.is("syncdir", "t-0") {
			return syscall.EIO
		}
		return nil
	})
	acked := []string{"0"}
	for len(acked) < 10 {
		v := fmt.Sprint(len(acked))
		if err := p.Produce(context.Background(), &AppendRequest{Batches: batchOf(t, 1, v)}); err != nil {
			matchError(t, err, ErrStorageFailed, "input/output error")
			break
		}
		if err := p.AwaitHighWatermark(context.Background(), Offset(len(acked)+1)); err != nil {
			t.Fatal(err)
		}
		acked = append(acked, v)
	}
	failedDirectory(t, fs, e, acked)
}

// An index that cannot be synced stops the directory at the checkpoint, and the
// recovery point stays.
func TestIndexSyncFailureIsFinal(t *testing.T) {
	fs := traceDir(t, t.TempDir())
	e := openEngine(t, "", onFS(fs))
	p := createTopic(t, e, "t", "index.interval.bytes", "10")
	produceEach(t, p, numbered(9)...)
	fs.hook(func(c call) error {
		if c.is("datasync", "index") {
			return syscall.EIO
		}
		return nil
	})
	if _, err := e.checkpoint(false); !errors.Is(err, ErrStorageFailed) {
		t.Errorf("checkpoint: %v", err)
	}
	if points := getFile(t, fs, recoveryPointFile); points != "" {
		t.Errorf("recovery points %q, want none", points)
	}
	failedDirectory(t, fs, e, numbered(9))
}

// Index entries that cannot be written stop the directory when a segment is
// sealed, and when a block of them is full.
func TestIndexWriteFailureIsFinal(t *testing.T) {
	f := func(suffix string, bytes int64) {
		t.Helper()
		fs := traceDir(t, t.TempDir())
		fs.noSync = true
		e := openEngine(t, "", onFS(fs))
		p := createTopic(t, e, "t", "index.interval.bytes", "0")
		tune(p, segmentBytes(bytes))
		fs.hook(func(c call) error {
			if c.is("write", suffix) {
				return syscall.EIO
			}
			return nil
		})
		var acked []string
		for len(acked) < 2*indexBlockEntries {
			v := fmt.Sprint(len(acked))
			r := &AppendRequest{Batches: batchOf(t, int64(len(acked)), v), Acks: AcksAll}
			if err := p.Produce(context.Background(), r); err != nil {
				matchError(t, err, ErrStorageFailed, "input/output error")
				break
			}
			acked = append(acked, v)
		}
		failedDirectory(t, fs, e, acked)
	}
	f(".timeindex", 500)
	f(".index", 500)
	f(".index", 1<<20)
}

// A write that finds no space costs that request alone: nothing of it is seen,
// reading goes on, and later appends take its offsets.
func TestNoSpaceForAppend(t *testing.T) {
	f := func(fault error) {
		t.Helper()
		fs := traceDir(t, t.TempDir())
		e := openEngine(t, "", onFS(fs))
		p := createTopic(t, e, "t")
		tune(p, segmentBytes(2000))
		var want []string
		var full atomic.Bool
		fs.hook(func(c call) error {
			if full.Load() && c.op == "write" {
				return fault
			}
			return nil
		})
		for i := range 60 {
			v := fmt.Sprintf("%100d", i)
			full.Store(i%3 == 1)
			r := &AppendRequest{Batches: batchOf(t, 1, v), Acks: AcksAll}
			err := p.Produce(context.Background(), r)
			if !full.Load() {
				if err != nil || int(r.BaseOffset) != len(want) {
					t.Fatalf("append %d: offset %d, %v, want offset %d", i, r.BaseOffset, err, len(want))
				}
				want = append(want, v)
				continue
			}
			if !errors.Is(err, ErrNoSpace) || !errors.Is(err, fault) || errors.Is(err, ErrStorageFailed) {
				t.Fatalf("append %d: %v, want %v", i, err, ErrNoSpace)
			}
			if o := p.Offsets(); int(o.LogEnd) != len(want) {
				t.Fatalf("offsets %+v after a refused append, want an end of %d", o, len(want))
			}
			holds(t, p, want...)
		}
		if n := len(p.log.list()); n < 3 {
			t.Errorf("%d segments, want several", n)
		}
		full.Store(false)
		holds(t, partition(t, recrash(t, e), "t"), want...)
	}
	f(syscall.ENOSPC)
	f(syscall.EDQUOT)
}

// A segment that cannot be made leaves the log as it was, with no file behind,
// and is made when it can be.
func TestNoSpaceForSegment(t *testing.T) {
	f := func(fault, want error) {
		t.Helper()
		fs := traceDir(t, t.TempDir())
		e := openEngine(t, "", onFS(fs))
		p := createTopic(t, e, "t")
		tune(p, segmentBytes(300))
		produceEach(t, p, "0", "1", "2")
		fs.hook(func(c call) error {
			if c.isLog("create") {
				return fault
			}
			return nil
		})
		acked := 3
		for ; ; acked++ {
			err := p.Produce(context.Background(), &AppendRequest{Batches: batchOf(t, 1, fmt.Sprint(acked)), Acks: AcksAll})
			if err != nil {
				if !errors.Is(err, want) || errors.Is(err, ErrStorageFailed) {
					t.Errorf("%v: %v, want %v", fault, err, want)
				}
				break
			}
		}
		holds(t, p, numbered(acked)...)
		fs.hook(nil)
		produceEach(t, p, fmt.Sprint(acked))
		holds(t, p, numbered(acked+1)...)
		holds(t, partition(t, reopen(t, e), "t"), numbered(acked+1)...)
		if names := fs.leaked(); len(names) > 0 {
			t.Errorf("files left open: %v", names)
		}
	}
	f(syscall.ENOSPC, ErrNoSpace)
	f(syscall.EMFILE, syscall.EMFILE)
}

// On a full disk a damaged index costs memory, not the records behind it.
func TestNoSpaceForIndexRebuild(t *testing.T) {
	fs := traceDir(t, t.TempDir())
	e := openEngine(t, "", onFS(fs))
	p := createTopic(t, e, "t", "index.interval.bytes", "10")
	tune(p, segmentBytes(300))
	produceEach(t, p, numbered(20)...)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	edit(t, func([]byte) []byte { return []byte("garbage") }, e.Path(), "t-0", "00000000000000000000.index")
	e = openEngine(t, "", onFS(fs))
	fs.hook(func(c call) error {
		if c.op == "write" {
			return syscall.ENOSPC
		}
		return nil
	})
	holds(t, partition(t, e, "t"), numbered(20)...)
	found, err := partition(t, e, "t").OffsetByTime(1)
	if found.Offset != 1 || err != nil {
		t.Errorf("offset by time %+v, %v, want 1", found, err)
	}
}

// A failed sync of an index that a reader has rebuilt stops the directory too.
func TestReaderReportsSyncFailure(t *testing.T) {
	fs := traceDir(t, t.TempDir())
	e := openEngine(t, "", onFS(fs))
	p := createTopic(t, e, "t", "index.interval.bytes", "10")
	tune(p, segmentBytes(300))
	produceEach(t, p, numbered(20)...)
	f := func(read func(*Partition) error) {
		t.Helper()
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		edit(t, func([]byte) []byte { return []byte("garbage") }, e.Path(), "t-0", "00000000000000000000.index")
		e = openEngine(t, "", onFS(fs))
		fs.hook(func(c call) error {
			if c.is("datasync", "index") {
				return syscall.EIO
			}
			return nil
		})
		if err := read(partition(t, e, "t")); !errors.Is(err, ErrStorageFailed) {
			t.Errorf("reader was told %v", err)
		}
		if e.Failure() == nil {
			t.Error("the directory goes on")
		}
		fs.hook(nil)
		e.Close()
		e = openEngine(t, "", onFS(fs))
	}
	f(func(p *Partition) error {
		_, err := p.Fetch(FetchRequest{Offset: 2, MaxBytes: 100})
		return err
	})
	f(func(p *Partition) error {
		_, err := p.Seek(2)
		return err
	})
	f(func(p *Partition) error {
		_, err := p.OffsetByTime(2)
		return err
	})
	f(func(p *Partition) error {
		_, err := p.OffsetOfMaxTimestamp()
		return err
	})
}

// Readers of a stopped directory get what is visible at once, however much more
// they asked for, and an error only where nothing is left to read.
func TestFetchWaitOfStoppedDirectory(t *testing.T) {
	e := openEngine(t, t.TempDir())
	p := createTopic(t, e, "t")
	produceEach(t, p, "0", "1")
	e.fail(syncFault(syscall.EIO))
	s, err := p.FetchWait(context.Background(), FetchRequest{Offset: 0, MaxBytes: 1 << 20}, 1<<20, time.Hour)
	if err != nil || s.Len == 0 {
		t.Errorf("fetch of %d bytes, %v, want what is visible", s.Len, err)
	}
	s.Close()
	if _, err = p.FetchWait(context.Background(), FetchRequest{Offset: 2, MaxBytes: 100}, 1, time.Hour); !errors.Is(err, ErrStorageFailed) {
		t.Errorf("fetch at the end: %v, want %v", err, ErrStorageFailed)
	}
}

// A topic that opts out shows its records at once and syncs them when
// flush.messages have gathered.
func TestFlushMessages(t *testing.T) {
	fs := traceDir(t, t.TempDir())
	e := openEngine(t, "", onFS(fs))
	p := createTopic(t, e, "t", "flush.messages", "100")
	fs.reset()
	for i := range 99 {
		r := produce(t, p, batchOf(t, 1, fmt.Sprint(i)))
		if o := p.Offsets(); o.HighWatermark != r.NextOffset || o.Flushed != 0 {
			t.Fatalf("offsets %+v after %d records", o, i+1)
		}
	}
	holds(t, p, numbered(99)...)
	if syncs := fs.find("datasync", ".log"); len(syncs) > 0 {
		t.Fatalf("%d syncs of 99 records, want none", len(syncs))
	}
	produce(t, p, batchOf(t, 1, "99"))
	await(t, p, "flush after 100 records", func(o Offsets) bool { return o.Flushed == 100 })
	if syncs := fs.find("datasync", ".log"); len(syncs) != 1 {
		t.Errorf("%d syncs of 100 records, want one", len(syncs))
	}
}

// A topic that opts out has its records synced flush.ms after the first of them,
// by the engine's clock; a shorter time that is set meanwhile counts.
func TestFlushMs(t *testing.T) {
	fs, clock := traceDir(t, t.TempDir()), newFakeClock()
	e := openEngine(t, "", onFS(fs), clock.use)
	p := createTopic(t, e, "t", "flush.messages", "1000", "flush.ms", "3600000")
	// A round of another partition shows that the committer has looked.
	other := createTopic(t, e, "other")
	flushed := func(want Offset) {
		t.Helper()
		clock.advance(e, 0)
		produceEach(t, other, "x")
		produceEach(t, other, "x")
		if o := p.Offsets(); o.Flushed != want {
			t.Errorf("offsets %+v, want %d flushed", o, want)
		}
	}
	produceEach(t, p, "0")
	clock.advance(e, 59*time.Minute)
	produceEach(t, p, "1")
	flushed(0)
	clock.advance(e, time.Minute)
	flushed(2)
	produceEach(t, p, "2")
	if _, err := e.AlterTopic("t", TopicChange{Set: map[string]string{"flush.ms": "1000"}}); err != nil {
		t.Fatal(err)
	}
	produceEach(t, p, "3")
	clock.advance(e, time.Second)
	flushed(4)
	holds(t, p, numbered(4)...)
}

// Records that are not synced are so after a clean stop, and what a killed
// process left in the page cache is made durable before it is shown again.
func TestOptOutIsSyncedByStopAndStart(t *testing.T) {
	fs := traceDir(t, t.TempDir())
	e := openEngine(t, "", onFS(fs))
	p := createTopic(t, e, "t", "flush.messages", "1000")
	tune(p, segmentBytes(300))
	check := func(p *Partition, want ...string) {
		t.Helper()
		holds(t, p, want...)
		for _, s := range p.log.list() {
			if durable := fs.durable(s.name); durable < int64(s.size) {
				t.Errorf("%d of %d bytes of %s are durable", durable, s.size, s.name)
			}
		}
	}
	produceEach(t, p, numbered(20)...)
	if o := p.Offsets(); o.Flushed != 0 || o.HighWatermark != 20 {
		t.Fatalf("offsets %+v", o)
	}
	crash(t, e)
	e = openEngine(t, "", onFS(fs))
	check(partition(t, e, "t"), numbered(20)...)
	produceEach(t, partition(t, e, "t"), "20")
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = openEngine(t, "", onFS(fs))
	check(partition(t, e, "t"), numbered(21)...)
}

// A topic that comes back to flush.messages=1 has what is visible synced, and
// from then on shows only what is; the high watermark never goes back.
func TestBackToDurable(t *testing.T) {
	e := openEngine(t, t.TempDir())
	p := createTopic(t, e, "t", "flush.messages", "1000")
	produceEach(t, p, "0", "1")
	if _, err := e.AlterTopic("t", TopicChange{Reset: []string{"flush.messages"}}); err != nil {
		t.Fatal(err)
	}
	await(t, p, "flush", func(o Offsets) bool { return o.Flushed == 2 && o.HighWatermark == 2 })
	produceEach(t, p, "2")
	if o := p.Offsets(); o.Flushed != 3 {
		t.Errorf("offsets %+v, want 3 flushed", o)
	}
	if _, err := e.AlterTopic("t", TopicChange{Set: map[string]string{"flush.messages": "1000"}}); err != nil {
		t.Fatal(err)
	}
	produceEach(t, p, "3")
	if o := p.Offsets(); o.Flushed != 3 || o.HighWatermark != 4 {
		t.Errorf("offsets %+v, want 3 flushed and 4 visible", o)
	}
}

// An append that began before its topic became durable is synced and answered.
func TestBackToDurableWhileAppending(t *testing.T) {
	fs := traceDir(t, t.TempDir())
	e := openEngine(t, "", onFS(fs))
	p := createTopic(t, e, "t", "flush.messages", "1000")
	var once sync.Once
	fs.hook(func(c call) error {
		if c.isLog("write") {
			once.Do(func() {
				if _, err := e.AlterTopic("t", TopicChange{Reset: []string{"flush.messages"}}); err != nil {
					t.Error(err)
				}
			})
		}
		return nil
	})
	within(t, "the append", func() { produceEach(t, p, "0") })
}

// acks=0 is not waited for and yet joins the commit.
func TestAcksNone(t *testing.T) {
	fs := traceDir(t, t.TempDir())
	e := openEngine(t, "", onFS(fs))
	p := createTopic(t, e, "t")
	release := make(chan struct{})
	fs.hook(func(c call) error {
		if c.isLog("datasync") {
			<-release
		}
		return nil
	})
	if err := p.Produce(context.Background(), &AppendRequest{Batches: batchOf(t, 1, "0"), Acks: AcksNone}); err != nil {
		t.Fatal(err)
	}
	if o := p.Offsets(); o.LogEnd != 1 || o.HighWatermark != 0 {
		t.Errorf("offsets %+v, want one record that is not visible", o)
	}
	close(release)
	await(t, p, "commit", func(o Offsets) bool { return o.HighWatermark == 1 })
}

// min.insync.replicas above one refuses acks=all, as nothing is written, and
// nothing else.
func TestMinInsyncReplicas(t *testing.T) {
	e := openEngine(t, t.TempDir())
	p := createTopic(t, e, "t", "min.insync.replicas", "2")
	err := p.Produce(context.Background(), &AppendRequest{Batches: batchOf(t, 1, "x"), Acks: AcksAll})
	matchError(t, err, ErrNotEnoughReplicas, "min.insync.replicas wants 2")
	if o := p.Offsets(); o.LogEnd != 0 {
		t.Errorf("offsets %+v after a refusal", o)
	}
	for _, acks := range []Acks{AcksNone, AcksLeader} {
		if err := p.Produce(context.Background(), &AppendRequest{Batches: batchOf(t, 1, "x"), Acks: acks}); err != nil {
			t.Errorf("acks=%d: %v", acks, err)
		}
	}
}

// Whoever waits for a directory that stops, or a topic that is deleted, or until
// a context ends, is told so.
func TestWaitersAreTold(t *testing.T) {
	f := func(want error, stop func(e *Engine, cancel func())) {
		t.Helper()
		e := openEngine(t, t.TempDir())
		p := createTopic(t, e, "t")
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		var waiting sync.WaitGroup
		for i := range 10 {
			waiting.Go(func() {
				if err := p.AwaitHighWatermark(ctx, Offset(i+1)); !errors.Is(err, want) {
					t.Errorf("told %v, want %v", err, want)
				}
			})
		}
		stop(e, cancel)
		within(t, "a waiter", waiting.Wait)
	}
	f(ErrStorageFailed, func(e *Engine, _ func()) { e.fail(syscall.EIO) })
	f(ErrUnknownTopic, func(e *Engine, _ func()) { e.DeleteTopic("t") })
	f(ErrClosed, func(e *Engine, _ func()) { e.Close() })
	f(context.Canceled, func(_ *Engine, cancel func()) { cancel() })
}

// A waiter of a partition that is being recovered waits, also when another
// partition's recovery has stopped the directory, and obeys its context.
func TestWaitWhileRecovering(t *testing.T) {
	dir := t.TempDir()
	e := openEngine(t, dir)
	produceEach(t, createTopic(t, e, "t"), "0")
	crash(t, e)
	fs := traceDir(t, dir)
	recovering, release := make(chan struct{}), make(chan struct{})
	fs.hook(func(c call) error {
		if c.isLog("datasync") {
			close(recovering)
			<-release
		}
		return nil
	})
	e, err := Open("", Options{FS: fs, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	<-recovering
	p := partition(t, e, "t")
	if err := p.Produce(context.Background(), &AppendRequest{Batches: batchOf(t, 1, "x")}); !errors.Is(err, ErrNotReady) {
		t.Errorf("append to a partition in recovery: %v", err)
	}
	if _, err := p.Fetch(FetchRequest{MaxBytes: 1}); !errors.Is(err, ErrNotReady) {
		t.Errorf("fetch from a partition in recovery: %v", err)
	}
	e.fail(syscall.EIO)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	within(t, "a waiter of a partition in recovery", func() {
		if err := p.AwaitHighWatermark(ctx, 5); !errors.Is(err, context.Canceled) {
			t.Errorf("told %v, want %v", err, context.Canceled)
		}
	})
	close(release)
}

// The config that is in force when records are appended decides how they are
// committed, whatever else changes meanwhile.
func TestTuneIsSeen(t *testing.T) {
	e := openEngine(t, t.TempDir())
	p := createTopic(t, e, "t")
	tune(p, func(c *topicconfig.Config) { c.FlushMessages = 10 })
	produceEach(t, p, "0")
	if o := p.Offsets(); o.Flushed != 0 || o.HighWatermark != 1 {
		t.Errorf("offsets %+v, want one record visible and none flushed", o)
	}
}
