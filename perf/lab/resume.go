package main

import (
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rollway/rollway/perf/contestant"
	"github.com/rollway/rollway/perf/result"
)

// open opens the newest run of this profile, command and commit that is not over, or
// begins one with what another profile's has measured already.
func (l *lab) open(plan []*workload, where place) error {
	run := result.Run{
		Profile: l.profile.name, Command: commandLine(l.options), Commit: commit(), Began: time.Now().UTC(),
	}
	run.ID = newRunID(run.Began, run.Profile)
	for _, w := range plan {
		run.Workloads = append(run.Workloads, w.Workload)
	}
	for _, name := range contestantNames(plan) {
		run.Contestants = append(run.Contestants, result.Contestant{Name: name, Title: contestant.Title(name)})
	}
	conditions, err := l.machineConditions(where.network, where.warning)
	if err != nil {
		return err
	}
	run.Conditions = append([]result.Condition{{Name: "command", Text: run.Command}, {Name: "commit", Text: run.Commit}}, conditions...)
	var earlier []earlierRun
	if !l.options.fresh {
		if earlier, err = earlierRuns(l.options.results, run); err != nil {
			return err
		}
	}
	if err := l.resume(run, earlier); err != nil || l.results != nil {
		return err
	}
	l.over = map[stepKey]bool{}
	l.path = filepath.Join(l.options.results, run.ID+".jsonl")
	if l.results, err = result.Create(l.path, run); err != nil {
		return err
	}
	return l.takeOver(earlier)
}

// earlierRun is one that was made with the same flags, but for the profile, at the
// same commit and with the same effort.
type earlierRun struct {
	path     string
	run      result.Run
	measures []result.Measure
}

// earlierRuns are those that are like run, the newest first.
func earlierRuns(dir string, run result.Run) (all []earlierRun, err error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		r, measures, err := result.ReadFile(path)
		if err == nil && r.Commit == run.Commit && flagsOf(r) == flagsOf(run) && effortOf(r) == effortOf(run) {
			all = append(all, earlierRun{path, r, measures})
		} // else, whatever it is, it is not like this one
	}
	slices.SortFunc(all, func(a, b earlierRun) int { return b.run.Began.Compare(a.run.Began) })
	return all, nil
}

// flagsOf is a run's command without its profile.
func flagsOf(r result.Run) string { return strings.TrimPrefix(r.Command, "LAB="+r.Profile+" ") }

// effortOf is what a run says of how thoroughly it measures; empty: nothing.
func effortOf(r result.Run) string {
	for _, c := range r.Conditions {
		if c.Name == effortCondition {
			return c.Text
		}
	}
	return ""
}

// resume goes on with the newest run of this profile, unless it is over.
func (l *lab) resume(run result.Run, earlier []earlierRun) (err error) {
	i := slices.IndexFunc(earlier, func(e earlierRun) bool { return e.run.Profile == run.Profile })
	if i < 0 {
		return nil
	}
	e := earlier[i]
	l.over = done(l.all(), e.measures)
	if len(l.left()) == 0 {
		return nil
	}
	l.path, l.measures = e.path, e.measures
	l.results, err = result.Append(e.path)
	return err
}

// takeOver writes to a run that begins, and is the first of its profile, what the
// newest one of another profile has measured of its turns, and under which conditions
// of the contestants. It takes nothing that would leave nothing to do.
func (l *lab) takeOver(earlier []earlierRun) error {
	if len(earlier) == 0 || slices.ContainsFunc(earlier, func(e earlierRun) bool { return e.run.Profile == l.profile.name }) {
		return nil
	}
	e := earlier[0]
	mine := map[stepKey]bool{}
	for _, st := range l.all() {
		mine[st.key()] = true
	}
	measures := slices.DeleteFunc(slices.Clone(e.measures), func(m result.Measure) bool {
		return m.Error != "" || !mine[stepKey{m.Workload, m.Contestant, m.Phase, m.Round}]
	})
	over := done(l.all(), measures)
	if len(measures) == 0 || len(over) == len(mine) {
		return nil
	}
	for _, m := range measures {
		if err := l.results.Measure(m); err != nil {
			return err
		}
	}
	l.measures, l.over = measures, over
	conditions := slices.DeleteFunc(slices.Clone(e.run.Conditions), func(c result.Condition) bool { return c.Contestant == "" })
	return l.results.Conditions(append(conditions, result.Condition{
		Name: "taken over", Text: "what " + e.run.ID + " had measured at this commit with this effort was not measured again",
	})...)
}

// all are the turns of the plan.
func (l *lab) all() (all []step) {
	for _, s := range l.sections {
		for _, w := range s.workloads {
			all = append(all, l.steps[w.Name]...)
		}
	}
	return all
}

// left are those that are not done.
func (l *lab) left() []step {
	return slices.DeleteFunc(l.all(), func(st step) bool { return l.over[st.key()] })
}
