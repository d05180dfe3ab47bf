package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rollway/rollway/perf/host"
	"github.com/rollway/rollway/perf/load"
)

// fanOut is a log that grows at a fixed rate, and consumers that wait at its end.
type fanOut struct {
	readers        int
	bytesPerSecond float64
}

const (
	fanOutBatchBytes = 64 << 10
	fanOutMaxBytes   = 1 << 20
	// fanOutWindow batches may be in flight, so that the rate is kept while the
	// server answers.
	fanOutWindow = 16
	// drainTime is how long consumers may take to get the rest when the counted part
	// is over, as a multiple of that.
	drainTime = 10
)

func (f fanOut) do(ctx context.Context, s *subject, counted time.Duration) (out taken, err error) {
	batch, err := load.Batch(fanOutBatchBytes)
	if err != nil {
		return out, err
	}
	topic, err := s.newTopic(ctx, 1)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, s.server.DeleteTopic(ctx, topic)) }()
	producers, err := load.NewProducers(ctx, s.server.Target(), load.ProducerOptions{
		Topic: topic, Partitions: 1, Connections: 1, Window: fanOutWindow, Batch: batch,
	})
	if err != nil {
		return out, err
	}
	defer producers.Close()
	if err := errors.Join(s.settleDisk(), host.FreshMemory(int64(f.bytesPerSecond*counted.Seconds()))); err != nil {
		return out, err
	}
	rate := f.bytesPerSecond / float64(batch.Size())
	batches := max(1, int64(rate*counted.Seconds()))

	defer sleepers(f.readers)()
	reading, cancel := context.WithTimeout(ctx, counted*(drainTime+1)+time.Minute)
	defer cancel()
	readers, err := f.start(reading, s.server.Target(), load.Log{Topic: topic, BatchBytes: batch.Size(), Step: int64(batch.Count())}, batches*batch.Size())
	defer readers.end(cancel)
	if err != nil {
		return out, err
	}
	if err := s.noteCongestion(); err != nil {
		return out, err
	}
	var done load.Produced
	var read int64
	u, err := s.observe(func() (err error) {
		done, err = producers.Run(load.ProduceRun{Batches: batches, Rate: rate})
		read = readers.bytes()
		return err
	})
	if err == nil {
		err = readers.wait()
	}
	if err == nil {
		err = s.verify(ctx, topic, 1, batch, done.Batches)
	}
	if err != nil {
		return out, err
	}
	produced := float64(done.Batches * batch.Size())
	// CPU is per GiB read: what is produced is a small part of what moves.
	out.figures = u.figures(work{requests: float64(read) / float64(batch.Size()), consumed: float64(read), elapsed: done.Elapsed})
	out.figures["produce_mib_s"] = produced / (1 << 20) / done.Elapsed.Seconds()
	out.figures["backlog_records"] = max(0, produced*float64(f.readers)-float64(read)) / float64(batch.Size()) * float64(batch.Count())
	out.addLatencies("produce", histogramOf(done.Latencies))
	return out, nil
}

// tailing are consumers that run.
type tailing struct {
	tailers []*load.Tailer
	running sync.WaitGroup
	errs    []error
}

// start connects the consumers and has each read so many bytes.
func (f fanOut) start(ctx context.Context, t load.Target, log load.Log, bytes int64) (*tailing, error) {
	r := &tailing{errs: make([]error, f.readers)}
	for i := range f.readers {
		tailer, err := load.NewTailer(ctx, t, log)
		if err != nil {
			return r, err
		}
		r.tailers = append(r.tailers, tailer)
		r.running.Go(func() {
			if err := tailer.Run(bytes, fanOutMaxBytes); err != nil {
				r.errs[i] = fmt.Errorf("consumer at byte %d of %d: %w", tailer.Bytes(), bytes, err)
			}
		})
	}
	return r, nil
}

// bytes returns what all have read so far.
func (r *tailing) bytes() (n int64) {
	for _, t := range r.tailers {
		n += t.Bytes()
	}
	return n
}

// wait waits until all have read all.
func (r *tailing) wait() error {
	r.running.Wait()
	return errors.Join(r.errs...)
}

// end cancels what still runs, and waits for it.
func (r *tailing) end(cancel context.CancelFunc) {
	cancel()
	r.running.Wait()
	for _, t := range r.tailers {
		t.Close()
	}
}
