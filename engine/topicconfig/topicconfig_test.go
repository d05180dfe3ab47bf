package topicconfig

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
)

// The table holds together: sorted, without duplicates, and its own defaults are valid.
func TestKeys(t *testing.T) {
	all := Keys()
	if !slices.IsSortedFunc(all, func(a, b Key) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("keys are not sorted")
	}
	for i, k := range all {
		if i > 0 && all[i-1].Name == k.Name {
			t.Errorf("%s is there twice", k.Name)
		}
		if got, ok := Lookup(k.Name); !ok || got.Name != k.Name {
			t.Errorf("Lookup(%s) = %s, %v", k.Name, got.Name, ok)
		}
		for _, value := range []string{k.Default, k.KafkaDefault} {
			if err := Validate(k.Name, value); err != nil {
				t.Errorf("default of %s: %v", k.Name, err)
			}
		}
		if differs := k.Default != k.KafkaDefault; differs != (k.Name == "flush.messages") {
			t.Errorf("%s: default %s, Kafka's %s", k.Name, k.Default, k.KafkaDefault)
		}
		if says := strings.Contains(k.Documentation, "has no effect in rollway yet"); says == k.InForce {
			t.Errorf("%s: in force %v, but the documentation is %q", k.Name, k.InForce, k.Documentation)
		}
	}
}

