package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/rollway/rollway/internal/faultlab"
	"github.com/rollway/rollway/wire"
	"github.com/rollway/rollway/wire/client"
)

// faultRun is one of the runs of `make faults`. ROLLWAY_FAULT_ROUNDS is how many
// rounds it has; without that it is a smoke, of a few.
type faultRun struct {
	t      *testing.T
	random *rand.Rand
	smoke  bool
	rounds int
}

// newFaultRun prints how the run is repeated: ROLLWAY_CRASH_SEED sets the seed.
func newFaultRun(t *testing.T, smoke int) *faultRun {
	t.Helper()
	rounds := envInt(t, "ROLLWAY_FAULT_ROUNDS", 0)
	seed := envInt(t, "ROLLWAY_CRASH_SEED", time.Now().UnixNano())
	t.Logf("replay with: ROLLWAY_FAULT_ROUNDS=%d ROLLWAY_CRASH_SEED=%d go test ./internal/e2e -run '^%s$' -v", rounds, seed, t.Name())
	f := &faultRun{t: t, random: rand.New(rand.NewPCG(uint64(seed), 3)), smoke: rounds == 0, rounds: int(rounds)}
	if f.smoke {
		f.rounds = smoke
	}
	return f
}

// pause waits for a random time below most.
func (f *faultRun) pause(most time.Duration) {
	time.Sleep(time.Duration(f.random.Int64N(int64(most))))
}

const faultSegment = 1 << 20 // bytes

// newDirectory makes a data directory with a topic and returns what is known of it.
func (f *faultRun) newDirectory(data string, args ...string) *history {
	f.t.Helper()
	h := newHistory(f.t, "faults", 3, 16)
	s := startServer(f.t, data, args...)
	h.create(s, "segment.bytes="+strconv.Itoa(faultSegment))
	s.kill()
	return h
}

// fullDiskBytes is how large the disks are that are filled.
const fullDiskBytes = 64 << 20

// A disk that somebody else fills at random moments costs refusals and nothing
// else: readers, who look all the time, see whole batches only; produce goes on
// within 5 s of space being freed, without a restart; a server that is killed on
// the full disk starts there and serves all that was acknowledged or seen, with
// its ballast and without.
func TestFaultsFullDisk(t *testing.T) {
	for _, kind := range []string{"tmpfs", "ext4"} {
		t.Run(kind, func(t *testing.T) {
			d := &fullDisk{faultRun: newFaultRun(t, 2)}
			for d.fills < d.rounds && !t.Failed() {
				d.live(kind)
			}
			t.Logf("%s: %d fills, %d batches refused, %d acknowledged, %d records seen, %d starts on the full disk (%d without ballast); produce went on %v after space was freed at most",
				kind, d.fills, d.refused, d.acked, d.seen, d.starts, d.withoutBallast, d.slowest.Round(time.Millisecond))
		})
	}
}

// fullDisk sums over all disks.
type fullDisk struct {
	*faultRun
	fills, starts, withoutBallast int
	refused, acked, seen          int64
	slowest                       time.Duration
}

// live fills one new disk several times. What is produced meanwhile stays, so
// it must not be too often.
func (d *fullDisk) live(kind string) {
	d.t.Helper()
	disk := faultlab.Mount(d.t, kind, fullDiskBytes)
	data := filepath.Join(disk.Path, "data")
	h := d.newDirectory(data)
	h.pace = 2 * time.Millisecond
	h.tolerate = func(refused *wire.Error) bool {
		return refused.Code == wire.CodeLimitReached
	}
	s := startServer(d.t, data)
	load := h.start(s.addr, d.random)
	for range min(d.rounds-d.fills, 4) {
		d.pause(200 * time.Millisecond)
		d.fill(disk, h)
		d.pause(200 * time.Millisecond)
		if d.random.IntN(2) == 0 {
			s.kill()
			load.wait()
			s = d.restart(disk, data, h)
			load = h.start(s.addr, d.random)
		}
		d.free(disk, h)
		if d.t.Failed() {
			d.t.Fatalf("server's stderr:\n%s", s.stderr)
		}
	}
	load.stop()
	h.verifyFromStart(s)
	s.stop()
	d.refused += h.refused.Load()
	d.acked += h.acked.Load()
	d.seen += h.seen.Load()
}

