package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"

	"github.com/rollway/rollway/perf/child"
	"github.com/rollway/rollway/perf/load"
	"github.com/rollway/rollway/perf/sample"
	"github.com/rollway/rollway/wire"
	"github.com/rollway/rollway/zerocopy"
)

const (
	topicName  = "bench"
	batchBytes = 64 << 10

	// maxLogBytes is the length of the log that is fetched round and round,
	// unless a round fetches less: more than a core's caches, less than any
	// machine's memory.
	maxLogBytes = 256 << 20

	// fillWindow batches in flight fill a log quickly.
	fillWindow = 16
)

// pageCacheMode are the topic configs under which nothing is synced.
var pageCacheMode = []wire.Config{{Key: "flush.messages", Value: strconv.FormatInt(math.MaxInt64, 10)}}

// Contestants of fetch. The copying ones are what sendfile has to win against.
const (
	bareSendFile    = "bare sendfile"
	bareCopy        = "bare copy"
	rollwayAuto     = "rollway auto"
	rollwayCopyPath = "rollway copy"
	rollwaySplice   = "rollway splice"
)

// fetchServer is a contestant that serves its log.
type fetchServer struct {
	name     string
	process  *child.Process
	consumer *load.Consumer
}

// fetch measures how cached batches are served, in answers of two sizes, one
// request in flight or several, by one connection whose client discards them.
//
// The bare contestants serve the segment file of the first rollway, so that
// they send the very same pages.
func (b *bench) fetch(ctx context.Context) (tables []table, err error) {
	var servers []*fetchServer
	defer func() {
		for _, s := range servers {
			err = errors.Join(err, s.stop())
		}
	}()
	var segment string
	for _, c := range []struct {
		name string
		path zerocopy.Path
	}{{rollwayAuto, zerocopy.Auto}, {rollwaySplice, zerocopy.Splice}, {rollwayCopyPath, zerocopy.Copy}} {
		b.progress.step("fetch", c.name, 0, 0)
		dir, err := b.newDir()
		if err != nil {
			return nil, err
		}
		s, err := b.startFilled(ctx, c.name, dir, c.path)
		if s != nil {
			servers = append(servers, s)
		}
		if err != nil {
			return nil, wrap("fetch", c.name, err)
		}
		if segment == "" {
			segment = segmentFile(dir, 0)
		}
	}
	for _, c := range []struct {
		name string
		path zerocopy.Path
	}{{bareSendFile, zerocopy.SendFile}, {bareCopy, zerocopy.Copy}} {
		s, err := b.startBareFetcher(ctx, c.name, segment, c.path)
		if s != nil {
			servers = append(servers, s)
		}
		if err != nil {
			return nil, wrap("fetch", c.name, err)
		}
	}
	for _, size := range []int{1 << 20, 64 << 10} {
		for _, depth := range []int{1, 8} {
			t, err := b.fetchTable(ctx, servers, load.FetchRun{Bytes: b.options.bytes, MaxBytes: size, Depth: depth})
			if err != nil {
				return nil, err
			}
			tables = append(tables, t)
		}
	}
	return tables, b.checkPaths(servers)
}

// logBytes is the length of the log.
func (b *bench) logBytes() int64 { return min(maxLogBytes, b.options.bytes) }

// segmentFile is the first segment of a partition of the topic.
func segmentFile(dir string, partition int) string {
	return filepath.Join(dir, fmt.Sprintf("%s-%d", topicName, partition), fmt.Sprintf("%020d.log", 0))
}

// startFilled starts a rollway and fills its log. The server is returned also
// with an error, once it runs.
func (b *bench) startFilled(ctx context.Context, name, dir string, path zerocopy.Path) (*fetchServer, error) {
	batch, err := load.Batch(batchBytes)
	if err != nil {
		return nil, err
	}
	p, err := b.start(ctx, "fetch-"+path.String(), serverConfig{Rollway: &rollwayConfig{Dir: dir, FetchPath: path}})
	if err != nil {
		return nil, err
	}
	s := &fetchServer{name: name, process: p}
	if err := b.target(p).CreateTopic(ctx, wire.CreateTopic{Topic: topicName, Partitions: 1, Configs: pageCacheMode}); err != nil {
		return s, err
	}
	producers, err := load.NewProducers(ctx, b.target(p), load.ProducerOptions{
		Topic: topicName, Partitions: 1, Connections: 1, Window: fillWindow, Batch: batch,
	})
	if err != nil {
		return s, err
	}
	defer producers.Close()
	if _, err := producers.Run(load.ProduceRun{Batches: b.logBytes() / batchBytes}); err != nil {
		return s, err
	}
	// Write-back would go on beside the measurement.
	if err := syncFile(segmentFile(dir, 0)); err != nil {
		return s, err
	}
	return s, b.connect(ctx, s, b.target(p), int64(batch.Count()))
}

