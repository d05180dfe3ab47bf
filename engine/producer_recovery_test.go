package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// snapshotFiles returns the names of the snapshots of partition 0 of topic t.
func snapshotFiles(t testing.TB, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "t-0", "*.snapshot"))
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		names[i] = strings.TrimLeft(strings.TrimSuffix(filepath.Base(name), ".snapshot"), "0")
	}
	return names
}

// fileSize is the size of a file.
func fileSize(t testing.TB, elem ...string) int64 {
	t.Helper()
	info, err := os.Stat(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// logRead sums what was read from segments.
func (d *tracedFS) logRead() (bytes int64) {
	for _, c := range d.find("read", ".log") {
		if c.isLog("read") {
			bytes += c.bytes
		}
	}
	return bytes
}

// fiveEach appends five batches of one record by each of two producers, and returns the log's end.
func (s sequences) fiveEach(sequence int32) {
	s.t.Helper()
	for i := range int32(5) {
		s.good(s.p.Offsets().LogEnd, sequenced(s.t, 7, 1, sequence+i, 1))
		s.good(s.p.Offsets().LogEnd, sequenced(s.t, 8, 0, sequence+i, 1))
	}
	s.durable()
}

// durable waits until all is.
func (s sequences) durable() {
	s.t.Helper()
	await(s.t, s.p, "durable", func(o Offsets) bool { return o.Flushed == o.LogEnd })
}

// knows wants all five of the last batches of fiveEach known, and what comes next taken.
func (s sequences) knows(sequence int32, base Offset) {
	s.t.Helper()
	for i := range int32(5) {
		at := base + Offset(2*i)
		s.again(at, at+1, sequenced(s.t, 7, 1, sequence+i, 1))
		s.again(at+1, at+2, sequenced(s.t, 8, 0, sequence+i, 1))
	}
	s.bad(ErrOutOfOrderSequence, sequenced(s.t, 7, 1, sequence+6, 1))
	s.bad(ErrInvalidProducerEpoch, sequenced(s.t, 7, 0, sequence+5, 1))
}

// After a start, clean or not, with snapshots or after their loss, a partition knows its producers as before.
func TestProducersSurviveRestarts(t *testing.T) {
	f := func(name string, restart func(t *testing.T, e *Engine) *Engine) {
		t.Run(name, func(t *testing.T) {
			s := newSequences(t)
			tune(s.p, segmentBytes(600))
			s.fiveEach(0)
			if _, err := s.p.engine.checkpoint(false); err != nil {
				t.Fatal(err)
			}
			s.fiveEach(5)
			for round := range 3 {
				e := restart(t, s.p.engine)
				s.p = partition(t, e, "t")
				s.knows(5, 10)
				if round == 2 {
					s.fiveEach(10)
				}
			}
		})
	}
	snapshots := func(t *testing.T, e *Engine) []string {
		names, err := filepath.Glob(filepath.Join(e.Path(), "t-0", "*.snapshot"))
		if err != nil || len(names) == 0 {
			t.Fatal(names, err)
		}
		return names
	}
	change := func(edit func(name string) error, which func(names []string) []string, stop func(*testing.T, *Engine)) func(*testing.T, *Engine) *Engine {
		return func(t *testing.T, e *Engine) *Engine {
			stop(t, e)
			for _, name := range which(snapshots(t, e)) {
				if err := edit(name); err != nil {
					t.Fatal(err)
				}
			}
			return openEngine(t, e.Path())
		}
	}
	all := func(names []string) []string { return names }
	newest := func(names []string) []string { return names[len(names)-1:] }
	cleanly := func(t *testing.T, e *Engine) {
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	killed := func(t *testing.T, e *Engine) { crash(t, e) }
	rewrite := func(change func(p []byte) []byte) func(string) error {
		return func(name string) error {
			p, err := os.ReadFile(name)
			if err == nil {
				err = os.WriteFile(name, change(p), 0o600)
			}
			return err
		}
	}
	flip := rewrite(func(p []byte) []byte { p[len(p)/2] ^= 1; return p })
	cut := rewrite(func(p []byte) []byte { return p[:len(p)/2] })
	empty := rewrite(func([]byte) []byte { return nil })
	newer := rewrite(func(p []byte) []byte { p[1] = 2; return p })
	list := func(edit func(string) error, stop func(*testing.T, *Engine)) func(*testing.T, *Engine) *Engine {
		return func(t *testing.T, e *Engine) *Engine {
			stop(t, e)
			if err := edit(filepath.Join(e.Path(), producerSnapshotsFile)); err != nil {
				t.Fatal(err)
			}
			return openEngine(t, e.Path())
		}
	}
	f("clean", func(t *testing.T, e *Engine) *Engine { return reopen(t, e) })
	f("killed", func(t *testing.T, e *Engine) *Engine { return recrash(t, e) })
	for _, stop := range []struct {
		name string
		stop func(*testing.T, *Engine)
	}{{"clean", cleanly}, {"killed", killed}} {
		f(stop.name+", newest missing", change(os.Remove, newest, stop.stop))
		f(stop.name+", all missing", change(os.Remove, all, stop.stop))
		f(stop.name+", bit flipped", change(flip, newest, stop.stop))
		f(stop.name+", all cut", change(cut, all, stop.stop))
		f(stop.name+", all empty", change(empty, all, stop.stop))
		f(stop.name+", future version", change(newer, newest, stop.stop))
		f(stop.name+", list missing", list(os.Remove, stop.stop))
		f(stop.name+", list damaged", list(flip, stop.stop))
	}
}

// A clean start reads the snapshot and nothing of the log; a start after a kill reads what is behind the newest snapshot.
func TestProducersAreNotRebuiltFromTheStart(t *testing.T) {
	files := traceDir(t, t.TempDir())
	e := openEngine(t, "", onFS(files))
	s := sequences{t, createTopic(t, e, "t", "index.interval.bytes", "100")}
	for i := range int32(200) {
		s.good(Offset(i), sequenced(t, 7, 0, i, 1))
	}
	s.durable()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	log := fileSize(t, files.Path(), "t-0", "00000000000000000000.log")
	start := func() int64 {
		t.Helper()
		files.reset()
		e = openEngine(t, "", onFS(files))
		n := files.logRead()
		s.p = partition(t, e, "t")
		s.again(199, 200, sequenced(t, 7, 0, 199, 1))
		return n
	}
	if n := start(); n > log/20 {
		t.Errorf("a clean start read %d bytes of a log of %d", n, log)
	}
	if _, err := e.checkpoint(false); err != nil {
		t.Fatal(err)
	}
	crash(t, e)
	if n := start(); n > log/20 {
		t.Errorf("a start after a kill read %d bytes of a log of %d", n, log)
	}
}

// A snapshot above the end of the log, which a power cut has taken back, is removed before the log gets there again: it
// tells of batches that are gone.
func TestProducerSnapshotAboveTheEnd(t *testing.T) {
	s := newSequences(t)
	dir := s.p.engine.Path()
	s.good(0, sequenced(t, 7, 0, 0, 1))
	s.durable()
	if _, err := s.p.engine.checkpoint(false); err != nil {
		t.Fatal(err)
	}
	size := fileSize(t, dir, "t-0", "00000000000000000000.log")
	s.good(1, sequenced(t, 7, 0, 1, 1))
	s.good(2, sequenced(t, 8, 0, 0, 1))
	s.durable()
	// A roll writes a snapshot of what is not yet durable; the cut takes it.
	p := s.p
	p.mu.Lock()
	if err := p.rolled(3); err != nil {
		t.Fatal(err)
	}
	p.mu.Unlock()
	crash(t, p.engine)
	if got := fmt.Sprint(snapshotFiles(t, dir)); got != "[1 3]" {
		t.Fatalf("snapshots at %s, want [1 3]", got)
	}
	edit(t, func(log []byte) []byte { return log[:size] }, dir, "t-0", "00000000000000000000.log")

	s.p = partition(t, openEngine(t, dir), "t")
	if got := fmt.Sprint(snapshotFiles(t, dir)); got != "[1]" {
		t.Errorf("snapshots at %s after the cut, want [1]", got)
	}
	s.good(1, sequenced(t, 9, 0, 0, 2)) // other batches take the offsets
	s.durable()
	s.p = partition(t, recrash(t, s.p.engine), "t")
	s.good(3, sequenced(t, 7, 0, 1, 1))
	s.again(1, 3, sequenced(t, 9, 0, 0, 2))
	if got := fmt.Sprint(ids(s.p)); got != "[9 7]" {
		t.Errorf("producers %s, want [9 7]: 8 has never been there", got)
	}
}

// Which snapshots there are: one for each segment, one at the last checkpoint and one before it until that is durable; a
// partition whose producers have all expired has none that counts.
func TestProducerSnapshotsAreRemoved(t *testing.T) {
	clock := newFakeClock()
	s := newSequences(t, clock.use)
	dir := s.p.engine.Path()
	want := func(names string) {
		t.Helper()
		if got := fmt.Sprint(snapshotFiles(t, dir)); got != names {
			t.Errorf("snapshots at %s, want %s", got, names)
		}
	}
	checkpoint := func() {
		t.Helper()
		s.durable()
		if _, err := s.p.engine.checkpoint(false); err != nil {
			t.Fatal(err)
		}
	}
	s.good(0, batchOf(t, 1, "nobody's"))
	checkpoint()
	want("[]")
	s.good(1, sequenced(t, 7, 0, 0, 1))
	checkpoint()
	want("[2]")
	checkpoint()
	want("[2]")
	s.good(2, batchOf(t, 1, "nobody's"))
	checkpoint()
	want("[3]")
	seal(t, s.p)
	s.good(3, sequenced(t, 7, 0, 1, 1))
	want("[3]")
	s.good(4, sequenced(t, 7, 0, 2, 1))
	seal(t, s.p)
	s.good(5, sequenced(t, 7, 0, 3, 1))
	checkpoint()
	want("[3 5 6]")
	s.p.dropSnapshots(5) // retention has taken the first segments
	want("[5 6]")
	s.p.dropSnapshots(100)
	want("[6]")
	clock.advance(s.p.engine, 24*time.Hour)
	checkpoint()
	want("[]")
	s.p = partition(t, recrash(t, s.p.engine, clock.use), "t")
	if len(ids(s.p)) != 0 {
		t.Errorf("producers %v, want none", ids(s.p))
	}
	s.good(6, sequenced(t, 7, 0, 77, 1))
}

// The log is not read for producers where there never were any, nor where they have expired.
func TestNoProducersNothingRead(t *testing.T) {
	files := traceDir(t, t.TempDir())
	clock := newFakeClock()
	e := openEngine(t, "", onFS(files), clock.use)
	p := createTopic(t, e, "t")
	produce(t, p, sequenced(t, 7, 0, 0, 1))
	for i := range 1000 {
		appendTo(p, batchOf(t, 1, fmt.Sprint(i)))
	}
	clock.advance(e, 24*time.Hour)
	for range 2 {
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		files.reset()
		e = openEngine(t, "", onFS(files), clock.use)
		if n := files.logRead(); n > 5000 {
			t.Errorf("a clean start read %d bytes", n)
		}
	}
}

// The recovery point does not move when a snapshot cannot be written, and the list is durable before it moves.
func TestProducerSnapshotBeforeRecoveryPoint(t *testing.T) {
	files := traceDir(t, t.TempDir())
	e := openEngine(t, "", onFS(files))
	s := sequences{t, createTopic(t, e, "t")}
	s.good(0, sequenced(t, 7, 0, 0, 1))
	s.durable()
	var order []string
	refuse := true
	files.hook(func(c call) error {
		if c.op == "rename" {
			for _, name := range []string{snapshotSuffix, producerSnapshotsFile, recoveryPointFile} {
				if strings.HasSuffix(c.name, name) || strings.HasSuffix(c.name, name+tempSuffix) {
					order = append(order, name)
				}
			}
			if refuse && strings.Contains(c.name, snapshotSuffix) {
				return fs.ErrPermission
			}
		}
		return nil
	})
	if whole, err := e.checkpoint(false); whole || err != nil {
		t.Errorf("checkpoint %t, %v, want it not whole", whole, err)
	}
	if s.p.recoveryPoint != 0 {
		t.Errorf("recovery point %d, want 0", s.p.recoveryPoint)
	}
	refuse, order = false, nil
	if whole, err := e.checkpoint(false); !whole || err != nil {
		t.Errorf("checkpoint %t, %v", whole, err)
	}
	files.hook(nil)
	if want := []string{snapshotSuffix, producerSnapshotsFile, recoveryPointFile}; !slices.Equal(order, want) {
		t.Errorf("written in the order %q, want %q", order, want)
	}
}

// Producers of batches behind damage are known: the start goes around it.
func TestProducersBehindDamage(t *testing.T) {
	files := traceDir(t, t.TempDir())
	e, p := journaledLog(t, files)
	s := sequences{t, p}
	s.good(1, sequenced(t, 7, 0, 0, 1))
	s.durable()
	at := int64(p.log.active().size)
	produceEach(t, p, strings.Repeat("x", directBytes)) // not in the journal, which would mend it
	s.good(3, sequenced(t, 7, 0, 1, 1))
	s.good(4, sequenced(t, 8, 0, 5, 1))
	s.durable()
	crash(t, e)
	edit(t, func(log []byte) []byte { log[at+8] = 1; return log }, files.Path(), "t-0", firstLog)
	s.p = partition(t, openEngine(t, files.Path(), journaling), "t")
	if damage := s.p.Damage(); len(damage) != 1 || damage[0].From != 2 || damage[0].To != 3 {
		t.Fatalf("damage %+v, want offset 2", damage)
	}
	s.again(1, 2, sequenced(t, 7, 0, 0, 1))
	s.again(3, 4, sequenced(t, 7, 0, 1, 1))
	s.again(4, 5, sequenced(t, 8, 0, 5, 1))
	s.bad(ErrOutOfOrderSequence, sequenced(t, 7, 0, 3, 1))
}

// What is known of producers outlives their batches: when retention has deleted those, a duplicate is still recognized, after
// a clean start and after a kill, and their snapshots are gone with the segments but for the newest.
func TestProducersOutliveTheirBatches(t *testing.T) {
	r := newRetained(t, "retention.ms", "3600000")
	add := func(batch []byte) {
		t.Helper()
		if a := r.p.log.active(); a != nil && a.size > 0 {
			if _, err := r.p.seal(a, func() bool { return true }); err != nil {
				t.Fatal(err)
			}
		}
		produce(t, r.p, batch)
	}
	for i := range int32(4) { // of 1970
		add(sequenced(t, 7, 0, i, 1))
	}
	r.produce(0, "new")
	r.engine.retain()
	if o := r.p.Offsets(); o.LogStart != 4 {
		t.Fatalf("offsets %+v, want log start 4", o)
	}
	if got := fmt.Sprint(snapshotFiles(t, r.fs.Path())); got != "[4]" {
		t.Errorf("snapshots at %s, want [4]", got)
	}
	for range 2 {
		s := sequences{t, r.p}
		s.again(3, 4, sequenced(t, 7, 0, 3, 1))
		s.bad(ErrOutOfOrderSequence, sequenced(t, 7, 0, 5, 1))
		r.recrash()
		sequences{t, r.p}.again(0, 1, sequenced(t, 7, 0, 0, 1))
		r.reopen()
	}
	sequences{t, r.p}.good(5, sequenced(t, 7, 0, 4, 1))
}

// What a crash left of a snapshot is removed, and a topic that is made anew knows nothing of the producers of the old one.
func TestProducerSnapshotLeftovers(t *testing.T) {
	s := newSequences(t)
	dir := s.p.engine.Path()
	s.fiveEach(0)
	crash(t, s.p.engine)
	left := filepath.Join(dir, "t-0", snapshotFileName(10)+tempSuffix)
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	e := openEngine(t, dir)
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s: %v", left, err)
	}
	if err := e.DeleteTopic("t"); err != nil {
		t.Fatal(err)
	}
	s.p = createTopic(t, e, "t")
	s.good(0, sequenced(t, 7, 0, 30, 1))
	if _, listed := e.snapshotList[partitionKey{"t", 0}]; listed {
		t.Error("the old topic's snapshot is still listed")
	}
	s.p = partition(t, recrash(t, e), "t")
	s.again(0, 1, sequenced(t, 7, 0, 30, 1))
}

// Whatever producers send, with kills, lost snapshots, rolls and checkpoints between: each request is answered as a plain
// model of the rules answers it.
func TestProducerModel(t *testing.T) {
	end := time.Now().Add(modelTime(t) / 2)
	seed := uint64(time.Now().UnixNano())
	for runs := 0; time.Now().Before(end) || runs == 0; runs++ {
		seed++
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) { runProducerModel(t, seed) }) {
			return
		}
	}
}

