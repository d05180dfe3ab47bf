package engine

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"sync"
)

// ballastFile holds nothing: it takes up space that is given back when a full
// file system keeps the engine from what it must be able to do: start, recover
// and delete.
const ballastFile = "rollway-ballast"

const (
	// defaultBallastBytes holds the largest metadata snapshot of some 200,000
	// topics, or what recovery replays of many partitions, several times.
	defaultBallastBytes = 16 << 20
	// ballastFraction bounds the default on a small file system.
	ballastFraction = 16
	// ballastParts is how many times a whole ballast can be drawn on.
	ballastParts = 4
	// ballastPiece is what is written at a time.
	ballastPiece = 1 << 20
)

// ballast is the ballast file. It is never synced: what a power cut takes of it
// is made again.
type ballast struct {
	engine *Engine
	want   int64 // bytes; 0: there is to be none

	mu sync.Mutex
	// size is that of the file. Invariant: 0 while there is no file. +checklocks:mu
	size int64
	// noRoom: a write has found no space although there seemed to be enough. It
	// is not tried again before a part is given up: under a quota that would
	// take from the appends what they have left. +checklocks:mu
	noRoom bool
}

// open finds what there is of it, and removes it if there is to be none.
func (b *ballast) open(e *Engine) {
	b.engine = e
	b.want = e.options.BallastBytes
	if b.want == 0 {
		b.want = defaultBallastBytes
		if found, err := e.fs.Space(); err == nil {
			b.want = min(b.want, found.Total/ballastFraction)
		}
	}
	b.want = max(b.want, 0)
	b.mu.Lock()
	defer b.mu.Unlock()
	if info, err := e.fs.Stat(ballastFile); err == nil {
		b.size = info.Size()
	}
	if b.size > b.want {
		b.cut(b.want)
	}
}

func (b *ballast) bytes() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.size
}

// release gives a part of the ballast back, and tells whether there was any.
func (b *ballast) release() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.size == 0 {
		return false
	}
	b.noRoom = false
	before := b.size
	b.cut(max(b.size-max(b.want/ballastParts, 1), 0))
	b.engine.options.Log.Warn("the file system is full; ballast is given up for what must be written",
		"dir", b.engine.fs.Path(), "bytes", before-b.size, "left", b.size)
	return b.size < before
}

// cut makes the file smaller, and removes one of 0 bytes. Under b.mu.
func (b *ballast) cut(size int64) {
	if size == 0 {
		if err := b.engine.fs.Remove(ballastFile); err == nil || errors.Is(err, fs.ErrNotExist) {
			b.size = 0
		} else {
			b.warn(err)
		}
		return
	}
	file, err := b.engine.fs.OpenFile(ballastFile, 0)
	if err == nil {
		err = errors.Join(file.Truncate(size), file.Close())
	}
	if err != nil {
		b.warn(err)
		return
	}
	b.size = size
}

func (b *ballast) warn(err error) {
	b.engine.options.Log.Warn("ballast stays as it is", "error", err)
}

// restore makes the file whole if the directory is in use and that leaves room
// for appends. It blocks for the page cache; stop ends it early.
func (b *ballast) restore(stop <-chan struct{}) {
	e := b.engine
	if !e.IsReady() || len(e.Topics()) == 0 || e.failure() != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.size
	if before >= b.want || b.noRoom || e.space.roomFor(b.want-before) != nil {
		return
	}
	err := b.fill(stop)
	switch {
	case isFinal(err):
		e.fail(err)
	case err != nil:
		b.noRoom = true
		b.cut(before)
		e.options.Log.Info("there is no room for the whole ballast", "dir", e.fs.Path(), "bytes", b.size, "want", b.want, "error", err)
	}
}

// fill writes what is missing. The bytes are random: zeros may be kept as a hole.
// Under b.mu.
func (b *ballast) fill(stop <-chan struct{}) (err error) {
	file, err := b.engine.fs.OpenFile(ballastFile, os.O_CREATE)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := file.Close(); err == nil && closeErr != nil {
			err = writeFault(closeErr)
		}
	}()
	random := rand.NewChaCha8([32]byte{})
	piece := make([]byte, min(ballastPiece, b.want))
	for b.size < b.want {
		select {
		case <-stop:
			return nil
		default:
		}
		random.Read(piece)
		n := min(b.want-b.size, int64(len(piece)))
		if _, err := file.WriteAt(b.size, piece[:n]); err != nil {
			b.size += n // as much may be there: cut takes it back
			return writeFault(err)
		}
		b.size += n
	}
	return nil
}

// withBallast runs op, which must be safe to run again, and once more for each
// part of the ballast that it can be given when it finds no space.
func (e *Engine) withBallast(op func() error) error {
	err := op()
	for isNoSpace(err) && !isFinal(err) && e.ballast.release() {
		err = op()
	}
	return err
}
