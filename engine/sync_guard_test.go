package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rollway/rollway/engine/vfs"
)

// Once a sync has failed no other is begun, whoever is in the middle of what:
// here a checkpoint that has synced one index file when the group commit of
// another partition fails. Readers go on, also where an index must be rebuilt.
func TestNoSyncAfterFailure(t *testing.T) {
	fs := traceDir(t, t.TempDir())
	e := openEngine(t, "", onFS(fs))
	p := createTopic(t, e, "t", "index.interval.bytes", "10")
	tune(p, segmentBytes(300))
	q := createTopic(t, e, "u", "index.interval.bytes", "10")
	produceEach(t, p, numbered(20)...)
	produceEach(t, q, "0")
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	edit(t, func([]byte) []byte { return []byte("garbage") }, e.Path(), "t-0", "00000000000000000000.index")
	e = openEngine(t, "", onFS(fs))
	p, q = partition(t, e, "t"), partition(t, e, "u")
	produceEach(t, p, "20", "21")

	inCheckpoint, failed := make(chan struct{}), make(chan struct{})
	var once sync.Once
	fs.hook(func(c call) error {
		switch {
		case c.is("datasync", ".index"):
			once.Do(func() {
				close(inCheckpoint)
				<-failed
				fs.reset() // what was synced before
			})
		case c.isLog("datasync") && c.is("datasync", "u-0/00000000000000000000.log"):
			return syscall.EIO
		}
		return nil
	})
	checkpointed := make(chan error, 1)
	go func() {
		_, err := e.checkpoint(false)
		checkpointed <- err
	}()
	<-inCheckpoint
	if err := tryProduce(q, batchOf(t, 1, "x")); !errors.Is(err, ErrStorageFailed) {
		t.Errorf("produce: %v", err)
	}
	close(failed)
	if err := <-checkpointed; !errors.Is(err, ErrStorageFailed) {
		t.Errorf("checkpoint: %v", err)
	}
	holds(t, p, numbered(22)...)
	holds(t, q, "0")
	if _, err := e.CreateTopic(TopicSpec{Name: "new"}); !errors.Is(err, ErrStorageFailed) {
		t.Errorf("create topic: %v", err)
	}
	if err := e.Close(); !errors.Is(err, ErrStorageFailed) {
		t.Errorf("close: %v", err)
	}
	synced := append(fs.find("datasync", ""), fs.find("syncdir", "")...)
	if len(synced) != 1 || !synced[0].is("datasync", ".index") {
		t.Errorf("synced after the failure: %v, want only what had begun before", synced)
	}
}

// A failure is noted for the next start at once, before syncs under way have ended:
// a process that dies in between must not have its pages trusted.
func TestFailureIsNotedAtOnce(t *testing.T) {
	e := openEngine(t, t.TempDir())
	guard := e.fs.(*syncGuard)
	guard.patience = time.Hour
	guard.begun.RLock() // a sync that takes long
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		e.fail(syncFault(syscall.EIO))
	}()
	within(t, "the note of the failure", func() {
		for _, err := e.fs.Stat(storageFailedFile); err != nil; _, err = e.fs.Stat(storageFailedFile) {
			time.Sleep(time.Millisecond)
		}
	})
	select {
	case <-stopped:
		t.Error("the engine has said that it stopped while a sync was under way")
	default:
	}
	guard.begun.RUnlock()
	within(t, "the end of the failure", func() { <-stopped })
}

// Whichever sync is the first to fail, the Nth fdatasync or the Nth fsync of a
// directory for N from 1 to 100: what was acknowledged is in the image of a power
// cut that leaves only what earlier syncs had made durable, and no further sync
// is begun but those that were being begun.
func TestFaultsSyncFails(t *testing.T) {
	for _, op := range []vfs.Op{vfs.OpDatasync, vfs.OpSyncDir} {
		inOpen, acked, later := 0, 0, int64(0)
		for n := int64(1); n <= 100 && !t.Failed(); n++ {
			mem := vfs.NewMem("/data")
			failing := vfs.NewFailing(mem)
			failing.Arm(vfs.Fault{Op: op, N: n, Err: syscall.EIO, Stay: true})
			r := &syncRun{t: t, name: fmt.Sprintf("%s %d", op, n), acked: map[int]map[Offset]string{}}
			if r.untilFailure(failing); r.e == nil {
				inOpen++
			}
			later += failing.Failed() - 1
			if most := int64(1 + syncRunGoroutines); failing.Failed() > most {
				t.Errorf("%s: %d more syncs were begun after it had failed", r.name, failing.Failed()-1)
			}
			for _, keep := range []vfs.Keep{vfs.KeepSynced, vfs.KeepRandom} {
				image := mem.CrashClone(uint64(n), keep)
				acked += r.check(image)
				image.Close()
			}
			mem.Close()
		}
		t.Logf("%s: 100 failures, %d of them in Open; %d acknowledged records found; %d syncs begun after the failure", op, inOpen, acked/2, later)
	}
}