// The keys in force are those the engine acts on.
func TestInForce(t *testing.T) {
	want := []string{
		"cleanup.policy", "compression.type", "file.delete.delay.ms",
		"flush.messages", "flush.ms", "index.interval.bytes", "max.message.bytes",
		"message.timestamp.after.max.ms", "message.timestamp.before.max.ms", "message.timestamp.type",
		"min.insync.replicas", "retention.bytes", "retention.ms", "segment.bytes", "segment.index.bytes", "segment.ms",
	}
	var got []string
	for _, k := range Keys() {
		if k.InForce {
			got = append(got, k.Name)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("in force: %v, want %v", got, want)
	}
}

// Values are taken and refused as Kafka does; the error says what was found and what is wanted.
func TestValidate(t *testing.T) {
	f := func(name, value, want string) {
		t.Helper()
		err := Validate(name, value)
		switch {
		case want == "" && err != nil:
			t.Errorf("Validate(%s, %q): %v, want no error", name, value, err)
		case want != "" && (err == nil || err.Error() != want):
			t.Errorf("Validate(%s, %q): %v, want %s", name, value, err, want)
		case want != "" && !errors.Is(err, ErrInvalidValue):
			t.Errorf("Validate(%s, %q): %v is not ErrInvalidValue", name, value, err)
		}
	}

	f("segment.bytes", "1048576", "")
	f("segment.bytes", " 2147483647\n", "")
	f("segment.bytes", "1048575", `invalid topic config segment.bytes: found "1048575", want a 32-bit integer, at least 1048576`)
	f("segment.bytes", "2147483648", `invalid topic config segment.bytes: found "2147483648", want a 32-bit integer, at least 1048576`)
	f("segment.bytes", "1MiB", `invalid topic config segment.bytes: found "1MiB", want a 32-bit integer, at least 1048576`)
	f("segment.bytes", "", `invalid topic config segment.bytes: found "", want a 32-bit integer, at least 1048576`)

	f("segment.ms", "9223372036854775807", "")
	f("segment.ms", "9223372036854775808", `invalid topic config segment.ms: found "9223372036854775808", want a 64-bit integer, at least 1`)
	f("segment.ms", "0", `invalid topic config segment.ms: found "0", want a 64-bit integer, at least 1`)
	f("retention.ms", "-1", "")
	f("retention.ms", "-5", `invalid topic config retention.ms: found "-5", want a 64-bit integer, at least -1`)
	f("retention.bytes", "-9223372036854775808", "")
	f("retention.bytes", "1.5", `invalid topic config retention.bytes: found "1.5", want a 64-bit integer`)
	f("local.retention.ms", "-2", "")
	f("local.retention.ms", "-3", `invalid topic config local.retention.ms: found "-3", want a 64-bit integer, at least -2`)

	f("min.cleanable.dirty.ratio", "0", "")
	f("min.cleanable.dirty.ratio", "1.0", "")
	f("min.cleanable.dirty.ratio", "1.01", `invalid topic config min.cleanable.dirty.ratio: found "1.01", want a number, 0 to 1`)
	f("min.cleanable.dirty.ratio", "NaN", `invalid topic config min.cleanable.dirty.ratio: found "NaN", want a number, 0 to 1`)

	f("preallocate", "TRUE", "")
	f("preallocate", "yes", `invalid topic config preallocate: found "yes", want true or false`)

	f("compression.type", "zstd", "")
	f("compression.type", "none", `invalid topic config compression.type: found "none", want one of gzip, lz4, producer, snappy, uncompressed, zstd`)
	f("message.timestamp.type", "LogAppendTime", "")
	f("message.timestamp.type", "logappendtime", `invalid topic config message.timestamp.type: found "logappendtime", want one of CreateTime, LogAppendTime`)

	f("compression.gzip.level", "-1", "")
	f("compression.gzip.level", "9", "")
	f("compression.gzip.level", "0", `invalid topic config compression.gzip.level: found "0", want a 32-bit integer, -1 or 1 to 9`)
	f("compression.gzip.level", "10", `invalid topic config compression.gzip.level: found "10", want a 32-bit integer, -1 or 1 to 9`)
	f("compression.lz4.level", "17", "")
	f("compression.lz4.level", "18", `invalid topic config compression.lz4.level: found "18", want a 32-bit integer, 1 to 17`)
	f("compression.zstd.level", "-131072", "")
	f("compression.zstd.level", "23", `invalid topic config compression.zstd.level: found "23", want a 32-bit integer, -131072 to 22`)

	f("cleanup.policy", "", "")
	const policies = `, want a list, delete or empty (compact is not built yet)`
	f("cleanup.policy", "compact", `invalid topic config cleanup.policy: found "compact"`+policies)
	f("cleanup.policy", "compact, delete", `invalid topic config cleanup.policy: found "compact, delete"`+policies)
	f("cleanup.policy", "delete,delete", "")
	f("cleanup.policy", "delete,", `invalid topic config cleanup.policy: found "delete,"`+policies)
	f("cleanup.policy", "Delete", `invalid topic config cleanup.policy: found "Delete"`+policies)
	f("leader.replication.throttled.replicas", "", "")
	f("leader.replication.throttled.replicas", "*", "")
	f("leader.replication.throttled.replicas", "0:1, 12:345", "")
	f("leader.replication.throttled.replicas", "0:1,*", `invalid topic config leader.replication.throttled.replicas: found "0:1,*", want a list, PARTITION:BROKER,PARTITION:BROKER,... or *, may be empty`)
	f("follower.replication.throttled.replicas", "a:b", `invalid topic config follower.replication.throttled.replicas: found "a:b", want a list, PARTITION:BROKER,PARTITION:BROKER,... or *, may be empty`)

	f("flush.ms", strings.Repeat("9", 1000), `invalid topic config flush.ms: found "`+strings.Repeat("9", 128)+`...", want a 64-bit integer, at least 0`)
}

// An unknown key is refused with the name that was probably meant.
func TestUnknownKey(t *testing.T) {
	f := func(name, want string) {
		t.Helper()
		err := Validate(name, "1")
		if err == nil || err.Error() != want || !errors.Is(err, ErrUnknownKey) {
			t.Errorf("Validate(%.40s): %v, want %s", name, err, want)
		}
	}

	f("retention.sm", `unknown topic config "retention.sm"; did you mean "retention.ms"?`)
	f("segment.byte", `unknown topic config "segment.byte"; did you mean "segment.bytes"?`)
	f("Segment.Bytes", `unknown topic config "Segment.Bytes"; did you mean "segment.bytes"?`)
	f("max.message.size", `unknown topic config "max.message.size"; did you mean "max.message.bytes"?`)
	f("message.max.bytes", `unknown topic config "message.max.bytes"; did you mean "max.message.bytes"?`)
	f("log.roll.hours", `unknown topic config "log.roll.hours"; did you mean "segment.ms"?`)
	f("internal.segment.bytes", `unknown topic config "internal.segment.bytes"; did you mean "segment.bytes"?`)
	f("remote.copy.lag.ms", `unknown topic config "remote.copy.lag.ms"; did you mean "remote.log.copy.disable"?`)
	f("", `unknown topic config ""; did you mean "flush.ms"?`)
	f(strings.Repeat("segment.", 1000), `unknown topic config "`+strings.Repeat("segment.", 16)+`..."; did you mean "message.timestamp.after.max.ms"?`)
}

// Overrides win over defaults, defaults over the table, and each key in force reaches its field.
func TestParse(t *testing.T) {
	f := func(overrides, defaults map[string]string, change func(*Config)) {
		t.Helper()
		got, err := Parse(overrides, Defaults{Static: defaults})
		if err != nil {
			t.Errorf("Parse(%v, %v): %v", overrides, defaults, err)
			return
		}
		want := Default()
		change(want)
		if *got != *want {
			t.Errorf("Parse(%v, %v) = %+v, want %+v", overrides, defaults, *got, *want)
		}
	}
	type m = map[string]string

	f(nil, nil, func(c *Config) {
		*c = Config{
			SegmentBytes: 1 << 30, SegmentMs: 7 * 24 * 3600 * 1000, SegmentIndexBytes: 10 << 20, IndexIntervalBytes: 4096,
			MaxMessageBytes: 1<<20 + 12, TimestampType: CreateTime, FlushMessages: 1, FlushMs: math.MaxInt64,
			MinInsyncReplicas: 1, CompressionType: Producer,
			DeletesOld: true, RetentionMs: 7 * 24 * 3600 * 1000, RetentionBytes: -1, FileDeleteDelayMs: 60_000,
			TimestampBeforeMaxMs: math.MaxInt64, TimestampAfterMaxMs: 3600 * 1000,
		}
	})
	f(m{"segment.bytes": "1048576"}, m{"segment.bytes": "2097152"}, func(c *Config) { c.SegmentBytes = 1 << 20 })
	f(nil, m{"segment.bytes": " 2097152 "}, func(c *Config) { c.SegmentBytes = 2 << 20 })
	f(m{"segment.ms": "9223372036854775807"}, nil, func(c *Config) { c.SegmentMs = math.MaxInt64 })
	f(m{"segment.index.bytes": "4"}, nil, func(c *Config) { c.SegmentIndexBytes = 4 })
	f(m{"index.interval.bytes": "0"}, nil, func(c *Config) { c.IndexIntervalBytes = 0 })
	f(m{"max.message.bytes": "0"}, nil, func(c *Config) { c.MaxMessageBytes = 0 })
	f(m{"message.timestamp.type": "LogAppendTime"}, nil, func(c *Config) { c.TimestampType = LogAppendTime })
	f(m{"message.timestamp.type": "CreateTime"}, m{"message.timestamp.type": "LogAppendTime"}, func(*Config) {})
	f(m{"flush.messages": "9223372036854775807"}, nil, func(c *Config) { c.FlushMessages = math.MaxInt64 })
	f(m{"flush.ms": "0"}, nil, func(c *Config) { c.FlushMs = 0 })
	f(m{"min.insync.replicas": "2"}, nil, func(c *Config) { c.MinInsyncReplicas = 2 })
	f(m{"compression.type": "uncompressed"}, nil, func(c *Config) { c.CompressionType = Uncompressed })
	f(m{"compression.type": "lz4"}, nil, func(c *Config) { c.CompressionType = LZ4 })
	f(m{"cleanup.policy": ""}, nil, func(c *Config) { c.DeletesOld = false })
	f(m{"cleanup.policy": "delete"}, m{"cleanup.policy": ""}, func(*Config) {})
	f(m{"retention.ms": "-1"}, nil, func(c *Config) { c.RetentionMs = -1 })
	f(m{"retention.bytes": "5"}, nil, func(c *Config) { c.RetentionBytes = 5 })
	f(m{"file.delete.delay.ms": "0"}, nil, func(c *Config) { c.FileDeleteDelayMs = 0 })
	f(m{"message.timestamp.before.max.ms": "1"}, nil, func(c *Config) { c.TimestampBeforeMaxMs = 1 })
	f(m{"message.timestamp.after.max.ms": "2"}, nil, func(c *Config) { c.TimestampAfterMaxMs = 2 })
	f(m{"preallocate": "true"}, nil, func(*Config) {})
	f(m{"min.compaction.lag.ms": "5", "max.compaction.lag.ms": "5"}, nil, func(*Config) {})
}

// A topic that an earlier version let have cleanup.policy=compact still opens: it keeps everything, or what
// retention leaves, and says so. Nothing else is taken because it is stored, and a default never is.
func TestParseStored(t *testing.T) {
	type m = map[string]string
	f := func(overrides, defaults m, deletes bool, unbuilt, want string) {
		t.Helper()
		c, err := ParseStored(overrides, Defaults{Static: defaults})
		if text := errorText(err); text != want || err == nil && (c.DeletesOld != deletes || c.Compacts != (unbuilt != "")) {
			t.Errorf("ParseStored(%v, %v) = %+v, %q, want deletes %v, %q", overrides, defaults, c, text, deletes, want)
		}
		if got := Unbuilt(overrides); got != unbuilt {
			t.Errorf("Unbuilt(%v) = %q, want %q", overrides, got, unbuilt)
		}
	}

	const nothing = "compaction is not built yet, nothing of the topic is compacted"
	f(m{}, nil, true, "", "")
	f(m{"cleanup.policy": "compact"}, nil, false, "cleanup.policy=compact: "+nothing, "")
	f(m{"cleanup.policy": "compact,delete"}, nil, true, "cleanup.policy=compact,delete: "+nothing, "")
	f(nil, m{"cleanup.policy": "compact"}, false, "", `invalid topic config cleanup.policy: found "compact", want a list, delete or empty (compact is not built yet)`)
	f(m{"cleanup.policy": "x"}, nil, false, "", `invalid topic config cleanup.policy: found "x", want a list, delete or empty (compact is not built yet)`)
	f(m{"segment.ms": "x"}, nil, false, "", `invalid topic config segment.ms: found "x", want a 64-bit integer, at least 1`)
}

// errorText is the text of err, "" for none.
func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Everything is validated, in force or not, override or default, and the same mistake is named each time.
func TestParseErrors(t *testing.T) {
	f := func(overrides, defaults map[string]string, want string) {
		t.Helper()
		for range 10 { // maps iterate at random
			if c, err := Parse(overrides, Defaults{Static: defaults}); err == nil || err.Error() != want {
				t.Fatalf("Parse(%v, %v) = %v, %v; want %s", overrides, defaults, c, err, want)
			}
		}
	}
	type m = map[string]string

	f(m{"retention.sm": "1"}, nil, `unknown topic config "retention.sm"; did you mean "retention.ms"?`)
	f(nil, m{"segment.byte": "1"}, `unknown topic config "segment.byte"; did you mean "segment.bytes"?`)
	f(m{"preallocate": "1", "segment.ms": "x"}, m{"flush.ms": "-1"}, `invalid topic config preallocate: found "1", want true or false`)
	f(nil, m{"flush.ms": "-1"}, `invalid topic config flush.ms: found "-1", want a 64-bit integer, at least 0`)
	f(m{"min.compaction.lag.ms": "6"}, m{"max.compaction.lag.ms": "5"},
		"invalid topic config min.compaction.lag.ms: found 6, want at most max.compaction.lag.ms, which is 5")
}

// A topic is durable unless it raises flush.messages itself.
func TestDurable(t *testing.T) {
	f := func(overrides map[string]string, want bool) {
		t.Helper()
		c, err := Parse(overrides, Defaults{})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Durable(); got != want {
			t.Errorf("%v: durable %v, want %v", overrides, got, want)
		}
	}

	f(nil, true)
	f(map[string]string{"flush.messages": "1"}, true)
	f(map[string]string{"flush.ms": "1000"}, true)
	f(map[string]string{"flush.messages": "2"}, false)
	f(map[string]string{"flush.messages": "9223372036854775807", "flush.ms": "1000"}, false)
}

// Who gets a Config from Default may change it.
func TestDefaultIsFresh(t *testing.T) {
	Default().SegmentBytes = 1
	if got := Default().SegmentBytes; got != 1<<30 {
		t.Errorf("segment.bytes %d after somebody changed his copy, want %d", got, 1<<30)
	}
}

// Each key is described with the value that holds and where it comes from.
func TestDescribe(t *testing.T) {
	overrides := map[string]string{"segment.bytes": " 1048576", "from.a.later.version": "1"}
	defaults := map[string]string{"segment.bytes": "2097152", "flush.ms": "1000"}
	entries := Describe(overrides, Defaults{Static: defaults})
	if len(entries) != len(Keys()) {
		t.Fatalf("%d entries, want %d", len(entries), len(Keys()))
	}
	f := func(name, wantValue string, wantSource Source, wantText string) {
		t.Helper()
		i := slices.IndexFunc(entries, func(e Entry) bool { return e.Name == name })
		if e := entries[i]; e.Value != wantValue || e.Source != wantSource || e.Source.String() != wantText {
			t.Errorf("%s is %q from %v, want %q from %s", name, e.Value, e.Source, wantValue, wantText)
		}
	}

	f("segment.bytes", "1048576", FromTopic, "topic")
	f("flush.ms", "1000", FromStatic, "static")
	f("flush.messages", "1", FromDefault, "default")
}

// What was set nearer to a topic wins: a setting of its node, of all nodes, of the node's start; of several broker
// settings in one place the first of Kafka's order; and each place is listed, in the unit of its own name.
func TestDefaultsOrder(t *testing.T) {
	type m = map[string]string
	f := func(key string, overrides m, d Defaults, wantValue string, wantSource Source, want ...Origin) {
		t.Helper()
		if _, err := Parse(overrides, d); err != nil {
			t.Fatal(err)
		}
		entries := Describe(overrides, d)
		e := entries[slices.IndexFunc(entries, func(e Entry) bool { return e.Name == key })]
		if e.Value != wantValue || e.Source != wantSource || !slices.Equal(e.Origins, want) {
			t.Errorf("%s is %q from %v, origins %v; want %q from %v, %v", key, e.Value, e.Source, e.Origins, wantValue, wantSource, want)
		}
	}
	hours := Origin{"log.retention.hours", "168", FromDefault}

	f("retention.ms", nil, Defaults{}, "604800000", FromDefault, hours)
	f("retention.ms", nil, Defaults{Static: m{"log.retention.hours": " 2 "}}, "7200000", FromStatic,
		Origin{"log.retention.hours", "2", FromStatic}, hours)
	f("retention.ms", nil, Defaults{Static: m{"log.retention.hours": "-1"}}, "-1", FromStatic, Origin{"log.retention.hours", "-1", FromStatic}, hours)
	f("retention.ms", nil, Defaults{Static: m{"log.retention.hours": "2", "log.retention.minutes": "3"}}, "180000", FromStatic,
		Origin{"log.retention.minutes", "3", FromStatic}, hours)
	f("retention.ms", nil, Defaults{Static: m{"log.retention.ms": "4", "retention.ms": "5"}}, "5", FromStatic,
		Origin{"log.retention.ms", "5", FromStatic}, hours)
	all := Defaults{
		Node:     m{"log.retention.ms": "3", "num.io.threads": "8"},
		AllNodes: m{"log.retention.ms": "2"},
		Static:   m{"retention.ms": "1"},
	}
	f("retention.ms", m{"retention.ms": "4"}, all, "4", FromTopic, Origin{"retention.ms", "4", FromTopic}, Origin{"log.retention.ms", "3", FromNode},
		Origin{"log.retention.ms", "2", FromAllNodes}, Origin{"log.retention.ms", "1", FromStatic}, hours)
	f("retention.ms", nil, all, "3", FromNode, Origin{"log.retention.ms", "3", FromNode},
		Origin{"log.retention.ms", "2", FromAllNodes}, Origin{"log.retention.ms", "1", FromStatic}, hours)
	all.Node = nil
	f("retention.ms", nil, all, "2", FromAllNodes,
		Origin{"log.retention.ms", "2", FromAllNodes}, Origin{"log.retention.ms", "1", FromStatic}, hours)
	f("compression.type", nil, Defaults{Node: m{"compression.type": "lz4"}}, "lz4", FromNode,
		Origin{"compression.type", "lz4", FromNode}, Origin{"compression.type", "producer", FromDefault})
	f("remote.storage.enable", nil, Defaults{Static: m{"remote.storage.enable": "true"}}, "true", FromStatic,
		Origin{"remote.storage.enable", "true", FromStatic})
	f("remote.storage.enable", nil, Defaults{}, "false", FromDefault)
}

// A value is judged in the unit of the broker setting, and the error names the setting.
func TestValidateSetting(t *testing.T) {
	f := func(name, value, want string) {
		t.Helper()
		err := ValidateSetting(name, value)
		if text := errorText(err); text != want {
			t.Errorf("ValidateSetting(%s, %s): %q, want %q", name, value, text, want)
		}
		wantErr := ErrInvalidSetting
		if _, _, known := LookupSetting(name); !known {
			wantErr = ErrUnknownKey
		}
		if want != "" && !errors.Is(err, wantErr) {
			t.Errorf("ValidateSetting(%s, %s): %v is no %v", name, value, err, wantErr)
		}
		if _, err := Parse(nil, Defaults{AllNodes: map[string]string{name: value}}); wantErr == ErrInvalidSetting && errorText(err) != want {
			t.Errorf("Parse with %s=%s: %v, want %q", name, value, err, want)
		}
	}
	f("log.retention.hours", " 5 ", "")
	f("log.retention.hours", "-1", "")
	f("log.roll.hours", "1", "")
	f("compression.type", "zstd", "")
	f("log.retention.hours", "2562047788016", `invalid broker setting log.retention.hours: found "2562047788016", want an integer of at most 2562047788015, at least -1`)
	f("log.retention.hours", "many", `invalid broker setting log.retention.hours: found "many", want an integer of at most 2562047788015, at least -1`)
	f("log.roll.hours", "0", `invalid broker setting log.roll.hours: found "0", want an integer of at most 2562047788015, at least 1`)
	f("log.segment.bytes", "200", `invalid broker setting log.segment.bytes: found "200", want a 32-bit integer, at least 1048576`)
	f("num.partitions", "1", `unknown topic config behind broker setting "num.partitions"`)
}

// Elements are added once and taken out wherever they stand; only lists have some.
func TestEditList(t *testing.T) {
	f := func(name, value, add, remove, want, wantError string) {
		t.Helper()
		got, err := EditList(name, value, add, remove)
		if got != want || (err == nil) != (wantError == "") || err != nil && !strings.Contains(err.Error(), wantError) {
			t.Errorf("EditList(%s, %q, %q, %q): %q, %v; want %q, %q", name, value, add, remove, got, err, want, wantError)
		}
	}
	f("cleanup.policy", "", "delete", "", "delete", "")
	f("cleanup.policy", "delete", "compact, delete", "", "delete,compact", "")
	f("cleanup.policy", "compact,delete", "", "delete", "compact", "")
	f("cleanup.policy", "delete", "", "delete,other", "", "")
	f("cleanup.policy", " ", "a", "a", "", "")
	f("retention.ms", "1", "2", "", "", "its type is long")
	f("cleanup.polici", "", "delete", "", "", `did you mean "cleanup.policy"?`)
}

// The text forms are the values of the configs, there and back.
func TestTexts(t *testing.T) {
	for name, value := range compressionTypes {
		if value.String() != name {
			t.Errorf("%d prints as %s, want %s", value, value, name)
		}
	}
	if got := CompressionType(9).String(); got != "CompressionType(9)" {
		t.Errorf("an unknown compression type prints as %s", got)
	}
	for typ, want := range map[Type]string{Boolean: "boolean", Int: "int", Long: "long", Double: "double", String: "string", List: "list", Short: "short"} {
		if typ.String() != want {
			t.Errorf("type %d prints as %s, want %s", typ, typ, want)
		}
	}
}

// What Validate takes, Parse and Describe take too; nothing panics.
func FuzzValidate(f *testing.F) {
	for _, k := range Keys() {
		f.Add(k.Name, k.Default)
		f.Add(k.Name, "-1")
		f.Add(k.Name+"x", " true ")
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		invalid := Validate(name, value)
		overrides := map[string]string{name: value}
		c, err := Parse(overrides, Defaults{})
		if invalid != nil {
			if c != nil || err == nil || err.Error() != invalid.Error() {
				t.Fatalf("Validate: %v; Parse: %v, %v", invalid, c, err)
			}
			return
		}
		if err != nil {
			t.Fatalf("Validate takes %s=%q, Parse does not: %v", name, value, err)
		}
		for _, e := range Describe(overrides, Defaults{}) {
			if e.Name == name && (e.Value != strings.TrimSpace(value) || e.Source != FromTopic) {
				t.Fatalf("%s=%q is described as %q from %v", name, value, e.Value, e.Source)
			}
		}
	})
}
