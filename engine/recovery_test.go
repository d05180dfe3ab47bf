package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/rollway/rollway/engine/record"
)

const (
	firstLog = "00000000000000000000.log"
	epochs0  = "0\n1\n0 0\n" // a leader-epoch-checkpoint: epoch 0 from offset 0
)

// crashedLog returns a data directory in which a process was killed after it had
// acknowledged n records of 100 bytes in topic t, in segments of perSegment,
// none of them below a recovery point.
func crashedLog(t testing.TB, n, perSegment int) string {
	t.Helper()
	e := openEngine(t, t.TempDir())
	p := createTopic(t, e, "t", "index.interval.bytes", "300")
	tune(p, segmentBytes(int64(perSegment)*int64(len(batchOf(t, 0, fmt.Sprintf("%100d", 0))))))
	produceEach(t, p, padded(n)...)
	crash(t, e)
	// The checkpoint that follows a start may have come between the appends.
	if err := os.RemoveAll(filepath.Join(e.Path(), recoveryPointFile)); err != nil {
		t.Fatal(err)
	}
	return e.Path()
}

// padded returns the values of crashedLog.
func padded(n int) []string {
	vs := make([]string, n)
	for i := range vs {
		vs[i] = fmt.Sprintf("%100d", i)
	}
	return vs
}

