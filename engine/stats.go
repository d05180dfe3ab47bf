package engine

import "sync/atomic"

// counters count since Open.
type counters struct {
	Commits atomic.Int64 // group commits
	Syncs   atomic.Int64 // fdatasync of .log files
	Refused atomic.Int64 // appends and topics

	JournalBytes atomic.Int64 // written to the commit journal, padding included
	JournalSyncs atomic.Int64 // records written to it
	FileSyncs    atomic.Int64 // fdatasync of any file
	DirSyncs     atomic.Int64

	JournalCommits, DirectCommits atomic.Int64
	commitSizes                   [len(commitSizeBounds) + 1]atomic.Int64
	commitBytes                   atomic.Int64
}

// commitSizeBounds are the buckets of group commits by size, in bytes: from a log
// line to what a journal of the default size has room for.
var commitSizeBounds = [...]int64{1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20}

// countCommit counts a group that is durable.
func (c *counters) countCommit(g *commitGroup) {
	var bytes int64
	var journal, direct int64
	for i := range g.members {
		m := &g.members[i]
		bytes += m.bytes
		if m.synced {
			direct = 1
		}
		if m.staged > 0 {
			journal = 1
		}
	}
	if direct+journal == 0 {
		return // it has only begun to sync files
	}
	c.Commits.Add(1)
	c.JournalCommits.Add(journal)
	c.DirectCommits.Add(direct)
	i := 0
	for i < len(commitSizeBounds) && bytes > commitSizeBounds[i] {
		i++
	}
	c.commitSizes[i].Add(1)
	c.commitBytes.Add(bytes)
}

// Stats is a copy of the engine's counters, which count since Open. They are read
// one after another.
type Stats struct {
	Commits int64 // group commits
	// JournalCommits are those that made bytes of some partition durable in the
	// commit journal, DirectCommits those that synced the files of one; both may be.
	JournalCommits int64
	DirectCommits  int64
	// CommitSizes are the commits by the bytes of the batches that waited for them.
	CommitSizes Sizes

	Syncs        int64 // fdatasync(2) of .log files, in commits and in the background
	JournalSyncs int64 // of the commit journal, one for each record
	FileSyncs    int64 // of any file, those two included
	DirSyncs     int64 // fsync(2) of directories
	Refused      int64 // appends and new partitions that were refused for want of space

	JournalBytes    int64 // bytes written to the commit journal
	OpenFiles       int   // segment and index files that are open
	MaxOpenFiles    int   // the most that may be
	IndexCacheBytes int64 // of index files in memory; see Options.IndexCacheBytes
}

// Sizes are things counted by their size in bytes.
type Sizes struct {
	Bounds []int64 // largest size of each bucket, rising
	Counts []int64 // of each bucket, not of those below it; one more than Bounds
	Sum    int64   // of all sizes
}

// Stats returns what the engine counts.
func (e *Engine) Stats() Stats {
	c := &e.stats
	s := Stats{
		Commits:         c.Commits.Load(),
		JournalCommits:  c.JournalCommits.Load(),
		DirectCommits:   c.DirectCommits.Load(),
		CommitSizes:     Sizes{Bounds: commitSizeBounds[:], Counts: make([]int64, len(c.commitSizes)), Sum: c.commitBytes.Load()},
		Syncs:           c.Syncs.Load(),
		JournalSyncs:    c.JournalSyncs.Load(),
		FileSyncs:       c.FileSyncs.Load(),
		DirSyncs:        c.DirSyncs.Load(),
		Refused:         c.Refused.Load(),
		JournalBytes:    c.JournalBytes.Load(),
		OpenFiles:       e.files.count(),
		MaxOpenFiles:    e.files.most,
		IndexCacheBytes: e.indexCache.bytes(),
	}
	for i := range c.commitSizes {
		s.CommitSizes.Counts[i] = c.commitSizes[i].Load()
	}
	return s
}

// traffic counts what passes through a partition.
type traffic struct {
	appendedBytes, appendedRecords, fetchedBytes atomic.Int64
	// producers is how many idempotent producers are remembered, as of the last
	// append or checkpoint, so that whoever asks need not wait for p.mu.
	producers atomic.Int64
}

// PartitionStats is a copy of what a partition counts since Open.
type PartitionStats struct {
	AppendedBytes   int64 // of batches, as they stand in the log
	AppendedRecords int64
	FetchedBytes    int64 // see CountFetched
	Producers       int   // idempotent producers that are remembered now
}

// Stats returns what the partition counts. It takes no lock.
func (p *Partition) Stats() PartitionStats {
	t := &p.traffic
	return PartitionStats{
		AppendedBytes:   t.appendedBytes.Load(),
		AppendedRecords: t.appendedRecords.Load(),
		FetchedBytes:    t.fetchedBytes.Load(),
		Producers:       int(t.producers.Load()),
	}
}

// CountFetched counts bytes that are sent to a reader. Whoever answers with a Slice
// calls it: only there is it known that the slice is not given up for a larger one.
func (p *Partition) CountFetched(bytes int64) { p.traffic.fetchedBytes.Add(bytes) }
