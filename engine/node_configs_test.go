package engine

import (
	"fmt"
	"io/fs"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollway/rollway/engine/topicconfig"
	"github.com/rollway/rollway/engine/vfs"
)

// alterNode sets settings of the node, or of all nodes.
func alterNode(t testing.TB, e *Engine, all bool, pairs ...string) {
	t.Helper()
	change := NodeConfigChange{AllNodes: all, Set: map[string]string{}}
	for i := 0; i < len(pairs); i += 2 {
		change.Set[pairs[i]] = pairs[i+1]
	}
	if err := e.AlterNodeConfigs(change); err != nil {
		t.Fatal(err)
	}
}

// segmentBytesOf is what holds for a topic.
func segmentBytesOf(t testing.TB, e *Engine, topic string) int64 {
	t.Helper()
	found, err := e.Topic(topic)
	if err != nil {
		t.Fatal(err)
	}
	return found.Config().SegmentBytes
}

// A setting that is altered is in force at once for every topic that does not say
// it itself, the node's own before that of all, both before what the engine was
// opened with; and all is as it was after a crash and a restart.
func TestAlterNodeConfigs(t *testing.T) {
	dir := t.TempDir()
	static := func(o *Options) {
		o.NodeID = 7
		o.TopicDefaults = map[string]string{"log.segment.bytes": "3000000"}
	}
	e := openEngine(t, dir, static)
	createTopic(t, e, "own", "segment.bytes", "2000000")
	createTopic(t, e, "bare")
	want := func(bare int64) {
		t.Helper()
		for range 2 {
			if own, got := segmentBytesOf(t, e, "own"), segmentBytesOf(t, e, "bare"); own != 2_000_000 || got != bare {
				t.Fatalf("segment.bytes of %d and %d, want 2000000 and %d", own, got, bare)
			}
			if got := partition(t, e, "bare").log.settings.Load().SegmentBytes; got != bare {
				t.Fatalf("the partition has segment.bytes of %d, want %d", got, bare)
			}
			crash(t, e)
			e = openEngine(t, dir, static)
		}
	}
	want(3_000_000)
	alterNode(t, e, true, "log.segment.bytes", "4000000", "num.io.threads", "9")
	want(4_000_000)
	alterNode(t, e, false, "log.segment.bytes", "5000000")
	want(5_000_000)
	createTopic(t, e, "later")
	if got := segmentBytesOf(t, e, "later"); got != 5_000_000 {
		t.Errorf("a new topic has segment.bytes of %d", got)
	}
	own, all := e.NodeConfigs().Own, e.NodeConfigs().All
	if !maps.Equal(own, map[string]string{"log.segment.bytes": "5000000"}) || !maps.Equal(all, map[string]string{"log.segment.bytes": "4000000", "num.io.threads": "9"}) {
		t.Errorf("settings of the node %v, of all %v", own, all)
	}
	topic, _ := e.Topic("bare")
	for _, c := range topic.Configs() {
		if c.Name != "segment.bytes" {
			continue
		}
		wantOrigins := []topicconfig.Origin{
			{Name: "log.segment.bytes", Value: "5000000", Source: topicconfig.FromNode},
			{Name: "log.segment.bytes", Value: "4000000", Source: topicconfig.FromAllNodes},
			{Name: "log.segment.bytes", Value: "3000000", Source: topicconfig.FromStatic},
			{Name: "log.segment.bytes", Value: "1073741824", Source: topicconfig.FromDefault},
		}
		if fmt.Sprint(c.Origins) != fmt.Sprint(wantOrigins) || c.Source != topicconfig.FromNode {
			t.Errorf("segment.bytes from %v, origins %v", c.Source, c.Origins)
		}
	}
	if err := e.AlterNodeConfigs(NodeConfigChange{Reset: []string{"log.segment.bytes", "not.set"}}); err != nil {
		t.Fatal(err)
	}
	want(4_000_000)
	if err := e.AlterNodeConfigs(NodeConfigChange{AllNodes: true, Reset: []string{"log.segment.bytes"}}); err != nil {
		t.Fatal(err)
	}
	want(3_000_000)
}

