package engine

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rollway/rollway/engine/vfs"
	"github.com/rollway/rollway/internal/invariant"
	"github.com/rollway/rollway/internal/mutant"
)

// descriptors bounds how many segment and index files of one engine are open.
// A file is opened when it is used; at the bound one that is not in use is
// closed for it, by the clock algorithm: the hand goes round the open files,
// passes those that were used since its last visit, and takes the first that was
// not.
//
// A file in use is never closed, nor is one with bytes that are not synced, for
// which whoever wrote them keeps it in use: the kernel reports a write-back error
// once to each open file description, and the next one of that file may never
// hear of it (fsync(2), NOTES).
//
// Some descriptors are for writers alone, so that readers who hold all others
// cannot stop an append or a roll.
type descriptors struct {
	fs      vfs.FS
	most    int // open files
	reserve int // how many of them only writers may take
	// crowded asks for unsynced files to be synced, so that they can be closed;
	// see Engine.runRelief. Capacity 1.
	crowded chan struct{}

	mu sync.Mutex
	// open counts the files that are open, and those about to be: a slot is taken
	// before open(2), and given back after close(2).
	// Invariant: open <= most.
	open  int
	clock []*descriptor // those with an open file, in no order
	hand  int           // where in clock to look next
}

// newDescriptors returns the bound of most files of fs.
func newDescriptors(fs vfs.FS, most int) *descriptors {
	return &descriptors{fs: fs, most: most, reserve: min(max(most/8, 4), 256), crowded: make(chan struct{}, 1)}
}

// leastOpenFiles is the lowest bound: a roll of each of a few partitions, which
// takes three files, beside readers.
const leastOpenFiles = 16

// count is how many files are open.
func (a *descriptors) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.open
}

// enter takes the slot of one more file, that of an idle one if there is none left.
// A writer may also take one of the reserve; a reader closes idle files until the
// reserve is whole again. Error: ErrTooManyOpenFiles if all are in use.
func (a *descriptors) enter(writer bool) error {
	limit := a.most - a.reserve
	for {
		a.mu.Lock()
		if a.open < limit {
			a.open++
			a.mu.Unlock()
			return nil
		}
		idle, busy := a.takeIdle()
		crowded := idle == nil || busy > len(a.clock)/2
		over := a.open > limit
		taken := idle != nil && (writer || !over)
		if idle == nil && writer && a.open < a.most {
			a.open++
			taken = true
		}
		a.mu.Unlock()
		if crowded {
			a.relieve()
		}
		if idle != nil {
			idle.Close() // nothing that was written is left to report
		}
		switch {
		case taken:
			return nil
		case idle == nil:
			return fmt.Errorf("%w: %d are open and in use, the most allowed (MaxOpenFiles)", ErrTooManyOpenFiles, a.most)
		}
		a.leave()
	}
}

// relieve asks for unsynced files to be synced. It does not wait for that.
func (a *descriptors) relieve() {
	select {
	case a.crowded <- struct{}{}:
	default:
	}
}

// takeIdle takes a file from the clock that is not in use and was not for
// longest, nearly, with its slot; nil if there is none. busy counts those in use
// that the hand passed. Under a.mu. It is at most two turns of the hand: 10,000
// files that are all in use cost 50 us.
func (a *descriptors) takeIdle() (idle vfs.File, busy int) {
	for range 2 * len(a.clock) {
		if a.hand >= len(a.clock) {
			a.hand = 0
		}
		d := a.clock[a.hand]
		if d.recent.Load() {
			d.recent.Store(false)
			a.hand++
			continue
		}
		if file := d.detach(); file != nil {
			a.drop(d)
			return file, busy
		}
		busy++
		a.hand++
	}
	return nil, busy
}

// show puts a descriptor whose file is open now before the hand.
func (a *descriptors) show(d *descriptor) {
	a.mu.Lock()
	defer a.mu.Unlock()
	d.place = len(a.clock)
	a.clock = append(a.clock, d)
}

