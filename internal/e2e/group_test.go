package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// groupTest reads one topic for one group, and knows what was printed.
type groupTest struct {
	*server
	t        testing.TB
	produced []int64         // records, by partition
	printed  []map[int64]int // how often each offset was, by partition
}

const groupPartitions = 3

func newGroupTest(t testing.TB, s *server) *groupTest {
	g := &groupTest{server: s, t: t, produced: make([]int64, groupPartitions)}
	for range groupPartitions {
		g.printed = append(g.printed, map[int64]int{})
	}
	s.run(nil, "topic", "create", "orders", "--partitions", fmt.Sprint(groupPartitions))
	return g
}

// produce puts so many records into each partition.
func (g *groupTest) produce(count int64) {
	g.t.Helper()
	for p := range g.produced {
		var lines strings.Builder
		for i := range count {
			fmt.Fprintf(&lines, "order %d of %d\n", g.produced[p]+i, p)
		}
		g.run(strings.NewReader(lines.String()), "produce", "orders", "--partition", fmt.Sprint(p))
		g.produced[p] += count
	}
}

var groupConsume = []string{"consume", "orders", "--group", "billing", "--format", `%p %o %v\n`}

// take notes what was printed, and checks that each partition goes on at from
// without a gap. A last line that was cut is none.
func (g *groupTest) take(output string, from []int64) {
	g.t.Helper()
	next := append([]int64{}, from...)
	for line := range strings.Lines(output) {
		if !strings.HasSuffix(line, "\n") {
			break
		}
		var p, off int64
		if _, err := fmt.Sscan(line, &p, &off); err != nil {
			g.t.Fatalf("line %q: %v", line, err)
		}
		if off != next[p] {
			g.t.Fatalf("partition %d: offset %d was printed, want %d", p, off, next[p])
		}
		if want := fmt.Sprintf("%d %d order %d of %d\n", p, off, off, p); line != want {
			g.t.Fatalf("line %q, want %q", line, want)
		}
		next[p]++
		g.printed[p][off]++
	}
}

// committed asks for what is committed, by partition.
func (g *groupTest) committed() []int64 {
	g.t.Helper()
	var d struct {
		Offsets []struct {
			Partition int
			Committed int64
		}
	}
	if err := json.Unmarshal(g.run(nil, "group", "describe", "billing", "--json"), &d); err != nil {
		g.t.Fatal(err)
	}
	offsets := make([]int64, groupPartitions)
	for _, o := range d.Offsets {
		offsets[o.Partition] = o.Committed
	}
	return offsets
}

// follow starts a consumer that goes on until it is killed or its server is.
func (g *groupTest) follow() (cmd *exec.Cmd, stdout *syncBuffer) {
	g.t.Helper()
	cmd, stdout = exec.Command(program, append(groupConsume, "--follow")...), new(syncBuffer)
	cmd.Env = append(os.Environ(), "ROLLWAY_ADDR="+g.addr)
	cmd.Stdout = stdout
	if err := cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { cmd.Process.Kill() })
	return cmd, stdout
}

// await waits until it is so.
func (g *groupTest) await(what string, so func() bool) {
	g.t.Helper()
	for deadline := time.Now().Add(time.Minute); !so(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			g.t.Fatalf("%s: not within a minute", what)
		}
	}
}

// lines waits until the consumer has printed so many.
func (g *groupTest) lines(stdout *syncBuffer, count int) {
	g.t.Helper()
	g.await(fmt.Sprintf("%d lines", count), func() bool { return strings.Count(stdout.String(), "\n") >= count })
}