// A change is all or nothing, and one that a topic could not be opened with is
// none: the settings of a node must not keep it from starting.
func TestAlterNodeConfigsRefusals(t *testing.T) {
	dir := t.TempDir()
	e := openEngine(t, dir)
	createTopic(t, e, "t", "max.compaction.lag.ms", "5")
	alterNode(t, e, true, "log.roll.ms", "100")
	f := func(want error, text string, pairs ...string) {
		t.Helper()
		change := NodeConfigChange{AllNodes: true, Set: map[string]string{"log.segment.bytes": "2000000"}}
		for i := 0; i < len(pairs); i += 2 {
			change.Set[pairs[i]] = pairs[i+1]
		}
		matchError(t, e.AlterNodeConfigs(change), want, text)
		if all := e.NodeConfigs().All; !maps.Equal(all, map[string]string{"log.roll.ms": "100"}) || segmentBytesOf(t, e, "t") != 1<<30 {
			t.Errorf("a refused change came into force: %v", all)
		}
	}
	f(topicconfig.ErrInvalidSetting, "log.retention.hours: found \"x\"", "log.retention.hours", "x")
	f(topicconfig.ErrInvalidValue, "topic t: invalid topic config min.compaction.lag.ms: found 6, want at most max.compaction.lag.ms, which is 5", "log.cleaner.min.compaction.lag.ms", "6")
	f(topicconfig.ErrInvalidValue, "found 6, want at most", "log.cleaner.min.compaction.lag.ms", "6", "log.cleaner.max.compaction.lag.ms", "5")
	f(topicconfig.ErrInvalidSetting, `producer.id.expiration.ms: found "0", want a 32-bit integer, at least 1`, "producer.id.expiration.ms", "0")
	f(topicconfig.ErrInvalidSetting, `num.recovery.threads.per.data.dir: found "2147483648", want a 32-bit integer, at least 1`, "num.recovery.threads.per.data.dir", "2147483648")
	f(ErrInvalidMetadata, "want 1 to 255", strings.Repeat("k", 256), "v")
	alterNode(t, e, true, "log.cleaner.min.compaction.lag.ms", "5")
	if _, err := e.CreateTopic(TopicSpec{Name: "new", Configs: map[string]string{"max.compaction.lag.ms": "4"}}); err == nil {
		t.Error("a topic was made that contradicts the settings")
	}
	e.Close()
	matchError(t, e.AlterNodeConfigs(NodeConfigChange{}), ErrClosed, "")
	openEngine(t, dir)
}

// What was visible before it was synced is synced once a setting promises that.
func TestSettingMakesDurable(t *testing.T) {
	e := openEngine(t, t.TempDir(), func(o *Options) { o.TopicDefaults = map[string]string{"flush.messages": "1000"} })
	p := createTopic(t, e, "t")
	// A round of another partition shows that the committer has looked.
	other := createTopic(t, e, "other", "flush.messages", "1")
	produceEach(t, p, "a")
	produceEach(t, other, "x", "y")
	if o := p.Offsets(); o.Flushed != 0 {
		t.Fatalf("offsets %+v before there was a reason to flush", o)
	}
	alterNode(t, e, false, "log.flush.interval.messages", "1")
	produceEach(t, other, "x", "y")
	if o := p.Offsets(); o.Flushed != 1 {
		t.Errorf("offsets %+v, want 1 flushed", o)
	}
}

// A producer is forgotten after the time that the setting says, at once and after
// a restart; and who watches the settings sees another pointer with each change.
func TestAlterProducerIDExpiration(t *testing.T) {
	e := openEngine(t, t.TempDir(), func(o *Options) { o.ProducerIDExpiration = time.Hour })
	f := func(want time.Duration) {
		t.Helper()
		if got := e.producerExpirationMs.Load(); got != want.Milliseconds() {
			t.Errorf("producers are remembered for %d ms, want %v", got, want)
		}
	}
	f(time.Hour)
	before := e.NodeConfigs()
	alterNode(t, e, true, "producer.id.expiration.ms", " 5000 ")
	f(5 * time.Second)
	if e.NodeConfigs() == before {
		t.Error("the settings are the same after a change")
	}
	before = e.NodeConfigs()
	createTopic(t, e, "t")
	alterNode(t, e, false)
	if e.NodeConfigs() != before {
		t.Error("the settings are others without a change")
	}
	e = recrash(t, e)
	f(5 * time.Second)
	if err := e.AlterNodeConfigs(NodeConfigChange{AllNodes: true, Reset: []string{"producer.id.expiration.ms"}}); err != nil {
		t.Fatal(err)
	}
	f(24 * time.Hour)
}

