package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/engine/topicconfig"
	"github.com/rollway/rollway/engine/vfs"
)

// clock is a wall clock that stands until it is moved.
type clock struct{ ms atomic.Int64 }

// newClock returns a clock that shows the time of the files that are made now.
func newClock() *clock {
	c := new(clock)
	c.ms.Store(time.Now().UnixMilli())
	return c
}

// use has an engine go by the clock, and run no pass of retention by itself.
func (c *clock) use(o *Options) {
	o.Now = func() time.Time { return time.UnixMilli(c.ms.Load()) }
	o.RetentionInterval = 1000 * time.Hour
}

func (c *clock) now() int64 { return c.ms.Load() }

func (c *clock) advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }

// retained is a topic whose segments hold one batch each.
type retained struct {
	t      *testing.T
	clock  *clock
	fs     *tracedFS
	engine *Engine
	p      *Partition
}

func newRetained(t *testing.T, configs ...string) *retained {
	t.Helper()
	r := &retained{t: t, clock: newClock(), fs: traceDir(t, t.TempDir())}
	r.fs.noSync = true
	r.engine = openEngine(t, "", onFS(r.fs), r.clock.use)
	r.p = createTopic(t, r.engine, "t", configs...)
	return r
}

// produce appends a batch whose records are of now, less age, to a segment of
// its own.
func (r *retained) produce(age time.Duration, values ...string) {
	r.t.Helper()
	if a := r.p.log.active(); a != nil && a.size > 0 {
		if _, err := r.p.seal(a, func() bool { return true }); err != nil {
			r.t.Fatal(err)
		}
	}
	produce(r.t, r.p, batchOf(r.t, r.clock.now()-age.Milliseconds(), values...))
}

// produceDays appends "0", "1", ..., each a segment, the first so many days old,
// the others a day less each.
func (r *retained) produceDays(days ...int) {
	r.t.Helper()
	for _, day := range days {
		r.produce(time.Duration(day)*24*time.Hour, fmt.Sprint(int(r.p.log.next)))
	}
}

func (r *retained) reopen() {
	r.t.Helper()
	if err := r.engine.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.open()
}

func (r *retained) recrash() {
	r.t.Helper()
	crash(r.t, r.engine)
	r.open()
}

func (r *retained) open() {
	r.t.Helper()
	r.engine = openEngine(r.t, "", onFS(r.fs), r.clock.use)
	r.p = partition(r.t, r.engine, "t")
}

// files lists the partition's files of a pattern.
func (r *retained) files(pattern string) []string {
	r.t.Helper()
	names, err := filepath.Glob(filepath.Join(r.fs.Path(), "t-0", pattern))
	if err != nil {
		r.t.Fatal(err)
	}
	for i, name := range names {
		names[i] = filepath.Base(name)
	}
	return names
}

// bases wants segments with these bases in the log, and no other .log files.
func (r *retained) bases(want ...Offset) {
	r.t.Helper()
	var got []Offset
	var files []string
	for _, s := range r.p.log.list() {
		got = append(got, s.base)
		files = append(files, filepath.Base(s.name))
	}
	if !slices.Equal(got, want) || !slices.Equal(files, r.files("*.log")) {
		r.t.Fatalf("segments %v in files %v, want %v", got, r.files("*.log"), want)
	}
}

// offsets wants the log to begin and end there.
func (r *retained) offsets(start, end Offset) {
	r.t.Helper()
	if o := r.p.Offsets(); o.LogStart != start || o.LogEnd != end || o.HighWatermark != end {
		r.t.Fatalf("offsets %+v, want %d to %d", o, start, end)
	}
}

const day = 24 * time.Hour

// Segments whose newest record is older than retention.ms go, from the first to
// the first that stays: an old one behind a young one stays, and so does what is
// exactly as old as allowed.
func TestRetentionByTime(t *testing.T) {
	f := func(ms string, start Offset, ages ...int) {
		t.Helper()
		r := newRetained(t, "retention.ms", ms)
		r.produceDays(ages...)
		r.produceDays(0)
		r.engine.retain()
		end := Offset(len(ages)) + 1
		r.offsets(start, end)
		holds(t, r.p, numbered(int(end))[start:]...)
		if _, err := r.p.Fetch(FetchRequest{Offset: start - 1, MaxBytes: 1}); !errors.Is(err, ErrOffsetOutOfRange) {
			t.Errorf("fetch below the start: %v", err)
		}
	}
	week := fmt.Sprint((7 * day).Milliseconds())
	f(week, 0, 6, 5)
	f(week, 0, 7)
	f(week, 1, 8, 6)
	f(week, 3, 10, 9, 8, 7)
	f(week, 1, 10, 6, 10)
	f("-1", 0, 10000)
	f("0", 2, 2, 1) // the last one is of this very moment
	f(fmt.Sprint(int64(math.MaxInt64)), 0, 10000)
}

// The oldest segment goes while the others have at least retention.bytes, as in
// Kafka; 0 keeps nothing.
func TestRetentionBySize(t *testing.T) {
	size := int64(len(batchOf(t, time.Now().UnixMilli(), "0")))
	f := func(bytes int64, start Offset) {
		t.Helper()
		r := newRetained(t, "retention.bytes", fmt.Sprint(bytes))
		r.produceDays(0, 0, 0, 0)
		r.engine.retain()
		r.offsets(start, 4)
		holds(t, r.p, numbered(4)[start:]...)
	}
	f(-1, 0)
	f(4*size, 0)
	f(3*size+1, 0)
	f(3*size, 1)
	f(2*size+1, 1)
	f(size, 3)
	f(1, 3)
	f(0, 4)
	f(math.MinInt64, 0)
}

