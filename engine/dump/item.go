package dump

import "github.com/rollway/rollway/engine/record"

// Item is one thing that was found: one of the types of this file. What it
// points to is valid until the function that was given it returns.
type Item interface{ item() }

// File begins a file. All items up to the next File are in it.
type File struct {
	Path string `json:"path"`
	Kind Kind   `json:"kind"`
	Size int64  `json:"size"` // bytes, when it was opened
}

// Kind says what a file is, by its name.
type Kind string

// The kinds of files.
const (
	KindLog            Kind = "log"
	KindOffsetIndex    Kind = "offset index"
	KindTimeIndex      Kind = "time index"
	KindRecoveryPoints Kind = "recovery points"
	KindLogStarts      Kind = "log start offsets"
	KindLeaderEpochs   Kind = "leader epochs"
	KindProducers      Kind = "producer snapshot"
	KindMetaProperties Kind = "meta properties"
	KindPartition      Kind = "partition metadata"
	KindMetadataLog    Kind = "metadata log"
	KindSnapshotList   Kind = "list of producer snapshots"
	KindCleanShutdown  Kind = "clean shutdown marker"
	KindLock           Kind = "lock"
	KindJournal        Kind = "journal"
	KindQuarantine     Kind = "quarantine"
	KindBoot           Kind = "boot id"
	KindFailure        Kind = "storage failure" // not read
	KindBallast        Kind = "ballast"         // not read
	KindOther          Kind = "other"           // not read
)

// Batch is one whole batch of a log. Its crc and counts are right.
type Batch struct {
	Position int64 // in the file, bytes
	record.Batch
}

// Record is one record of the Batch before it.
type Record struct{ *record.Record }

// OffsetEntry is one entry of an offset index.
type OffsetEntry struct {
	Offset   record.Offset `json:"offset"`   // last one of a batch
	Position int64         `json:"position"` // of that batch in the log, bytes
}

// TimeEntry is one entry of a time index.
type TimeEntry struct {
	Timestamp int64         `json:"timestamp"` // ms since 1970, the highest so far
	Offset    record.Offset `json:"offset"`    // last one of the batch that holds it
}

// Producer is one entry of a producer snapshot.
type Producer struct {
	ID                    int64           `json:"producer_id"`
	Epoch                 int16           `json:"epoch"`
	Last                  ProducerBatch   `json:"last"` // its offset is -1 if none of this epoch is known
	CoordinatorEpoch      int32           `json:"coordinator_epoch"`
	CurrentTxnFirstOffset record.Offset   `json:"current_txn_first_offset"`
	AppendedMs            int64           `json:"appended,omitempty"` // ms since 1970; 0: the file does not say
	Earlier               []ProducerBatch `json:"earlier,omitempty"`  // batches before Last, the oldest first
}

// ProducerBatch is a batch that a producer snapshot remembers.
type ProducerBatch struct {
	LastSequence int32         `json:"last_sequence"`
	LastOffset   record.Offset `json:"last_offset"`
	OffsetDelta  int32         `json:"offset_delta"`
	Timestamp    int64         `json:"timestamp"` // ms since 1970
}

// CheckpointEntry is one line of recovery points, log start offsets or the list
// of producer snapshots.
type CheckpointEntry struct {
	Topic     string        `json:"topic"`
	Partition int32         `json:"partition"`
	Offset    record.Offset `json:"offset"`
}

// EpochEntry is one line of leader epochs.
type EpochEntry struct {
	Epoch int32         `json:"epoch"`
	Start record.Offset `json:"start"` // the first offset that the epoch wrote
}

// Property is one key and its value.
type Property struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Commit is one frame of the metadata log.
type Commit struct {
	Position int64    `json:"position"`
	Number   uint64   `json:"number"`
	Snapshot bool     `json:"snapshot,omitempty"` // it holds a whole image
	Changes  []Change `json:"changes"`
}

// Change is one record of a Commit. The fields that its kind does not have are
// empty.
type Change struct {
	Kind       ChangeKind `json:"kind"`
	TopicID    string     `json:"topic_id,omitempty"`
	Name       string     `json:"name,omitempty"`
	Partitions int32      `json:"partitions,omitempty"`
	Configs    []Property `json:"configs,omitempty"` // of a new topic, or the one that is set or removed
	Node       string     `json:"node,omitempty"`    // whose config is set or removed: a number, or AllNodes

	NextProducerID int64 `json:"next_producer_id,omitempty"` // of producer ids: those below are reserved
}

// AllNodes is the Node of a Change that is for all of them.
const AllNodes = "all"

// ChangeKind says what a Change does.
type ChangeKind string

// The kinds of changes.
const (
	ChangeTopic        ChangeKind = "topic"
	ChangePartitions   ChangeKind = "partitions"
	ChangeSetConfig    ChangeKind = "set config"
	ChangeRemoveConfig ChangeKind = "remove config"
	ChangeRemoveTopic  ChangeKind = "remove topic"
	ChangePurgeTopic   ChangeKind = "purge topic"
	ChangeProducerIDs  ChangeKind = "producer ids"

	ChangeSetNodeConfig    ChangeKind = "set node config"
	ChangeRemoveNodeConfig ChangeKind = "remove node config"
)

// JournalRecord is one group commit in a journal.
type JournalRecord struct {
	Position int64          `json:"position"`
	Sequence uint64         `json:"sequence"`
	Tail     uint64         `json:"tail"` // sequence of the first record that was still needed
	Size     int64          `json:"size"` // bytes
	Entries  []JournalEntry `json:"entries"`
}

// JournalEntry is what a JournalRecord has of one partition.
type JournalEntry struct {
	TopicID   string        `json:"topic_id"`
	Partition int32         `json:"partition"`
	Segment   record.Offset `json:"segment"`  // base offset
	Position  int64         `json:"position"` // in the segment
	Next      record.Offset `json:"next"`     // the partition is durable up to this offset
	Bytes     int64         `json:"bytes"`    // of batches; 0: a promise
}

// DamagedRange is damage that a quarantine knows.
type DamagedRange struct {
	Segment record.Offset `json:"segment"` // base offset
	From    record.Offset `json:"from"`    // first offset that is lost
	To      record.Offset `json:"to"`      // the offset behind the last
	Start   int64         `json:"start"`   // position in the segment where it begins
	End     int64         `json:"end"`     // where batches go on
	Skipped bool          `json:"skipped"` // readers are let past it
}

// Problem is a place in the current file that is not what the format says.
type Problem struct {
	Position int64  `json:"position"`       // byte where it begins, -1: the file as a whole
	Line     int    `json:"line,omitempty"` // of a text file, from 1
	Text     string `json:"text"`           // what was found and what was wanted
	// Torn: nothing whole follows in a file that is appended to, so that this may
	// be its end as a crash left it.
	Torn bool `json:"torn,omitempty"`
}

func (File) item()            {}
func (Batch) item()           {}
func (Record) item()          {}
func (OffsetEntry) item()     {}
func (TimeEntry) item()       {}
func (CheckpointEntry) item() {}
func (EpochEntry) item()      {}
func (Producer) item()        {}
func (Property) item()        {}
func (Commit) item()          {}
func (JournalRecord) item()   {}
func (DamagedRange) item()    {}
func (Problem) item()         {}