// fill fills the disk, not always to the last byte, and waits until a producer
// has been refused.
func (d *fullDisk) fill(disk *faultlab.Disk, h *history) {
	d.t.Helper()
	d.fills++
	before := h.refused.Load()
	leave := []int64{0, d.random.Int64N(64 << 10), d.random.Int64N(1 << 20)}[d.random.IntN(3)]
	limit := time.Now().Add(20 * time.Second)
	for disk.Leave(leave); h.refused.Load() == before; disk.Leave(leave) {
		if time.Now().After(limit) {
			d.t.Fatalf("nothing was refused with %d bytes available", disk.Available())
		}
		time.Sleep(time.Millisecond)
	}
}

// restart starts a server on the full disk, for half of the times without
// ballast, and verifies.
func (d *fullDisk) restart(disk *faultlab.Disk, data string, h *history) *server {
	d.t.Helper()
	d.starts++
	if d.random.IntN(2) == 0 {
		d.withoutBallast++
		os.Remove(filepath.Join(data, "rollway-ballast"))
	}
	disk.Leave(0)
	s := startServer(d.t, data)
	h.verifyAll(s)
	return s
}

// free makes room, and waits until something is acknowledged.
func (d *fullDisk) free(disk *faultlab.Disk, h *history) {
	d.t.Helper()
	before := h.acked.Load()
	freed := time.Now()
	for disk.Free(); h.acked.Load() == before; time.Sleep(time.Millisecond) {
		if time.Since(freed) > 5*time.Second {
			d.t.Errorf("nothing was acknowledged 5 s after %d bytes were freed", disk.Available())
			return
		}
	}
	d.slowest = max(d.slowest, time.Since(freed))
}

// What `rollway produce` is given arrives once and in order although the disk is
// full now and then: it sends again what was refused, and nothing else.
func TestFaultsFullDiskProduce(t *testing.T) {
	f := newFaultRun(t, 1)
	const bytes = 8 << 20
	fills, refusals := 0, 0
	for range f.rounds {
		disk := faultlab.Mount(t, "tmpfs", fullDiskBytes)
		s := startServer(t, filepath.Join(disk.Path, "data"))
		s.run(nil, "topic", "create", "logs", "--config", "segment.bytes="+strconv.Itoa(faultSegment))
		produced := make(chan error, 1)
		go func() {
			produced <- s.pipe(&slowly{&lines{left: bytes}}, io.Discard, "produce", "logs", "--batch-bytes", "16384")
		}()
		for done := false; !done; {
			f.pause(200 * time.Millisecond)
			disk.Leave(f.random.Int64N(1 << 20))
			f.pause(200 * time.Millisecond)
			disk.Free()
			fills++
			select {
			case err := <-produced:
				if err != nil {
					t.Fatalf("produce: %v\nserver's stderr:\n%s", err, s.stderr)
				}
				done = true
			default:
			}
		}
		want, got := xxhash.New(), xxhash.New()
		io.Copy(want, &lines{left: bytes})
		if err := s.pipe(nil, got, "consume", "logs"); err != nil {
			t.Fatal(err)
		}
		if want.Sum64() != got.Sum64() {
			t.Fatal("what was consumed is not what was produced")
		}
		s.stop()
		refusals += strings.Count(s.stderr.String(), "appends are refused")
	}
	t.Logf("%d fills, appends were refused in %d of them", fills, refusals)
}

// slowly gives 64 KiB each 5 ms.
type slowly struct{ r io.Reader }

func (s *slowly) Read(p []byte) (int, error) {
	time.Sleep(5 * time.Millisecond)
	return s.r.Read(p[:min(len(p), 64<<10)])
}

