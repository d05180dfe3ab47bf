package verify

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/engine/vfs"
	"github.com/rollway/rollway/internal/faultlab"
)

// store is a data directory with everything that it can hold, and what was
// acknowledged of it: the model that reads are held against.
type store struct {
	dir    string
	clean  bool                // stopped cleanly, else killed
	values map[string][]string // of a topic by offset; "": there is no record
}

// storeTopics are the topics of a store: "victim" has several segments, epochs and
// producers and is what is harmed; "bystander" must not notice.
var storeTopics = []string{"victim", "bystander"}

// newStore makes one. Killed, it is a copy of the directory while the engine still
// had it open: everything that was acknowledged is in the files, nothing was
// closed.
func newStore(t testing.TB, clean bool) *store {
	t.Helper()
	s := &store{dir: filepath.Join(t.TempDir(), "data"), clean: clean, values: map[string][]string{}}
	e := openEngine(t, s.dir)
	for _, name := range storeTopics {
		if _, err := e.CreateTopic(engine.TopicSpec{Name: name, Configs: map[string]string{"segment.ms": "100000", "index.interval.bytes": "400", "retention.ms": "-1"}}); err != nil {
			t.Fatal(err)
		}
	}
	s.fill(t, e, 40)
	closeEngine(t, e)
	if err := os.Remove(filepath.Join(s.dir, ".kafka_cleanshutdown")); err != nil {
		t.Fatal(err)
	}
	e = openEngine(t, s.dir)
	s.fill(t, e, 25)
	killed := filepath.Join(t.TempDir(), "killed")
	copyTree(t, s.dir, killed)
	closeEngine(t, e)
	if !clean {
		s.dir = killed
	}
	// There is one once somebody has deleted records; and a ballast, once the engine
	// has found time to make it.
	for name, content := range map[string]string{
		"log-start-offset-checkpoint": "0\n1\nvictim 0 0\n",
		"rollway-ballast":             strings.Repeat("b", int(engineOptions.BallastBytes)),
	} {
		path := filepath.Join(s.dir, name)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return s
}

// quarantinedStore makes one that knows of damage in its first segment, stopped
// cleanly.
func quarantinedStore(t testing.TB) *store {
	t.Helper()
	s := newStore(t, true)
	name := files(t, s.dir, "victim-0/*.log")[0]
	at, _ := batchesOf(t, name)
	flipBit(t, name, (at[len(at)/2]+9)*8) // of a length, so that a lookup meets it
	e := openEngine(t, s.dir)
	if lost := s.read(t, e, "victim", "quarantine"); len(lost) == 0 {
		t.Fatal("no record is lost")
	}
	closeEngine(t, e)
	if files(t, s.dir, "victim-0/"+quarantineFile); t.Failed() {
		t.FailNow()
	}
	return s
}

// fill appends batches of one to three records of an idempotent producer to each
// topic. Timestamps rise so that a segment holds about twelve batches.
func (s *store) fill(t testing.TB, e *engine.Engine, batches int) {
	t.Helper()
	for i, name := range storeTopics {
		p, err := e.Partition([]byte(name), 0)
		if err != nil {
			t.Fatal(err)
		}
		for range batches {
			n := len(s.values[name])
			var b record.Builder
			b.Reset(record.BuilderOptions{
				Codec:    record.Codec(n % 5),
				Producer: &record.Producer{ID: int64(7 + i), BaseSequence: int32(n)},
			})
			for j := range 1 + n%3 {
				value := fmt.Sprintf("%s %d %s", name, n+j, strings.Repeat("v", n*n%97))
				if err := b.Append(1_700_000_000_000+int64(n+j)*4000, nil, []byte(value)); err != nil {
					t.Fatal(err)
				}
				s.values[name] = append(s.values[name], value)
			}
			batch, err := b.Build(nil)
			if err != nil {
				t.Fatal(err)
			}
			r := &engine.AppendRequest{Batches: batch, Acks: engine.AcksAll}
			if err := p.Produce(t.Context(), r); err != nil || int(r.BaseOffset) != n {
				t.Fatalf("append to %s: offset %d, want %d: %v", name, r.BaseOffset, n, err)
			}
		}
	}
}

// copyTo copies the store for something to be done to it.
func (s *store) copyTo(t testing.TB, dir string) *store {
	t.Helper()
	copyTree(t, s.dir, dir)
	c := &store{dir: dir, clean: s.clean, values: map[string][]string{}}
	for name, values := range s.values {
		c.values[name] = slices.Clone(values)
	}
	return c
}

// copyTree copies a directory.
func copyTree(t testing.TB, from, to string) {
	t.Helper()
	if err := errors.Join(os.RemoveAll(to), os.CopyFS(to, os.DirFS(from))); err != nil {
		t.Fatal(err)
	}
}

// isNamed tells whether an operator learns from an error what is wrong.
func isNamed(err error) bool {
	var damage *engine.CorruptionError
	if errors.As(err, &damage) {
		return true
	}
	for _, known := range []error{
		engine.ErrDirectoryRefused, engine.ErrUnknownVersion, engine.ErrBadCheckpoint, engine.ErrOffsetOutOfRange,
		engine.ErrUnknownTopic, engine.ErrUnknownPartition, vfs.ErrLocked, fs.ErrNotExist,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	// What the file system says of a foreign type names the file.
	var path *fs.PathError
	return errors.As(err, &path)
}

// read is a consumer that checks crcs and offsets, as ours does, and goes on behind
// what it cannot read. It returns the offsets that it could not read; every record
// that it did read is the model's, and every error is named, or the test fails.
func (s *store) read(t testing.TB, e *engine.Engine, name, what string) (lost []record.Offset) {
	t.Helper()
	want := s.values[name]
	all := func() []record.Offset {
		for off := range want {
			lost = append(lost, record.Offset(off))
		}
		return lost
	}
	p, err := e.Partition([]byte(name), 0)
	if err == nil {
		_, err = p.State()
	}
	if err != nil {
		if !isNamed(err) {
			t.Errorf("%s: %s: %v", what, name, err)
		}
		return all()
	}
	var cursor engine.Cursor
	begun := false
	for off := engine.Offset(0); int(off) < len(want); {
		next, err := s.readOnce(t, p, off, begun, &cursor, what)
		if err == nil && next > off {
			off, begun = next, true
			continue
		}
		if err != nil && !isNamed(err) {
			t.Errorf("%s: %s: offset %d: %v", what, name, off, err)
		}
		lost = append(lost, off)
		off, cursor, begun = off+1, engine.Cursor{}, false
	}
	return lost
}

// readOnce fetches at off and returns the offset behind what was good of it. Only the
// first batch of a reader may begin before off: no crc covers a base offset, but a
// reader who goes on knows it.
func (s *store) readOnce(t testing.TB, p *engine.Partition, off engine.Offset, begun bool, cursor *engine.Cursor, what string) (engine.Offset, error) {
	t.Helper()
	slice, err := p.Fetch(engine.FetchRequest{Offset: off, MaxBytes: 2000, Cursor: cursor})
	if err != nil {
		return off, err
	}
	data, err := slice.ReadAll(nil)
	slice.Close()
	for len(data) > 0 && err == nil {
		var b record.Batch
		if b, data, err = record.Next(data); err != nil {
			return off, nil
		}
		if b.Verify() != nil || b.BaseOffset() > off || b.NextOffset() <= off || begun && b.BaseOffset() != off {
			return off, nil
		}
		begun = true
		records, err := b.Decompress(nil, 1<<20)
		if err != nil {
			return off, nil
		}
		for it := b.Iterate(records); it.Next(); {
			r := it.Record()
			if want := s.values[p.Topic()]; int(r.Offset) >= len(want) || string(r.Value) != want[r.Offset] {
				t.Fatalf("%s: %s: WRONG READ at offset %d: %.60q", what, p, r.Offset, r.Value)
			}
		}
		off = b.NextOffset()
	}
	return off, err
}

// append has every partition that works take a batch, which must not get the
// offset of a record that was acknowledged before, and adds it to the model.
func (s *store) append(t testing.TB, e *engine.Engine, what string) {
	t.Helper()
	for _, name := range storeTopics {
		p, err := e.Partition([]byte(name), 0)
		if err != nil {
			continue
		}
		if state, _ := p.State(); state != engine.Ready {
			continue
		}
		value := name + " appended after " + what
		var b record.Builder
		b.Reset(record.BuilderOptions{})
		if err := b.Append(1_700_100_000_000, nil, []byte(value)); err != nil {
			t.Fatal(err)
		}
		batch, err := b.Build(nil)
		if err != nil {
			t.Fatal(err)
		}
		r := &engine.AppendRequest{Batches: batch, Acks: engine.AcksAll}
		if err := p.Produce(t.Context(), r); err != nil {
			if !isNamed(err) {
				t.Errorf("%s: append to %s: %v", what, name, err)
			}
			continue
		}
		n := len(s.values[name])
		if int(r.BaseOffset) < n {
			t.Errorf("%s: append to %s got offset %d, but %d were acknowledged", what, name, r.BaseOffset, n)
			continue
		}
		// A harmed recovery point may tell of an end that was never there.
		gap := make([]string, int(r.BaseOffset)-n)
		s.values[name] = append(append(s.values[name], gap...), value)
	}
}

// logs returns the .log files of the directory.
func logs(t testing.TB, dir string) faultlab.Logs {
	t.Helper()
	found, err := faultlab.ReadLogs(dir)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// kept checks that no byte of the logs below their durable end is gone. original are
// the logs before they were harmed.
func kept(t testing.TB, dir, what string, harmed, original faultlab.Logs) {
	t.Helper()
	for _, name := range harmed.Gone(logs(t, dir), original) {
		t.Errorf("%s: bytes of %s are gone", what, name)
	}
}

// open opens an engine on the store; an error must be named.
func (s *store) open(t testing.TB, what string) *engine.Engine {
	t.Helper()
	e, err := engine.Open(s.dir, engineOptions)
	if err != nil {
		if !isNamed(err) {
			t.Errorf("%s: open: %v", what, err)
		}
		return nil
	}
	if err := e.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	return e
}

// budget is how often a long run tries; a smoke without one.
func budget(name string, smoke int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n > 0 {
		return n
	}
	return smoke
}

// faultSeed is the seed of a run, which its log names.
func faultSeed(t testing.TB) uint64 {
	seed, err := strconv.ParseUint(os.Getenv("ROLLWAY_CRASH_SEED"), 10, 64)
	if err != nil {
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)
	return seed
}

// Single flipped bits in logs below their durable end, while no server runs: none
// is delivered as valid, each is found by check, in the one batch that it is in,
// and every other record is still read by its offset, also behind it; the bytes
// stay. After a clean stop and after a kill.
func TestFaultsFlips(t *testing.T) {
	flips := budget("ROLLWAY_FAULT_FLIPS", 40)
	random := rand.New(rand.NewPCG(faultSeed(t), 1))
	stores := []*store{newStore(t, true), newStore(t, false)}
	var unread, mended, harmless, atCheck int
	work := filepath.Join(t.TempDir(), "work")
	for i := range flips {
		s := stores[i%2].copyTo(t, work)
		names := files(t, s.dir, "victim-0/*.log")
		name := names[random.IntN(len(names))]
		at, original := batchesOf(t, name)
		at = append(at, len(original))
		batch := random.IntN(len(at) - 1)
		span := at[batch+1] - at[batch]
		if random.IntN(2) == 0 {
			span = record.HeaderSize // most of what can go wrong is in headers
		}
		bit := random.IntN(span * 8)
		what := fmt.Sprintf("flip %d: clean %v, bit %d of byte %d of the batch at %d of %s", i, s.clean, bit%8, bit/8, at[batch], filepath.Base(name))
		before := logs(t, s.dir)
		flipBit(t, name, at[batch]*8+bit)
		harmed := logs(t, s.dir)

		problems, notes, _ := check(t, s.dir)
		problems = append(problems, notes...) // a note where the journal has the bytes
		if len(problems) == 1 && problems[0].Path == name && problems[0].Position == int64(at[batch]) {
			atCheck++
		} else {
			t.Errorf("%s: check found %v", what, problems)
		}

		e := s.open(t, what)
		if e == nil {
			t.Errorf("%s: refused", what)
			continue
		}
		b := record.Batch(original[at[batch]:at[batch+1]])
		lost := s.read(t, e, "victim", what)
		for _, off := range lost {
			if off < b.BaseOffset() || off > b.LastOffset() {
				t.Errorf("%s: offset %d cannot be read, want all but %d to %d", what, off, b.BaseOffset(), b.LastOffset())
				break
			}
		}
		if lost := s.read(t, e, "bystander", what); len(lost) > 0 {
			t.Errorf("%s: %v of the other partition cannot be read", what, lost)
		}
		s.append(t, e, what)
		closeEngine(t, e)
		kept(t, s.dir, what, harmed, before)
		switch now, err := os.ReadFile(name); {
		case err == nil && string(now[:min(len(now), len(original))]) == string(original):
			mended++ // by the journal
		case len(lost) > 0:
			unread++
		case bit/8 >= 12 && bit/8 < 16:
			harmless++ // the leader epoch: the records are what they were
		default:
			t.Errorf("%s: every record was read, want the batch to fail", what)
		}
		if t.Failed() {
			break
		}
	}
	t.Logf("%d flips: %d found by check, 0 delivered as valid, 0 other records lost; %d batches failed, %d were mended from the journal, %d had the leader epoch hit and right records", flips, atCheck, unread, mended, harmless)
}

// Every kind of file, harmed in every way, after a clean stop and after a kill: the
// engine starts or refuses by name, never panics, keeps every byte of the logs
// below their durable end, reads nothing wrong, also after it has appended and
// started again, and gives no offset out twice.
func TestFaultsMutations(t *testing.T) {
	rounds := budget("ROLLWAY_FAULT_MUTATIONS", 0) // 0: one case in twelve
	random := rand.New(rand.NewPCG(faultSeed(t), 2))
	work := filepath.Join(t.TempDir(), "work")
	cases, refused := 0, 0
	seen := map[string]bool{}
	stores := []*store{newStore(t, true), newStore(t, false), quarantinedStore(t)}
	for _, s := range stores {
		for _, kind := range faultlab.FileKinds {
			present, err := faultlab.FilesOf(s.dir, "victim-0", kind)
			if err != nil {
				t.Fatal(err)
			}
			if len(present) > 0 {
				seen[kind] = true
			}
			for _, harm := range faultlab.Harms {
				for round := range max(rounds, 1) {
					if len(present) == 0 || rounds == 0 && random.IntN(12) > 0 {
						continue
					}
					file := present[random.IntN(len(present))]
					what := fmt.Sprintf("clean %v, %s %s, round %d", s.clean, file, harm.Name, round)
					cases++
					if !s.copyTo(t, work).survives(t, what, func() error { return harm.Do(random, kind, filepath.Join(work, file)) }) {
						refused++
					}
				}
			}
		}
	}
	for _, kind := range faultlab.FileKinds {
		if !seen[kind] {
			t.Errorf("no store has a file %s", kind)
		}
	}
	t.Logf("%d cases: %d kinds of files harmed in %d ways; %d refused with a named error, in the others every read was right or failed with one", cases, len(seen), len(faultlab.Harms), refused)
}

// survives harms a store and checks what becomes of it. It tells whether the engine
// started.
func (s *store) survives(t testing.TB, what string, harm func() error) (started bool) {
	t.Helper()
	original := logs(t, s.dir)
	if err := harm(); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	harmed := logs(t, s.dir)
	if _, err := Dir(t.Context(), s.dir, Options{}, func(Finding) error { return nil }); err != nil && !isNamed(err) && !errors.Is(err, ErrNoDataDirectory) {
		t.Errorf("%s: check: %v", what, err)
	}
	for range 2 {
		e := s.open(t, what)
		if e == nil {
			kept(t, s.dir, what, harmed, original)
			return false
		}
		for _, name := range storeTopics {
			s.read(t, e, name, what)
		}
		s.append(t, e, what)
		for _, name := range storeTopics {
			s.read(t, e, name, what+", after an append")
		}
		if err := e.Close(); err != nil && !isNamed(err) {
			t.Errorf("%s: close: %v", what, err)
		}
		kept(t, s.dir, what, harmed, original)
	}
	return true
}
