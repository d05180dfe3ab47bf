package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/internal/faultlab"
	"github.com/rollway/rollway/wire"
)

// harmTopics are the topics of a left directory: "victim" has several segments,
// epochs and producers, and its files are harmed, beside those of the data directory;
// "bystander" must not notice what is done to the victim.
var harmTopics = []string{"victim", "bystander"}

// harmFlags keep a directory small, so that many copies cost little.
var harmFlags = []string{"--journal-bytes", "1MiB", "--ballast", "64KiB"}

// leftDirectory is a data directory that a server has left, with every kind of file,
// and what was acknowledged of it: the model that reads are held against.
type leftDirectory struct {
	t    *testing.T
	dir  string
	how  string // it was left
	logs map[string]*leftLog
}

// leftLog is what partition 0 of a topic holds.
type leftLog struct {
	start  int64    // records below were deleted
	values []string // by offset; "": there is no record
}

// harmedWays are how a directory is left before its files are harmed.
var harmedWays = []string{"stopped", "killed", "stopped with damage in quarantine"}

// leaveDirectory has servers fill a data directory and leave it in one of
// harmedWays.
func leaveDirectory(t *testing.T, how string) *leftDirectory {
	t.Helper()
	d := &leftDirectory{t: t, dir: filepath.Join(t.TempDir(), "data"), how: how, logs: map[string]*leftLog{}}
	s := d.start()
	for _, name := range harmTopics {
		d.logs[name] = &leftLog{}
		// Timestamps rise so that a segment has some 20 batches.
		s.run(nil, "topic", "create", name, "--config", "segment.ms=160000", "--config", "index.interval.bytes=400", "--config", "retention.ms=-1")
	}
	d.fill(s, 40)
	s.run(nil, "topic", "delete-records", "victim", "--partition", "0", "--before", "3")
	d.logs["victim"].start = 3
	s.stop()
	s = d.start()
	d.fill(s, 10)
	s.kill()
	s = d.start()
	d.fill(s, 15)
	d.awaitBallast()
	if how == "killed" {
		s.kill()
		return d
	}
	s.stop()
	if how == "stopped with damage in quarantine" {
		d.quarantine()
	}
	return d
}

// start starts a server, and returns when it has recovered.
func (d *leftDirectory) start() *server {
	d.t.Helper()
	s := startServer(d.t, d.dir, harmFlags...)
	d.awaitRecovered(s)
	return s
}

// awaitRecovered returns when the server answers for each topic, be it by an error.
func (d *leftDirectory) awaitRecovered(s *server) {
	d.t.Helper()
	p := d.dial(s)
	defer p.conn.Close()
	for _, name := range harmTopics {
		m := wire.Fetch{Topic: []byte(name), MaxBytes: 1}
		for limit := time.Now().Add(startLimit); ; time.Sleep(time.Millisecond) {
			_, err := p.call(m.AppendTo(nil, 1))
			if wire.CodeOf(err) != wire.CodeNotReady {
				break
			}
			if time.Now().After(limit) {
				d.t.Fatalf("%v after %v; the server's log:\n%s", err, startLimit, s.stderr)
			}
		}
	}
}

// fill produces batches to each topic, of one to three records of an idempotent
// producer, in each codec.
func (d *leftDirectory) fill(s *server, batches int) {
	d.t.Helper()
	for _, name := range harmTopics {
		p := d.dial(s)
		init := wire.InitProducer{ProducerID: -1, Epoch: -1}
		frame, err := p.call(init.AppendTo(nil, 1))
		if err != nil {
			d.t.Fatal(err)
		}
		producer, err := wire.ParseProducerAssigned(frame)
		if err != nil {
			d.t.Fatal(err)
		}
		log, sent := d.logs[name], 0
		for i := range batches {
			o := record.BuilderOptions{
				Codec:    record.Codec(i % 5),
				Producer: &record.Producer{ID: producer.ProducerID, Epoch: producer.Epoch, BaseSequence: int32(sent)},
			}
			var values []string
			for j := range 1 + i%3 {
				n := len(log.values) + j
				values = append(values, fmt.Sprintf("%s %d %s", name, n, strings.Repeat("v", n*n%97)))
			}
			if base, err := d.produce(p, name, o, values); err != nil || base != int64(len(log.values)) {
				d.t.Fatalf("produce to %s: offset %d, want %d: %v", name, base, len(log.values), err)
			}
			log.values = append(log.values, values...)
			sent += len(values)
		}
		p.conn.Close()
	}
}

