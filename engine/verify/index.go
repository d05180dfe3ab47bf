package verify

import (
	"errors"
	"fmt"
	"iter"

	"github.com/rollway/rollway/engine/dump"
	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/engine/vfs"
)

// maxIndexFindings bounds what is reported of one index file: garbage of 10 MiB
// would be a million lines.
const maxIndexFindings = 20

// indexWalk reads an index file entry by entry beside the walk over its log.
// The entries come as dump emits them, which checks each against the one
// before; here they are held against the batches.
type indexWalk struct {
	path  string
	file  vfs.File // nil: missing
	width int64    // bytes of an entry

	next func() (dump.Item, bool)
	stop func()

	item    dump.Item // the entry that comes next: dump.OffsetEntry or dump.TimeEntry; nil: none
	at      int64     // where it stands, bytes
	entries int       // read so far, item included
	peeked  dump.Item // what follows item

	report func(Finding) error
	found  int // findings
}

// openIndex starts a walk over the file name, as large as it is now. A missing
// file has no entries.
func openIndex(file vfs.File, path, name string, width int64, report func(Finding) error) (*indexWalk, error) {
	w := &indexWalk{path: path, file: file, width: width, at: -width, report: report}
	w.next, w.stop = func() (dump.Item, bool) { return nil, false }, func() {}
	if file != nil {
		w.next, w.stop = iter.Pull(items(file, name))
	}
	return w, w.advance()
}

// items are those of a file as dump emits them.
func items(file vfs.File, name string) iter.Seq[dump.Item] {
	return func(yield func(dump.Item) bool) {
		stopped := errors.New("the walk has ended")
		dump.Contents(file, name, dump.Options{}, func(item dump.Item) error {
			if !yield(item) {
				return stopped
			}
			return nil
		})
	}
}

func (w *indexWalk) close() {
	w.stop()
	if w.file != nil {
		w.file.Close()
	}
}

// advance goes to the next entry that dump has no problem with, and reports the
// problems. One that is about an entry follows it.
func (w *indexWalk) advance() error {
	for {
		w.item = w.pull()
		switch i := w.item.(type) {
		case dump.Problem:
			if err := w.problem(i.Position, -1, "%s", i.Text); err != nil {
				return err
			}
			continue
		case dump.OffsetEntry, dump.TimeEntry:
			w.entries++
			w.at += w.width
			w.peeked = w.pull()
			if p, ok := w.peeked.(dump.Problem); ok && p.Position == w.at {
				continue
			}
		}
		return nil
	}
}

// pull returns the next item but File, nil at the end.
func (w *indexWalk) pull() dump.Item {
	if item := w.peeked; item != nil {
		w.peeked = nil
		return item
	}
	for {
		item, ok := w.next()
		if _, isFile := item.(dump.File); !ok || !isFile {
			return item
		}
	}
}

// problem reports something at a position of the index file.
func (w *indexWalk) problem(position int64, offset record.Offset, format string, args ...any) error {
	w.found++
	switch {
	case w.found > maxIndexFindings:
		return nil
	case w.found == maxIndexFindings:
		return w.report(whole(Problem, w.path, "more is wrong with it, which is not listed"))
	}
	return w.report(Finding{Severity: Problem, Path: w.path, Position: position, Offset: offset, Text: fmt.Sprintf(format, args...)})
}

// offsetWalk holds an offset index against the batches.
type offsetWalk struct{ *indexWalk }

// batch takes the batch of size bytes at position. It ends with one of the
// offsets last: two if its base offset is damaged.
func (w offsetWalk) batch(position int64, last ...record.Offset) error {
	for {
		e, ok := w.item.(dump.OffsetEntry)
		if !ok || e.Position > position {
			return nil
		}
		var err error
		switch {
		case e.Position < position:
			err = w.problem(w.at, e.Offset, "position %d, where no batch begins", e.Position)
		case e.Offset != last[0] && e.Offset != last[len(last)-1]:
			err = w.problem(w.at, e.Offset, "offset %d, but the batch at position %d ends with %d", e.Offset, position, last[0])
		}
		if err != nil {
			return err
		}
		if err := w.advance(); err != nil {
			return err
		}
	}
}