// setPoint writes the recovery point of t-0.
func setPoint(t testing.TB, dir string, point int) {
	t.Helper()
	content := fmt.Sprintf("0\n1\nt 0 %d\n", point)
	if err := os.WriteFile(filepath.Join(dir, recoveryPointFile), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// works fails the test unless the partition holds these values, appends behind
// them, and holds all of it after a clean restart and after a crash.
func works(t testing.TB, e *Engine, want ...string) {
	t.Helper()
	for range 3 {
		p := partition(t, e, "t")
		if state, err := p.State(); state != Ready {
			t.Fatalf("partition is %v: %v", state, err)
		}
		holds(t, p, want...)
		for off, v := range want {
			if got := values(t, p, Offset(off), 1); len(got) == 0 || got[0] != v {
				t.Fatalf("fetch at %d differs", off)
			}
		}
		produceEach(t, p, "more")
		want = append(slices.Clip(want), "more")
		e = reopen(t, e)
	}
	e = recrash(t, e)
	holds(t, partition(t, e, "t"), want...)
	e.Close()
}

// Whatever the end of the last batch is torn to, that batch alone is cut off.
func TestTornTail(t *testing.T) {
	from := crashedLog(t, 3, 100)
	whole, err := os.ReadFile(filepath.Join(from, "t-0", firstLog))
	if err != nil {
		t.Fatal(err)
	}
	batch := len(whole) / 3
	for cut := 1; cut < batch; cut++ {
		dir := copyDir(t, from)
		edit(t, func(p []byte) []byte { return p[:len(p)-cut] }, dir, "t-0", firstLog)
		fs := traceDir(t, dir)
		fs.noSync = true
		e := openEngine(t, "", onFS(fs))
		p := partition(t, e, "t")
		if o := p.Offsets(); o.LogEnd != 2 || o.Flushed != 2 || o.HighWatermark != 2 {
			t.Fatalf("%d bytes cut: offsets %+v, want 2", cut, o)
		}
		if got := logBytes(t, p); !bytes.Equal(got, whole[:2*batch]) {
			t.Fatalf("%d bytes cut: log of %d bytes, want %d", cut, len(got), 2*batch)
		}
		if cut%20 == 0 {
			works(t, e, padded(2)...)
		}
		e.Close()
	}
}

// copyDir copies a data directory.
func copyDir(t testing.TB, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// What is wrong with the log above the recovery point is cut off together with
// all that follows it, and nothing before it.
func TestTailIsCut(t *testing.T) {
	const records, perSegment = 10, 100
	f := func(name string, want int, damage func(p []byte, size int) []byte) {
		t.Run(name, func(t *testing.T) {
			dir := crashedLog(t, records, perSegment)
			setPoint(t, dir, 4)
			edit(t, func(p []byte) []byte { return damage(p, len(p)/records) }, dir, "t-0", firstLog)
			works(t, openEngine(t, dir), padded(want)...)
		})
	}
	f("nothing", records, func(p []byte, _ int) []byte { return p })
	f("garbage tail", records, func(p []byte, _ int) []byte { return append(p, bytes.Repeat([]byte("garbage!"), 40)...) })
	f("one byte of garbage", records, func(p []byte, _ int) []byte { return append(p, 'x') })
	f("zero tail", records, func(p []byte, _ int) []byte { return append(p, make([]byte, 4096)...) })
	f("huge length", 7, func(p []byte, size int) []byte {
		binary.BigEndian.PutUint32(p[7*size+8:], 1<<31-1)
		return p
	})
	f("negative length", 7, func(p []byte, size int) []byte {
		binary.BigEndian.PutUint32(p[7*size+8:], 1<<31)
		return p
	})
	f("length of zero", 7, func(p []byte, size int) []byte {
		binary.BigEndian.PutUint32(p[7*size+8:], 0)
		return p
	})
	f("bit flip in a record", 6, func(p []byte, size int) []byte {
		p[6*size+size-10] ^= 4
		return p
	})
	f("bit flip in the header", 6, func(p []byte, size int) []byte {
		p[6*size+30] ^= 1
		return p
	})
	f("old magic", 6, func(p []byte, size int) []byte {
		p[6*size+16] = 1
		return p
	})
	f("zero page in the middle", 5, func(p []byte, size int) []byte {
		clear(p[5*size+40 : 6*size+40])
		return p
	})
	f("base offset gap", 8, func(p []byte, size int) []byte {
		record.Batch(p[8*size:]).SetBaseOffset(9)
		return p
	})
	f("base offset going back", 8, func(p []byte, size int) []byte {
		record.Batch(p[8*size:]).SetBaseOffset(3)
		return p
	})
	f("epoch that never began", 8, func(p []byte, size int) []byte {
		record.Batch(p[8*size:]).SetLeaderEpoch(5)
		return p
	})
	f("epoch going back", 9, func(p []byte, size int) []byte {
		record.Batch(p[9*size:]).SetLeaderEpoch(-1)
		return p
	})
	f("a batch that was written twice", 5, func(p []byte, size int) []byte {
		return append(bytes.Clone(p[:5*size]), p[4*size:]...)
	})
	f("everything above the point", 4, func(p []byte, size int) []byte { return p[:4*size] })
}

// A log of which there is nothing left, or files that nobody of us made, take the
// partition offline with an error that says so; its bytes and its recovery point
// stay as they are, at this start and the next, and the other partitions work.
func TestPartitionOffline(t *testing.T) {
	const records, perSegment = 12, 4
	f := func(name, want string, damage func(t *testing.T, dir string)) {
		t.Run(name, func(t *testing.T) {
			dir := crashedLog(t, records, perSegment)
			e := openEngine(t, dir)
			produceEach(t, createTopic(t, e, "other"), "0")
			crash(t, e)
			setPoint(t, dir, 11)
			damage(t, filepath.Join(dir, "t-0"))
			before := snapshot(t, filepath.Join(dir, "t-0"), ".log")
			for range 3 {
				e := openEngine(t, dir)
				state, err := partition(t, e, "t").State()
				damage := (*CorruptionError)(nil)
				if state != Failed || !errors.As(err, &damage) || !strings.Contains(err.Error(), want) {
					t.Errorf("partition is %v: %v, want it failed with %q", state, err, want)
				}
				if _, err := partition(t, e, "t").Fetch(FetchRequest{MaxBytes: 100}); !errors.As(err, &damage) {
					t.Errorf("fetch: %v", err)
				}
				r := &AppendRequest{Batches: batchOf(t, 1, "x")}
				if partition(t, e, "t").Append(r); !errors.As(r.Err, &damage) {
					t.Errorf("append: %v", r.Err)
				}
				holds(t, partition(t, e, "other"), "0")
				if err := e.Close(); err != nil {
					t.Fatal(err)
				}
				if _, err := os.Stat(filepath.Join(dir, cleanShutdownFile)); err == nil {
					t.Error("marked as cleanly shut down although a partition is offline")
				}
				if after := snapshot(t, filepath.Join(dir, "t-0"), ".log"); after != before {
					t.Fatalf("log files were\n%sand are\n%s", before, after)
				}
				points, err := os.ReadFile(filepath.Join(dir, recoveryPointFile))
				if err != nil || !strings.Contains(string(points), "t 0 11\n") {
					t.Errorf("recovery points %q, %v, want 11 for t", points, err)
				}
			}
		})
	}
	last := fmt.Sprintf("%020d.log", 8)
	f("all segments missing", "it was durable up to 11", func(t *testing.T, dir string) {
		for base := 0; base < records; base += perSegment {
			if err := os.Remove(filepath.Join(dir, fmt.Sprintf("%020d.log", base))); err != nil {
				t.Fatal(err)
			}
		}
	})
	f("a directory in place of a segment", "want a regular file", func(t *testing.T, dir string) {
		name := filepath.Join(dir, last)
		if err := errors.Join(os.Remove(name), os.Mkdir(name, 0o700)); err != nil {
			t.Fatal(err)
		}
	})
	f("a link in place of a segment", "want a regular file", func(t *testing.T, dir string) {
		name := filepath.Join(dir, last)
		if err := errors.Join(os.Rename(name, name+".real"), os.Symlink(last+".real", name)); err != nil {
			t.Fatal(err)
		}
	})
}

// snapshot lists the files of a directory whose names hold part, with sizes and
// content.
func snapshot(t testing.TB, dir, part string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, entry := range entries {
		if !strings.Contains(entry.Name(), part) || !entry.Type().IsRegular() {
			continue
		}
		content, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&all, "%s %d %08x\n", entry.Name(), len(content), crcOf(content))
	}
	return all.String()
}

func crcOf(p []byte) uint32 {
	var sum uint32
	for _, b := range p {
		sum = sum*16777619 ^ uint32(b)
	}
	return sum
}

// After a clean stop a log whose files are gone is not taken for an empty one.
func TestMissingSegmentsAfterCleanStop(t *testing.T) {
	e := openEngine(t, t.TempDir())
	produceEach(t, createTopic(t, e, "t"), "0", "1")
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(e.Path(), "t-0", firstLog)); err != nil {
		t.Fatal(err)
	}
	e = openEngine(t, e.Path())
	state, err := partition(t, e, "t").State()
	if state != Failed || !strings.Contains(fmt.Sprint(err), "it was durable up to 2") {
		t.Errorf("partition is %v: %v", state, err)
	}
}

// A log that grew behind the back of a clean stop is checked like after a crash.
func TestTailAfterCleanStop(t *testing.T) {
	f := func(tail []byte) {
		t.Helper()
		e := openEngine(t, t.TempDir())
		produceEach(t, createTopic(t, e, "t"), "0", "1")
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		edit(t, func(p []byte) []byte { return append(p, tail...) }, e.Path(), "t-0", firstLog)
		works(t, openEngine(t, e.Path()), "0", "1")
	}
	f([]byte("x"))
	f(make([]byte, 100))
	f(bytes.Repeat([]byte("garbage"), 1000))
}

// Segments behind a torn one cannot be reached any more; they are set aside
// under another name, byte for byte, and empty ones go.
func TestUnreachableSegments(t *testing.T) {
	dir := crashedLog(t, 12, 4)
	second, third := fmt.Sprintf("%020d.log", 4), fmt.Sprintf("%020d.log", 8)
	want, err := os.ReadFile(filepath.Join(dir, "t-0", third))
	if err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(dir, "t-0", fmt.Sprintf("%020d.log", 12))
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	edit(t, func(p []byte) []byte { return p[:len(p)-1] }, dir, "t-0", second)
	works(t, openEngine(t, dir), padded(7)...)
	got, err := os.ReadFile(filepath.Join(dir, "t-0", third+asideSuffix))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes set aside, %v, want %d", len(got), err, len(want))
	}
	if _, err := os.Stat(empty + asideSuffix); err == nil {
		t.Error("an empty segment was set aside")
	}
}

