package main

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollway/rollway/internal/needs"
	"github.com/rollway/rollway/perf/contestant"
	"github.com/rollway/rollway/perf/result"
)

// smallJobs are one of each kind, with sizes for a test.
var smallJobs = map[string]job{
	"a-1m":   produce{connections: 1, partitions: 1, window: 4, batchBytes: 1 << 20, valueBytes: 100, maxBytes: 4 << 20},
	"c-64":   produce{connections: 8, partitions: 4, window: 1, batchBytes: 1 << 10, valueBytes: 1000, maxBytes: 4 << 20},
	"d":      openLoop{rate: 500, partitions: 4, producers: 2, recordBytes: 1 << 10},
	"e-1m-8": consume{connections: 3, maxBytes: 64 << 10},
	"f":      cold{backlogBytes: 8 << 20, memoryBytes: 1 << 30, rate: 200},
	"g-8":    fanOut{readers: 3, bytesPerSecond: 10 << 20},
	"j-100":  partitions{count: 100},
	"k-1000": connections{count: 20},
	"l":      recovery{bytes: 8 << 20, partitions: 2},
}

// Every kind of job is done by a real server over both protocols, and has the
// figures that its table is about.
func TestJobs(t *testing.T) {
	// What needs more than such a moment to be seen, or a run of its own.
	rare := []string{"syscalls_mib", "syscalls_req", "cpu_user_s_gib", "cpu_user_us_req"}
	for _, name := range []string{"test-native", "test-kafka"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, testProgram(), t.TempDir(), name)
			for _, w := range workloads(profiles[len(profiles)-1], nil) {
				if j := smallJobs[w.Name]; j != nil {
					checkJob(t, l, name, w, j, rare)
				}
			}
		})
	}
}

// Topics that the load generator makes are synced or not as the run wants it, as those are
// that the lab makes: a server that is told to refuse them, does.
func TestGeneratorsTopics(t *testing.T) {
	for _, name := range []string{"test-native", "test-kafka"} {
		s := newSubject(t, newLab(t, testProgram(), t.TempDir(), name), name)
		if err := s.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.server.(*fakeServer).configs = map[string]string{"flush.messages": "sometimes"}
		if _, err := smallJobs["d"].do(t.Context(), s, 100*time.Millisecond); err == nil || !strings.Contains(err.Error(), "flush.messages") {
			t.Errorf("%s: topics with flush.messages=sometimes: %v, want them refused", name, err)
		}
	}
}

// checkJob does a job with the figures of a workload, but for those that are rare.
func checkJob(t *testing.T, l *lab, name string, w *workload, j job, rare []string) {
	t.Helper()
	s := newSubject(t, l, name)
	if w.warms {
		if err := s.start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	out, err := j.do(t.Context(), s, 100*time.Millisecond)
	if skip := new(skipError); errors.As(err, &skip) {
		t.Logf("%s: skipped: %v", w.Name, err)
		return
	}
	if err != nil {
		t.Errorf("%s: %v", w.Name, err)
		return
	}
	for _, figure := range w.Main {
		if _, ok := out.figures[figure]; !ok && !slices.Contains(rare, figure) {
			t.Errorf("%s: no figure %s among %v", w.Name, figure, out.figures)
		}
	}
	for figure := range out.figures {
		if _, ok := result.Named(figure); !ok {
			t.Errorf("%s: figure %s, want one of result.Figures", w.Name, figure)
		}
	}
	if err := s.end(); err != nil {
		t.Errorf("%s: end: %v", w.Name, err)
	}
}

// newSubject returns a contestant's subject, which is ended with the test.
func newSubject(t *testing.T, l *lab, name string) *subject {
	t.Helper()
	c, err := l.make(name)
	if err != nil {
		t.Fatal(err)
	}
	s := &subject{lab: l, contestant: c}
	t.Cleanup(func() { s.end() })
	return s
}

// A turn under strace has system calls and nothing else, since it is slowed.
func TestTrace(t *testing.T) {
	needs.Tool(t, "strace")
	l := newLab(t, testProgram(), t.TempDir(), "test-native")
	s := newSubject(t, l, "test-native")
	if err := s.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	out, err := s.trace(t.Context(), &workload{job: smallJobs["a-1m"], counted: 100 * time.Millisecond})
	if err != nil && strings.Contains(err.Error(), "strace -p") {
		t.Skip(err)
	}
	if calls := out.figures["syscalls_mib"]; err != nil || len(out.figures) != 2 || calls < 1 || calls > 10_000 || out.latencies != nil {
		t.Errorf("figures %v, %v; want system calls only", out.figures, err)
	}
}

// Shares are of the lowest of the contestants' highest rates; without any there is
// an error.
func TestWeakestMaximum(t *testing.T) {
	l := &lab{}
	if rate, err := l.weakestMaximum(); err == nil {
		t.Errorf("weakest maximum without measures: %v, want an error", rate)
	}
	for _, m := range []struct {
		contestant string
		phase      result.Phase
		rate       float64
	}{
		{"fast", result.Counted, 900}, {"fast", result.Counted, 1100}, {"slow", result.WarmUp, 10},
		{"slow", result.Counted, 100}, {"slow", result.Counted, 300}, {"slow", result.Counted, 200},
	} {
		l.measures = append(l.measures, result.Measure{
			Workload: maximumName, Contestant: m.contestant, Phase: m.phase, Figures: map[string]float64{"produce_records_s": m.rate},
		})
	}
	if rate, err := l.weakestMaximum(); err != nil || rate != 200 {
		t.Errorf("weakest maximum %v, %v; want the median 200", rate, err)
	}
}

// Servers that were there before are not started or killed: the job is skipped.
func TestExternal(t *testing.T) {
	l := newLab(t, testProgram(), t.TempDir(), "fake")
	l.options.kafkaEndpoint = "127.0.0.1:1"
	s := &subject{lab: l, contestant: &fake{name: contestant.Kafka}}
	for _, j := range []job{smallJobs["f"], smallJobs["j-100"], smallJobs["l"]} {
		if _, err := j.do(t.Context(), s, 0); !errors.As(err, new(*skipError)) {
			t.Errorf("%T with a broker that is not ours: %v, want it skipped", j, err)
		}
	}
}

// The kinds of several connections are named once each, and what was listed can be
// looked at again.
func TestKinds(t *testing.T) {
	ours, theirs := []string{"cubic", "cubic", "cubic"}, []string{"cubic", "bbr", "cubic"}
	f := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("kinds %q, want %q", got, want)
		}
	}
	f(kinds(ours), "cubic")
	f(kinds(theirs), "bbr and cubic")
	f(kinds(append(ours, ours...)), "cubic")
	f(kinds(append(ours, theirs...)), "bbr and cubic")
	f(kinds(nil), "")
}