// crowdFS holds the listing of directories of partitions up until so many are
// listed at a time.
type crowdFS struct {
	vfs.FS
	mu      sync.Mutex
	crowd   int           // how many are waited for
	here    int           // how many are listed
	most    int           // that were listed at a time
	crowded chan struct{} // closed when there are as many as crowd
	letIn   func()        // closes crowded, once
}

func (c *crowdFS) ReadDir(name string) ([]fs.DirEntry, error) {
	if name == "." {
		return c.FS.ReadDir(name)
	}
	c.mu.Lock()
	c.here++
	if c.most = max(c.most, c.here); c.here == c.crowd {
		c.letIn()
	}
	c.mu.Unlock()
	<-c.crowded
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.here--
	}()
	return c.FS.ReadDir(name)
}

// How many partitions a start recovers at a time is what was altered before it,
// durably, and what the engine was opened with where nothing was.
func TestAlterRecoveryThreads(t *testing.T) {
	mem := vfs.NewMem("/data")
	e := openEngine(t, "", onFS(mem))
	for i := range 8 {
		createTopic(t, e, fmt.Sprint("t", i))
	}
	start := func(want int) {
		t.Helper()
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		crowd := &crowdFS{FS: mem, crowd: want, crowded: make(chan struct{})}
		crowd.letIn = sync.OnceFunc(func() { close(crowd.crowded) })
		// It waits until all are recovered: fewer at a time would never be enough.
		e = openEngine(t, "", onFS(crowd), func(o *Options) { o.RecoveryParallelism = 2 })
		if crowd.most != want {
			t.Errorf("%d partitions were recovered at a time, want %d", crowd.most, want)
		}
	}
	start(2)
	alterNode(t, e, true, "num.recovery.threads.per.data.dir", " 3 ")
	start(3)
	alterNode(t, e, false, "num.recovery.threads.per.data.dir", "5")
	start(5)
	alterNode(t, e, false, "num.recovery.threads.per.data.dir", "1")
	start(1)
	for _, all := range []bool{false, true} {
		if err := e.AlterNodeConfigs(NodeConfigChange{AllNodes: all, Reset: []string{"num.recovery.threads.per.data.dir"}}); err != nil {
			t.Fatal(err)
		}
	}
	start(2)
}

// A process that dies, or a write or sync that fails, at any step of altering
// settings leaves them altered or as they were, all of them.
func TestCrashDuringAlterNodeConfigs(t *testing.T) {
	crashAtEachStep(t, func(e *Engine) error {
		for i := range 3 { // a change is two steps
			if err := e.AlterNodeConfigs(NodeConfigChange{Set: map[string]string{"log.segment.bytes": fmt.Sprint(2_000_000 + i), "x": fmt.Sprint(i)}}); err != nil {
				return err
			}
		}
		return nil
	}, func(e *Engine, done bool) {
		own := e.NodeConfigs().Own
		got := segmentBytesOf(t, e, "t")
		switch {
		case done && own["x"] != "2":
			t.Errorf("settings %v after all changes were promised", own)
		case own == nil && got != 1<<30, own != nil && (own["log.segment.bytes"] != fmt.Sprint(got) || fmt.Sprint(got-2_000_000) != own["x"]):
			t.Errorf("settings %v, and the topic has segment.bytes of %d", own, got)
		}
		holds(t, partition(t, e, "t"), numbered(5)...)
	})
}

// Whatever a power cut leaves of the files, a setting whose change returned is in
// force afterwards.
func TestCrashImagesOfNodeConfigs(t *testing.T) {
	mem := vfs.NewMem("/data")
	e := openEngine(t, "", onFS(mem))
	createTopic(t, e, "t")
	for i := range 4 {
		size := 2_000_000 + int64(i)
		alterNode(t, e, i%2 == 0, "log.segment.bytes", fmt.Sprint(size))
		if i%2 == 1 {
			alterNode(t, e, true, "log.segment.bytes", "9000000") // its own wins
		}
		for _, keep := range []vfs.Keep{vfs.KeepRandom, vfs.KeepOrdered, vfs.KeepSynced, vfs.KeepAll} {
			image := openEngine(t, "", onFS(mem.CrashClone(uint64(i), keep)))
			if got := segmentBytesOf(t, image, "t"); got != size {
				t.Errorf("change %d, keep %v: segment.bytes of %d, want %d", i, keep, got, size)
			}
			image.Close()
		}
		if i%2 == 1 {
			if err := e.AlterNodeConfigs(NodeConfigChange{Reset: []string{"log.segment.bytes"}}); err != nil {
				t.Fatal(err)
			}
		}
	}
}
