package engine

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/rollway/rollway/engine/vfs"
)

// cutWithJournal returns what a power cut leaves of two topics whose records are
// in the journal alone: v is in the segments too.
func cutWithJournal(t *testing.T) *vfs.Mem {
	t.Helper()
	mem := vfs.NewMem("/data")
	t.Cleanup(func() { mem.Close() })
	e := openEngine(t, "", onFS(mem), withJournal)
	p, v := createTopic(t, e, "t"), createTopic(t, e, "v")
	produceEach(t, v, numbered(3)...)
	within(t, "waiting for the journal", func() {
		for e.Stats().JournalBytes == 0 {
			produceEach(t, p, "before")
			time.Sleep(time.Millisecond)
		}
	})
	if _, err := e.checkpoint(false); err != nil {
		t.Fatal(err)
	}
	produceEach(t, p, padded(50)...)
	image := mem.CrashClone(1, vfs.KeepSynced)
	t.Cleanup(func() { image.Close() })
	crash(t, e)
	return image
}

func withJournal(o *Options) { o.JournalBytes = testJournalBytes }

// fill leaves no byte on a disk in memory, and returns what undoes that.
func fill(t *testing.T, mem *vfs.Mem) (free func()) {
	t.Helper()
	now, err := mem.Space()
	if err != nil {
		t.Fatal(err)
	}
	mem.SetCapacity(now.Total - now.Available)
	return func() { mem.SetCapacity(now.Total) }
}

// What a power cut took from a segment is written again from the journal on a
// full disk too, from the space of the ballast.
func TestReplayOnFullDiskTakesBallast(t *testing.T) {
	image := cutWithJournal(t)
	file, err := image.OpenFile(ballastFile, os.O_CREATE)
	if err == nil {
		_, err = file.WriteAt(0, make([]byte, 1<<20))
	}
	if err = errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	fill(t, image)
	e := openEngine(t, "", onFS(image), withJournal, withBallastOf(1<<20))
	holdsAtEnd(t, partition(t, e, "t"), padded(50)...)
	holds(t, partition(t, e, "v"), numbered(3)...)
	if left := e.ballast.bytes(); left == 0 || left == 1<<20 {
		t.Errorf("%d bytes of ballast are left, want some of it", left)
	}
}

// Without ballast a partition that must be written to waits for space, and says
// so to clients that may try again; all others serve. When there is room it is
// recovered without a restart. A stop before that leaves no marker, and the
// journal as it is.
func TestReplayOnFullDiskWaits(t *testing.T) {
	image := cutWithJournal(t)
	free := fill(t, image)
	for range 2 {
		e := openEngine(t, "", onFS(image), withJournal)
		holds(t, partition(t, e, "v"), numbered(3)...)
		if _, err := partition(t, e, "t").Fetch(FetchRequest{MaxBytes: 1}); !errors.Is(err, ErrNotReady) {
			t.Errorf("fetch: %v", err)
		}
		if err := e.Close(); err != nil && !isNoSpace(err) {
			t.Error(err)
		}
		if _, err := image.Stat(cleanShutdownFile); err == nil {
			t.Error("marked as cleanly shut down")
		}
	}
	e := openEngine(t, "", onFS(image), withJournal)
	p := partition(t, e, "t")
	free()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		state, err := p.State()
		if state == Ready {
			break
		}
		if state != Recovering || ctx.Err() != nil {
			t.Fatalf("state %v: %v", state, err)
		}
		time.Sleep(time.Millisecond)
	}
	holdsAtEnd(t, p, padded(50)...)
	produceEach(t, p, "more")
	e = recrash(t, e, onFS(image), withJournal)
	holdsAtEnd(t, partition(t, e, "t"), append(padded(50), "more")...)
}

// holdsAtEnd is holds for the last records.
func holdsAtEnd(t testing.TB, p *Partition, want ...string) {
	t.Helper()
	all := values(t, p, 0, 1<<20)
	if len(all) < len(want) {
		t.Fatalf("%s holds %d records, want %d at least", p, len(all), len(want))
	}
	first := len(all) - len(want)
	for i, v := range want {
		if all[first+i] != v {
			t.Fatalf("%s holds %.60q at %d, want %.60q", p, all[first+i], first+i, v)
		}
	}
}

// A journal is made only where it leaves room for appends, and does not take the
// last space before it finds out.
func TestJournalWaitsForRoom(t *testing.T) {
	var log lockedBuffer
	fs := smallDir(t, t.TempDir(), 100<<20)
	e := openEngine(t, "", onFS(fs), withJournal, withFloor(1<<20), logInto(&log))
	fs.leave(2 << 20)
	p := createTopic(t, e, "t")
	for range 3 {
		produceEach(t, p, "x")
		await(t, p, "commit", func(o Offsets) bool { return o.Flushed == o.LogEnd })
		within(t, "waiting for a try", func() {
			for log.count("journal could not be made") == 0 {
				time.Sleep(time.Millisecond)
			}
		})
		e.tryCheckpoint()
	}
	if made := fs.find("create", journalFile+tempSuffix); len(made) > 0 || log.count("journal could not be made") != 1 {
		t.Errorf("tried %d times, said so %d times", len(made), log.count("journal could not be made"))
	}
	fs.leave(50 << 20)
	within(t, "waiting for the journal", func() {
		for e.Stats().JournalBytes == 0 {
			e.tryCheckpoint()
			produceEach(t, p, "y")
		}
	})
}
