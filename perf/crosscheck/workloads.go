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
		name: "produce", title: fmt.Sprintf("produce records of %d B in batches of 64 KiB to %d partitions, acks=all, page cache", valueBytes, partitions),
		rate: "produce_mib_s", produces: true,
		tools: []tool{{labTool, c.produceByLab}, {"ProducerPerformance", c.produceByJava}},
	}
	consume := workload{
		name: "consume", title: "consume a log of such batches from page cache, one consumer, answers of 1 MiB",
		rate:  "consume_mib_s",
		tools: []tool{{labTool, c.consumeByLab}, {"ConsumerPerformance", c.consumeByJava}},
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

func (c *crosscheck) produceByLab(ctx context.Context, s *subject, topic string) (run, error) {
	p, err := load.NewProducers(ctx, s.server.Target(), load.ProducerOptions{
		Topic: topic, Partitions: partitions, Connections: partitions, Window: window, Batch: c.batch,
	})
	if err != nil {
		return run{}, err
	}
	defer p.Close()
	var done load.Produced
	r, err := ownCPU(func() (err error) {
		done, err = p.Run(load.ProduceRun{Batches: c.bytes / batchBytes})
		return err
	})
	r.elapsed = done.Elapsed
	return r, err
}

func (c *crosscheck) produceByJava(ctx context.Context, s *subject, topic string) (run, error) {
	records := c.records()
	// A batch is sent when it is full, and by no time: linger is beyond what the last
	// one waits, which close sends.
	text, r, err := javaTool(c.install, c.toolCores, "ProducerPerformance",
		"--topic", topic, "--num-records", strconv.FormatInt(records, 10), "--record-size", strconv.Itoa(valueBytes), "--throughput", "-1",
		"--bootstrap-server", s.server.Target().Addr.String(), "--command-property", "acks=all", "batch.size="+strconv.Itoa(batchBytes), "linger.ms=100",
		"enable.idempotence=false", "compression.type=none", "max.in.flight.requests.per.connection="+strconv.Itoa(window)).do(ctx)
	if err == nil {
		r.elapsed, err = parseProducerPerformance(text, records)
	}
	return r, err
}

func (c *crosscheck) produceByKcat(ctx context.Context, s *subject, topic string) (run, error) {
	_, r, err := outside{program: c.kcat, cores: c.toolCores, args: []string{
		"-P", "-b", s.server.Target().Addr.String(), "-t", topic, "-l", "-X", "topic.request.required.acks=-1",
		"-X", "batch.size=" + strconv.Itoa(batchBytes), "-X", "linger.ms=100", "-X", "queue.buffering.max.messages=1000000",
		"-X", "max.in.flight.requests.per.connection=" + strconv.Itoa(window), c.lines,
	}}.do(ctx)
	r.elapsed = r.lasted // it tells no times
	return r, err
}

func (c *crosscheck) consumeByLab(ctx context.Context, s *subject, _ string) (run, error) {
	consumer, err := load.NewConsumer(ctx, s.server.Target(), s.log)
	if err != nil {
		return run{}, err
	}
	defer consumer.Close()
	var bytes int64
	var elapsed time.Duration
	r, err := ownCPU(func() (err error) {
		bytes, elapsed, err = consumer.Run(load.FetchRun{Bytes: s.log.Bytes, MaxBytes: answerBytes, Depth: depth})
		return err
	})
	r.bytes, r.elapsed = bytes, elapsed
	return r, err
}

func (c *crosscheck) consumeByJava(ctx context.Context, s *subject, topic string) (run, error) {
	records := c.records()
	text, r, err := javaTool(c.install, c.toolCores, "ConsumerPerformance",
		"--topic", topic, "--num-records", strconv.FormatInt(records, 10), "--fetch-size", strconv.Itoa(answerBytes),
		"--bootstrap-server", s.server.Target().Addr.String(), "--hide-header", "--timeout", "60000").do(ctx)
	if err == nil {
		r.elapsed, err = parseConsumerPerformance(text, records)
	}
	r.bytes = s.log.Bytes
	return r, err
}

func (c *crosscheck) consumeByKcat(ctx context.Context, s *subject, topic string) (run, error) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return run{}, err
	}
	defer null.Close()
	_, r, err := outside{program: c.kcat, cores: c.toolCores, stdout: null, args: []string{
		"-C", "-b", s.server.Target().Addr.String(), "-t", topic, "-p", "0", "-o", "beginning", "-e", "-q",
		"-c", strconv.FormatInt(c.records(), 10), "-X", "fetch.message.max.bytes=" + strconv.Itoa(answerBytes),
	}}.do(ctx)
	r.bytes, r.elapsed = s.log.Bytes, r.lasted // it tells no times
	return r, err
}
