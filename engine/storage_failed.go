package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/rollway/rollway/engine/vfs"
)

// storageFailedFile, in the data directory, says that a write or sync of a process
// has failed, and why, as a line of text. The kernel has then dropped pages from
// what it will write, but still shows them, and syncs them without an error: the
// next process must write them anew before it trusts its own syncs.
//
// The file is not synced, for nothing may be: it need not outlive the page cache
// that it warns of.
const storageFailedFile = "rollway-storage-failed"

// noteFailure leaves the file behind. It does what it can: a process that cannot
// make a file will not be started again on this disk either.
func (e *Engine) noteFailure(why error) {
	file, err := e.fs.OpenFile(storageFailedFile, os.O_CREATE|os.O_TRUNC)
	if err == nil {
		_, err = file.WriteAt(0, []byte(why.Error()+"\n"))
		file.Close()
	}
	if err != nil {
		e.options.Log.Error("the failure could not be noted: mount the file system again before the next start", "file", storageFailedFile, "error", err)
	}
}

// hasFailed tells whether the last process has ended with a failed write or sync.
func (e *Engine) hasFailed() (bool, error) {
	switch _, err := e.fs.Stat(storageFailedFile); {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	}
	e.options.Log.Warn("the last process ended with a failed write or sync; what may not have reached the disk is written again", "file", storageFailedFile)
	return true, nil
}

// rewrite writes the batch that was just checked to where it was read from, if the
// disk may not have it. What the segment has to sync is noted first, so that the
// file stays open.
func (r *segmentRecovery) rewrite(b []byte) error {
	if !r.p.engine.rewrites {
		return nil
	}
	r.s.synced.Store(0)
	r.s.written.Store(int64(r.s.size) + int64(len(b)))
	return rewrite(r.check.file, int64(r.s.size), b)
}

func rewrite(file vfs.File, at int64, content []byte) error {
	if _, err := file.WriteAt(at, content); err != nil {
		return writeFault(fmt.Errorf("write %d bytes at %d again: %w", len(content), at, err))
	}
	return nil
}

// rewrite writes the records that count, and the header, as they were read. It
// syncs them, for the next record will name the last of these.
func (s *journalScan) rewrite() error {
	for half := range s.halves {
		for _, r := range s.halves[half].records {
			b := make([]byte, r.size)
			if _, err := s.file.ReadAt(b, r.at); err != nil {
				return err
			}
			if err := rewrite(s.file, r.at, b); err != nil {
				return err
			}
		}
	}
	return writeJournalHeader(s.file, s.header)
}

// rewrite writes the whole log as it was read, and syncs it.
func (l *metadataLog) rewrite() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	content := make([]byte, l.end)
	if _, err := l.file.ReadAt(content, 0); err != nil {
		return err
	}
	if err := rewrite(l.file, 0, content); err != nil {
		return err
	}
	if err := l.file.Datasync(); err != nil {
		return syncFault(err)
	}
	return nil
}

// forgetFailure removes the file once all partitions are ready, and so all that
// was in doubt is on the disk.
func (e *Engine) forgetFailure() {
	if !e.rewrites || e.failure() != nil {
		return
	}
	if err := e.fs.Remove(storageFailedFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		e.options.Log.Warn("the next start writes again what may not have reached the disk", "error", err)
	}
}
