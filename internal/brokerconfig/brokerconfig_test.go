package brokerconfig

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/rollway/rollway/engine/topicconfig"
)

// The table is sorted and complete: each name once, its own defaults valid, Kafka's too where they are not meant to be
// refused, and each broker setting behind a topic config in it.
func TestTable(t *testing.T) {
	last := ""
	for _, k := range Keys() {
		if k.Name <= last {
			t.Errorf("%s after %s", k.Name, last)
		}
		last = k.Name
		if !k.NoDefault {
			if err := Validate(k.Name, k.Default); err != nil {
				t.Errorf("default: %v", err)
			}
		} else if k.Default != "" {
			t.Errorf("%s has no default and the default %s", k.Name, k.Default)
		}
		if err := Validate(k.Name, k.KafkaDefault); err != nil && k.KafkaDefault != "" && k.Name != "broker.id" {
			t.Errorf("Kafka's default: %v", err)
		}
		if k.Documentation == "" || k.InForce == strings.Contains(k.Documentation, "no effect in rollway") && k.Topic == "" {
			t.Errorf("%s, in force %v: %s", k.Name, k.InForce, k.Documentation)
		}
		if !slices.Contains(k.Synonyms, k.Name) {
			t.Errorf("%s is none of its synonyms %v", k.Name, k.Synonyms)
		}
	}
	for _, topic := range topicconfig.Keys() {
		for _, s := range topic.Synonyms {
			if k, ok := Lookup(s.Name); !ok || k.Topic != topic.Name {
				t.Errorf("%s, behind %s, is %+v", s.Name, topic.Name, k)
			}
		}
	}
}

// A wrong value is refused with the key, the value and the range, a wrong name with the one that was meant.
func TestValidate(t *testing.T) {
	f := func(name, value, want string, target error) {
		t.Helper()
		err := Validate(name, value)
		if want == "" {
			if err != nil {
				t.Error(err)
			}
			return
		}
		if err == nil || err.Error() != want || !errors.Is(err, target) {
			t.Errorf("Validate(%s, %s): %v, want %s", name, value, err, want)
		}
	}
	f("num.partitions", " 3 ", "", nil)
	f("auto.create.topics.enable", "TRUE", "", nil)
	f("max.connections", "2147483647", "", nil)
	f("max.connections", "1048576", "", nil)
	f("socket.send.buffer.bytes", "-1", "", nil)
	f("listeners", "anything", "", nil)
	f("log.retention.hours", "-1", "", nil)
	f("log.dirs", "/a", "", nil)

	f("num.partitions", "0", `invalid broker setting num.partitions: found "0", want a 32-bit integer, at least 1`, ErrInvalidValue)
	f("num.partitions", "2147483648", `invalid broker setting num.partitions: found "2147483648", want a 32-bit integer, at least 1`, ErrInvalidValue)
	f("offsets.topic.replication.factor", "32768", `invalid broker setting offsets.topic.replication.factor: found "32768", want a 16-bit integer, at least 1`, ErrInvalidValue)
	f("auto.create.topics.enable", "1", `invalid broker setting auto.create.topics.enable: found "1", want true or false`, ErrInvalidValue)
	f("max.connections", "1048577", `invalid broker setting max.connections: found "1048577", want a 32-bit integer, 1 to 1048576, or 2147483647 for the most that there may be`, ErrInvalidValue)
	f("log.dirs", "/a,/b", `invalid broker setting log.dirs: found "/a,/b", want a list, one directory`, ErrInvalidValue)
	f("fetch.max.bytes", "1023", `invalid broker setting fetch.max.bytes: found "1023", want a 32-bit integer, at least 1024`, ErrInvalidValue)
	f("log.segment.bytes", "200", `invalid broker setting log.segment.bytes: found "200", want a 32-bit integer, at least 1048576`, ErrInvalidValue)
	f("num.partition", "1", `unknown broker setting "num.partition"; did you mean "num.partitions"?`, ErrUnknownKey)
	f("retention.ms", "1", `unknown broker setting "retention.ms"; did you mean "log.retention.ms"?`, ErrUnknownKey)
	f(strings.Repeat("x", 1000), "", `unknown broker setting "`+strings.Repeat("x", 128)+`..."; did you mean "connections.max.idle.ms"?`, ErrUnknownKey)
}

// What a running Kafka takes is taken here, but for listeners, and what it does not is not.
func TestUpdateAsKafka(t *testing.T) {
	text, err := os.ReadFile("testdata/kafka_dynamic.txt")
	if err != nil {
		t.Fatal(err)
	}
	dynamic := strings.Fields(string(text))
	readOnlyHere := []string{"listeners", "listener.security.protocol.map"}
	for _, k := range Keys() {
		if strings.HasPrefix(k.Name, "rollway.") {
			continue
		}
		want := ReadOnly
		if slices.Contains(dynamic, k.Name) && !slices.Contains(readOnlyHere, k.Name) {
			want = ClusterWide
		}
		if k.Update != want {
			t.Errorf("%s is %s, want %s", k.Name, k.Update, want)
		}
	}
}

