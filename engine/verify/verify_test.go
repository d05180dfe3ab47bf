package verify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/record"
)

// engineOptions are those of an engine that says nothing, has a small journal and a
// small ballast.
var engineOptions = engine.Options{Log: slog.New(slog.DiscardHandler), JournalBytes: 1 << 20, BallastBytes: 4 << 10}

// openEngine opens dir with an engine.
func openEngine(t testing.TB, dir string) *engine.Engine {
	t.Helper()
	e, err := engine.Open(dir, engineOptions)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	return e
}

func closeEngine(t testing.TB, e *engine.Engine) {
	t.Helper()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

// produce appends batches to a partition: codecs in turn, timestamps that rise
// and fall, values of about size bytes.
func produce(t testing.TB, p *engine.Partition, batches, size int) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, uint64(batches)))
	for i := range batches {
		var b record.Builder
		b.Reset(record.BuilderOptions{Codec: record.Codec(i % 5)})
		for j := range 1 + i%3 {
			value := make([]byte, size)
			for k := range value {
				value[k] = byte(random.Uint32())
			}
			if err := b.Append(1_700_000_000_000+int64(i*10+j)-int64(i%4*35), nil, value); err != nil {
				t.Fatal(err)
			}
		}
		batch, err := b.Build(nil)
		if err != nil {
			t.Fatal(err)
		}
		acks := engine.AcksNone
		if i == batches-1 {
			acks = engine.AcksAll
		}
		if err := p.Produce(t.Context(), &engine.AppendRequest{Batches: batch, Acks: acks}); err != nil {
			t.Fatal(err)
		}
	}
}