// An empty cleanup.policy keeps everything.
func TestRetentionIsOff(t *testing.T) {
	r := newRetained(t, "cleanup.policy", "", "retention.ms", "1", "retention.bytes", "0")
	r.produceDays(10, 9)
	r.engine.retain()
	r.offsets(0, 2)
}

// A config that is altered is in force in the next pass.
func TestRetentionIsAltered(t *testing.T) {
	r := newRetained(t)
	r.produceDays(3, 2, 1)
	r.engine.retain()
	r.offsets(0, 3)
	if _, err := r.engine.AlterTopic("t", TopicChange{Set: map[string]string{"retention.ms": fmt.Sprint((36 * time.Hour).Milliseconds())}}); err != nil {
		t.Fatal(err)
	}
	r.engine.retain()
	r.offsets(2, 3)
}

// A topic that nobody writes to any more empties: its active segment is sealed
// and deleted too. Its log keeps its end, over clean and unclean starts, and
// goes on there.
func TestRetentionOfActiveSegment(t *testing.T) {
	r := newRetained(t)
	r.produceDays(10, 8)
	r.produce(day, "2", "3", "4")
	r.clock.advance(6 * day)
	r.engine.retain()
	r.offsets(2, 5)
	r.bases(2)
	r.clock.advance(day)
	r.engine.retain()
	r.offsets(5, 5)
	r.bases(5)
	for round := range 4 {
		r.engine.retain()
		if round%2 == 0 {
			r.reopen()
		} else {
			r.recrash()
		}
		r.offsets(5, 5)
		r.bases(5)
	}
	if s, err := r.p.Fetch(FetchRequest{Offset: 5, MaxBytes: 1}); err != nil || s.Len != 0 {
		t.Fatalf("fetch at the end: %d bytes, %v", s.Len, err)
	}
	if got := produce(t, r.p, batchOf(t, r.clock.now(), "5")); got.BaseOffset != 5 {
		t.Fatalf("appended at %d, want 5", got.BaseOffset)
	}
	holds(t, r.p, "5")
	r.recrash()
	holds(t, r.p, "5")
}

// Nothing goes that is above the high watermark, expired or not: what is not
// durable yet has been seen by nobody.
func TestRetentionBelowHighWatermark(t *testing.T) {
	r := newRetained(t, "retention.bytes", "0")
	r.produceDays(0)
	blocked, release := make(chan struct{}), make(chan struct{})
	r.fs.hook(func(c call) error {
		if c.isLog("datasync") {
			blocked <- struct{}{}
			<-release
		}
		return nil
	})
	r.p.Append(&AppendRequest{Batches: batchOf(t, r.clock.now()-(30*day).Milliseconds(), "1"), Acks: AcksAll})
	<-blocked
	r.engine.retain()
	if o := r.p.Offsets(); o.LogStart != 0 || o.HighWatermark != 1 || o.LogEnd != 2 {
		t.Errorf("offsets %+v while the commit runs", o)
	}
	r.fs.hook(nil)
	close(release)
	if err := r.p.AwaitHighWatermark(context.Background(), 2); err != nil {
		t.Fatal(err)
	}
	r.engine.retain()
	r.offsets(2, 2)
}

// segment.ms seals a segment that nothing is appended to any more, by the clock
// and once: an empty one has nothing to seal.
func TestIdleSegmentIsSealed(t *testing.T) {
	r := newRetained(t, "segment.ms", fmt.Sprint(day.Milliseconds()), "retention.ms", "-1")
	r.produce(0, "0")
	r.engine.retain()
	r.clock.advance(day)
	r.engine.retain()
	r.bases(0)
	r.clock.advance(time.Millisecond)
	r.engine.retain()
	r.bases(0, 1)
	r.clock.advance(10 * day)
	r.engine.retain()
	r.bases(0, 1)
	r.reopen()
	r.bases(0, 1)
	r.offsets(0, 1)
	produce(t, r.p, batchOf(t, r.clock.now(), "1"))
	r.bases(0, 1)
	holds(t, r.p, "0", "1")
}

// Records without timestamps, and a record from 2099 that is there from before
// there was a bound, count by the age of the file. With the bound taken away
// such a record keeps its segment, as asked for.
func TestRetentionByFileTime(t *testing.T) {
	f := func(name string, newest int64, configs []string, want Offset) {
		t.Helper()
		r := newRetained(t, append(configs, "retention.ms", fmt.Sprint((7*day).Milliseconds()))...)
		var b record.Builder
		b.Reset(record.BuilderOptions{})
		if err := b.Append(newest, nil, []byte("0")); err != nil {
			t.Fatal(err)
		}
		batch, err := b.Build(nil)
		if err != nil {
			t.Fatal(err)
		}
		if newest > 0 {
			tune(r.p, func(c *topicconfig.Config) { c.TimestampAfterMaxMs = math.MaxInt64 })
		}
		produce(t, r.p, batch)
		for range 2 { // what memory knows, and what a start finds
			if len(configs) == 0 {
				tune(r.p, func(c *topicconfig.Config) { c.TimestampAfterMaxMs = topicconfig.Default().TimestampAfterMaxMs })
			}
			r.clock.advance(3 * day)
			r.engine.retain()
			r.offsets(0, 1)
			r.recrash()
		}
		r.clock.advance(2 * day)
		r.engine.retain()
		if got := r.p.Offsets().LogStart; got != want {
			t.Errorf("%s: log start %d, want %d", name, got, want)
		}
	}
	far := time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	f("no timestamps", noTimestamp, nil, 1)
	f("from 2099", far, nil, 1)
	f("from 2099, allowed", far, []string{"message.timestamp.after.max.ms", fmt.Sprint(int64(math.MaxInt64))}, 0)
}

