package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/rollway/rollway/perf/contestant"
	"github.com/rollway/rollway/perf/host"
	"github.com/rollway/rollway/perf/result"
)

// lab is one process of a run.
type lab struct {
	options  options
	profile  profile
	dir      string // of its own, for servers' data
	logBytes int64  // of what consumers read
	cores    cores
	make     func(name string) (contestant.Contestant, error)

	sections []section
	steps    map[string][]step // by workload
	over     map[stepKey]bool  // steps that are done
	measures []result.Measure  // of this process and those before
	path     string            // of the results
	results  *result.Writer
	progress *progress
	known    map[[2]string]result.Condition // by contestant and name
	failures int
	repeats  time.Duration // what turns that are done again may still take, by estimates
}

const (
	// disturbedShare of all cores' time, used by others or stolen, makes a turn one that
	// is done again.
	disturbedShare = 0.05
	// mostRepeats is how often.
	mostRepeats = 2
	// repeatPart bounds what that may take: one in so many of the time of all turns.
	repeatPart = 20
)

// turnLimit bounds a turn, so that a server that hangs does not hold up the rest.
const turnLimit = 20 * time.Minute

// run carries out what is left of the plan. Errors of contestants are written down
// and counted; what it returns is that nothing can go on.
func (l *lab) run(ctx context.Context) error {
	for _, s := range l.sections {
		if err := l.runSection(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// runSection starts the contestants of a section as they come, and ends them all.
func (l *lab) runSection(ctx context.Context, sec section) (err error) {
	subjects := map[string]*subject{}
	defer func() {
		for _, s := range subjects {
			err = errors.Join(err, s.end())
		}
	}()
	for _, w := range sec.workloads {
		for _, st := range l.steps[w.Name] {
			if l.over[st.key()] {
				continue
			}
			s := subjects[st.contestant]
			if s == nil {
				c, err := l.make(st.contestant)
				if err != nil {
					return err
				}
				s = &subject{lab: l, contestant: c, durable: sec.durable}
				subjects[st.contestant] = s
			}
			if err := l.take(ctx, s, st); err != nil {
				return err
			}
		}
		l.progress.finished(w, l.measures)
	}
	return nil
}

// take carries out one step and writes down what came of it.
func (l *lab) take(ctx context.Context, s *subject, st step) error {
	if s.failed || l.over[st.key()] {
		l.progress.skip(st)
		return nil
	}
	l.progress.begin(st)
	began := time.Now()
	out, err := l.quietTurn(ctx, s, st)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	m := result.Measure{
		Workload: st.workload.Name, Contestant: st.contestant, Phase: st.phase, Round: st.round, At: began.UTC(),
		Figures: out.figures, Latencies: out.latencies,
	}
	var skip *skipError
	switch {
	case err == nil:
	case errors.As(err, &skip) || contestant.IsUnavailable(err):
		m.Figures, m.Latencies, m.Skipped = nil, nil, err.Error()
		l.progress.say("%s: %s: skipped: %v", st.workload.Name, st.contestant, err)
	default:
		m.Figures, m.Latencies, m.Error = nil, nil, err.Error()
		l.failures++
		s.failed = true
		l.progress.say("%s: %s: FAILED: %v", st.workload.Name, st.contestant, err)
		if err := s.end(); err != nil {
			return err
		}
	}
	l.progress.end(st, time.Since(began))
	return l.write(m)
}

// write appends a measure to the results, and notes what is over by it.
func (l *lab) write(m result.Measure) error {
	if err := l.results.Measure(m); err != nil {
		return err
	}
	l.measures = append(l.measures, m)
	steps := l.steps[m.Workload]
	over := done(steps, []result.Measure{m})
	this := stepKey{m.Workload, m.Contestant, m.Phase, m.Round}
	for _, st := range steps {
		if key := st.key(); over[key] && !l.over[key] {
			l.over[key] = true
			if key != this { // whose end is noted already
				l.progress.skip(st)
			}
		}
	}
	return nil
}

// quietTurn does a turn, and one that others have disturbed again. Of all it keeps the
// one that was disturbed least, whatever its figures are.
func (l *lab) quietTurn(ctx context.Context, s *subject, st step) (taken, error) {
	best, err := l.turn(ctx, s, st)
	repeats := 0
	for err == nil && st.phase == result.Counted && best.disturbed() > disturbedShare && repeats < mostRepeats && l.repeats >= st.estimate {
		repeats++
		l.repeats -= st.estimate
		var again taken
		if again, err = l.turn(ctx, s, st); err == nil && again.disturbed() < best.disturbed() {
			best = again
		}
	}
	if err == nil && repeats > 0 {
		best.figures["repeats"] = float64(repeats)
	}
	return best, err
}

// turn starts the server if it must run, warms it up if it was not, and has it do
// the work.
func (l *lab) turn(ctx context.Context, s *subject, st step) (out taken, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, turnLimit, fmt.Errorf("turn was not over within %v", turnLimit))
	defer cancel()
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = errors.Join(context.Cause(ctx), err) // connections that are closed say nothing
		}
	}()
	w := st.workload
	if !w.warms {
		return w.job.do(ctx, s, w.counted)
	}
	if err := s.start(ctx); err != nil {
		return out, err
	}
	switch st.phase {
	case result.Cold:
		if out, err = w.job.do(ctx, s, l.profile.cold); err == nil {
			for name, value := range s.starting() {
				out.figures[name] = value
			}
		}
		return out, err
	case result.WarmUp:
		s.warmed[w.Name] = true
		return w.job.do(ctx, s, l.profile.warm(st.contestant))
	}
	if !s.warmed[w.Name] { // an earlier process has done that, to a server that is gone
		if _, err := w.job.do(ctx, s, l.profile.warm(st.contestant)); err != nil {
			return out, err
		}
		s.warmed[w.Name] = true
	}
	if st.phase == result.Syscalls {
		return s.trace(ctx, w)
	}
	return w.job.do(ctx, s, w.counted)
}

