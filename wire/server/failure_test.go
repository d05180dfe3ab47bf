package server

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/vfs"
	"github.com/rollway/rollway/internal/node"
	"github.com/rollway/rollway/wire"
)

// brokenFS is a file system on which syncs of logs fail from a moment on, and
// the recovery of partitions waits.
type brokenFS struct {
	vfs.FS
	failing atomic.Bool
	recover chan struct{} // closed: recovery goes on
}

func openBrokenFS(t *testing.T, dir string) *brokenFS {
	t.Helper()
	real, err := vfs.OpenOS(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { real.Close() })
	return &brokenFS{FS: real, recover: make(chan struct{})}
}

func (b *brokenFS) ReadDir(name string) ([]fs.DirEntry, error) {
	if name != "." {
		<-b.recover
	}
	return b.FS.ReadDir(name)
}

func (b *brokenFS) OpenFile(name string, flag int) (vfs.File, error) {
	f, err := b.FS.OpenFile(name, flag)
	if err != nil || !strings.HasSuffix(name, ".log") {
		return f, err
	}
	return &brokenFile{File: f, fs: b}, nil
}

type brokenFile struct {
	vfs.File
	fs *brokenFS
}

var errBroken = errors.New("input/output error of the test")

func (f *brokenFile) Datasync() error {
	if f.fs.failing.Load() {
		return errBroken
	}
	return f.File.Datasync()
}

