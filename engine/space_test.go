package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollway/rollway/engine/vfs"
)

// smallFS is a directory on a file system of its own: capacity bytes, of which
// others use foreign. What does not fit fails with ENOSPC.
type smallFS struct {
	*tracedFS
	t        testing.TB
	capacity int64
	foreign  atomic.Int64
	looks    atomic.Int64 // calls of Space
}

func smallDir(t testing.TB, dir string, capacity int64) *smallFS {
	t.Helper()
	fs := &smallFS{tracedFS: traceDir(t, dir), t: t, capacity: capacity}
	fs.hook(fs.refuse)
	return fs
}

// refuse is the hook that keeps to the capacity.
func (d *smallFS) refuse(c call) error {
	need := int64(1)
	switch c.op {
	case "write":
		info, err := os.Stat(filepath.Join(d.Path(), c.name))
		if errors.Is(err, os.ErrNotExist) {
			return nil // it was unlinked meanwhile
		}
		need = c.at + c.bytes - info.Size()
	case "create":
		if _, err := os.Stat(filepath.Join(d.Path(), c.name)); err == nil {
			return nil
		}
	case "mkdir", "rename":
	default:
		return nil
	}
	if need > 0 && need > d.free() {
		return &os.PathError{Op: c.op, Path: c.name, Err: syscall.ENOSPC}
	}
	return nil
}

// free is what is left; the directory's own files count with their sizes.
func (d *smallFS) free() int64 {
	free := d.capacity - d.foreign.Load()
	filepath.WalkDir(d.Path(), func(_ string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			if info, err := entry.Info(); err == nil {
				free -= info.Size()
			}
		}
		return nil
	})
	return free
}

// leave has others use all but free bytes.
func (d *smallFS) leave(free int64) { d.foreign.Add(d.free() - free) }

func (d *smallFS) Space() (vfs.Space, error) {
	d.looks.Add(1)
	return vfs.Space{Total: d.capacity, Available: max(d.free(), 0), Type: "small"}, nil
}

// withFloor sets Options.MinFreeBytes, withBallast Options.BallastBytes.
func withFloor(bytes int64) func(*Options)     { return func(o *Options) { o.MinFreeBytes = bytes } }
func withBallastOf(bytes int64) func(*Options) { return func(o *Options) { o.BallastBytes = bytes } }
func logInto(b *lockedBuffer) func(*Options) {
	return func(o *Options) { o.Log = slog.New(slog.NewTextHandler(b, nil)) }
}
func tryProduce(p *Partition, batch []byte) error {
	return p.Produce(context.Background(), &AppendRequest{Batches: batch, Acks: AcksAll})
}

// lockedBuffer is what an engine logs.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// count is how many lines say text.
func (b *lockedBuffer) count(text string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Count(b.b.String(), text)
}

const (
	saysRefused = "appends are refused"
	saysResumed = "there is room again"
)

// Below the floor appends and new partitions are refused, everything else goes
// on; above it, and a little, they are taken again. Both are logged once.
func TestFloor(t *testing.T) {
	var log lockedBuffer
	fs := smallDir(t, t.TempDir(), 100<<20)
	e := openEngine(t, "", onFS(fs), withFloor(16<<20), logInto(&log))
	p := createTopic(t, e, "t")
	createTopic(t, e, "other")
	produceEach(t, p, numbered(5)...)

	fs.leave(16<<20 - 1)
	e.space.look()
	for range 3 {
		err := tryProduce(p, batchOf(t, 1, "refused"))
		matchError(t, err, ErrNoSpace, "want at least 16777216: make room there, or lower the floor (MinFreeBytes, --min-free)")
		e.space.look()
	}
	_, err := e.CreateTopic(TopicSpec{Name: "new"})
	matchError(t, err, ErrNoSpace, "create topic new")
	_, err = e.AlterTopic("t", TopicChange{Partitions: 2})
	matchError(t, err, ErrNoSpace, "add partitions to topic t")
	if now, err := e.Space(); err != nil || !errors.Is(now.Refusing, ErrNoSpace) || now.MinFree != 16<<20 {
		t.Errorf("space %+v, %v, want one that says why appends are refused", now, err)
	}
	if n := e.Stats().Refused; n != 5 {
		t.Errorf("%d refusals counted, want 5", n)
	}
	holds(t, p, numbered(5)...)
	if _, err := e.AlterTopic("t", TopicChange{Set: map[string]string{"retention.ms": "1"}}); err != nil {
		t.Errorf("configs below the floor: %v", err)
	}
	if err := e.DeleteTopic("other"); err != nil {
		t.Errorf("deletion below the floor: %v", err)
	}
	if e.tryCheckpoint(); e.checkpointed(p) != 5 {
		t.Error("the recovery point does not move below the floor")
	}

	fs.leave(16 << 20)
	e.space.look()
	matchError(t, tryProduce(p, batchOf(t, 1, "refused")), ErrNoSpace, "")
	fs.leave(17 << 20)
	e.space.look()
	produceEach(t, p, "5")
	createTopic(t, e, "new")
	holds(t, p, numbered(6)...)
	if now, _ := e.Space(); now.Refusing != nil {
		t.Errorf("still refusing: %v", now.Refusing)
	}
	if begun, ended := log.count(saysRefused), log.count(saysResumed); begun != 1 || ended != 1 {
		t.Errorf("logged %d beginnings and %d ends, want one each", begun, ended)
	}
}