// A disk that takes writes and then cannot keep them, as a thin volume without
// room behind it: the sync fails, the bytes are gone from the page cache too, and
// the server ends. What it had acknowledged or shown is there when the disk is
// mended.
func TestFaultsThinDisk(t *testing.T) {
	f := newFaultRun(t, 1)
	var acked, doubt int64
	for range f.rounds {
		disk := faultlab.MountThin(t, fullDiskBytes, 16<<20+f.random.Int64N(8<<20))
		data := filepath.Join(disk.Path, "data")
		journal := []string{"-1", "4MiB"}[f.random.IntN(2)]
		flags := []string{"--ballast", "-1", "--journal-bytes", journal, "--checkpoint-interval", "100ms"}
		h := f.newDirectory(data, flags...)
		h.tolerate = func(refused *wire.Error) bool {
			return refused.Code == wire.CodeStorageFailed || refused.Code == wire.CodeServerClosing
		}
		s := startServer(t, data, flags...)
		load := h.start(s.addr, f.random)
		select {
		case <-s.ended:
		case <-time.After(startLimit):
			t.Fatalf("the server goes on; stderr:\n%s", s.stderr)
		}
		load.wait()
		if code := s.cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(s.stderr.String(), "storage failed") {
			t.Errorf("exit code %d, stderr:\n%s", code, s.stderr)
		}
		disk.Mend(2 * fullDiskBytes)
		s = startServer(t, data, flags...)
		h.verifyFromStart(s)
		s.stop()
		acked += h.acked.Load()
		doubt += h.refused.Load()
		if t.Failed() {
			return
		}
	}
	t.Logf("%d thin disks: %d batches acknowledged, %d in doubt", f.rounds, acked, doubt)
}

// While the disk hangs, what is in the page cache is served and nothing is
// acknowledged; when it goes on, so does the server.
func TestFaultsHungDisk(t *testing.T) {
	f := newFaultRun(t, 1)
	disk := faultlab.Mount(t, "ext4", fullDiskBytes)
	data := filepath.Join(disk.Path, "data")
	h := f.newDirectory(data)
	h.pace = 2 * time.Millisecond
	s := startServer(t, data)
	for range f.rounds {
		load := h.start(s.addr, f.random)
		h.awaitAcked(h.acked.Load() + 10)
		load.stop()
		disk.Freeze()
		frozen := h.acked.Load()
		h.verifyFromStart(s)
		load = h.start(s.addr, f.random)
		for h.inFlight.Load() == 0 {
			time.Sleep(time.Millisecond)
		}
		h.verifyFromStart(s)
		if n := h.acked.Load(); n != frozen {
			t.Errorf("%d batches were acknowledged by a frozen disk", n-frozen)
		}
		disk.Thaw()
		h.awaitAcked(frozen + 1)
		load.stop()
	}
	h.verifyFromStart(s)
	s.stop()
}

// killCalls are the system calls that a server is killed in. most bounds the
// first N; later ones find out how many there are.
var killCalls = []struct {
	name  string
	calls []string
	most  int
}{
	{"pwrite", []string{"pwrite64", "pwritev"}, 40},
	{"fdatasync", []string{"fdatasync"}, 40},
	{"rename", []string{"?rename", "?renameat", "?renameat2"}, 20},
	{"unlink", []string{"?unlink", "unlinkat"}, 20},
	{"openat", []string{"openat"}, 40},
	{"ftruncate", []string{"ftruncate"}, 1}, // of recovery
}

// A server that is killed as it begins its Nth call of one of the system calls
// that change the disk, while it starts, works or stops, loses nothing that was
// acknowledged or seen, and leaves no gap and no bad batch.
func TestFaultsKillAtCall(t *testing.T) {
	for _, kill := range killCalls {
		t.Run(kill.name, func(t *testing.T) {
			k := &killAtCall{faultRun: newFaultRun(t, 2), calls: kill.calls, most: kill.most}
			for round := 0; round < k.rounds && !t.Failed(); round++ {
				if round%20 == 0 { // what a directory gathers would have to be read each time
					k.data = t.TempDir()
					k.history = k.newDirectory(k.data)
				}
				k.round()
			}
			if len(k.hits) == 0 {
				t.Logf("%s: none of %d servers came to the call that was to kill it", kill.name, k.missed)
				return
			}
			slices.Sort(k.hits)
			t.Logf("%s: %d kills at call %d to %d, median %d, %d of them before the server was ready; %d times it did not come to that call",
				kill.name, len(k.hits), k.hits[0], k.hits[len(k.hits)-1], k.hits[len(k.hits)/2], k.atStart, k.missed)
		})
	}
}

