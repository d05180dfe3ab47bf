package engine

import (
	"errors"
	"io/fs"

	"github.com/rollway/rollway/engine/vfs"
)

// findJournal reads the journal that the last process left, hands its entries to
// their partitions and goes on with it, unless it is damaged or not of the size
// that is wanted: then the file stays as it is until all partitions have
// recovered from it, and commits sync files meanwhile.
func (e *Engine) findJournal(clean bool) error {
	scan, err := openJournal(e.fs)
	if damage := (*CorruptionError)(nil); errors.As(err, &damage) && !errors.Is(err, ErrUnknownVersion) {
		e.options.Log.Error("journal cannot be read and is set aside; what it held is looked for in the segments alone", "error", err)
		return e.setJournalAside()
	}
	if err != nil || scan == nil {
		return err
	}
	e.journalFile = scan.file
	if e.rewrites {
		if err := scan.rewrite(); err != nil {
			return err
		}
	}
	j := scan.resume(e)
	if !clean {
		e.assignEntries(scan, j)
	}
	switch {
	case scan.damage != nil:
		e.options.Log.Error("journal is damaged; what stood behind that is looked for in the segments alone", "error", scan.damage)
		e.retireJournal = e.setJournalAside
	case e.options.JournalBytes < 0 || scan.header.half != halfOf(e.options.JournalBytes):
		e.retireJournal = e.removeJournal
	default:
		e.committer.journal = j
	}
	return nil
}

// assignEntries gives each partition what the journal holds of it.
func (e *Engine) assignEntries(scan *journalScan, j *journal) {
	image := e.metadata.Image()
	scan.visit(func(half int, entry journalEntry) {
		ti := image.ByID[entry.topic]
		if ti == nil || entry.partition >= ti.Partitions {
			return // its topic was deleted
		}
		p := e.Topics()[ti.Name].partitions[entry.partition]
		p.journaled.note(entry)
		if entry.bytes > 0 {
			j.halves[half].partitions[p] = true
		}
	})
}

// wantJournal has the journal made in the background, if there is to be one and
// nobody makes it yet. Until it is there commits sync files. The committer calls
// it.
func (e *Engine) wantJournal() {
	if e.options.JournalBytes < 0 || e.journalHeld.Load() || !e.journalWanted.CompareAndSwap(false, true) {
		return
	}
	e.committing.Go(func() {
		var file vfs.File
		err := e.space.roomFor(e.options.JournalBytes)
		if err == nil {
			file, err = createJournal(e.fs, e.options.JournalBytes, e.stopBackground)
		}
		switch {
		case errors.Is(err, errStopped):
		case isFinal(err):
			e.fail(err)
		case err != nil:
			// The next checkpoint clears journalWanted.
			if !e.journalMissed.Swap(true) {
				e.options.Log.Warn("journal could not be made; commits sync their files until it can", "error", err)
			}
		default:
			e.committer.mu.Lock()
			e.journalFile = file
			e.committer.journal = newJournal(e, file, halfOf(e.options.JournalBytes))
			e.committer.mu.Unlock()
		}
	})
}

// journalRecovered removes a journal that is not written on, or sets it aside,
// once what it holds is durable below the recovery points on disk; and lets one
// that could not be made be tried again. Under e.checkpointMu.
func (e *Engine) journalRecovered() {
	e.committer.mu.Lock()
	have := e.committer.journal != nil
	e.committer.mu.Unlock()
	if !have && e.retireJournal == nil {
		e.journalWanted.Store(false)
		return
	}
	if e.retireJournal == nil {
		return
	}
	for _, t := range e.Topics() {
		for _, p := range t.partitions {
			state := PartitionState(p.state.Load())
			if state == Recovering || state == Failed || Offset(p.checkpointed.Load()) < p.journaled.promise.next {
				return
			}
		}
	}
	if err := e.retireJournal(); err != nil {
		e.options.Log.Warn("journal of the last process stays for now", "error", err)
		return
	}
	e.journalFile.Close()
	e.journalFile, e.retireJournal = nil, nil
	e.journalHeld.Store(false)
}

// setJournalAside keeps a damaged journal under another name.
func (e *Engine) setJournalAside() error {
	aside, err := freeName(e.fs, journalFile+".damaged")
	if err != nil {
		return err
	}
	if err := e.withBallast(func() error { return e.fs.Rename(journalFile, aside) }); err != nil {
		return err
	}
	return e.syncRoot()
}

func (e *Engine) removeJournal() error {
	if err := e.fs.Remove(journalFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return e.syncRoot()
}

func (e *Engine) syncRoot() error {
	if err := e.fs.SyncDir("."); err != nil {
		err = syncFault(err)
		e.fail(err)
		return err
	}
	return nil
}

// emptyJournal leaves a journal of which nothing is needed. All is synced in its
// files, and nobody appends any more.
func (e *Engine) emptyJournal() error {
	if j := e.committer.journal; j != nil {
		return j.empty()
	}
	e.checkpointMu.Lock()
	defer e.checkpointMu.Unlock()
	e.journalRecovered()
	if e.retireJournal != nil {
		return errors.New("engine: the journal of an earlier process is still needed")
	}
	return nil
}