// Below the floor a batch that is in the log is answered from memory when it is sent
// again, or its producer would not learn where it is before there is room. What is not
// in the log is refused for want of space, also what would be out of order: the batch
// before it was refused, too. Neither shows that there is room again.
func TestFloorAnswersDuplicates(t *testing.T) {
	fs := smallDir(t, t.TempDir(), 100<<20)
	e := openEngine(t, "", onFS(fs), withFloor(16<<20))
	s := sequences{t, createTopic(t, e, "t")}
	s.good(0, sequenced(t, 7, 0, 0, 2))
	fs.leave(16<<20 - 1)
	e.space.look()
	below := func() {
		t.Helper()
		s.again(0, 2, sequenced(t, 7, 0, 0, 2))
		s.bad(ErrNoSpace, sequenced(t, 7, 0, 2, 1))
		s.bad(ErrNoSpace, sequenced(t, 7, 0, 3, 1))
		s.bad(ErrNoSpace, sequenced(t, 8, 0, 0, 1))
	}
	below()
	duplicate := &AppendRequest{Batches: sequenced(t, 7, 0, 0, 2)}
	next := &AppendRequest{Batches: sequenced(t, 7, 0, 2, 1)}
	s.p.Append(next, duplicate)
	if !errors.Is(next.Err, ErrNoSpace) || duplicate.Err != nil || !duplicate.Duplicate {
		t.Errorf("in one call: %v for a new batch, %v for one sent again, want ErrNoSpace and none", next.Err, duplicate.Err)
	}
	if n := e.Stats().Refused; n != 4 {
		t.Errorf("%d refusals counted, want 4", n)
	}

	fs.leave(50 << 20)
	e.space.foundFull(syscall.EDQUOT)
	below()
	e.space.look()
	s.again(0, 2, sequenced(t, 7, 0, 0, 2))
	if !e.space.trial.Load() {
		t.Error("a batch that was not written ends the trial")
	}
	s.good(2, sequenced(t, 7, 0, 2, 1))
	if e.space.trial.Load() {
		t.Error("the trial goes on although a batch was written")
	}
}

// checkpointed is a partition's recovery point.
func (e *Engine) checkpointed(p *Partition) Offset {
	e.checkpointMu.Lock()
	defer e.checkpointMu.Unlock()
	return p.recoveryPoint
}

// A look that was held up does not undo what a later one has found: here the watcher
// has seen much free space, and another look that there is none, before the watcher
// gets on.
func TestLooksDoNotOvertake(t *testing.T) {
	fs := &heldFS{smallFS: smallDir(t, t.TempDir(), 100<<20)}
	e := openEngine(t, "", onFS(fs), withFloor(16<<20))
	held, release := make(chan struct{}), make(chan struct{})
	hold := func() { close(held); <-release }
	fs.hold.Store(&hold)
	var looks sync.WaitGroup
	looks.Go(func() { e.space.look() })
	<-held
	fs.leave(1 << 20)
	later := make(chan struct{})
	looks.Go(func() { e.space.look(); close(later) })
	select {
	case <-later: // which it must not be
	case <-time.After(20 * time.Millisecond):
	}
	close(release)
	looks.Wait()
	if e.space.refusing() == nil {
		t.Error("appends are taken below the floor")
	}
}

// heldFS runs hold, once, in a call of Space that has found its answer.
type heldFS struct {
	*smallFS
	hold atomic.Pointer[func()]
}

func (d *heldFS) Space() (vfs.Space, error) {
	found, err := d.smallFS.Space()
	if hold := d.hold.Swap(nil); hold != nil {
		(*hold)()
	}
	return found, err
}

// A start below the floor refuses from the first append on, and serves.
func TestFloorAtStart(t *testing.T) {
	fs := smallDir(t, t.TempDir(), 100<<20)
	e := openEngine(t, "", onFS(fs), withFloor(1<<20))
	produceEach(t, createTopic(t, e, "t"), numbered(5)...)
	fs.leave(1000)
	for _, open := range []func(testing.TB, *Engine, ...func(*Options)) *Engine{reopen, recrash} {
		e = open(t, e, onFS(fs), withFloor(1<<20))
		p := partition(t, e, "t")
		matchError(t, tryProduce(p, batchOf(t, 1, "x")), ErrNoSpace, "1048576")
		holds(t, p, numbered(5)...)
	}
}

