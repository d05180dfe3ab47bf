package contestant

import (
	"context"
	"fmt"

	"github.com/rollway/rollway/perf/load"
)

// firstTopic is where the first batch after a start goes. It is small.
const firstTopic = "lab-first"

// firstProduce has the server acknowledge one batch.
func firstProduce(ctx context.Context, t load.Target) error {
	batch, err := load.Batch(1 << 10)
	if err != nil {
		return err
	}
	p, err := load.NewProducers(ctx, t, load.ProducerOptions{Topic: firstTopic, Partitions: 1, Connections: 1, Window: 1, Batch: batch})
	if err == nil {
		defer p.Close()
		_, err = p.Run(load.ProduceRun{Batches: 1})
	}
	if err != nil {
		return fmt.Errorf("first produce: %w", err)
	}
	return nil
}
