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
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/rollway/rollway/engine/vfs"
	"github.com/rollway/rollway/internal/golden"
)

// testJournalBytes is the size of a journal whose halves turn after 128 groups.
const testJournalBytes = 1 << 20

// journaling opens with the smallest journal.
func journaling(o *Options) { o.JournalBytes = testJournalBytes }

// hasJournal waits until the engine has made its journal, which the first append
// begins.
func hasJournal(t testing.TB, e *Engine) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		e.committer.mu.Lock()
		j := e.committer.journal
		e.committer.mu.Unlock()
		if j != nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("no journal was made")
		}
	}
}

// journaledLog returns an engine on fs with a topic t, whose first record is in
// its file, and whose journal is there.
func journaledLog(t testing.TB, fs vfs.FS, configs ...string) (*Engine, *Partition) {
	t.Helper()
	e := openEngine(t, "", onFS(fs), journaling)
	p := createTopic(t, e, "t", configs...)
	produceEach(t, p, "0")
	hasJournal(t, e)
	// The first group with a journal syncs what was not staged: nothing here.
	return e, p
}

// dropUnsynced does to the files below dir what a power cut may do at worst:
// every .log file ends where it was last synced.
func dropUnsynced(t testing.TB, fs *tracedFS) {
	t.Helper()
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for name, synced := range fs.synced {
		if !strings.HasSuffix(name, ".log") || !strings.Contains(name, "/") {
			continue
		}
		if err := os.Truncate(filepath.Join(fs.Path(), name), synced); err != nil {
			t.Fatal(err)
		}
	}
}

// A commit of appends to many partitions is one sync, of the journal; the records
// are visible after it, and a power cut that takes all that their own files did
// not sync leaves each of them.
func TestJournalCommit(t *testing.T) {
	fs := traceDir(t, t.TempDir())
	e, _ := journaledLog(t, fs)
	topic, err := e.CreateTopic(TopicSpec{Name: "many", Partitions: 20})
	if err != nil {
		t.Fatal(err)
	}
	fs.reset()
	var wg sync.WaitGroup
	for _, p := range topic.Partitions() {
		wg.Go(func() { produceEach(t, p, "a", "b", "c") })
	}
	wg.Wait()
	if syncs := fs.find("datasync", "0.log"); len(syncs) > 0 {
		t.Errorf("%d segments were synced, want none: %v", len(syncs), syncs[0])
	}
	if syncs := len(fs.find("datasync", journalFile)); syncs == 0 || syncs > 60 {
		t.Errorf("%d syncs of the journal for 60 appends", syncs)
	}
	crash(t, e)
	dropUnsynced(t, fs)
	e = openEngine(t, fs.Path(), journaling)
	for i := range topic.Partitions() {
		p, err := e.Partition([]byte("many"), int32(i))
		if err != nil {
			t.Fatal(err)
		}
		holds(t, p, "a", "b", "c")
		if p.replayed != 3 {
			t.Errorf("%d batches came from the journal, want 3", p.replayed)
		}
	}
	holds(t, partition(t, e, "t"), "0")
}

// What has much to commit is synced in its file, and the journal has a promise of
// it: damage of its end is no torn tail then.
func TestJournalPromise(t *testing.T) {
	fs := traceDir(t, t.TempDir())
	e, p := journaledLog(t, fs)
	fs.reset()
	large := strings.Repeat("x", directBytes)
	produceEach(t, p, large)
	if syncs := fs.find("datasync", firstLog); len(syncs) != 1 {
		t.Errorf("%d syncs of the segment, want 1", len(syncs))
	}
	if writes := fs.find("write", journalFile); len(writes) != 1 || writes[0].bytes > journalBlock {
		t.Errorf("journal writes %+v, want a promise", writes)
	}
	crash(t, e)
	edit(t, func(p []byte) []byte { return p[:len(p)-1] }, fs.Path(), "t-0", firstLog)
	e = openEngine(t, fs.Path(), journaling)
	p = partition(t, e, "t")
	if o := p.Offsets(); o.LogEnd != 2 {
		t.Errorf("log ends at %d, want 2", o.LogEnd)
	}
	if damage := p.Damage(); len(damage) != 1 || damage[0].From != 1 || damage[0].To != 2 {
		t.Errorf("damage %+v, want offset 1", damage)
	}
}

