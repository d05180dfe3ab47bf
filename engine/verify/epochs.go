package verify

import (
	"fmt"
	"sort"

	"github.com/rollway/rollway/engine/dump"
	"github.com/rollway/rollway/engine/record"
)

// epochWalk holds leader-epoch-checkpoint against the batches. No crc covers
// the epoch of a batch, so that this is how a damaged one is known.
type epochWalk struct {
	path    string
	entries []dump.EpochEntry // rising
	known   bool              // the file was read without a problem, and has entries
	damaged bool              // the file has a problem of its own
	report  func(Finding) error
	judge   func(Finding) Finding // of the segment that is read

	// pending is a batch whose epoch differs; the next one tells whether that is
	// the batch's fault or the file's.
	pending *epochMismatch
	blamed  int32 // the epoch for which the file was reported, noEpoch: none
}

type epochMismatch struct {
	Finding
	found, want int32
}

const noEpoch = -1

// expected is the epoch that the file has for an offset, noEpoch if none.
func (w *epochWalk) expected(offset record.Offset) int32 {
	n := sort.Search(len(w.entries), func(i int) bool { return w.entries[i].Start > offset })
	if n == 0 {
		return noEpoch
	}
	return w.entries[n-1].Epoch
}

// batch takes the next batch, which begins with offset; order is what is wrong
// with its epoch beside that of the batch before.
func (w *epochWalk) batch(path string, position int64, offset record.Offset, epoch int32, order error) error {
	at := Finding{Severity: Problem, Path: path, Position: position, Offset: offset}
	if !w.known {
		if order == nil {
			return nil
		}
		at.Text = order.Error()
		return w.report(w.judge(at))
	}
	want := w.expected(offset)
	if epoch == want {
		w.blamed = noEpoch
		return w.flush()
	}
	if epoch == w.blamed {
		return nil
	}
	if p := w.pending; p != nil && p.found == epoch {
		w.pending, w.blamed = nil, epoch
		text := fmt.Sprintf("leader epoch %d from offset %d on, but the batches there have %d", p.want, p.Offset, epoch)
		if p.want == noEpoch {
			text = fmt.Sprintf("no leader epoch for offset %d, but the batches there have %d", p.Offset, epoch)
		}
		return w.report(Finding{Severity: Problem, Path: w.path, Position: -1, Offset: p.Offset, Text: text})
	}
	if err := w.flush(); err != nil {
		return err
	}
	at.Text = fmt.Sprintf("leader epoch %d, want %d as in %s", epoch, want, leaderEpochFile)
	w.pending = &epochMismatch{w.judge(at), epoch, want}
	return nil
}

// flush reports the batch that was alone with its epoch.
func (w *epochWalk) flush() error {
	p := w.pending
	w.pending = nil
	if p == nil {
		return nil
	}
	return w.report(p.Finding)
}

// end takes the end of the log. clean: it was stopped cleanly, so that no epoch
// begins behind it.
func (w *epochWalk) end(next record.Offset, clean bool) error {
	if err := w.flush(); err != nil || !w.known || !clean || len(w.entries) == 0 {
		return err
	}
	if last := w.entries[len(w.entries)-1]; last.Start > next {
		return w.report(Finding{Severity: Problem, Path: w.path, Position: -1, Offset: last.Start,
			Text: fmt.Sprintf("leader epoch %d from offset %d on, but the log ends at %d", last.Epoch, last.Start, next)})
	}
	return nil
}
