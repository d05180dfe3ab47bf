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

// What the lab's workloads (b) and (e) are, which are repeated here as the tools do
// them: all of them produce on one connection, where each request is a batch for the
// next partition, and ask for the next answer when they have one.
const (
	batchBytes  = 64 << 10
	valueBytes  = 1000
	partitions  = 4
	window      = 8
	answerBytes = 1 << 20
	// minMiB is the least of -mib that leaves something when setUpBytes are taken off.
	minMiB = 4
)

// setUpBytes are what each tool moves in a turn that tells what it takes to begin and
// to end, which is taken off: to connect, to ask for metadata, to join a group.
const setUpBytes = answerBytes

// warmTime is how long the tools work with Kafka before anything counts.
const warmTime = 40 * time.Second

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
	bytes   int64  // that a turn moves
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
	logs   map[int64]load.Log // to consume, by their bytes
}

// tool has a server do a workload: produce so many bytes to a topic, or read a log.
type tool struct {
	name string
	do   func(ctx context.Context, s *subject, log load.Log) (run, error)
}

// labTool is the lab's own client, at full speed.
const labTool = "lab"

// atPaceOf names the lab's client when it asks a server for no more than a tool has
// got out of it: that is what the tool is held against.
func atPaceOf(tool string) string { return labTool + " as " + tool }

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
	workloads := c.workloads()
	for _, w := range workloads {
		if err := c.warmUp(ctx, w); err != nil {
			return err
		}
	}
	for _, w := range workloads {
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
	_, err = io.WriteString(f, strings.Repeat(line, int(c.records(c.bytes))))
	return errors.Join(err, f.Close())
}

// records is how many are in so many bytes of batches.
func (c *crosscheck) records(bytes int64) int64 { return bytes / batchBytes * int64(c.batch.Count()) }

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
		s := &subject{name: name, server: server, logs: map[int64]load.Log{}}
		c.subjects = append(c.subjects, s)
		if c.writer != nil {
			if err := c.writer.Conditions(server.Conditions()...); err != nil {
				return err
			}
		}
		if err := c.fill(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// fill makes the logs of a subject.
func (c *crosscheck) fill(ctx context.Context, s *subject) error {
	for _, bytes := range []int64{setUpBytes, c.bytes} {
		topic, err := s.newTopic(ctx, 1)
		if err != nil {
			return err
		}
		if s.logs[bytes], err = s.server.Fill(ctx, topic, contestant.Filling{Batch: c.batch, Bytes: bytes}); err != nil {
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
	tools    []tool // but for the lab's client
	// lab is the lab's client at the pace at which a tool was seen, or, when that is
	// zero, at full speed.
	lab func(pace sight) tool
}

// warmUp has all tools work with all servers, once and with Kafka for warmTime: each
// has it go by ways of its own, of other versions of requests, which the JVM compiles
// when they have been gone some 10,000 times.
func (c *crosscheck) warmUp(ctx context.Context, w workload) error {
	tools := append([]tool{w.lab(sight{})}, w.tools...)
	for _, s := range c.subjects {
		for began := time.Now(); ; {
			for _, t := range tools {
				if _, err := c.turn(ctx, w, t, s, c.bytes); err != nil {
					return fmt.Errorf("warm up: %s by %s, %s: %w", w.name, t.name, s.name, err)
				}
			}
			if s.name != contestant.Kafka || time.Since(began) >= warmTime {
				break
			}
		}
	}
	return nil
}

// rounds has all tools work with all servers, in turns, each followed by the lab's
// client at its pace.
func (c *crosscheck) rounds(ctx context.Context, w workload) error {
	for round := 1; round <= c.options.rounds; round++ {
		for _, s := range c.subjects {
			if _, err := c.seeing(ctx, w, w.lab(sight{}), s, round); err != nil {
				return err
			}
		}
		for _, t := range w.tools {
			for _, s := range c.subjects {
				seen, err := c.seeing(ctx, w, t, s, round)
				if err != nil {
					return err
				}
				as := w.lab(seen)
				as.name = atPaceOf(t.name)
				if _, err := c.seeing(ctx, w, as, s, round); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// seeing is a turn that is noted, without what it takes to begin and to end.
func (c *crosscheck) seeing(ctx context.Context, w workload, t tool, s *subject, round int) (sight, error) {
	setUp, err := c.turn(ctx, w, t, s, setUpBytes)
	if err != nil {
		return sight{}, fmt.Errorf("begin and end: %s by %s, %s: %w", w.name, t.name, s.name, err)
	}
	seen, err := c.turn(ctx, w, t, s, c.bytes)
	if seen = seen.less(setUp); err == nil && (seen.elapsed <= 0 || seen.cpu <= 0) {
		err = fmt.Errorf("it took no longer than to begin and to end, want more to do than %d MiB (-mib)", c.options.mib)
	}
	if err == nil {
		err = c.note(w, t.name, s.name, round, seen)
	}
	if err != nil {
		return sight{}, fmt.Errorf("%s by %s, %s: %w", w.name, t.name, s.name, err)
	}
	return seen, nil
}

// turn has a tool move so many bytes: it produces them to a topic of its own, or
// reads the log that has as many.
func (c *crosscheck) turn(ctx context.Context, w workload, t tool, s *subject, bytes int64) (seen sight, err error) {
	log := s.logs[bytes]
	if w.produces {
		log = load.Log{Bytes: bytes}
		if log.Topic, err = s.newTopic(ctx, partitions); err != nil {
			return seen, err
		}
		defer func() { err = errors.Join(err, s.server.DeleteTopic(ctx, log.Topic)) }()
		if err := errors.Join(host.SyncDisk(c.dir), host.FreshMemory(bytes)); err != nil {
			return seen, err
		}
	}
	before, err := cpuOf(s.server.PID())
	if err != nil {
		return seen, err
	}
	if seen.run, err = t.do(ctx, s, log); err != nil {
		return seen, err
	}
	after, err := cpuOf(s.server.PID())
	if err != nil {
		return seen, err
	}
	seen.cpu = after - before
	if w.produces {
		err = seen.readBack(ctx, s, log.Topic)
	}
	return seen, err
}

// sight is what was seen of a server in a turn.
type sight struct {
	run
	cpu     time.Duration // of the server
	batches int64         // that the server has got; 0: not looked at
}

// less takes off what it takes to begin and to end, which a turn of less has seen. The
// tool's own CPU stays whole: it tells whether that was the limit.
func (s sight) less(setUp sight) sight {
	s.bytes -= setUp.bytes
	s.elapsed -= setUp.elapsed
	s.cpu -= setUp.cpu
	s.batches -= setUp.batches
	return s
}

// readBack looks at what has come of a produce: so many records in how many batches
// of how many bytes.
func (s *sight) readBack(ctx context.Context, by *subject, topic string) error {
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
	if records != s.records {
		return fmt.Errorf("%d records in the topic, want %d", records, s.records)
	}
	return nil
}

// cpuOf reads the CPU clock of a server that has nothing to do.
func cpuOf(pid int) (time.Duration, error) {
	time.Sleep(settleTime)
	return host.CPUTime(pid)
}
