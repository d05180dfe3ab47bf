package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/perf/load"
	"github.com/rollway/rollway/perf/page"
	"github.com/rollway/rollway/perf/sample"
)

const (
	syncEach = "fdatasync per batch"
	inEngine = "engine"

	// pagesOnly is the engine on a topic that opted out of syncs.
	pagesOnly = "engine, page cache"
)

// commitCase is one line of the commit suite and what is wanted of it: of 0
// nothing.
type commitCase struct {
	producers, partitions, batchBytes int

	leastRate        float64 // times the batches/s of an fdatasync per batch
	mostP99, mostP50 float64 // times its latencies
	mostCPU          float64 // times its CPU time of a batch
}

// commitCases are those of the commit journal: small batches into one, many and
// very many files, and large ones, of which it writes everything twice.
var commitCases = []commitCase{
	{producers: 64, partitions: 1, batchBytes: 1 << 10, leastRate: 6, mostP99: 1.0 / 6, mostCPU: 0.25},
	{producers: 64, partitions: 64, batchBytes: 1 << 10, leastRate: 4, mostP99: 1.0 / 6, mostCPU: 0.25},
	{producers: 64, partitions: 1000, batchBytes: 1 << 10, leastRate: 3.5, mostP99: 1.0 / 6, mostCPU: 0.25},
	{producers: 64, partitions: 1, batchBytes: 16 << 10, leastRate: 2.5},
	{producers: 64, partitions: 64, batchBytes: 16 << 10, leastRate: 2},
	{producers: 64, partitions: 1, batchBytes: 64 << 10, leastRate: 1.2},
	{producers: 64, partitions: 64, batchBytes: 64 << 10, leastRate: 1},
	{producers: 1, partitions: 1, batchBytes: 1 << 10, mostP50: 0.8},
}

func (c commitCase) String() string {
	return fmt.Sprintf("%s, %s, %s", plural(c.producers, "producer"), bytesText(int64(c.batchBytes)), plural(c.partitions, "partition"))
}

// commit measures the engine alone, without a network: producers that wait until
// their batch is durable, beside the same ones that write and sync a file
// themselves.
func (b *bench) commit(ctx context.Context) ([]table, error) {
	var tables []table
	for _, c := range commitCases {
		t, err := b.commitTable(ctx, c)
		if err != nil {
			return nil, err
		}
		tables = append(tables, t)
	}
	t, err := b.offeredTable(ctx)
	if err != nil {
		return nil, err
	}
	return append(tables, t), nil
}

func (b *bench) commitTable(ctx context.Context, c commitCase) (table, error) {
	what := "commit, " + c.String()
	names := []string{syncEach, inEngine}
	all, err := b.rounds(ctx, what, names, map[string]turn{
		syncEach: func(ctx context.Context) (map[string]float64, error) { return b.commitTurn(ctx, c, newSyncedFiles) },
		inEngine: func(ctx context.Context) (map[string]float64, error) { return b.commitTurn(ctx, c, newEngineTarget) },
	})
	if err != nil {
		return table{}, err
	}
	t := table{
		title: what,
		note: fmt.Sprintf("engine alone, one batch in flight for each producer, each answered when it is durable, %v a round, fresh files, CPU of the whole process",
			b.options.time),
		columns: []string{"contestant", "batches/s", "spread", "p50 ms", "p99 ms", "CPU us/batch", "written/produced", "batches/s x"},
	}
	base := all[syncEach]
	for _, name := range names {
		f := all[name]
		t.add(name, number(f["rate"]), spread(f["rate"]), number(f["p50"]), number(f["p99"]), number(f["cpu"]), number(f["written"]), number(f["rate"].Over(base["rate"])))
	}
	own := all[inEngine]
	for _, want := range []struct {
		what, figure string
		bound        float64
		least        bool
	}{
		{"batches/s of an fdatasync per batch", "rate", c.leastRate, true},
		{"p99 of it", "p99", c.mostP99, false},
		{"p50 of it", "p50", c.mostP50, false},
		{"CPU of it", "cpu", c.mostCPU, false},
	} {
		if want.bound > 0 {
			t.targets = append(t.targets, target{want.what, own[want.figure].Over(base[want.figure]).Median(), want.bound, want.least})
		}
	}
	return t, nil
}

// commitTarget is what producers append to.
type commitTarget interface {
	// produce returns when the batch is durable; partition is below partitions.
	produce(partition int, batch []byte) error
	// warm is true when what comes is measured.
	warm() bool
	close() error
}

// commitTurn measures one target over an empty directory.
func (b *bench) commitTurn(ctx context.Context, c commitCase, open func(dir string, c commitCase, config map[string]string) (commitTarget, error)) (map[string]float64, error) {
	return b.withTarget(c, open, nil, func(t commitTarget) (map[string]float64, error) {
		if err := produceUntilWarm(ctx, t, c, b.options.time/10); err != nil {
			return nil, err
		}
		return measured(func() ([]time.Duration, error) {
			return closedLoop(ctx, t, c, b.options.time)
		}, c.batchBytes)
	})
}

