package node

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/topicconfig"
	"github.com/rollway/rollway/engine/vfs"
	"github.com/rollway/rollway/internal/brokerconfig"
	"github.com/rollway/rollway/internal/netloop"
)

// openNode opens a node without ballast and closes it with the test.
func openNode(t testing.TB, o Options) *Node {
	t.Helper()
	o.Log = quiet
	o.Engine.BallastBytes, o.Engine.MinFreeBytes = -1, -1
	n, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// shown is a setting as DescribeSettings has it: value, source, origins.
func shown(t testing.TB, n *Node, name string) string {
	t.Helper()
	entries := n.DescribeSettings()
	e := entries[slices.IndexFunc(entries, func(e brokerconfig.Entry) bool { return e.Name == name })]
	text := fmt.Sprintf("%s from %s:", e.Value, e.Source)
	for _, o := range e.Origins {
		text += fmt.Sprintf(" %s=%s from %s,", o.Name, o.Value, o.Source)
	}
	return strings.TrimSuffix(text, ",")
}

func wantShown(t testing.TB, n *Node, name, want string) {
	t.Helper()
	if got := shown(t, n, name); got != want {
		t.Errorf("%s is %s; want %s", name, got, want)
	}
}

// Without settings those that frontends read have Kafka's defaults.
func TestDefaultSettings(t *testing.T) {
	dir := t.TempDir()
	n := openNode(t, Options{DataDir: dir})
	s := n.Settings()
	if !s.AutoCreateTopics() || s.AcceptAnyReplicationFactor() || !s.DeleteTopicEnabled() || s.DefaultPartitions() != 1 ||
		s.DefaultReplicationFactor() != 1 || s.FetchMaxBytes() != 57671680 || s.FetchSessionSlots() != 1000 {
		t.Errorf("%+v", *s)
	}
	wantShown(t, n, "log.dirs", dir+" from static: log.dirs="+dir+" from static")
	wantShown(t, n, "num.partitions", "1 from default: num.partitions=1 from default")
	wantShown(t, n, "connections.max.idle.ms", "600000 from default: connections.max.idle.ms=600000 from default")
}

// What is given at the start reaches the options and who reads it; a field of the options wins over its setting, and
// both are described as what holds.
func TestStaticSettings(t *testing.T) {
	n := openNode(t, Options{
		MaxConnections: 12,
		Engine: engine.Options{
			RetentionInterval: time.Second,
			TopicDefaults:     map[string]string{"flush.ms": "99", "log.roll.ms": "98", "segment.ms": "97"},
		},
		Settings: map[string]string{
			"log.dirs": t.TempDir(), "node.id": "7", "num.partitions": "3", "max.connections": "2147483647", "max.connections.per.ip": "2147483647",
			"producer.id.expiration.ms": "5000", "auto.create.topics.enable": "False", "default.replication.factor": "3",
			"rollway.accept.any.replication.factor": "true", "fetch.max.bytes": "4096", "max.incremental.fetch.session.cache.slots": "5",
			"delete.topic.enable": "false", "log.retention.hours": "2", "log.flush.interval.ms": "1", "num.io.threads": "4", "socket.request.max.bytes": "65536",
			"rollway.journal.bytes": "-1",
		},
	})
	s := n.Settings()
	if s.AutoCreateTopics() || !s.AcceptAnyReplicationFactor() || s.DeleteTopicEnabled() || s.DefaultPartitions() != 3 ||
		s.DefaultReplicationFactor() != 3 || s.FetchMaxBytes() != 4096 || s.FetchSessionSlots() != 5 {
		t.Errorf("%+v", *s)
	}
	if got := n.Limits(); got.MaxFrameBytes != 65536 || n.Engine().NodeID() != 7 {
		t.Errorf("limits %+v, node %d", got, n.Engine().NodeID())
	}
	if got, want := n.ConnectionLimits(), (netloop.ConnectionLimits{Open: 12, PerIP: 1 << 20}); got != want {
		t.Errorf("connection limits %+v, want %+v", got, want)
	}
	topic, err := n.Engine().CreateTopic(engine.TopicSpec{Name: "t"})
	if err != nil {
		t.Fatal(err)
	}
	if c := topic.Config(); len(topic.Partitions()) != 3 || c.RetentionMs != 7200_000 || c.FlushMs != 99 || c.SegmentMs != 97 {
		t.Errorf("%d partitions, config %+v", len(topic.Partitions()), *c)
	}
	wantShown(t, n, "node.id", "7 from static: node.id=7 from static, node.id=0 from default")
	wantShown(t, n, "broker.id", "7 from static: broker.id=7 from static, broker.id=0 from default")
	wantShown(t, n, "max.connections", "12 from static: max.connections=12 from static, max.connections=10000 from default")
	wantShown(t, n, "log.retention.check.interval.ms", "1000 from static: log.retention.check.interval.ms=1000 from static, log.retention.check.interval.ms=300000 from default")
	wantShown(t, n, "producer.id.expiration.ms", "5000 from static: producer.id.expiration.ms=5000 from static, producer.id.expiration.ms=86400000 from default")
	wantShown(t, n, "log.retention.hours", "2 from static: log.retention.hours=2 from static, log.retention.hours=168 from default")
	wantShown(t, n, "log.flush.interval.ms", "99 from static: log.flush.interval.ms=99 from static, log.flush.scheduler.interval.ms=9223372036854775807 from default")
	wantShown(t, n, "log.roll.ms", "97 from static: log.roll.ms=97 from static, log.roll.hours=168 from default")
	wantShown(t, n, "num.io.threads", "4 from static: num.io.threads=4 from static, num.io.threads=8 from default")
}

// A wrong setting keeps the node from starting, by its name.
func TestStaticSettingsRefusals(t *testing.T) {
	f := func(name, value, want string) {
		t.Helper()
		_, err := Open(Options{DataDir: t.TempDir(), Settings: map[string]string{name: value}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s=%s: %v, want %q", name, value, err, want)
		}
	}
	f("num.partitions", "0", `node options: Settings: invalid broker setting num.partitions: found "0", want a 32-bit integer, at least 1`)
	f("num.partition", "1", `unknown broker setting "num.partition"; did you mean "num.partitions"?`)
	f("socket.request.max.bytes", "2000000000", "MaxFrameBytes is 2000000000, want 65536 to")
}

// What is altered is in force at once, the node's own before that of all before the start, and after another start, and
// can be taken back.
func TestAlterSettings(t *testing.T) {
	mem := vfs.NewMem("/data")
	open := func(fs vfs.FS) *Node {
		return openNode(t, Options{Engine: engine.Options{FS: fs}, Settings: map[string]string{"log.retention.minutes": "1", "rollway.accept.any.replication.factor": "false"}})
	}
	n := open(mem)
	if _, err := n.Engine().CreateTopic(engine.TopicSpec{Name: "t"}); err != nil {
		t.Fatal(err)
	}
	alter := func(perNode bool, set map[string]string, reset ...string) {
		t.Helper()
		if err := n.ValidateSettings(perNode, set, reset); err != nil {
			t.Fatal(err)
		}
		if err := n.AlterSettings(perNode, set, reset); err != nil {
			t.Fatal(err)
		}
	}
	want := func(anyFactor bool, retentionMs int64, ms string) {
		t.Helper()
		check := func(n *Node) {
			t.Helper()
			topic, err := n.Engine().Topic("t")
			if err != nil {
				t.Fatal(err)
			}
			if got := n.Settings().AcceptAnyReplicationFactor(); got != anyFactor || topic.Config().RetentionMs != retentionMs {
				t.Errorf("any replication factor %v, retention.ms %d; want %v, %d", got, topic.Config().RetentionMs, anyFactor, retentionMs)
			}
			wantShown(t, n, "log.retention.ms", ms)
		}
		check(n)
		for _, keep := range []vfs.Keep{vfs.KeepSynced, vfs.KeepOrdered, vfs.KeepAll} {
			image := open(mem.CrashClone(1, keep))
			check(image)
			image.Close()
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		n = open(mem)
		check(n)
	}
	const rest = "log.retention.minutes=1 from static, log.retention.hours=168 from default"
	want(false, 60_000, " from default: "+rest)
	alter(false, map[string]string{"rollway.accept.any.replication.factor": "true", "log.retention.ms": "5"})
	want(true, 5, "5 from all nodes: log.retention.ms=5 from all nodes, "+rest)
	alter(true, map[string]string{"rollway.accept.any.replication.factor": "false", "log.retention.ms": " 6"})
	want(false, 6, "6 from node: log.retention.ms=6 from node, log.retention.ms=5 from all nodes, "+rest)
	alter(true, nil, "rollway.accept.any.replication.factor", "log.retention.ms", "num.io.threads")
	want(true, 5, "5 from all nodes: log.retention.ms=5 from all nodes, "+rest)
	alter(false, nil, "rollway.accept.any.replication.factor", "log.retention.ms")
	want(false, 60_000, " from default: "+rest)
}

// A change that is refused alters nothing, and what another version may have set is ignored and can go.
func TestAlterSettingsRefusals(t *testing.T) {
	n := openNode(t, Options{DataDir: t.TempDir()})
	if _, err := n.Engine().CreateTopic(engine.TopicSpec{Name: "t", Configs: map[string]string{"max.compaction.lag.ms": "5"}}); err != nil {
		t.Fatal(err)
	}
	f := func(want error, set map[string]string, reset ...string) {
		t.Helper()
		if set != nil {
			set["rollway.accept.any.replication.factor"] = "true"
		}
		if err := n.AlterSettings(false, set, reset); !errors.Is(err, want) {
			t.Errorf("%v, reset %v: %v, want %v", set, reset, err, want)
		}
		if err := n.ValidateSettings(false, set, reset); !errors.Is(err, want) {
			t.Errorf("validate %v, reset %v: %v, want %v", set, reset, err, want)
		}
		if n.Settings().AcceptAnyReplicationFactor() || len(n.Engine().NodeConfigs().All) > 0 {
			t.Errorf("%v was refused and altered %v", set, n.Engine().NodeConfigs().All)
		}
	}
	f(brokerconfig.ErrReadOnly, map[string]string{"auto.create.topics.enable": "false"})
	f(brokerconfig.ErrReadOnly, nil, "num.partitions")
	f(brokerconfig.ErrUnknownKey, map[string]string{"retention.ms": "1"})
	f(brokerconfig.ErrUnknownKey, nil, "x")
	f(brokerconfig.ErrInvalidValue, map[string]string{"log.segment.bytes": "1"})
	f(topicconfig.ErrInvalidValue, map[string]string{"log.cleaner.min.compaction.lag.ms": "6"})
	if err := n.ValidateSettings(false, map[string]string{"log.retention.ms": "6"}, nil); err != nil || len(n.Engine().NodeConfigs().All) > 0 {
		t.Errorf("validated: %v, settings %v", err, n.Engine().NodeConfigs().All)
	}

	strange := map[string]string{"from.later": "1", "num.partitions": "x", "rollway.accept.any.replication.factor": "perhaps"}
	if err := n.Engine().AlterNodeConfigs(engine.NodeConfigChange{AllNodes: true, Set: strange}); err != nil {
		t.Fatal(err)
	}
	if s := n.Settings(); s.AcceptAnyReplicationFactor() || s.DefaultPartitions() != 1 {
		t.Errorf("%+v", *s)
	}
	n.DescribeSettings()
	if err := n.AlterSettings(false, nil, []string{"from.later", "num.partitions", "rollway.accept.any.replication.factor"}); err != nil {
		t.Error(err)
	}
}

// Bounds of connections that are altered hold at once and after another start, those of the node before those of all, and
// an operator is told when there are too few descriptors for them.
func TestAlterConnectionLimits(t *testing.T) {
	mem := vfs.NewMem("/data")
	var log bytes.Buffer
	start := func() *Node {
		n, err := Open(Options{
			MaxConnections: 20, MaxConnectionsPerIP: 10, Log: slog.New(slog.NewTextHandler(&log, nil)),
			Engine: engine.Options{FS: mem, BallastBytes: -1, MinFreeBytes: -1, Log: quiet},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { n.Close() })
		return n
	}
	n := start()
	f := func(perNode bool, set map[string]string, reset []string, open, perIP int, shownOpen string) {
		t.Helper()
		if err := n.AlterSettings(perNode, set, reset); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if got, want := n.ConnectionLimits(), (netloop.ConnectionLimits{Open: open, PerIP: perIP}); got != want {
				t.Errorf("after %v, reset %v: %+v, want %+v", set, reset, got, want)
			}
			wantShown(t, n, "max.connections", shownOpen)
			n.Close()
			n = start()
		}
	}
	const given = "max.connections=20 from static, max.connections=10000 from default"
	f(false, map[string]string{"max.connections": "30", "max.connections.per.ip": "5"}, nil, 30, 5, "30 from all nodes: max.connections=30 from all nodes, "+given)
	f(true, map[string]string{"max.connections": "3"}, nil, 3, 5, "3 from node: max.connections=3 from node, max.connections=30 from all nodes, "+given)
	f(true, nil, []string{"max.connections"}, 30, 5, "30 from all nodes: max.connections=30 from all nodes, "+given)
	f(false, nil, []string{"max.connections", "max.connections.per.ip"}, 20, 10, "20 from static: "+given)
	if log.Len() > 0 {
		t.Errorf("logged %s", log.String())
	}
	if err := n.AlterSettings(false, map[string]string{"max.connections": "2147483647", "max.connections.per.ip": "2147483647"}, nil); err != nil {
		t.Fatal(err)
	}
	if got, want := n.ConnectionLimits(), (netloop.ConnectionLimits{Open: 1 << 20, PerIP: 1 << 20}); got != want {
		t.Errorf("%+v without bounds, want %+v", got, want)
	}
	if want := "room for fewer connections than are allowed"; roomForConnections(n.maxFiles) < 1<<20 && strings.Count(log.String(), want) != 1 {
		t.Errorf("logged %q, want once that there is %s", log.String(), want)
	}
}

// Who reads the settings while they are altered sees one of the values, and the last one once the change has returned.
func TestSettingsWhileAltered(t *testing.T) {
	n := openNode(t, Options{DataDir: t.TempDir()})
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					n.Settings().AcceptAnyReplicationFactor()
				}
			}
		})
	}
	for i := range 20 {
		want := i%2 == 0
		if err := n.AlterSettings(i%3 == 0, map[string]string{"rollway.accept.any.replication.factor": fmt.Sprint(want)}, nil); err != nil {
			t.Fatal(err)
		}
		if err := n.AlterSettings(i%3 != 0, nil, []string{"rollway.accept.any.replication.factor"}); err != nil {
			t.Fatal(err)
		}
		if got := n.Settings().AcceptAnyReplicationFactor(); got != want {
			t.Fatalf("change %d: %v, want %v", i, got, want)
		}
	}
	close(done)
	readers.Wait()
}

// Reading the settings takes no lock and allocates nothing, so that a frontend may do so for each request.
func TestSettingsAllocateNothing(t *testing.T) {
	n := openNode(t, Options{DataDir: t.TempDir()})
	if got := testing.AllocsPerRun(100, func() { n.Settings().FetchMaxBytes() }); got != 0 {
		t.Errorf("%v allocations", got)
	}
}
