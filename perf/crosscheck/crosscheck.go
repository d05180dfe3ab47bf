package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/perf/contestant"
	"github.com/rollway/rollway/perf/host"
	"github.com/rollway/rollway/perf/load"
	"github.com/rollway/rollway/perf/result"
)

const (
	valueBytes = 1000     // of a record
	batchBytes = 64 << 10 // of a batch in a log that is read
	// answerBytes is what a consumer asks for at once.
	answerBytes = 1 << 20
	// minMiB is the least of -mib that leaves something when setUpBytes are taken off.
	minMiB = 512
)

// warmTime is how long the tools work with Kafka before anything of a workload counts.
const warmTime = 45 * time.Second

// patience is how long a run waits for others to stop, in all.
const patience = 5 * time.Minute

// crosscheck is a run.
type crosscheck struct {
	options options
	dir     string // temporary
	install contestant.KafkaInstall
	kcat    string // program; empty: there is none
	iperf   string // program; empty: there is none
	batch   record.Batch
	bytes   int64  // -mib
	lines   string // file of what kcat sends

	// The servers are on the last core, tools on the others; on one core all share it.
	serverCores, toolCores []int

	started  []contestant.Server // all of them, to be ended
	subjects []*subject          // those that tools work with
	setUps   map[key]sight       // what it takes a tool to begin and to end
	seen     map[key][]sight     // in the order of rounds
	writer   *result.Writer      // nil: none
	patience time.Duration       // how long it may still wait for others to stop
	progress io.Writer
}

// key is who was seen doing what.
type key struct{ workload, tool, subject string }

// subject is a server that is measured.
type subject struct {
	name   string
	server contestant.Server
	topics int
	logs   map[int64]load.Log // to consume, by their bytes
}

// run does everything: tables go to out, what is going on to progress.
func (o options) run(ctx context.Context, out, progress io.Writer) (err error) {
	c := &crosscheck{options: o, bytes: int64(o.mib) << 20, setUps: map[key]sight{}, seen: map[key][]sight{}, patience: patience, progress: progress}
	if c.dir, err = os.MkdirTemp(o.dir, "rollway-crosscheck-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(c.dir)) }()
	if err := c.prepare(ctx); err != nil {
		return err
	}
	if o.write != "" {
		if c.writer, err = result.Create(o.write, c.description()); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, c.writer.Close()) }()
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	if err := c.start(ctx); err != nil {
		return err
	}
	for _, w := range c.workloads() {
		if err := c.measure(ctx, w); err != nil {
			return err
		}
		fmt.Fprint(out, c.table(w))
	}
	if c.iperf == "" {
		fmt.Fprintln(out, "iperf3 is not installed (Debian: iperf3, or scripts/crosscheck --install): a bare sendfile is not framed")
		return nil
	}
	if err := c.sendFile(ctx); err != nil {
		return err
	}
	fmt.Fprint(out, c.sendFileText())
	return nil
}

// prepare finds the tools and builds rollway.
func (c *crosscheck) prepare(ctx context.Context) (err error) {
	if c.install, err = contestant.FindKafka(c.options.contestants); err != nil {
		return err
	}
	c.kcat, _ = exec.LookPath("kcat")
	c.iperf, _ = exec.LookPath("iperf3")
	cores, err := host.Cores()
	if err != nil {
		return err
	}
	last := len(cores) - 1
	c.serverCores, c.toolCores = cores[last:], cores[:max(last, 1)]
	if c.batch, err = load.BatchOf(batchBytes, valueBytes); err != nil {
		return err
	}
	if c.options.contestants.Program == "" {
		c.options.contestants.Program, err = contestant.Build(ctx, c.dir)
	}
	if err != nil || c.kcat == "" {
		return err
	}
	c.lines = filepath.Join(c.dir, "lines")
	f, err := os.Create(c.lines)
	if err != nil {
		return err
	}
	line := strings.Repeat("x", valueBytes) + "\n"
	_, err = io.WriteString(f, strings.Repeat(line, int(c.records(c.bytes))))
	return errors.Join(err, f.Close())
}

// records is how many records are in so many bytes of a log, or as good as.
func (c *crosscheck) records(bytes int64) int64 { return bytes * int64(c.batch.Count()) / batchBytes }

// start starts both servers.
func (c *crosscheck) start(ctx context.Context) error {
	for _, name := range []string{contestant.RollwayKafka, contestant.Kafka} {
		s, err := c.startOne(ctx, name, c.options.contestants)
		if err != nil {
			return err
		}
		c.subjects = append(c.subjects, s)
	}
	return nil
}

