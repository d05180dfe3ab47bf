package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollway/rollway/perf/contestant"
	"github.com/rollway/rollway/perf/result"
	"github.com/rollway/rollway/perf/sample"
)

// testProfile is so little that a whole run takes a moment.
var testProfile = profile{
	name: "test",
	effort: effort{
		rounds: 2, counted: 20 * time.Millisecond, openRounds: 1, open: 200 * time.Millisecond,
		cold: 5 * time.Millisecond, warmUp: 10 * time.Millisecond, jvmWarmUp: 10 * time.Millisecond,
		produceBytes: 4 << 20, backlogBytes: 8 << 20,
	},
}

// testProgram is the lab with contestants of the tests and two small workloads.
func testProgram() program {
	var names []string
	for _, f := range fakes {
		names = append(names, f.name)
	}
	return program{
		out: os.Stdout, names: names,
		profile: func(o options) (profile, error) {
			p := testProfile
			p.contestants = o.contestants
			return p, nil
		},
		plan: func(p profile, _ []string) []*workload {
			return choose([]*workload{
				shapes[0].workload(p, "a-16k", "produce", names, false),
				{Workload: result.Workload{Name: "e-1m-1", Main: consumeMain, Rounds: p.rounds}, job: consume{connections: 1, maxBytes: 1 << 20},
					contestants: names, counted: p.counted, warms: true},
			}, p, nil)
		},
		build: func(context.Context, options, string) error { return nil }, make: newFakes, logBytes: 4 << 20,
	}
}

// newLab prepares a run with these contestants.
func newLab(t *testing.T, p program, results string, contestants ...string) *lab {
	t.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { null.Close() })
	p.out = null
	o := options{results: results, shareCores: true, contestants: contestants}
	chosen, err := p.profile(o)
	if err != nil {
		t.Fatal(err)
	}
	o.profile = chosen.name
	dir, err := os.MkdirTemp(t.TempDir(), "rollway-lab-") // whose name is one of a kind
	if err != nil {
		t.Fatal(err)
	}
	l, err := p.prepare(o, place{dir: dir, network: "the host's"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.results.Close() })
	return l
}

// readResults reads the one file in a directory.
func readResults(t *testing.T, dir string) (result.Run, []result.Measure) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil || len(paths) != 1 {
		t.Fatalf("results %v, %v; want one file", paths, err)
	}
	run, measures, err := result.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	return run, measures
}

