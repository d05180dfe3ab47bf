package topicconfig

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// TimestampType tells whose timestamps a log holds. The values are those of
// bit 3 of a batch's attributes.
type TimestampType uint8

const (
	CreateTime    TimestampType = 0 // the producer's
	LogAppendTime TimestampType = 1 // of the append
)

// String returns the value of message.timestamp.type that means t.
func (t TimestampType) String() string {
	if t == LogAppendTime {
		return "LogAppendTime"
	}
	return "CreateTime"
}

// CompressionType tells how the batches of a log are compressed. The values
// from 0 on are the codec ids in bits 0 to 2 of a batch's attributes.
type CompressionType int8

const (
	Producer     CompressionType = -1 // as the producer chose
	Uncompressed CompressionType = 0
	Gzip         CompressionType = 1
	Snappy       CompressionType = 2
	LZ4          CompressionType = 3
	Zstd         CompressionType = 4
)

// compressionTypes holds the values of compression.type.
var compressionTypes = map[string]CompressionType{
	"uncompressed": Uncompressed, "gzip": Gzip, "snappy": Snappy, "lz4": LZ4, "zstd": Zstd, "producer": Producer,
}

// compressionNames returns the values of compression.type, sorted.
func compressionNames() []string {
	return slices.Sorted(maps.Keys(compressionTypes))
}

// String returns the value of compression.type that means t.
func (t CompressionType) String() string {
	for name, value := range compressionTypes {
		if value == t {
			return name
		}
	}
	return fmt.Sprintf("CompressionType(%d)", int8(t))
}

// Config is the typed form of the keys that are in force. It is not changed
// after it was published, so that it may be shared without a lock; who wants
// another one begins with Default or Parse. A Config built by hand may hold
// values that Validate refuses, such as segments below 1 MiB.
//
// Times are milliseconds up to math.MaxInt64, which means never: compare an
// elapsed time with them, and neither add to them nor make them a
// time.Duration, which overflow.
type Config struct {
	SegmentBytes       int64 // size at which a segment is sealed
	SegmentMs          int64 // age at which a segment is sealed, > 0
	SegmentIndexBytes  int64 // size of an index at which its segment is sealed
	IndexIntervalBytes int64 // bytes of batches between two index entries
	MaxMessageBytes    int64 // largest batch
	TimestampType      TimestampType
	FlushMessages      int64 // messages after which the log is synced, > 0; see Durable
	FlushMs            int64 // age of unsynced messages at which the log is synced
	MinInsyncReplicas  int   // replicas that acks=all needs, > 0
	CompressionType    CompressionType

	DeletesOld           bool  // retention deletes segments; see RetentionMs and RetentionBytes
	Compacts             bool  // the last value of each key is to be kept; not built yet, see Unbuilt
	RetentionMs          int64 // age at which a segment is deleted; negative: never
	RetentionBytes       int64 // size of a partition above which its oldest segments are deleted; negative: no limit
	FileDeleteDelayMs    int64 // how long a file that has left its log waits for its removal
	TimestampBeforeMaxMs int64 // how far a producer's timestamp may lie before the clock
	TimestampAfterMaxMs  int64 // how far a producer's timestamp may lie after the clock
}

// Durable tells whether a batch must be synced before it becomes visible.
// flush.ms alone does not change that.
func (c *Config) Durable() bool {
	return c.FlushMessages <= 1
}

// Default returns a new Config of a topic without overrides on a node without
// defaults. The caller owns it.
func Default() *Config {
	return newConfig(nil, Defaults{})
}

// Parse returns the Config of a topic with these overrides, which may be nil, on
// a node with these defaults. All that they hold is validated, also keys that
// are not in force.
//
// Errors: those of Validate and ValidateSetting, for the first bad key in order
// of names; and ErrInvalidValue if min.compaction.lag.ms is greater than
// max.compaction.lag.ms.
func Parse(overrides map[string]string, defaults Defaults) (*Config, error) {
	return parse(overrides, defaults, Validate)
}

