package main

import (
	"context"
	"errors"
	"time"

	"github.com/rollway/rollway/perf/host"
	"github.com/rollway/rollway/perf/load"
)

// job is what a server is put to in a turn.
type job interface {
	// do does it once. Its counted part takes about so long, and is measured by
	// subject.observe. What the server did wrong is an error; that it, or the machine,
	// cannot do this job a *skipError.
	do(ctx context.Context, s *subject, counted time.Duration) (taken, error)
}

// taken is what a turn has measured, by the names of package result.
type taken struct {
	figures   map[string]float64
	latencies map[string]string
}

// produce is the same batch again and again, as fast as it is acknowledged, to a
// topic of its own.
type produce struct {
	connections, partitions, window int
	batchBytes, valueBytes          int
	maxBytes                        int64 // ends the counted part too
}

const (
	// firstBatches, times what is in flight, are produced to a topic before anything
	// counts, and firstBytes to each of its partitions: with them come its files, and
	// the first entries of its indexes, one for 4 KiB. Kafka maps those as files with
	// holes, and was seen to spend 20 ms in the page fault of each.
	firstBatches = 4
	firstBytes   = 16 << 10
)

func (p produce) do(ctx context.Context, s *subject, counted time.Duration) (out taken, err error) {
	batch, err := load.BatchOf(p.batchBytes, p.valueBytes)
	if err != nil {
		return out, err
	}
	topic, err := s.newTopic(ctx, p.partitions)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, s.server.DeleteTopic(ctx, topic)) }()
	producing, end, err := s.producers(ctx, load.ProducerOptions{
		Topic: topic, Partitions: p.partitions, Connections: p.connections, Window: p.window, Batch: batch,
	})
	if err != nil {
		return out, err
	}
	defer end()
	first, err := producing(load.ProduceRun{Batches: max(firstBatches*int64(p.connections*p.window), int64(p.partitions)*firstBytes/batch.Size())})
	if err != nil {
		return out, err
	}
	if err := errors.Join(s.settleDisk(), host.FreshMemory(p.maxBytes)); err != nil {
		return out, err
	}
	var done load.Produced
	u, err := s.observe(func() (err error) {
		done, err = producing(load.ProduceRun{Batches: max(1, p.maxBytes/batch.Size()), Time: counted})
		return err
	})
	if err != nil {
		return out, err
	}
	if err := s.verify(ctx, topic, p.partitions, batch, first.Batches+done.Batches); err != nil {
		return out, err
	}
	requests := float64(done.Batches)
	out.figures = u.figures(work{
		requests: requests, records: requests * float64(batch.Count()), produced: requests * float64(batch.Size()), elapsed: done.Elapsed,
	})
	if !u.traced {
		out.addLatencies("produce", histogramOf(done.Latencies))
	}
	return out, nil
}

// producers returns what produces on connections that are there, and what closes
// them. A server with a client of its own has that produce.
func (s *subject) producers(ctx context.Context, o load.ProducerOptions) (run func(load.ProduceRun) (load.Produced, error), end func(), err error) {
	if d := s.driver(); d != nil {
		return func(r load.ProduceRun) (load.Produced, error) { return d.Produce(ctx, o, r) }, func() {}, nil
	}
	p, err := load.NewProducers(ctx, s.server.Target(), o)
	if err != nil {
		return nil, nil, err
	}
	if err := s.noteCongestion(); err != nil {
		p.Close()
		return nil, nil, err
	}
	return p.Run, p.Close, nil
}