// produce sends a batch and returns the offset that it was given.
func (d *leftDirectory) produce(p *peer, topic string, o record.BuilderOptions, values []string) (int64, error) {
	d.t.Helper()
	var b record.Builder
	b.Reset(o)
	for i, value := range values {
		if err := b.Append(1_700_000_000_000+int64(len(d.logs[topic].values)+i)*4000, nil, []byte(value)); err != nil {
			d.t.Fatal(err)
		}
	}
	batch, err := b.Build(nil)
	if err != nil {
		d.t.Fatal(err)
	}
	m := wire.Produce{Topic: []byte(topic), Acks: wire.AcksAll, Batches: batch}
	frame, err := p.call(m.AppendTo(nil, 7))
	if err != nil {
		return 0, err
	}
	answer, err := wire.ParseProduced(frame)
	return answer.BaseOffset, err
}

// awaitBallast returns when the server has made its ballast file.
func (d *leftDirectory) awaitBallast() {
	d.t.Helper()
	for limit := time.Now().Add(startLimit); ; time.Sleep(time.Millisecond) {
		if info, err := os.Stat(filepath.Join(d.dir, "rollway-ballast")); err == nil && info.Size() == 64<<10 {
			return
		}
		if time.Now().After(limit) {
			d.t.Fatal("there is no ballast")
		}
	}
}

// quarantine has a server find damage in the first segment of the victim.
func (d *leftDirectory) quarantine() {
	d.t.Helper()
	name := filepath.Join(d.dir, "victim-0", "00000000000000000000.log")
	log, err := os.ReadFile(name)
	if err != nil {
		d.t.Fatal(err)
	}
	at := 0
	for range 10 {
		at += int(record.Batch(log[at:]).Size())
	}
	log[at+9] ^= 1 // of the length, so that a lookup meets it
	if err := os.WriteFile(name, log, 0o600); err != nil {
		d.t.Fatal(err)
	}
	s := d.start()
	if unread := d.read(s, "victim", "quarantine"); len(unread) == 0 {
		d.t.Fatal("every record can be read")
	}
	s.stop()
}

// copyTo copies the directory for something to be done to it.
func (d *leftDirectory) copyTo(dir string) *leftDirectory {
	d.t.Helper()
	if err := errors.Join(os.RemoveAll(dir), os.CopyFS(dir, os.DirFS(d.dir))); err != nil {
		d.t.Fatal(err)
	}
	c := *d
	c.dir, c.logs = dir, map[string]*leftLog{}
	for name, log := range d.logs {
		c.logs[name] = &leftLog{log.start, log.values[:len(log.values):len(log.values)]}
	}
	return &c
}

// dial connects to a server, which must be there.
func (d *leftDirectory) dial(s *server) *peer {
	d.t.Helper()
	p, err := dialPeer(s.addr)
	if err != nil {
		d.t.Fatalf("%v; the server's log:\n%s", err, s.stderr)
	}
	return p
}

// read is a consumer that goes on behind what it cannot read, and returns the offsets
// that it could not. Every record that it reads is the model's, and every refusal has
// a name, or the test fails.
func (d *leftDirectory) read(s *server, topic, what string) (unread []int64) {
	d.t.Helper()
	p := d.dial(s)
	defer p.conn.Close()
	log := d.logs[topic]
	begun := false
	for off := log.start; off < int64(len(log.values)); {
		m := wire.Fetch{Topic: []byte(topic), Offset: off, MaxBytes: 2000}
		next, _, err := p.fetch(m, !begun, func(offset int64, value []byte) error {
			if offset >= int64(len(log.values)) || log.values[offset] != string(value) {
				d.t.Errorf("%s: WRONG READ of %s at offset %d: %.60q", what, topic, offset, value)
			}
			return nil
		})
		if !d.named(s, err, fmt.Sprintf("%s: fetch %s at %d", what, topic, off)) {
			return unread
		}
		if begun = next > off; begun {
			off = next
			continue
		}
		unread = append(unread, off)
		off++
	}
	return unread
}

