package kafka

import (
	"bytes"
	"context"
	"testing"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/record"
)

// batchOf returns a batch of these values, whose timestamps are 1,000 ms and
// those that follow.
func batchOf(t testing.TB, values ...string) record.Batch {
	t.Helper()
	return buildBatch(t, record.BuilderOptions{}, values...)
}

// buildBatch is batchOf with other options.
func buildBatch(t testing.TB, o record.BuilderOptions, values ...string) record.Batch {
	t.Helper()
	var b record.Builder
	b.Reset(o)
	for i, v := range values {
		if err := b.Append(int64(1000+i), nil, []byte(v)); err != nil {
			t.Fatal(err)
		}
	}
	batch, err := b.Build(nil)
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

// appendAll appends batches to p, waits until they are visible and returns all of its
// log.
func appendAll(t testing.TB, p *engine.Partition, batches ...record.Batch) []byte {
	t.Helper()
	for _, b := range batches {
		r := &engine.AppendRequest{Batches: bytes.Clone(b), Acks: engine.AcksAll}
		if err := p.Produce(context.Background(), r); err != nil {
			t.Fatal(err)
		}
	}
	return logOf(t, p)
}

// logOf returns what is visible of p.
func logOf(t testing.TB, p *engine.Partition) (log []byte) {
	t.Helper()
	for next := p.Offsets().LogStart; next < p.Offsets().HighWatermark; {
		s, err := p.Fetch(engine.FetchRequest{Offset: next, MaxBytes: 1})
		if err != nil {
			t.Fatal(err)
		}
		at := len(log)
		log, err = s.ReadAll(log)
		s.Close()
		if err != nil {
			t.Fatal(err)
		}
		next = record.Batch(log[at:]).NextOffset()
	}
	return log
}