// A gap between two segments ends the log as a torn one does.
func TestSegmentGap(t *testing.T) {
	dir := crashedLog(t, 12, 4)
	middle := filepath.Join(dir, "t-0", fmt.Sprintf("%020d.log", 4))
	if err := os.Remove(middle); err != nil {
		t.Fatal(err)
	}
	works(t, openEngine(t, dir), padded(4)...)
}

// Recovery reads the batches above the recovery point, and of what lies below
// no more than headers for one index interval.
func TestRecoveryReadsAboveThePoint(t *testing.T) {
	const records = 400
	dir := crashedLog(t, records, 100)
	size := int64(len(batchOf(t, 0, padded(1)...)))
	// Indexes are durable below a point, so this start leaves them.
	if err := openEngine(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	os.Remove(filepath.Join(dir, cleanShutdownFile))
	f := func(point int) {
		t.Helper()
		setPoint(t, dir, point)
		fs := traceDir(t, dir)
		e := openEngine(t, "", onFS(fs))
		var reads int64
		for _, c := range fs.find("read", ".log") {
			if c.isLog("read") {
				reads += c.bytes
			}
		}
		above := int64(records-point) * size
		// One interval of 300 bytes holds up to three batches; one more header
		// tells when the segment began, another validates the index.
		if most := above + 6*record.HeaderSize; reads < above || reads > most {
			t.Errorf("point %d: %d bytes read, want %d to %d", point, reads, above, most)
		}
		holds(t, partition(t, e, "t"), padded(records)...)
		crash(t, e)
	}
	f(records)
	f(records - 1)
	f(records - 50)
	f(records - 99)
	f(records - 150)
	f(1)
}

// A start after a clean stop reads headers for one index interval.
func TestCleanStartReadsTheEnd(t *testing.T) {
	e := openEngine(t, crashedLog(t, 400, 100))
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	fs := traceDir(t, e.Path())
	e = openEngine(t, "", onFS(fs))
	for _, c := range fs.find("read", ".log") {
		if c.isLog("read") && c.bytes != record.HeaderSize {
			t.Errorf("%v of %d bytes, want headers only", c, c.bytes)
		}
	}
	if n := fs.bytesRead("300.log") / record.HeaderSize; n < 1 || n > 6 {
		t.Errorf("%d headers read, want at most 6", n)
	}
	if p := partition(t, e, "t"); p.LeaderEpoch() != 1 {
		t.Errorf("leader epoch %d after a clean stop, want 1 as before", p.LeaderEpoch())
	}
}

// Files that can be derived from the log cost nothing but time when they are
// lost or damaged.
func TestDerivedFilesLost(t *testing.T) {
	f := func(name string, damage func(t *testing.T, dir string)) {
		for _, clean := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/clean=%v", name, clean), func(t *testing.T) {
				e := openEngine(t, crashedLog(t, 30, 10))
				if clean {
					if err := e.Close(); err != nil {
						t.Fatal(err)
					}
				} else {
					crash(t, e)
				}
				damage(t, e.Path())
				works(t, openEngine(t, e.Path()), padded(30)...)
			})
		}
	}
	each := func(suffix string, change func(name string) error) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			names, _ := filepath.Glob(filepath.Join(dir, "t-0", "*"+suffix))
			if len(names) == 0 {
				t.Fatalf("no %s files", suffix)
			}
			for _, name := range names {
				if err := change(name); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	put := func(name, content string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	drop := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
		}
	}
	for _, suffix := range []string{".index", ".timeindex"} {
		f("missing "+suffix, each(suffix, os.Remove))
		f("empty "+suffix, each(suffix, func(name string) error { return os.Truncate(name, 0) }))
		f("garbage "+suffix, each(suffix, func(name string) error {
			return os.WriteFile(name, bytes.Repeat([]byte{0xfe}, 240), 0o600)
		}))
		f("zeros in "+suffix, each(suffix, func(name string) error { return os.WriteFile(name, make([]byte, 240), 0o600) }))
	}
	f("missing recovery points", drop(recoveryPointFile))
	f("empty recovery points", put(recoveryPointFile, ""))
	f("garbage recovery points", put(recoveryPointFile, "garbage"))
	f("recovery points of an unknown version", put(recoveryPointFile, "1\n0\n"))
	f("recovery points of other topics", put(recoveryPointFile, "0\n1\nother 0 99\n"))
	f("missing leader epochs", drop("t-0/"+leaderEpochFile))
	f("empty leader epochs", put("t-0/"+leaderEpochFile, ""))
	f("garbage leader epochs", put("t-0/"+leaderEpochFile, "garbage"))
	f("leader epochs half written", put("t-0/"+leaderEpochFile+tempSuffix, "0\n1"))
}

