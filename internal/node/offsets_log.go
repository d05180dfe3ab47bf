package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/internal/brokerconfig"
	"github.com/rollway/rollway/internal/coord"
)

// OffsetsTopic is the topic that groups and their offsets are kept in, with
// Kafka's name, partitions and schemas.
const OffsetsTopic = "__consumer_offsets"

const (
	// offsetsBatchBytes is where a batch of records is cut: below
	// max.message.bytes, so that only a record that is larger itself is not.
	offsetsBatchBytes = 256 << 10
	// offsetsMessageBytes is max.message.bytes of the topic: a group is one
	// record, with what each of its members says of itself.
	offsetsMessageBytes = 16 << 20
)

// offsetsLog writes what a coordinator appends: whatever has come since the last
// time, to all partitions, then waits for it to be durable, which is one group
// commit. It makes the topic when there is something to write.
type offsetsLog struct {
	engine     *engine.Engine
	log        *slog.Logger
	partitions int32
	configs    map[string]string // of the topic

	mu     sync.Mutex
	queued []offsetsAppend // +checklocks:mu — in the order of the calls

	more    chan struct{} // holds one: something is queued
	failing bool          // the last write failed, and that was logged; of run
}

// offsetsAppend is one Append.
type offsetsAppend struct {
	partition int32
	records   []coord.Record
}

func newOffsetsLog(e *engine.Engine, log *slog.Logger, partitions int32, layers brokerconfig.Layers) *offsetsLog {
	return &offsetsLog{
		engine:     e,
		log:        log,
		partitions: partitions,
		configs: map[string]string{
			"cleanup.policy":    "compact",
			"compression.type":  "producer",
			"segment.bytes":     strconv.FormatInt(layers.Int("offsets.topic.segment.bytes"), 10),
			"max.message.bytes": strconv.Itoa(offsetsMessageBytes),
		},
		more: make(chan struct{}, 1),
	}
}

// Append implements coord.Log.
func (l *offsetsLog) Append(partition int32, records []coord.Record) {
	l.mu.Lock()
	l.queued = append(l.queued, offsetsAppend{partition, records})
	l.mu.Unlock()
	select {
	case l.more <- struct{}{}:
	default:
	}
}

// run writes until ctx ends, and then what is left.
func (l *offsetsLog) run(ctx context.Context, c *coord.Coordinator) {
	for stopped := false; !stopped; {
		select {
		case <-l.more:
		case <-ctx.Done():
			stopped = true
		}
		l.mu.Lock()
		appends := l.queued
		l.queued = nil
		l.mu.Unlock()
		l.write(appends, c)
	}
}

// write writes appends, in order, and settles each.
func (l *offsetsLog) write(appends []offsetsAppend, c *coord.Coordinator) {
	if len(appends) == 0 {
		return
	}
	written := map[int32]*offsetsWrite{}
	for i := range appends {
		a := &appends[i]
		if written[a.partition] == nil {
			written[a.partition] = new(offsetsWrite)
		}
		written[a.partition].records = append(written[a.partition].records, a.records...)
	}
	topic, err := l.topic()
	for index, w := range written {
		if w.err = err; err == nil {
			w.append(topic, index)
		}
	}
	for _, w := range written {
		if w.await(); err == nil {
			err = w.err
		}
	}
	l.report(err)
	for i := range appends {
		c.Settle(appends[i].partition, written[appends[i].partition].err, time.Now())
	}
}

// topic returns the topic, made if there is none.
func (l *offsetsLog) topic() (*engine.Topic, error) {
	t, err := l.engine.Topic(OffsetsTopic)
	if !errors.Is(err, engine.ErrUnknownTopic) {
		return t, err
	}
	return l.engine.CreateTopic(engine.TopicSpec{Name: OffsetsTopic, Partitions: l.partitions, Configs: l.configs, Internal: true})
}

// report logs the first of several failed writes, and that they are over. err is
// that of one partition at least.
func (l *offsetsLog) report(err error) {
	switch {
	case err != nil && !l.failing:
		l.log.Error("offsets of groups are not written", "topic", OffsetsTopic, "error", err)
	case err == nil && l.failing:
		l.log.Info("offsets of groups are written again", "topic", OffsetsTopic)
	}
	l.failing = err != nil
}

// offsetsWrite is what is written to one partition at a time.
type offsetsWrite struct {
	records   []coord.Record
	partition *engine.Partition
	next      engine.Offset // when the high watermark reaches it all is durable
	err       error
}

// append appends the records as batches.
func (w *offsetsWrite) append(t *engine.Topic, index int32) {
	if w.partition, w.err = t.Partition(index); w.err != nil {
		return
	}
	var b record.Builder
	now := time.Now().UnixMilli()
	for rest := w.records; len(rest) > 0 && w.err == nil; {
		b.Reset(record.BuilderOptions{})
		for len(rest) > 0 && (b.Count() == 0 || b.Size() < offsetsBatchBytes) {
			if w.err = b.Append(now, rest[0].Key, rest[0].Value); w.err != nil {
				return
			}
			rest = rest[1:]
		}
		var batch []byte
		if batch, w.err = b.Build(nil); w.err != nil {
			return
		}
		r := engine.AppendRequest{Batches: batch, Acks: engine.AcksAll}
		w.partition.Append(&r)
		w.next, w.err = r.NextOffset, r.Err
	}
}

// await waits until what was appended is durable.
func (w *offsetsWrite) await() {
	if w.err == nil {
		w.err = w.partition.AwaitHighWatermark(context.Background(), w.next)
	}
	if w.err != nil && w.partition != nil {
		w.err = fmt.Errorf("%s: %w", w.partition, w.err)
	}
}