// A timestamp too far from the clock is refused, before anything is appended;
// no timestamp is not, nor anything where the broker sets them.
func TestTimestampBounds(t *testing.T) {
	f := func(configs []string, first, newest time.Duration, want string) {
		t.Helper()
		clock := newClock()
		e := openEngine(t, t.TempDir(), clock.use)
		p := createTopic(t, e, "t", configs...)
		var b record.Builder
		b.Reset(record.BuilderOptions{Codec: record.CodecLZ4})
		for _, offset := range []time.Duration{first, newest} {
			if err := b.Append(clock.now()+offset.Milliseconds(), nil, nil); err != nil {
				t.Fatal(err)
			}
		}
		batch, err := b.Build(nil)
		if err != nil {
			t.Fatal(err)
		}
		r := &AppendRequest{Batches: append(batchOf(t, clock.now(), "good"), batch...), Acks: AcksAll}
		p.Append(r)
		if want == "" {
			if r.Err != nil {
				t.Errorf("%v %v %v: %v", configs, first, newest, r.Err)
			}
			return
		}
		matchError(t, r.Err, ErrInvalidTimestamp, want)
		if o := p.Offsets(); o.LogEnd != 0 {
			t.Errorf("%v %v %v: appended all the same", configs, first, newest)
		}
	}
	limits := []string{"message.timestamp.before.max.ms", "1000", "message.timestamp.after.max.ms", "5000"}
	f(nil, -50*365*day, time.Hour, "")
	f(nil, 0, time.Hour+time.Millisecond, "3600001 ms after the clock; message.timestamp.after.max.ms is 3600000")
	f(limits, -time.Second, 5*time.Second, "")
	f(limits, -1001*time.Millisecond, 0, "1001 ms before the clock; message.timestamp.before.max.ms is 1000")
	f(limits, 0, 5001*time.Millisecond, "5001 ms after the clock; message.timestamp.after.max.ms is 5000")
	f(append(limits, "message.timestamp.type", "LogAppendTime"), -time.Hour, time.Hour, "")

	p := createTopic(t, openEngine(t, t.TempDir()), "t", limits...)
	produce(t, p, batchOf(t, noTimestamp, "none"))
}

// Old timestamps of a producer have its records deleted by the next pass, as in
// Kafka, unless message.timestamp.before.max.ms says that they are a mistake:
// then they are refused.
func TestKIP937OldTimestamps(t *testing.T) {
	r := newRetained(t)
	r.produce(30*day, "0")
	r.produce(0, "1")
	r.engine.retain()
	r.offsets(1, 2)

	if _, err := r.engine.AlterTopic("t", TopicChange{Set: map[string]string{"message.timestamp.before.max.ms": fmt.Sprint(day.Milliseconds())}}); err != nil {
		t.Fatal(err)
	}
	late := &AppendRequest{Batches: batchOf(t, r.clock.now()-(30*day).Milliseconds(), "late"), Acks: AcksAll}
	r.p.Append(late)
	matchError(t, late.Err, ErrInvalidTimestamp, "before the clock")
	future := &AppendRequest{Batches: batchOf(t, r.clock.now()+(30*365*day).Milliseconds(), "2099"), Acks: AcksAll}
	r.p.Append(future)
	matchError(t, future.Err, ErrInvalidTimestamp, "after the clock")
	r.offsets(1, 2)
}

// A time index that is padded with zeros, or is missing, empty, cut or garbage, says
// nothing about the age of its segment: it is rebuilt, and nothing goes too early.
func TestKafka10207DeletesNothingEarly(t *testing.T) {
	f := func(name string, change func([]byte) []byte) {
		t.Helper()
		r := newRetained(t, "index.interval.bytes", "0")
		for age := range 3 { // of one segment, the oldest a week and a half old
			produce(t, r.p, batchOf(t, r.clock.now()-(time.Duration(10-2*age)*day).Milliseconds(), "x"))
		}
		r.produceDays(5)
		if err := r.engine.Close(); err != nil {
			t.Fatal(err)
		}
		edit(t, change, r.fs.Path(), "t-0", "00000000000000000000.timeindex")
		r.open()
		r.engine.retain()
		if o := r.p.Offsets(); o.LogStart != 0 {
			t.Fatalf("%s: log start %d, want 0", name, o.LogStart)
		}
		r.clock.advance(day + time.Minute)
		r.engine.retain()
		r.offsets(3, 4)
	}
	f("padded", func(p []byte) []byte { return append(p, make([]byte, 5*timeEntryWidth)...) })
	f("cut between two entries", func(p []byte) []byte { return p[:2*timeEntryWidth] })
	f("cut behind the first", func(p []byte) []byte { return p[:timeEntryWidth] })
	f("one entry of zeros", func(p []byte) []byte { return make([]byte, timeEntryWidth) })
	f("zeros", func(p []byte) []byte { return make([]byte, len(p)) })
	f("empty", func([]byte) []byte { return nil })
	f("cut", func(p []byte) []byte { return p[:len(p)-1] })
	f("garbage", func(p []byte) []byte { return bytes.Repeat([]byte{0xff}, len(p)) })
	f("offset beyond the segment", func(p []byte) []byte { return append(p[:len(p)-1], 77) })
}

