package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rollway/rollway/engine/topicconfig"
	"github.com/rollway/rollway/engine/vfs"
)

// lines is a log that a test can look into.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *lines) use(o *Options) { o.Log = slog.New(slog.NewTextHandler(l, nil)) }

// hurryRemovals has all that waits to be unlinked be due now.
func hurryRemovals(e *Engine) {
	e.removals.mu.Lock()
	defer e.removals.mu.Unlock()
	for i := range e.removals.pending {
		e.removals.pending[i].dueMs = 0
	}
	e.removals.rearm(e.nowMs())
}

// awaitPurge waits until no directory of a deleted topic is left, but not for
// file.delete.delay.ms to be over.
func awaitPurge(t testing.TB, e *Engine) {
	t.Helper()
	hurryRemovals(e)
	within(t, "the removal of deleted topics", func() {
		for {
			left, _ := filepath.Glob(filepath.Join(e.Path(), "*-delete"))
			if len(left) == 0 && len(e.metadata.Image().Deleted) == 0 {
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
}

// Topics are made only with a good name, number of partitions and configs; what
// is refused leaves nothing behind.
func TestCreateTopicRefusals(t *testing.T) {
	e := openEngine(t, t.TempDir(), func(o *Options) { o.MaxPartitions = 10 })
	if _, err := e.CreateTopic(TopicSpec{Name: "a.b", Partitions: 3}); err != nil {
		t.Fatal(err)
	}
	before := snapshotNames(t, e.Path())
	f := func(spec TopicSpec, want error, text string) {
		t.Helper()
		_, err := e.CreateTopic(spec)
		matchError(t, err, want, text)
		_, err = e.CheckTopic(spec)
		matchError(t, err, want, text)
	}
	f(TopicSpec{Name: ""}, ErrInvalidTopicName, "empty")
	f(TopicSpec{Name: ".."}, ErrInvalidTopicName, "..")
	f(TopicSpec{Name: "../up"}, ErrInvalidTopicName, "/")
	f(TopicSpec{Name: "a b"}, ErrInvalidTopicName, "' '")
	f(TopicSpec{Name: "nul\x00"}, ErrInvalidTopicName, "x00")
	f(TopicSpec{Name: strings.Repeat("x", 250)}, ErrInvalidTopicName, "250 bytes")
	f(TopicSpec{Name: "a.b"}, ErrTopicExists, "a.b")
	f(TopicSpec{Name: "a_b"}, ErrTopicExists, "differ only")
	f(TopicSpec{Name: "a_b"}, ErrTopicNamesCollide, "differ only")
	f(TopicSpec{Name: "n", Partitions: -1}, ErrInvalidPartitions, "-1")
	f(TopicSpec{Name: "n", Partitions: 8}, ErrInvalidPartitions, "at most 10")
	f(TopicSpec{Name: "n", Configs: map[string]string{"segment.byts": "1"}}, topicconfig.ErrUnknownKey, "segment.bytes")
	f(TopicSpec{Name: "n", Configs: map[string]string{"segment.bytes": "few"}}, topicconfig.ErrInvalidValue, "segment.bytes")
	if after := snapshotNames(t, e.Path()); after != before {
		t.Errorf("directory holds %s, want %s", after, before)
	}
	if _, err := e.CreateTopic(TopicSpec{Name: "n", Partitions: 7}); err != nil {
		t.Errorf("as many partitions as allowed: %v", err)
	}
}

// snapshotNames lists a directory.
func snapshotNames(t testing.TB, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return strings.Join(names, " ")
}

// A topic, its id, partitions and configs survive a restart, and an id is never
// given twice.
func TestTopicPersists(t *testing.T) {
	e := openEngine(t, t.TempDir(), func(o *Options) { o.DefaultPartitions = 3 })
	made, err := e.CreateTopic(TopicSpec{Name: "t", Configs: map[string]string{"segment.bytes": "2097152"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, clean := range []bool{true, false} {
		if clean {
			e = reopen(t, e)
		} else {
			e = recrash(t, e)
		}
		topic, err := e.Topic("t")
		if err != nil {
			t.Fatal(err)
		}
		if topic.ID() != made.ID() || topic.Name() != "t" || len(topic.Partitions()) != 3 || topic.Config().SegmentBytes != 2<<20 {
			t.Errorf("topic %s %v with %d partitions and segments of %d bytes", topic.Name(), topic.ID(), len(topic.Partitions()), topic.Config().SegmentBytes)
		}
	}
	if err := e.DeleteTopic("t"); err != nil {
		t.Fatal(err)
	}
	again, err := e.CreateTopic(TopicSpec{Name: "t", Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	if again.ID() == made.ID() {
		t.Errorf("the topic made anew has the id %v of the deleted one", again.ID())
	}
}

// Lookups name what they were asked for and what there is.
func TestLookupRefusals(t *testing.T) {
	e := openEngine(t, t.TempDir())
	createTopic(t, e, "t")
	_, err := e.Topic("x")
	matchError(t, err, ErrUnknownTopic, `"x"`)
	_, err = e.Partition([]byte("x"), 0)
	matchError(t, err, ErrUnknownTopic, `"x"`)
	_, err = e.Partition([]byte("t"), 1)
	matchError(t, err, ErrUnknownPartition, "0 to 0")
	_, err = e.Partition([]byte("t"), -1)
	matchError(t, err, ErrUnknownPartition, "-1")
	matchError(t, e.DeleteTopic("x"), ErrUnknownTopic, `"x"`)
	_, err = e.AlterTopic("x", TopicChange{})
	matchError(t, err, ErrUnknownTopic, `"x"`)
}

// Altering is all or nothing: a bad part leaves the good ones undone.
func TestAlterTopic(t *testing.T) {
	e := openEngine(t, t.TempDir(), func(o *Options) {
		o.MaxPartitions = 5
		o.TopicDefaults = map[string]string{"max.message.bytes": "5000"}
	})
	createTopic(t, e, "t", "segment.bytes", "2097152")
	refuse := func(change TopicChange, want error, text string) {
		t.Helper()
		_, err := e.AlterTopic("t", change)
		matchError(t, err, want, text)
		matchError(t, e.CheckChange("t", change), want, text)
		topic, _ := e.Topic("t")
		if len(topic.Partitions()) != 1 || topic.Config().SegmentBytes != 2<<20 || topic.Config().MaxMessageBytes != 5000 {
			t.Errorf("a refused change came into force: %+v", topic.Config())
		}
	}
	good := map[string]string{"max.message.bytes": "7000"}
	refuse(TopicChange{Set: map[string]string{"max.message.bytes": "7000", "no.such": "1"}}, topicconfig.ErrUnknownKey, "no.such")
	refuse(TopicChange{Set: map[string]string{"max.message.bytes": "-1"}}, topicconfig.ErrInvalidValue, "max.message.bytes")
	refuse(TopicChange{Set: good, Reset: []string{"no.such"}}, topicconfig.ErrUnknownKey, "no.such")
	refuse(TopicChange{Set: good, Partitions: 1}, ErrInvalidPartitions, "can only be added")
	refuse(TopicChange{Set: good, Partitions: -3}, ErrInvalidPartitions, "can only be added")
	refuse(TopicChange{Set: good, Partitions: 6}, ErrInvalidPartitions, "at most 5")

	old := partition(t, e, "t")
	topic, err := e.AlterTopic("t", TopicChange{Set: good, Reset: []string{"segment.bytes"}, Partitions: 4})
	if err != nil {
		t.Fatal(err)
	}
	if c := topic.Config(); c.MaxMessageBytes != 7000 || c.SegmentBytes != 1<<30 || len(topic.Partitions()) != 4 {
		t.Errorf("config %+v and %d partitions", c, len(topic.Partitions()))
	}
	if partition(t, e, "t") != old {
		t.Error("the partition is another one after a change of the topic")
	}
	if topic, err = e.AlterTopic("t", TopicChange{}); err != nil || len(topic.Partitions()) != 4 {
		t.Errorf("a change of nothing: %v", err)
	}
	for i, p := range topic.Partitions() {
		produceEach(t, p, fmt.Sprint(i))
	}
	e = recrash(t, e)
	topic, _ = e.Topic("t")
	for i, p := range topic.Partitions() {
		holds(t, p, fmt.Sprint(i))
	}
}

// What is only checked is judged as if it were done, and not done.
func TestCheckOnly(t *testing.T) {
	e := openEngine(t, t.TempDir(), func(o *Options) { o.TopicDefaults = map[string]string{"retention.ms": "5"} })
	createTopic(t, e, "t")
	before := snapshotNames(t, e.Path())
	plan, err := e.CheckTopic(TopicSpec{Name: "n", Configs: map[string]string{"segment.bytes": "2097152"}})
	if err != nil {
		t.Fatal(err)
	}
	if plan.Partitions != 1 {
		t.Errorf("%d partitions", plan.Partitions)
	}
	for _, entry := range plan.Configs {
		switch {
		case entry.Name == "segment.bytes" && (entry.Value != "2097152" || entry.Source != topicconfig.FromTopic),
			entry.Name == "retention.ms" && entry.Value != "5":
			t.Errorf("%s is %s from %v", entry.Name, entry.Value, entry.Source)
		}
	}
	if err := e.CheckChange("t", TopicChange{Set: map[string]string{"segment.bytes": "2097152"}, Partitions: 3}); err != nil {
		t.Error(err)
	}
	matchError(t, e.CheckChange("n", TopicChange{}), ErrUnknownTopic, `"n"`)
	topic, _ := e.Topic("t")
	if after := snapshotNames(t, e.Path()); after != before || len(e.Topics()) != 1 || len(topic.Partitions()) != 1 || topic.Config().SegmentBytes != 1<<30 {
		t.Errorf("%d topics, %d partitions, config %+v; directory holds %s, want %s", len(e.Topics()), len(topic.Partitions()), topic.Config(), after, before)
	}
}

// Elements of lists come and go beside what holds now, and all that is not named
// goes back to its default.
func TestAlterTopicLists(t *testing.T) {
	e := openEngine(t, t.TempDir(), func(o *Options) {
		o.TopicDefaults = map[string]string{"follower.replication.throttled.replicas": "0:0"}
	})
	createTopic(t, e, "t", "segment.bytes", "2097152", "retention.ms", "7")
	const leader, follower = "leader.replication.throttled.replicas", "follower.replication.throttled.replicas"
	alter := func(change TopicChange, want map[string]string) {
		t.Helper()
		topic, err := e.AlterTopic("t", change)
		if err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(topic.image.Configs, want) {
			t.Errorf("configs %v, want %v", topic.image.Configs, want)
		}
	}
	type m = map[string]string
	alter(TopicChange{Append: m{follower: "1:0,0:0", leader: "2:0"}},
		m{"segment.bytes": "2097152", "retention.ms": "7", follower: "0:0,1:0", leader: "2:0"})
	alter(TopicChange{Subtract: m{follower: "0:0,5:5"}, Set: m{"segment.bytes": "1048576"}},
		m{"segment.bytes": "1048576", "retention.ms": "7", follower: "1:0", leader: "2:0"})
	alter(TopicChange{ResetOthers: true, Set: m{"segment.bytes": "4194304"}, Append: m{leader: "3:0"}},
		m{"segment.bytes": "4194304", leader: "2:0,3:0"})
	_, err := e.AlterTopic("t", TopicChange{Append: m{"retention.ms": "1"}})
	matchError(t, err, topicconfig.ErrInvalidValue, "its type is long")
	alter(TopicChange{ResetOthers: true}, nil)
}

// A topic is deleted by its id, unless another one has its name by now.
func TestDeleteTopicByID(t *testing.T) {
	e := openEngine(t, t.TempDir())
	createTopic(t, e, "t")
	old, _ := e.Topic("t")
	if err := e.DeleteTopicByID(old.ID()); err != nil {
		t.Fatal(err)
	}
	createTopic(t, e, "t")
	matchError(t, e.DeleteTopicByID(old.ID()), ErrUnknownTopic, old.ID().String())
	if _, err := e.Topic("t"); err != nil {
		t.Error(err)
	}
}

// The size of a partition is that of its segments, while it grows, rolls, loses
// its oldest ones and is opened again.
func TestPartitionSize(t *testing.T) {
	e := openEngine(t, t.TempDir())
	p := createTopic(t, e, "t")
	check := func(p *Partition) int64 {
		t.Helper()
		var files int64
		for _, s := range p.log.list() {
			info, err := e.fs.Stat(s.name)
			if err != nil {
				t.Fatal(err)
			}
			files += info.Size()
		}
		if got := p.Size(); got != files {
			t.Errorf("size %d, the files have %d", got, files)
		}
		return files
	}
	if n := check(p); n != 0 {
		t.Errorf("size %d of an empty log", n)
	}
	tune(p, func(c *topicconfig.Config) { c.SegmentBytes = 100 })
	for i := range 5 {
		produceEach(t, p, fmt.Sprint("a value of some length ", i))
		check(p)
	}
	before := check(p)
	if _, err := p.DeleteRecords(3); err != nil {
		t.Fatal(err)
	}
	if n := check(p); n >= before {
		t.Errorf("%d bytes after a deletion, %d before", n, before)
	}
	for _, again := range []func(testing.TB, *Engine, ...func(*Options)) *Engine{reopen, recrash} {
		e = again(t, e)
		check(partition(t, e, "t"))
	}
	if err := e.DeleteTopic("t"); err != nil {
		t.Fatal(err)
	}
	if n := p.Size(); n != 0 {
		t.Errorf("size %d of a deleted partition", n)
	}
}

// A config that is set is in force for the next append.
func TestConfigTakesEffect(t *testing.T) {
	e := openEngine(t, t.TempDir())
	p := createTopic(t, e, "t")
	set := func(key, value string) {
		t.Helper()
		if _, err := e.AlterTopic("t", TopicChange{Set: map[string]string{key: value}}); err != nil {
			t.Fatal(err)
		}
	}
	big := func() error {
		return p.Produce(context.Background(), &AppendRequest{Batches: batchOf(t, 1, strings.Repeat("x", 700_000)), Acks: AcksAll})
	}
	if err := big(); err != nil {
		t.Fatal(err)
	}
	set("max.message.bytes", "1000")
	matchError(t, big(), ErrMessageTooLarge, "max.message.bytes is 1000")
	set("max.message.bytes", "1000000")
	set("segment.bytes", "1048576")
	if err := big(); err != nil {
		t.Fatal(err)
	}
	if n := len(p.log.list()); n != 2 {
		t.Errorf("%d segments, want 2: the second batch does not fit into the first", n)
	}
	set("min.insync.replicas", "2")
	matchError(t, big(), ErrNotEnoughReplicas, "wants 2")
}

// A deleted topic is gone for producers, readers and waiters at once; slices
// that are out stay readable; its files go; and the name is free.
func TestDeleteTopic(t *testing.T) {
	e := openEngine(t, t.TempDir())
	p := createTopic(t, e, "t")
	tune(p, segmentBytes(300))
	produceEach(t, p, numbered(20)...)
	want := logBytes(t, p)
	var slices []Slice
	for cursor := new(Cursor); ; {
		s, err := p.FetchNext(cursor, 100)
		if err != nil {
			t.Fatal(err)
		}
		if s.Len == 0 {
			break
		}
		slices = append(slices, s)
	}
	if err := e.DeleteTopic("t"); err != nil {
		t.Fatal(err)
	}
	if state, _ := p.State(); state != Deleted {
		t.Errorf("partition is %v", state)
	}
	r := &AppendRequest{Batches: batchOf(t, 1, "x")}
	p.Append(r)
	matchError(t, r.Err, ErrUnknownTopic, "t was deleted")
	_, err := p.Fetch(FetchRequest{MaxBytes: 1})
	matchError(t, err, ErrUnknownTopic, "t was deleted")
	_, err = p.Latest()
	matchError(t, err, ErrUnknownTopic, "t was deleted")
	_, _, err = p.EndOfEpoch(0)
	matchError(t, err, ErrUnknownTopic, "t was deleted")
	_, err = e.Topic("t")
	matchError(t, err, ErrUnknownTopic, `"t"`)
	anew := createTopic(t, e, "t")
	produceEach(t, anew, "new")
	awaitPurge(t, e)
	var got []byte
	for _, s := range slices {
		p := make([]byte, s.Len)
		if _, err := s.File.ReadAt(p, s.Position); err != nil {
			t.Fatal(err)
		}
		got = append(got, p...)
		s.Close()
	}
	if string(got) != string(want) {
		t.Errorf("the slices hold %d bytes that differ from the %d of the log", len(got), len(want))
	}
	holds(t, anew, "new")
	holds(t, partition(t, recrash(t, e), "t"), "new")
}

// A cursor into a deleted topic serves nothing of it to readers of the next
// topic of that name, although slices keep its files open.
func TestCursorOfDeletedTopic(t *testing.T) {
	e := openEngine(t, t.TempDir())
	p := createTopic(t, e, "t")
	produceEach(t, p, "old", "older")
	var cursor Cursor
	first, err := p.Fetch(FetchRequest{MaxBytes: 1, Cursor: &cursor})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if err := e.DeleteTopic("t"); err != nil {
		t.Fatal(err)
	}
	p = createTopic(t, e, "t")
	produceEach(t, p, "new", "newer")
	s, err := p.Fetch(FetchRequest{Offset: 1, MaxBytes: 1000, Cursor: &cursor})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got, err := s.ReadAll(nil); err != nil || !strings.Contains(string(got), "newer") {
		t.Errorf("fetched %q, %v, want the new topic's record", got, err)
	}
}

// The recovery point of a deleted topic is not that of the next one with its
// name, whether the process ran on between them or died.
func TestRecreateAfterCheckpoint(t *testing.T) {
	f := func(crashBetween bool) {
		t.Helper()
		e := openEngine(t, t.TempDir())
		produceEach(t, createTopic(t, e, "t"), numbered(100)...)
		if _, err := e.checkpoint(false); err != nil {
			t.Fatal(err)
		}
		if err := e.DeleteTopic("t"); err != nil {
			t.Fatal(err)
		}
		if crashBetween {
			e = recrash(t, e)
		}
		produceEach(t, createTopic(t, e, "t"), "new")
		e = recrash(t, e)
		p := partition(t, e, "t")
		if state, err := p.State(); state != Ready {
			t.Fatalf("partition is %v: %v", state, err)
		}
		holds(t, p, "new")
	}
	f(false)
	f(true)
}

// A process that dies at any step of creating a topic leaves it made or not
// made; nothing of it is in the way.
func TestCrashDuringCreate(t *testing.T) {
	crashAtEachStep(t, func(e *Engine) error {
		_, err := e.CreateTopic(TopicSpec{Name: "new", Partitions: 2})
		return err
	}, func(e *Engine, done bool) {
		topic, err := e.Topic("new")
		if done && err != nil {
			t.Errorf("the topic that was made is gone: %v", err)
		}
		if err != nil {
			if left, _ := filepath.Glob(filepath.Join(e.Path(), "new-*")); len(left) > 0 {
				t.Errorf("directories left: %v", left)
			}
			if topic, err = e.CreateTopic(TopicSpec{Name: "new", Partitions: 2}); err != nil {
				t.Fatal(err)
			}
		}
		for _, p := range topic.Partitions() {
			produceEach(t, p, "x")
			holds(t, p, "x")
		}
	})
}

// The same for adding partitions.
func TestCrashDuringGrowth(t *testing.T) {
	crashAtEachStep(t, func(e *Engine) error {
		_, err := e.AlterTopic("t", TopicChange{Partitions: 3})
		return err
	}, func(e *Engine, done bool) {
		topic, err := e.Topic("t")
		if err != nil {
			t.Fatal(err)
		}
		if n := len(topic.Partitions()); done && n != 3 {
			t.Errorf("%d partitions after 3 were promised", n)
		} else if n == 1 {
			if topic, err = e.AlterTopic("t", TopicChange{Partitions: 3}); err != nil {
				t.Fatal(err)
			}
		}
		holds(t, topic.Partitions()[0], numbered(5)...)
		for _, p := range topic.Partitions()[1:] {
			produceEach(t, p, "x")
			holds(t, p, "x")
		}
	})
}

// A process that dies at any step of deleting a topic leaves it whole or gone.
func TestCrashDuringDelete(t *testing.T) {
	crashAtEachStep(t, func(e *Engine) error {
		if err := e.DeleteTopic("t"); err != nil {
			return err
		}
		e.background.Wait() // for the removal; the checkpoints have ended
		return nil
	}, func(e *Engine, done bool) {
		if _, err := e.Topic("t"); err == nil {
			if done {
				t.Error("the deleted topic is back")
			}
			holds(t, partition(t, e, "t"), numbered(5)...)
			return
		}
		awaitPurge(t, e)
		if left, _ := filepath.Glob(filepath.Join(e.Path(), "t-*")); len(left) > 0 {
			t.Errorf("directories left: %v", left)
		}
		produceEach(t, createTopic(t, e, "t"), "new")
		holds(t, partition(t, e, "t"), "new")
	})
}

// crashAtEachStep runs change with a process that dies, or a write or sync that
// fails, at its first change of the disk, its second, and so on, and has check
// look at what the next start finds; done tells that change returned without an
// error.
func crashAtEachStep(t *testing.T, change func(*Engine) error, check func(e *Engine, done bool)) {
	t.Helper()
	from := t.TempDir()
	e := openEngine(t, from)
	produceEach(t, createTopic(t, e, "t"), numbered(5)...)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	for _, fault := range []error{errors.New("killed by the test"), syscall.ENOSPC, syscall.EIO} {
		for at := 1; ; at++ {
			fs := traceDir(t, copyDir(t, from))
			fs.noSync = true
			// Checkpoints would be steps too; only those of change count.
			e := openEngine(t, "", onFS(fs))
			e.stopCheckpoints()
			var count atomic.Int32
			fs.hook(func(c call) error {
				switch c.op {
				case "open", "read", "close", "readdir":
					return nil
				}
				n := int(count.Add(1))
				if n == at || n > at && !errors.Is(fault, syscall.ENOSPC) {
					return fault
				}
				return nil
			})
			err := change(e)
			e.fail(errors.New("killed by the test"))
			e.Close()
			fs.hook(nil)
			if names := fs.leaked(); len(names) > 0 {
				t.Errorf("%v at step %d: files left open: %v", fault, at, names)
			}
			e = openEngine(t, fs.Path())
			check(e, err == nil)
			e.Close()
			if t.Failed() {
				t.Fatalf("%v at step %d: %v", fault, at, err)
			}
			if int(count.Load()) < at {
				if err != nil || at < 4 {
					t.Errorf("the change took %d steps and ended with %v", at-1, err)
				}
				break
			}
		}
	}
}

// stopCheckpoints ends the background work of an engine that is about to die.
func (e *Engine) stopCheckpoints() {
	close(e.stopBackground)
	e.background.Wait()
	e.stopBackground = make(chan struct{}) // for Close
}

// A topic that is deleted while it is recovered takes nothing else with it.
func TestDeleteDuringRecovery(t *testing.T) {
	for _, op := range []string{"read", "datasync", "syncdir", "open"} {
		dir := crashedLog(t, 20, 5)
		e := openEngine(t, dir)
		produceEach(t, createTopic(t, e, "other"), "0")
		crash(t, e)
		os.Remove(filepath.Join(dir, recoveryPointFile))
		fs := traceDir(t, dir)
		var running atomic.Pointer[Engine]
		opened := make(chan struct{})
		var once sync.Once
		fs.hook(func(c call) error {
			if c.op == op && strings.HasPrefix(c.name, "t-0") {
				once.Do(func() {
					<-opened
					if err := running.Load().DeleteTopic("t"); err != nil {
						t.Errorf("%s: delete: %v", op, err)
					}
				})
			}
			return nil
		})
		e, err := Open("", Options{FS: fs, Log: quiet})
		if err != nil {
			t.Fatal(err)
		}
		running.Store(e)
		close(opened)
		e.WaitReady(context.Background())
		if err := e.Failure(); err != nil {
			t.Errorf("%s: the directory has stopped: %v", op, err)
		}
		awaitPurge(t, e)
		holds(t, partition(t, e, "other"), "0")
		if err := e.Close(); err != nil {
			t.Errorf("%s: close: %v", op, err)
		}
		if names := fs.leaked(); len(names) > 0 {
			t.Errorf("%s: files left open: %v", op, names)
		}
	}
}

// A topic that is deleted while a checkpoint syncs its indexes takes nothing
// else with it.
func TestDeleteDuringCheckpoint(t *testing.T) {
	for _, op := range []string{"datasync", "syncdir"} {
		fs := traceDir(t, t.TempDir())
		e := openEngine(t, "", onFS(fs))
		p := createTopic(t, e, "t", "index.interval.bytes", "100")
		tune(p, segmentBytes(700))
		produceEach(t, p, numbered(30)...)
		var once sync.Once
		fs.hook(func(c call) error {
			if c.op == op && strings.HasPrefix(c.name, "t-0") {
				once.Do(func() {
					if err := e.DeleteTopic("t"); err != nil {
						t.Error(err)
					}
					for left := true; left; { // as slow as a sync can be
						_, err := os.Stat(filepath.Join(e.Path(), "t-0"))
						left = err == nil
					}
				})
			}
			return nil
		})
		if _, err := e.checkpoint(false); err != nil {
			t.Errorf("%s: checkpoint: %v", op, err)
		}
		if err := e.Failure(); err != nil {
			t.Errorf("%s: the directory has stopped: %v", op, err)
		}
		awaitPurge(t, e)
		produceEach(t, createTopic(t, e, "t"), "new")
		if err := e.Close(); err != nil {
			t.Errorf("%s: close: %v", op, err)
		}
		if names := fs.leaked(); len(names) > 0 {
			t.Errorf("%s: files left open: %v", op, names)
		}
	}
}

// Directories of an interrupted creation go at the next start; unknown ones, and
// files, are reported and left as they are.
func TestSweep(t *testing.T) {
	e := openEngine(t, t.TempDir())
	produceEach(t, createTopic(t, e, "t"), "0")
	dir := e.Path()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	mk := func(name string, files ...string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if err := os.WriteFile(filepath.Join(dir, name, file), encodePartitionMetadata(NewTopicID()), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	mk("begun-0")
	mk("begun-1", partitionMetadataFile)
	mk("begun-2", partitionMetadataFile+tempSuffix)
	mk("stranger")
	mk("stranger-0", partitionMetadataFile, firstLog)
	mk("t-7", firstLog)
	mk(deletedDirName("gone", 3, NewTopicID()), firstLog, partitionMetadataFile)
	if err := os.WriteFile(filepath.Join(dir, "note.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "t-0", "note.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	log := new(lines)
	e = openEngine(t, dir, log.use)
	awaitPurge(t, e)
	holds(t, partition(t, e, "t"), "0")
	for _, name := range []string{"stranger", "stranger-0/" + firstLog, "t-7/" + firstLog, "note.txt", "t-0/note.txt"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Errorf("%s is gone: %v", name, err)
		}
	}
	for _, name := range []string{"begun-0", "begun-1", "begun-2"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
	for _, name := range []string{"dir=stranger", "dir=stranger-0", "dir=t-7", "file=t-0/note.txt"} {
		if !strings.Contains(log.String(), name) {
			t.Errorf("%s was not reported", name)
		}
	}
	// A directory in the way of a topic is an error, not an adoption.
	if _, err := e.CreateTopic(TopicSpec{Name: "stranger"}); err == nil {
		t.Error("a topic took over a directory that it does not own")
	}
}

// A second engine on the directory is refused, with what to do, and disturbs
// nothing.
func TestSecondEngineIsRefused(t *testing.T) {
	e := openEngine(t, t.TempDir())
	p := createTopic(t, e, "t")
	_, err := Open(e.Path(), Options{Log: quiet})
	matchError(t, err, vfs.ErrLocked, "choose another directory")
	produceEach(t, p, "0")
	holds(t, p, "0")
	reopen(t, e)
}

// Options out of range are named.
func TestOptionsRefusals(t *testing.T) {
	f := func(want string, o Options) {
		t.Helper()
		o.Log = quiet
		e, err := Open(t.TempDir(), o)
		if err == nil {
			e.Close()
		}
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	f("NodeID is -1", Options{NodeID: -1})
	f("DefaultPartitions is -1", Options{DefaultPartitions: -1})
	f("MaxPartitions is -1", Options{MaxPartitions: -1})
	f("CheckpointInterval is -1", Options{CheckpointInterval: -1})
	f("SyncParallelism is -1", Options{SyncParallelism: -1})
	f("RecoveryParallelism is -1", Options{RecoveryParallelism: -1})
	f("no.such", Options{TopicDefaults: map[string]string{"no.such": "1"}})
}

// A closed engine refuses everything by name, a second Close too.
func TestClosed(t *testing.T) {
	e := openEngine(t, t.TempDir())
	p := createTopic(t, e, "t")
	produceEach(t, p, "0")
	slice, err := p.Fetch(FetchRequest{MaxBytes: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := slice.ReadAll(nil); err != nil || !strings.Contains(string(got), "0") {
		t.Errorf("a slice of before: %q, %v", got, err)
	}
	slice.Close()
	_, createErr := e.CreateTopic(TopicSpec{Name: "x"})
	_, alterErr := e.AlterTopic("t", TopicChange{Partitions: 2})
	_, fetchErr := p.Fetch(FetchRequest{MaxBytes: 1})
	for i, err := range []error{
		e.Close(), createErr, alterErr, fetchErr, e.DeleteTopic("t"),
		p.Produce(context.Background(), &AppendRequest{Batches: batchOf(t, 1, "x")}),
		p.AwaitHighWatermark(context.Background(), 9),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("call %d: %v, want %v", i, err, ErrClosed)
		}
	}
}

// Topics are described with every config that Kafka knows; the value in force,
// and where it comes from, is that of the topic, the node or the default.
func TestTopicConfigs(t *testing.T) {
	e := openEngine(t, t.TempDir(), func(o *Options) { o.TopicDefaults = map[string]string{"flush.ms": "77"} })
	createTopic(t, e, "t", "segment.ms", "99")
	topic, err := e.Topic("t")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"flush.ms=77", "segment.ms=99"}
	var got []string
	for _, c := range topic.Configs() {
		if line := c.Name + "=" + c.Value; slices.Contains(want, line) {
			got = append(got, line)
		}
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("configs %v, want %v", got, want)
	}
}
