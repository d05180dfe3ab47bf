package engine

import (
	"slices"
	"strings"
	"testing"
)

// A commit is counted by the way that it took and by its bytes, a sync by what was
// synced: what is counted is what the file system was asked for.
func TestStatsOfCommits(t *testing.T) {
	fs := traceDir(t, t.TempDir())
	e, p := journaledLog(t, fs)
	fs.reset()
	before := e.Stats()
	small := batchOf(t, 1, "small")
	produce(t, p, small)
	large := batchOf(t, 1, strings.Repeat("x", directBytes))
	produce(t, p, large)
	after := e.Stats()

	f := func(what string, got, want int64) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	f("commits", after.Commits-before.Commits, 2)
	f("journal commits", after.JournalCommits-before.JournalCommits, 1)
	f("direct commits", after.DirectCommits-before.DirectCommits, 1)
	f("syncs of the log", after.Syncs-before.Syncs, int64(len(fs.find("datasync", firstLog))))
	f("syncs of the journal", after.JournalSyncs-before.JournalSyncs, int64(len(fs.find("datasync", journalFile))))
	f("syncs of files", after.FileSyncs-before.FileSyncs, int64(len(fs.find("datasync", ""))))
	if after.DirSyncs == 0 {
		t.Error("no sync of a directory was counted, and a topic was made")
	}
	f("bytes of commits", after.CommitSizes.Sum-before.CommitSizes.Sum, int64(len(small)+len(large)))
	sizes := slices.Clone(after.CommitSizes.Counts)
	for i, n := range before.CommitSizes.Counts {
		sizes[i] -= n
	}
	// The large one is a record of 48 KiB, and a batch is longer than its records.
	want := make([]int64, len(after.CommitSizes.Bounds)+1)
	want[0], want[slices.Index(after.CommitSizes.Bounds, 64<<10)] = 1, 1
	if !slices.Equal(sizes, want) {
		t.Errorf("commits by size %v, want %v", sizes, want)
	}
}

// A partition counts what was appended, refusals and duplicates excepted, and
// what it is told that readers were sent.
func TestStatsOfPartition(t *testing.T) {
	s := newSequences(t, func(o *Options) { o.MaxProducers = 2 })
	bytes := 0
	for i := range int64(3) {
		b := sequenced(t, i, 0, 0, 2)
		s.good(Offset(2*i), b)
		bytes += len(b)
	}
	s.again(4, 6, sequenced(t, 2, 0, 0, 2))
	s.bad(ErrOutOfOrderSequence, sequenced(t, 2, 0, 7, 1))
	s.p.CountFetched(100)
	s.p.CountFetched(23)
	want := PartitionStats{AppendedBytes: int64(bytes), AppendedRecords: 6, FetchedBytes: 123, Producers: 2}
	if got := s.p.Stats(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
