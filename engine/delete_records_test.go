package engine

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rollway/rollway/engine/record"
)

// deleteRecords wants the log to begin at before then.
func (r *retained) deleteRecords(before Offset) {
	r.t.Helper()
	got, err := r.p.DeleteRecords(before)
	if err != nil || before >= 0 && got != before {
		r.t.Fatalf("delete records below %d: %d, %v", before, got, err)
	}
}

// starts returns what the log start file says of the topic t.
func (r *retained) starts() offsetCheckpoint {
	r.t.Helper()
	starts, err := readOffsetCheckpoint(r.fs, logStartOffsetFile)
	if err != nil {
		r.t.Fatal(err)
	}
	return starts
}

// threeByThree makes segments of three records: 0 to 2, 3 to 5, 6 to 8. The last
// is active.
func threeByThree(t *testing.T, configs ...string) *retained {
	t.Helper()
	r := newRetained(t, configs...)
	for i := range 3 {
		r.produce(time.Duration(3-i)*time.Hour, numbered(9)[3*i:3*i+3]...)
	}
	return r
}

// DeleteRecords moves the start to any offset up to the high watermark, and back
// to none; whole segments below go, also the active one if nothing in it stays.
// Over clean and unclean starts it stays where it is.
func TestDeleteRecords(t *testing.T) {
	f := func(before, want Offset, bases ...Offset) {
		t.Helper()
		r := threeByThree(t)
		if got, err := r.p.DeleteRecords(before); got != want || err != nil {
			t.Fatalf("before %d: %d, %v, want %d", before, got, err, want)
		}
		for round := range 3 {
			r.offsets(want, 9)
			r.bases(bases...)
			holds(t, r.p, numbered(9)[want:]...)
			if found, err := r.p.Earliest(); found.Offset != want || err != nil {
				t.Fatalf("before %d: earliest %+v, %v", before, found, err)
			}
			_, err := r.p.Fetch(FetchRequest{Offset: want - 1, MaxBytes: 1})
			matchError(t, err, ErrOffsetOutOfRange, fmt.Sprintf("offsets %d to 9", want))
			switch round {
			case 0:
				r.recrash()
			case 1:
				r.reopen()
			}
		}
		if got := produce(t, r.p, batchOf(t, r.clock.now(), "9")); got.BaseOffset != 9 {
			t.Fatalf("appended at %d, want 9", got.BaseOffset)
		}
		holds(t, r.p, numbered(10)[want:]...)
	}
	f(0, 0, 0, 3, 6)
	f(1, 1, 0, 3, 6)
	f(2, 2, 0, 3, 6)
	f(3, 3, 3, 6)
	f(4, 4, 3, 6)
	f(6, 6, 6)
	f(8, 8, 6)
	f(9, 9, 9)
	f(ToHighWatermark, 9, 9)
}

// What cannot be deleted is refused with what can, and what is deleted already
// changes nothing.
func TestDeleteRecordsRefusals(t *testing.T) {
	r := threeByThree(t)
	refused := func(before Offset, want error, text string) {
		t.Helper()
		got, err := r.p.DeleteRecords(before)
		matchError(t, err, want, text)
		if got != -1 {
			t.Errorf("refused with offset %d", got)
		}
	}
	refused(10, ErrOffsetOutOfRange, "t-0: records below 10 cannot be deleted, only those below the high watermark, 9")
	refused(-2, ErrOffsetOutOfRange, "below -2")
	r.offsets(0, 9)
	r.deleteRecords(4)
	r.fs.reset()
	for _, before := range []Offset{0, 3, 4} {
		if got, err := r.p.DeleteRecords(before); got != 4 || err != nil {
			t.Errorf("again below %d: %d, %v", before, got, err)
		}
	}
	if len(r.fs.calls) != 0 {
		t.Errorf("nothing to do, and calls %v", r.fs.calls)
	}
	if err := r.engine.DeleteTopic("t"); err != nil {
		t.Fatal(err)
	}
	refused(5, ErrUnknownTopic, "t was deleted")
	empty := createTopic(t, r.engine, "empty")
	if got, err := empty.DeleteRecords(ToHighWatermark); got != 0 || err != nil {
		t.Errorf("of an empty partition: %d, %v", got, err)
	}
	r.engine.Close()
	refused(5, ErrUnknownTopic, "")
	_, err := empty.DeleteRecords(0)
	matchError(t, err, ErrClosed, "")
}