// startOne starts one server, which has no logs yet, and writes its conditions.
func (c *crosscheck) startOne(ctx context.Context, name string, o contestant.Options) (*subject, error) {
	who, err := contestant.New(name, o)
	if err != nil {
		return nil, err
	}
	server, err := who.Start(ctx, contestant.Setup{Dir: filepath.Join(c.dir, name), Cores: c.serverCores})
	if err != nil {
		return nil, err
	}
	c.started = append(c.started, server)
	if c.writer != nil {
		err = c.writer.Conditions(server.Conditions()...)
	}
	return &subject{name: name, server: server, logs: map[int64]load.Log{}}, err
}

// logOf returns a log of so many bytes on a subject, which is made when it is not there.
func (c *crosscheck) logOf(ctx context.Context, s *subject, bytes int64) (load.Log, error) {
	if log, ok := s.logs[bytes]; ok {
		return log, nil
	}
	topic, err := s.newTopic(ctx, 1, nil)
	if err != nil {
		return load.Log{}, err
	}
	log, err := s.server.Fill(ctx, topic, contestant.Filling{Batch: c.batch, Bytes: bytes})
	if err == nil {
		s.logs[bytes] = log
	}
	return log, err
}

// stop ends the servers.
func (c *crosscheck) stop() error {
	var errs []error
	for _, server := range c.started {
		errs = append(errs, server.Kill())
	}
	return errors.Join(errs...)
}

// newTopic makes a topic and returns its name.
func (s *subject) newTopic(ctx context.Context, count int, more map[string]string) (string, error) {
	s.topics++
	name := fmt.Sprintf("crosscheck-%d", s.topics)
	// Batches of the lab have timestamps of 1970, and retention must not find them old.
	configs := map[string]string{"retention.ms": "-1", "file.delete.delay.ms": "1"}
	for k, v := range more {
		configs[k] = v
	}
	return name, s.server.CreateTopic(ctx, name, count, configs)
}

// measure has all tools do a workload.
func (c *crosscheck) measure(ctx context.Context, w workload) error {
	if err := c.warmUp(ctx, w); err != nil {
		return err
	}
	for _, t := range w.tools {
		if err := c.setUp(ctx, w, t); err != nil {
			return err
		}
	}
	for round := 1; round <= c.options.rounds; round++ {
		if err := c.round(ctx, w, round); err != nil {
			return err
		}
	}
	return nil
}

// warmUp has all tools work with all servers, once and with Kafka for warmTime: each
// has it go by ways of its own, of other versions of requests, which the JVM compiles
// when they have been gone some 10,000 times.
func (c *crosscheck) warmUp(ctx context.Context, w workload) error {
	tools := append([]tool{w.lab(pace{})}, w.tools...)
	for _, s := range c.subjects {
		for began := time.Now(); ; {
			for _, t := range tools {
				c.say("%s: %s warms up %s", w.name, t.name, s.name)
				if _, err := c.turn(ctx, w, t, s, t.bytes); err != nil {
					return err
				}
			}
			if s.name != contestant.Kafka || time.Since(began) >= warmTime {
				break
			}
		}
	}
	return nil
}

// setUp finds out what it takes a tool to begin and to end.
func (c *crosscheck) setUp(ctx context.Context, w workload, t tool) error {
	for _, s := range c.subjects {
		c.say("%s: %s begins and ends, %s", w.name, t.name, s.name)
		for i := range setUpTries {
			seen, err := c.turn(ctx, w, t, s, setUpBytes)
			if err != nil {
				return err
			}
			k := key{w.name, t.name, s.name}
			if i == 0 || seen.elapsed < c.setUps[k].elapsed {
				c.setUps[k] = seen
			}
		}
	}
	return nil
}

// round has all tools work with all servers, in turns, each followed by the lab's
// client as that tool, in each of the bursts that may be the tool's.
func (c *crosscheck) round(ctx context.Context, w workload, round int) error {
	see := func(t tool, s *subject) (sight, error) {
		c.say("%s, round %d of %d: %s, %s", w.name, round, c.options.rounds, t.name, s.name)
		seen, err := c.tell(ctx, w, t, s)
		if err == nil {
			err = c.note(w, t.name, s.name, round, seen)
		}
		return seen, err
	}
	for _, s := range c.subjects {
		if _, err := see(w.lab(pace{}), s); err != nil {
			return err
		}
	}
	for _, t := range w.tools {
		for _, s := range c.subjects {
			seen, err := see(t, s)
			if err != nil {
				return err
			}
			for _, burst := range w.bursts {
				if _, err := see(w.lab(pace{seen, t, burst}), s); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// say tells what is going on.
func (c *crosscheck) say(format string, args ...any) {
	fmt.Fprintf(c.progress, format+"\n", args...)
}