// drop takes a descriptor out of the clock. Under a.mu.
func (a *descriptors) drop(d *descriptor) {
	last := len(a.clock) - 1
	invariant.Check(a.clock[d.place] == d, "clock of open files: another file at place %d", d.place)
	a.clock[d.place] = a.clock[last]
	a.clock[d.place].place = d.place
	a.clock[last] = nil
	a.clock = a.clock[:last]
}

// leave gives back the slot of a file that was closed, or not opened after all.
func (a *descriptors) leave() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open--
	invariant.Check(a.open >= 0, "more files closed than opened")
}

// forgo closes an idle file if there is one.
func (a *descriptors) forgo() bool {
	a.mu.Lock()
	idle, _ := a.takeIdle()
	a.mu.Unlock()
	if idle == nil {
		return false
	}
	idle.Close()
	a.leave()
	return true
}

// descriptor is the place of one file, open or not. It has one owner, who can use
// it or give it up. While nobody uses it its file may be closed; open opens it
// again.
type descriptor struct {
	all    *descriptors
	owner  interface{ dirty() bool } // tells of unsynced bytes; nil for who has a use for them
	uses   atomic.Int32              // 1 for each user, and ownerUse until the owner gives it up
	recent atomic.Bool               // used since the clock's hand passed
	file   atomic.Pointer[vfs.File]

	mu    sync.Mutex // held while the file is opened or closed; before all.mu
	place int        // in all.clock; under all.mu
}

// ownerUse is what the owner counts for: more than there are users, so that a file
// that only its owner holds is told from one that only a reader holds.
const ownerUse = 1 << 30

func (d *descriptor) init(all *descriptors, owner interface{ dirty() bool }) {
	d.all, d.owner = all, owner
	d.uses.Store(ownerUse)
}