// The watcher itself notices, without a restart and without anybody calling it.
func TestFloorIsWatched(t *testing.T) {
	fs := smallDir(t, t.TempDir(), 100<<20)
	e := openEngine(t, "", onFS(fs), withFloor(1<<20))
	p := createTopic(t, e, "t")
	n := 0
	until := func(refused bool) {
		t.Helper()
		within(t, fmt.Sprintf("waiting for refused=%t", refused), func() {
			for {
				switch err := tryProduce(p, batchOf(t, 1, fmt.Sprint(n))); {
				case err == nil:
					n++
				case !errors.Is(err, ErrNoSpace):
					t.Error(err)
				}
				if (e.space.refusal.Load() != nil) == refused {
					return
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	for range 2 {
		fs.leave(1000)
		until(true)
		fs.leave(50 << 20)
		until(false)
	}
	holds(t, p, numbered(n)...)
}

// A write that finds no space ends the appends of all partitions at once: no
// further one is tried before a look. Where the file system says that there is
// room, the next append shows whether that is true, and only its success is
// logged as the end.
func TestFullWriteRefusesAtOnce(t *testing.T) {
	var log lockedBuffer
	fs := smallDir(t, t.TempDir(), 100<<20)
	e := openEngine(t, "", onFS(fs), withFloor(1<<20), logInto(&log))
	p, q := createTopic(t, e, "t"), createTopic(t, e, "u")
	produceEach(t, p, "0")
	produceEach(t, q, "0")
	var tried atomic.Int64
	quota := func(c call) error {
		if !c.isLog("write") {
			return nil
		}
		tried.Add(1)
		return syscall.EDQUOT
	}
	fs.hook(quota)
	matchError(t, tryProduce(p, batchOf(t, 1, "x")), syscall.EDQUOT, "t-0")
	for range 3 {
		// A look of the watcher may have allowed another trial meanwhile.
		trials := tried.Load()
		for range 50 {
			matchError(t, tryProduce(q, batchOf(t, 1, "x")), ErrNoSpace, "make room in")
		}
		if n := tried.Load() - trials; n > 5 {
			t.Errorf("%d of 50 appends were tried", n)
		}
		e.space.look()
		matchError(t, tryProduce(q, batchOf(t, 1, "x")), ErrNoSpace, "")
	}
	if begun, ended := log.count(saysRefused), log.count(saysResumed); begun != 1 || ended != 0 {
		t.Errorf("logged %d beginnings and %d ends, want one and none", begun, ended)
	}
	fs.hook(nil)
	e.space.look()
	produceEach(t, p, "1")
	produceEach(t, q, "1")
	holds(t, p, "0", "1")
	holds(t, q, "0", "1")
	if begun, ended := log.count(saysRefused), log.count(saysResumed); begun != 1 || ended != 1 {
		t.Errorf("logged %d beginnings and %d ends, want one each", begun, ended)
	}
}

// Without a floor a write without space costs itself only.
func TestNoFloor(t *testing.T) {
	fs := smallDir(t, t.TempDir(), 1<<20)
	e := openEngine(t, "", onFS(fs))
	p := createTopic(t, e, "t")
	fs.leave(500)
	matchError(t, tryProduce(p, batchOf(t, 1, strings.Repeat("x", 1000))), ErrNoSpace, "t-0")
	produceEach(t, p, "small")
	holds(t, p, "small")
}

// The default floor does not refuse on a file system of any size as long as
// most of it is free, and is no more than a segment.
func TestDefaultMinFree(t *testing.T) {
	f := func(total, want int64) {
		t.Helper()
		if got := DefaultMinFreeBytes(total); got != want {
			t.Errorf("%d bytes: %d, want %d", total, got, want)
		}
	}
	f(0, 0)
	f(64<<20, 3355443)
	f(20<<30, 1<<30)
	f(100<<40, 1<<30)
}

// Nobody looks at the file system while nothing is appended, and while
// something is, at most every 50 ms.
func TestIdleDoesNotLook(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		fs := smallDir(t, dir, 100<<20)
		e := &Engine{fs: fs, options: Options{Log: quiet, MinFreeBytes: 1 << 20, BallastBytes: -1}}
		e.ballast.open(e)
		e.space.open(e)
		stop := make(chan struct{})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			e.space.run(stop)
		}()
		time.Sleep(time.Minute)
		fs.looks.Store(0)
		time.Sleep(24 * time.Hour)
		if n := fs.looks.Load(); n != 0 {
			t.Errorf("looked %d times in an idle day", n)
		}
		for range 10_000 {
			if err := e.space.refusing(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		if n := fs.looks.Load(); n < 100 || n > 202 {
			t.Errorf("looked %d times in 10 s of appends, want one each 50 ms", n)
		}
		fs.leave(1000)
		time.Sleep(time.Second)
		if err := e.space.refusing(); !errors.Is(err, ErrNoSpace) {
			t.Errorf("a second after the disk was filled: %v", err)
		}
		fs.leave(50 << 20)
		time.Sleep(refusedInterval)
		synctest.Wait()
		if err := e.space.refusing(); err != nil {
			t.Errorf("%v after there was room: %v", refusedInterval, err)
		}
		close(stop)
		<-ended
	})
}