// A run gives every contestant its turns, measures each from outside, and leaves
// nothing in its directory.
func TestRun(t *testing.T) {
	results := t.TempDir()
	l := newLab(t, testProgram(), results, "fake", "test-native", "fake-none")
	if code, err := l.carryOut(t.Context(), place{}); code != 0 || err != nil {
		t.Fatalf("exit code %d, %v; want 0", code, err)
	}
	run, measures := readResults(t, results)
	var got []string
	for _, m := range measures {
		got = append(got, fmt.Sprintf("%s %s %s%d", m.Workload, m.Contestant, m.Phase, m.Round))
		if m.Contestant == "fake-none" {
			if m.Skipped == "" {
				t.Errorf("measure of a contestant that is not there: %+v, want it skipped", m)
			}
			continue
		}
		figures := []string{"cpu_s_gib", "rss_mib", "elapsed_s", "threads", "client_cores"}
		if m.Workload == "a-16k" {
			figures = append(figures, "produce_mib_s", "produce_req_s", "produce_p99_ms")
			if m.Latencies["produce"] == "" {
				t.Errorf("%s: no histogram", got[len(got)-1])
			}
		} else {
			figures = append(figures, "consume_mib_s")
		}
		for _, name := range figures {
			if v, ok := m.Figures[name]; !ok || v <= 0 {
				t.Errorf("%s: %s = %v, want more than 0", got[len(got)-1], name, v)
			}
		}
	}
	want := []string{
		"a-16k fake cold0", "a-16k fake warmup0", "a-16k fake-none cold0", "a-16k test-native cold0", "a-16k test-native warmup0",
		"a-16k fake 1", "a-16k test-native 1", "a-16k test-native 2", "a-16k fake 2",
		"e-1m-1 fake cold0", "e-1m-1 fake warmup0", "e-1m-1 fake-none cold0", "e-1m-1 test-native cold0", "e-1m-1 test-native warmup0",
		"e-1m-1 fake 1", "e-1m-1 test-native 1", "e-1m-1 test-native 2", "e-1m-1 fake 2",
	}
	if !slices.Equal(got, want) {
		t.Errorf("measures\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, name := range []string{"kernel", "cpu", "cores", "data directory", "network", "durability", "noise", "commit", "command"} {
		if !slices.ContainsFunc(run.Conditions, func(c result.Condition) bool { return c.Name == name && c.Text != "" }) {
			t.Errorf("no condition %s", name)
		}
	}
	if !slices.ContainsFunc(run.Conditions, func(c result.Condition) bool {
		return c.Name == "congestion control" && c.Contestant == "fake" && strings.HasPrefix(c.Text, "client ")
	}) {
		t.Errorf("no proof of congestion control among %+v", run.Conditions)
	}
	if p := l.progress; p.over != p.steps || p.left != 0 || len(l.left()) != 0 {
		t.Errorf("progress at the end: %d of %d turns, %v left, %d steps left; want all and none", p.over, p.steps, p.left, len(l.left()))
	}
	if left, err := os.ReadDir(l.dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A server that drops records, or changes one, fails its turn, with where; the
// others go on, and the run ends with 1.
func TestUnreliableServers(t *testing.T) {
	results := t.TempDir()
	l := newLab(t, testProgram(), results, "fake", "fake-drop", "fake-flip")
	if code, err := l.carryOut(t.Context(), place{}); code != 1 || err != nil {
		t.Fatalf("exit code %d, %v; want 1", code, err)
	}
	_, measures := readResults(t, results)
	failures := map[string]string{}
	counted := 0
	for _, m := range measures {
		switch {
		case m.Error != "":
			failures[m.Workload+" "+m.Contestant] = m.Error
			if m.Figures != nil {
				t.Errorf("figures beside an error: %+v", m)
			}
		case m.Contestant == "fake":
			counted++
		default:
			t.Errorf("measure of a server that is unreliable: %+v", m)
		}
	}
	if counted != 8 {
		t.Errorf("%d measures of the server that is reliable, want 8", counted)
	}
	for who, want := range map[string]string{
		"a-16k fake-drop": "were acknowledged", "e-1m-1 fake-drop": "were acknowledged",
		"a-16k fake-flip": "crc", "e-1m-1 fake-flip": "crc",
	} {
		if !strings.Contains(failures[who], want) {
			t.Errorf("%s: error %q, want %q", who, failures[who], want)
		}
	}
}

// A server that uses twice the CPU for each batch shows up as one, whatever else
// the machine does: what is compared is CPU time.
func TestSlowedServer(t *testing.T) {
	p := testProgram()
	plan := p.plan
	p.plan = func(o profile, extra []string) []*workload {
		w := plan(o, extra)[:1]
		w[0].counted = 100 * time.Millisecond
		return w
	}
	results := t.TempDir()
	l := newLab(t, p, results, "fake-burn-1", "fake-burn-2")
	if code, err := l.carryOut(t.Context(), place{}); code != 0 || err != nil {
		t.Fatalf("exit code %d, %v; want 0", code, err)
	}
	_, measures := readResults(t, results)
	cpu := map[string]sample.Series{}
	for _, m := range measures {
		if m.Phase == result.Counted {
			cpu[m.Contestant] = append(cpu[m.Contestant], m.Figures["cpu_us_req"])
		}
	}
	if ratio := cpu["fake-burn-2"].Over(cpu["fake-burn-1"]).Median(); math.Abs(ratio-2) > 0.2 {
		t.Errorf("CPU of %v over %v is %.2f, want 2 within 10 %%", cpu["fake-burn-2"], cpu["fake-burn-1"], ratio)
	}
}

// A server that takes twice as long for each batch shows up as one, in its rate
// and in its latency. Sleeps are as long as they say on a quiet machine only, so
// this is for ROLLWAY_LAB_TIMED=1.
func TestDelayedServer(t *testing.T) {
	if os.Getenv("ROLLWAY_LAB_TIMED") == "" {
		t.Skip("by the clock: set ROLLWAY_LAB_TIMED=1 on a quiet machine")
	}
	p := testProgram()
	plan := p.plan
	p.plan = func(o profile, extra []string) []*workload {
		w := plan(o, extra)[:1]
		w[0].counted = 3 * time.Second
		w[0].job = produce{connections: 1, partitions: 1, window: 1, batchBytes: 1 << 10, valueBytes: 100, maxBytes: 1 << 20}
		return w
	}
	results := t.TempDir()
	l := newLab(t, p, results, "fake-delay-1", "fake-delay-2")
	if code, err := l.carryOut(t.Context(), place{}); code != 0 || err != nil {
		t.Fatalf("exit code %d, %v; want 0", code, err)
	}
	_, measures := readResults(t, results)
	f := func(figure, slower, faster string) {
		t.Helper()
		values := map[string]sample.Series{}
		for _, m := range measures {
			if m.Phase == result.Counted {
				values[m.Contestant] = append(values[m.Contestant], m.Figures[figure])
			}
		}
		if ratio := values[slower].Over(values[faster]).Median(); math.Abs(ratio-2) > 0.2 {
			t.Errorf("%s: %v over %v is %.2f, want 2 within 10 %%", figure, values[slower], values[faster], ratio)
		}
	}
	f("produce_p50_ms", "fake-delay-2", "fake-delay-1")
	f("produce_req_s", "fake-delay-1", "fake-delay-2")
}

// A run that was interrupted goes on behind its last whole turn: in the end every
// turn is there once, and a third start begins another run.
func TestResume(t *testing.T) {
	results := t.TempDir()
	p := testProgram()
	stop := errors.New("stop")
	l := newLab(t, p, results, "fake", "test-native")
	ctx, cancel := context.WithCancelCause(t.Context())
	starts := 0
	l.make = func(name string) (contestant.Contestant, error) {
		if starts++; starts == 4 { // the second contestant of the second workload
			cancel(stop)
		}
		return newFakes(options{}, "")(name)
	}
	if _, err := l.carryOut(ctx, place{}); !errors.Is(err, stop) {
		t.Fatalf("run that was interrupted: %v, want %v", err, stop)
	}
	_, before := readResults(t, results)
	if len(before) == 0 || len(before) >= 16 {
		t.Fatalf("%d measures before the interruption, want some of 16", len(before))
	}
	l = newLab(t, p, results, "fake", "test-native")
	if code, err := l.carryOut(t.Context(), place{}); code != 0 || err != nil {
		t.Fatalf("exit code %d, %v; want 0", code, err)
	}
	_, measures := readResults(t, results)
	seen := map[string]int{}
	for _, m := range measures {
		seen[fmt.Sprint(m.Workload, m.Contestant, m.Phase, m.Round)]++
	}
	if len(seen) != 16 || len(measures) != 16 {
		t.Errorf("%d measures, %d different ones; want 16 and 16", len(measures), len(seen))
	}
	if again := newLab(t, p, results, "fake", "test-native"); again.path == l.path || len(again.left()) != 16 {
		t.Errorf("a start after the run was over: %d turns left in %s, want a new run", len(again.left()), again.path)
	}
}

// A run takes over what one of another profile has measured at the same commit with
// the same effort, if it is the first of its own and something is left to do; with
// another effort it takes nothing.
func TestTakeOver(t *testing.T) {
	results := t.TempDir()
	less, more := testProgram(), testProgram()
	plan := less.plan
	less.plan = func(p profile, extra []string) []*workload { return plan(p, extra)[:1] }
	less.profile = func(options) (profile, error) {
		p := testProfile
		p.name, p.contestants = "less", []string{"fake"}
		return p, nil
	}
	l := newLab(t, less, results)
	if code, err := l.carryOut(t.Context(), place{}); code != 0 || err != nil {
		t.Fatalf("exit code %d, %v; want 0", code, err)
	}
	run, before := readResults(t, results)
	if run.Profile != "less" || len(before) != 4 {
		t.Fatalf("%d measures of profile %s, want 4 of less", len(before), run.Profile)
	}
	more.profile = func(options) (profile, error) {
		p := testProfile
		p.warmUp++
		p.contestants = []string{"fake"}
		return p, nil
	}
	if l := newLab(t, more, t.TempDir()); len(l.left()) != 8 {
		t.Errorf("%d turns left of a run with nothing before it, want 8", len(l.left()))
	}
	other := newLab(t, more, results)
	if left := len(other.left()); left != 8 {
		t.Errorf("%d turns left with another effort, want 8", left)
	}
	if err := os.Remove(other.path); err != nil {
		t.Fatal(err)
	}
	more.profile = func(options) (profile, error) {
		p := testProfile
		p.contestants = []string{"fake"}
		return p, nil
	}
	l = newLab(t, more, results)
	if left := len(l.left()); left != 4 {
		t.Fatalf("%d turns left of 8, want 4", left)
	}
	if code, err := l.carryOut(t.Context(), place{}); code != 0 || err != nil {
		t.Fatalf("exit code %d, %v; want 0", code, err)
	}
	run, measures, err := result.ReadFile(l.path)
	if err != nil {
		t.Fatal(err)
	}
	if len(measures) != 8 || !measures[3].At.Equal(before[3].At) || !measures[4].At.After(run.Began) {
		t.Errorf("%d measures, want 4 of the earlier run and 4 of this one", len(measures))
	}
	if !slices.ContainsFunc(run.Conditions, func(c result.Condition) bool { return c.Name == "taken over" }) {
		t.Error("no condition says that measures were taken over")
	}
	if err := os.Rename(l.path, filepath.Join(results, "first.jsonl")); err != nil { // the next may begin in the same second
		t.Fatal(err)
	}
	if again := newLab(t, more, results); len(again.left()) != 8 {
		t.Errorf("%d turns left of a second run of the profile, want 8", len(again.left()))
	}
}

// Noise is that of all turns, by how long they were.
func TestDisturbed(t *testing.T) {
	l := &lab{measures: []result.Measure{
		{Figures: map[string]float64{"elapsed_s": 3, "others_percent": 4, "stolen_percent": 1}},
		{Figures: map[string]float64{"elapsed_s": 1, "stolen_percent": 5}},
		{Phase: result.Syscalls, Figures: map[string]float64{"syscalls_mib": 9}},
	}}
	if others, stolen := l.disturbed(); math.Abs(others-0.03) > 1e-9 || math.Abs(stolen-0.02) > 1e-9 {
		t.Errorf("others %v, stolen %v; want 0.03 and 0.02", others, stolen)
	}
	if others, stolen := (&lab{}).disturbed(); others != 0 || stolen != 0 {
		t.Errorf("of nothing: others %v, stolen %v; want none", others, stolen)
	}
}

// scripted is a job whose turns are disturbed by so many percent, one after the other.
type scripted struct {
	stolen []float64
	turns  int
}

func (j *scripted) do(context.Context, *subject, time.Duration) (taken, error) {
	j.turns++
	if j.turns > len(j.stolen) {
		return taken{}, errors.New("no more turns")
	}
	return taken{figures: map[string]float64{"stolen_percent": j.stolen[j.turns-1], "elapsed_s": float64(j.turns)}}, nil
}

// A turn that was disturbed is done again, twice at most and while the run has time for
// it, and the one that was disturbed least counts.
func TestQuietTurn(t *testing.T) {
	f := func(stolen []float64, phase result.Phase, left, turns, kept int) {
		t.Helper()
		j := &scripted{stolen: stolen}
		l := &lab{repeats: time.Duration(left) * time.Second}
		out, err := l.quietTurn(t.Context(), nil, step{workload: &workload{job: j}, phase: phase, estimate: time.Second})
		if err != nil || j.turns != turns || out.figures["elapsed_s"] != float64(kept) || out.figures["repeats"] != float64(turns-1) || l.repeats != time.Duration(left-turns+1)*time.Second {
			t.Errorf("turns %v: %d turns, %v, %v, %v left; want %d and number %d", stolen, j.turns, out.figures, err, l.repeats, turns, kept)
		}
	}
	f([]float64{5}, result.Counted, 9, 1, 1)
	f([]float64{20, 3, 1}, result.Counted, 9, 2, 2)
	f([]float64{20, 9, 6, 1}, result.Counted, 9, 3, 3)
	f([]float64{20, 30, 25, 1}, result.Counted, 9, 3, 1)
	f([]float64{20, 9, 1}, result.Counted, 1, 2, 2)
	f([]float64{20, 1}, result.Counted, 0, 1, 1)
	f([]float64{20, 1}, result.WarmUp, 9, 1, 1)
	if out, err := (&lab{repeats: time.Hour}).quietTurn(t.Context(), nil, step{workload: &workload{job: &scripted{stolen: []float64{20}}}}); err == nil {
		t.Errorf("a turn that failed when it was done again: %v, want its error", out)
	}
}

// Clients that sleep in the kernel get room beside those that run, and give it back.
func TestSleepers(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	end := sleepers(3)
	if got := runtime.GOMAXPROCS(0); got != before+3 {
		t.Errorf("room for %d beside %d, want 3", got-before, before)
	}
	end()
	if got := runtime.GOMAXPROCS(0); got != before {
		t.Errorf("room for %d afterwards, want %d", got, before)
	}
}