// named fails the test and returns false if a server has gone, or does not say what
// its error is.
func (d *leftDirectory) named(s *server, err error, what string) bool {
	d.t.Helper()
	var refused *wire.Error
	if errors.Is(err, errKilled) || errors.As(err, &refused) && refused.Code == wire.CodeInternal {
		d.t.Errorf("%s: %v; the server's log:\n%s", what, err, s.stderr)
		return false
	}
	return true
}

// produceMore produces a batch to each topic that takes one: it must not get the offset
// of a record that was acknowledged before.
func (d *leftDirectory) produceMore(s *server, what string) {
	d.t.Helper()
	p := d.dial(s)
	defer p.conn.Close()
	for _, name := range harmTopics {
		log, value := d.logs[name], name+" produced after "+what
		switch base, err := d.produce(p, name, record.BuilderOptions{}, []string{value}); {
		case err != nil:
			d.named(s, err, what+": produce to "+name)
		case base < int64(len(log.values)):
			d.t.Errorf("%s: %s gave offset %d, but %d records were acknowledged", what, name, base, len(log.values))
		default:
			// A harmed recovery point may tell of an end that was never there.
			gap := make([]string, base-int64(len(log.values)))
			log.values = append(append(log.values, gap...), value)
		}
	}
}

// check runs rollway check, and tells whether it has found a problem and what it said.
func (d *leftDirectory) check(what string) (problem bool, said string) {
	d.t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(program, "check", d.dir)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if code := cmd.ProcessState.ExitCode(); code > 1 || code < 0 || panicked(out.String()) {
		d.t.Errorf("%s: check: %v:\n%s", what, err, &out)
	}
	return err != nil, out.String()
}

// panicked tells whether what a program said ends in the stacks of its goroutines.
func panicked(stderr string) bool { return strings.Contains(stderr, "\ngoroutine ") }

// ready starts a server. One that refuses says why in its last line, with the
// directory, and ends with 1.
func (d *leftDirectory) ready(what string) (s *server, ready bool) {
	d.t.Helper()
	s, ready = launch(d.t, nil, d.dir, harmFlags...)
	if ready {
		d.awaitRecovered(s)
		return s, true
	}
	lines := strings.Split(strings.TrimSpace(s.stderr.String()), "\n")
	last := lines[len(lines)-1]
	if s.cmd.ProcessState.ExitCode() != 1 || panicked(s.stderr.String()) || !strings.HasPrefix(last, "rollway: ") || !strings.Contains(last, d.dir) {
		d.t.Errorf("%s: the server ended with %v:\n%s", what, s.cmd.ProcessState, s.stderr)
	}
	return s, false
}

// end stops a server, which may complain of what it could not write, by name.
func (d *leftDirectory) end(s *server, what string) {
	d.t.Helper()
	s.terminate()
	if code := s.cmd.ProcessState.ExitCode(); code != 0 && code != 1 || panicked(s.stderr.String()) {
		d.t.Errorf("%s: the server ended with %v:\n%s", what, s.cmd.ProcessState, s.stderr)
	}
}

// lostOrDeleted is what check notes where the first log of a partition was removed: so
// it looks like one that retention has shortened.
const lostOrDeleted = "index without a log, which is ignored: retention was interrupted, or somebody has removed the log"

