package topicconfig

import (
	"math"
	"slices"
	"strings"
)

// The units of broker settings that stand for milliseconds.
const (
	minutes int64 = 60 * 1000
	hours         = 60 * minutes
)

// maxLong is Java's Long.MAX_VALUE, Kafka's way to say "never".
const maxLong = "9223372036854775807"

// keys is the table, sorted by name.
//
// Source of names, types, defaults and ranges: LogConfig.java, TopicConfig.java,
// QuotaConfig.java, ServerLogConfigs.java, ServerTopicConfigSynonyms.java and
// CompressionType.java of Apache Kafka; names, defaults and ranges were held
// against the ConfigDef that LogConfig of 4.3.1 builds. Not in it: internal.segment.bytes,
// which Kafka hides as internal; message.format.version,
// message.timestamp.difference.max.ms and message.downconversion.enable, which
// Kafka 4 no longer takes; remote.copy.lag.ms and remote.copy.lag.bytes, which
// come with Kafka 4.4.
var keys = complete([]entry{
	{
		Key: Key{
			Name: "cleanup.policy", Type: List, KafkaDefault: "delete", InForce: true,
			Documentation: "What is done with old segments: delete drops those beyond the retention time or size, " +
				"and an empty list keeps everything. Kafka's compact, which keeps the last value of each key, " +
				"is refused until it is built.",
		},
		valid: valid{"delete or empty (compact is not built yet)", listOf("delete").accepts}, stored: listOf("compact", "delete"),
		synonyms: "log.cleanup.policy",
	},
	{
		Key: Key{
			Name: "compression.gzip.level", Type: Int, KafkaDefault: "-1",
			Documentation: "The level for batches that compression.type=gzip compresses again.",
		},
		valid: gzipLevel(), synonyms: "compression.gzip.level",
	},
	{
		Key: Key{
			Name: "compression.lz4.level", Type: Int, KafkaDefault: "9",
			Documentation: "The level for batches that compression.type=lz4 compresses again.",
		},
		valid: integers(32, "1 to 17", 1, 17), synonyms: "compression.lz4.level",
	},
	{
		Key: Key{
			Name: "compression.type", Type: String, KafkaDefault: "producer", InForce: true,
			Documentation: "The compression of batches in the log. producer keeps what the producer chose; " +
				"with any other value batches of another codec are compressed again when they are appended, " +
				"which costs CPU. uncompressed means no compression.",
		},
		valid: oneOf(compressionNames()...), synonyms: "compression.type",
	},
	{
		Key: Key{
			Name: "compression.zstd.level", Type: Int, KafkaDefault: "3",
			Documentation: "The level for batches that compression.type=zstd compresses again.",
		},
		// The range of libzstd 1.5: ZSTD_minCLevel() to ZSTD_maxCLevel().
		valid: integers(32, "-131072 to 22", -131072, 22), synonyms: "compression.zstd.level",
	},
	{
		Key: Key{
			Name: "delete.retention.ms", Type: Long, KafkaDefault: "86400000",
			Documentation: "How long compaction keeps tombstones, which is also how long a consumer that begins at offset 0 " +
				"may take to read the topic and still see every delete.",
		},
		valid: atLeast(64, 0), synonyms: "log.cleaner.delete.retention.ms",
	},
	{
		Key: Key{
			Name: "file.delete.delay.ms", Type: Long, KafkaDefault: "60000", InForce: true,
			Documentation: "How long a file waits between its removal from the log and its deletion from the file system, " +
				"under a name that ends in .deleted, or -delete for the directories of a deleted topic. " +
				"A start does not wait.",
		},
		valid: atLeast(64, 0), synonyms: "log.segment.delete.delay.ms",
	},
	{
		Key: Key{
			Name: "flush.messages", Type: Long, KafkaDefault: maxLong, Default: "1", InForce: true,
			Documentation: "After how many messages the log is synced to disk. In rollway the default is 1: a batch is synced " +
				"before anyone sees it or its producer gets an answer. A greater value shows batches at once and " +
				"may lose the last ones when the power fails; Kafka relies on replicas for that and never syncs by default.",
		},
		valid: atLeast(64, 1), synonyms: "log.flush.interval.messages",
	},
	{
		Key: Key{
			Name: "flush.ms", Type: Long, KafkaDefault: maxLong, InForce: true,
			Documentation: "After how many milliseconds the log is synced to disk. It adds to flush.messages: " +
				"with flush.messages=1 every batch is synced before it is seen, whatever the value here.",
		},
		valid: atLeast(64, 0), synonyms: "log.flush.interval.ms log.flush.scheduler.interval.ms",
	},
	{
		Key: Key{
			Name: "follower.replication.throttled.replicas", Type: List, KafkaDefault: "",
			Documentation: "The replicas whose replication is throttled on the follower's side; * means all of this topic.",
		},
		valid: replicas(),
	},
	{
		Key: Key{
			Name: "index.interval.bytes", Type: Int, KafkaDefault: "4096", InForce: true,
			Documentation: "About how many bytes of batches lie between two entries of the offset index. " +
				"Less finds positions faster and makes the index larger.",
		},
		valid: atLeast(32, 0), synonyms: "log.index.interval.bytes",
	},
	{
		Key: Key{
			Name: "leader.replication.throttled.replicas", Type: List, KafkaDefault: "",
			Documentation: "The replicas whose replication is throttled on the leader's side; * means all of this topic.",
		},
		valid: replicas(),
	},
	{
		Key: Key{
			Name: "local.retention.bytes", Type: Long, KafkaDefault: "-2",
			Documentation: "How large the local part of a partition may grow before its old segments are deleted, with tiered storage. " +
				"-2 takes retention.bytes, which it must not exceed; -1 means no limit.",
		},
		valid: atLeast(64, -2), synonyms: "log.local.retention.bytes",
	},
	{
		Key: Key{
			Name: "local.retention.ms", Type: Long, KafkaDefault: "-2",
			Documentation: "How long a local segment is kept before it is deleted, with tiered storage. " +
				"-2 takes retention.ms, which it must not exceed; -1 means no limit.",
		},
		valid: atLeast(64, -2), synonyms: "log.local.retention.ms",
	},
	{
		Key: Key{
			Name: "max.compaction.lag.ms", Type: Long, KafkaDefault: maxLong,
			Documentation: "The longest time that a message stays out of reach of compaction, in a topic that is compacted.",
		},
		valid: atLeast(64, 1), synonyms: "log.cleaner.max.compaction.lag.ms",
	},
	{
		Key: Key{
			Name: "max.message.bytes", Type: Int, KafkaDefault: "1048588", InForce: true,
			Documentation: "The largest batch that is taken, in bytes, compressed if it is. " +
				"The default is 1 MiB and the 12 bytes before the part that a batch's length counts.",
		},
		valid: atLeast(32, 0), synonyms: "message.max.bytes",
	},
	{
		Key: Key{
			Name: "message.timestamp.after.max.ms", Type: Long, KafkaDefault: "3600000", InForce: true,
			Documentation: "How far the timestamp of a message may lie after the clock of the broker; a batch with one beyond it is refused, " +
				"by the highest timestamp that its header has. Retention takes a segment whose newest timestamp lies beyond it by the age of its file. Ignored with message.timestamp.type=LogAppendTime.",
		},
		valid: atLeast(64, 0), synonyms: "log.message.timestamp.after.max.ms",
	},
	{
		Key: Key{
			Name: "message.timestamp.before.max.ms", Type: Long, KafkaDefault: maxLong, InForce: true,
			Documentation: "How far the timestamp of a message may lie before the clock of the broker; a batch with one beyond it is refused, " +
				"by the timestamp of its first message. Ignored with message.timestamp.type=LogAppendTime.",
		},
		valid: atLeast(64, 0), synonyms: "log.message.timestamp.before.max.ms",
	},
	{
		Key: Key{
			Name: "message.timestamp.type", Type: String, KafkaDefault: "CreateTime", InForce: true,
			Documentation: "Whose timestamp a message carries: CreateTime keeps the producer's, " +
				"LogAppendTime sets the time of the append.",
		},
		valid: oneOf(CreateTime.String(), LogAppendTime.String()), synonyms: "log.message.timestamp.type",
	},
	{
		Key: Key{
			Name: "min.cleanable.dirty.ratio", Type: Double, KafkaDefault: "0.5",
			Documentation: "How much of a log, as a fraction of its bytes, may be uncompacted before compaction cleans it. " +
				"min.compaction.lag.ms and max.compaction.lag.ms bound when that happens. " +
				"A higher ratio means fewer, more efficient cleanings and more space wasted.",
		},
		valid: fraction(), synonyms: "log.cleaner.min.cleanable.ratio",
	},
	{
		Key: Key{
			Name: "min.compaction.lag.ms", Type: Long, KafkaDefault: "0",
			Documentation: "The shortest time that a message stays uncompacted, in a topic that is compacted.",
		},
		valid: atLeast(64, 0), synonyms: "log.cleaner.min.compaction.lag.ms",
	},
	{
		Key: Key{
			Name: "min.insync.replicas", Type: Int, KafkaDefault: "1", InForce: true,
			Documentation: "How many replicas must have a batch before a producer with acks=all is answered. " +
				"A node on its own is one replica: with 2 or more such a produce is refused.",
		},
		valid: atLeast(32, 1), synonyms: "min.insync.replicas",
	},
	{
		Key: Key{
			Name: "preallocate", Type: Boolean, KafkaDefault: "false",
			Documentation: "Whether the file of a new segment is allocated on disk at once.",
		},
		valid: anyBoolean(), synonyms: "log.preallocate",
	},
	{
		Key: Key{
			Name: "remote.log.copy.disable", Type: Boolean, KafkaDefault: "false",
			Documentation: "Whether the tiered data of a topic is read only: nothing more is uploaded, and retention.ms and retention.bytes " +
				"rule in place of local.retention.ms and local.retention.bytes.",
		},
		valid: anyBoolean(),
	},
	{
		Key: Key{
			Name: "remote.log.delete.on.disable", Type: Boolean, KafkaDefault: "false",
			Documentation: "Whether the tiered data of a topic is deleted when remote.storage.enable goes from true to false.",
		},
		valid: anyBoolean(),
	},
	{
		Key: Key{
			Name: "remote.storage.enable", Type: Boolean, KafkaDefault: "false",
			Documentation: "Whether tiered storage is on for a topic.",
		},
		valid: anyBoolean(),
	},
	{
		Key: Key{
			Name: "retention.bytes", Type: Long, KafkaDefault: "-1", InForce: true,
			Documentation: "How large a partition may grow before its old segments are deleted, with cleanup.policy=delete: " +
				"the oldest one goes while the others have at least that size. It counts per partition; -1 means no limit.",
		},
		valid: integers(64, "", math.MinInt64, math.MaxInt64), synonyms: "log.retention.bytes",
	},
	{
		Key: Key{
			Name: "retention.ms", Type: Long, KafkaDefault: "604800000", InForce: true,
			Documentation: "How long a segment is kept before it is deleted, with cleanup.policy=delete: " +
				"how soon consumers must have read it. The age counts from the newest message of the segment, " +
				"which also goes if it is the one that is written to. -1 means no limit.",
		},
		valid: atLeast(64, -1), synonyms: "log.retention.ms log.retention.minutes log.retention.hours",
	},
	{
		Key: Key{
			Name: "segment.bytes", Type: Int, KafkaDefault: "1073741824", InForce: true,
			Documentation: "The size at which a segment is sealed and the next one begun. Retention and compaction work on whole segments, " +
				"so larger ones mean fewer files and coarser control.",
		},
		valid: atLeast(32, 1<<20), synonyms: "log.segment.bytes",
	},
	{
		Key: Key{
			Name: "segment.index.bytes", Type: Int, KafkaDefault: "10485760", InForce: true,
			Documentation: "The largest size of an index of a segment; a segment whose index is full is sealed. " +
				"Kafka allocates that much in advance, rollway does not.",
		},
		valid: atLeast(32, 4), synonyms: "log.index.size.max.bytes",
	},
	{
		Key: Key{
			Name: "segment.jitter.ms", Type: Long, KafkaDefault: "0",
			Documentation: "The most that is subtracted at random from segment.ms, so that segments are not all sealed at once.",
		},
		valid: atLeast(64, 0), synonyms: "log.roll.jitter.ms log.roll.jitter.hours",
	},
	{
		Key: Key{
			Name: "segment.ms", Type: Long, KafkaDefault: "604800000", InForce: true,
			Documentation: "The age at which a segment is sealed even if it is not full, so that retention and compaction reach old data. " +
				"It counts by the timestamps of messages; where none come any more, by the clock.",
		},
		valid: atLeast(64, 1), synonyms: "log.roll.ms log.roll.hours",
	},
	{
		Key: Key{
			Name: "unclean.leader.election.enable", Type: Boolean, KafkaDefault: "false",
			Documentation: "Whether a replica that is not in sync may become leader as a last resort, at the price of lost data.",
		},
		valid: anyBoolean(), synonyms: "unclean.leader.election.enable",
	},
})

