package engine

import (
	"errors"
	"sync"
	"syscall"
	"testing"
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