// Whoever appends little does not wait for the file of another that is being
// synced; and that one is answered only when the promise of it is durable too, with
// what it has appended meanwhile.
func TestJournalGoesOnBesideSyncs(t *testing.T) {
	fs := traceDir(t, t.TempDir())
	e, large := journaledLog(t, fs)
	small := createTopic(t, e, "small")
	produceEach(t, small, "first") // its file is new: a name to sync
	syncing, goOn := make(chan struct{}), make(chan struct{})
	promising, promised := make(chan struct{}), make(chan struct{})
	var syncs, records atomic.Int32
	fs.hook(func(c call) error {
		switch {
		case c.is("datasync", "t-0/"+firstLog) && syncs.Add(1) == 1:
			close(syncing)
			<-goOn
		case c.is("datasync", journalFile) && syncs.Load() > 0 && records.Add(1) == 2:
			close(promising)
			<-promised
		}
		return nil
	})
	large.Append(&AppendRequest{Batches: batchOf(t, 1, strings.Repeat("x", directBytes))})
	<-syncing
	large.Append(&AppendRequest{Batches: batchOf(t, 1, "behind it")})
	produceEach(t, small, "second") // returns although the sync does not
	if o := large.Offsets(); o.HighWatermark != 1 || o.LogEnd != 3 {
		t.Errorf("offsets %+v while the file is synced, want one record visible of 3", o)
	}
	close(goOn)
	<-promising
	if o := large.Offsets(); o.HighWatermark != 1 || o.Flushed != 1 {
		t.Errorf("offsets %+v before the promise is durable, want one record visible", o)
	}
	close(promised)
	if err := large.AwaitHighWatermark(context.Background(), 3); err != nil {
		t.Error(err)
	}
	crash(t, e)
	dropUnsynced(t, fs)
	e = openEngine(t, fs.Path(), journaling)
	holds(t, partition(t, e, "t"), "0", strings.Repeat("x", directBytes), "behind it")
	holds(t, partition(t, e, "small"), "first", "second")
}

// Halves are reused only after the segments of what they hold were synced, and
// what became durable long ago is still known to be so.
func TestJournalWraps(t *testing.T) {
	fs := traceDir(t, t.TempDir())
	e, p := journaledLog(t, fs)
	other := createTopic(t, e, "other")
	produceEach(t, other, "once")
	var want []string
	for i := range 80 {
		v := fmt.Sprintf("%40000d", i)
		want = append(want, v)
		produceEach(t, p, v)
		if synced := fs.durable("t-0/" + firstLog); int64(i+1)*40000-synced > testJournalBytes {
			t.Fatalf("after %d records %d bytes are synced", i, synced)
		}
	}
	crash(t, e)
	dropUnsynced(t, fs)
	edit(t, func(p []byte) []byte { return p[:len(p)-1] }, fs.Path(), "other-0", firstLog)
	e = openEngine(t, fs.Path(), journaling)
	holds(t, partition(t, e, "t"), append([]string{"0"}, want...)...)
	if damage := partition(t, e, "other").Damage(); len(damage) != 1 {
		t.Errorf("damage of what left the journal by a wrap: %+v", damage)
	}
}

