package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/rollway/rollway/perf/load"
	"github.com/rollway/rollway/zerocopy"
)

// Contestants of kafka.
const (
	overNative = "native"
	overKafka  = "kafka"
)

// kafka measures what Kafka's protocol costs over rollway's own: the same batches
// fetched from one server process over both, and produced.
func (b *bench) kafka(ctx context.Context) ([]table, error) {
	tables, err := b.kafkaFetch(ctx)
	if err != nil {
		return nil, err
	}
	batch, err := load.Batch(batchBytes)
	if err != nil {
		return nil, err
	}
	for _, connections := range []int{1, 4} {
		t, err := b.kafkaProduceTable(ctx, load.ProducerOptions{
			Topic: topicName, Partitions: connections, Connections: connections, Window: produceWindow, Batch: batch,
		})
		if err != nil {
			return nil, err
		}
		tables = append(tables, t)
	}
	return tables, nil
}

// kafkaFetch measures fetches from one server, by a connection for each protocol.
func (b *bench) kafkaFetch(ctx context.Context) (tables []table, err error) {
	dir, err := b.newDir()
	if err != nil {
		return nil, err
	}
	native, err := b.startFilled(ctx, rollwayAuto, dir, zerocopy.Auto)
	if native != nil {
		defer func() { err = errors.Join(err, native.stop()) }()
	}
	if err != nil {
		return nil, wrap("kafka", overNative, err)
	}
	to, err := b.kafkaTarget(native.process)
	if err != nil {
		return nil, wrap("kafka", overKafka, err)
	}
	batch, err := load.Batch(batchBytes)
	if err != nil {
		return nil, err
	}
	kafka := &fetchServer{name: rollwayAuto, process: native.process}
	if err := b.connect(ctx, kafka, to, int64(batch.Count())); err != nil {
		return nil, wrap("kafka", overKafka, err)
	}
	defer kafka.consumer.Close()
	for _, size := range []int{1 << 20, 64 << 10} {
		for _, depth := range []int{1, 8} {
			run := load.FetchRun{Bytes: b.options.bytes, MaxBytes: size, Depth: depth}
			what := fmt.Sprintf("kafka fetch %s, %s in flight", bytesText(int64(size)), plural(depth, "request"))
			t, err := b.kafkaTable(ctx, what, size == 1<<20, map[string]turn{
				overNative: func(context.Context) (map[string]float64, error) { return native.measure(run) },
				overKafka:  func(context.Context) (map[string]float64, error) { return kafka.measure(run) },
			})
			if err != nil {
				return nil, err
			}
			t.note = fmt.Sprintf("one connection for each protocol to one server, log of %s, %s a round, cached", bytesText(b.logBytes()), bytesText(run.Bytes))
			tables = append(tables, t)
		}
	}
	return tables, b.checkPaths([]*fetchServer{native})
}

func (b *bench) kafkaProduceTable(ctx context.Context, o load.ProducerOptions) (table, error) {
	what := fmt.Sprintf("kafka produce 64 KiB batches, page cache, %s", plural(o.Connections, "connection"))
	native := rollwayProducing("produce-native", append(pageCacheMode, largeSegments))
	kafka := native
	kafka.profile, kafka.kafka = "produce-kafka", true
	t, err := b.kafkaTable(ctx, what, true, map[string]turn{
		overNative: func(ctx context.Context) (map[string]float64, error) { return b.produceTurn(ctx, o, native) },
		overKafka:  func(ctx context.Context) (map[string]float64, error) { return b.produceTurn(ctx, o, kafka) },
	})
	t.note = fmt.Sprintf("%d batches in flight on each connection, which has a partition of its own, acks=all, %s a round",
		produceWindow, bytesText(b.options.bytes))
	return t, err
}

// kafkaTable measures both protocols; aims tells whether there is a target.
func (b *bench) kafkaTable(ctx context.Context, what string, aims bool, turns map[string]turn) (table, error) {
	names := []string{overNative, overKafka}
	all, err := b.rounds(ctx, what, names, turns)
	if err != nil {
		return table{}, err
	}
	t := table{title: what, columns: []string{"protocol", "GiB/s", "spread", "server CPU s/GiB", "spread", "CPU x native"}}
	base := all[overNative]["cpu"]
	for _, name := range names {
		rate, cpu := all[name]["rate"], all[name]["cpu"]
		t.add(name, number(rate), spread(rate), number(cpu), spread(cpu), number(cpu.Over(base)))
	}
	if aims {
		t.targets = append(t.targets, atMost("server CPU over Kafka's protocol over native", all[overKafka]["cpu"].Over(base).Median(), 1.30))
	}
	return t, nil
}
