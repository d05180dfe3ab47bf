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

// workloads are those that are repeated, with the tools that there are.
func (c *crosscheck) workloads() []workload {
	produce := workload{
		name: "produce", title: fmt.Sprintf("produce records of %d B in batches of 64 KiB to %d partitions on one connection, acks=all, page cache", valueBytes, partitions),
		rate: "produce_mib_s", produces: true, lab: c.produceByLab,
		tools: []tool{{"ProducerPerformance", c.produceByJava}},
	}
	consume := workload{
		name: "consume", title: "consume a log of such batches from page cache, one consumer, answers of 1 MiB",
		rate: "consume_mib_s", lab: c.consumeByLab,
		tools: []tool{{"ConsumerPerformance", c.consumeByJava}},
	}
	if c.kcat != "" {
		produce.tools = append(produce.tools, tool{"kcat", c.produceByKcat})
		consume.tools = append(consume.tools, tool{"kcat", c.consumeByKcat})
	}
	return []workload{produce, consume}
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

// produceByLab is the lab's client, which at the pace of a tool sends batches as large
// as that one did, each when it is due.
func (c *crosscheck) produceByLab(pace sight) tool {
	return tool{labTool, func(ctx context.Context, s *subject, log load.Log) (run, error) {
		batch, rate := c.batch, 0.0
		if pace.batches > 0 {
			var err error
			if batch, err = load.BatchOf(int(pace.bytes/pace.batches), valueBytes); err != nil {
				return run{}, err
			}
			rate = float64(pace.bytes) / pace.elapsed.Seconds() / float64(batch.Size())
		}
		p, err := load.NewProducers(ctx, s.server.Target(), load.ProducerOptions{
			Topic: log.Topic, Partitions: partitions, Connections: 1, Window: window, Spread: true, Batch: batch,
		})
		if err != nil {
			return run{}, err
		}
		defer p.Close()
		var done load.Produced
		r, err := ownCPU(func() (err error) {
			done, err = p.Run(load.ProduceRun{Batches: max(1, log.Bytes/batch.Size()), Rate: rate})
			return err
		})
		r.elapsed, r.records = done.Elapsed, done.Batches*int64(batch.Count())
		return r, err
	}}
}

func (c *crosscheck) produceByJava(ctx context.Context, s *subject, log load.Log) (run, error) {
	records := c.records(log.Bytes)
	// A batch is sent when it is full, and by no time: linger is beyond what the last
	// one waits, which close sends. A request has room for one, and the socket is what
	// the system gives others too.
	text, r, err := javaTool(c.install, c.toolCores, "ProducerPerformance",
		"--topic", log.Topic, "--num-records", strconv.FormatInt(records, 10), "--record-size", strconv.Itoa(valueBytes), "--throughput", "-1",
		"--bootstrap-server", s.server.Target().Addr.String(), "--command-property", "acks=all", "batch.size="+strconv.Itoa(batchBytes), "linger.ms=100",
		"enable.idempotence=false", "compression.type=none", "max.request.size="+strconv.Itoa(batchBytes*5/4), "send.buffer.bytes=-1", "max.in.flight.requests.per.connection="+strconv.Itoa(window)).do(ctx)
	if err == nil {
		r.elapsed, err = parseProducerPerformance(text, records)
	}
	r.records = records
	return r, err
}

func (c *crosscheck) produceByKcat(ctx context.Context, s *subject, log load.Log) (run, error) {
	records := c.records(log.Bytes)
	_, r, err := outside{program: c.kcat, cores: c.toolCores, args: []string{
		"-P", "-c", strconv.FormatInt(records, 10), "-b", s.server.Target().Addr.String(), "-t", log.Topic, "-l", "-X", "topic.request.required.acks=-1",
		"-X", "batch.size=" + strconv.Itoa(batchBytes), "-X", "linger.ms=100", "-X", "queue.buffering.max.messages=1000000",
		"-X", "max.in.flight.requests.per.connection=" + strconv.Itoa(window), c.lines,
	}}.do(ctx)
	r.elapsed, r.records = r.lasted, records // it tells no times
	return r, err
}

// consumeByLab is the lab's client, which at the pace of a tool asks for an answer when
// it is due.
func (c *crosscheck) consumeByLab(pace sight) tool {
	what := load.FetchRun{MaxBytes: answerBytes, Depth: 1}
	if pace.bytes > 0 {
		what.Rate = float64(pace.bytes) / pace.elapsed.Seconds() / answerBytes
	}
	return tool{labTool, func(ctx context.Context, s *subject, log load.Log) (run, error) {
		what.Bytes = log.Bytes
		return consume(ctx, s, log, what)
	}}
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
