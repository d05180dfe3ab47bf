package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/rollway/rollway/perf/load"
)

// workload is what all tools do. They produce on one connection, where each request is
// a batch for the next partition, or read one partition.
type workload struct {
	name     string
	title    string
	rate     string // the figure of result
	produces bool
	tools    []tool // but for the lab's client
	bursts   []int  // that tools may ask in, see likest
	// lab is the lab's client, at full speed or as a tool.
	lab func(as pace) tool

	// Of those that produce:
	partitions int
	batchBytes int
	window     int // batches in flight
	configs    map[string]string
	// serverLimits says that everybody waits for the server, so that the throughput
	// that a tool sees can be held against the lab's client at full speed. Where a tool's
	// own core is the limit, there is only whether the lab's client gets as much at its pace.
	serverLimits bool
}

// tool has a server do a workload: produce so many bytes to a topic, or read a log.
type tool struct {
	name  string
	bytes int64 // that it moves in a turn: what takes it some seconds
	do    func(ctx context.Context, s *subject, log load.Log) (run, error)
}

// pace is how the lab's client has to go to be like a tool that was seen; the zero pace
// is full speed.
type pace struct {
	sight
	like  tool
	burst int // batches, or answers, that are due at once
}

// name is what the lab's client is called at that pace.
func (p pace) name() string {
	if p.burst == 0 {
		return labTool
	}
	return asTool(p.like.name, p.burst)
}

// labTool is the lab's own client, at full speed.
const labTool = "lab"

// asTool names the lab's client when it does as a tool: it asks a server for no more
// than the tool has got out of it, in batches as large and in such bursts. That is what
// the tool is held against.
func asTool(tool string, burst int) string {
	if burst == 1 {
		return labTool + " as " + tool
	}
	return fmt.Sprintf("%s as %s, bursts of %d", labTool, tool, burst)
}

// workloads are those that are repeated, with the tools that there are. Where they read,
// and where they produce to the page cache, a server can do more than a tool, whose core
// is the limit. Where each batch is synced it is the server that all wait for.
func (c *crosscheck) workloads() []workload {
	produce := workload{
		name: "produce", rate: "produce_mib_s", produces: true,
		title:      fmt.Sprintf("produce records of %d B in batches of 64 KiB to 4 partitions on one connection, acks=all, page cache", valueBytes),
		partitions: 4, batchBytes: batchBytes, window: 8, bursts: []int{1, 2, 4, 8},
	}
	produce.lab = c.producer(produce, c.bytes/4)
	produce.tools = c.both(
		tool{name: "ProducerPerformance", bytes: c.bytes / 16, do: c.javaProducer(produce)},
		tool{name: "kcat", bytes: c.bytes / 4, do: c.kcatProducer(produce)})

	durable := workload{
		name: "durable", rate: "produce_mib_s", produces: true,
		title:      fmt.Sprintf("produce records of %d B in batches of 4 KiB to 1 partition, one in flight, acks=all, synced before (flush.messages=1)", valueBytes),
		partitions: 1, batchBytes: 4 << 10, window: 1, configs: map[string]string{"flush.messages": "1"}, bursts: []int{1}, serverLimits: true,
	}
	durable.lab = c.producer(durable, c.bytes/128)
	durable.tools = c.both(
		tool{name: "ProducerPerformance", bytes: c.bytes / 128, do: c.javaProducer(durable)},
		tool{name: "kcat", bytes: c.bytes / 128, do: c.kcatProducer(durable)})

	consume := workload{
		name: "consume", rate: "consume_mib_s", bursts: []int{1},
		title: "consume a log of batches of 64 KiB from page cache, one consumer, answers of 1 MiB",
		lab:   c.consumer,
		tools: c.both(
			tool{name: "ConsumerPerformance", bytes: c.bytes / 2, do: c.consumeByJava},
			tool{name: "kcat", bytes: c.bytes, do: c.consumeByKcat}),
	}
	return []workload{produce, durable, consume}
}

// both are a tool of Kafka's and kcat, if that is there.
func (c *crosscheck) both(java, kcat tool) []tool {
	if c.kcat == "" {
		return []tool{java}
	}
	return []tool{java, kcat}
}

// ownCPU measures what this process uses while f works.
func ownCPU(f func() error) (r run, err error) {
	var before, after syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &before); err != nil {
		return r, err
	}
	began := time.Now()
	if err := f(); err != nil {
		return r, err
	}
	r.lasted = time.Since(began)
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &after); err != nil {
		return r, err
	}
	r.cpu = time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
	return r, nil
}

// producer makes the lab's clients of a workload that produces. As a tool it sends as
// many batches, as large, at its pace and in its bursts.
func (c *crosscheck) producer(w workload, bytes int64) func(pace) tool {
	return func(as pace) tool {
		bytes, size := bytes, w.batchBytes
		if as.burst > 0 {
			bytes, size = as.bytes, int(as.bytes/as.batches)
		}
		return tool{name: as.name(), bytes: bytes, do: func(ctx context.Context, s *subject, log load.Log) (run, error) {
			batch, err := load.BatchOf(size, valueBytes)
			if err != nil {
				return run{}, err
			}
			what := load.ProduceRun{Batches: max(1, log.Bytes/batch.Size())}
			if as.burst > 0 {
				what.Rate, what.Burst = float64(as.bytes)/as.elapsed.Seconds()/float64(batch.Size()), as.burst
			}
			return produce(ctx, s, load.ProducerOptions{
				Topic: log.Topic, Partitions: w.partitions, Connections: 1, Window: w.window, Spread: true, Batch: batch,
			}, what)
		}}
	}
}

