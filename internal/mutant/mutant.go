package mutant

// Mutant is the name of a planted bug.
type Mutant string

// The planted bugs.
const (
	// AckBeforeSync acknowledges an append when it is written.
	AckBeforeSync Mutant = "ack-before-sync"
	// HighWatermarkBeforeSync shows readers what is written.
	HighWatermarkBeforeSync Mutant = "high-watermark-before-sync"
	// DirectoryNotSynced does not make the name of a new segment durable.
	DirectoryNotSynced Mutant = "directory-not-synced"
	// SyncRetried syncs a file again after an error, and believes the answer.
	SyncRetried Mutant = "sync-retried"
	// SyncErrorSwallowed has one of two syncers not tell the other of its error.
	SyncErrorSwallowed Mutant = "sync-error-swallowed"
	// ShortWriteIgnored takes a write that stopped in the middle for a whole one.
	ShortWriteIgnored Mutant = "short-write-ignored"
	// IndexTrusted sends from where an index entry points without a look at the
	// batch header there.
	IndexTrusted Mutant = "index-trusted"
	// RecoveryPointBeforeIndexSync says that all is durable before the indexes are.
	RecoveryPointBeforeIndexSync Mutant = "recovery-point-before-index-sync"
	// TruncateBelowHighWatermark cuts off more than a failed append left behind.
	TruncateBelowHighWatermark Mutant = "truncate-below-high-watermark"
	// JournalPastDamage replays records of the journal behind a damaged one.
	JournalPastDamage Mutant = "journal-replayed-past-damage"
	// JournalWrappedEarly uses a half of the journal again before the segments
	// whose bytes it holds are synced.
	JournalWrappedEarly Mutant = "journal-wrapped-early"
	// DirtyDescriptorEvicted closes a file with unsynced bytes to open another.
	DirtyDescriptorEvicted Mutant = "dirty-descriptor-evicted"
	// SnapshotTrusted believes a producer snapshot of offsets that were cut off.
	SnapshotTrusted Mutant = "producer-snapshot-trusted"
)

// All lists them.
var All = []Mutant{
	AckBeforeSync, HighWatermarkBeforeSync, DirectoryNotSynced, SyncRetried, SyncErrorSwallowed,
	ShortWriteIgnored, IndexTrusted, RecoveryPointBeforeIndexSync,
	TruncateBelowHighWatermark, JournalPastDamage, JournalWrappedEarly, SnapshotTrusted,
	DirtyDescriptorEvicted,
}