// While a partition is recovered requests to it are refused, retryably, with
// the reason; then they are carried out.
func TestRecovering(t *testing.T) {
	dir := t.TempDir()
	n := openNode(t, func(o *node.Options) { o.DataDir = dir })
	if _, err := n.Engine().CreateTopic(specOf("t", 1)); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}

	broken := openBrokenFS(t, dir)
	n, err := node.Open(node.Options{Engine: engine.Options{FS: broken, Log: n.Log()}, Log: n.Log()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	f, err := newFrontend(n, Options{})
	if err != nil {
		t.Fatal(err)
	}
	m := greeted(t, f)
	check := func(id uint32, request message) {
		t.Helper()
		m.ask(id, request)
		answer := m.answer(id, wire.KindError)
		e := must(wire.ParseError(answer))(t)
		if e.Code != wire.CodeNotReady || answer.Flags != wire.FlagRetryable || !strings.Contains(e.Text, "t-0 is being recovered") {
			t.Errorf("%T: %v, flags %x; want a retryable one that says that t-0 is being recovered", request, e, answer.Flags)
		}
	}
	check(1, produceTo("t", 0, wire.AcksAll, batchOf(t, "x")))
	check(2, &wire.Fetch{Topic: []byte("t"), MaxBytes: 1, MinBytes: 1, MaxWaitMs: 60_000})
	check(3, &wire.Subscribe{Topic: []byte("t"), MaxBytes: 1})
	check(4, &wire.ListOffsets{Topic: []byte("t"), Query: wire.QueryLatest})
	check(5, &wire.ListOffsets{Topic: []byte("t"), Query: wire.QueryMaxTimestamp})
	check(8, &wire.SkipDamage{Topic: []byte("t"), Offset: wire.AllDamage, DryRun: true})
	m.ask(6, &wire.DescribeTopic{Topic: "t"})
	want := wire.Partition{LeaderEpoch: -1, State: wire.StateRecovering, LogStart: -1, HighWatermark: -1, LogEnd: -1}
	if d := must(wire.ParseTopicDescription(m.answer(6, wire.KindTopicDescription)))(t); d.Partitions[0] != want {
		t.Errorf("%+v, want %+v", d.Partitions[0], want)
	}
	close(broken.recover)
	if err := n.Engine().WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.ask(7, produceTo("t", 0, wire.AcksAll, batchOf(t, "x")))
	m.produced(7, 0, 1)
}

// A partition whose files cannot be used, and a read that fails, are answered by a code
// that says so, not by that of a bug; nothing else is touched.
func TestUnusableFiles(t *testing.T) {
	dir := t.TempDir()
	n := openNode(t, func(o *node.Options) { o.DataDir = dir })
	for _, name := range []string{"offline", "unread", "good"} {
		made, err := n.Engine().CreateTopic(specOf(name, 1))
		if err != nil {
			t.Fatal(err)
		}
		p, err := made.Partition(0)
		if err != nil {
			t.Fatal(err)
		}
		fill(t, p, batchOf(t, "x"))
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "offline-0", "partition.metadata")); err != nil {
		t.Fatal(err)
	}

	real, err := vfs.OpenOS(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { real.Close() })
	failing := vfs.NewFailing(real)
	n, err = node.Open(node.Options{Engine: engine.Options{FS: failing, Log: n.Log()}, Log: n.Log()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	f, err := newFrontend(n, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Engine().WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	m := greeted(t, f)
	check := func(id uint32, request message, want string) {
		t.Helper()
		m.ask(id, request)
		if text := m.refused(id, wire.CodeFileUnusable); !strings.Contains(text, want) {
			t.Errorf("%T: %q, want %q in it", request, text, want)
		}
	}
	check(1, produceTo("offline", 0, wire.AcksAll, batchOf(t, "x")), "offline-0: openat ")
	check(2, &wire.Fetch{Topic: []byte("offline"), MaxBytes: 1}, "partition.metadata: no such file or directory")
	failing.Arm(vfs.Fault{Op: vfs.OpRead, Suffix: "00.log", N: 1, Err: syscall.EIO})
	check(3, &wire.Fetch{Topic: []byte("unread"), MaxBytes: 1}, "input/output error")
	m.ask(4, &wire.Fetch{Topic: []byte("good"), MaxBytes: 1})
	m.data(4)
}

// When a sync fails, what waits for it is in doubt, what comes later is
// refused, readers keep what was visible and are not left waiting, and the
// operator is told once.
func TestStorageFailure(t *testing.T) {
	broken := openBrokenFS(t, t.TempDir())
	close(broken.recover)
	told := make(chan error, 2)
	f := openFrontend(t, Options{}, func(o *node.Options) {
		o.Engine.FS = broken
		o.OnStorageError = func(err error) { told <- err }
	})
	log := fill(t, createTopic(t, f, "t", nil), batchOf(t, "a"))
	m := greeted(t, f)
	m.ask(1, &wire.Subscribe{Topic: []byte("t"), Offset: 1, MaxBytes: 100, Credit: 100})
	m.data(1)
	poller := greeted(t, f)
	poller.ask(1, &wire.Fetch{Topic: []byte("t"), Offset: 1, MinBytes: 1, MaxBytes: 100, MaxWaitMs: 3_600_000})
	failed := func(m *memory, id uint32) {
		t.Helper()
		if text := m.refused(id, wire.CodeStorageFailed); !strings.Contains(text, errBroken.Error()) {
			t.Errorf("text %q, want the reason", text)
		}
	}

	broken.failing.Store(true)
	producer := greeted(t, f)
	producer.ask(2, produceTo("t", 0, wire.AcksAll, batchOf(t, "b")))
	failed(producer, 2)
	failed(m, 1)
	failed(poller, 1)
	m.ask(3, produceTo("t", 0, wire.AcksAll, batchOf(t, "c")))
	failed(m, 3)
	m.ask(4, &wire.CreateTopic{Topic: "u", Partitions: 1})
	failed(m, 4)
	m.ask(7, &wire.SkipDamage{Topic: []byte("t"), Offset: wire.AllDamage})
	failed(m, 7)
	m.ask(8, &wire.SkipDamage{Topic: []byte("t"), Offset: wire.AllDamage, DryRun: true})
	m.skipped(8)
	m.ask(5, &wire.Fetch{Topic: []byte("t"), MinBytes: 1, MaxBytes: 1000, MaxWaitMs: 60_000})
	if d := m.data(5); !bytes.Equal(d.Batches, log) {
		t.Errorf("%d bytes, want the %d that were visible", len(d.Batches), len(log))
	}
	m.ask(6, &wire.DescribeTopic{Topic: "t"})
	if d := must(wire.ParseTopicDescription(m.answer(6, wire.KindTopicDescription)))(t); d.Partitions[0].State != wire.StateFailed {
		t.Errorf("state %v", d.Partitions[0].State)
	}
	if err := <-told; !errors.Is(err, errBroken) {
		t.Errorf("operator is told %v", err)
	}
	if len(told) > 0 {
		t.Error("the operator is told again")
	}
}

// Damage that a Fetch meets is the partition's, not the connection's.
func TestCorruption(t *testing.T) {
	damage := &engine.CorruptionError{Path: "t-0/00000000000000000000.log", Offset: 3, Position: 99, Err: errors.New("found x, want y")}
	if got := refusal(damage); got.Code != wire.CodeCorruptBatch || !strings.Contains(got.Text, "at position 99: found x, want y") {
		t.Errorf("%v", got)
	}
}
