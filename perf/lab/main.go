package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/rollway/rollway/perf/contestant"
	"github.com/rollway/rollway/perf/host"
	"github.com/rollway/rollway/perf/result"
)

func main() {
	if handled, err := contestant.ServeChild(os.Args[1:]); handled {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(program{
		out: os.Stdout, names: contestant.Names(), profile: options.chosen, plan: workloads, build: build, make: newContestants, logBytes: logBytes,
	}.main(os.Args[1:]))
}

// program is this program; tests have one with other contestants.
type program struct {
	out      *os.File // progress goes there
	names    []string // of contestants
	profile  func(o options) (profile, error)
	plan     func(p profile, extra []string) []*workload
	build    func(ctx context.Context, o options, dir string) error // in the guard, which may have a network
	make     func(o options, dir string) func(name string) (contestant.Contestant, error)
	logBytes int64
}

// main returns the exit code.
func (p program) main(args []string) int {
	inner := len(args) > 0 && args[0] == innerArgument
	flags := args
	if inner {
		flags = args[min(innerArguments, len(args)):]
	}
	o, err := parseOptions(flags, p.names, os.Stderr)
	if err == flag.ErrHelp {
		return 0
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "lab: %v\n", err)
		return 2
	}
	var code int
	if inner {
		code, err = p.inner(args, o)
	} else {
		code, err = p.guard(o, args)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "lab: %v\n", err)
		return max(code, 1)
	}
	return code
}

// inner is the inner process.
func (p program) inner(args []string, o options) (code int, err error) {
	where, err := parsePlace(args)
	if err != nil {
		return 1, err
	}
	// The guard does so too, unless it was killed.
	defer func() { err = errors.Join(err, os.RemoveAll(where.dir)) }()
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	go func() {
		s := (<-signals).(syscall.Signal)
		cancel(&signalError{s})
		// A second Ctrl-C ends the process at once. A second SIGTERM is none of a user's:
		// when the guard is killed the kernel sends it once for each of its threads that
		// becomes our father and dies, too (prctl(2), PR_SET_PDEATHSIG).
		for s := range signals {
			if s == syscall.SIGINT {
				os.Exit(128 + int(syscall.SIGINT))
			}
		}
	}()
	l, err := p.prepare(o, where)
	if err == nil {
		code, err = l.carryOut(ctx, where)
	}
	var by *signalError
	if errors.As(err, &by) {
		path := "no results"
		if l != nil {
			l.progress.clear()
			path = "results so far are in " + l.path
		}
		fmt.Fprintf(os.Stderr, "lab: %v: servers are stopped and their files removed; %s\n", by, path)
		return 128 + int(by.signal), nil
	}
	return code, err
}

// signalError says that the run was ended by a signal.
type signalError struct{ signal syscall.Signal }

func (e *signalError) Error() string { return "ended by signal " + e.signal.String() }

// build builds rollway into dir, the peers if they take part, and fetches Kafka
// unless it is there. That it cannot be had is said, and no error.
func build(ctx context.Context, o options, dir string) error {
	if _, err := contestant.Build(ctx, dir); err != nil {
		return err
	}
	if len(o.with) > 0 {
		if _, err := contestant.BuildPeers(ctx, contestant.Options{}, dir); err != nil {
			return err
		}
	}
	p, err := o.chosen()
	if err != nil || o.kafkaEndpoint != "" || !slices.ContainsFunc(contestant.Names(), func(name string) bool { return onJVM(name) && p.admits(name) }) {
		return err
	}
	if _, err = contestant.FetchKafka(ctx, contestant.Options{KafkaLib: o.kafkaLib, Heap: o.heap}); contestant.IsUnavailable(err) {
		fmt.Fprintf(os.Stderr, "lab: going on without Apache Kafka: %v\n", err)
		return nil
	}
	return err
}

