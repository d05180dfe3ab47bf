package engine

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

const testBallast = 4 << 20

// ballastOf waits until a directory's ballast has the wanted size.
func ballastOf(t testing.TB, e *Engine, want int64) {
	t.Helper()
	within(t, "waiting for the ballast", func() {
		for e.ballast.bytes() != want {
			time.Sleep(time.Millisecond)
		}
	})
	info, err := os.Stat(filepath.Join(e.Path(), ballastFile))
	switch {
	case want == 0 && errors.Is(err, os.ErrNotExist):
	case err != nil:
		t.Error(err)
	case info.Size() != want:
		t.Errorf("ballast of %d bytes, want %d", info.Size(), want)
	}
}

// The ballast is made once something is appended, takes up all of its bytes,
// stays over a restart, shrinks and grows with the option, and is removed when
// there is to be none.
func TestBallastIsMade(t *testing.T) {
	dir := t.TempDir()
	e := openEngine(t, dir, withBallastOf(testBallast))
	p := createTopic(t, e, "t")
	produceEach(t, p, "0")
	ballastOf(t, e, testBallast)
	info, err := os.Stat(filepath.Join(dir, ballastFile))
	if err != nil {
		t.Fatal(err)
	}
	if blocks := info.Sys().(*syscall.Stat_t).Blocks * 512; blocks < testBallast {
		t.Errorf("%d bytes of blocks, want %d: it is sparse", blocks, testBallast)
	}
	if now, err := e.Space(); err != nil || now.Ballast != testBallast {
		t.Errorf("space %+v, %v", now, err)
	}
	e = reopen(t, e, withBallastOf(testBallast/2))
	ballastOf(t, e, testBallast/2)
	e = recrash(t, e, withBallastOf(testBallast)) // nobody appends
	ballastOf(t, e, testBallast)
	e = reopen(t, e)
	ballastOf(t, e, 0)
	holds(t, partition(t, e, "t"), "0")
}

// A new directory has no ballast before it has a topic, and none is made where
// it would leave less than the floor.
func TestBallastWaitsForRoom(t *testing.T) {
	fs := smallDir(t, t.TempDir(), 100<<20)
	e := openEngine(t, "", onFS(fs), withFloor(1<<20), withBallastOf(testBallast))
	e.ballast.restore(e.stopBackground)
	ballastOf(t, e, 0)
	p := createTopic(t, e, "t")
	fs.leave(testBallast + 1<<20)
	e.ballast.restore(e.stopBackground)
	produceEach(t, p, "0")
	ballastOf(t, e, 0)
	fs.leave(testBallast + 2<<20)
	e.ballast.restore(e.stopBackground)
	ballastOf(t, e, testBallast)
	produceEach(t, p, "1")
	holds(t, p, "0", "1")
}

// A ballast that finds less room than there seemed to be, as under a quota,
// leaves nothing behind and is not tried over and over.
func TestBallastWithoutRoom(t *testing.T) {
	fs := smallDir(t, t.TempDir(), 100<<20)
	e := openEngine(t, "", onFS(fs), withFloor(1<<20), withBallastOf(testBallast))
	var pieces int
	fs.hook(func(c call) error {
		if c.is("write", ballastFile) {
			if pieces++; pieces%3 == 0 {
				return syscall.EDQUOT
			}
		}
		return nil
	})
	p := createTopic(t, e, "t")
	produceEach(t, p, "0")
	for range 5 {
		e.ballast.restore(e.stopBackground)
	}
	ballastOf(t, e, 0)
	if pieces != 3 {
		t.Errorf("%d pieces were written, want 3", pieces)
	}
	if err := e.Failure(); err != nil {
		t.Errorf("the directory has stopped: %v", err)
	}
	produceEach(t, p, "1")
}

// fullWithBallast returns an engine with ballast and two topics on a file
// system without a free byte.
func fullWithBallast(t *testing.T) (*smallFS, *Engine) {
	t.Helper()
	fs := smallDir(t, t.TempDir(), 100<<20)
	e := openEngine(t, "", onFS(fs), withFloor(1<<20), withBallastOf(testBallast))
	produceEach(t, createTopic(t, e, "t"), numbered(5)...)
	produceEach(t, createTopic(t, e, "u"), numbered(5)...)
	ballastOf(t, e, testBallast)
	fs.leave(0)
	e.space.look()
	return fs, e
}

// On a full disk a topic can be deleted: a part of the ballast makes room for
// that, and it is made whole again when there is room for it.
func TestBallastLetsDelete(t *testing.T) {
	fs, e := fullWithBallast(t)
	if err := e.DeleteTopic("u"); err != nil {
		t.Fatal(err)
	}
	ballastOf(t, e, testBallast*3/4)
	fs.leave(0)
	if _, err := e.AlterTopic("t", TopicChange{Set: map[string]string{"retention.ms": "1"}}); err != nil {
		t.Fatal(err)
	}
	e = recrash(t, e, onFS(fs), withFloor(1<<20), withBallastOf(testBallast))
	if _, err := e.Topic("u"); !errors.Is(err, ErrUnknownTopic) {
		t.Errorf("topic u after a restart: %v", err)
	}
	p := partition(t, e, "t")
	holds(t, p, numbered(5)...)
	fs.leave(50 << 20)
	e.space.look()
	produceEach(t, p, "5")
	ballastOf(t, e, testBallast)
}

// Without ballast a deletion on a full disk is refused and changes nothing, and
// the directory goes on.
func TestDeleteOnFullDisk(t *testing.T) {
	fs, e := fullWithBallast(t)
	for e.ballast.release() {
		fs.leave(0)
	}
	matchError(t, e.DeleteTopic("u"), ErrNoSpace, "delete topic u")
	holds(t, partition(t, e, "u"), numbered(5)...)
	fs.leave(50 << 20)
	if err := e.DeleteTopic("u"); err != nil {
		t.Error(err)
	}
}

// A directory on a full disk opens and serves, after a clean stop and after an
// unclean one, with the ballast and without; what it cannot write it does
// without, and it never says of such a stop that it was clean unless all that
// belongs to one was written.
func TestStartOnFullDisk(t *testing.T) {
	f := func(ballast, clean bool) {
		t.Helper()
		fs, e := fullWithBallast(t)
		for !ballast && e.ballast.release() {
			fs.leave(0)
		}
		if clean {
			err := e.Close()
			if _, marked := os.Stat(filepath.Join(e.Path(), cleanShutdownFile)); (marked == nil) != (err == nil) || (err == nil) != ballast {
				t.Errorf("ballast %t: closed with %v, marker %v", ballast, err, marked)
			}
		} else {
			crash(t, e)
		}
		fs.leave(0)
		for range 2 {
			e = openEngine(t, "", onFS(fs), withFloor(1<<20), withBallastOf(testBallast))
			for _, topic := range []string{"t", "u"} {
				p := partition(t, e, topic)
				holds(t, p, numbered(5)...)
				matchError(t, tryProduce(p, batchOf(t, 1, "x")), ErrNoSpace, "")
			}
			crash(t, e)
		}
		fs.leave(50 << 20)
		e = openEngine(t, "", onFS(fs), withFloor(1<<20), withBallastOf(testBallast))
		produceEach(t, partition(t, e, "t"), "5")
		holds(t, partition(t, e, "t"), numbered(6)...)
		ballastOf(t, e, testBallast)
	}
	for _, ballast := range []bool{true, false} {
		for _, clean := range []bool{true, false} {
			f(ballast, clean)
		}
	}
}