// What may be altered while a node runs is taken if it is valid; the rest is refused and told what to do.
func TestUpdate(t *testing.T) {
	f := func(name, value string, want error) {
		t.Helper()
		if err := ValidateUpdate(name, value); !errors.Is(err, want) {
			t.Errorf("%s=%s: %v, want %v", name, value, err, want)
		}
	}
	f("log.retention.ms", "5", nil)
	f("message.max.bytes", "5", nil)
	f("compression.type", "zstd", nil)
	f("num.io.threads", "5", nil)
	f("num.recovery.threads.per.data.dir", "5", nil)
	f("max.connections", "5", nil)
	f("max.connections.per.ip", "2147483647", nil)
	f("max.connections", "0", ErrInvalidValue)
	f("listeners", "PLAINTEXT://:9092", ErrReadOnly)
	f("listener.security.protocol.map", "A:PLAINTEXT", ErrReadOnly)
	f("producer.id.expiration.ms", "5", nil)
	f("rollway.accept.any.replication.factor", "true", nil)
	f("log.retention.ms", "x", ErrInvalidValue)
	f("log.retention.hours", "5", ErrReadOnly)
	f("auto.create.topics.enable", "false", ErrReadOnly)
	f("node.id", "5", ErrReadOnly)
	f("node.di", "5", ErrUnknownKey)
	if err := CheckUpdate("node.id"); err == nil || err.Error() != "broker setting is read-only: node.id cannot be altered while the node runs; set it where the node is started, and start it again" {
		t.Error(err)
	}
}

// What is set for the node wins over what is set for all, that over the start, and that over the table; a setting with
// synonyms shows its own value and what counts for all of them.
func TestLayers(t *testing.T) {
	l := Layers{
		Own:    map[string]string{"log.retention.ms": " 1 "},
		All:    map[string]string{"log.retention.ms": "2", "rollway.accept.any.replication.factor": "True", "gone": "1"},
		Static: map[string]string{"log.retention.hours": "3", "num.partitions": "4"},
	}
	entries := l.Describe()
	if len(entries) != len(Keys()) {
		t.Errorf("%d entries, want %d", len(entries), len(Keys()))
	}
	f := func(name, value string, unset bool, source topicconfig.Source, origins ...topicconfig.Origin) {
		t.Helper()
		e := entries[slices.IndexFunc(entries, func(e Entry) bool { return e.Name == name })]
		if e.Value != value || e.Unset != unset || e.Source != source || !slices.Equal(e.Origins, origins) {
			t.Errorf("%s is %q (unset %v) from %v, origins %v; want %q (%v) from %v, %v", name, e.Value, e.Unset, e.Source, e.Origins, value, unset, source, origins)
		}
	}
	origin := func(name, value string, source topicconfig.Source) topicconfig.Origin {
		return topicconfig.Origin{Name: name, Value: value, Source: source}
	}
	const hours, byDefault, static, all, own = "log.retention.hours", topicconfig.FromDefault, topicconfig.FromStatic, topicconfig.FromAllNodes, topicconfig.FromNode
	f("log.retention.ms", "1", false, own, origin("log.retention.ms", "1", own), origin("log.retention.ms", "2", all), origin(hours, "3", static), origin(hours, "168", byDefault))
	f("log.retention.minutes", "", true, byDefault, origin(hours, "3", static), origin(hours, "168", byDefault))
	f(hours, "3", false, static, origin(hours, "3", static), origin(hours, "168", byDefault))
	f("num.partitions", "4", false, static, origin("num.partitions", "4", static), origin("num.partitions", "1", byDefault))
	f("advertised.listeners", "", true, byDefault)
	f("max.connections.per.ip.overrides", "", false, byDefault, origin("max.connections.per.ip.overrides", "", byDefault))
	if !l.Bool("rollway.accept.any.replication.factor") || l.Bool("log.preallocate") || l.Int("num.partitions") != 4 || l.Value("node.id") != "0" {
		t.Error("wrong values")
	}
}

// Whatever is given for a setting is taken or refused, and what is taken can be read.
func FuzzValidate(f *testing.F) {
	for _, k := range Keys() {
		f.Add(k.Name, k.Default)
		f.Add(k.Name, " -1")
		f.Add(k.Name+"x", "9223372036854775808")
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		if Validate(name, value) != nil {
			return
		}
		l := Layers{Static: map[string]string{name: value}}
		switch k, _ := Lookup(name); k.Type {
		case topicconfig.Short, topicconfig.Int, topicconfig.Long:
			l.Int(name)
		case topicconfig.Boolean:
			l.Bool(name)
		}
		l.Describe()
	})
}

// Only settings that are lists have elements to be added and taken out.
func TestEditList(t *testing.T) {
	f := func(name, value, add, remove, want string, wantErr error) {
		t.Helper()
		if got, err := EditList(name, value, add, remove); got != want || !errors.Is(err, wantErr) {
			t.Errorf("EditList(%s, %q, %q, %q): %q, %v; want %q, %v", name, value, add, remove, got, err, want, wantErr)
		}
	}
	f("log.cleanup.policy", "delete", "compact", "", "delete,compact", nil)
	f("log.cleanup.policy", "delete,compact", "", "delete", "compact", nil)
	f("num.io.threads", "8", "9", "", "", ErrInvalidValue)
	f("no.such", "", "9", "", "", ErrUnknownKey)
}
