package contestant

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/perf/child"
	"github.com/rollway/rollway/perf/drive"
	"github.com/rollway/rollway/perf/load"
	"github.com/rollway/rollway/perf/result"
)

// startNATS starts the client beside the server.
func (p *peer) startNATS(ctx context.Context, s Setup, process *process, said readyLine, conditions []result.Condition) (Server, error) {
	addr, err := said.addr("nats")
	if err != nil {
		return nil, process.failed(err)
	}
	// Not with ctx, with which the client would end.
	client, err := child.StartOn(context.WithoutCancel(ctx), nil, p.program, "nats-client", addr.String())
	if err != nil {
		return nil, process.failed(err)
	}
	durability := "page cache, as it comes: synced every 2 minutes"
	if s.Durable {
		durability = "synced before it is acknowledged: sync_interval always"
	}
	server := &natsServer{
		process: process, client: client, dir: s.Dir, target: load.Target{Addr: addr, Congestion: s.Congestion}, topics: map[string]int{},
		conditions: append(conditions, result.Condition{Contestant: p.name, Name: "durability", Text: durability},
			result.Condition{Contestant: p.name, Name: "shape", Text: "a stream of file storage for each partition, a message for each batch; a client of its own, nats.go"}),
	}
	if err := server.start(ctx, s.Expect); err != nil {
		return nil, errors.Join(process.failed(err), client.Stop())
	}
	return server, nil
}

// natsServer is a NATS server and the process of its client.
type natsServer struct {
	process      *process
	client       *child.Process
	dir          string
	target       load.Target
	topics       map[string]int // partitions of those that were created
	ready, first time.Duration
	conditions   []result.Condition
}

func (s *natsServer) start(ctx context.Context, expect []Topic) error {
	for _, t := range expect {
		s.topics[t.Name] = t.Partitions
		if _, err := s.ask(drive.Question{Look: &drive.Topic{Name: t.Name, Partitions: t.Partitions}}); err != nil {
			return err
		}
	}
	// What an earlier start has left is there again.
	if _, err := s.ask(drive.Question{Look: &drive.Topic{Name: firstTopic, Partitions: 1}}); err != nil {
		if err := s.CreateTopic(ctx, firstTopic, 1, nil); err != nil {
			return err
		}
	}
	s.topics[firstTopic] = 1
	s.ready = time.Since(s.process.began)
	batch, err := load.Batch(1 << 10)
	if err != nil {
		return err
	}
	if _, err := s.Produce(ctx, load.ProducerOptions{Topic: firstTopic, Partitions: 1, Connections: 1, Window: 1, Batch: batch}, load.ProduceRun{Batches: 1}); err != nil {
		return fmt.Errorf("first produce: %w", err)
	}
	s.first = time.Since(s.process.began)
	return nil
}

// ask asks the client.
func (s *natsServer) ask(q drive.Question) (drive.Answer, error) {
	var a drive.Answer
	if err := s.client.Ask(q, &a); err != nil {
		return a, err
	}
	if a.Error != "" {
		return a, errors.New(a.Error)
	}
	return a, nil
}

func (s *natsServer) Target() load.Target            { return s.target }
func (s *natsServer) PID() int                       { return s.process.pid() }
func (s *natsServer) DataDir() string                { return s.dir }
func (s *natsServer) Ready() time.Duration           { return s.ready }
func (s *natsServer) First() time.Duration           { return s.first }
func (s *natsServer) Conditions() []result.Condition { return s.conditions }

func (s *natsServer) TopicConfigs() map[string]string { return map[string]string{} }

// CreateTopic makes a stream for each partition. It takes no notice of configs.
func (s *natsServer) CreateTopic(_ context.Context, name string, partitions int, _ map[string]string) error {
	if _, there := s.topics[name]; there {
		return fmt.Errorf("create topic %s: it exists", name) // NATS makes the same stream once more
	}
	if _, err := s.ask(drive.Question{Create: &drive.Topic{Name: name, Partitions: partitions}}); err != nil {
		return err
	}
	s.topics[name] = partitions
	return nil
}

func (s *natsServer) DeleteTopic(_ context.Context, name string) error {
	_, err := s.ask(drive.Question{Delete: &drive.Topic{Name: name, Partitions: s.topics[name]}})
	delete(s.topics, name)
	return err
}

func (s *natsServer) Fill(ctx context.Context, topic string, f Filling) (load.Log, error) {
	size := f.Batch.Size()
	log := load.Log{Topic: topic, Bytes: f.Bytes - f.Bytes%size, BatchBytes: size, Step: 1}
	a, err := s.ask(drive.Question{Look: &drive.Topic{Name: topic, Partitions: 1}})
	if err != nil {
		return log, err
	}
	if missing := log.Bytes/size - a.Batches; missing > 0 {
		_, err = s.Produce(ctx, load.ProducerOptions{Topic: topic, Partitions: 1, Connections: 1, Window: fillWindow, Batch: f.Batch}, load.ProduceRun{Batches: missing})
	}
	return log, err
}

func (s *natsServer) Verify(_ context.Context, topic string, partitions int, f Filling) error {
	a, err := s.ask(drive.Question{Look: &drive.Topic{Name: topic, Partitions: partitions}})
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	if want := f.Bytes / f.Batch.Size(); a.Batches != want {
		return fmt.Errorf("verify %s: %d batches in %d partitions, want %d", topic, a.Batches, partitions, want)
	}
	for _, end := range a.Ends {
		if !slices.Equal(record.Batch(end), f.Batch) {
			return fmt.Errorf("verify %s: batch of %d bytes, want one of %d, and the same", topic, len(end), len(f.Batch))
		}
	}
	return nil
}

func (s *natsServer) Produce(_ context.Context, o load.ProducerOptions, r load.ProduceRun) (load.Produced, error) {
	if o.Spread {
		return load.Produced{}, errors.New("produce: one stream after the other on a connection, want a stream for each")
	}
	a, err := s.ask(drive.Question{Produce: &drive.Produce{
		Topic: drive.Topic{Name: o.Topic, Partitions: o.Partitions}, Connections: o.Connections, Window: o.Window, Batch: o.Batch,
		Batches: r.Batches, Time: r.Time, Rate: r.Rate,
	}})
	if err != nil {
		return load.Produced{}, fmt.Errorf("produce to %s: %w", o.Topic, err)
	}
	slices.Sort(a.Latencies)
	return load.Produced{Batches: a.Batches, Elapsed: a.Elapsed, Latencies: a.Latencies}, nil
}

func (s *natsServer) Consume(_ context.Context, log load.Log, connections int, r load.FetchRun) (bytes int64, elapsed time.Duration, err error) {
	a, err := s.ask(drive.Question{Consume: &drive.Consume{Topic: log.Topic, Connections: connections, Bytes: r.Bytes, Time: r.Time, MaxBytes: r.MaxBytes}})
	if err != nil {
		return 0, 0, fmt.Errorf("consume %s: %w", log.Topic, err)
	}
	return a.Bytes, a.Elapsed, nil
}

func (s *natsServer) Stop(ctx context.Context) error {
	return errors.Join(s.client.Stop(), s.process.stop(ctx))
}

func (s *natsServer) Kill() error {
	s.client.Kill()
	return s.process.kill()
}