// Searches by time begin at the start of the log, in the middle of a batch too.
func TestListOffsetsFromLogStart(t *testing.T) {
	r := newRetained(t, "index.interval.bytes", "0")
	base := r.clock.now() - 1000
	add := func(timestamps ...int64) {
		t.Helper()
		var b record.Builder
		b.Reset(record.BuilderOptions{Codec: record.CodecZstd})
		for _, timestamp := range timestamps {
			if err := b.Append(base+timestamp, nil, nil); err != nil {
				t.Fatal(err)
			}
		}
		batch, err := b.Build(nil)
		if err != nil {
			t.Fatal(err)
		}
		produce(t, r.p, batch)
	}
	add(50, 10, 40) // 0, 1, 2
	add(20, 30)     // 3, 4
	add(5)          // 5
	type search struct{ timestamp, offset int64 }
	f := func(before Offset, newest int64, searches ...search) {
		t.Helper()
		r.deleteRecords(before)
		for range 2 {
			for _, s := range searches {
				if got, err := r.p.OffsetByTime(base + s.timestamp); int64(got.Offset) != s.offset || err != nil {
					t.Errorf("from %d, time %d: %+v, %v, want %d", before, s.timestamp, got, err, s.offset)
				}
			}
			got, err := r.p.OffsetOfMaxTimestamp()
			if want := base + newest; newest >= 0 && got.Timestamp != want || newest < 0 && got != noOffset || err != nil {
				t.Errorf("from %d, newest: %+v, %v, want %d", before, got, err, want)
			}
			r.recrash()
		}
	}
	f(0, 50, search{0, 0}, search{50, 0}, search{51, -1})
	f(1, 40, search{0, 1}, search{11, 2}, search{50, -1})
	f(2, 40, search{0, 2}, search{40, 2}, search{41, -1})
	f(3, 30, search{0, 3}, search{25, 4}, search{31, -1})
	f(4, 30, search{0, 4}, search{30, 4})
	f(5, 5, search{0, 5}, search{6, -1})
	f(6, -1, search{0, -1})
}

// A stream that stands before the new start ends, also where the start lies in the
// segment that it reads; one that stands behind goes on, in the middle of a batch too.
func TestStreamMeetsDeleteRecords(t *testing.T) {
	f := func(read, before Offset, extra int64, deleted bool) {
		t.Helper()
		r := newRetained(t)
		for i := range 4 {
			produce(t, r.p, batchOf(t, r.clock.now(), fmt.Sprint(2*i), fmt.Sprint(2*i+1)))
		}
		c, err := r.p.Seek(read)
		if err != nil {
			t.Fatal(err)
		}
		if extra > 0 {
			s, err := r.p.FetchNext(&c, extra)
			if err != nil {
				t.Fatal(err)
			}
			s.Close()
		}
		r.deleteRecords(before)
		s, err := r.p.FetchNext(&c, 10)
		if deleted != errors.Is(err, ErrOffsetOutOfRange) || !deleted && (err != nil || s.Len != 10) {
			t.Errorf("stream at %d and %d bytes, deleted below %d: %d bytes, %v", read, extra, before, s.Len, err)
		}
		s.Close()
	}
	f(0, 1, 0, true)
	f(1, 1, 0, false)
	f(0, 1, 10, false) // the batch that holds 1
	f(0, 3, 10, true)
	f(2, 3, 10, false)
	f(3, 4, 0, true)
	f(4, 4, 0, false)
	f(4, 4, 5, false)
	f(4, 7, 5, true)
	f(0, 8, 5, true)
}

// The start is durable in Kafka's file before anybody sees it move, and before a
// file is touched.
func TestDeleteRecordsIsDurableFirst(t *testing.T) {
	r := threeByThree(t)
	var order []string
	r.fs.hook(func(c call) error {
		if c.op == "create" || c.op == "datasync" || c.op == "rename" || c.op == "syncdir" {
			order = append(order, fmt.Sprint(c, " at ", r.p.Offsets().LogStart))
		}
		return nil
	})
	r.deleteRecords(4)
	r.fs.hook(nil)
	want := []string{
		"create log-start-offset-checkpoint.tmp at 0", "datasync log-start-offset-checkpoint.tmp at 0",
		"rename log-start-offset-checkpoint at 0", "syncdir . at 0",
		"rename t-0/00000000000000000000.log.deleted at 4",
	}
	if len(order) < len(want) || !slices.Equal(order[:len(want)], want) {
		t.Errorf("calls %q, want first %q", order, want)
	}
	content, err := os.ReadFile(filepath.Join(r.fs.Path(), logStartOffsetFile))
	if err != nil || string(content) != "0\n1\nt 0 4\n" {
		t.Errorf("file %q, %v", content, err)
	}
}