// A partition whose directory is not its own, or not there, is offline, and
// nothing is made up in its place.
func TestForeignDirectory(t *testing.T) {
	f := func(want string, damage func(dir string) error) {
		t.Helper()
		e := openEngine(t, t.TempDir())
		produceEach(t, createTopic(t, e, "t"), "0")
		produceEach(t, createTopic(t, e, "other"), "0")
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		if err := damage(filepath.Join(e.Path(), "t-0")); err != nil {
			t.Fatal(err)
		}
		e = openEngine(t, e.Path())
		state, err := partition(t, e, "t").State()
		if state != Failed || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("partition is %v: %v, want %q", state, err, want)
		}
		holds(t, partition(t, e, "other"), "0")
	}
	f("no such file", func(dir string) error { return os.Remove(filepath.Join(dir, partitionMetadataFile)) })
	f("no such file", os.RemoveAll)
	f("topic id", func(dir string) error {
		return os.WriteFile(filepath.Join(dir, partitionMetadataFile), encodePartitionMetadata(NewTopicID()), 0o600)
	})
	f("bad checkpoint", func(dir string) error {
		return os.WriteFile(filepath.Join(dir, partitionMetadataFile), []byte("garbage"), 0o600)
	})
	f("not a directory", func(dir string) error {
		return errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600))
	})
}

