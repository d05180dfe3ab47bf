package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rollway/rollway/engine/record"
)

// A time index never stands without an offset index: Kafka's DumpLogSegments
// opens both to check the first, and fails if there is but one.
func TestTimeIndexHasOffsetIndexBeside(t *testing.T) {
	e := openEngine(t, t.TempDir())
	p := createTopic(t, e, "t")
	produceEach(t, p, "a", "b")
	beside := func() {
		t.Helper()
		times, err := filepath.Glob(filepath.Join(e.Path(), p.dir, "*.timeindex"))
		if err != nil || len(times) == 0 {
			t.Fatalf("time indexes %v, %v", times, err)
		}
		for _, name := range times {
			if _, err := os.Stat(fmt.Sprintf("%s.index", name[:len(name)-len(".timeindex")])); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := e.checkpoint(false); err != nil {
		t.Fatal(err)
	}
	beside()
	tune(p, segmentBytes(100))
	produceEach(t, p, "c", "d") // each rolls
	beside()
	e = reopen(t, e)
	beside()
	if err := os.Remove(filepath.Join(e.Path(), p.dir, "00000000000000000000.index")); err != nil {
		t.Fatal(err)
	}
	e = recrash(t, e)
	holds(t, partition(t, e, "t"), "a", "b", "c", "d")
}

// KAFKA-5431: zeros behind the last batch, as a preallocated file has and a crash
// leaves where the size is durable and the data are not, are an end of the log and
// no corrupt record: after a clean stop and after an unclean one, whether they fill
// a header or not.
func TestKafka5431ZeroTail(t *testing.T) {
	for _, zeros := range []int{60, 61, 4096} {
		for _, clean := range []bool{true, false} {
			dir := crashedLog(t, 5, 100)
			if clean {
				if err := openEngine(t, dir).Close(); err != nil {
					t.Fatal(err)
				}
			}
			edit(t, func(p []byte) []byte { return append(p, make([]byte, zeros)...) }, dir, "t-0", firstLog)
			works(t, openEngine(t, dir), padded(5)...)
		}
	}
}

// KAFKA-15401: a corrupt index is not passed on. There is no tier to upload it to;
// whoever copies the directory is the same. One that was damaged while no engine ran
// is right again on disk after the first lookup. One that is damaged under a running
// engine costs no read.
func TestKafka15401CorruptIndexIsNotPassedOn(t *testing.T) {
	dir := crashedLog(t, 60, 20)
	if err := openEngine(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	index := strings.TrimSuffix(firstLog, ".log") + ".index"
	read := func() []byte {
		t.Helper()
		p, err := os.ReadFile(filepath.Join(dir, "t-0", index))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	good := read()
	if len(good) < 4*offsetEntryWidth {
		t.Fatalf("index of %d bytes", len(good))
	}
	lookups := func(e *Engine) {
		t.Helper()
		p := partition(t, e, "t")
		for off := range Offset(20) {
			if got := values(t, p, off, 1); len(got) != 60-int(off) {
				t.Fatalf("%d values from %d on", len(got), off)
			}
		}
	}
	for at := 0; at < len(good); at += 5 {
		damage := func(p []byte) []byte { p[at] ^= 4; return p }
		edit(t, damage, dir, "t-0", index)
		e := openEngine(t, dir)
		lookups(e)
		if got := read(); string(got) != string(good) {
			t.Errorf("byte %d: the index is %x, want %x", at, got, good)
		}
		edit(t, damage, dir, "t-0", index)
		lookups(e)
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		edit(t, func([]byte) []byte { return good }, dir, "t-0", index)
	}
}

// Small files that have grown beyond what such a file can be are damaged like any
// other: what can be derived is made anew, and what cannot is an error by name.
func TestOversizedSmallFiles(t *testing.T) {
	grow := func(size int64, elem ...string) {
		t.Helper()
		f, err := os.OpenFile(filepath.Join(elem...), os.O_RDWR|os.O_CREATE, 0o600)
		if err == nil {
			err = errors.Join(f.Truncate(size), f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	e := openEngine(t, t.TempDir())
	produceEach(t, createTopic(t, e, "t"), "a", "b")
	crash(t, e)
	grow(maxCheckpointBytes+1, e.Path(), "t-0", leaderEpochFile)
	grow(maxCheckpointBytes+1, e.Path(), recoveryPointFile)
	works(t, openEngine(t, e.Path()), "a", "b")
	grow(maxPartitionMetadataBytes+1, e.Path(), "t-0", partitionMetadataFile)
	e = openEngine(t, e.Path())
	if state, err := partition(t, e, "t").State(); state != Failed || !errors.Is(err, ErrBadCheckpoint) {
		t.Errorf("partition is %v: %v", state, err)
	}
}

// CheckAll finds damage that no start would look at, keeps all behind it, also
// where no recovery point says that it was durable, and serves the rest.
func TestCheckAll(t *testing.T) {
	for _, points := range []bool{true, false} {
		dir := crashedLog(t, 30, 10)
		if err := openEngine(t, dir).Close(); err != nil {
			t.Fatal(err)
		}
		if !points {
			if err := errors.Join(os.Remove(filepath.Join(dir, recoveryPointFile)), os.Remove(filepath.Join(dir, bootFile))); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
		}
		edit(t, func(p []byte) []byte { p[len(p)/2+70] ^= 1; return p }, dir, "t-0", firstLog)
		e := openEngine(t, dir, func(o *Options) { o.CheckAll = true })
		p := partition(t, e, "t")
		if got := p.Damage(); len(got) != 1 || got[0].From != 5 || got[0].To != 6 {
			t.Errorf("points %v: damage %+v, want that of offset 5", points, got)
		}
		if got := values(t, p, 6, 1<<20); len(got) != 24 {
			t.Errorf("points %v: %d values behind the damage, want 24", points, len(got))
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A damaged length that leads exactly to a later batch does not take those between
// along: with batches of 128 bytes, one flipped bit does that.
func TestDamagedLengthLeadsToLaterBatch(t *testing.T) {
	value := ""
	for len(batchOf(t, 0, value)) < 128 {
		value += "x"
	}
	const count = 12
	for _, bit := range []int{7, 8, 9} { // one, two and four batches further
		for _, recovered := range []bool{true, false} {
			e := openEngine(t, t.TempDir())
			p := createTopic(t, e, "t")
			var want []string
			for i := range count {
				want = append(want, value[:len(value)-2]+fmt.Sprintf("%02d", i))
				produce(t, p, batchOf(t, 0, want[i]))
			}
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			edit(t, func(p []byte) []byte {
				if len(p) != count*128 {
					t.Fatalf("%d bytes", len(p))
				}
				p[3*128+8+3-bit/8] ^= 1 << (bit % 8)
				return p
			}, e.Path(), "t-0", firstLog)
			e = openEngine(t, e.Path(), func(o *Options) { o.CheckAll = recovered })
			p = partition(t, e, "t")
			for off := range Offset(count) {
				s, err := p.Fetch(FetchRequest{Offset: off, MaxBytes: 128})
				if off == 3 {
					s.Close() // its bytes, or an error
					continue
				}
				if err != nil {
					t.Fatalf("bit %d, recovered %v: offset %d: %v", bit, recovered, off, err)
				}
				got, err := s.ReadAll(nil)
				s.Close()
				if err != nil || len(got) != 128 || record.Batch(got).Verify() != nil || record.Batch(got).BaseOffset() != off {
					t.Fatalf("bit %d, recovered %v: %d bytes at offset %d, %v", bit, recovered, len(got), off, err)
				}
			}
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// KAFKA-13727: when a segment loses its transaction index, readers see records of
// aborted transactions. There are no transactions and so no such index: a batch of
// one is refused, and nothing is appended, so that none is ever taken for committed.
func TestKafka13727NoTransactionalData(t *testing.T) {
	e := openEngine(t, t.TempDir())
	p := createTopic(t, e, "t")
	b := record.Batch(batchBy(t, &record.Producer{ID: 1, BaseSequence: 0}, 1, "open"))
	binary.BigEndian.PutUint16(b[21:], binary.BigEndian.Uint16(b[21:])|1<<4)
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	r := &AppendRequest{Batches: b, Acks: AcksAll}
	p.Append(r)
	matchError(t, r.Err, record.ErrInvalid, "there are no transactions")
	produceEach(t, p, "plain")
	holds(t, p, "plain")
	holds(t, partition(t, recrash(t, e), "t"), "plain")
}