type killAtCall struct {
	*faultRun
	calls   []string
	data    string
	history *history

	most            int   // bound of the next N; what is reached sets it
	hits            []int // the Ns
	atStart, missed int
}

// round starts a server that is to be killed, lets clients at it, and checks
// with one that is left alone. For half of the times it has to recover first.
func (k *killAtCall) round() {
	k.t.Helper()
	if k.most < 3 || k.random.IntN(2) == 0 {
		s := startServer(k.t, k.data)
		load := k.history.start(s.addr, k.random)
		if k.most < 3 { // until segments were rolled above the recovery point, whose indexes are made anew
			k.history.awaitAcked(k.history.acked.Load() + 2000)
		} else {
			k.pause(200 * time.Millisecond)
		}
		s.kill()
		load.wait()
	}
	n := 1 + k.random.IntN(k.most)
	tracer := faultlab.Injection{Calls: k.calls, Signal: "SIGKILL", N: n}.Strace(k.t, "/dev/null")
	s, ready := launch(k.t, tracer, k.data, "--checkpoint-interval", "100ms")
	if ready {
		k.work(s)
	} else {
		k.atStart++
	}
	switch status := s.cmd.ProcessState.Sys().(syscall.WaitStatus); {
	case status.Signaled() && status.Signal() == syscall.SIGKILL && !s.killed:
		k.hits = append(k.hits, n)
		k.most = min(k.most+k.most/8+1, 3000)
	case ready && (s.killed || status.ExitStatus() == 0):
		k.missed++
		k.most = max(n*3/4, 1)
	default:
		k.t.Fatalf("to be killed at %v %d the server ended with %v; stderr:\n%s", k.calls, n, s.cmd.ProcessState, s.stderr)
	}
	plain := startServer(k.t, k.data)
	k.history.verifyAll(plain)
	if k.random.IntN(2) == 0 {
		plain.stop()
	} else {
		plain.kill()
	}
}

// work produces, consumes, and makes and deletes topics until the server is
// dead; after a while it is told to stop, or killed.
func (k *killAtCall) work(s *server) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	load := k.history.start(s.addr, k.random)
	var churn sync.WaitGroup
	churn.Go(func() { churnTopics(ctx, s.addr) })
	select {
	case <-s.ended:
	case <-ctx.Done():
		load.stop()
		syscall.Kill(s.pid, syscall.SIGTERM)
		select {
		case <-s.ended:
		case <-time.After(startLimit):
			k.t.Errorf("the server did not end %v after SIGTERM", startLimit)
			s.kill()
		}
	}
	load.wait()
	churn.Wait()
}

// churnTopics makes topics, produces to them and deletes them, until ctx or the
// server ends.
func churnTopics(ctx context.Context, addr string) {
	c, err := client.Dial(ctx, addr, client.Options{})
	if err != nil {
		return
	}
	defer c.Close()
	for n := 0; ctx.Err() == nil && c.Err() == nil; n++ {
		name := fmt.Sprintf("churn-%d", n)
		c.CreateTopic(ctx, wire.CreateTopic{Topic: name, Partitions: 2})
		c.DeleteTopic(ctx, name)
	}
}