// entry is a Key as it stands in the table: complete fills in the rest.
type entry struct {
	Key
	valid    valid
	stored   valid  // for a topic that is there already, if not as valid
	synonyms string // names of broker settings, in their order, spaces between
}

// complete makes keys of entries.
func complete(entries []entry) []Key {
	keys := make([]Key, len(entries))
	for i, e := range entries {
		k := e.Key
		k.Importance = "medium" // of all topic configs in LogConfig.java
		k.Valid, k.accepts, k.stored = e.valid.words, e.valid.accepts, e.stored.accepts
		if k.Default == "" {
			k.Default = k.KafkaDefault
		}
		if !k.InForce {
			k.Documentation += " This has no effect in rollway yet."
		}
		for _, name := range strings.Fields(e.synonyms) {
			k.Synonyms = append(k.Synonyms, Synonym{name, unitOf(name)})
		}
		keys[i] = k
	}
	slices.SortFunc(keys, func(a, b Key) int { return strings.Compare(a.Name, b.Name) })
	return keys
}

// unitOf returns how many milliseconds the broker setting counts in, by the
// end of its name, and 1 for all others.
func unitOf(name string) int64 {
	switch {
	case strings.HasSuffix(name, ".hours"):
		return hours
	case strings.HasSuffix(name, ".minutes"):
		return minutes
	default:
		return 1
	}
}
