package kafka

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/node"
)

// Producers and consumers of another implementation, with idempotence and fetch
// sessions, lose and repeat nothing, however small the answers are.
func TestFranzGo(t *testing.T) {
	f := openFrontend(t, node.Options{})
	for i := range 3 {
		if _, err := f.engine.CreateTopic(engine.TopicSpec{Name: fmt.Sprint("t", i), Partitions: 8}); err != nil {
			t.Fatal(err)
		}
	}
	s := serveThere(t, f)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	const producers, each = 4, 5000
	var wg sync.WaitGroup
	var inSessions atomic.Bool
	for p := range producers {
		wg.Go(func() {
			c, err := kgo.NewClient(kgo.SeedBrokers(s.Addr().String()), kgo.ProducerLinger(time.Millisecond))
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			for i := range each {
				c.Produce(ctx, &kgo.Record{Topic: fmt.Sprint("t", i%3), Key: fmt.Append(nil, i), Value: fmt.Appendf(nil, "%d-%d", p, i)}, func(_ *kgo.Record, err error) {
					if err != nil {
						t.Error(err)
					}
				})
			}
			if err := c.Flush(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	for range 3 {
		wg.Go(func() {
			c, err := kgo.NewClient(kgo.SeedBrokers(s.Addr().String()), kgo.ConsumeTopics("t0", "t1", "t2"), kgo.FetchMinBytes(1), kgo.FetchMaxPartitionBytes(20_000), kgo.FetchMaxBytes(60_000))
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			seen := map[string]bool{}
			for len(seen) < producers*each && ctx.Err() == nil {
				fs := c.PollFetches(ctx)
				f.fetchSessions.mu.Lock()
				if len(f.fetchSessions.byID) > 0 {
					inSessions.Store(true)
				}
				f.fetchSessions.mu.Unlock()
				fs.EachError(func(topic string, p int32, err error) { t.Error(topic, p, err) })
				fs.EachRecord(func(r *kgo.Record) {
					if seen[string(r.Value)] {
						t.Errorf("%s twice", r.Value)
					}
					seen[string(r.Value)] = true
				})
			}
			if len(seen) != producers*each {
				t.Errorf("%d records, want %d", len(seen), producers*each)
			}
		})
	}
	wg.Wait()
	if !inSessions.Load() {
		t.Error("no consumer has used a fetch session")
	}
}
