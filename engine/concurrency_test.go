package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/engine/topicconfig"
)

// Producers, readers of each kind, checkpoints, config changes and topics that
// come and go do not disturb one another: every reader gets every record of the
// topic that stays, in order, once.
func TestConcurrency(t *testing.T) {
	const producers, readers, each = 8, 9, 60
	e := openEngine(t, t.TempDir())
	p := createTopic(t, e, "t", "index.interval.bytes", "500")
	tune(p, segmentBytes(4000))
	var producing, reading, disturbing sync.WaitGroup
	for n := range producers {
		producing.Go(func() {
			for i := range each {
				r := &AppendRequest{Batches: batchOf(t, int64(i), fmt.Sprintf("%d %d", n, i)), Acks: AcksAll}
				if err := p.Produce(context.Background(), r); err != nil {
					t.Error(err)
					return
				}
				if hw := p.Offsets().HighWatermark; hw < r.NextOffset {
					t.Errorf("answered at high watermark %d, want %d", hw, r.NextOffset)
				}
			}
		})
	}
	var streams [readers][]byte
	const total = producers * each
	for n := range readers {
		reading.Go(func() {
			streams[n] = readUpTo(t, p, total, n%3)
		})
	}
	var done atomic.Bool
	disturb := func(f func(i int) error) {
		disturbing.Go(func() {
			for i := 0; !done.Load(); i++ {
				if err := f(i); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	disturb(func(int) error {
		_, err := e.checkpoint(false)
		return err
	})
	disturb(func(i int) error {
		_, err := e.AlterTopic("t", TopicChange{Set: map[string]string{"flush.messages": fmt.Sprint(1 + i%3*10)}})
		tune(p, segmentBytes(4000))
		return err
	})
	disturb(func(int) error {
		if _, err := p.OffsetByTime(30); err != nil {
			return err
		}
		_, err := p.OffsetOfMaxTimestamp()
		return err
	})
	disturb(func(int) error { return comeAndGo(t, e) })
	within(t, "producing", producing.Wait)
	within(t, "reading", reading.Wait)
	done.Store(true)
	within(t, "disturbing", disturbing.Wait)
	log := logBytes(t, p)
	for n, got := range streams {
		if !bytes.Equal(got, log) {
			t.Errorf("reader %d got %d bytes that differ from the %d of the log", n, len(got), len(log))
		}
	}
	seen := map[string]bool{}
	for _, v := range values(t, p, 0, 1<<20) {
		seen[v] = true
	}
	if len(seen) != total {
		t.Errorf("%d different records, want %d", len(seen), total)
	}
}

// readUpTo reads from 0 until it has seen so many records, by Fetch with a
// cursor (0), FetchNext (1) or FetchWait (2), and returns the bytes.
func readUpTo(t *testing.T, p *Partition, records Offset, how int) (all []byte) {
	var cursor Cursor
	for off := Offset(0); ; {
		var s Slice
		var err error
		request := FetchRequest{Offset: off, MaxBytes: 700, Cursor: &cursor}
		switch how {
		case 0:
			s, err = p.Fetch(request)
		case 1:
			s, err = p.FetchNext(&cursor, 700)
		case 2:
			s, err = p.FetchWait(context.Background(), request, 100, time.Second)
		}
		if err != nil {
			t.Error(err)
			return nil
		}
		hw, atEnd, length := s.Offsets.HighWatermark, s.AtEnd, s.Len
		if how == 1 {
			all = append(all, sliceBytes(t, &s)...)
		} else {
			batches, err := s.ReadAll(nil)
			if s.Close(); err != nil {
				t.Error(err)
				return nil
			}
			all = append(all, batches...)
			for len(batches) > 0 {
				var b record.Batch
				b, batches, _ = record.Next(batches)
				off = b.NextOffset()
			}
		}
		if off == records || how == 1 && hw == records && atEnd {
			return all
		}
		if length == 0 && how < 2 {
			if err := p.AwaitHighWatermark(context.Background(), hw+1); err != nil {
				t.Error(err)
				return nil
			}
		}
	}
}

// comeAndGo makes a topic, appends to it and reads it while it is deleted.
func comeAndGo(t *testing.T, e *Engine) error {
	topic, err := e.CreateTopic(TopicSpec{Name: "passing", Partitions: 2, Configs: map[string]string{"index.interval.bytes": "10"}})
	if err != nil {
		return err
	}
	var using sync.WaitGroup
	begun := make(chan struct{}, 4)
	for _, p := range topic.Partitions() {
		tune(p, func(c *topicconfig.Config) { c.SegmentBytes = 300 })
		using.Go(func() {
			for i := 0; ; i++ {
				err := p.Produce(context.Background(), &AppendRequest{Batches: batchOf(t, 1, fmt.Sprint(i)), Acks: AcksAll})
				if i == 3 || err != nil {
					begun <- struct{}{}
				}
				if err != nil {
					expectGone(t, err)
					return
				}
			}
		})
		using.Go(func() {
			var cursor Cursor
			for i := 0; ; i++ {
				if i == 3 {
					begun <- struct{}{}
				}
				s, err := p.FetchNext(&cursor, 1000)
				if err == nil {
					s.Close()
					err = p.AwaitHighWatermark(context.Background(), s.Offsets.HighWatermark+1)
				}
				if err != nil {
					if i < 3 {
						begun <- struct{}{}
					}
					expectGone(t, err)
					return
				}
			}
		})
	}
	for range 4 {
		<-begun
	}
	err = e.DeleteTopic("passing")
	using.Wait()
	return err
}

func expectGone(t *testing.T, err error) {
	if !errors.Is(err, ErrUnknownTopic) {
		t.Errorf("using a topic that is deleted: %v", err)
	}
}