// survives harms a file and checks what becomes of the directory, over two starts. It
// tells whether a server refused it.
func (d *leftDirectory) survives(file, what string, harm func() error) (refused bool) {
	d.t.Helper()
	original := d.readLogs()
	if err := harm(); err != nil {
		d.t.Fatalf("%s: %v", what, err)
	}
	harmed := d.readLogs()
	problem, said := d.check(what)
	for range 2 {
		s, ready := d.ready(what)
		if !ready {
			if !problem {
				d.t.Errorf("%s: the server refused, check finds no problem:\n%s\n%s", what, s.stderr, said)
			}
			refused = true
			break
		}
		unread := map[string][]int64{}
		for _, name := range harmTopics {
			unread[name] = d.read(s, name, what)
		}
		if len(unread["victim"])+len(unread["bystander"]) > 0 && !problem && !strings.Contains(said, lostOrDeleted) {
			d.t.Errorf("%s: offsets %v cannot be read, check finds no problem:\n%s", what, unread, said)
		}
		if len(unread["bystander"]) > 0 && strings.HasPrefix(file, "victim-0/") {
			d.t.Errorf("%s: offsets %v of the other topic cannot be read", what, unread["bystander"])
		}
		d.produceMore(s, what)
		for _, name := range harmTopics {
			d.read(s, name, what+", after a batch more")
		}
		d.end(s, what)
	}
	for _, name := range harmed.Gone(d.readLogs(), original) {
		d.t.Errorf("%s: bytes of %s are gone", what, name)
	}
	return refused
}

func (d *leftDirectory) readLogs() faultlab.Logs {
	d.t.Helper()
	logs, err := faultlab.ReadLogs(d.dir)
	if err != nil {
		d.t.Fatal(err)
	}
	return logs
}

// Every kind of file, harmed in every way while no server runs: the server that is
// shipped becomes ready or refuses by name, never panics, reads nothing wrong, keeps
// every byte of the logs below their durable end and gives no offset out twice;
// rollway check finds a problem where the server refuses or a reader misses a record.
// ROLLWAY_FAULT_MUTATIONS is how often each kind is harmed in each way; without it,
// each kind is harmed once, in one way or the other.
func TestFaultsHarmedFiles(t *testing.T) {
	rounds := envInt(t, "ROLLWAY_FAULT_MUTATIONS", 0)
	seed := envInt(t, "ROLLWAY_CRASH_SEED", time.Now().UnixNano())
	t.Logf("replay with: ROLLWAY_FAULT_MUTATIONS=%d ROLLWAY_CRASH_SEED=%d go test ./internal/e2e -run '^%s$' -v", rounds, seed, t.Name())
	m := &harmMatrix{t: t, random: rand.New(rand.NewPCG(uint64(seed), 4)), work: filepath.Join(t.TempDir(), "work"), seen: map[string]bool{}}
	if rounds == 0 {
		d := leaveDirectory(t, harmedWays[m.random.IntN(len(harmedWays))])
		first := m.random.IntN(len(faultlab.Harms))
		for i, kind := range faultlab.FileKinds {
			m.try(d, kind, faultlab.Harms[(first+i)%len(faultlab.Harms)])
		}
	}
	for _, how := range harmedWays[:min(int(rounds), 1)*len(harmedWays)] {
		d := leaveDirectory(t, how)
		for range rounds {
			for _, kind := range faultlab.FileKinds {
				for _, harm := range faultlab.Harms {
					m.try(d, kind, harm)
				}
			}
		}
	}
	for _, kind := range faultlab.FileKinds {
		if rounds > 0 && !m.seen[kind] {
			t.Errorf("no directory has a file %s", kind)
		}
	}
	t.Logf("%d cases: %d kinds of files harmed in %d ways; %d refused with a named error, in the others every read was right or failed with one",
		m.cases, len(m.seen), len(faultlab.Harms), m.refused)
}

// harmMatrix sums over all directories.
type harmMatrix struct {
	t              *testing.T
	random         *rand.Rand
	work           string // where copies are harmed
	cases, refused int
	seen           map[string]bool // kinds
}

// try harms a file of a kind in a copy of d, if there is one.
func (m *harmMatrix) try(d *leftDirectory, kind string, harm faultlab.Harm) {
	m.t.Helper()
	present, err := faultlab.FilesOf(d.dir, "victim-0", kind)
	if err != nil {
		m.t.Fatal(err)
	}
	if len(present) == 0 {
		return
	}
	file := present[m.random.IntN(len(present))]
	what := fmt.Sprintf("%s, %s %s", d.how, file, harm.Name)
	m.cases++
	m.seen[kind] = true
	if d.copyTo(m.work).survives(file, what, func() error { return harm.Do(m.random, kind, filepath.Join(m.work, file)) }) {
		m.refused++
	}
}
