package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rollway/rollway/perf/contestant"
	"github.com/rollway/rollway/perf/generator"
	"github.com/rollway/rollway/perf/host"
	"github.com/rollway/rollway/perf/load"
)

// cold is a backlog that is read from the disk while others tail: the server has
// less memory than the backlog is long.
type cold struct {
	backlogBytes, memoryBytes int64
	rate                      float64 // of the tail, in records a second
}

const (
	coldTopic      = "lab-backlog"
	coldBatchBytes = 1 << 20
	coldMaxBytes   = 1 << 20
	// coldMaxCached is how much of a server's files may be left in the page cache when
	// they are to be cold: indexes that are mapped, a journal.
	coldMaxCached = 128 << 20
)

func (c cold) do(ctx context.Context, s *subject, counted time.Duration) (out taken, err error) {
	if s.external() {
		return out, skipf("the broker was there before: its memory is not ours to bound")
	}
	if err := errors.Join(s.end(), s.start(ctx)); err != nil {
		return out, err
	}
	group, err := host.NewMemoryGroup(s.lab.groupName(), c.memoryBytes)
	if err != nil {
		why := errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS)
		err = errors.Join(err, s.end())
		if why {
			return out, skipf("no memory group can be made here: %v", err)
		}
		return out, err
	}
	// The group can go when the server has.
	defer func() { err = errors.Join(err, s.end(), group.Remove()) }()
	if err := group.Add(s.server.PID()); err != nil {
		return out, err
	}
	log, err := c.fill(ctx, s)
	if err != nil {
		return out, err
	}
	return c.measure(ctx, s, log, counted)
}

// fill makes the backlog, and drops it from the page cache.
func (c cold) fill(ctx context.Context, s *subject) (log load.Log, err error) {
	batch, err := load.Batch(coldBatchBytes)
	if err != nil {
		return log, err
	}
	if err := s.server.CreateTopic(ctx, coldTopic, 1, topicConfigs); err != nil {
		return log, err
	}
	if log, err = s.server.Fill(ctx, coldTopic, contestant.Filling{Batch: batch, Bytes: c.backlogBytes}); err != nil {
		return log, err
	}
	if err := host.Evict(s.dir); err != nil {
		return log, err
	}
	cached, err := host.PageCache(s.dir)
	if err != nil {
		return log, err
	}
	if cached > coldMaxCached {
		return log, fmt.Errorf("%d MiB are in the page cache after the backlog was dropped from it, want at most %d", cached>>20, coldMaxCached>>20)
	}
	return log, nil
}

// measure has the generator produce and tail, and the backlog read meanwhile, from
// its start again when its end is reached.
func (c cold) measure(ctx context.Context, s *subject, log load.Log, counted time.Duration) (out taken, err error) {
	defer sleepers(1)()
	reading, stop := context.WithCancel(ctx)
	var reader sync.WaitGroup
	defer reader.Wait()
	defer stop()
	target := s.server.Target()
	b := &backlogReader{target: target, log: log}
	tail := openLoop{rate: c.rate, partitions: 4, producers: 4, recordBytes: 1 << 10}
	m := meter{subject: s, begin: func() { reader.Go(func() { b.run(reading) }) }}
	r, err := generator.Run(ctx, tail.workload(s, c.rate, counted), s.endpoint(), generator.Options{Progress: func(p generator.Progress) {
		if p.Phase == generator.Verify {
			stop()
			reader.Wait()
		}
		m.at(p)
	}})
	stop()
	reader.Wait()
	if err = errors.Join(err, m.err, b.err); err != nil {
		return out, err
	}
	if out, err = generated(r, m.use, c.rate); err != nil {
		return out, err
	}
	seconds := out.figures["elapsed_s"]
	out.figures["consume_mib_s"] = mebibytes(b.bytes) / seconds
	if m.use.known {
		out.figures["cpu_s_gib"] = m.use.process.CPU.Seconds() / (float64(b.bytes) / (1 << 30))
	}
	return out, nil
}

// backlogReader reads a log over and over.
type backlogReader struct {
	target load.Target
	log    load.Log
	bytes  int64
	err    error
}

// run reads until ctx ends.
func (b *backlogReader) run(ctx context.Context) {
	for ctx.Err() == nil && b.err == nil {
		t, err := load.NewTailer(ctx, b.target, b.log)
		if err == nil {
			err = t.Run(b.log.Bytes, coldMaxBytes)
			b.bytes += t.Bytes()
			t.Close()
		}
		if ctx.Err() == nil {
			b.err = err
		}
	}
}