// Deleting a segment whose files are gone already, some or all, is no error: not
// by a pass, not at a start that finds the rest.
func TestKafka6324DeleteMissingFiles(t *testing.T) {
	all := []string{".log", ".index", ".timeindex", ".txnindex"}
	for missing := range 1 << len(all) {
		r := newRetained(t)
		r.produceDays(10, 0)
		dir := filepath.Join(r.fs.Path(), "t-0")
		for i, suffix := range all {
			name := filepath.Join(dir, "00000000000000000000"+suffix)
			if missing&(1<<i) == 0 {
				os.WriteFile(name, nil, 0o600)
			} else {
				os.Remove(name)
			}
		}
		r.engine.retain()
		r.offsets(1, 2)
		r.bases(1)
		if left := r.files("00000000000000000000.*"); len(left) != len(r.files("*.deleted")) || r.engine.Failure() != nil {
			t.Fatalf("missing %04b: left %v", missing, left)
		}
		r.recrash()
		r.awaitUnlink("00000000000000000000.*")
		holds(t, r.p, "1")
	}
}

// awaitUnlink waits until no file of that pattern is left, but not for
// file.delete.delay.ms to be over.
func (r *retained) awaitUnlink(pattern string) {
	r.t.Helper()
	hurryRemovals(r.engine)
	within(r.t, "the removal of deleted files", func() {
		for len(r.files(pattern)) > 0 {
			time.Sleep(time.Millisecond)
		}
	})
}

// The files of a deleted segment are renamed at once, and unlinked when
// file.delete.delay.ms is over, by the config of the deletion; or by a start.
func TestFileDeleteDelay(t *testing.T) {
	r := newRetained(t, "file.delete.delay.ms", "5000")
	r.produceDays(10, 9, 0)
	r.engine.retain()
	r.bases(2)
	want := []string{
		"00000000000000000000.index.deleted", "00000000000000000000.log.deleted", "00000000000000000000.timeindex.deleted",
		"00000000000000000001.index.deleted", "00000000000000000001.log.deleted", "00000000000000000001.timeindex.deleted",
	}
	if got := r.files("*.deleted"); !slices.Equal(got, want) {
		t.Fatalf("renamed %v, want %v", got, want)
	}
	r.clock.advance(4999 * time.Millisecond)
	r.engine.removeDue()
	if got := r.files("*.deleted"); !slices.Equal(got, want) {
		t.Fatalf("left %v, want %v", got, want)
	}
	r.clock.advance(time.Millisecond)
	r.engine.removeDue()
	if got := r.files("*.deleted"); len(got) != 0 {
		t.Fatalf("left %v", got)
	}

	r.produceDays(9, 0)
	r.engine.retain()
	r.bases(2, 3, 4) // segment 3 is old, but not the first
	r.clock.advance(8 * day)
	r.engine.retain()
	if got := r.files("*.deleted"); len(got) == 0 {
		t.Fatal("nothing was renamed")
	}
	r.recrash()
	r.awaitUnlink("*.deleted")
}

// The directories of a deleted topic wait for file.delete.delay.ms too, and the
// name is free meanwhile.
func TestDeletedTopicWaits(t *testing.T) {
	clock := newClock()
	e := openEngine(t, t.TempDir(), clock.use)
	produce(t, createTopic(t, e, "t", "file.delete.delay.ms", "5000"), batchOf(t, 1, "old"))
	if err := e.DeleteTopic("t"); err != nil {
		t.Fatal(err)
	}
	left := func() int {
		dirs, _ := filepath.Glob(filepath.Join(e.Path(), "*-delete"))
		return len(dirs)
	}
	holds(t, createTopic(t, e, "t"))
	clock.advance(4999 * time.Millisecond)
	e.removeDue()
	if left() != 1 {
		t.Fatalf("%d directories wait, want 1", left())
	}
	clock.advance(time.Millisecond)
	e.removeDue()
	if left() != 0 || len(e.metadata.Image().Deleted) != 0 {
		t.Fatalf("%d directories left, deleted topics %v", left(), e.metadata.Image().Deleted)
	}
	holds(t, partition(t, e, "t"))
}