// use keeps the file open, once it is, until done; false if the owner has given
// the descriptor up and nobody else uses it.
func (d *descriptor) use() bool {
	for {
		n := d.uses.Load()
		if n == 0 {
			return false
		}
		if d.uses.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// useMore is use for who knows that the owner has not given it up.
func (d *descriptor) useMore() {
	n := d.uses.Add(1)
	invariant.Check(n > 1, "descriptor used that nobody holds")
}

// done ends one use. It tells whether that was the last and the owner has given
// the descriptor up: then none begins any more, and the caller closes it.
func (d *descriptor) done() (last bool) {
	n := d.uses.Add(-1)
	invariant.Check(n >= 0 && n != ownerUse-1, "descriptor released more often than used")
	return n == 0
}

// giveUp ends the owner's part, with the result of done.
func (d *descriptor) giveUp() (last bool) {
	n := d.uses.Add(-ownerUse)
	invariant.Check(n >= 0, "descriptor given up twice")
	return n == 0
}

// open returns the file, which is opened unless it is open. The caller uses d:
// then the file stays open, so bytes are synced through the description that
// wrote them. flag is that of vfs.FS.OpenFile; writer allows the reserve.
//
// Errors: ErrTooManyOpenFiles, those of open(2).
func (d *descriptor) open(name string, flag int, writer bool) (vfs.File, error) {
	if f := d.file.Load(); f != nil {
		if !d.recent.Load() { // no store where many read the same file
			d.recent.Store(true)
		}
		return *f, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if f := d.file.Load(); f != nil {
		return *f, nil
	}
	err := d.all.enter(writer)
	for pause := time.Millisecond; err != nil && !writer && pause <= longestPause; pause *= 2 {
		time.Sleep(pause) // what is in use only because it is not synced is synced now
		err = d.all.enter(writer)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	f, err := d.all.fs.OpenFile(name, flag)
	if isDescriptorLimit(err) && d.all.forgo() {
		// Sockets have taken what the bound counted on.
		f, err = d.all.fs.OpenFile(name, flag)
	}
	if err != nil {
		d.all.leave()
		if isDescriptorLimit(err) {
			err = fmt.Errorf("%w: %w", ErrTooManyOpenFiles, err)
		}
		return nil, err
	}
	d.recent.Store(true)
	d.file.Store(&f)
	d.all.show(d)
	return f, nil
}

// longestPause is the last of the pauses, each twice the one before, that a reader
// makes before it is refused: a quarter of a second in all. Writers make none:
// they hold their partition's mutex, for which the commit may wait that would
// release files.
const longestPause = 128 * time.Millisecond

// isDescriptorLimit tells that the process or the system has no descriptor left.
func isDescriptorLimit(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// detach takes the file of a descriptor that nobody uses and that has no unsynced
// bytes; nil otherwise. It does not wait. A user raises uses first
// and loads file second; detach goes the other way, so one of the two sees the
// other: either the user finds no file and waits for d.mu, or the file is put
// back.
func (d *descriptor) detach() vfs.File {
	if d.isBusy() || !d.mu.TryLock() {
		return nil
	}
	defer d.mu.Unlock()
	f := d.file.Swap(nil)
	if f == nil {
		return nil // its owner is closing it
	}
	if d.isBusy() {
		d.file.Store(f)
		return nil
	}
	return *f
}

// isBusy looks at the uses first: whoever writes says so before the use ends.
func (d *descriptor) isBusy() bool {
	if d.uses.Load() != ownerUse {
		return true
	}
	return d.owner != nil && d.owner.dirty() && !mutant.Is(mutant.DirtyDescriptorEvicted)
}

// close closes the file for good. Nobody uses it any more.
func (d *descriptor) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.file.Swap(nil)
	if f == nil {
		return
	}
	d.all.mu.Lock()
	d.all.drop(d)
	d.all.mu.Unlock()
	(*f).Close()
	d.all.leave()
}

// isOpen tells whether the file is open at the moment.
func (d *descriptor) isOpen() bool { return d.file.Load() != nil }

// runRelief syncs files that only their unsynced bytes keep open whenever there
// are too many of them: long before flush.ms, or the next checkpoint, would.
func (e *Engine) runRelief() {
	for {
		select {
		case <-e.files.crowded:
		case <-e.stopBackground:
			return
		}
		if e.relieve() {
			continue
		}
		// Readers hold the files. Looking again at once would find the same.
		select {
		case <-time.After(reliefPause):
		case <-e.stopBackground:
			return
		}
	}
}

// reliefPause is how long a look at all partitions, which found nothing to sync,
// is not repeated.
const reliefPause = 100 * time.Millisecond

// relieve has the committer sync every log that is not, and syncs the indexes. It
// tells whether there was anything to sync.
func (e *Engine) relieve() (found bool) {
	e.checkpointMu.Lock() // or a checkpoint would count as durable what is being synced here
	defer e.checkpointMu.Unlock()
	for _, t := range e.Topics() {
		for _, p := range t.partitions {
			if e.failure() != nil {
				return false
			}
			if PartitionState(p.state.Load()) != Ready {
				continue
			}
			dirtyLog, synced, err := p.syncIndexes()
			if dirtyLog {
				e.committer.add(p)
			}
			if isFinal(err) {
				e.fail(err)
			} else if err != nil {
				e.options.Log.Warn("indexes were not synced", "partition", p.String(), "error", err)
			}
			found = found || dirtyLog || synced
		}
	}
	return found
}

// syncIndexes syncs the index files that hold unsynced bytes, and tells whether
// there were any and whether there are .log files that do. They are those of
// segments above the recovery point, and of the one before, which may have been
// sealed since. Under e.checkpointMu.
func (p *Partition) syncIndexes() (dirtyLog, synced bool, err error) {
	list := p.log.list()
	_, first := segmentOf(list, p.recoveryPoint)
	for _, s := range list[max(first-1, 0):] {
		dirtyLog = dirtyLog || s.dirty()
		if !s.index.isDirty() && !s.times.isDirty() || !s.pin() {
			continue
		}
		synced = true
		err = errors.Join(err, s.syncIndexes())
		s.Release()
		if err != nil {
			break
		}
	}
	return dirtyLog, synced, err
}
