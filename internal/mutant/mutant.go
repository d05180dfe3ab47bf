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

	// Those of the group coordinator.

	// CommitOfStaleGeneration takes a commit of a member whose generation is over.
	CommitOfStaleGeneration Mutant = "commit-of-stale-generation"
	// AssignmentBeforeSync hands out an assignment that a crash can take back.
	AssignmentBeforeSync Mutant = "assignment-before-sync"
	// OffsetBeforeSync acknowledges a commit that a crash can take back.
	OffsetBeforeSync Mutant = "offset-before-sync"
	// ParkedMemberExpired lets the session of a member end while it waits for the
	// others to join.
	ParkedMemberExpired Mutant = "parked-member-expired"
	// FencedNotAnswered forgets the parked answer of a static member that is replaced.
	FencedNotAnswered Mutant = "fenced-not-answered"
	// JoinPhaseNotTimed has a join phase in which nobody joins again wait for ever.
	JoinPhaseNotTimed Mutant = "join-phase-not-timed"
	// TombstoneNotReplayed has deleted offsets come back with a restart.
	TombstoneNotReplayed Mutant = "tombstone-not-replayed"
	// GoneWithoutLook has what was being committed to a topic that is made anew go
	// with the one before it.
	GoneWithoutLook Mutant = "gone-without-look"
)

// All lists them.
var All = []Mutant{
	AckBeforeSync, HighWatermarkBeforeSync, DirectoryNotSynced, SyncRetried, SyncErrorSwallowed,
	ShortWriteIgnored, IndexTrusted, RecoveryPointBeforeIndexSync,
	TruncateBelowHighWatermark, JournalPastDamage, JournalWrappedEarly, SnapshotTrusted,
	DirtyDescriptorEvicted,
	CommitOfStaleGeneration, AssignmentBeforeSync, OffsetBeforeSync, ParkedMemberExpired,
	FencedNotAnswered, JoinPhaseNotTimed, TombstoneNotReplayed,
	GoneWithoutLook,
}
