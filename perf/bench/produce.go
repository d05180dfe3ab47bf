package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"time"

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

	// maxProduceBytes fit into one segment, behind the warm-up.
	maxProduceBytes = 1792 << 20

	// turnTime bounds one turn, so that a server that hangs ends the run.
	turnTime = 2 * time.Minute
)

// largeSegments are the topic configs that keep all of a turn in one file.
var largeSegments = wire.Config{Key: "segment.bytes", Value: strconv.Itoa(math.MaxInt32)}

// Contestants of produce and durable.
const (
	bareLoop = "bare"
	rollway  = "rollway"
)

// A producing is a contestant of produce or durable.
type producing struct {
	profile string // name of its profile
	config  func(dir string) serverConfig
	file    func(dir string, partition int) string
	topic   []wire.Config // nil: it has no topics
	kafka   bool          // its producers speak Kafka's protocol
}

// produce measures how batches of 64 KiB are taken into the page cache.
//
// Every turn begins with an empty directory and a server process of its own,
// and ends by throwing both away. The pages that batches are written to are in
// the cache before: see warmed.
func (b *bench) produce(ctx context.Context) ([]table, error) {
	batch, err := load.Batch(batchBytes)
	if err != nil {
		return nil, err
	}
	var tables []table
	for _, connections := range []int{1, 4} {
		t, err := b.produceTable(ctx, load.ProducerOptions{
			Topic: topicName, Partitions: connections, Connections: connections, Window: produceWindow, Batch: batch,
		})
		if err != nil {
			return nil, err
		}
		tables = append(tables, t)
	}
	return tables, nil
}

func (b *bench) produceTable(ctx context.Context, o load.ProducerOptions) (table, error) {
	what := fmt.Sprintf("produce 64 KiB batches, page cache, %s", plural(o.Connections, "connection"))
	names := []string{bareLoop, rollway}
	all, err := b.rounds(ctx, what, names, map[string]turn{
		bareLoop: func(ctx context.Context) (map[string]float64, error) {
			return b.produceTurn(ctx, o, bareProducing("produce-bare", bare.SinkOptions{Partitions: o.Partitions}))
		},
		rollway: func(ctx context.Context) (map[string]float64, error) {
			return b.produceTurn(ctx, o, rollwayProducing("produce-rollway", append(pageCacheMode, largeSegments)))
		},
	})
	if err != nil {
		return table{}, err
	}
	t := table{
		title: what,
		note: fmt.Sprintf("%d batches in flight on each connection, which has a partition and file of its own, acks=all, %s a round",
			produceWindow, bytesText(b.options.bytes)),
		columns: []string{"contestant", "GiB/s", "spread", "server CPU s/GiB", "spread", "CPU x bare"},
	}
	base := all[bareLoop]["cpu"]
	for _, name := range names {
		rate, cpu := all[name]["rate"], all[name]["cpu"]
		t.add(name, number(rate), spread(rate), number(cpu), spread(cpu), number(cpu.Over(base)))
	}
	t.targets = append(t.targets, atMost("server CPU of rollway over bare", all[rollway]["cpu"].Over(base).Median(), 1.30))
	return t, nil
}

// bareProducing is a bare sink with these options, but for the directory.
func bareProducing(profile string, o bare.SinkOptions) producing {
	return producing{
		profile: profile,
		config: func(dir string) serverConfig {
			o.Dir = dir
			return serverConfig{Sink: &o}
		},
		file: bare.SinkFile,
	}
}

// rollwayProducing is rollway with a topic of these configs.
func rollwayProducing(profile string, topic []wire.Config) producing {
	return producing{
		profile: profile,
		config:  func(dir string) serverConfig { return serverConfig{Rollway: &rollwayConfig{Dir: dir}} },
		file:    segmentFile,
		topic:   topic,
	}
}

// produceTurn measures one server process over an empty directory.
func (b *bench) produceTurn(ctx context.Context, o load.ProducerOptions, c producing) (map[string]float64, error) {
	values := map[string]float64{}
	err := b.withProducers(ctx, o, c, func(dir string, server *child.Process, p *load.Producers) error {
		size := o.Batch.Size()
		warmUp := max(int64(o.Connections), min(warmUpBytes, b.options.bytes)/size)
		if _, err := p.Run(load.ProduceRun{Batches: warmUp}); err != nil {
			return err
		}
		var files []string
		for i := range o.Partitions {
			files = append(files, c.file(dir, i))
		}
		pages, err := warm(files, b.options.bytes+int64(o.Connections)*size)
		if err != nil {
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
		return errors.Join(err, pages.check())
	})
	return values, err
}

// withProducers calls f with a new server over an empty directory and producers
// that are connected to it, and ends all three.
func (b *bench) withProducers(ctx context.Context, o load.ProducerOptions, c producing,
	f func(dir string, server *child.Process, p *load.Producers) error) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, turnTime, fmt.Errorf("turn was not over within %v", turnTime))
	defer cancel()
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = errors.Join(context.Cause(ctx), err) // connections that are closed say nothing
		}
	}()
	dir, err := b.newDir()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	server, err := b.start(ctx, c.profile, c.config(dir))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	if c.topic != nil {
		create := wire.CreateTopic{Topic: o.Topic, Partitions: int32(o.Partitions), Configs: c.topic}
		if err := b.target(server).CreateTopic(ctx, create); err != nil {
			return err
		}
	}
	target := b.target(server)
	if c.kafka {
		if target, err = b.kafkaTarget(server); err != nil {
			return err
		}
	}
	producers, err := load.NewProducers(ctx, target, o)
	if err != nil {
		return err
	}
	defer producers.Close()
	if _, err := b.ask(server, producers); err != nil {
		return err
	}
	return f(dir, server, producers)
}
