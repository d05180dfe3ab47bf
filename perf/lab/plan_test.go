package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollway/rollway/perf/contestant"
	"github.com/rollway/rollway/perf/result"
)

// Every workload of the plan is there once, with figures that are known and
// contestants, and profiles choose only what is there.
func TestWorkloads(t *testing.T) {
	full, err := findProfile("full")
	if err != nil {
		t.Fatal(err)
	}
	all := workloads(full, nil)
	names := map[string]bool{}
	letters := map[string]bool{}
	for _, w := range all {
		if names[w.Name] || w.Title == "" || w.Note == "" || len(w.contestants) < 3 || w.Rounds < 1 {
			t.Errorf("workload %+v: want a name of its own, title, note, contestants and rounds", w.Workload)
		}
		names[w.Name], letters[w.letter()] = true, true
		for _, name := range w.Main {
			if _, ok := result.Named(name); !ok {
				t.Errorf("workload %s is about %q, want a figure of result.Figures", w.Name, name)
			}
		}
	}
	for letter := 'a'; letter <= 'l'; letter++ {
		if !letters[string(letter)] {
			t.Errorf("no workload %c", letter)
		}
	}
	for _, p := range profiles {
		for _, name := range p.workloads {
			if !names[name] && !letters[name] {
				t.Errorf("profile %s has %q, want a workload or a letter", p.name, name)
			}
		}
	}
}

// A profile's plan is estimated to take no longer than the profile may, with all turns
// that may be done again.
func TestEstimates(t *testing.T) {
	for _, p := range profiles {
		var sum time.Duration
		for _, s := range sections(workloads(p, nil)) {
			for _, w := range s.workloads {
				for _, st := range s.steps(p, w) {
					sum += st.estimate
				}
			}
		}
		if p.repeats {
			sum += sum / repeatPart
		}
		if p.limit > 0 && sum > p.limit {
			t.Errorf("profile %s: estimated to take %v, want at most %v", p.name, sum.Round(time.Second), p.limit)
		}
		t.Logf("%s: %v", p.name, sum.Round(time.Second))
	}
}

// In the rounds of a workload each contestant has its turn once, and each round
// begins with another one; the first seconds belong to a server's first workload.
func TestSteps(t *testing.T) {
	p := testProfile
	p.syscalls = true
	all := testProgram().plan(p, nil)
	all[1].Name = "a-other" // in the section of the first
	all[1].contestants = append([]string{"late"}, all[1].contestants[:2]...)
	s := sections(all)
	if len(s) != 1 || len(s[0].workloads) != 2 {
		t.Fatalf("%d sections, want 1 of two workloads", len(s))
	}
	var got []string
	for _, st := range s[0].steps(p, all[1]) {
		got = append(got, st.contestant+" "+string(st.phase)+strings.Repeat("I", st.round))
	}
	want := []string{
		"late cold", "late warmup", "fake warmup", "fake-drop warmup",
		"late I", "fake I", "fake-drop I", "fake II", "fake-drop II", "late II",
	}
	if !slices.Equal(got, want) {
		t.Errorf("steps %q, want %q", got, want)
	}
	traced := s[0].steps(p, all[0])
	if last := traced[len(traced)-1]; last.phase != result.Syscalls {
		t.Errorf("last step %+v, want system calls", last)
	}
}

// What was measured or skipped is done, what failed is not.
func TestDone(t *testing.T) {
	p := testProfile
	s := sections(testProgram().plan(p, nil))[0]
	steps := s.steps(p, s.workloads[0])
	over := done(steps, []result.Measure{
		{Workload: "a-16k", Contestant: "fake", Round: 1},
		{Workload: "a-16k", Contestant: "fake", Round: 2, Error: "lost"},
		{Workload: "a-16k", Contestant: "fake-none", Phase: result.Cold, Skipped: "not there"},
		{Workload: "a-16k", Contestant: "fake-drop", Phase: result.Syscalls, Skipped: "no strace"},
	})
	for _, st := range steps {
		want := st.contestant == "fake-none" || st.contestant == "fake" && st.round == 1
		if over[st.key()] != want {
			t.Errorf("%v done: %v, want %v", st.key(), over[st.key()], want)
		}
	}
}

// Cores are halved, unless there is one or they are to be shared.
func TestSplitCores(t *testing.T) {
	f := func(all []int, share bool, want string) {
		t.Helper()
		if got := splitCores(all, share).String(); got != want {
			t.Errorf("cores %v, shared %v: %s; want %s", all, share, got, want)
		}
	}
	f([]int{0, 1}, false, "servers on [1], clients on [0] of 2")
	f([]int{0, 1, 2, 3, 4}, false, "servers on [2 3 4], clients on [0 1] of 5")
	f([]int{0, 1}, true, "clients and servers share all 2")
	f([]int{3}, false, "clients and servers share all 1")
}

// Contestants by flag take part where they can, beside the profile's.
func TestExtraContestants(t *testing.T) {
	full, err := findProfile("full")
	if err != nil {
		t.Fatal(err)
	}
	part := map[string][]string{}
	for _, w := range workloads(full, []string{contestant.NATS, contestant.KFake}) {
		for _, name := range w.contestants {
			part[name] = append(part[name], w.Name)
		}
	}
	for name, want := range map[string]string{contestant.NATS: "a b c e h", contestant.KFake: "a b c e"} {
		var letters []string
		for _, w := range part[name] {
			letter, _, _ := strings.Cut(w, "-")
			letters = append(letters, letter)
		}
		if got := strings.Join(slices.Compact(letters), " "); got != want {
			t.Errorf("%s takes part in %s, want %s", name, got, want)
		}
	}
}