// produce has the lab's client produce.
func produce(ctx context.Context, s *subject, o load.ProducerOptions, what load.ProduceRun) (run, error) {
	p, err := load.NewProducers(ctx, s.server.Target(), o)
	if err != nil {
		return run{}, err
	}
	defer p.Close()
	var done load.Produced
	r, err := ownCPU(func() (err error) {
		done, err = p.Run(what)
		return err
	})
	r.elapsed, r.records = done.Elapsed, done.Batches*int64(o.Batch.Count())
	return r, err
}

// javaProducer is ProducerPerformance. A batch is sent when it is full, and by no time:
// linger is beyond what the last one waits, which close sends. A request has room for
// one, and the socket is what the system gives others too.
func (c *crosscheck) javaProducer(w workload) func(context.Context, *subject, load.Log) (run, error) {
	return func(ctx context.Context, s *subject, log load.Log) (run, error) {
		records := c.records(log.Bytes)
		text, r, err := javaTool(c.install, c.toolCores, "ProducerPerformance",
			"--topic", log.Topic, "--num-records", strconv.FormatInt(records, 10), "--record-size", strconv.Itoa(valueBytes), "--throughput", "-1",
			"--bootstrap-server", s.server.Target().Addr.String(), "--command-property", "acks=all", "batch.size="+strconv.Itoa(w.batchBytes), "linger.ms=100",
			"enable.idempotence=false", "compression.type=none", "max.request.size="+strconv.Itoa(w.batchBytes*5/4), "send.buffer.bytes=-1", "max.in.flight.requests.per.connection="+strconv.Itoa(w.window)).do(ctx)
		if err == nil {
			r.elapsed, err = parseProducerPerformance(text, records)
		}
		r.records = records
		return r, err
	}
}

func (c *crosscheck) kcatProducer(w workload) func(context.Context, *subject, load.Log) (run, error) {
	return func(ctx context.Context, s *subject, log load.Log) (run, error) {
		records := c.records(log.Bytes)
		_, r, err := outside{program: c.kcat, cores: c.toolCores, args: []string{
			"-P", "-c", strconv.FormatInt(records, 10), "-b", s.server.Target().Addr.String(), "-t", log.Topic, "-l", "-X", "topic.request.required.acks=-1",
			"-X", "batch.size=" + strconv.Itoa(w.batchBytes), "-X", "linger.ms=100", "-X", "queue.buffering.max.messages=1000000",
			"-X", "max.in.flight.requests.per.connection=" + strconv.Itoa(w.window), c.lines,
		}}.do(ctx)
		r.elapsed, r.records = r.lasted, records // it tells no times
		return r, err
	}
}

// consumer is the lab's client that reads. As a tool it copies what it gets, asks for an
// answer when it is due, and is busy until then: who discards is ahead of the server,
// which then wakes it for each packet, and who sleeps leaves the server more of a core
// that two share.
func (c *crosscheck) consumer(as pace) tool {
	what := load.FetchRun{MaxBytes: answerBytes, Depth: 1}
	t := tool{name: as.name(), bytes: c.bytes}
	if as.burst > 0 {
		t.bytes = as.like.bytes
		what.Rate, what.Copy, what.Busy = float64(as.bytes)/as.elapsed.Seconds()/answerBytes, answerBytes, true
	}
	t.do = func(ctx context.Context, s *subject, log load.Log) (run, error) {
		what.Bytes = log.Bytes
		return consume(ctx, s, log, what)
	}
	return t
}

// consume has the lab's client read a log, over and over.
func consume(ctx context.Context, s *subject, log load.Log, what load.FetchRun) (run, error) {
	consumer, err := load.NewConsumer(ctx, s.server.Target(), log)
	if err != nil {
		return run{}, err
	}
	defer consumer.Close()
	var bytes int64
	var elapsed time.Duration
	r, err := ownCPU(func() (err error) {
		bytes, elapsed, err = consumer.Run(what)
		return err
	})
	r.bytes, r.elapsed = bytes, elapsed
	return r, err
}

func (c *crosscheck) consumeByJava(ctx context.Context, s *subject, log load.Log) (run, error) {
	records := c.records(log.Bytes)
	text, r, err := javaTool(c.install, c.toolCores, "ConsumerPerformance",
		"--topic", log.Topic, "--num-records", strconv.FormatInt(records, 10), "--fetch-size", strconv.Itoa(answerBytes),
		"--bootstrap-server", s.server.Target().Addr.String(), "--hide-header", "--timeout", "60000", "--socket-buffer-size", "-1").do(ctx)
	if err == nil {
		r.elapsed, err = parseConsumerPerformance(text, records)
	}
	r.bytes = log.Bytes
	return r, err
}

func (c *crosscheck) consumeByKcat(ctx context.Context, s *subject, log load.Log) (run, error) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return run{}, err
	}
	defer null.Close()
	_, r, err := outside{program: c.kcat, cores: c.toolCores, stdout: null, args: []string{
		"-C", "-b", s.server.Target().Addr.String(), "-t", log.Topic, "-p", "0", "-o", "beginning", "-e", "-q",
		"-c", strconv.FormatInt(c.records(log.Bytes), 10), "-X", "fetch.message.max.bytes=" + strconv.Itoa(answerBytes),
	}}.do(ctx)
	r.bytes, r.elapsed = log.Bytes, r.lasted // it tells no times
	return r, err
}
