package engine

import (
	"errors"
	"math"
	"sync"
	"syscall"
	"testing"
)

// initProducer asks for an id, and fails the test if there is none.
func initProducer(t testing.TB, e *Engine, current ProducerID) ProducerID {
	t.Helper()
	id, err := e.InitProducerID(current)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// No id is given twice, not to many who ask at once, and not after a stop or a kill with a block half used; a block costs one commit.
func TestProducerIDsAreUnique(t *testing.T) {
	e := openEngine(t, t.TempDir())
	given := map[int64]bool{}
	var mu sync.Mutex
	ask := func() {
		id, err := e.InitProducerID(NoProducerID)
		mu.Lock()
		defer mu.Unlock()
		if err != nil || given[id.ID] || id.ID < 0 || id.Epoch != 0 {
			t.Errorf("%+v, %v, given before: %t", id, err, given[id.ID])
		}
		given[id.ID] = true
	}
	for round := range 4 {
		version := e.metadata.Image().Version
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 300 {
					ask()
				}
			})
		}
		wg.Wait()
		if commits := e.metadata.Image().Version - version; commits != 3 {
			t.Errorf("2,400 ids took %d commits, want 3", commits)
		}
		if round%2 == 0 {
			e = recrash(t, e)
		} else {
			e = reopen(t, e)
		}
	}
}

// A block whose commit failed is not given from: after a final error nothing is, and after a restart other ids are.
func TestProducerIDBlockFails(t *testing.T) {
	f := func(op string, errno error, want error) {
		t.Helper()
		files := traceDir(t, t.TempDir())
		e := openEngine(t, "", onFS(files))
		first := initProducer(t, e, NoProducerID)
		for range producerIDBlock - 1 {
			initProducer(t, e, NoProducerID)
		}
		files.hook(func(c call) error {
			if c.is(op, metadataLogFile) {
				return errno
			}
			return nil
		})
		if id, err := e.InitProducerID(NoProducerID); !errors.Is(err, want) {
			t.Errorf("%s: %+v, %v, want %v", op, id, err, want)
		}
		files.hook(nil)
		if want == ErrNoSpace {
			if id := initProducer(t, e, NoProducerID); id.ID != first.ID+producerIDBlock {
				t.Errorf("%d after a full disk, want %d", id.ID, first.ID+producerIDBlock)
			}
			return
		}
		if id, err := e.InitProducerID(NoProducerID); !errors.Is(err, want) {
			t.Errorf("then %+v, %v, want %v", id, err, want)
		}
		e.Close()
		e = openEngine(t, "", onFS(files))
		if id := initProducer(t, e, NoProducerID); id.ID < first.ID+producerIDBlock {
			t.Errorf("%d after a restart, want none of the first block", id.ID)
		}
	}
	f("write", syscall.EIO, ErrStorageFailed)
	f("datasync", syscall.EIO, ErrStorageFailed)
	f("write", syscall.ENOSPC, ErrNoSpace)
}

// A producer that has an id gets its next epoch; one that a later epoch has fenced off, or whose id was never given, is
// refused; exhausted epochs lead to a new id.
func TestProducerEpochs(t *testing.T) {
	e := openEngine(t, t.TempDir())
	s := sequences{t, createTopic(t, e, "t")}
	id := initProducer(t, e, NoProducerID)
	next := initProducer(t, e, id)
	if next.ID != id.ID || next.Epoch != 1 {
		t.Errorf("%+v after %+v", next, id)
	}
	s.good(0, sequenced(t, id.ID, 5, 0, 1))
	for _, epoch := range []int16{0, 4, -1} {
		if got, err := e.InitProducerID(ProducerID{id.ID, epoch}); !errors.Is(err, ErrInvalidProducerEpoch) {
			t.Errorf("epoch %d: %+v, %v, want ErrInvalidProducerEpoch", epoch, got, err)
		}
	}
	if got := initProducer(t, e, ProducerID{id.ID, 5}); got != (ProducerID{id.ID, 6}) {
		t.Errorf("%+v, want epoch 6", got)
	}
	if got, err := e.InitProducerID(ProducerID{id.ID + producerIDBlock, 0}); !errors.Is(err, ErrUnknownProducerID) {
		t.Errorf("%+v, %v, want ErrUnknownProducerID", got, err)
	}
	if got := initProducer(t, e, ProducerID{id.ID, math.MaxInt16 - 2}); got != (ProducerID{id.ID, math.MaxInt16 - 1}) {
		t.Errorf("%+v, want the last epoch", got)
	}
	if got := initProducer(t, e, ProducerID{id.ID, math.MaxInt16 - 1}); got.ID != id.ID+1 || got.Epoch != 0 {
		t.Errorf("%+v, want a new id", got)
	}
	e = recrash(t, e)
	if got, err := e.InitProducerID(ProducerID{id.ID, 4}); !errors.Is(err, ErrInvalidProducerEpoch) {
		t.Errorf("after a restart: %+v, %v, want ErrInvalidProducerEpoch", got, err)
	}
}
