package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"
)

// deletedSuffix marks a file that has left its log and waits for its unlink.
// It is Kafka's, and so is unlinking at a start what has it.
const deletedSuffix = ".deleted"

// isDeletedFileName tells a file of a segment that has left its log.
func isDeletedFileName(name string) bool {
	name, deleted := strings.CutSuffix(name, deletedSuffix)
	_, kind := parseSegmentFileName(name)
	return deleted && kind != ""
}

// removal is what is unlinked together: files, or the directories of topics,
// which are forgotten afterwards.
type removal struct {
	dueMs  int64 // by the engine's clock
	files  []string
	dirs   []string
	topics []TopicID
}

// removals are the files and directories that have got the name of deleted
// ones and wait for file.delete.delay.ms to be over. A start finds by their
// names those that are lost with the process.
type removals struct {
	wake chan struct{} // capacity 1: something is due, or was added

	mu      sync.Mutex
	pending []removal
	timer   *time.Timer // wakes for the earliest of pending
}

func (r *removals) init() {
	r.wake = make(chan struct{}, 1)
	r.timer = time.AfterFunc(time.Hour, r.signal)
	r.timer.Stop()
}

func (r *removals) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// removeLater has the files or directories unlinked delayMs from now.
func (e *Engine) removeLater(delayMs int64, r removal) {
	now := e.nowMs()
	r.dueMs = now + min(delayMs, neverMs)
	e.removals.mu.Lock()
	defer e.removals.mu.Unlock()
	e.removals.pending = append(e.removals.pending, r)
	e.removals.rearm(now)
}

// neverMs is so far away that it means never, and no time.Duration overflows.
const neverMs = int64(365 * 24 * time.Hour / time.Millisecond)

// rearm sets the timer for the earliest. Under r.mu.
func (r *removals) rearm(nowMs int64) {
	if len(r.pending) == 0 {
		r.timer.Stop()
		return
	}
	first := slices.MinFunc(r.pending, func(a, b removal) int { return int(a.dueMs - b.dueMs) })
	r.timer.Reset(time.Duration(max(first.dueMs-nowMs, 0)) * time.Millisecond)
}

// due takes what is to be unlinked now.
func (r *removals) due(nowMs int64) (due []removal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending = slices.DeleteFunc(r.pending, func(one removal) bool {
		if one.dueMs <= nowMs {
			due = append(due, one)
			return true
		}
		return false
	})
	r.rearm(nowMs)
	return due
}

// removeDue unlinks what is due. What cannot be unlinked is tried again after
// RetentionInterval.
func (e *Engine) removeDue() {
	for _, r := range e.removals.due(e.nowMs()) {
		if e.failure() != nil {
			return
		}
		if err := e.remove(r); err != nil {
			e.options.Log.Warn("deleted files are not removed yet, try again later", "error", err)
			e.removeLater(e.options.RetentionInterval.Milliseconds(), r)
		}
	}
}

// remove unlinks. Nothing is synced for files: one that comes back after a power
// cut still has the name of a deleted one.
func (e *Engine) remove(r removal) error {
	var errs []error
	for _, name := range r.files {
		// A deleted topic may have taken the file with its directory.
		if err := e.fs.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if len(r.dirs)+len(r.topics) > 0 {
		errs = append(errs, e.purge(r.dirs, r.topics))
	}
	return errors.Join(errs...)
}

// purge unlinks the renamed directories of deleted topics and then forgets the
// topics.
func (e *Engine) purge(dirs []string, topics []TopicID) error {
	for _, dir := range dirs {
		if err := e.removeTree(dir); err != nil {
			return fmt.Errorf("remove the directory %s of a deleted topic: %w", dir, err)
		}
	}
	if err := e.fs.SyncDir("."); err != nil {
		e.fail(syncFault(err))
		return e.failure()
	}
	records := make([]MetadataRecord, len(topics))
	for i, id := range topics {
		records[i] = PurgeTopicRecord{ID: id}
	}
	if err := e.commitMetadata(records...); err != nil {
		return fmt.Errorf("forget deleted topics: %w", err)
	}
	return nil
}