// A start goes on in the journal; whatever it holds is replayed by a later start
// too, and a clean stop leaves it empty.
func TestJournalGoesOn(t *testing.T) {
	dir := t.TempDir()
	e := openEngine(t, dir, journaling)
	produceEach(t, createTopic(t, e, "t"), "0")
	hasJournal(t, e)
	want := []string{"0"}
	for i := range 5 {
		v := fmt.Sprint("crash ", i)
		produceEach(t, partition(t, e, "t"), v)
		want = append(want, v)
		e = recrash(t, e, journaling)
		holds(t, partition(t, e, "t"), want...)
	}
	e = reopen(t, e, journaling)
	scan, err := openJournal(e.fs)
	if err != nil {
		t.Fatal(err)
	}
	defer scan.file.Close()
	if n := len(scan.halves[0].records) + len(scan.halves[1].records); n != 0 || scan.header.first < 6 {
		t.Errorf("after a clean stop %d records count, and the first would be %d", n, scan.header.first)
	}
	holds(t, partition(t, e, "t"), want...)
}

// A damaged record in the middle ends the replay, is reported, and the file is
// kept under another name; the end of the ring may be torn without a word.
func TestJournalDamage(t *testing.T) {
	f := func(name string, change func([]byte) []byte, aside bool) {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			e := openEngine(t, dir, journaling)
			p := createTopic(t, e, "t")
			produceEach(t, p, "0")
			hasJournal(t, e)
			produceEach(t, p, "1", "2", "3")
			crash(t, e)
			edit(t, change, dir, journalFile)
			e = openEngine(t, dir, journaling)
			holds(t, partition(t, e, "t"), "0", "1", "2", "3") // the segments have them
			_, err := os.Stat(filepath.Join(dir, journalFile+".damaged"))
			if (err == nil) != aside {
				t.Errorf("set aside: %v, want %v", err == nil, aside)
			}
			produceEach(t, partition(t, e, "t"), "4")
			hasJournal(t, e)
			e = recrash(t, e, journaling)
			holds(t, partition(t, e, "t"), "0", "1", "2", "3", "4")
		})
	}
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte {
			b[at] ^= 1
			return b
		}
	}
	f("first record", flip(journalHeaders+100), true)
	f("length of the first record", flip(journalHeaders+1), true)
	f("second record", flip(journalHeaders+journalBlock+100), true)
	f("last record", flip(journalHeaders+2*journalBlock+100), false)
	f("one header", flip(5), false)
	f("version of one header", flip(11), false)
	f("both headers", func(b []byte) []byte { return flip(journalBlock + 30)(flip(5)(b)) }, true)
	f("cut off", func(b []byte) []byte { return b[:journalHeaders+10] }, true)
	f("empty", func([]byte) []byte { return nil }, true)
	f("zeros", func(b []byte) []byte { return make([]byte, len(b)) }, true)
}

// A journal of a later version is not touched, and the directory is refused.
func TestJournalVersion(t *testing.T) {
	dir := t.TempDir()
	e := openEngine(t, dir, journaling)
	produceEach(t, createTopic(t, e, "t"), "0")
	hasJournal(t, e)
	crash(t, e)
	edit(t, func(b []byte) []byte {
		b[11]++
		b[journalBlock+11]++
		return b
	}, dir, journalFile)
	if _, err := Open(dir, Options{Log: quiet}); !errors.Is(err, ErrUnknownVersion) {
		t.Errorf("open: %v", err)
	}
}

// Another size, or none, is in force from the next start on; what the old journal
// held is not lost by that.
func TestJournalResized(t *testing.T) {
	fs := traceDir(t, t.TempDir())
	e, p := journaledLog(t, fs)
	produceEach(t, p, "1")
	crash(t, e)
	dropUnsynced(t, fs)
	e = openEngine(t, fs.Path(), func(o *Options) { o.JournalBytes = 2 * testJournalBytes })
	holds(t, partition(t, e, "t"), "0", "1")
	produceEach(t, partition(t, e, "t"), "2")
	hasJournal(t, e)
	e = reopen(t, e)
	holds(t, partition(t, e, "t"), "0", "1", "2")
	if _, err := os.Stat(filepath.Join(fs.Path(), journalFile)); err == nil {
		t.Error("the journal is still there although none is wanted")
	}
}

