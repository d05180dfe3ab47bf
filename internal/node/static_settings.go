package node

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rollway/rollway/engine/topicconfig"
	"github.com/rollway/rollway/internal/brokerconfig"
)

// field is a broker setting that a field of Options stands for.
type field struct {
	name  string
	isSet func(o *Options) bool
	get   func(o *Options) int64
	set   func(o *Options, n int64)
}

// number is a field that counts in units.
func number[T int | int32 | int64 | time.Duration](name string, unit T, of func(o *Options) *T) field {
	return field{
		name:  name,
		isSet: func(o *Options) bool { return *of(o) != 0 },
		get:   func(o *Options) int64 { return int64(*of(o) / unit) },
		set: func(o *Options, n int64) {
			if most := (1<<63 - 1) / int64(unit); n > most {
				n = most // longer than a process lives
			}
			*of(o) = T(n) * unit
		},
	}
}

// connections is a field that bounds connections.
func connections(name string, of func(o *Options) *int) field {
	f := number(name, 1, of)
	f.set = func(o *Options, n int64) { *of(o) = connectionsAllowed(n) }
	return f
}

// connectionsAllowed is a bound of connections as Kafka says it: the greatest
// number is none, which is the most here.
func connectionsAllowed(n int64) int { return int(min(n, maxConnections)) }

// fields are in the order in which they count.
var fields = []field{
	number("node.id", 1, func(o *Options) *int32 { return &o.Engine.NodeID }),
	number("broker.id", 1, func(o *Options) *int32 { return &o.Engine.NodeID }),
	number("num.partitions", 1, func(o *Options) *int32 { return &o.Engine.DefaultPartitions }),
	number("rollway.journal.bytes", 1, func(o *Options) *int64 { return &o.Engine.JournalBytes }),
	number("num.recovery.threads.per.data.dir", 1, func(o *Options) *int { return &o.Engine.RecoveryParallelism }),
	number("producer.id.expiration.ms", time.Millisecond, func(o *Options) *time.Duration { return &o.Engine.ProducerIDExpiration }),
	number("log.flush.offset.checkpoint.interval.ms", time.Millisecond, func(o *Options) *time.Duration { return &o.Engine.CheckpointInterval }),
	number("log.retention.check.interval.ms", time.Millisecond, func(o *Options) *time.Duration { return &o.Engine.RetentionInterval }),
	number("socket.request.max.bytes", 1, func(o *Options) *int { return &o.MaxFrameBytes }),
	connections("max.connections", func(o *Options) *int { return &o.MaxConnections }),
	connections("max.connections.per.ip", func(o *Options) *int { return &o.MaxConnectionsPerIP }),
}

// withSettings returns o with the fields set that are not, and that Settings
// have a value for.
func (o Options) withSettings() (Options, error) {
	for _, name := range slices.Sorted(maps.Keys(o.Settings)) {
		if err := brokerconfig.Validate(name, o.Settings[name]); err != nil {
			return o, fmt.Errorf("node options: Settings: %w", err)
		}
	}
	layers := brokerconfig.Layers{Static: o.Settings}
	for _, f := range fields {
		if _, given := o.Settings[f.name]; given && !f.isSet(&o) {
			f.set(&o, layers.Int(f.name))
		}
	}
	for _, name := range []string{"log.dirs", "log.dir"} {
		if o.DataDir == "" && o.Engine.FS == nil {
			o.DataDir = strings.TrimSpace(o.Settings[name])
		}
	}
	defaults := maps.Clone(o.Engine.TopicDefaults)
	for name, value := range o.Settings {
		if _, _, ok := topicconfig.LookupSetting(name); ok {
			if defaults == nil {
				defaults = map[string]string{}
			}
			if _, given := defaults[name]; !given {
				defaults[name] = value
			}
		}
	}
	o.Engine.TopicDefaults = defaults
	return o, nil
}

// staticSettings returns the broker settings that a node with options o was
// started with: those of Settings, and what the fields that stand for others
// say, unless it is their default. o is what withDefaults returned, dir the data
// directory.
func (o Options) staticSettings(dir string) map[string]string {
	static := map[string]string{}
	maps.Copy(static, o.Settings)
	for _, f := range fields {
		k, _ := brokerconfig.Lookup(f.name)
		value := strconv.FormatInt(f.get(&o), 10)
		_, given := static[f.name]
		switch {
		case !f.isSet(&o): // the engine takes its default, which is that of the table
			delete(static, f.name)
		case given || value != k.Default:
			static[f.name] = value
		}
	}
	static["log.dirs"] = dir
	for name, value := range o.Engine.TopicDefaults {
		if _, isKey := topicconfig.Lookup(name); !isKey {
			static[name] = value
		}
	}
	for name, value := range o.Engine.TopicDefaults {
		if k, isKey := topicconfig.Lookup(name); isKey && len(k.Synonyms) > 0 {
			for _, s := range k.Synonyms { // its own name wins over them
				delete(static, s.Name)
			}
			static[k.Synonyms[0].Name] = value
		}
	}
	return static
}