// modelProducer is what the model knows of one producer: its epoch and all batches of that.
type modelProducer struct {
	epoch   int16
	batches []modelBatch
}

type modelBatch struct {
	first, last int32
	base, next  Offset
}

// judge says what the rules make of a batch: the offsets of a duplicate, or an error.
func (m *modelProducer) judge(epoch int16, first, last int32) (duplicate *modelBatch, err error) {
	if m == nil {
		return nil, nil
	}
	if epoch == m.epoch {
		for i := max(0, len(m.batches)-5); i < len(m.batches); i++ {
			if b := &m.batches[i]; b.first == first && b.last == last {
				return b, nil
			}
		}
	}
	switch want := (int64(m.batches[len(m.batches)-1].last) + 1) % (1 << 31); {
	case epoch < m.epoch:
		return nil, ErrInvalidProducerEpoch
	case epoch > m.epoch && first != 0, epoch == m.epoch && int64(first) != want:
		return nil, ErrOutOfOrderSequence
	}
	return nil, nil
}

func runProducerModel(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 3))
	files := traceDir(t, t.TempDir())
	files.noSync = true
	e := openEngine(t, "", onFS(files))
	p := createTopic(t, e, "t")
	known := map[int64]*modelProducer{}
	small := segmentBytes(int64(500 + random.IntN(2000)))
	tune(p, small)
	restart := func() {
		e = openEngine(t, "", onFS(files))
		p = partition(t, e, "t")
		tune(p, small)
	}
	for step := range 200 {
		switch n := random.IntN(100); {
		case n < 3:
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			restart()
		case n < 6:
			crash(t, e)
			names, err := filepath.Glob(filepath.Join(files.Path(), "t-0", "*.snapshot"))
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range names {
				switch random.IntN(6) {
				case 0:
					os.Remove(name)
				case 1:
					os.Truncate(name, int64(random.IntN(40)))
				}
			}
			restart()
		case n < 12:
			if _, err := e.checkpoint(false); err != nil {
				t.Fatal(err)
			}
		default:
			id := int64(random.IntN(4))
			m := known[id]
			epoch, first, count := int16(0), int32(1<<31-1-random.IntN(8)), 1+random.IntN(3)
			if m != nil {
				last := m.batches[len(m.batches)-1]
				epoch, first = m.epoch, sequenceAfter(last.last, 1)
				switch random.IntN(10) {
				case 0, 1, 2: // one of the last, or one before them
					b := m.batches[max(0, len(m.batches)-1-random.IntN(7))]
					first, count = b.first, int(b.next-b.base)
				case 3:
					first = sequenceAfter(first, int32(random.IntN(3)))
				case 4:
					epoch, first = epoch+int16(random.IntN(3))-1, int32(random.IntN(2))
				}
			}
			if epoch < 0 {
				continue
			}
			duplicate, want := m.judge(epoch, first, sequenceAfter(first, int32(count-1)))
			r := appendTo(p, sequenced(t, id, epoch, first, count))
			switch {
			case want != nil:
				if !errors.Is(r.Err, want) {
					t.Fatalf("step %d: producer %d epoch %d sequence %d: %v, want %v", step, id, epoch, first, r.Err, want)
				}
			case r.Err != nil || r.Duplicate != (duplicate != nil):
				t.Fatalf("step %d: producer %d epoch %d sequence %d: duplicate %t, %v, want %t", step, id, epoch, first, r.Duplicate, r.Err, duplicate != nil)
			case duplicate != nil:
				if r.BaseOffset != duplicate.base || r.NextOffset != duplicate.next {
					t.Fatalf("step %d: duplicate at %d, want %d", step, r.BaseOffset, duplicate.base)
				}
			default:
				if m == nil || m.epoch != epoch {
					m = &modelProducer{epoch: epoch}
					known[id] = m
				}
				m.batches = append(m.batches, modelBatch{first, sequenceAfter(first, int32(count-1)), r.BaseOffset, r.NextOffset})
			}
		}
	}
}
