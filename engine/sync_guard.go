package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rollway/rollway/engine/vfs"
	"github.com/rollway/rollway/internal/mutant"
)

// errSyncRefused means that a sync was not begun because an earlier one, or a
// write, has failed.
var errSyncRefused = errors.New("engine: not synced after a failure")

// syncGuard is the file system of an engine: the given one, but once a sync has
// failed, or the engine has stopped, no further one is begun. After a failed
// write-back the kernel has dropped the pages and marked them clean, so a sync
// that came later, whoever asked for it, would report success for bytes that
// are nowhere. That holds for the whole directory: files share pages of the
// file system's own metadata.
//
// Others may have been about to begin one when a sync fails; nothing is
// acknowledged for those, since that looks at the engine's failure once more.
type syncGuard struct {
	vfs.FS
	engine *Engine
	failed atomic.Pointer[error] // of the first sync of this process that went wrong

	// begun is held for reading by whoever has been allowed to sync, until that
	// has ended.
	begun    sync.RWMutex
	patience time.Duration // of settle
}

// settleTimeout is how long the engine waits for syncs under way before it says
// that it has stopped: on a disk that hangs they may never end.
const settleTimeout = time.Second

// settle waits, for at most g.patience, for syncs that were allowed before the
// engine has failed: none is begun after it returns, unless the disk hangs.
func (g *syncGuard) settle() {
	for deadline := time.Now().Add(g.patience); !g.begun.TryLock(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return
		}
	}
	g.begun.Unlock()
}

// allow is nil if a sync of name may begin.
func (g *syncGuard) allow(name string) error {
	if why := g.engine.failure(); why != nil {
		return fmt.Errorf("%w: sync of %s: %w", errSyncRefused, name, why)
	}
	if why := g.failed.Load(); why != nil {
		return fmt.Errorf("%w: sync of %s: %v", errSyncRefused, name, *why) // text alone: what it means was said to who met it
	}
	return nil
}

// fail notes what a sync has failed with: whoever is refused one for it may be the
// first to tell.
func (g *syncGuard) fail(err error) { g.failed.CompareAndSwap(nil, &err) }

// SyncDir implements vfs.FS. Only what the kernel says of the directory itself
// is a failure, not that it could not be opened: it may have been removed.
func (g *syncGuard) SyncDir(name string) error {
	g.begun.RLock()
	defer g.begun.RUnlock()
	if err := g.allow(name); err != nil {
		return err
	}
	g.engine.stats.DirSyncs.Add(1)
	err := g.FS.SyncDir(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE) {
		g.fail(err)
	}
	return err
}

// Open implements vfs.FS.
func (g *syncGuard) Open(name string) (vfs.File, error) { return g.file(g.FS.Open(name)) }

// OpenFile implements vfs.FS.
func (g *syncGuard) OpenFile(name string, flag int) (vfs.File, error) {
	return g.file(g.FS.OpenFile(name, flag))
}

// Lock implements vfs.FS.
func (g *syncGuard) Lock(name string) (vfs.File, error) { return g.file(g.FS.Lock(name)) }

func (g *syncGuard) file(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &guardedFile{File: f, guard: g}, nil
}

// guardedFile is a file of a syncGuard.
type guardedFile struct {
	vfs.File
	guard *syncGuard
}

// Datasync implements vfs.File.
func (f *guardedFile) Datasync() error {
	f.guard.begun.RLock()
	defer f.guard.begun.RUnlock()
	if err := f.guard.allow(f.Name()); err != nil {
		return err
	}
	f.guard.engine.stats.FileSyncs.Add(1)
	err := f.File.Datasync()
	if err != nil && mutant.Is(mutant.SyncRetried) {
		err = f.File.Datasync()
	}
	if err != nil {
		f.guard.fail(err)
	}
	return err
}
