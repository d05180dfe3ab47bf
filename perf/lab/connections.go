package main

import (
	"context"
	"errors"
	"time"

	"github.com/rollway/rollway/perf/host"
	"github.com/rollway/rollway/perf/load"
)

// connections are many that are idle, and then have one small batch in flight each.
type connections struct{ count int }

const (
	connectionPartitions = 64
	connectionBatchBytes = 1 << 10
	// idleTime is how long nobody asks for anything.
	idleTime = time.Second
)

func (c connections) do(ctx context.Context, s *subject, counted time.Duration) (out taken, err error) {
	batch, err := load.Batch(connectionBatchBytes)
	if err != nil {
		return out, err
	}
	topic, err := s.newTopic(ctx, connectionPartitions)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, s.server.DeleteTopic(ctx, topic)) }()
	before, err := s.memory()
	if err != nil {
		return out, err
	}
	start := time.Now()
	producers, err := load.NewProducers(ctx, s.server.Target(), load.ProducerOptions{
		Topic: topic, Partitions: connectionPartitions, Connections: c.count, Window: 1, Batch: batch,
	})
	if err != nil {
		return out, err
	}
	defer producers.Close()
	connect := time.Since(start)
	if err := errors.Join(s.noteCongestion(), s.settleDisk()); err != nil {
		return out, err
	}
	asleep, err := s.observe(func() error { return sleep(ctx, idleTime) })
	if err != nil {
		return out, err
	}
	first, err := producers.Run(load.ProduceRun{Batches: firstBatches * int64(max(c.count, connectionPartitions))})
	if err != nil {
		return out, err
	}
	var done load.Produced
	u, err := s.observe(func() (err error) {
		done, err = producers.Run(load.ProduceRun{Time: counted})
		return err
	})
	if err == nil {
		err = s.verify(ctx, topic, connectionPartitions, batch, first.Batches+done.Batches)
	}
	if err != nil {
		return out, err
	}
	requests := float64(done.Batches)
	out.figures = u.figures(work{
		requests: requests, records: requests * float64(batch.Count()), produced: requests * float64(batch.Size()), elapsed: done.Elapsed,
	})
	out.figures["connect_ms"] = milliseconds(connect)
	if asleep.known {
		out.figures["cpu_idle_percent"] = 100 * asleep.process.CPU.Seconds() / asleep.process.Elapsed.Seconds()
		out.figures["rss_connection_kib"] = max(0, float64(asleep.memory.Resident-before.Resident)) / 1024 / float64(c.count)
	}
	out.addLatencies("produce", histogramOf(done.Latencies))
	return out, nil
}

// memory is that of the server; none if its process is unknown.
func (s *subject) memory() (host.Memory, error) {
	if s.server.PID() == 0 {
		return host.Memory{}, nil
	}
	return host.MemoryOf(s.server.PID())
}

// sleep waits, unless ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