// trace does the work with system calls counted.
func (s *subject) trace(ctx context.Context, w *workload) (out taken, err error) {
	if s.server.PID() == 0 {
		return out, skipf("the server's process is not known")
	}
	s.tracing = true
	defer func() { s.tracing = false }()
	out, err = w.job.do(ctx, s, min(w.counted, tracedTime))
	if errors.Is(err, host.ErrNoStrace) {
		err = skipf("system calls are not counted: %v", err)
	}
	return out, err
}

// noteConditions writes down what is new.
func (l *lab) noteConditions(conditions []result.Condition) {
	var news []result.Condition
	for _, c := range conditions {
		key := [2]string{c.Contestant, c.Name}
		if l.known[key] != c {
			l.known[key] = c
			news = append(news, c)
		}
	}
	if err := l.results.Conditions(news...); err != nil {
		l.progress.say("conditions were not written: %v", err)
	}
}

// groupName is the memory group's, of which there is one at a time.
func (l *lab) groupName() string { return filepath.Base(l.dir) }

// cores are who runs where.
type cores struct {
	count          int
	client, server []int // empty: all
}

// splitCores gives the first half of the cores to the clients and the rest to the
// servers, all contestants' the same; with one core, or when they are to be shared,
// everybody may use all.
func splitCores(all []int, share bool) cores {
	c := cores{count: len(all)}
	if share || len(all) < 2 {
		return c
	}
	half := len(all) / 2
	c.client, c.server = slices.Clone(all[:half]), slices.Clone(all[half:])
	return c
}

func (c cores) String() string {
	if len(c.server) == 0 {
		return fmt.Sprintf("clients and servers share all %d", c.count)
	}
	return fmt.Sprintf("servers on %v, clients on %v of %d", c.server, c.client, c.count)
}
