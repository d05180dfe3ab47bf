package main

import (
	"context"
	"fmt"

	"github.com/rollway/rollway/perf/bare"
	"github.com/rollway/rollway/perf/child"
	"github.com/rollway/rollway/perf/load"
	"github.com/rollway/rollway/perf/sample"
	"github.com/rollway/rollway/wire"
)

// durableBatchBytes is the size of a durable batch, a few log lines.
const durableBatchBytes = 1 << 10

// durable measures small batches that are synced before they are answered: many
// producers with one batch in flight each, all to one partition. The bare loop
// syncs after each batch; rollway commits what has come together.
func (b *bench) durable(ctx context.Context) ([]table, error) {
	batch, err := load.Batch(durableBatchBytes)
	if err != nil {
		return nil, err
	}
	var tables []table
	for _, c := range []struct {
		producers, partitions int
		least                 float64 // times the batches/s of the bare loop; 0: no target
	}{{1, 1, 0}, {8, 1, 0}, {64, 1, 0}, {64, 64, 3}} {
		t, err := b.durableTable(ctx, load.ProducerOptions{
			Topic: topicName, Partitions: c.partitions, Connections: c.producers, Window: 1, Batch: batch,
		}, c.least)
		if err != nil {
			return nil, err
		}
		tables = append(tables, t)
	}
	return tables, nil
}

func (b *bench) durableTable(ctx context.Context, o load.ProducerOptions, least float64) (table, error) {
	what := fmt.Sprintf("durable produce, %s, %s", plural(o.Connections, "producer"), plural(o.Partitions, "partition"))
	names := []string{bareLoop, rollway}
	all, err := b.rounds(ctx, what, names, map[string]turn{
		bareLoop: func(ctx context.Context) (map[string]float64, error) {
			return b.durableTurn(ctx, o, bareProducing("durable-bare", bare.SinkOptions{Partitions: o.Partitions, Sync: true}))
		},
		rollway: func(ctx context.Context) (map[string]float64, error) {
			return b.durableTurn(ctx, o, rollwayProducing("durable-rollway", []wire.Config{}))
		},
	})
	if err != nil {
		return table{}, err
	}
	t := table{
		title: what,
		note: fmt.Sprintf("1 KiB batches, one in flight for each producer, durable before each answer, %v a round",
			b.options.time),
		columns: []string{"contestant", "batches/s", "spread", "p50 ms", "p99 ms", "server CPU us/batch", "fdatasyncs/batch", "batches/s x bare"},
	}
	base := all[bareLoop]["rate"]
	for _, name := range names {
		f := all[name]
		t.add(name, number(f["rate"]), spread(f["rate"]), number(f["p50"]), number(f["p99"]), number(f["cpu"]), number(f["syncs"]), number(f["rate"].Over(base)))
	}
	if least > 0 {
		t.targets = []target{atLeast("batches/s of the bare loop", all[rollway]["rate"].Over(base).Median(), least)}
	}
	return t, nil
}

// durableTurn measures one server process over an empty directory, after a
// warm-up of a tenth of the time.
func (b *bench) durableTurn(ctx context.Context, o load.ProducerOptions, c producing) (map[string]float64, error) {
	values := map[string]float64{}
	err := b.withProducers(ctx, o, c, func(_ string, server *child.Process, p *load.Producers) error {
		if _, err := p.Run(load.ProduceRun{Time: b.options.time / 10}); err != nil {
			return err
		}
		before, err := b.ask(server, p)
		if err != nil {
			return err
		}
		var done load.Produced
		cpu, err := cpuOf(server, func() (err error) {
			done, err = p.Run(load.ProduceRun{Time: b.options.time})
			return err
		})
		if err != nil {
			return err
		}
		after, err := b.ask(server, p)
		batches := float64(done.Batches)
		values["rate"] = batches / done.Elapsed.Seconds()
		values["p50"] = sample.Percentile(done.Latencies, 0.50).Seconds() * 1e3
		values["p99"] = sample.Percentile(done.Latencies, 0.99).Seconds() * 1e3
		values["cpu"] = cpu.Seconds() * 1e6 / batches
		values["syncs"] = float64(after.Syncs-before.Syncs) / batches
		return err
	})
	return values, err
}