// damage takes a range of the log without a batch, up to end: what the entries
// say of it cannot be checked.
func (w offsetWalk) damage(end int64) error {
	for {
		if e, ok := w.item.(dump.OffsetEntry); !ok || e.Position >= end {
			return nil
		}
		if err := w.advance(); err != nil {
			return err
		}
	}
}

// end takes the end of the log.
func (w offsetWalk) end(size int64) error {
	for {
		e, ok := w.item.(dump.OffsetEntry)
		if !ok {
			return nil
		}
		if err := w.problem(w.at, e.Offset, "position %d, but the log has %d bytes", e.Position, size); err != nil {
			return err
		}
		if err := w.advance(); err != nil {
			return err
		}
	}
}

// timeWalk holds a time index against the batches.
type timeWalk struct {
	*indexWalk
	newest int64          // highest timestamp of the segment so far, -1: none
	holder record.Offset  // last offset of the batch that holds it
	last   dump.TimeEntry // the last entry that was right or could not be checked
	gap    bool           // damage was skipped, so that newest may be too low
	behind bool           // and no batch came since
}

// batch takes a batch from first to last, as offsetWalk.batch does.
func (w *timeWalk) batch(timestamp int64, first record.Offset, last ...record.Offset) error {
	if w.behind {
		w.behind = false
		if err := w.pass(first); err != nil {
			return err
		}
	}
	before := w.newest
	if timestamp > w.newest {
		w.newest, w.holder = timestamp, last[0]
	}
	for {
		e, ok := w.item.(dump.TimeEntry)
		// Where the base offset is damaged, the other one is a guess.
		guess := e.Offset == last[len(last)-1] && e.Timestamp == timestamp
		if !ok || e.Offset > last[0] && !guess {
			return nil
		}
		var err error
		switch {
		case e.Offset != last[0] && e.Offset != last[len(last)-1]:
			err = w.problem(w.at, e.Offset, "offset %d, with which no batch ends", e.Offset)
		case e.Timestamp != timestamp:
			err = w.problem(w.at, e.Offset, "timestamp %d, but the batch that ends with offset %d has %d", e.Timestamp, e.Offset, timestamp)
		case e.Timestamp <= before:
			err = w.problem(w.at, e.Offset, "timestamp %d, but a batch before it has %d", e.Timestamp, before)
		}
		if err != nil {
			return err
		}
		w.last = e
		if err := w.advance(); err != nil {
			return err
		}
	}
}

// skip takes a range of the log without a batch: what the entries say of it
// cannot be checked.
func (w *timeWalk) skip() { w.gap, w.behind = true, true }

// pass leaves out the entries below an offset.
func (w *timeWalk) pass(below record.Offset) error {
	for {
		e, ok := w.item.(dump.TimeEntry)
		if !ok || e.Offset >= below {
			return nil
		}
		w.last = e
		if err := w.advance(); err != nil {
			return err
		}
	}
}

// end takes the end of the log. complete: the index has to end with the highest
// timestamp of the segment.
func (w *timeWalk) end(next record.Offset, complete bool) error {
	for {
		e, ok := w.item.(dump.TimeEntry)
		if !ok {
			break
		}
		// Where the log ends is not known if it ends with damage.
		if !w.behind {
			if err := w.problem(w.at, e.Offset, "offset %d, but the segment ends at %d", e.Offset, next); err != nil {
				return err
			}
		}
		w.last = e
		if err := w.advance(); err != nil {
			return err
		}
	}
	if !complete || w.gap || w.found > 0 || w.newest < 0 || w.last.Timestamp == w.newest && w.entries > 0 {
		return nil
	}
	if w.entries == 0 {
		return w.report(whole(Problem, w.path, "missing or empty, want an entry for timestamp %d at offset %d", w.newest, w.holder))
	}
	return w.problem(-1, w.last.Offset, "it ends with timestamp %d, want %d at offset %d, the highest of the segment", w.last.Timestamp, w.newest, w.holder)
}
