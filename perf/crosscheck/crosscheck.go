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

// What the lab's workloads (b) and (e) are, which are repeated here.
const (
	batchBytes  = 64 << 10
	valueBytes  = 1000
	partitions  = 4
	window      = 8
	answerBytes = 1 << 20
	depth       = 2
)

// settleTime is how long a server gets to go to sleep before its CPU clock is read,
// see host.CPUTime.
const settleTime = 5 * time.Millisecond

// crosscheck is a run.
type crosscheck struct {
	options options
	dir     string // temporary
	install contestant.KafkaInstall
	kcat    string // program; empty: there is none
	iperf   string // program; empty: there is none
	batch   record.Batch
	bytes   int64
	lines   string // file of what kcat sends

	// The servers are on the last core, tools on the others; on one core all share it.
	serverCores, toolCores []int

	subjects []*subject
	seen     map[string][]sight // by workload, tool and subject, in the order of rounds
	writer   *result.Writer     // nil: none
}

// subject is a server that is measured.
type subject struct {
	name   string
	server contestant.Server
	topics int
	log    load.Log
}

// tool has a server do a workload on a topic: produce to it, or read c.log.
type tool struct {
	name string
	do   func(ctx context.Context, s *subject, topic string) (run, error)
}

// labTool is the lab's own client, which others are held against.
const labTool = "lab"

// run does everything.
func (o options) run(ctx context.Context, out io.Writer) (err error) {
	c := &crosscheck{options: o, bytes: int64(o.mib) << 20, seen: map[string][]sight{}}
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
		if err := c.rounds(ctx, w); err != nil {
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
	_, err = io.WriteString(f, strings.Repeat(line, int(c.records())))
	return errors.Join(err, f.Close())
}

// records is how many a turn moves.
func (c *crosscheck) records() int64 { return c.bytes / batchBytes * int64(c.batch.Count()) }

// start starts both servers, with a log to consume.
func (c *crosscheck) start(ctx context.Context) error {
	for _, name := range []string{contestant.RollwayKafka, contestant.Kafka} {
		who, err := contestant.New(name, c.options.contestants)
		if err != nil {
			return err
		}
		server, err := who.Start(ctx, contestant.Setup{Dir: filepath.Join(c.dir, name), Cores: c.serverCores})
		if err != nil {
			return err
		}
		s := &subject{name: name, server: server}
		c.subjects = append(c.subjects, s)
		if c.writer != nil {
			if err := c.writer.Conditions(server.Conditions()...); err != nil {
				return err
			}
		}
		topic, err := s.newTopic(ctx, 1)
		if err != nil {
			return err
		}
		if s.log, err = server.Fill(ctx, topic, contestant.Filling{Batch: c.batch, Bytes: c.bytes}); err != nil {
			return err
		}
	}
	return nil
}

// stop ends the servers.
func (c *crosscheck) stop() error {
	var errs []error
	for _, s := range c.subjects {
		errs = append(errs, s.server.Kill())
	}
	return errors.Join(errs...)
}

// newTopic makes a topic and returns its name.
func (s *subject) newTopic(ctx context.Context, count int) (string, error) {
	s.topics++
	name := fmt.Sprintf("crosscheck-%d", s.topics)
	// Batches of the lab have timestamps of 1970, and retention must not find them old.
	return name, s.server.CreateTopic(ctx, name, count, map[string]string{"retention.ms": "-1", "file.delete.delay.ms": "1"})
}

// workload is what all tools do.
type workload struct {
	name     string
	title    string
	rate     string // the figure of result
	produces bool
	tools    []tool
}

// rounds has all tools work with all servers, in turns.
func (c *crosscheck) rounds(ctx context.Context, w workload) error {
	for round := range c.options.rounds + 1 {
		for _, t := range w.tools {
			for _, s := range c.subjects {
				seen, err := c.turn(ctx, w, t, s)
				if err == nil && round > 0 {
					err = c.note(w, t.name, s.name, round, seen)
				}
				if err != nil {
					return fmt.Errorf("%s by %s, %s: %w", w.name, t.name, s.name, err)
				}
			}
		}
	}
	return nil
}

// turn is one of them.
func (c *crosscheck) turn(ctx context.Context, w workload, t tool, s *subject) (seen sight, err error) {
	topic := s.log.Topic
	if w.produces {
		if topic, err = s.newTopic(ctx, partitions); err != nil {
			return seen, err
		}
		defer func() { err = errors.Join(err, s.server.DeleteTopic(ctx, topic)) }()
	}
	before, err := cpuOf(s.server.PID())
	if err != nil {
		return seen, err
	}
	if seen.run, err = t.do(ctx, s, topic); err != nil {
		return seen, err
	}
	after, err := cpuOf(s.server.PID())
	if err != nil {
		return seen, err
	}
	seen.cpu = after - before
	if w.produces {
		err = seen.readBack(ctx, s, topic, c.records())
	}
	return seen, err
}

// sight is what was seen of a server in a turn.
type sight struct {
	run
	cpu     time.Duration // of the server
	batches int64         // that the server has got; 0: not looked at
}

// readBack looks at what has come of a produce: so many records in how many batches
// of how many bytes.
func (s *sight) readBack(ctx context.Context, by *subject, topic string, want int64) error {
	var records int64
	s.bytes = 0
	for i := range int32(partitions) {
		_, err := load.ReadBack(ctx, by.server.Target(), load.Partition{Topic: topic, Number: i}, func(b record.Batch) error {
			records += int64(b.Count())
			s.bytes += b.Size()
			s.batches++
			return nil
		})
		if err != nil {
			return err
		}
	}
	if records != want {
		return fmt.Errorf("%d records in the topic, want %d", records, want)
	}
	return nil
}

// cpuOf reads the CPU clock of a server that has nothing to do.
func cpuOf(pid int) (time.Duration, error) {
	time.Sleep(settleTime)
	return host.CPUTime(pid)
}
