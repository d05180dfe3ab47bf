package node

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/brokerconfig"
	"github.com/rollway/rollway/internal/coord"
)

// groups runs the coordinator of a node: what it writes goes to the topic of
// offsets, what is there is loaded into it at a start, and its clock ticks. It
// has two goroutines, and one more while it loads.
type groups struct {
	coordinator *coord.Coordinator
	log         *offsetsLog
	rouse       chan struct{} // holds one: Tick is to be called
	stop        context.CancelFunc
	wg          sync.WaitGroup
}

// openGroups starts the coordinator. Its groups are loaded in the background.
func openGroups(e *engine.Engine, layers brokerconfig.Layers, log *slog.Logger) (*groups, error) {
	settings := groupSettings(layers)
	if t, err := e.Topic(OffsetsTopic); err == nil {
		// Which partition a group is in must not change.
		settings.Partitions = int32(len(t.Partitions()))
	}
	g := &groups{rouse: make(chan struct{}, 1)}
	g.log = newOffsetsLog(e, log, settings.Partitions, layers)
	var err error
	g.coordinator, err = coord.New(coord.Options{Settings: settings, Log: g.log, TopicGone: topicGone(e), Wake: g.wake}, time.Now())
	if err != nil {
		return nil, fmt.Errorf("groups: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	g.stop = stop
	g.wg.Go(func() { g.tick(ctx) })
	g.wg.Go(func() { g.log.run(ctx, g.coordinator) })
	g.wg.Go(func() { loadOffsets(ctx, e, g.coordinator, settings.Partitions, log) })
	return g, nil
}

// topicGone is coord.Options.TopicGone. The topics of an engine are an immutable
// map, so it waits for nothing.
func topicGone(e *engine.Engine) func(name string, id [16]byte) bool {
	return func(name string, id [16]byte) bool {
		t := e.Topics()[name]
		return t == nil || id != engine.TopicID{} && id != t.ID()
	}
}

// groupSettings are the coordinator's, of the broker's.
func groupSettings(layers brokerconfig.Layers) coord.Settings {
	ms := func(name string) time.Duration { return time.Duration(layers.Int(name)) * time.Millisecond }
	s := coord.Settings{
		Partitions:            int32(layers.Int("offsets.topic.num.partitions")),
		MinSessionTimeout:     ms("group.min.session.timeout.ms"),
		MaxSessionTimeout:     ms("group.max.session.timeout.ms"),
		InitialRebalanceDelay: ms("group.initial.rebalance.delay.ms"),
		MaxGroupSize:          int(layers.Int("group.max.size")),
		MaxMetadata:           int(layers.Int("offset.metadata.max.bytes")),
		OffsetRetention:       time.Duration(layers.Int("offsets.retention.minutes")) * time.Minute,
		RetentionCheck:        ms("offsets.retention.check.interval.ms"),
		MaxRecordBytes:        offsetsMessageBytes - 4<<10, // of which a batch needs a little
	}
	// What is 0 there means none, and the default here.
	if s.InitialRebalanceDelay == 0 {
		s.InitialRebalanceDelay = -1
	}
	if s.MaxMetadata == 0 {
		s.MaxMetadata = -1
	}
	return s
}

// wake has Tick called. It is called with the coordinator's lock held.
func (g *groups) wake() {
	select {
	case g.rouse <- struct{}{}:
	default:
	}
}

// tick is the clock of the coordinator: one timer for all groups.
func (g *groups) tick(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		next := g.coordinator.Tick(time.Now())
		if next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(next))
		}
		select {
		case <-timer.C:
		case <-g.rouse:
		case <-ctx.Done():
			return
		}
	}
}

// close answers whoever waits, writes what was appended and ends the goroutines.
func (g *groups) close() {
	g.coordinator.Close()
	g.stop()
	g.wg.Wait()
}