// Across kills of the server and of the consumer a group reads every record, and again only what it had not committed.
func TestGroupSurvivesKills(t *testing.T) {
	data := t.TempDir()
	g := newGroupTest(t, startServer(t, data))
	restart := func() {
		t.Helper()
		g.kill()
		g.server = startServer(t, data)
	}
	none := make([]int64, groupPartitions)
	g.produce(500)
	g.take(string(g.run(nil, append(groupConsume, "--max", "700")...)), none)
	first := g.committed()
	if first[0]+first[1]+first[2] != 700 {
		t.Errorf("%v is committed after 700 records", first)
	}

	// The server dies behind a consumer that is done, and one that has printed
	// what it has not committed.
	restart()
	if got := g.committed(); fmt.Sprint(got) != fmt.Sprint(first) {
		t.Fatalf("%v is committed after a kill, want %v", got, first)
	}
	cmd, stdout := g.follow()
	g.lines(stdout, 800)
	g.await("a commit", func() bool { return fmt.Sprint(g.committed()) == fmt.Sprint(g.produced) })
	second := g.committed()
	g.produce(100)
	g.lines(stdout, 800+300)
	restart()
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != 3 {
		t.Errorf("the consumer ended with %v, want exit code 3", err)
	}
	g.take(stdout.String(), first)
	g.checkCommitted(second)

	// The consumer dies.
	third := g.committed()
	cmd, stdout = g.follow()
	g.produce(50)
	g.await("the end", func() bool { return strings.Contains(stdout.String(), fmt.Sprintf("order %d of 2\n", g.produced[2]-1)) })
	cmd.Process.Kill()
	cmd.Wait()
	g.take(stdout.String(), third)
	g.checkCommitted(third)

	fourth := g.committed()
	g.take(string(g.run(nil, groupConsume...)), fourth)
	for p, count := range g.produced {
		for off := range count {
			if g.printed[p][off] == 0 {
				t.Fatalf("partition %d: offset %d was never printed", p, off)
			}
		}
	}
	if got := g.run(nil, groupConsume...); len(got) != 0 {
		t.Errorf("%q was printed again", got)
	}
	g.stop()
}

// checkCommitted checks that what is committed is not below least, nor above what
// was printed.
func (g *groupTest) checkCommitted(least []int64) {
	g.t.Helper()
	for p, off := range g.committed() {
		if off < least[p] {
			g.t.Errorf("partition %d: offset %d is committed, and was at %d", p, off, least[p])
		}
		if off > 0 && g.printed[p][off-1] == 0 {
			g.t.Errorf("partition %d: offset %d is committed, and %d was not printed", p, off, off-1)
		}
	}
}

// A partition of the offsets log that is damaged costs its groups: the others are
// listed, and the command says which partition is missing and fails.
func TestGroupsOfDamagedLog(t *testing.T) {
	data := t.TempDir()
	s := startServer(t, data)
	s.run(nil, "topic", "create", "orders")
	const groups = 6
	for i := range groups {
		s.run(nil, "group", "reset", fmt.Sprint("group-", i), "orders", "--to-latest")
	}
	s.stop()
	logs := glob(t, data, "__consumer_offsets-*/*.log")
	if len(logs) != groups {
		t.Fatalf("%d logs, want one for each of %d groups", len(logs), groups)
	}
	dir := filepath.Base(filepath.Dir(logs[0]))
	_, partition, _ := strings.Cut(dir, "-")
	flip(t, logs[0], 1, 0)
	s = startServer(t, data)

	stdout, err := s.try(nil, "group", "list")
	says(t, err, "partition "+partition+" of the offsets log")
	lost := ""
	for i := range groups {
		if name := fmt.Sprint("group-", i); !strings.Contains(string(stdout), name+" ") {
			lost += name
		}
	}
	if len(lost) != len("group-0") {
		t.Fatalf("%q is missing from\n%s", lost, stdout)
	}
	_, err = s.try(nil, "group", "describe", lost, "--timeout", "4s")
	says(t, err, dir+", which cannot be read")
	s.stop()
}

// A topic that is deleted takes what a group has committed with it, also if the
// server is killed right behind the answer: one that is made anew is read from its
// start, and the group has nothing of the old one.
func TestOffsetsGoWithKilledTopic(t *testing.T) {
	data := t.TempDir()
	settings := []string{"offsets.topic.num.partitions=5"}
	s := startGroupServer(t, data, settings)
	for round := range 3 {
		s.run(nil, "topic", "create", "orders")
		for range round + 1 {
			s.run(strings.NewReader("one\ntwo\n"), "produce", "orders")
		}
		want := strings.Repeat("one\ntwo\n", round+1)
		if got := string(s.run(nil, "consume", "orders", "--group", "billing")); got != want {
			t.Fatalf("round %d: %q was printed, want %q", round, got, want)
		}
		s.run(nil, "topic", "delete", "orders")
		s.kill()
		s = startGroupServer(t, data, settings)
		// A group that is gone with all that it had is an error.
		if got, err := s.try(nil, "group", "describe", "billing"); strings.Contains(string(got), "orders") {
			t.Errorf("round %d: %s, %v", round, got, err)
		}
	}
	s.stop()
}
