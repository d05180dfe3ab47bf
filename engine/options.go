package engine

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/rollway/rollway/engine/topicconfig"
	"github.com/rollway/rollway/engine/vfs"
)

// Options configure an Engine. The zero value works.
type Options struct {
	// FS is the data directory; nil: the directory given to Open on the real
	// file system.
	FS vfs.FS
	// Log receives what an operator should know; nil: slog.Default().
	Log *slog.Logger
	// Now is the wall clock; nil: time.Now. It is called concurrently.
	Now func() time.Time
	// NodeID goes into a new directory's meta.properties and must match that of
	// an existing one. Default 0; at least 0.
	NodeID int32
	// InternalTopics are the names of topics that the node keeps for itself: only
	// a TopicSpec that says so makes them, they get no more partitions and are not
	// deleted. Who appends for clients looks at Partition.Internal.
	InternalTopics []string
	// TopicDefaults are topic configs for topics that do not set them: by their
	// names, or by those of the broker settings that give their defaults in
	// Kafka (log.retention.hours). Settings of AlterNodeConfigs win over them.
	TopicDefaults map[string]string
	// DefaultPartitions is how many partitions a topic gets that does not say.
	// Default 1.
	DefaultPartitions int32
	// MaxPartitions is the most partitions of the directory. Default 20,000.
	MaxPartitions int
	// MaxOpenFiles is the most segment and index files that are open at once; one
	// that is not in use is closed for another. Default DefaultMaxOpenFiles; at
	// least 16.
	MaxOpenFiles int
	// IndexCacheBytes is how much memory blocks of index files are kept in, and
	// what was learned of their entries from the log, so that reading the same
	// again reads neither. It is taken as reads fill it. Default 64 MiB; negative:
	// nothing is kept.
	IndexCacheBytes int64
	// OnFailure, if not nil, is called once, on its own goroutine, with the
	// write-back error that stops the directory; see Engine.Failure.
	OnFailure func(error)
	// JournalBytes is the size of the commit journal, which makes one sync
	// enough for the appends of many partitions. It is written in full when the
	// first append comes. Default 64 MiB, at least 32 KiB and at most 1 TiB;
	// negative: there is none, and each commit syncs the files themselves.
	JournalBytes int64
	// BootID tells one start of the machine from another: what this boot wrote is
	// in the page cache even if the process was killed. Default: the kernel's.
	BootID string
	// CheckAll has the open check every batch of every log, as if nothing were
	// known to be good, and make all indexes anew. Damage goes into quarantine, also
	// above the durable end; only what no whole batch follows is cut off as torn.
	// It reads all of the directory: a repair does that.
	CheckAll bool
	// CheckpointInterval is how often indexes are synced and recovery points
	// move. Default one minute.
	CheckpointInterval time.Duration
	// ProducerIDExpiration is for how long a partition remembers an idempotent
	// producer after its last append (producer.id.expiration.ms). Default 24
	// hours, at least 1 ms.
	ProducerIDExpiration time.Duration
	// MaxProducers is how many idempotent producers a partition remembers, 200
	// bytes each; those that have been silent for longest are forgotten first.
	// Default 10,000, at least 1.
	MaxProducers int
	// RetentionInterval is how often topics are looked at for what their
	// retention gives up, for the first time after a tenth of it. Default five
	// minutes.
	RetentionInterval time.Duration
	// SyncParallelism is how many files are synced at a time. Default 16, at
	// least 1: then none is beside a write to the commit journal either.
	SyncParallelism int
	// RecoveryParallelism is how many partitions are recovered at a time by Open,
	// unless AlterNodeConfigs has set num.recovery.threads.per.data.dir. Default
	// 4, at least 1.
	RecoveryParallelism int
	// MinFreeBytes is the floor of available bytes on the file system: with
	// less, appends and new partitions are refused with ErrNoSpace, while
	// fetches, deletions and retention go on. Default DefaultMinFreeBytes;
	// negative: there is no floor, and writes fail when the last byte is gone.
	MinFreeBytes int64
	// BallastBytes is the size of a file that is given up when a full file
	// system keeps the engine from starting, recovering or deleting. It is made
	// in the background, once there is a topic. Default 16 MiB, or a sixteenth
	// of the file system if that is less; negative: none.
	BallastBytes int64
}

// withDefaults returns o with its defaults filled in, or names the field that
// is out of range.
func (o Options) withDefaults() (Options, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	setDefault(&o.DefaultPartitions, 1)
	setDefault(&o.MaxPartitions, 20_000)
	setDefault(&o.MaxOpenFiles, DefaultMaxOpenFiles())
	setDefault(&o.IndexCacheBytes, defaultIndexCacheBytes)
	setDefault(&o.JournalBytes, defaultJournalBytes)
	if o.BootID == "" {
		o.BootID = vfs.BootID()
	}
	setDefault(&o.CheckpointInterval, time.Minute)
	setDefault(&o.ProducerIDExpiration, 24*time.Hour)
	setDefault(&o.MaxProducers, 10_000)
	setDefault(&o.RetentionInterval, 5*time.Minute)
	setDefault(&o.SyncParallelism, 16)
	setDefault(&o.RecoveryParallelism, 4)
	for _, field := range []struct {
		name  string
		value int64
		min   int64
	}{
		{"NodeID", int64(o.NodeID), 0},
		{"DefaultPartitions", int64(o.DefaultPartitions), 1},
		{"MaxPartitions", int64(o.MaxPartitions), 1},
		{"MaxOpenFiles", int64(o.MaxOpenFiles), leastOpenFiles},
		{"CheckpointInterval", int64(o.CheckpointInterval), 1},
		{"ProducerIDExpiration", int64(o.ProducerIDExpiration), int64(time.Millisecond)},
		{"MaxProducers", int64(o.MaxProducers), 1},
		{"RetentionInterval", int64(o.RetentionInterval), int64(time.Millisecond)},
		{"SyncParallelism", int64(o.SyncParallelism), 1},
		{"RecoveryParallelism", int64(o.RecoveryParallelism), 1},
	} {
		if field.value < field.min {
			return o, fmt.Errorf("engine options: %s is %d, want at least %d", field.name, field.value, field.min)
		}
	}
	if o.JournalBytes > 0 && (o.JournalBytes < minJournalBytes || o.JournalBytes > maxJournalBytes) {
		return o, fmt.Errorf("engine options: JournalBytes is %d, want %d to %d, or a negative number for none", o.JournalBytes, minJournalBytes, int64(maxJournalBytes))
	}
	if _, err := topicconfig.Parse(nil, topicconfig.Defaults{Static: o.TopicDefaults}); err != nil {
		return o, fmt.Errorf("engine options: topic defaults: %w", err)
	}
	return o, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