// syncRunGoroutines is how many others may be about to sync when a sync fails,
// each of which ends with its first one: of the commit, the change of topics or
// the checkpoint, the journal being made and its two halves being flushed.
const syncRunGoroutines = 4

// syncRun produces to some partitions until the directory stops.
type syncRun struct {
	t    *testing.T
	name string
	e    *Engine // nil if it could not be opened

	mu    sync.Mutex
	acked map[int]map[Offset]string // by partition
}

func (r *syncRun) options(fs vfs.FS) Options {
	return Options{FS: fs, Log: quiet, SyncParallelism: 1, MinFreeBytes: -1, BallastBytes: -1, JournalBytes: -1}
}

// untilFailure opens an engine and works with it until a sync fails.
func (r *syncRun) untilFailure(fs vfs.FS) {
	r.t.Helper()
	e, err := Open("", r.options(fs))
	if err != nil {
		if !errors.Is(err, ErrStorageFailed) {
			r.t.Errorf("%s: open: %v", r.name, err)
		}
		return
	}
	r.e = e
	topic, err := e.CreateTopic(TopicSpec{Name: "t", Partitions: 3})
	var producers sync.WaitGroup
	if err == nil {
		for i, p := range topic.Partitions() {
			producers.Go(func() { r.produce(i, p) })
		}
		for n := 0; e.Failure() == nil; n++ {
			e.checkpoint(false)
			e.CreateTopic(TopicSpec{Name: fmt.Sprint("more-", n)})
		}
	}
	producers.Wait()
	if e.Failure() == nil {
		r.t.Errorf("%s: the directory goes on after %v", r.name, err)
	}
	if err := e.Close(); !errors.Is(err, ErrStorageFailed) {
		r.t.Errorf("%s: close: %v", r.name, err)
	}
}

// produce appends records, and rolls, until an append fails.
func (r *syncRun) produce(index int, p *Partition) {
	tune(p, segmentBytes(2000))
	for n := 0; ; n++ {
		v := fmt.Sprintf("%d %100d", index, n)
		request := &AppendRequest{Batches: batchOf(r.t, 1, v), Acks: AcksAll}
		if err := p.Produce(context.Background(), request); err != nil {
			if !errors.Is(err, ErrStorageFailed) {
				r.t.Errorf("%s: produce: %v", r.name, err)
			}
			return
		}
		r.mu.Lock()
		if r.acked[index] == nil {
			r.acked[index] = map[Offset]string{}
		}
		r.acked[index][request.BaseOffset] = v
		r.mu.Unlock()
	}
}

// check opens the engine on what a power cut left, and returns how many records
// were acknowledged and are there.
func (r *syncRun) check(fs vfs.FS) (found int) {
	r.t.Helper()
	e, err := Open("", r.options(fs))
	if err != nil {
		r.t.Errorf("%s: open after the power cut: %v", r.name, err)
		return 0
	}
	defer e.Close()
	if err := e.WaitReady(context.Background()); err != nil {
		r.t.Fatal(err)
	}
	for index, acked := range r.acked {
		p, err := e.Partition([]byte("t"), int32(index))
		if err != nil {
			r.t.Errorf("%s: %v", r.name, err)
			continue
		}
		got := values(r.t, p, 0, 1<<20)
		for offset, want := range acked {
			if int(offset) >= len(got) || got[offset] != want {
				r.t.Errorf("%s: %s has %d records; offset %d was acknowledged", r.name, p, len(got), offset)
				break
			}
			found++
		}
	}
	return found
}