// If the start cannot be made durable nothing is deleted; a full disk is no
// reason to stop, a failed sync is.
func TestDeleteRecordsDiskErrors(t *testing.T) {
	f := func(op string, cause error, want error, final bool) {
		t.Helper()
		r := threeByThree(t)
		r.fs.hook(func(c call) error {
			if c.op == op && strings.HasPrefix(c.name, logStartOffsetFile) {
				return cause
			}
			return nil
		})
		_, err := r.p.DeleteRecords(4)
		r.fs.hook(nil)
		if !errors.Is(err, want) || (r.engine.Failure() != nil) != final {
			t.Errorf("%s: %v, failure %v", op, err, r.engine.Failure())
		}
		r.offsets(0, 9)
		r.bases(0, 3, 6)
		if !final {
			r.deleteRecords(4)
			r.recrash()
			r.offsets(4, 9)
		}
	}
	f("create", syscall.ENOSPC, ErrNoSpace, false)
	f("write", syscall.ENOSPC, ErrNoSpace, false)
	f("rename", syscall.EIO, syscall.EIO, false)
	f("write", syscall.EIO, ErrStorageFailed, true)
	f("datasync", syscall.EIO, ErrStorageFailed, true)
	f("datasync", syscall.ENOSPC, ErrStorageFailed, true)
}