// Whatever change of the disk is the last one before the process dies in
// recovery, the next start recovers the same records.
func TestCrashDuringRecovery(t *testing.T) {
	from := crashedLog(t, 10, 4)
	edit(t, func(p []byte) []byte { return p[:len(p)-1] }, from, "t-0", fmt.Sprintf("%020d.log", 4))
	boom := errors.New("killed by the test")
	for at := 1; ; at++ {
		fs := traceDir(t, copyDir(t, from))
		fs.noSync = true
		var count atomic.Int32
		fs.hook(func(c call) error {
			switch c.op {
			case "open", "read", "close", "readdir":
				return nil
			}
			if int(count.Add(1)) >= at {
				return boom
			}
			return nil
		})
		e, err := Open("", Options{FS: fs, Log: quiet})
		if err == nil {
			e.WaitReady(context.Background())
			e.Close()
		}
		fs.hook(nil)
		e = openEngine(t, fs.Path())
		holds(t, partition(t, e, "t"), padded(7)...)
		if at%5 == 0 {
			works(t, e, padded(7)...)
		}
		e.Close()
		if int(count.Load()) < at {
			if at < 8 {
				t.Errorf("recovery took %d steps, want more", at)
			}
			return
		}
	}
}

// A recovery that Close interrupts leaves no mark of a clean stop, no open file
// and all recovery points; the next one begins anew.
func TestCloseDuringRecovery(t *testing.T) {
	dir := crashedLog(t, 40, 10)
	setPoint(t, dir, 5)
	fs := traceDir(t, dir)
	reading, release := make(chan struct{}), make(chan struct{})
	var once atomic.Bool
	fs.hook(func(c call) error {
		if c.isLog("read") && !once.Swap(true) {
			close(reading)
			<-release
		}
		return nil
	})
	e, err := Open("", Options{FS: fs, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	<-reading
	closed := make(chan error)
	go func() { closed <- e.Close() }()
	for e.closing() == nil {
	}
	close(release)
	if err := <-closed; err != nil {
		t.Errorf("close: %v", err)
	}
	if names := fs.leaked(); len(names) > 0 {
		t.Errorf("files left open: %v", names)
	}
	if _, err := fs.Stat(cleanShutdownFile); err == nil {
		t.Error("marked as cleanly shut down")
	}
	if points := getFile(t, fs, recoveryPointFile); points != "0\n1\nt 0 5\n" {
		t.Errorf("recovery points %q, want that of t as it was", points)
	}
	works(t, openEngine(t, dir), padded(40)...)
}

// The leader epoch rises at an unclean start only; it is in each batch, and
// EndOfEpoch tells where each epoch ended.
func TestLeaderEpochs(t *testing.T) {
	e := openEngine(t, t.TempDir())
	createTopic(t, e, "t")
	var want []int32
	step := func(epoch int32) {
		t.Helper()
		p := partition(t, e, "t")
		if got := p.LeaderEpoch(); got != epoch {
			t.Fatalf("leader epoch %d, want %d", got, epoch)
		}
		produceEach(t, p, fmt.Sprint(epoch))
		want = append(want, epoch)
		var got []int32
		for rest := logBytes(t, p); len(rest) > 0; {
			var b record.Batch
			b, rest, _ = record.Next(rest)
			got = append(got, b.LeaderEpoch())
		}
		if !slices.Equal(got, want) {
			t.Fatalf("epochs of the batches %v, want %v", got, want)
		}
	}
	step(0)
	e = reopen(t, e)
	step(0)
	e = recrash(t, e)
	step(1)
	e = recrash(t, e)
	step(2)
	e = reopen(t, e)
	step(2)
	end := func(asked, wantEpoch int32, wantEnd Offset) {
		t.Helper()
		epoch, at, err := partition(t, e, "t").EndOfEpoch(asked)
		if epoch != wantEpoch || at != wantEnd || err != nil {
			t.Errorf("epoch %d ends as %d at %d, %v, want %d at %d", asked, epoch, at, err, wantEpoch, wantEnd)
		}
	}
	end(0, 0, 2)
	end(1, 1, 3)
	end(2, 2, 5)
	end(3, -1, -1)
	end(-1, -1, -1)
}

// An epoch that clients were told of is never announced with a lower number
// later, also if no batch carries it, if it is not in the log any more, or if
// only the log still has it.
func TestLeaderEpochNeverFalls(t *testing.T) {
	f := func(name string, between func(t *testing.T, dir string), clean bool) {
		t.Run(name, func(t *testing.T) {
			dir := crashedLog(t, 10, 100)
			e := openEngine(t, dir)
			p := partition(t, e, "t")
			produceEach(t, p, "ten")
			e = recrash(t, e)
			before := partition(t, e, "t").LeaderEpoch()
			if clean {
				if err := e.Close(); err != nil {
					t.Fatal(err)
				}
			} else {
				crash(t, e)
			}
			between(t, dir)
			e = openEngine(t, dir)
			after := partition(t, e, "t").LeaderEpoch()
			if after < before || before < 1 {
				t.Errorf("leader epoch %d, before it was %d", after, before)
			}
		})
	}
	nothing := func(*testing.T, string) {}
	f("clean stop without a batch of the epoch", nothing, true)
	f("crash without a batch of the epoch", nothing, false)
	f("the file of the epochs is lost", func(t *testing.T, dir string) {
		if err := os.Remove(filepath.Join(dir, "t-0", leaderEpochFile)); err != nil {
			t.Fatal(err)
		}
	}, false)
	f("the log lost the epoch", func(t *testing.T, dir string) {
		os.Remove(filepath.Join(dir, recoveryPointFile))
		edit(t, func(p []byte) []byte {
			p[5*len(p)/11+40] ^= 1
			return p
		}, dir, "t-0", firstLog)
	}, false)
}

// The marker of a clean stop is gone, durably, before anything is appended.
func TestCleanMarkerIsRemovedFirst(t *testing.T) {
	e := openEngine(t, t.TempDir(), sameBoot)
	produceEach(t, createTopic(t, e, "t"), "0")
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	fs := traceDir(t, e.Path())
	if getFile(t, fs, cleanShutdownFile) != cleanShutdownContent {
		t.Fatal("no marker of the clean stop")
	}
	fs.reset()
	e = openEngine(t, "", onFS(fs), sameBoot)
	produceEach(t, partition(t, e, "t"), "1")
	var order []string
	for _, c := range fs.calls {
		if c.is("remove", cleanShutdownFile) || c.is("syncdir", ".") || c.isLog("write") {
			order = append(order, c.op)
		}
	}
	order = order[max(slices.Index(order, "remove"), 0):]
	if want := []string{"remove", "syncdir", "write"}; !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
}

// KAFKA-13773: a stop that could not make something durable, for want of space
// or by a fault, leaves no marker of a clean stop, and the next start recovers.
func TestKafka13773NoMarkerAfterFailure(t *testing.T) {
	f := func(op, suffix string, fault error) {
		t.Run(fmt.Sprintf("%s %s %v", op, suffix, fault), func(t *testing.T) {
			dir := crashedLog(t, 30, 10)
			fs := traceDir(t, dir)
			e := openEngine(t, "", onFS(fs))
			e.checkpointMu.Lock() // the checkpoint that follows the start is over, or will fail
			fs.hook(func(c call) error {
				if c.is(op, suffix) {
					return fault
				}
				return nil
			})
			e.checkpointMu.Unlock()
			partition(t, e, "t").Append(&AppendRequest{Batches: batchOf(t, 1000, "30"), Acks: AcksNone})
			err := e.Close()
			if _, statErr := fs.Stat(cleanShutdownFile); statErr == nil {
				t.Errorf("marked as cleanly shut down, close: %v", err)
			}
			fs.hook(nil)
			e = openEngine(t, dir)
			got := values(t, partition(t, e, "t"), 0, 1<<20)
			if len(got) < 30 || !slices.Equal(got[:30], padded(30)) {
				t.Errorf("%d records after a restart, want the 30 that were acknowledged", len(got))
			}
		})
	}
	f("write", ".timeindex", syscall.ENOSPC)
	f("write", ".timeindex", syscall.EIO)
	f("datasync", ".timeindex", syscall.EIO)
	f("datasync", "20.log", syscall.EIO)
	f("create", recoveryPointFile+tempSuffix, syscall.ENOSPC)
	f("write", recoveryPointFile+tempSuffix, syscall.ENOSPC)
	f("datasync", recoveryPointFile+tempSuffix, syscall.EIO)
	f("rename", recoveryPointFile, syscall.EIO)
	f("create", cleanShutdownFile+tempSuffix, syscall.ENOSPC)
	f("write", cleanShutdownFile+tempSuffix, syscall.ENOSPC)
	f("write", leaderEpochFile+tempSuffix, syscall.ENOSPC)
}

// KAFKA-10101: the recovery point stays below what is not synced, and moves to
// what is.
func TestKafka10101PointStaysBelowUnsynced(t *testing.T) {
	fs := traceDir(t, t.TempDir())
	e := openEngine(t, "", onFS(fs))
	p := createTopic(t, e, "t", "flush.messages", "5")
	check := func(want string) {
		t.Helper()
		if _, err := e.checkpoint(false); err != nil {
			t.Fatal(err)
		}
		if got := getFile(t, fs, recoveryPointFile); got != want {
			t.Errorf("recovery points %q, want %q", got, want)
		}
	}
	produceEach(t, p, numbered(5)...)
	await(t, p, "flush", func(o Offsets) bool { return o.Flushed == 5 })
	produceEach(t, p, "5", "6")
	check("0\n1\nt 0 5\n")
	produceEach(t, p, "7", "8", "9")
	await(t, p, "flush", func(o Offsets) bool { return o.Flushed == 10 })
	check("0\n1\nt 0 10\n")
}

// Before the recovery point moves, the indexes below it are durable, names
// included.
func TestCheckpointSyncsIndexesFirst(t *testing.T) {
	fs := traceDir(t, t.TempDir())
	e := openEngine(t, "", onFS(fs))
	p := createTopic(t, e, "t", "index.interval.bytes", "100")
	tune(p, segmentBytes(700))
	produceEach(t, p, numbered(50)...)
	seen := false
	fs.hook(func(c call) error {
		if c.is("rename", recoveryPointFile) {
			seen = true
			for _, s := range p.log.list() {
				for _, x := range []struct {
					name string
					size int64
				}{{s.index.name, s.index.sizeBytes()}, {s.times.name, s.times.sizeBytes()}} {
					if durable := fs.durable(x.name); durable != x.size {
						t.Errorf("%d bytes of %s are durable, want %d", durable, x.name, x.size)
					}
				}
			}
		}
		return nil
	})
	if _, err := e.checkpoint(false); err != nil || !seen {
		t.Errorf("checkpoint %v, moved %v", err, seen)
	}
}

// KAFKA-10207: a time index padded with zeros is rebuilt, and the records' times
// are right afterwards.
func TestKafka10207ZeroPaddedTimeIndex(t *testing.T) {
	for _, zeros := range []int{12, 24, 120} {
		e := openEngine(t, crashedLog(t, 30, 10))
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(firstLog, ".log") + ".timeindex"
		edit(t, func(p []byte) []byte { return append(p, make([]byte, zeros)...) }, e.Path(), "t-0", name)
		e = openEngine(t, e.Path())
		for ts := range int64(30) {
			found, err := partition(t, e, "t").OffsetByTime(ts)
			if found.Offset != Offset(ts) || found.Timestamp != ts || err != nil {
				t.Errorf("%d zeros: timestamp %d at %+v, %v", zeros, ts, found, err)
			}
		}
		e.Close()
	}
}

// KAFKA-12734: an index is checked before the segment is appended to, also after
// a clean stop.
func TestKafka12734IndexIsCheckedBeforeAppend(t *testing.T) {
	e := openEngine(t, crashedLog(t, 30, 100))
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	name := strings.TrimSuffix(firstLog, ".log") + ".index"
	edit(t, func(p []byte) []byte { // entries far behind the end
		return append(p, 0x7f, 0xff, 0xff, 0xf0, 0x7f, 0xff, 0xff, 0xf0)
	}, e.Path(), "t-0", name)
	works(t, openEngine(t, e.Path()), padded(30)...)
}

// KAFKA-13603: an empty active segment, with and without indexes, is no damage.
func TestKafka13603EmptyActiveSegment(t *testing.T) {
	for _, indexes := range []bool{false, true} {
		for _, clean := range []bool{false, true} {
			e := openEngine(t, t.TempDir())
			p := createTopic(t, e, "t")
			produceEach(t, p, "0", "1")
			p.mu.Lock()
			_, err := p.log.roll(1)
			p.mu.Unlock()
			if err != nil {
				t.Fatal(err)
			}
			if clean {
				err = e.Close()
			} else {
				crash(t, e)
			}
			for _, suffix := range []string{".index", ".timeindex"} {
				if indexes {
					err = errors.Join(err, os.WriteFile(filepath.Join(e.Path(), "t-0", "00000000000000000002"+suffix), nil, 0o600))
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			works(t, openEngine(t, e.Path()), "0", "1")
		}
	}
}

// KAFKA-6324: recovery does not mind that a file which it is about to remove is
// not there.
func TestKafka6324RemoveMissingFile(t *testing.T) {
	dir := crashedLog(t, 12, 4)
	edit(t, func(p []byte) []byte { return p[:len(p)-1] }, dir, "t-0", firstLog)
	for _, base := range []int{4, 8} {
		for _, suffix := range []string{".index", ".timeindex"} {
			os.Remove(filepath.Join(dir, "t-0", fmt.Sprintf("%020d%s", base, suffix)))
		}
	}
	works(t, openEngine(t, dir), padded(3)...)
}

// linkedin/kafka#409: damage of the length field of the last batch ends as a
// torn tail, not as an error that blocks the start.
func TestLengthFieldOfLastBatch(t *testing.T) {
	for _, length := range []uint32{0, 1, 48, 49, 50, 1000, 1 << 20, 1<<31 - 1, 1 << 31, 1<<32 - 1} {
		dir := crashedLog(t, 3, 100)
		edit(t, func(p []byte) []byte {
			binary.BigEndian.PutUint32(p[2*len(p)/3+8:], length)
			return p
		}, dir, "t-0", firstLog)
		e := openEngine(t, dir)
		holds(t, partition(t, e, "t"), padded(2)...)
		e.Close()
	}
}

// Append times do not go back over a restart with an earlier clock.
func TestAppendTimeOverRestart(t *testing.T) {
	clock := newFakeClock()
	e := openEngine(t, t.TempDir(), clock.use)
	p := createTopic(t, e, "t", "message.timestamp.type", "LogAppendTime")
	first := produce(t, p, batchOf(t, 1, "0")).LogAppendTime
	for _, clean := range []bool{true, false} {
		if clean {
			e = reopen(t, e, clock.use)
		} else {
			e = recrash(t, e, clock.use)
		}
		clock.ms.Add(-3_600_000)
		if next := produce(t, partition(t, e, "t"), batchOf(t, 1, "x")).LogAppendTime; next < first {
			t.Errorf("append time %d after %d", next, first)
		}
	}
}
