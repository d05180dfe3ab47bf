package main

import (
	"context"
	"errors"
	"time"

	"github.com/rollway/rollway/perf/contestant"
	"github.com/rollway/rollway/perf/load"
)

// partitions is the whole life of a server with many of them.
type partitions struct{ count int }

const (
	// partitionConnections produce to all partitions, one after the other.
	partitionConnections = 64
	partitionBatchBytes  = 1 << 10
	// partitionMaxBytes bounds what is read back.
	partitionMaxBytes = 256 << 20
)

func (p partitions) do(ctx context.Context, s *subject, counted time.Duration) (out taken, err error) {
	if s.external() {
		return out, skipf("the broker was there before: it is not ours to start and kill")
	}
	if err := errors.Join(s.end(), s.start(ctx)); err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	starting := s.starting()
	batch, err := load.Batch(partitionBatchBytes)
	if err != nil {
		return out, err
	}
	start := time.Now()
	topic, err := s.newTopic(ctx, p.count)
	if err != nil {
		return out, err
	}
	create := time.Since(start)
	first, done, u, err := p.produce(ctx, s, load.ProducerOptions{
		Topic: topic, Partitions: p.count, Connections: partitionConnections,
		Window: max(1, (p.count+partitionConnections-1)/partitionConnections), Batch: batch, Spread: true,
	}, counted)
	if err != nil {
		return out, err
	}
	requests := float64(done.Batches)
	out.figures = u.figures(work{
		requests: requests, records: requests * float64(batch.Count()), produced: requests * float64(batch.Size()), elapsed: done.Elapsed,
	})
	for name, value := range starting {
		out.figures[name] = value
	}
	out.figures["create_ms"] = milliseconds(create)
	if err := p.restart(ctx, s, topic, out.figures); err != nil {
		return out, err
	}
	return out, s.verify(ctx, topic, p.count, batch, first.Batches+done.Batches)
}

// produce produces to all partitions: first, which does not count, to each once.
func (p partitions) produce(ctx context.Context, s *subject, o load.ProducerOptions, counted time.Duration) (first, done load.Produced, u use, err error) {
	producers, err := load.NewProducers(ctx, s.server.Target(), o)
	if err != nil {
		return first, done, u, err
	}
	defer producers.Close()
	if first, err = producers.Run(load.ProduceRun{Batches: int64(o.Connections * o.Window)}); err != nil {
		return first, done, u, err
	}
	if err := errors.Join(s.noteCongestion(), s.settleDisk()); err != nil {
		return first, done, u, err
	}
	u, err = s.observe(func() (err error) {
		done, err = producers.Run(load.ProduceRun{Batches: partitionMaxBytes / o.Batch.Size(), Time: counted})
		return err
	})
	return first, done, u, err
}

// restart stops the server in order and starts it, kills it and starts it.
func (p partitions) restart(ctx context.Context, s *subject, topic string, figures map[string]float64) error {
	all := contestant.Topic{Name: topic, Partitions: p.count}
	start := time.Now()
	if err := s.server.Stop(ctx); err != nil {
		return err
	}
	figures["stop_ms"] = milliseconds(time.Since(start))
	if err := s.startAgain(ctx, all); err != nil {
		return err
	}
	figures["restart_ms"] = milliseconds(s.server.First())
	if err := s.server.Kill(); err != nil {
		return err
	}
	if err := s.startAgain(ctx, all); err != nil {
		return err
	}
	figures["recovery_ms"] = milliseconds(s.server.First())
	return nil
}