func (b *bench) startBareFetcher(ctx context.Context, name, segment string, path zerocopy.Path) (*fetchServer, error) {
	p, err := b.start(ctx, "fetch-bare-"+path.String(), serverConfig{Fetcher: &fetcherConfig{File: segment, Path: path}})
	if err != nil {
		return nil, err
	}
	s := &fetchServer{name: name, process: p}
	return s, b.connect(ctx, s, b.target(p), batchBytes) // its offsets are positions
}

// connect makes the consumer and has it check an answer.
func (b *bench) connect(ctx context.Context, s *fetchServer, to load.Target, step int64) (err error) {
	s.consumer, err = load.NewConsumer(ctx, to, load.Log{
		Topic: topicName, Bytes: b.logBytes(), BatchBytes: batchBytes, Step: step,
	})
	if err != nil {
		return err
	}
	if err := s.consumer.Check(1 << 20); err != nil {
		return err
	}
	_, err = b.ask(s.process, s.consumer)
	return err
}

func (s *fetchServer) stop() error {
	if s.consumer != nil {
		s.consumer.Close()
	}
	return s.process.Stop()
}

// fetchTable measures one size of answers.
func (b *bench) fetchTable(ctx context.Context, servers []*fetchServer, run load.FetchRun) (table, error) {
	what := fmt.Sprintf("fetch %s, %s in flight", bytesText(int64(run.MaxBytes)), plural(run.Depth, "request"))
	names := []string{bareSendFile, bareCopy, rollwayAuto, rollwaySplice, rollwayCopyPath}
	turns := map[string]turn{}
	for _, s := range servers {
		turns[s.name] = func(context.Context) (map[string]float64, error) { return s.measure(run) }
	}
	all, err := b.rounds(ctx, what, names, turns)
	if err != nil {
		return table{}, err
	}
	cpu := func(name string) sample.Series { return all[name]["cpu"] }
	t := table{title: what, note: fmt.Sprintf("one connection, log of %s, %s a round, cached", bytesText(b.logBytes()), bytesText(run.Bytes))}
	t.columns = []string{"contestant", "GiB/s", "spread", "server CPU s/GiB", "spread", "CPU x bare sendfile"}
	for _, name := range names {
		t.add(name, number(all[name]["rate"]), spread(all[name]["rate"]), number(cpu(name)), spread(cpu(name)), number(cpu(name).Over(cpu(bareSendFile))))
	}
	ratio := cpu(rollwayAuto).Over(cpu(bareSendFile)).Median()
	bareGain := cpu(bareCopy).Over(cpu(bareSendFile))
	gain := cpu(rollwayCopyPath).Over(cpu(rollwayAuto))
	if run.MaxBytes == 1<<20 {
		t.targets = append(t.targets,
			atMost("server CPU of "+rollwayAuto+" over "+bareSendFile, ratio, 1.20),
			atLeast(fmt.Sprintf("gain of sendfile over copying, rollway's %.2fx over the bare loops' %.2fx", gain.Median(), bareGain.Median()), gain.Over(bareGain).Median(), 0.9))
	} else {
		t.remarks = append(t.remarks, fmt.Sprintf("gain of sendfile over copying: rollway %.2fx, bare loops %.2fx", gain.Median(), bareGain.Median()))
	}
	return t, nil
}

// measure fetches once.
func (s *fetchServer) measure(run load.FetchRun) (map[string]float64, error) {
	var gib, seconds float64
	cpu, err := cpuOf(s.process, func() error {
		bytes, elapsed, err := s.consumer.Run(run)
		gib, seconds = float64(bytes)/(1<<30), elapsed.Seconds()
		return err
	})
	return map[string]float64{"rate": gib / seconds, "cpu": cpu.Seconds() / gib}, err
}

// checkPaths makes sure that what each rollway sent has left the way it was to
// leave.
func (b *bench) checkPaths(servers []*fetchServer) error {
	for _, s := range servers {
		r, err := b.ask(s.process, s.consumer)
		if err != nil {
			return err
		}
		total := r.Sent.SendFile.Bytes + r.Sent.Splice.Bytes + r.Sent.Copy.Bytes
		var way int64
		switch s.name {
		case rollwayAuto:
			way = r.Sent.SendFile.Bytes
		case rollwaySplice:
			way = r.Sent.Splice.Bytes
		case rollwayCopyPath:
			way = r.Sent.Copy.Bytes
		default:
			continue
		}
		if share := float64(way) / float64(total); share < 0.999 {
			return fmt.Errorf("%s: %.3f of its %d bytes went the way it is named for, want at least 0.999: %+v", s.name, share, total, r.Sent)
		}
	}
	return nil
}

// syncFile makes a file's pages clean.
func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