// A failed write or sync of the journal is final: nothing is acknowledged and
// nothing is synced after it.
func TestJournalFaultIsFinal(t *testing.T) {
	for _, op := range []string{"write", "datasync"} {
		t.Run(op, func(t *testing.T) {
			fs := traceDir(t, t.TempDir())
			e, p := journaledLog(t, fs)
			failing := false
			fs.hook(func(c call) error {
				if failing && (c.op == "datasync" || c.op == "syncdir") {
					t.Errorf("%v after the first error", c)
				}
				if c.is(op, journalFile) {
					failing = true
					return syscall.EIO
				}
				return nil
			})
			r := &AppendRequest{Batches: batchOf(t, 1, "lost"), Acks: AcksAll}
			if err := p.Produce(t.Context(), r); !errors.Is(err, ErrStorageFailed) || !errors.Is(err, syscall.EIO) {
				t.Errorf("produce: %v", err)
			}
			holds(t, p, "0")
			e.Close()
			fs.hook(nil)
		})
	}
}

// Where the file system has no room for an overwrite of the journal, files are
// synced, and the journal is used again when there is.
func TestJournalWithoutSpace(t *testing.T) {
	fs := traceDir(t, t.TempDir())
	_, p := journaledLog(t, fs)
	fs.hook(func(c call) error {
		if c.is("write", journalFile) {
			return syscall.ENOSPC
		}
		return nil
	})
	fs.reset()
	produceEach(t, p, "1")
	if len(fs.find("datasync", firstLog)) != 1 {
		t.Error("the segment was not synced")
	}
	fs.hook(nil)
	fs.reset()
	produceEach(t, p, "2")
	if len(fs.find("datasync", journalFile)) != 1 {
		t.Error("the journal was not used again")
	}
	holds(t, p, "0", "1", "2")
}

