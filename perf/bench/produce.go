package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/perf/bare"
	"github.com/rollway/rollway/perf/child"
	"github.com/rollway/rollway/perf/load"
	"github.com/rollway/rollway/wire"
)

const (
	// produceWindow batches of 64 KiB are in flight on a connection: 2 MiB,
	// so that the server never waits for the client.
	produceWindow = 32

	// warmUpBytes are produced uncounted by each server process, until its
	// heap and the connections' windows have their sizes.
	warmUpBytes = 64 << 20

	// overwrittenBytes is the length of the files, together, that a warm sink
	// overwrites.
	overwrittenBytes = 256 << 20

	// turnTime bounds one turn, so that a server that hangs ends the run.
	turnTime = 2 * time.Minute
)

// Contestants of produce and durable.
const (
	bareAppend = "bare"
	bareWarm   = "bare, overwriting"
	rollway    = "rollway"
)

// produce measures how batches of 64 KiB are taken into the page cache.
//
// Every turn begins with an empty directory and a server process of its own,
// and ends by throwing both away; so all contestants append to new files. Their
// pages are warm for all: see ballast. The sink that overwrites shows what
// appending to new pages costs by itself.
func (b *bench) produce(ctx context.Context) ([]table, error) {
	batch, err := load.Batch(batchBytes)
	if err != nil {
		return nil, err
	}
	var tables []table
	for _, connections := range []int{1, 4} {
		t, err := b.produceTable(ctx, batch, connections)
		if err != nil {
			return nil, err
		}
		tables = append(tables, t)
	}
	return tables, nil
}

func (b *bench) produceTable(ctx context.Context, batch record.Batch, connections int) (table, error) {
	what := fmt.Sprintf("produce 64 KiB batches, page cache, %s", connectionsText(connections))
	names := []string{bareAppend, rollway, bareWarm}
	o := load.ProducerOptions{
		Topic: topicName, Partitions: connections, Connections: connections, Window: produceWindow, Batch: batch,
	}
	all, err := b.rounds(ctx, what, names, map[string]turn{
		bareAppend: func(ctx context.Context) (map[string]float64, error) {
			return b.produceTurn(ctx, o, "produce-bare", func(dir string) serverConfig {
				return serverConfig{Sink: &bare.SinkOptions{Dir: dir, Partitions: connections}}
			})
		},
		bareWarm: func(ctx context.Context) (map[string]float64, error) {
			return b.produceTurn(ctx, o, "produce-warm", func(dir string) serverConfig {
				return serverConfig{Sink: &bare.SinkOptions{Dir: dir, Partitions: connections, WarmBytes: overwrittenBytes / int64(connections)}}
			})
		},
		rollway: func(ctx context.Context) (map[string]float64, error) {
			return b.produceTurn(ctx, o, "produce-rollway", func(dir string) serverConfig {
				return serverConfig{Rollway: &rollwayConfig{Dir: dir}}
			})
		},
	})
	if err != nil {
		return table{}, err
	}
	t := table{
		title: what,
		note: fmt.Sprintf("%d batches in flight on each connection, a partition and file each, acks=all, flush.messages=max, %s a round",
			produceWindow, bytesText(b.options.bytes)),
		columns: []string{"contestant", "GiB/s", "spread", "server CPU s/GiB", "spread", "CPU x bare"},
	}
	base := all[bareAppend]["cpu"]
	for _, name := range names {
		rate, cpu := all[name]["rate"], all[name]["cpu"]
		t.add(name, number(rate), spread(rate), number(cpu), spread(cpu), number(cpu.Over(base)))
	}
	cpu := all[rollway]["cpu"]
	t.targets = append(t.targets, atMost("server CPU of rollway over bare", cpu.Over(base).Median(), 1.30))
	pages := base.Minus(all[bareWarm]["cpu"])
	t.remarks = append(t.remarks, fmt.Sprintf("without what new pages cost the bare sink, %.3f s/GiB: %.2fx",
		pages.Median(), cpu.Minus(pages).Over(all[bareWarm]["cpu"]).Median()))
	return t, nil
}

// produceTurn measures one server process over an empty directory.
func (b *bench) produceTurn(ctx context.Context, o load.ProducerOptions, profile string, config func(dir string) serverConfig) (map[string]float64, error) {
	values := map[string]float64{}
	pages, err := hold(b.dir, b.options.bytes*5/4)
	if err != nil {
		return nil, err
	}
	err = b.withProducers(ctx, o, profile, config, pageCacheMode, func(server *child.Process, p *load.Producers) error {
		size := o.Batch.Size()
		if _, err := p.Run(load.ProduceRun{Batches: min(warmUpBytes, b.options.bytes) / size}); err != nil {
			return err
		}
		if err := pages.release(); err != nil {
			return err
		}
		var done load.Produced
		cpu, err := cpuOf(server, func() (err error) {
			done, err = p.Run(load.ProduceRun{Batches: b.options.bytes / size})
			return err
		})
		gib := float64(done.Batches*size) / (1 << 30)
		values["rate"] = gib / done.Elapsed.Seconds()
		values["cpu"] = cpu.Seconds() / gib
		return err
	})
	return values, errors.Join(err, pages.release())
}

// withProducers calls f with a new server over an empty directory and producers
// that are connected to it, and ends all three.
func (b *bench) withProducers(ctx context.Context, o load.ProducerOptions, profile string, config func(dir string) serverConfig,
	topic []wire.Config, f func(*child.Process, *load.Producers) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, turnTime)
	defer cancel()
	dir, err := b.newDir()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	c := config(dir)
	server, err := b.start(ctx, profile, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	if c.Rollway != nil {
		create := wire.CreateTopic{Topic: o.Topic, Partitions: int32(o.Partitions), Configs: topic}
		if err := b.target(server).CreateTopic(ctx, create); err != nil {
			return err
		}
	}
	producers, err := load.NewProducers(ctx, b.target(server), o)
	if err != nil {
		return err
	}
	defer producers.Close()
	if _, err := b.ask(server, producers); err != nil {
		return err
	}
	return f(server, producers)
}