// Files that keep their names for an error, or come back with a power cut, any of
// them, are not seen again: the start that was answered holds.
func TestDeletedRecordsStayDeleted(t *testing.T) {
	for back := range 1 << 6 {
		r := threeByThree(t)
		if back&32 != 0 {
			r.fs.hook(func(c call) error {
				if c.is("rename", deletedSuffix) {
					return syscall.EIO
				}
				return nil
			})
		}
		r.deleteRecords(7)
		r.fs.hook(nil)
		r.offsets(7, 9)
		crash(t, r.engine)
		for i, name := range []string{"0.log", "0.timeindex", "3.log", "3.timeindex"} {
			name = filepath.Join(r.fs.Path(), "t-0", "0000000000000000000"+name)
			if back&(1<<i) != 0 && back&32 == 0 {
				if err := os.Rename(name+deletedSuffix, name); err != nil {
					t.Fatal(err)
				}
			}
		}
		if back&16 != 0 {
			if err := os.WriteFile(filepath.Join(r.fs.Path(), recoveryPointFile), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		r.open()
		r.offsets(7, 9)
		holds(t, r.p, "7", "8")
		r.bases(6)
		r.recrash()
		r.offsets(7, 9)
		r.awaitUnlink("0000000000000000000[0-5].*")
	}
}

// A log start file that is missing, damaged, of a later version, or names an
// offset below the first segment costs what it said and no more; one that names
// an offset beyond the end of the log has no byte removed.
func TestLogStartFile(t *testing.T) {
	f := func(name, content string, start, end Offset, aside int) {
		t.Helper()
		r := threeByThree(t)
		r.deleteRecords(4)
		if err := r.engine.Close(); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(r.fs.Path(), logStartOffsetFile)
		if content == "" {
			os.Remove(file)
		} else if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		r.open()
		for range 2 {
			r.offsets(start, end)
			holds(t, r.p, numbered(9)[min(start, 9):]...)
			if n := len(r.files("*" + asideSuffix)); n != aside {
				t.Errorf("%s: %d segments set aside, want %d", name, n, aside)
			}
			r.recrash()
		}
		if got := produce(t, r.p, batchOf(t, r.clock.now(), "x")); got.BaseOffset != end {
			t.Errorf("%s: appended at %d, want %d", name, got.BaseOffset, end)
		}
		r.deleteRecords(end + 1)
		r.recrash()
		r.offsets(end+1, end+1)
	}
	f("as written", "0\n1\nt 0 4\n", 4, 9, 0)
	f("missing", "", 3, 9, 0)
	f("no bytes", "\x00", 3, 9, 0)
	f("zeros", strings.Repeat("\x00", 12), 3, 9, 0)
	f("cut", "0\n1\nt 0", 3, 9, 0)
	f("later version", "1\n1\nt 0 4\n", 3, 9, 0)
	f("below the first segment", "0\n1\nt 0 1\n", 3, 9, 0)
	f("another partition", "0\n1\nt 1 4\n", 3, 9, 0)
	f("the end", "0\n1\nt 0 9\n", 9, 9, 0)
	f("beyond the end", "0\n1\nt 0 500\n", 500, 500, 1)
}

// On a topic that may lose a suffix, a power cut can take records that were
// deleted: the log goes on where it was said to begin, and no offset comes twice.
func TestDeletedRecordsAreLost(t *testing.T) {
	r := newRetained(t, "flush.messages", "1000")
	r.produce(0, numbered(5)...)
	r.deleteRecords(3)
	crash(t, r.engine)
	if err := os.Truncate(filepath.Join(r.fs.Path(), "t-0", "00000000000000000000.log"), 0); err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		r.open()
		r.offsets(3, 3)
		if round < 2 {
			crash(t, r.engine)
		}
	}
	if got := produce(t, r.p, batchOf(t, r.clock.now(), "new")); got.BaseOffset != 3 {
		t.Fatalf("appended at %d, want 3", got.BaseOffset)
	}
	holds(t, r.p, "new")
	r.recrash()
	holds(t, r.p, "new")
}

// A new topic of the same name begins at 0, whatever the old one's log began at,
// also if the process dies in between.
func TestLogStartIsForgotten(t *testing.T) {
	for _, restart := range []bool{false, true} {
		r := threeByThree(t)
		r.deleteRecords(4)
		if err := r.engine.DeleteTopic("t"); err != nil {
			t.Fatal(err)
		}
		if restart {
			crash(t, r.engine)
			r.engine = openEngine(t, "", onFS(r.fs), r.clock.use)
		}
		r.p = createTopic(t, r.engine, "t")
		if got := r.starts(); len(got) != 0 {
			t.Errorf("log starts %v, want none", got)
		}
		r.produce(0, "a", "b")
		r.recrash()
		r.offsets(0, 2)
		holds(t, r.p, "a", "b")
	}
}

// The file keeps what is needed: starts inside of segments. One whose segments
// are gone for certain, or whose topic is, leaves it with the next write.
func TestLogStartFileShrinks(t *testing.T) {
	clock := newClock()
	fs := traceDir(t, t.TempDir())
	e := openEngine(t, "", onFS(fs), clock.use)
	var all []*retained
	for _, name := range []string{"whole", "inside", "gone"} {
		r := &retained{t: t, clock: clock, fs: fs, engine: e, p: createTopic(t, e, name)}
		r.produce(0, "0", "1")
		r.produce(0, "2", "3")
		all = append(all, r)
	}
	starts := func(want ...string) {
		t.Helper()
		var got []string
		for key, start := range all[0].starts() {
			got = append(got, fmt.Sprint(key.topic, " ", start))
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("log starts %q, want %q", got, want)
		}
	}
	all[0].deleteRecords(2)
	all[2].deleteRecords(1)
	starts("gone 1")
	if err := e.DeleteTopic("gone"); err != nil {
		t.Fatal(err)
	}
	all[1].deleteRecords(3)
	starts("inside 3")
	all[0].deleteRecords(ToHighWatermark)
	starts("inside 3", "whole 4")
	all[1].deleteRecords(4)
	starts("inside 4")
	if want := (offsetCheckpoint{{"inside", 0}: 4}); !maps.Equal(e.logStarts, want) {
		t.Errorf("in memory %v, want %v", e.logStarts, want)
	}
}

// A batch that cannot be found does not keep what lies before it.
func TestDeleteRecordsBeforeDamage(t *testing.T) {
	r := newRetained(t)
	for i := range 3 {
		produce(t, r.p, batchOf(t, r.clock.now(), fmt.Sprint(i)))
	}
	r.produce(0, "3")
	r.reopen()
	edit(t, func(p []byte) []byte { p[len(p)/3+8]++; return p }, r.fs.Path(), "t-0", "00000000000000000000.log") // a length
	r.deleteRecords(2)
	r.deleteRecords(3)
	r.bases(3)
	holds(t, r.p, "3")
}

// DeleteRecords and retention go on side by side with appends and reads; the start
// never goes back, and everybody sees whole records or is told that they are gone.
func TestDeletionBesideReadersAndWriters(t *testing.T) {
	e := openEngine(t, t.TempDir(), func(o *Options) { o.RetentionInterval = time.Millisecond })
	p := createTopic(t, e, "t", "retention.bytes", "3000", "file.delete.delay.ms", "1")
	tune(p, segmentBytes(700))
	const records = 500
	done := make(chan struct{})
	var last Offset
	go func() {
		defer close(done)
		for i := range records {
			p.Append(&AppendRequest{Batches: batchOf(t, time.Now().UnixMilli(), fmt.Sprint(i)), Acks: AcksAll})
			if i%7 == 0 {
				if start, err := p.DeleteRecords(max(0, p.Offsets().HighWatermark-5)); err != nil || start < last {
					t.Errorf("delete records: %d after %d, %v", start, last, err)
				} else {
					last = start
				}
			}
		}
	}()
	var cursor Cursor
	read := Offset(0)
	for read < records {
		s, err := p.Fetch(FetchRequest{Offset: read, MaxBytes: 300, Cursor: &cursor})
		if errors.Is(err, ErrOffsetOutOfRange) {
			read = p.Offsets().LogStart
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		batches, err := s.ReadAll(nil)
		s.Close()
		if err != nil {
			t.Fatal(err)
		}
		for len(batches) > 0 {
			var b record.Batch
			if b, batches, err = record.Next(batches); err != nil || b.Verify() != nil || b.BaseOffset() != read {
				t.Fatalf("read at %d: batch at %d, %v", read, b.BaseOffset(), err)
			}
			read = b.NextOffset()
		}
	}
	<-done
	if state, err := p.State(); state != Ready || e.Failure() != nil {
		t.Fatal(state, err, e.Failure())
	}
}
