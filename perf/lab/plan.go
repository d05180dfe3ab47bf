package main

import (
	"slices"
	"time"

	"github.com/rollway/rollway/perf/result"
)

// section is a row of workloads whose contestants keep their servers.
type section struct {
	name      string
	durable   bool
	workloads []*workload
}

// step is one turn of the plan.
type step struct {
	workload   *workload
	contestant string
	phase      result.Phase
	round      int
	estimate   time.Duration // with all that is around the counted part
}

// stepKey is by what a step is recognized in the results of an earlier process.
type stepKey struct {
	workload, contestant string
	phase                result.Phase
	round                int
}

func (s step) key() stepKey { return stepKey{s.workload.Name, s.contestant, s.phase, s.round} }

// sections joins workloads that stand behind one another in the same section.
func sections(workloads []*workload) []section {
	var all []section
	for _, w := range workloads {
		if n := len(all); n > 0 && all[n-1].name == w.section() {
			all[n-1].workloads = append(all[n-1].workloads, w)
			continue
		}
		all = append(all, section{name: w.section(), durable: w.durable, workloads: []*workload{w}})
	}
	return all
}

// steps are the turns of a workload: for each contestant its first seconds, when
// the workload is the first one that its server is for, and the warm-up; the
// rounds, each begun by another contestant, so that none is always behind the same
// one; system calls.
func (s section) steps(p profile, w *workload) []step {
	var all []step
	add := func(name string, phase result.Phase, round int, counted time.Duration) {
		all = append(all, step{w, name, phase, round, counted + w.around})
	}
	for _, name := range w.contestants {
		if w.warms && s.first(name) == w {
			add(name, result.Cold, 0, p.cold+startEstimate(name))
		}
		if w.warms {
			add(name, result.WarmUp, 0, p.warm(name))
		}
	}
	for round := range w.Rounds {
		for i := range w.contestants {
			add(w.contestants[(i+round)%len(w.contestants)], result.Counted, round+1, w.counted)
		}
	}
	if p.syscalls && w.traced {
		for _, name := range w.contestants {
			add(name, result.Syscalls, 0, min(w.counted, tracedTime))
		}
	}
	return all
}

// first returns the first workload of the section that a contestant takes part in.
func (s section) first(contestant string) *workload {
	for _, w := range s.workloads {
		if slices.Contains(w.contestants, contestant) {
			return w
		}
	}
	return nil
}

// warm is how long a contestant gets to warm up for each workload.
func (p profile) warm(contestant string) time.Duration {
	if onJVM(contestant) {
		return p.jvmWarmUp
	}
	return p.warmUp
}

// startEstimate is about how long a contestant takes to start.
func startEstimate(contestant string) time.Duration {
	if onJVM(contestant) {
		return 4 * time.Second
	}
	return 100 * time.Millisecond
}

// tracedTime is enough for a count of system calls: it hardly varies.
const tracedTime = time.Second

// done are the steps that earlier measures leave nothing to do of: those that were
// measured, and those of a contestant that is not there.
func done(steps []step, measures []result.Measure) map[stepKey]bool {
	over := map[stepKey]bool{}
	skipped := map[[2]string]bool{}
	for _, m := range measures {
		switch {
		case m.Skipped != "" && m.Phase != result.Syscalls:
			skipped[[2]string{m.Workload, m.Contestant}] = true
		case m.Error == "":
			over[stepKey{m.Workload, m.Contestant, m.Phase, m.Round}] = true
		}
	}
	for _, s := range steps {
		if skipped[[2]string{s.workload.Name, s.contestant}] {
			over[s.key()] = true
		}
	}
	return over
}