// A server whose Nth fdatasync or fsync fails, for N from 1 to 100, ends with 1
// and says why. From when it has noticed it begins no further sync. The trace may
// show some between that and the failure, which other threads began before the
// one that failed had run again, but none is of the same file. A restart serves
// all that was acknowledged or seen.
func TestFaultsSyncFails(t *testing.T) {
	k := &syncFails{faultRun: newFaultRun(t, 4), data: t.TempDir(), trace: filepath.Join(t.TempDir(), "trace")}
	k.history = k.newDirectory(k.data)
	k.history.tolerate = func(refused *wire.Error) bool {
		return refused.Code == wire.CodeStorageFailed || refused.Code == wire.CodeServerClosing
	}
	const most = 100
	for round := 0; round < k.rounds && !t.Failed(); round++ {
		k.round(1 + round*max(most/k.rounds, 1)%most)
	}
	t.Logf("%d failed syncs, %d of them before the server was ready; %d batches acknowledged, %d in doubt, %d records seen; %d syncs begun between a failure and its being noticed, 0 after that",
		k.hits, k.atStart, k.history.acked.Load(), k.history.refused.Load(), k.history.seen.Load(), k.unnoticed)
}

type syncFails struct {
	*faultRun
	data, trace string
	history     *history

	hits, atStart, unnoticed int
}

// round fails the Nth sync and restarts.
func (k *syncFails) round(n int) {
	k.t.Helper()
	tracer := faultlab.Injection{Calls: []string{"fdatasync", "fsync"}, Error: "EIO", N: n, Also: []string{"write"}}.Strace(k.t, k.trace)
	s, ready := launch(k.t, tracer, k.data, "--checkpoint-interval", "50ms", "--sync-parallelism", "1")
	if ready {
		load := k.history.start(s.addr, k.random)
		select {
		case <-s.ended:
		case <-time.After(startLimit):
			k.t.Errorf("sync %d did not come, or did not end the server, in %v", n, startLimit)
			s.kill()
		}
		load.wait()
	} else {
		k.atStart++
	}
	if code := s.cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(s.stderr.String(), "input/output error") {
		k.t.Errorf("after sync %d failed: exit code %d, stderr:\n%s", n, code, s.stderr)
	}
	trace := readSyncTrace(k.t, k.trace)
	if trace.failed == "" || ready && !trace.said {
		k.t.Errorf("sync %d: failed in the trace: %q, said so: %t", n, trace.failed, trace.said)
	}
	if slices.Contains(trace.unnoticed, trace.failed) {
		k.t.Errorf("after the sync of %s had failed, these were begun: %v", trace.failed, trace.unnoticed)
	}
	if len(trace.noticed) > 0 {
		k.t.Errorf("after the server had noticed that the sync of %s failed, these were begun: %v", trace.failed, trace.noticed)
	}
	k.hits++
	k.unnoticed += len(trace.unnoticed)
	plain := startServer(k.t, k.data)
	k.history.verifyAll(plain)
	plain.kill()
}

var (
	syncBegun  = regexp.MustCompile(`^(\d+) +(?:fsync|fdatasync)\((\d+<[^>]*>)`)
	syncFailed = regexp.MustCompile(`EIO .*\(INJECTED\)`)
	stopLogged = regexp.MustCompile(`^\d+ +write\(2<.*data directory has stopped`)
)

// syncTrace is what a trace shows of syncs.
type syncTrace struct {
	failed string // the file of the first one that failed, as strace names it
	// The files whose syncs were begun after that, before the server said that
	// the directory has stopped and afterwards.
	unnoticed, noticed []string
	said               bool // that it has stopped
}

func readSyncTrace(t *testing.T, name string) (trace syncTrace) {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	begun := map[string]string{} // the last one by thread
	scan := bufio.NewScanner(file)
	for scan.Scan() {
		line := scan.Text()
		trace.said = trace.said || stopLogged.MatchString(line)
		if m := syncBegun.FindStringSubmatch(line); m != nil {
			begun[m[1]] = m[2]
			switch {
			case trace.said:
				trace.noticed = append(trace.noticed, m[2])
			case trace.failed != "":
				trace.unnoticed = append(trace.unnoticed, m[2])
			}
		}
		if trace.failed == "" && syncFailed.MatchString(line) {
			thread, _, _ := strings.Cut(line, " ")
			trace.failed = begun[thread]
		}
	}
	if err := scan.Err(); err != nil {
		t.Fatal(err)
	}
	return trace
}