// A half with bytes of a partition that could not be recovered is not reused: its
// bytes may be nowhere else.
func TestJournalOfOfflinePartition(t *testing.T) {
	fs := traceDir(t, t.TempDir())
	e, p := journaledLog(t, fs)
	other := createTopic(t, e, "other")
	produceEach(t, p, "1")
	produceEach(t, other, "x")
	crash(t, e)
	dropUnsynced(t, fs)
	identity := filepath.Join(fs.Path(), "t-0", partitionMetadataFile)
	good, err := os.ReadFile(identity)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(identity, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	e = openEngine(t, fs.Path(), journaling)
	for i := range 60 { // three times round
		produceEach(t, partition(t, e, "other"), fmt.Sprintf("%50000d", i))
	}
	crash(t, e)
	if err := os.WriteFile(identity, good, 0o600); err != nil {
		t.Fatal(err)
	}
	e = openEngine(t, fs.Path(), journaling)
	holds(t, partition(t, e, "t"), "0", "1")
	if got := values(t, partition(t, e, "other"), 0, 1<<20); len(got) != 61 {
		t.Errorf("other has %d records, want 61", len(got))
	}
}

// A half that waits for a partition is used again once that has recovered.
func TestJournalHalfIsFlushedAgain(t *testing.T) {
	fs := traceDir(t, t.TempDir())
	e, p := journaledLog(t, fs)
	produceEach(t, p, "1")
	j := e.committer.journal
	p.state.Store(int32(Recovering)) // as one that waits for space on its disk
	half := &j.halves[j.current]
	j.turn()
	<-half.flushed
	if _, ok := j.room(int(j.halfBytes) - 1); !ok {
		t.Fatal("no room in an empty half")
	}
	j.position = j.halfBytes
	if _, ok := j.room(1); ok || !half.blocked {
		t.Fatal("a half is reused that a partition needs")
	}
	p.state.Store(int32(Ready))
	if _, ok := j.room(1); ok {
		t.Fatal("the half was reused before it was flushed")
	}
	<-half.flushed
	if _, ok := j.room(1); !ok || j.halves[j.current].first != 0 {
		t.Error("the half is not used again")
	}
}

// The checkpoint syncs a segment whose bytes are durable in the journal only
// before the recovery point passes them.
func TestCheckpointSyncsJournaledSegments(t *testing.T) {
	fs := traceDir(t, t.TempDir())
	e, p := journaledLog(t, fs)
	produceEach(t, p, "1", "2")
	fs.reset()
	if _, err := e.checkpoint(false); err != nil {
		t.Fatal(err)
	}
	log := slices.IndexFunc(fs.calls, func(c call) bool { return c.is("datasync", firstLog) })
	points := slices.IndexFunc(fs.calls, func(c call) bool { return c.is("rename", recoveryPointFile) })
	if log < 0 || points < log {
		t.Errorf("segment synced at call %d, points renamed at %d", log, points)
	}
}

// The layout is that of docs/format/journal.md.
func TestJournalGolden(t *testing.T) {
	var r journalRecord
	r.reset()
	id := TopicID{0x4b, 0xb7, 0x9a, 0xd0, 0x5d, 0x9d, 0x4a, 0x4a, 0x95, 0xed, 0x15, 0x1f, 0x34, 0xcf, 0x01, 0x1d}
	r.add(journalPromise{topic: id, partition: 3, segment: 42, position: 4096, next: 60}, 5, [][]byte{[]byte("bat"), []byte("ch")})
	r.add(journalPromise{topic: id, partition: 4, segment: 0, position: 800, next: 7}, 0, nil)
	var text bytes.Buffer
	text.Write(golden.Hex(journalHeader{half: 512 << 10, first: 7, previous: 0x1122334455667788}.encode(),
		golden.Field{Len: 8, Name: `magic "rolljrnl"`}, golden.Field{Len: 4, Name: "version 1"},
		golden.Field{Len: 8, Name: "half"}, golden.Field{Len: 8, Name: "first"}, golden.Field{Len: 8, Name: "previous"},
		golden.Field{Len: 8, Name: "checksum of bytes 0..35"}))
	text.WriteByte('\n')
	entry := []golden.Field{
		{Len: 16, Name: "topic id"}, {Len: 4, Name: "partition"}, {Len: 4, Name: "length"},
		{Len: 8, Name: "segment"}, {Len: 8, Name: "position"}, {Len: 8, Name: "next"},
	}
	fields := []golden.Field{
		{Len: 4, Name: "length"}, {Len: 8, Name: "sequence 9"}, {Len: 8, Name: "tail 7"}, {Len: 8, Name: "previous"},
		{Len: 4, Name: "2 entries"}, {Len: 8, Name: "checksum, of all with this field 0"},
	}
	fields = append(append(fields, entry...), golden.Field{Len: 5, Name: "bytes"})
	text.Write(golden.Hex(r.seal(9, 7, 0x8877665544332211), append(fields, entry...)...))
	golden.Check(t, "journal", text.Bytes())
}

// parseJournalRecord never panics, allocates by no unchecked length, and returns
// what was sealed.
func FuzzJournalRecord(f *testing.F) {
	var r journalRecord
	r.reset()
	r.add(journalPromise{partition: 1, segment: 2, position: 3, next: 4}, 3, [][]byte{[]byte("abc")})
	f.Add(bytes.Clone(r.seal(1, 1, 0)), false)
	f.Add(make([]byte, journalRecordSize), true)
	f.Fuzz(func(t *testing.T, b []byte, resum bool) {
		if resum && len(b) >= journalRecordSize {
			// So that the fuzzer gets behind the checksum.
			binary.BigEndian.PutUint32(b, uint32(len(b)))
			binary.BigEndian.PutUint64(b[journalChecksumAt:], 0)
			binary.BigEndian.PutUint64(b[journalChecksumAt:], xxhash.Sum64(b))
		}
		got, err := parseJournalRecord(bytes.Clone(b), 0)
		if err != nil {
			return
		}
		var again journalRecord
		again.reset()
		for _, e := range got.entries {
			again.add(e.journalPromise, e.bytes, [][]byte{b[e.at : e.at+int64(e.bytes)]})
		}
		if !bytes.Equal(again.seal(got.sequence, got.tail, got.previous), b) {
			t.Errorf("%x comes back as %x", b, again.bytes)
		}
	})
}