// createTopic makes a topic whose segments hold 1 MiB, the least that a topic may set,
// and whose indexes have an entry every interval bytes.
func createTopic(t testing.TB, e *engine.Engine, name string, interval string) *engine.Partition {
	t.Helper()
	made, err := e.CreateTopic(engine.TopicSpec{Name: name, Partitions: 2, Configs: map[string]string{
		"segment.bytes": "1048576", "index.interval.bytes": interval, "flush.messages": "100000", "retention.ms": "-1",
	}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := made.Partition(0)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// dataDir makes a data directory, stopped cleanly, with a log of several
// segments, "large", and one of a few batches, "small", both with several epochs
// and codecs; or with those named only.
func dataDir(t testing.TB, names ...string) string {
	t.Helper()
	if len(names) == 0 {
		names = []string{"large", "small"}
	}
	dir := filepath.Join(t.TempDir(), "data")
	e := openEngine(t, dir)
	for _, name := range names {
		if name == "large" {
			produce(t, createTopic(t, e, name, "4096"), 80, 20_000)
		} else {
			produce(t, createTopic(t, e, name, "300"), 30, 50)
		}
	}
	closeEngine(t, e)
	// Another epoch: an unclean stop, as the missing marker says.
	if err := os.Remove(filepath.Join(dir, ".kafka_cleanshutdown")); err != nil {
		t.Fatal(err)
	}
	e = openEngine(t, dir)
	for _, name := range names {
		p, err := e.Partition([]byte(name), 0)
		if err != nil {
			t.Fatal(err)
		}
		produce(t, p, 12, 1000)
	}
	closeEngine(t, e)
	return dir
}

// check returns the problems and the notes of dir.
func check(t testing.TB, dir string) (problems, notes []Finding, summary Summary) {
	t.Helper()
	summary, err := Dir(context.Background(), dir, Options{}, func(f Finding) error {
		if f.Severity == Problem {
			problems = append(problems, f)
		} else {
			notes = append(notes, f)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if summary.Problems != int64(len(problems)) || summary.Notes != int64(len(notes)) {
		t.Errorf("summary %+v, want %d problems and %d notes", summary, len(problems), len(notes))
	}
	return problems, notes, summary
}

// isWhole fails the test if dir has a problem.
func isWhole(t testing.TB, dir string) Summary {
	t.Helper()
	problems, _, summary := check(t, dir)
	for _, f := range problems {
		t.Errorf("unexpected: %s", f)
	}
	return summary
}

// edit changes a file of dir until the function that it returns is called.
func edit(t testing.TB, name string, change func([]byte) []byte) (undo func()) {
	t.Helper()
	before, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, change(slices.Clone(before)), 0o600); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.WriteFile(name, before, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// flipBit flips one bit of a file until the function that it returns is called.
func flipBit(t testing.TB, name string, bit int) (undo func()) {
	t.Helper()
	flip := func() {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var p [1]byte
		if _, err := f.ReadAt(p[:], int64(bit/8)); err != nil {
			t.Fatal(err)
		}
		p[0] ^= 1 << (bit % 8)
		if _, err := f.WriteAt(p[:], int64(bit/8)); err != nil {
			t.Fatal(err)
		}
	}
	flip()
	return flip
}

// files returns the names of dir that match the pattern, in order.
func files(t testing.TB, dir, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(names) == 0 {
		t.Fatalf("%s: %v, %v", pattern, names, err)
	}
	return names
}

// A directory that the engine wrote has no problem: stopped cleanly, open in a
// server, and as a killed process leaves it.
func TestWholeDirectory(t *testing.T) {
	dir := dataDir(t)
	s := isWhole(t, dir)
	if want := (Summary{Clean: true, Topics: 2, Partitions: 4, Segments: s.Segments, Batches: 80 + 30 + 12 + 12, Bytes: s.Bytes}); s != want || s.Segments < 4 || s.Bytes < 2<<20 {
		t.Errorf("summary %+v", s)
	}
	e := openEngine(t, dir)
	p, err := e.Partition([]byte("large"), 0)
	if err != nil {
		t.Fatal(err)
	}
	produce(t, p, 10, 20_000)
	if s := isWhole(t, dir); !s.Live || s.Clean {
		t.Errorf("summary beside a server: %+v", s)
	}
	copied := filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if s := isWhole(t, copied); s.Live || s.Clean {
		t.Errorf("summary after a kill: %+v", s)
	}
	closeEngine(t, e)
	if s := isWhole(t, dir); s.Live || !s.Clean {
		t.Errorf("summary after the stop: %+v", s)
	}
}

// An index that has no entries because the node's settings were altered so is whole.
func TestAlteredIndexInterval(t *testing.T) {
	f := func(alter func(e *engine.Engine, value string) error) {
		t.Helper()
		dir := filepath.Join(t.TempDir(), "data")
		e := openEngine(t, dir)
		if err := alter(e, "1000000"); err != nil {
			t.Fatal(err)
		}
		made, err := e.CreateTopic(engine.TopicSpec{Name: "t"})
		if err != nil {
			t.Fatal(err)
		}
		produce(t, made.Partitions()[0], 20, 1000)
		closeEngine(t, e)
		isWhole(t, dir)
	}
	set := func(all bool) func(e *engine.Engine, value string) error {
		return func(e *engine.Engine, value string) error {
			return e.AlterNodeConfigs(engine.NodeConfigChange{AllNodes: all, Set: map[string]string{"log.index.interval.bytes": value}})
		}
	}
	f(set(true))
	f(set(false))
	f(func(e *engine.Engine, value string) error {
		if err := set(true)(e, "100"); err != nil {
			return err
		}
		return set(false)(e, value)
	})
}

// A server that appends, rolls, makes and deletes topics meanwhile is no problem.
func TestBesideBusyServer(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	e := openEngine(t, dir)
	p := createTopic(t, e, "busy", "300")
	stop := make(chan struct{})
	done := make(chan struct{})
	var rounds atomic.Int64
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			produce(t, p, 20, 10_000)
			name := fmt.Sprintf("passing-%d", i)
			produce(t, createTopic(t, e, name, "300"), 3, 100)
			if err := e.DeleteTopic(name); err != nil {
				t.Error(err)
				return
			}
			rounds.Add(1)
		}
	}()
	for i := 0; i < 20 || rounds.Load() < 5; i++ {
		isWhole(t, dir)
	}
	close(stop)
	<-done
	closeEngine(t, e)
	isWhole(t, dir)
}

// batchesOf returns where the batches of a log begin, and its bytes.
func batchesOf(t testing.TB, name string) (at []int, content []byte) {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for rest := content; len(rest) > 0; {
		at = append(at, len(content)-len(rest))
		if _, rest, err = record.Next(rest); err != nil {
			t.Fatal(err)
		}
	}
	return at, content
}

// Every single flipped bit in a log is exactly one problem, at the batch that it
// is in, and every other batch is still checked: bits of headers, of the first, a
// middle and the last batch of each segment, and random ones of records.
func TestFlips(t *testing.T) {
	f := func(name string, step int) {
		t.Helper()
		dir := dataDir(t, name)
		total := isWhole(t, dir).Batches
		random := rand.New(rand.NewPCG(2, 3))
		for _, log := range files(t, dir, "*-0/*.log") {
			at, content := batchesOf(t, log)
			flip := func(batch, bit int) {
				t.Helper()
				defer flipBit(t, log, at[batch]*8+bit)()
				problems, _, s := check(t, dir)
				if len(problems) != 1 || problems[0].Path != log || problems[0].Position != int64(at[batch]) {
					t.Errorf("%s: bit %d of batch %d at %d: %v", log, bit, batch, at[batch], problems)
				}
				covered := bit/8 < 8 || bit/8 >= 12 && bit/8 < 16 // by no crc: base offset and epoch
				if want := total - 1; s.Batches != want && !(covered && s.Batches == total) {
					t.Errorf("%s: bit %d of batch %d: %d batches were whole, want %d", log, bit, batch, s.Batches, want)
				}
			}
			for _, batch := range []int{0, len(at) / 2, len(at) - 1} {
				for bit := batch % step; bit < record.HeaderSize*8; bit += step {
					flip(batch, bit)
				}
				for range 5 {
					size := int(record.Batch(content[at[batch]:]).Size())
					flip(batch, record.HeaderSize*8+random.IntN((size-record.HeaderSize)*8))
				}
			}
		}
	}
	f("small", 3)
	f("large", 101)
}

// Many flips at once are all found: each batch that has one is in the range of a
// problem that begins with such a batch, and every other batch is still checked.
func TestManyFlips(t *testing.T) {
	dir := dataDir(t, "small")
	name := files(t, dir, "small-0/*.log")[0]
	at, content := batchesOf(t, name)
	at = append(at, len(content))
	total := isWhole(t, dir).Batches
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		var runs []int64 // where those begin that stand behind one that is whole
		flipped := int64(0)
		undo := edit(t, name, func(p []byte) []byte {
			before := false
			for batch, from := range at[:len(at)-1] {
				flip := random.IntN(4) == 0
				if flip {
					flipped++
					bit := (from+17)*8 + random.IntN((at[batch+1]-from-17)*8) // what a crc covers, and the crc
					p[bit/8] ^= 1 << (bit % 8)
					if !before {
						runs = append(runs, int64(from))
					}
				}
				before = flip
			}
			return p
		})
		problems, _, s := check(t, dir)
		var found []int64
		for _, f := range problems {
			found = append(found, f.Position)
		}
		if !slices.Equal(found, runs) || s.Batches != total-flipped {
			t.Errorf("seed %d: problems at %v, want %v; %d whole batches, want %d", seed, found, runs, s.Batches, total-flipped)
		}
		undo()
	}
}

// What is wrong with any file is said with file and place, and with nothing else.
func TestDamage(t *testing.T) {
	dir := dataDir(t)
	isWhole(t, dir)
	// f damages a file, compares the problems with the wanted texts, and mends it.
	f := func(what, file string, change func([]byte) []byte, want ...string) {
		t.Helper()
		undo := edit(t, filepath.Join(dir, file), change)
		defer undo()
		compare(t, dir, what+" "+file, want...)
	}
	cut := func(n int) func([]byte) []byte { return func(p []byte) []byte { return p[:max(len(p)-n, 0)] } }
	add := func(s string) func([]byte) []byte { return func(p []byte) []byte { return append(p, s...) } }
	flip := func(i int) func([]byte) []byte { return func(p []byte) []byte { p[i] ^= 1; return p } }
	empty := func([]byte) []byte { return nil }
	replace := func(old, new string) func([]byte) []byte {
		return func(p []byte) []byte {
			changed := strings.Replace(string(p), old, new, 1)
			if changed == string(p) {
				t.Fatalf("no %q in %q", old, p)
			}
			return []byte(changed)
		}
	}

	logs := files(t, dir, "large-0/*.log")
	first, last := "large-0/"+filepath.Base(logs[0]), "large-0/"+filepath.Base(logs[len(logs)-1])
	ends, _ := batchesOf(t, logs[len(logs)-1])
	firsts, _ := batchesOf(t, logs[0])
	size := func(name string) int64 {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	f("cut", last, cut(1), fmt.Sprintf("%s: at position %d: offset *: batch of * bytes, but * remain; no whole batch in the last *", last, ends[len(ends)-1]))
	f("garbage behind", last, add("garbage"), fmt.Sprintf("%s: at position %d: offset *: 7 bytes remain, want the 61 of a batch's header; no whole batch in the last 7 bytes", last, size(logs[len(logs)-1])))
	f("padded", last, func(p []byte) []byte { return append(p, make([]byte, 5000)...) }, "*: batchLength 0, want 49 to *; no whole batch in the last 5000 bytes")
	f("cut", first, func(p []byte) []byte { return p[:firsts[3]] },
		"*index: at position *: offset *: position *, but the log has * bytes", "...", "the segment begins with offset *, want *, where the one before it ends")
	f("empty", first, empty, "...", "the segment begins with offset *, want 0, where the one before it ends")

	index := strings.TrimSuffix(first, ".log") + ".index"
	f("cut", index, cut(3), "* bytes remain, want an entry of 8")
	f("flipped", index, flip(3), "the batch at position * ends with *")
	f("flipped", index, flip(7), "position *, where no batch begins")
	f("empty", index, empty, "missing or empty, want entries: *")
	f("padded", index, add(strings.Repeat("\x00", 80)), "10 entries of zeros up to the end, want none")
	f("garbage behind", index, add("garbage!"), "position *, but the log has * bytes")
	times := strings.TrimSuffix(first, ".log") + ".timeindex"
	f("cut", times, cut(1), "* bytes remain, want an entry of 12")
	f("cut between entries", times, cut(12), "it ends with timestamp *, want * at offset *, the highest of the segment")
	f("flipped", times, flip(7), "timestamp *, but the batch that ends with offset * has *")
	f("flipped", times, flip(11), "offset *, with which no batch ends")
	f("empty", times, empty, "missing or empty, want an entry for timestamp *")
	f("garbage behind", times, add("garbage garb"), "offset *, but the segment ends at *")

	epochs := "large-0/leader-epoch-checkpoint"
	f("version", epochs, replace("0\n", "1\n"), `line 1: "1", want version 0`)
	f("empty", epochs, empty, "missing or empty, but the log has records from offset 0 on")
	f("wrong epoch", epochs, replace("\n1 ", "\n4 "), "leader epoch 4 from offset * on, but the batches there have 1")
	f("wrong start", epochs, replace("\n0 0", "\n0 5"), "no leader epoch for offset 0, but the batches there have 0")
	f("beyond the end", epochs, func(p []byte) []byte { return []byte("0\n3\n" + strings.SplitN(string(p), "\n", 3)[2] + "7 99999\n") },
		"leader epoch 7 from offset 99999 on, but the log ends at *")

	metadata := "large-0/partition.metadata"
	f("version", metadata, replace("version: 0", "version: 1"), `line 1: "version: 1", want "version: 0"`)
	f("flipped", metadata, flip(30), "topic id *, but topic large has *")
	f("empty", metadata, empty, "...", "no line, want topic_id")

	f("empty", "meta.properties", empty, "...", "no node.id, want one")
	f("version", "meta.properties", replace("version=1", "version=2"), `version "2", want 1`)
	f("node", "meta.properties", replace("node.id=", "node.id=x"), `node.id "x0", want 0 to *`)
	f("directory", "meta.properties", replace("directory.id=", "directory.id=x"), "directory.id: *")

	points := "recovery-point-offset-checkpoint"
	f("version", points, replace("0\n", "9\n"), `line 1: "9", want version 0`)
	f("of another topic", points, replace("small 0", "smell 0"), "no entry for small-0 after a clean stop, want offset *")
	f("one missing", points, func(p []byte) []byte {
		lines := strings.Split(string(p), "\n")
		return []byte("0\n3\n" + strings.Join(lines[3:], "\n"))
	}, "no entry for large-0 after a clean stop, want offset *")
	f("lower", points, replace("large 0 ", "large 0 1"), "the log ends here, but it was durable up to offset *")

	f("flipped", "rollway-metadata.log", flip(5), `at position 0: magic *, want "rollmeta"`)
	f("flipped in a commit", "rollway-metadata.log", flip(50), "frame checksum *, want *; * bytes skipped to the next whole commit", "...")
	f("cut", "rollway-metadata.log", cut(2), "*; no whole commit in the last * bytes*", "...")
}

// compare holds the problems of dir against wanted texts: * stands for anything,
// "..." for any number of problems.
func compare(t *testing.T, dir, what string, want ...string) {
	t.Helper()
	problems, _, _ := check(t, dir)
	texts := make([]string, len(problems))
	for i, f := range problems {
		texts[i] = f.String()
	}
	if !allMatch(texts, want) {
		t.Errorf("%s: problems\n  %s\nwant\n  %s", what, strings.Join(texts, "\n  "), strings.Join(want, "\n  "))
	}
}

func allMatch(texts, want []string) bool {
	switch {
	case len(want) == 0:
		return len(texts) == 0
	case want[0] == "...":
		for i := range len(texts) + 1 {
			if allMatch(texts[i:], want[1:]) {
				return true
			}
		}
		return false
	}
	return len(texts) > 0 && matches(texts[0], want[0]) && allMatch(texts[1:], want[1:])
}

// matches tells whether the pieces between the stars follow each other in text.
func matches(text, pattern string) bool {
	for piece := range strings.SplitSeq(pattern, "*") {
		at := strings.Index(text, piece)
		if at < 0 {
			return false
		}
		text = text[at+len(piece):]
	}
	return true
}

// Files that are missing, of a foreign type, or nobody's.
func TestNames(t *testing.T) {
	dir := dataDir(t)
	move := func(name string, instead func(path string) error, want ...string) {
		t.Helper()
		from, to := filepath.Join(dir, name), filepath.Join(t.TempDir(), "moved")
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
		if instead != nil {
			if err := instead(from); err != nil {
				t.Fatal(err)
			}
		}
		compare(t, dir, name, want...)
		if err := errors.Join(os.RemoveAll(from), os.Rename(to, from)); err != nil {
			t.Fatal(err)
		}
	}
	symlink := func(path string) error { return os.Symlink("/etc/hostname", path) }
	directory := func(path string) error { return os.Mkdir(path, 0o700) }
	log := "small-0/00000000000000000000.log"
	move(log, nil, "small-0: offset 0: the log ends here, but it was durable up to offset *")
	move(log, symlink, "*.log: a symbolic link, want a regular file", "the log ends here, *")
	move(log, directory, "*.log: a directory, want a regular file", "the log ends here, *")
	move("small-0/00000000000000000000.index", nil, "missing or empty, want entries*")
	move("small-0/00000000000000000000.index", symlink, "a symbolic link, want a regular file", "missing or empty, want entries*")
	move("small-0/00000000000000000000.timeindex", nil, "missing or empty, want an entry*")
	move("small-0/leader-epoch-checkpoint", nil, "missing or empty, but the log has records*")
	move("small-0/partition.metadata", nil, "missing, want topic id *")
	move("small-0/partition.metadata", directory, "a directory, want a regular file", "missing, want topic id *")
	move("small-1", nil, "small-1: missing, but topic small has 2 partitions")
	move("meta.properties", nil, "missing, so that it is not known whose directory this is")
	move("meta.properties", symlink, "a symbolic link, want a regular file", "missing*")
	move("rollway-metadata.log", nil, "missing, and with it all topics", "large-0: it holds records, but the metadata log has no such partition*", "small-0*")
	move("recovery-point-offset-checkpoint", nil, "missing after a clean stop")
	move(".lock", nil)

	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("stranger", "x")
	write("meta.properties.tmp", "x")
	write("small-0/stranger", "x")
	write("small-0/00000000000000000007.log.unreachable", "x")
	write("small-0/00000000000000000003.log.deleted", "x")
	write("small-0/00000000000000000007.index", "x")
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "lost+found"), 0o700), os.Mkdir(filepath.Join(dir, "gone-0"), 0o700)); err != nil {
		t.Fatal(err)
	}
	problems, notes, _ := check(t, dir)
	if len(problems) != 0 || len(notes) != 8 {
		t.Errorf("problems %v, notes %v, want none and 8", problems, notes)
	}
}

// A flip above the recovery point of a directory that was not stopped cleanly:
// at the very end it may be a torn tail, which is a note; anything else is not.
func TestTornTail(t *testing.T) {
	dir := dataDir(t)
	name := files(t, dir, "small-0/*.log")[0]
	at, _ := batchesOf(t, name)
	if err := os.Remove(filepath.Join(dir, ".kafka_cleanshutdown")); err != nil {
		t.Fatal(err)
	}
	points := edit(t, filepath.Join(dir, "recovery-point-offset-checkpoint"), func([]byte) []byte { return []byte("0\n1\nsmall 0 10\n") })
	last := at[len(at)-1]
	undo := edit(t, name, func(p []byte) []byte { p[last+30] ^= 1; return p })
	problems, notes, _ := check(t, dir)
	if len(problems) != 0 || len(notes) != 1 || !strings.Contains(notes[0].Text, "a torn tail, which the next start cuts off") {
		t.Errorf("problems %v, notes %v", problems, notes)
	}
	undo()
	edit(t, name, func(p []byte) []byte { p[at[len(at)-3]+30] ^= 1; return p })
	compare(t, dir, "in the middle", "crc *, want *; * bytes skipped to the next whole batch")
	points()
}

// A path that is no data directory is an error; what emit returns and a context
// that has ended end the check.
func TestErrors(t *testing.T) {
	dir := dataDir(t)
	none := func(Finding) error { return nil }
	if _, err := Dir(t.Context(), filepath.Join(dir, "missing"), Options{}, none); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	if _, err := Dir(t.Context(), t.TempDir(), Options{}, none); !errors.Is(err, ErrNoDataDirectory) {
		t.Errorf("empty: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Dir(ctx, dir, Options{}, none); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	for _, name := range files(t, dir, "*-0/leader-epoch-checkpoint") {
		edit(t, name, func([]byte) []byte { return []byte("x") })
	}
	enough, calls := errors.New("enough"), 0
	_, err := Dir(t.Context(), dir, Options{Width: 4}, func(Finding) error { calls++; return enough })
	if !errors.Is(err, enough) || calls != 1 {
		t.Errorf("%d calls, %v", calls, err)
	}
}

// Garbage of any size costs a bounded number of findings, which do not wait for
// one another across partitions, and progress ends at the total.
func TestGarbage(t *testing.T) {
	dir := dataDir(t)
	garbage := make([]byte, 300_000)
	random := rand.New(rand.NewPCG(5, 6))
	for i := range garbage {
		garbage[i] = byte(random.Uint32())
	}
	for _, pattern := range []string{"*-0/*.index", "*-0/*.timeindex", "*-0/*.log"} {
		for _, name := range files(t, dir, pattern) {
			edit(t, name, func([]byte) []byte { return garbage })
		}
	}
	findings := 0
	var done, total atomic.Int64
	s, err := Dir(t.Context(), dir, Options{Width: 1, Progress: func(d, all int64) { done.Store(d); total.Store(all) }}, func(Finding) error { findings++; return nil })
	if err != nil || s.Batches != 0 || findings > int(s.Segments)*(2*maxIndexFindings+5) {
		t.Errorf("%+v, %d findings, %v", s, findings, err)
	}
	if done.Load() != total.Load() || total.Load() != s.Bytes {
		t.Errorf("progress ended at %d of %d, %d bytes were read", done.Load(), total.Load(), s.Bytes)
	}
}