// A slice that is out stays valid while its segment is deleted, renamed and
// unlinked; readers who come later are told that the offsets are gone, through
// a cursor and in a stream too; no file stays open.
func TestReadersOfDeletedSegments(t *testing.T) {
	r := newRetained(t)
	r.produce(10*day, "0", strings.Repeat("x", 5000))
	r.produceDays(0)
	var cursor Cursor
	whole, err := r.p.Fetch(FetchRequest{MaxBytes: 1, Cursor: &cursor})
	if err != nil {
		t.Fatal(err)
	}
	next, err := r.p.Seek(0)
	if err != nil {
		t.Fatal(err)
	}
	half, err := r.p.FetchNext(&next, 100)
	if err != nil {
		t.Fatal(err)
	}
	want := sliceBytes(t, &half)
	pinned, err := r.p.FetchNext(&next, 100)
	if err != nil {
		t.Fatal(err)
	}
	at := next
	r.engine.retain()
	r.offsets(2, 3)
	r.awaitUnlink("00000000000000000000.*")
	if got := sliceBytes(t, &pinned); len(got) != 100 {
		t.Fatalf("%d bytes of a slice that was out", len(got))
	}
	batches, err := whole.ReadAll(nil)
	whole.Close()
	if err != nil || record.Batch(batches).Verify() != nil || !bytes.HasPrefix(batches, want) {
		t.Fatalf("a slice that was out: %d bytes, %v", len(batches), err)
	}
	_, err = r.p.FetchNext(&at, 100)
	matchError(t, err, ErrOffsetOutOfRange, "offsets start at 2")
	_, err = r.p.Fetch(FetchRequest{Offset: 1, MaxBytes: 1, Cursor: &cursor})
	matchError(t, err, ErrOffsetOutOfRange, "asked for 1")
	_, err = r.p.Seek(0)
	matchError(t, err, ErrOffsetOutOfRange, "asked for 0")
	if got, err := r.p.OffsetByTime(0); err != nil || got.Offset != 2 {
		t.Fatalf("offset by time %+v, %v", got, err)
	}
	if got, err := r.p.Earliest(); err != nil || got.Offset != 2 {
		t.Fatalf("earliest %+v, %v", got, err)
	}
	if err := r.engine.Close(); err != nil {
		t.Fatal(err)
	}
	if names := r.fs.leaked(); len(names) > 0 {
		t.Errorf("files left open: %v", names)
	}
}

