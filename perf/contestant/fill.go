package contestant

import (
	"context"
	"fmt"

	"github.com/rollway/rollway/perf/load"
)

// fillWindow is how many batches are in flight while a log is filled.
const fillWindow = 16

// fill produces to partition 0 what is missing there of f, which end tells, and
// returns the log.
func fill(ctx context.Context, to load.Target, topic string, f Filling, end func() (int64, error)) (load.Log, error) {
	size, count := f.Batch.Size(), int64(f.Batch.Count())
	log := load.Log{Topic: topic, Bytes: f.Bytes - f.Bytes%size, BatchBytes: size, Step: count}
	have, err := end()
	if err != nil {
		return log, err
	}
	if have%count != 0 {
		return log, fmt.Errorf("fill %s: %d records there, want whole batches of %d", topic, have, count)
	}
	missing := log.Bytes/size - have/count
	if missing <= 0 {
		return log, nil
	}
	p, err := load.NewProducers(ctx, to, load.ProducerOptions{Topic: topic, Partitions: 1, Connections: 1, Window: fillWindow, Batch: f.Batch})
	if err == nil {
		defer p.Close()
		_, err = p.Run(load.ProduceRun{Batches: missing})
	}
	if err != nil {
		return log, fmt.Errorf("fill %s: %w", topic, err)
	}
	return log, nil
}