func (b *bench) withTarget(c commitCase, open func(string, commitCase, map[string]string) (commitTarget, error), config map[string]string,
	f func(commitTarget) (map[string]float64, error)) (values map[string]float64, err error) {
	dir, err := b.newDir()
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	t, err := open(dir, c, config)
	if err != nil {
		return nil, err
	}
	values, err = f(t)
	if closeErr := t.close(); err == nil {
		err = closeErr
	}
	return values, err
}

// produceUntilWarm appends to every partition, so that its file is there, and
// then until nothing is made in the background any more.
func produceUntilWarm(ctx context.Context, t commitTarget, c commitCase, limit time.Duration) error {
	_, err := eachProducer(c, func(i int, batch []byte) ([]time.Duration, error) {
		for partition := i; partition < c.partitions; partition += c.producers {
			if err := t.produce(partition, batch); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
	if err != nil {
		return err
	}
	for begin := time.Now(); ; {
		if _, err := closedLoop(ctx, t, c, limit); err != nil {
			return err
		}
		if t.warm() {
			return nil
		}
		if time.Since(begin) > time.Minute {
			return fmt.Errorf("the engine has no journal after %v", time.Since(begin))
		}
	}
}

// measured runs f and returns its figures: of latencies in any order, of the
// process's CPU time and of what it had written to storage.
func measured(f func() ([]time.Duration, error), batchBytes int) (map[string]float64, error) {
	written, err := writtenBytes()
	if err != nil {
		return nil, err
	}
	cpu, begin := processCPU(), time.Now()
	latencies, err := f()
	if err != nil {
		return nil, err
	}
	elapsed := time.Since(begin)
	cpu = processCPU() - cpu
	after, err := writtenBytes()
	if err != nil {
		return nil, err
	}
	slices.Sort(latencies)
	batches := float64(len(latencies))
	return map[string]float64{
		"rate":    batches / elapsed.Seconds(),
		"p50":     sample.Percentile(latencies, 0.50).Seconds() * 1e3,
		"p99":     sample.Percentile(latencies, 0.99).Seconds() * 1e3,
		"cpu":     cpu.Seconds() * 1e6 / batches,
		"written": float64(after-written) / (batches * float64(batchBytes)),
	}, nil
}

func processCPU() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err) // RUSAGE_SELF is always there
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// writtenBytes is what the process has caused to be written to storage
// (proc_pid_io(5), write_bytes): pages are counted when they become dirty.
func writtenBytes() (int64, error) {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(text) {
		if value, ok := bytes.CutPrefix(line, []byte("write_bytes: ")); ok {
			return strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64)
		}
	}
	return 0, fmt.Errorf("/proc/self/io: no write_bytes")
}

// closedLoop has each producer append one batch after another until limit.
// Producer i begins with partition i and takes every producers-th then, so that
// all partitions are used.
func closedLoop(ctx context.Context, t commitTarget, c commitCase, limit time.Duration) ([]time.Duration, error) {
	return eachProducer(c, func(i int, batch []byte) ([]time.Duration, error) {
		var latencies []time.Duration
		begin := time.Now()
		for partition := i % c.partitions; ; partition = (partition + c.producers) % c.partitions {
			sent := time.Now()
			if sent.Sub(begin) >= limit || ctx.Err() != nil {
				return latencies, ctx.Err()
			}
			if err := t.produce(partition, batch); err != nil {
				return nil, err
			}
			latencies = append(latencies, time.Since(sent))
		}
	})
}

// eachProducer runs f for each producer with a batch of its own.
func eachProducer(c commitCase, f func(i int, batch []byte) ([]time.Duration, error)) ([]time.Duration, error) {
	batch, err := load.Batch(c.batchBytes)
	if err != nil {
		return nil, err
	}
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		all   []time.Duration
		first error
	)
	for i := range c.producers {
		wg.Go(func() {
			latencies, err := f(i, slices.Clone(batch))
			mu.Lock()
			defer mu.Unlock()
			all = append(all, latencies...)
			if first == nil {
				first = err
			}
		})
	}
	wg.Wait()
	return all, first
}

// syncedFiles is the least that a program does that wants its batches durable:
// write them behind one another and sync each.
type syncedFiles []*syncedFile

type syncedFile struct {
	mu   sync.Mutex
	file *os.File
	end  int64
}

func newSyncedFiles(dir string, c commitCase, _ map[string]string) (commitTarget, error) {
	var files syncedFiles
	for i := range c.partitions {
		f, err := os.Create(filepath.Join(dir, strconv.Itoa(i)))
		if err != nil {
			files.close()
			return nil, err
		}
		files = append(files, &syncedFile{file: f})
	}
	return files, nil
}

// produce checks the batch's crc, as the engine does, writes it and syncs the
// file. Others may write to it while it is synced, and sync it again.
func (s syncedFiles) produce(partition int, batch []byte) error {
	if err := record.Batch(batch).VerifyProduced(); err != nil {
		return err
	}
	f := s[partition]
	f.mu.Lock()
	_, err := f.file.WriteAt(batch, f.end)
	f.end += int64(len(batch))
	f.mu.Unlock()
	if err != nil {
		return err
	}
	return unix.Fdatasync(int(f.file.Fd()))
}

