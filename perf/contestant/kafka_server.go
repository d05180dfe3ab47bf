package contestant

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/perf/load"
	"github.com/rollway/rollway/perf/result"
)

// kafkaServer is a process that takes admin's questions: rollway and Kafka.
type kafkaServer struct {
	process      *process // nil if it was there before
	processID    int
	dir          string
	target       load.Target
	admin        admin
	topicConfigs map[string]string // of topics that do not set them
	ready, first time.Duration
	conditions   []result.Condition
}

// start waits until the server is ready, and has it acknowledge a batch.
func (s *kafkaServer) start(ctx context.Context, expect []Topic) error {
	if err := s.admin.answers(ctx); err != nil {
		return err
	}
	if err := s.admin.served(ctx, expect); err != nil {
		return err
	}
	if err := s.admin.createTopic(ctx, Topic{firstTopic, 1}, s.topicConfigs, true); err != nil {
		return err
	}
	ready := time.Now()
	if err := firstProduce(ctx, s.target); err != nil {
		return err
	}
	if s.process != nil {
		s.processID = s.process.pid()
		s.ready, s.first = ready.Sub(s.process.began), time.Since(s.process.began)
	}
	return nil
}

func (s *kafkaServer) Target() load.Target            { return s.target }
func (s *kafkaServer) PID() int                       { return s.processID }
func (s *kafkaServer) DataDir() string                { return s.dir }
func (s *kafkaServer) Ready() time.Duration           { return s.ready }
func (s *kafkaServer) First() time.Duration           { return s.first }
func (s *kafkaServer) Conditions() []result.Condition { return s.conditions }

func (s *kafkaServer) TopicConfigs() map[string]string {
	all := map[string]string{}
	maps.Copy(all, s.topicConfigs)
	return all
}

func (s *kafkaServer) CreateTopic(ctx context.Context, name string, partitions int, configs map[string]string) error {
	all := s.TopicConfigs()
	maps.Copy(all, configs)
	return s.admin.createTopic(ctx, Topic{name, partitions}, all, false)
}

func (s *kafkaServer) DeleteTopic(ctx context.Context, name string) error {
	return s.admin.deleteTopic(ctx, name)
}

func (s *kafkaServer) Fill(ctx context.Context, topic string, f Filling) (load.Log, error) {
	return fill(ctx, s.target, topic, f, func() (int64, error) { return s.admin.end(ctx, topic, 0) })
}

func (s *kafkaServer) Verify(ctx context.Context, topic string, partitions int, f Filling) error {
	var records int64
	for i := range partitions {
		end, err := s.admin.end(ctx, topic, i)
		if err == nil && end > 0 {
			err = s.verifyEnds(ctx, topic, i, end, f.Batch)
		}
		if err != nil {
			return fmt.Errorf("verify %s-%d: %w", topic, i, err)
		}
		records += end
	}
	if want := f.Bytes / f.Batch.Size() * int64(f.Batch.Count()); records != want {
		return fmt.Errorf("verify %s: %d records in %d partitions, want %d", topic, records, partitions, want)
	}
	return nil
}

// verifyEnds reads the first and the last batch of a partition.
func (s *kafkaServer) verifyEnds(ctx context.Context, topic string, partition int, end int64, want record.Batch) error {
	for _, offset := range []int64{0, end - int64(want.Count())} {
		b, err := s.admin.batch(ctx, topic, partition, offset, int32(want.Size()))
		if err != nil {
			return fmt.Errorf("batch at offset %d: %w", offset, err)
		}
		if b.BaseOffset() != record.Offset(offset) || b.Size() != want.Size() || b.Count() != want.Count() {
			return fmt.Errorf("batch at offset %d of %d bytes and %d records, want one at %d of %d and %d",
				b.BaseOffset(), b.Size(), b.Count(), offset, want.Size(), want.Count())
		}
	}
	return nil
}

func (s *kafkaServer) Stop(ctx context.Context) error {
	if s.process == nil {
		return nil
	}
	return s.process.stop(ctx)
}

func (s *kafkaServer) Kill() error {
	if s.process == nil {
		return errors.New("kill a broker that was there before: it is not ours to kill")
	}
	return s.process.kill()
}
