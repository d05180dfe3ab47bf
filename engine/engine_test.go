package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/engine/topicconfig"
	"github.com/rollway/rollway/engine/vfs"
)

// quiet keeps what engines log out of the tests' output.
var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// boots numbers the boots of tests: each open is in one of its own, so that what
// is wrong at the end of a log may have been torn by a power cut.
var boots atomic.Int64

// sameBoot opens as if only the process had died.
func sameBoot(o *Options) { o.BootID = "boot of the test" }

// openEngine opens dir, waits until it is ready and closes it with the test. It
// has no floor and no ballast unless a change says so: what a test finds must
// not depend on how full the disk is. It has no journal either.
func openEngine(t testing.TB, dir string, change ...func(*Options)) *Engine {
	t.Helper()
	options := Options{
		Log: quiet, RetentionInterval: 1000 * time.Hour, MinFreeBytes: -1, BallastBytes: -1, JournalBytes: -1,
		BootID: fmt.Sprint("boot ", boots.Add(1)),
	}
	for _, c := range change {
		c(&options)
	}
	e, err := Open(dir, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	if err := e.WaitReady(context.Background()); err != nil {
		t.Fatal(err)
	}
	return e
}

// createTopic makes a topic and returns its partition 0.
func createTopic(t testing.TB, e *Engine, name string, configs ...string) *Partition {
	t.Helper()
	spec := TopicSpec{Name: name, Configs: map[string]string{}}
	for i := 0; i < len(configs); i += 2 {
		spec.Configs[configs[i]] = configs[i+1]
	}
	topic, err := e.CreateTopic(spec)
	if err != nil {
		t.Fatal(err)
	}
	return topic.Partitions()[0]
}

// batchOf builds a batch with these values, timestamped one ms apart from
// timestamp on.
func batchOf(t testing.TB, timestamp int64, values ...string) []byte {
	t.Helper()
	return batchBy(t, nil, timestamp, values...)
}

// batchBy is batchOf an idempotent producer, if that is not nil.
func batchBy(t testing.TB, producer *record.Producer, timestamp int64, values ...string) []byte {
	t.Helper()
	var b record.Builder
	b.Reset(record.BuilderOptions{Producer: producer})
	for i, v := range values {
		if err := b.Append(timestamp+int64(i), nil, []byte(v)); err != nil {
			t.Fatal(err)
		}
	}
	out, err := b.Build(nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func produce(t testing.TB, p *Partition, batches []byte) *AppendRequest {
	t.Helper()
	r := &AppendRequest{Batches: batches, Acks: AcksAll}
	if err := p.Produce(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	return r
}

// values reads the partition from off to the high watermark in fetches of
// maxBytes.
func values(t testing.TB, p *Partition, off Offset, maxBytes int64) []string {
	t.Helper()
	var all []string
	var cursor Cursor
	for {
		s, err := p.Fetch(FetchRequest{Offset: off, MaxBytes: maxBytes, Cursor: &cursor})
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.ReadAll(nil)
		if err != nil {
			t.Fatal(err)
		}
		length := s.Len
		s.Close()
		if length == 0 {
			return all
		}
		if len(got) == 0 {
			t.Fatalf("fetch at %d of %d bytes holds no whole batch", off, length)
		}
		for len(got) > 0 {
			var b record.Batch
			if b, got, err = record.Next(got); err != nil {
				t.Fatal(err)
			}
			if err := b.Verify(); err != nil {
				t.Fatal(err)
			}
			raw, err := b.Decompress(nil, 1<<26)
			if err != nil {
				t.Fatal(err)
			}
			it := b.Iterate(raw)
			for it.Next() {
				if r := it.Record(); r.Offset >= off {
					if r.Offset != off {
						t.Fatalf("record at offset %d, want %d", r.Offset, off)
					}
					all = append(all, string(r.Value))
					off++
				}
			}
		}
	}
}

// onFS has an engine use fs.
func onFS(fs vfs.FS) func(*Options) {
	return func(o *Options) { o.FS = fs }
}

// partition returns partition 0 of a topic.
func partition(t testing.TB, e *Engine, topic string) *Partition {
	t.Helper()
	p, err := e.Partition([]byte(topic), 0)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// tune puts a config in force that users cannot set, such as tiny segments.
func tune(p *Partition, change func(*topicconfig.Config)) {
	config := *p.log.config()
	change(&config)
	p.configure(&config)
}

// segmentBytes tunes the size of segments.
func segmentBytes(bytes int64) func(*topicconfig.Config) {
	return func(c *topicconfig.Config) { c.SegmentBytes = bytes }
}

// logBytes joins the .log files of a partition.
func logBytes(t testing.TB, p *Partition) []byte {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(p.engine.Path(), p.dir, "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	for _, name := range names { // Glob sorts
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, content...)
	}
	return all
}

// edit replaces the content of a file.
func edit(t testing.TB, change func([]byte) []byte, elem ...string) {
	t.Helper()
	name := filepath.Join(elem...)
	content, err := os.ReadFile(name)
	if err == nil {
		err = os.WriteFile(name, change(content), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// reopen closes an engine cleanly and opens its directory again.
func reopen(t testing.TB, e *Engine, change ...func(*Options)) *Engine {
	t.Helper()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return openEngine(t, e.Path(), change...)
}

// recrash has a process die and opens its directory again.
func recrash(t testing.TB, e *Engine, change ...func(*Options)) *Engine {
	t.Helper()
	crash(t, e)
	return openEngine(t, e.Path(), change...)
}

// within fails the test if f takes a minute: it hangs.
func within(t testing.TB, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatalf("%s hangs", what)
	}
}

// numbered returns values "0" to "n-1".
func numbered(n int) []string {
	vs := make([]string, n)
	for i := range vs {
		vs[i] = fmt.Sprint(i)
	}
	return vs
}

// produceEach appends each value as a batch of its own, timestamped by its
// number.
func produceEach(t testing.TB, p *Partition, values ...string) {
	t.Helper()
	for _, v := range values {
		produce(t, p, batchOf(t, int64(p.log.next), v))
	}
}

// holds fails the test unless the partition holds exactly these values from
// its start on.
func holds(t testing.TB, p *Partition, want ...string) {
	t.Helper()
	if got := values(t, p, p.Offsets().LogStart, 1<<20); !slices.Equal(got, want) {
		t.Fatalf("%s holds %.200q, want %.200q", p, got, want)
	}
}

// What is produced is fetched, in every segment and fetch size, through the
// cursor and without it, again after a clean restart and after an unclean one.
func TestAppendFetchReopen(t *testing.T) {
	dir := t.TempDir()
	e := openEngine(t, dir)
	p := createTopic(t, e, "logs", "segment.bytes", "1048576", "index.interval.bytes", "100")
	p.log.settings.Load().SegmentBytes = 4000
	var want []string
	for i := range 300 {
		var vs []string
		for j := range 1 + i%4 {
			vs = append(vs, fmt.Sprintf("line %d.%d %s", i, j, bytes.Repeat([]byte("x"), i%50)))
		}
		r := produce(t, p, batchOf(t, int64(1000+i*10), vs...))
		if int(r.BaseOffset) != len(want) || int(r.NextOffset) != len(want)+len(vs) {
			t.Fatalf("offsets %d to %d, want from %d", r.BaseOffset, r.NextOffset, len(want))
		}
		want = append(want, vs...)
	}
	if n := len(p.log.list()); n < 5 {
		t.Fatalf("%d segments, want several", n)
	}
	check := func(p *Partition) {
		t.Helper()
		for _, maxBytes := range []int64{1, 100, 1000, 3000, 1 << 20} {
			for _, from := range []int{0, 1, 7, 100, len(want) - 1, len(want)} {
				got := values(t, p, Offset(from), maxBytes)
				if fmt.Sprint(got) != fmt.Sprint(want[from:]) {
					t.Fatalf("from %d by %d: %d values, want %d", from, maxBytes, len(got), len(want)-from)
				}
			}
		}
	}
	check(p)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	for round, clean := range []bool{true, false, true, false} {
		e := openEngine(t, dir)
		topic, err := e.Topic("logs")
		if err != nil {
			t.Fatal(err)
		}
		p := topic.Partitions()[0]
		p.log.settings.Load().SegmentBytes = 4000
		if state, err := p.State(); state != Ready {
			t.Fatalf("round %d: %v %v", round, state, err)
		}
		check(p)
		v := fmt.Sprintf("round %d", round)
		produce(t, p, batchOf(t, 9000, v))
		want = append(want, v)
		check(p)
		if clean {
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			continue
		}
		crash(t, e)
	}
}

// crash abandons an engine as a killed process would: nothing more is written.
func crash(t testing.TB, e *Engine) {
	t.Helper()
	boom := errors.New("killed by the test")
	e.fail(boom)
	if err := e.Close(); !errors.Is(err, boom) {
		t.Fatalf("close after a crash: %v", err)
	}
}

func TestFetchWait(t *testing.T) {
	e := openEngine(t, t.TempDir())
	p := createTopic(t, e, "t")
	s, err := p.FetchWait(context.Background(), FetchRequest{MaxBytes: 100}, 1, time.Millisecond)
	if err != nil || s.Len != 0 {
		t.Fatal(s, err)
	}
	hello := batchOf(t, 1, "hello")
	go p.Append(&AppendRequest{Batches: hello})
	s, err = p.FetchWait(context.Background(), FetchRequest{MaxBytes: 100}, 1, time.Minute)
	if err != nil || s.Len == 0 {
		t.Fatal(s, err)
	}
	s.Close()
}
