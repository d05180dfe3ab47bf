package engine

import (
	"slices"
	"sort"
)

// noEpoch is Kafka's epoch and offset for "unknown" (UNDEFINED_EPOCH and
// UNDEFINED_EPOCH_OFFSET of OffsetsForLeaderEpochResponse).
const noEpoch = -1

// epochEntry says that epoch wrote the records from start to the start of the
// next entry.
type epochEntry struct {
	epoch int32
	start Offset
}

// leaderEpochs tells which leader epoch wrote which offsets of one partition,
// so that a client or a replica finds where its log and this one part
// (KIP-101, KIP-320). The zero value is empty. It has no lock: one goroutine at
// a time.
type leaderEpochs struct {
	// Invariant: epoch and start rise from entry to entry and are not negative.
	entries []epochEntry
}

// assign notes that epoch begins at start, and tells whether that was news. An
// epoch that begins twice keeps its first start. Entries of the same or a later
// epoch, or at the same or a later offset, contradict the new one and go, as in
// Kafka. A negative epoch or offset is what a batch says that knows none, and
// is not noted.
func (l *leaderEpochs) assign(epoch int32, start Offset) (changed bool) {
	if epoch < 0 || start < 0 {
		return false
	}
	if last, lastStart, ok := l.latest(); ok && epoch == last && start >= lastStart {
		return false
	}
	keep := len(l.entries)
	for keep > 0 && (l.entries[keep-1].epoch >= epoch || l.entries[keep-1].start >= start) {
		keep--
	}
	l.entries = append(l.entries[:keep], epochEntry{epoch, start})
	return true
}

// latest returns the last entry; ok is false when there is none.
func (l *leaderEpochs) latest() (epoch int32, start Offset, ok bool) {
	if len(l.entries) == 0 {
		return noEpoch, noEpoch, false
	}
	e := l.entries[len(l.entries)-1]
	return e.epoch, e.start, true
}

// endOffset returns the largest epoch that is not above asked, and where it
// ends: at the start of the next one, or at logEnd if asked is the latest. When
// all known epochs are above asked it returns asked and the start of the first
// of them: what asked wrote is gone from the log. It returns -1, -1 when asked
// is above the latest epoch or there are no epochs. (Kafka's
// LeaderEpochFileCache.endOffsetFor.)
func (l *leaderEpochs) endOffset(asked int32, logEnd Offset) (epoch int32, end Offset) {
	last, _, ok := l.latest()
	if !ok || asked < 0 || asked > last {
		return noEpoch, noEpoch
	}
	if asked == last {
		return asked, logEnd
	}
	next := sort.Search(len(l.entries), func(i int) bool { return l.entries[i].epoch > asked })
	if next == 0 {
		return asked, l.entries[0].start
	}
	return l.entries[next-1].epoch, l.entries[next].start
}

// at returns the epoch that wrote off; noEpoch if that is not known.
func (l *leaderEpochs) at(off Offset) int32 {
	n := prefix(l.entries, func(e epochEntry) bool { return e.start <= off })
	if n == 0 {
		return noEpoch
	}
	return l.entries[n-1].epoch
}

// truncateFromEnd forgets the epochs that begin at end or above, for a log that
// now ends there, and tells whether there were any.
func (l *leaderEpochs) truncateFromEnd(end Offset) (changed bool) {
	keep := sort.Search(len(l.entries), func(i int) bool { return l.entries[i].start >= end })
	changed = keep < len(l.entries)
	l.entries = l.entries[:keep]
	return changed
}

// truncateFromStart forgets the epochs that end at start or below, for a log
// that now begins there, and tells whether anything changed. The epoch that
// start lies in begins there from now on.
func (l *leaderEpochs) truncateFromStart(start Offset) (changed bool) {
	next := sort.Search(len(l.entries), func(i int) bool { return l.entries[i].start > start })
	if next == 0 || next == 1 && l.entries[0].start == start {
		return false
	}
	l.entries = slices.Delete(l.entries, 0, next-1)
	l.entries[0].start = start
	return true
}