// A reader who has a segment and opens its files only when they have another
// name is told the same as one who comes later.
func TestReaderMeetsRenamedFiles(t *testing.T) {
	f := func(name string, read func(p *Partition, c *Cursor) error, want error) {
		t.Helper()
		r := newRetained(t)
		r.produceDays(10, 0)
		r.recrash() // no file of the first segment is open
		c, err := r.p.Seek(0)
		if err != nil {
			t.Fatal(err)
		}
		r.reopen()
		c.segment = r.p.log.list()[0]
		if !c.segment.pin() { // as another reader does
			t.Fatal("no segment")
		}
		defer c.segment.Release()
		list := r.p.log.list()
		r.engine.retain()
		r.offsets(1, 2)
		r.p.log.segments.Store(&list) // the reader has loaded it before
		if err := read(r.p, &c); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
		if err := r.engine.Failure(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		kept := list[1:]
		r.p.log.segments.Store(&kept)
	}
	f("FetchNext", func(p *Partition, c *Cursor) error {
		_, err := p.FetchNext(c, 1)
		return err
	}, ErrOffsetOutOfRange)
	f("OffsetByTime", func(p *Partition, c *Cursor) error {
		found, err := p.OffsetByTime(0)
		if found.Offset != 1 {
			return fmt.Errorf("found %+v, %w", found, err)
		}
		return err
	}, nil)
	f("OffsetOfMaxTimestamp", func(p *Partition, c *Cursor) error {
		found, err := p.OffsetOfMaxTimestamp()
		if found.Offset != 1 {
			return fmt.Errorf("found %+v, %w", found, err)
		}
		return err
	}, nil)
}

// One segment after the other gets its new name, durably, the oldest first: so
// a power cut in between leaves a log without a gap. Nothing is unlinked before
// its delay is over, and nothing else is synced or written.
func TestDeletionOrder(t *testing.T) {
	r := newRetained(t)
	r.produceDays(10, 9, 0)
	r.fs.reset()
	r.engine.retain()
	var got []string
	for _, c := range r.fs.calls {
		if c.op == "rename" && !strings.HasSuffix(c.name, ".log.deleted") || c.op == "close" {
			continue
		}
		got = append(got, c.String())
	}
	want := []string{
		"rename t-0/00000000000000000000.log.deleted", "syncdir t-0",
		"rename t-0/00000000000000000001.log.deleted", "syncdir t-0",
	}
	if !slices.Equal(got, want) {
		t.Errorf("calls %q, want %q", got, want)
	}
}

// A rename that fails is tried again by the next pass, and the segments behind
// it wait for it; the log goes on. A failed unlink is tried again after an
// interval. A directory that cannot be synced stops everything.
func TestDiskErrorsWhileDeleting(t *testing.T) {
	fail := func(r *retained, op, suffix string) {
		r.fs.hook(func(c call) error {
			if c.is(op, suffix) {
				return syscall.EIO
			}
			return nil
		})
	}
	t.Run("rename", func(t *testing.T) {
		for _, suffix := range []string{"0.log.deleted", "0.timeindex.deleted"} {
			r := newRetained(t)
			r.produceDays(10, 9, 0)
			fail(r, "rename", suffix)
			r.engine.retain()
			r.offsets(2, 3)
			if n := len(r.fs.find("rename", "1.log.deleted")); n != 0 {
				t.Fatal("a later segment was renamed before an earlier one")
			}
			r.produceDays(0)
			r.fs.hook(nil)
			r.engine.retain()
			r.bases(2, 3)
			r.awaitUnlink("*.deleted")
			holds(t, r.p, "2", "3")
		}
	})
	t.Run("rename and crash", func(t *testing.T) {
		r := newRetained(t)
		r.produceDays(10, 9, 0)
		fail(r, "rename", "1.log.deleted")
		r.engine.retain()
		r.fs.hook(nil)
		r.recrash()
		r.offsets(1, 3) // it is there again, and goes again
		r.engine.retain()
		r.offsets(2, 3)
		r.bases(2)
	})
	t.Run("unlink", func(t *testing.T) {
		r := newRetained(t)
		r.produceDays(10, 0)
		r.engine.retain()
		fail(r, "remove", deletedSuffix)
		r.clock.advance(time.Minute)
		r.engine.removeDue()
		if left := r.files("*.deleted"); len(left) == 0 {
			t.Fatal("unlinked by a call that failed")
		}
		r.fs.hook(nil)
		r.engine.removeDue()
		if left := r.files("*.deleted"); len(left) == 0 {
			t.Fatal("tried again at once")
		}
		r.clock.advance(1000 * time.Hour)
		r.engine.removeDue()
		if left := r.files("*.deleted"); len(left) != 0 {
			t.Fatalf("left %v", left)
		}
		if err := r.engine.Failure(); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("sync", func(t *testing.T) {
		r := newRetained(t)
		r.produceDays(10, 9, 0)
		r.fs.hook(func(c call) error {
			if c.op == "syncdir" {
				return syscall.EIO
			}
			return nil
		})
		r.engine.retain()
		r.fs.hook(nil)
		if err := r.engine.Failure(); !errors.Is(err, ErrStorageFailed) {
			t.Fatalf("failure %v", err)
		}
		holds(t, r.p, "2") // readers keep what is visible
		r.fs.reset()
		r.engine.retain()
		if len(r.fs.calls) != 0 {
			t.Errorf("retention went on: %v", r.fs.calls)
		}
		r.engine.Close()
		r.open()
		r.engine.retain()
		r.offsets(2, 3)
	})
	t.Run("full disk", func(t *testing.T) {
		r := newRetained(t, "retention.bytes", "0")
		r.produceDays(0, 0)
		r.fs.hook(func(c call) error {
			if c.op == "create" || c.op == "write" {
				return syscall.ENOSPC
			}
			return nil
		})
		r.engine.retain() // cannot seal the active one, and frees the others
		r.offsets(1, 2)
		r.fs.hook(nil)
		r.engine.retain()
		r.offsets(2, 2)
	})
}

// Whatever part of a deletion a crash leaves undone, the next start finds a log
// that holds together and finishes it: segments back under their own names, any
// of them; indexes without their log.
func TestStartFinishesDeletion(t *testing.T) {
	for seen := range 1 << 4 {
		r := newRetained(t)
		r.produceDays(10, 9, 8, 0)
		r.engine.retain()
		r.offsets(3, 4)
		crash(t, r.engine)
		// Names come back from the newest deleted one on, for each rename was
		// synced before the next; of the last one's files any.
		for i, suffix := range []string{".log", ".timeindex"} {
			if seen&(1<<i) != 0 {
				name := filepath.Join(r.fs.Path(), "t-0", "00000000000000000002"+suffix)
				if err := os.Rename(name+deletedSuffix, name); err != nil {
					t.Fatal(err)
				}
			}
		}
		if seen&4 != 0 {
			if err := os.WriteFile(filepath.Join(r.fs.Path(), recoveryPointFile), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		r.open()
		start := Offset(3)
		if seen&1 != 0 {
			start = 2
		}
		r.offsets(start, 4)
		holds(t, r.p, numbered(4)[start:]...)
		if seen&8 != 0 {
			r.reopen()
		}
		r.engine.retain()
		r.offsets(3, 4)
		r.bases(3)
		r.awaitUnlink("0000000000000000000[0-2].*")
	}
}

// A pass over partitions that have nothing to delete makes no system call, also
// after a start, once the ages of their first segments are known; and the first
// passes after a start read a bounded number of indexes and leave no file open.
func TestIdlePassReadsNothing(t *testing.T) {
	fs := traceDir(t, t.TempDir())
	fs.noSync = true
	clock := newClock()
	e := openEngine(t, "", onFS(fs), clock.use)
	const partitions = 20
	topic, err := e.CreateTopic(TopicSpec{Name: "t", Partitions: partitions})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range topic.Partitions() {
		for range 3 {
			produce(t, p, batchOf(t, clock.now(), "x"))
			if _, err := p.seal(p.log.active(), func() bool { return true }); err != nil {
				t.Fatal(err)
			}
		}
	}
	quietPass := func() {
		t.Helper()
		fs.reset()
		e.retain()
		if len(fs.calls) != 0 {
			t.Fatalf("a pass with nothing to do: %v", fs.calls)
		}
	}
	quietPass()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = openEngine(t, "", onFS(fs), clock.use)
	fs.reset()
	e.retain()
	opened, closed := len(fs.find("open", "")), len(fs.find("close", ""))
	if opened != partitions || closed != partitions || len(fs.find("open", "00.timeindex")) != partitions {
		t.Fatalf("%d files opened, %d closed, want the first time index of each of %d partitions: %v", opened, closed, partitions, fs.calls)
	}
	quietPass()
	clock.advance(6 * day)
	quietPass()
}

// A segment whose batches cannot be read goes when its file is old enough, and
// so do those behind it: damage does not stop retention.
func TestRetentionOfDamagedSegment(t *testing.T) {
	r := newRetained(t)
	for range 3 {
		produce(t, r.p, batchOf(t, r.clock.now()-(10*day).Milliseconds(), "x"))
	}
	r.produceDays(9, 0)
	if err := r.engine.Close(); err != nil {
		t.Fatal(err)
	}
	edit(t, func(p []byte) []byte { p[len(p)/3+8]++; return p }, r.fs.Path(), "t-0", "00000000000000000000.log") // a length
	r.open()
	r.engine.retain()
	r.offsets(0, 5)
	r.clock.advance(7*day + time.Minute)
	r.engine.retain()
	r.offsets(5, 5)
}

// How many time indexes a pass reads is bounded.
func TestRetentionLooks(t *testing.T) {
	r := newRetained(t)
	r.produceDays(1, 0)
	r.reopen()
	pass := &retentionPass{nowMs: r.clock.now()}
	if err := r.p.retain(pass); err != nil {
		t.Fatal(err)
	}
	if n := r.p.log.list()[0].newest.Load(); n != unknownTimestamp {
		t.Fatalf("newest %d, was not to be read", n)
	}
	pass.looks = 1
	if err := r.p.retain(pass); err != nil || pass.looks != 0 || r.p.log.list()[0].newest.Load() == unknownTimestamp {
		t.Fatalf("%v, %d looks left, newest %d", err, pass.looks, r.p.log.list()[0].newest.Load())
	}
	// What is old by its file is looked at in any case.
	r.reopen()
	r.clock.advance(8 * day)
	pass = &retentionPass{nowMs: r.clock.now()}
	if err := r.p.retain(pass); err != nil {
		t.Fatal(err)
	}
	r.offsets(2, 2)
}

// On a topic that does not sync before it shows, a segment is synced, once, before
// it goes. The commit that comes later neither syncs it nor fails.
func TestRetentionOfUnsyncedSegments(t *testing.T) {
	r := newRetained(t, "flush.messages", "1000", "retention.bytes", "0")
	r.produceDays(0, 0)
	if o := r.p.Offsets(); o.Flushed != 0 || o.HighWatermark != 2 {
		t.Fatalf("offsets %+v", o)
	}
	r.fs.reset()
	r.engine.retain()
	r.offsets(2, 2)
	if n := len(r.fs.find("datasync", ".log")); n != 2 {
		t.Errorf("%d syncs of 2 segments that were deleted", n)
	}
	r.fs.reset()
	r.produceDays(0)
	r.reopen()
	r.offsets(2, 3)
	holds(t, r.p, "2")
	if n := len(r.fs.find("datasync", "00000000000000000000.log")); n != 0 {
		t.Errorf("%d syncs of a deleted segment", n)
	}
}

// The leader epochs of what is deleted are forgotten.
func TestRetentionTruncatesEpochs(t *testing.T) {
	r := newRetained(t)
	r.produceDays(10)
	r.recrash()
	r.produceDays(9)
	r.recrash()
	r.produceDays(0)
	if epoch, end, err := r.p.EndOfEpoch(0); epoch != 0 || end != 1 || err != nil {
		t.Fatalf("epoch 0 ends as %d at %d, %v", epoch, end, err)
	}
	r.engine.retain()
	check := func() {
		t.Helper()
		if epoch, end, err := r.p.EndOfEpoch(0); epoch != 0 || end != 2 || err != nil {
			t.Fatalf("epoch 0, of which nothing is left, ends as %d at %d, %v", epoch, end, err)
		}
	}
	check()
	r.reopen()
	check()
}

// compact is refused wherever it can be asked for, with what is possible, until
// it is built. A topic that has it from before opens, keeps everything and says so.
func TestCompactIsRefused(t *testing.T) {
	const text = "want a list, delete or empty (compact is not built yet)"
	log := new(lines)
	e := openEngine(t, t.TempDir(), log.use)
	for _, policy := range []string{"compact", "compact,delete", "delete, compact"} {
		configs := map[string]string{"cleanup.policy": policy}
		_, err := e.CreateTopic(TopicSpec{Name: "t", Configs: configs})
		matchError(t, err, topicconfig.ErrInvalidValue, text)
		_, err = Open(t.TempDir(), Options{Log: quiet, TopicDefaults: configs})
		matchError(t, err, topicconfig.ErrInvalidValue, text)
	}
	p := createTopic(t, e, "t")
	_, err := e.AlterTopic("t", TopicChange{Set: map[string]string{"cleanup.policy": "compact"}})
	matchError(t, err, topicconfig.ErrInvalidValue, text)

	e.admin.Lock()
	err = e.commitMetadata(ConfigRecord{ID: p.id, Key: "cleanup.policy", Value: "compact"})
	e.admin.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	e = reopen(t, e, log.use)
	if p := partition(t, e, "t"); p.log.config().DeletesOld {
		t.Error("a compacted topic is subject to retention")
	}
	if !strings.Contains(log.String(), "cleanup.policy=compact: compaction is not built yet") {
		t.Errorf("log %s", log)
	}
	// Another config can be altered beside it.
	if _, err := e.AlterTopic("t", TopicChange{Set: map[string]string{"segment.bytes": "2097152"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.AlterTopic("t", TopicChange{Reset: []string{"cleanup.policy"}}); err != nil {
		t.Fatal(err)
	}
}

// A topic of the node's own is made by it alone, keeps its partitions and stays.
// It may ask for compaction, which is kept for later without a word to the
// operator; what is no policy at all is refused.
func TestInternalTopic(t *testing.T) {
	var log lines
	internal := func(o *Options) {
		o.InternalTopics = []string{"__own"}
		log.use(o)
	}
	e := openEngine(t, t.TempDir(), internal)
	_, err := e.CreateTopic(TopicSpec{Name: "__own"})
	matchError(t, err, ErrInternalTopic, "the node makes __own itself")
	spec := TopicSpec{Name: "__own", Partitions: 3, Internal: true, Configs: map[string]string{"cleanup.policy": "compact"}}
	if _, err := e.CreateTopic(spec); err != nil {
		t.Fatal(err)
	}
	e = reopen(t, e, internal)
	topic, err := e.Topic("__own")
	if err != nil {
		t.Fatal(err)
	}
	if !topic.Partitions()[2].Internal() || createTopic(t, e, "t").Internal() {
		t.Error("partitions do not know whether they are the node's own")
	}
	matchError(t, e.DeleteTopic("__own"), ErrInternalTopic, "is not deleted")
	_, err = e.AlterTopic("__own", TopicChange{Partitions: 4})
	matchError(t, err, ErrInternalTopic, "keeps its 3 partitions")
	if c := topic.Config(); !c.Compacts || c.DeletesOld || len(topic.Partitions()) != 3 {
		t.Errorf("compacts %v, deletes %v, %d partitions", c.Compacts, c.DeletesOld, len(topic.Partitions()))
	}
	spec.Name, spec.Configs = "__other", map[string]string{"cleanup.policy": "none"}
	_, err = e.CreateTopic(spec)
	matchError(t, err, topicconfig.ErrInvalidValue, "cleanup.policy")
	if got := log.String(); strings.Contains(got, "no effect") {
		t.Errorf("the operator is told of what the node has set itself:\n%s", got)
	}
}

// The schedule runs passes and unlinks what is due, by itself.
func TestRetentionSchedule(t *testing.T) {
	e := openEngine(t, t.TempDir(), func(o *Options) { o.RetentionInterval = time.Millisecond })
	p := createTopic(t, e, "t", "retention.bytes", "0", "file.delete.delay.ms", "0")
	produce(t, p, batchOf(t, time.Now().UnixMilli(), "x"))
	within(t, "retention", func() {
		for p.Offsets().LogStart != 1 {
			time.Sleep(time.Millisecond)
		}
		for {
			left, _ := filepath.Glob(filepath.Join(e.Path(), "t-0", "00000000000000000000.*"))
			if len(left) == 0 {
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
}

// A pass over 10,000 partitions of three segments each that have nothing to delete.
func BenchmarkRetentionPass(b *testing.B) {
	fs := traceDir(b, b.TempDir())
	fs.noSync = true
	e := openEngine(b, "", onFS(fs))
	topic, err := e.CreateTopic(TopicSpec{Name: "t", Partitions: 10_000})
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now().UnixMilli()
	for _, p := range topic.Partitions() {
		p.mu.Lock()
		for base := range Offset(3) {
			s := newSegment(p.log, base)
			s.size, s.next, s.createdMs = 100, base+1, now
			s.newest.Store(now)
			s.sealed.Store(base < 2)
			list := append(slices.Clone(p.log.list()), s)
			p.log.segments.Store(&list)
			p.log.next = s.next
		}
		end := p.log.end()
		p.mu.Unlock()
		p.marks.Store(&offsetMarks{logStart: p.log.start(), highWatermark: end, logEnd: end, flushed: end})
	}
	fs.reset()
	b.ReportAllocs()
	for b.Loop() {
		e.retain()
	}
	if len(fs.calls) != 0 {
		b.Fatalf("a pass with nothing to do: %v", fs.calls)
	}
	crash(b, e) // there are no files behind the segments
}

// On a topic that may lose a suffix, a power cut in the middle of retention does not
// have the log end before where it had begun: no offset comes twice that retention
// has passed.
func TestRetentionInPowerCut(t *testing.T) {
	mem := vfs.NewMem("/retained")
	fs := traceFS(mem)
	e := openEngine(t, "", onFS(fs))
	p := createTopic(t, e, "t", "flush.messages", "1000", "retention.bytes", "0", "file.delete.delay.ms", "0")
	produce(t, p, batchOf(t, time.Now().UnixMilli(), "a", "b", "c"))
	if _, err := p.seal(p.log.active(), func() bool { return true }); err != nil {
		t.Fatal(err)
	}
	var images []*vfs.Mem
	fs.hook(func(c call) error {
		if strings.HasPrefix(c.name, "t-0/") {
			images = append(images, mem.CrashClone(1, vfs.KeepSynced))
		}
		return nil
	})
	e.retain()
	fs.hook(nil)
	if start := p.Offsets().LogStart; start != 3 {
		t.Fatalf("the log begins at %d, want 3", start)
	}
	e.Close()
	if len(images) < 3 {
		t.Fatalf("%d calls in the partition's directory, want a rename and more", len(images))
	}
	for i, image := range images[1:] { // the first call is the sync itself
		e := openEngine(t, "", onFS(image))
		if o := partition(t, e, "t").Offsets(); o.LogEnd < 3 {
			t.Errorf("after a crash before call %d of %d the log ends at %d, want 3", i+1, len(images), o.LogEnd)
		}
		e.Close()
	}
}