func (s syncedFiles) warm() bool { return true }

func (s syncedFiles) close() error {
	for _, f := range s {
		f.file.Close()
	}
	return nil
}

// engineTarget is an engine with one topic.
type engineTarget struct {
	engine     *engine.Engine
	partitions []*engine.Partition
	journals   bool
}

func newEngineTarget(dir string, c commitCase, config map[string]string) (commitTarget, error) {
	e, err := engine.Open(dir, engine.Options{
		Log:          slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
		BallastBytes: -1, // it would be made in the background, and is no part of a commit
	})
	if err != nil {
		return nil, err
	}
	topic, err := e.CreateTopic(engine.TopicSpec{Name: topicName, Partitions: int32(c.partitions), Configs: config})
	if err != nil {
		return nil, err
	}
	return &engineTarget{engine: e, partitions: topic.Partitions(), journals: config == nil}, nil
}

func (t *engineTarget) produce(partition int, batch []byte) error {
	return t.partitions[partition].Produce(context.Background(), &engine.AppendRequest{Batches: batch, Acks: engine.AcksAll})
}

func (t *engineTarget) warm() bool { return !t.journals || t.engine.Stats().JournalBytes > 0 }

func (t *engineTarget) close() error { return t.engine.Close() }

// offeredTable compares durable appends with such into the page cache, when both
// are offered half of what the disk can write.
func (b *bench) offeredTable(ctx context.Context) (table, error) {
	c := commitCase{producers: 64, partitions: 4, batchBytes: 64 << 10}
	disk, err := b.diskRate()
	if err != nil {
		return table{}, err
	}
	offered := disk / 2 / float64(c.batchBytes)
	what := "durable beside page cache"
	names := []string{pagesOnly, inEngine}
	run := func(config map[string]string) turn {
		return func(ctx context.Context) (map[string]float64, error) {
			return b.withTarget(c, newEngineTarget, config, func(t commitTarget) (map[string]float64, error) {
				if err := produceUntilWarm(ctx, t, c, b.options.time/10); err != nil {
					return nil, err
				}
				return measured(func() ([]time.Duration, error) {
					return openLoop(ctx, t, c, offered, 2*b.options.time)
				}, c.batchBytes)
			})
		}
	}
	all, err := b.rounds(ctx, what, names, map[string]turn{
		pagesOnly: run(map[string]string{"flush.messages": strconv.Itoa(math.MaxInt32)}),
		inEngine:  run(nil),
	})
	if err != nil {
		return table{}, err
	}
	t := table{
		title: what,
		note: fmt.Sprintf("engine alone, 64 KiB batches to 4 partitions, 16 in flight each, offered at %s batches/s, half of the %s MiB/s that this disk writes; latency from when a batch was due",
			page.Digits(offered), page.Digits(disk/(1<<20))),
		columns: []string{"contestant", "batches/s", "spread", "p50 ms", "p99 ms", "CPU us/batch", "written/produced"},
	}
	for _, name := range names {
		f := all[name]
		t.add(name, number(f["rate"]), spread(f["rate"]), number(f["p50"]), number(f["p99"]), number(f["cpu"]), number(f["written"]))
	}
	t.targets = []target{
		atLeast("batches/s of the page cache", all[inEngine]["rate"].Over(all[pagesOnly]["rate"]).Median(), 0.95),
		atMost("bytes written for each produced", all[inEngine]["written"].Median(), 2),
	}
	return t, nil
}

// openLoop has the producers append at a rate, together, each with one batch in
// flight: a batch that cannot be sent when it is due is late, and counts from then.
func openLoop(ctx context.Context, t commitTarget, c commitCase, rate float64, limit time.Duration) ([]time.Duration, error) {
	begin := time.Now()
	interval := time.Duration(float64(c.producers) / rate * float64(time.Second))
	return eachProducer(c, func(i int, batch []byte) ([]time.Duration, error) {
		var latencies []time.Duration
		due := begin.Add(interval * time.Duration(i) / time.Duration(c.producers))
		for ; due.Sub(begin) < limit && ctx.Err() == nil; due = due.Add(interval) {
			time.Sleep(time.Until(due))
			if err := t.produce(i%c.partitions, batch); err != nil {
				return nil, err
			}
			latencies = append(latencies, time.Since(due))
		}
		return latencies, ctx.Err()
	})
}

// diskRate is how fast the disk takes a new file, written and synced in pieces of
// 1 MiB, in bytes a second.
func (b *bench) diskRate() (float64, error) {
	f, err := os.Create(filepath.Join(b.dir, "disk-rate"))
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	piece := make([]byte, 1<<20)
	total := min(b.options.bytes, 512<<20)
	begin := time.Now()
	for at := int64(0); at < total; at += int64(len(piece)) {
		if _, err := f.WriteAt(piece, at); err != nil {
			return 0, err
		}
	}
	if err := unix.Fdatasync(int(f.Fd())); err != nil {
		return 0, err
	}
	return float64(total) / time.Since(begin).Seconds(), nil
}