// ParseStored is Parse for the overrides of a topic that is there already: they
// may have values that an earlier version took and Validate refuses now. A topic
// that has cleanup.policy=compact keeps everything, and one that has both
// policies is not compacted; see Unbuilt.
func ParseStored(overrides map[string]string, defaults Defaults) (*Config, error) {
	return parse(overrides, defaults, validateStored)
}

func parse(overrides map[string]string, defaults Defaults, validate func(name, value string) error) (*Config, error) {
	for _, name := range slices.Sorted(maps.Keys(overrides)) {
		if err := validate(name, overrides[name]); err != nil {
			return nil, err
		}
	}
	if err := defaults.validate(); err != nil {
		return nil, err
	}
	v := values{overrides, defaults}
	shortest, longest := v.integer("min.compaction.lag.ms"), v.integer("max.compaction.lag.ms")
	if shortest > longest {
		return nil, fmt.Errorf("%w min.compaction.lag.ms: found %d, want at most max.compaction.lag.ms, which is %d", ErrInvalidValue, shortest, longest)
	}
	return newConfig(overrides, defaults), nil
}

// newConfig is Parse for values that are known to be valid.
func newConfig(overrides map[string]string, defaults Defaults) *Config {
	v := values{overrides, defaults}
	c := &Config{
		SegmentBytes:       v.integer("segment.bytes"),
		SegmentMs:          v.integer("segment.ms"),
		SegmentIndexBytes:  v.integer("segment.index.bytes"),
		IndexIntervalBytes: v.integer("index.interval.bytes"),
		MaxMessageBytes:    v.integer("max.message.bytes"),
		FlushMessages:      v.integer("flush.messages"),
		FlushMs:            v.integer("flush.ms"),
		MinInsyncReplicas:  int(v.integer("min.insync.replicas")),
		CompressionType:    compressionTypes[v.text("compression.type")],

		DeletesOld:           slices.Contains(items(v.text("cleanup.policy")), "delete"),
		Compacts:             slices.Contains(items(v.text("cleanup.policy")), "compact"),
		RetentionMs:          v.integer("retention.ms"),
		RetentionBytes:       v.integer("retention.bytes"),
		FileDeleteDelayMs:    v.integer("file.delete.delay.ms"),
		TimestampBeforeMaxMs: v.integer("message.timestamp.before.max.ms"),
		TimestampAfterMaxMs:  v.integer("message.timestamp.after.max.ms"),
	}
	if v.text("message.timestamp.type") == LogAppendTime.String() {
		c.TimestampType = LogAppendTime
	}
	return c
}

// values are the validated configs of a topic.
type values struct {
	overrides map[string]string
	defaults  Defaults
}

// text returns the value that holds for the key of that name.
func (v values) text(name string) string {
	k, ok := Lookup(name)
	if !ok {
		panic("topicconfig: no key " + name)
	}
	value, _ := v.find(k)
	return value
}

// integer returns the value of a key of type Int or Long.
func (v values) integer(name string) int64 {
	n, err := strconv.ParseInt(v.text(name), 10, 64)
	if err != nil {
		panic(fmt.Sprintf("topicconfig: %s: %v, after it was validated", name, err))
	}
	return n
}

// find returns the value that holds for k, without white space around it, and
// where it comes from.
func (v values) find(k Key) (string, Source) {
	if value, ok := v.overrides[k.Name]; ok {
		return strings.TrimSpace(value), FromTopic
	}
	for _, layer := range v.defaults.layers() {
		if value, by, ok := layer.find(k); ok {
			value, err := by.Convert(value)
			if err != nil {
				panic(fmt.Sprintf("topicconfig: %s: %v, after it was validated", by.Name, err))
			}
			return value, layer.source
		}
	}
	return k.Default, FromDefault
}
