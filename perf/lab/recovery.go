package main

import (
	"context"
	"errors"
	"time"

	"github.com/rollway/rollway/perf/contestant"
	"github.com/rollway/rollway/perf/load"
)

// recovery is a server that is killed when it has taken much, and started again.
type recovery struct {
	bytes      int64
	partitions int
}

const (
	recoveryBatchBytes = 1 << 20
	recoveryWindow     = 2
)

func (r recovery) do(ctx context.Context, s *subject, _ time.Duration) (out taken, err error) {
	if s.external() {
		return out, skipf("the broker was there before: it is not ours to kill")
	}
	if err := errors.Join(s.end(), s.start(ctx)); err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	batch, err := load.Batch(recoveryBatchBytes)
	if err != nil {
		return out, err
	}
	topic, err := s.newTopic(ctx, r.partitions)
	if err != nil {
		return out, err
	}
	producers, err := load.NewProducers(ctx, s.server.Target(), load.ProducerOptions{
		Topic: topic, Partitions: r.partitions, Connections: r.partitions, Window: recoveryWindow, Batch: batch,
	})
	if err != nil {
		return out, err
	}
	defer producers.Close()
	var done load.Produced
	u, err := s.observe(func() (err error) {
		done, err = producers.Run(load.ProduceRun{Batches: max(1, r.bytes/batch.Size())})
		return err
	})
	if err == nil {
		err = s.server.Kill()
	}
	if err == nil {
		err = s.startAgain(ctx, contestant.Topic{Name: topic, Partitions: r.partitions})
	}
	if err != nil {
		return out, err
	}
	out.figures = u.figures(work{requests: float64(done.Batches), produced: float64(done.Batches * batch.Size()), elapsed: done.Elapsed})
	out.figures["recovery_ms"] = milliseconds(s.server.First())
	out.figures["ready_ms"] = milliseconds(s.server.Ready())
	return out, s.verify(ctx, topic, r.partitions, batch, done.Batches)
}