// newContestants returns what makes contestants, of a rollway that was built into
// dir.
func newContestants(o options, dir string) func(name string) (contestant.Contestant, error) {
	all := contestant.Options{
		Program: filepath.Join(dir, "rollway"), Peers: filepath.Join(dir, "peers"), KafkaLib: o.kafkaLib, Heap: o.heap, KafkaEndpoint: o.kafkaEndpoint, KafkaPID: o.kafkaPID,
	}
	return func(name string) (contestant.Contestant, error) { return contestant.New(name, all) }
}

// prepare makes the plan and opens the results of a run that goes on, or of a new
// one.
func (p program) prepare(o options, where place) (*lab, error) {
	chosen, err := p.profile(o)
	if err != nil {
		return nil, err
	}
	l := &lab{options: o, profile: chosen, dir: where.dir, logBytes: p.logBytes, steps: map[string][]step{}, known: map[[2]string]result.Condition{}}
	all, err := host.Cores()
	if err != nil {
		return nil, err
	}
	l.cores = splitCores(all, o.shareCores)
	plan := available(p.plan(chosen, o.with), p.names)
	if len(plan) == 0 {
		return nil, fmt.Errorf("no workload of %s for these flags, want some", chosen.name)
	}
	l.sections = sections(plan)
	for _, s := range l.sections {
		for _, w := range s.workloads {
			l.steps[w.Name] = s.steps(chosen, w)
		}
	}
	l.make = p.make(o, where.dir)
	if err := l.open(plan, where); err != nil {
		return nil, err
	}
	l.progress = newProgress(p.out, len(l.all()), l.left())
	if chosen.repeats {
		l.repeats = l.progress.left / repeatPart
	}
	return l, nil
}

// available drops contestants that there are none of, as on another system than
// theirs.
func available(plan []*workload, names []string) []*workload {
	return slices.DeleteFunc(plan, func(w *workload) bool {
		w.contestants = slices.DeleteFunc(w.contestants, func(name string) bool { return !slices.Contains(names, name) })
		return len(w.contestants) == 0
	})
}

// contestantNames are those of all workloads, in the order in which they come.
func contestantNames(plan []*workload) (names []string) {
	for _, w := range plan {
		for _, name := range w.contestants {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// carryOut goes through the plan.
func (l *lab) carryOut(ctx context.Context, where place) (code int, err error) {
	defer func() { err = errors.Join(err, l.results.Close()) }()
	if err := l.useCores(); err != nil {
		return 1, err
	}
	left := l.left()
	if went := l.progress.over; went > 0 {
		l.progress.say("going on with %s: %d of %d turns are over", l.path, went, l.progress.steps)
	} else {
		l.progress.say("writing to %s", l.path)
	}
	l.progress.say("%d turns, about %v; network: %s", len(left), l.progress.left.Round(time.Second), where.network)
	err = l.run(ctx)
	l.progress.clear()
	noise, noiseErr := l.noise()
	if noiseErr == nil {
		noiseErr = l.results.Conditions(noise)
	}
	if err = errors.Join(err, noiseErr); err != nil {
		return 1, err
	}
	if noise.Warning {
		l.progress.say("NOISY: %s", noise.Text)
	}
	if l.failures > 0 {
		l.progress.say("%d turns failed: see above and in %s", l.failures, l.path)
		return 1, nil
	}
	l.progress.say("results are in %s", l.path)
	return 0, nil
}

// useCores puts this process, which has the clients in it, on their cores.
func (l *lab) useCores() error {
	if len(l.cores.client) == 0 {
		return nil
	}
	if err := host.Pin(l.cores.client...); err != nil {
		return err
	}
	// More running threads than cores would wait for one another, but see sleepers.
	runtime.GOMAXPROCS(len(l.cores.client))
	return nil
}

// sleepers makes room for n clients that sleep in the kernel while they wait, as those
// of package load do that consume: the runtime has nobody else run in the place of one
// that sleeps until its monitor comes round, which can be 10 ms later. The function that
// is returned takes the room away.
func sleepers(n int) (end func()) {
	before := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(before + n)
	return func() { runtime.GOMAXPROCS(before) }
}
