package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rollway/rollway/perf/contestant"
	"github.com/rollway/rollway/perf/load"
)

const (
	// logBytes is the length of the log that is read over and over: more than a
	// core's caches, less than any machine's memory.
	logBytes      = 256 << 20
	logBatchBytes = 64 << 10
	logTopic      = "lab-log"
)

// consume is a log that is read from the page cache, by consumers that discard what
// they get.
type consume struct {
	connections int
	maxBytes    int // of an answer
}

// consumeDepth requests are in flight on a connection, as a consumer with a
// prefetch has them.
const consumeDepth = 2

func (c consume) do(ctx context.Context, s *subject, counted time.Duration) (out taken, err error) {
	if err := s.fillLog(ctx); err != nil {
		return out, err
	}
	consuming, end, err := s.consumers(ctx, c)
	if err != nil {
		return out, err
	}
	defer end()
	defer sleepers(c.connections)()
	var bytes int64
	var elapsed time.Duration
	u, err := s.observe(func() (err error) {
		bytes, elapsed, err = consuming(load.FetchRun{Bytes: 1 << 60, Time: counted, MaxBytes: c.maxBytes, Depth: consumeDepth})
		return err
	})
	if err != nil {
		return out, err
	}
	batches := float64(bytes) / float64(s.log.BatchBytes)
	w := work{requests: float64(bytes) / float64(c.maxBytes), consumed: float64(bytes), elapsed: elapsed}
	if !s.isBare() { // whose offsets are positions
		w.records = batches * float64(s.log.Step)
	}
	out.figures = u.figures(w)
	return out, nil
}

// consumers returns what consumes on connections that are there, and what closes
// them. Of each run an answer is read in full and checked. A server with a client of
// its own has that consume.
func (s *subject) consumers(ctx context.Context, c consume) (run func(load.FetchRun) (int64, time.Duration, error), end func(), err error) {
	if d := s.driver(); d != nil {
		return func(r load.FetchRun) (int64, time.Duration, error) { return d.Consume(ctx, *s.log, c.connections, r) }, func() {}, nil
	}
	var all []*load.Consumer
	end = func() {
		for _, consumer := range all {
			consumer.Close()
		}
	}
	for range c.connections {
		consumer, err := load.NewConsumer(ctx, s.server.Target(), *s.log)
		if err != nil {
			end()
			return nil, nil, err
		}
		all = append(all, consumer)
	}
	if err := errors.Join(s.noteCongestion(), all[0].Check(c.maxBytes)); err != nil {
		end()
		return nil, nil, err
	}
	return func(r load.FetchRun) (int64, time.Duration, error) { return readAll(all, r) }, end, nil
}

// fillLog makes the log that consumers read, once for a server, and reads it back.
func (s *subject) fillLog(ctx context.Context) error {
	if s.log != nil {
		return nil
	}
	batch, err := load.Batch(logBatchBytes)
	if err != nil {
		return err
	}
	if err := s.server.CreateTopic(ctx, logTopic, 1, topicConfigs); err != nil {
		return err
	}
	log, err := s.server.Fill(ctx, logTopic, contestant.Filling{Batch: batch, Bytes: s.lab.logBytes})
	if err != nil {
		return err
	}
	if err := s.verify(ctx, logTopic, 1, batch, log.Bytes/log.BatchBytes); err != nil {
		return err
	}
	s.log = &log
	return s.settleDisk() // write-back would go on beside the measurement
}

// readAll has all consumers run at once.
func readAll(consumers []*load.Consumer, run load.FetchRun) (bytes int64, elapsed time.Duration, err error) {
	var wg sync.WaitGroup
	read, errs := make([]int64, len(consumers)), make([]error, len(consumers))
	start := time.Now()
	for i, c := range consumers {
		wg.Go(func() { read[i], _, errs[i] = c.Run(run) })
	}
	wg.Wait()
	for _, n := range read {
		bytes += n
	}
	return bytes, time.Since(start), errors.Join(errs...)
}
