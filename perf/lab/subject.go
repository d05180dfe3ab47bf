package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/perf/contestant"
	"github.com/rollway/rollway/perf/generator"
	"github.com/rollway/rollway/perf/host"
	"github.com/rollway/rollway/perf/load"
	"github.com/rollway/rollway/perf/result"
)

// subject is a contestant in a section: its server and what is known about it.
type subject struct {
	lab        *lab
	contestant contestant.Contestant
	durable    bool
	dir        string // of the server's data; made when it starts

	server  contestant.Server // nil: not started
	idle    host.Memory       // after the start
	warmed  map[string]bool   // workloads that this server was warmed up for
	topics  int               // made so far, for their names
	log     *load.Log         // that consumers read
	tracing bool              // system calls are counted, and nothing else
	failed  bool              // takes part in no more of the section
}

func (s *subject) name() string { return s.contestant.Name() }

// external tells whether the server was there before and is not ours to stop.
func (s *subject) external() bool {
	return s.lab.options.kafkaEndpoint != "" && s.name() == contestant.Kafka
}

// setup is how the server is started. Its congestion control is the namespace's,
// since not every contestant can be told.
func (s *subject) setup(expect ...contestant.Topic) contestant.Setup {
	return contestant.Setup{Dir: s.dir, Cores: s.lab.cores.server, Durable: s.durable, Expect: expect}
}

// start starts the server over an empty directory, unless it runs.
func (s *subject) start(ctx context.Context) error {
	if s.server != nil {
		return nil
	}
	dir, err := os.MkdirTemp(s.lab.dir, s.name()+"-")
	if err != nil {
		return err
	}
	s.dir, s.warmed, s.topics, s.log = dir, map[string]bool{}, 0, nil
	if err := s.startAgain(ctx); err != nil {
		return errors.Join(err, s.end())
	}
	return nil
}

// startAgain starts the server over what is in its directory.
func (s *subject) startAgain(ctx context.Context, expect ...contestant.Topic) error {
	server, err := s.contestant.Start(ctx, s.setup(expect...))
	if err != nil {
		return err
	}
	s.server = server
	s.lab.noteConditions(server.Conditions())
	if server.PID() > 0 {
		s.idle, err = host.MemoryOf(server.PID())
	}
	return err
}

// end ends the server at once and removes its data. It may be called again.
func (s *subject) end() error {
	var errs []error
	if s.server != nil {
		if s.external() {
			errs = append(errs, s.server.Stop(context.Background()))
		} else {
			errs = append(errs, s.server.Kill())
		}
	}
	s.server = nil
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	s.dir = ""
	return errors.Join(errs...)
}

// starting are the figures of a start.
func (s *subject) starting() map[string]float64 {
	f := map[string]float64{}
	set(f, "ready_ms", milliseconds(s.server.Ready()))
	set(f, "first_produce_ms", milliseconds(s.server.First()))
	set(f, "rss_idle_mib", mebibytes(s.idle.Resident))
	return f
}

// topicConfigs are what every topic of the lab gets: batches have timestamps of
// 1970, and retention must not find them old.
var topicConfigs = map[string]string{"retention.ms": "-1", "file.delete.delay.ms": "1"}

// topicConfigs are what topics of the server get that others make in its name.
func (s *subject) topicConfigs() map[string]string {
	all := s.server.TopicConfigs()
	maps.Copy(all, topicConfigs)
	return all
}

// newTopic makes a topic and returns its name.
func (s *subject) newTopic(ctx context.Context, partitions int) (string, error) {
	s.topics++
	name := fmt.Sprintf("lab-%d", s.topics)
	return name, s.server.CreateTopic(ctx, name, partitions, maps.Clone(topicConfigs))
}

// isBare tells whether the server is one of the lab's own mechanisms, which keeps
// no offsets.
func (s *subject) isBare() bool { return strings.HasPrefix(s.name(), "bare-") }

// driver is the server if it has a client of its own, else nil.
func (s *subject) driver() contestant.Driver {
	d, _ := s.server.(contestant.Driver)
	return d
}

// verify reads back what was produced to a topic: so many of the batch, in all
// partitions together, whole, in order, and nothing else.
func (s *subject) verify(ctx context.Context, topic string, count int, want record.Batch, batches int64) error {
	if s.isBare() || s.driver() != nil {
		return s.server.Verify(ctx, topic, count, contestant.Filling{Batch: want, Bytes: batches * want.Size()})
	}
	r, err := load.NewReader(ctx, s.server.Target())
	if err != nil {
		return err
	}
	defer r.Close()
	found := int64(0)
	for number := range int32(count) {
		_, err := r.ReadBack(load.Partition{Topic: topic, Number: number}, func(b record.Batch) error {
			if b.Size() != want.Size() || b.Count() != want.Count() || b.CRC() != want.CRC() {
				return fmt.Errorf("%d bytes, %d records, crc %08x; %d, %d, %08x were produced", b.Size(), b.Count(), b.CRC(), want.Size(), want.Count(), want.CRC())
			}
			found++
			return nil
		})
		if err != nil {
			return fmt.Errorf("read back: %w", err)
		}
	}
	if found != batches {
		return fmt.Errorf("read back %s: %d batches, but %d were acknowledged", topic, found, batches)
	}
	return nil
}

// settleDisk waits until what was written before is on the disk, so that no turn
// pays for the one before it.
func (s *subject) settleDisk() error { return host.SyncDisk(s.lab.dir) }

// endpoint is where the load generator finds the server.
func (s *subject) endpoint() generator.Target {
	t := s.server.Target()
	if t.Kafka {
		return generator.Target{Kafka: t.Addr.String()}
	}
	return generator.Target{Native: t.Addr.String()}
}

// noteCongestion looks at the connections that the server has, and says what
// congestion control both of their ends have. It is part of no measurement.
func (s *subject) noteCongestion() error {
	all, err := host.Connections()
	if err != nil {
		return err
	}
	addr := s.server.Target().Addr
	var ours, theirs []string
	for _, c := range all {
		if c.Local == addr {
			theirs = append(theirs, c.Congestion)
		} else if c.Peer == addr {
			ours = append(ours, c.Congestion)
		}
	}
	if len(ours) == 0 || len(theirs) == 0 {
		return fmt.Errorf("no established connections with %v, want both ends of one", addr)
	}
	text := fmt.Sprintf("client %s, server %s", kinds(ours), kinds(theirs))
	s.lab.noteConditions([]result.Condition{{
		Name: "congestion control", Text: text + " (sock_diag)", Contestant: s.name(),
		Warning: kinds(append(ours, theirs...)) != congestion,
	}})
	return nil
}

// kinds lists which values there are.
func kinds(values []string) string {
	return strings.Join(slices.Compact(slices.Sorted(slices.Values(values))), " and ")
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
func mebibytes(n int64) float64            { return float64(n) / (1 << 20) }

// set sets a figure that is known: 0 is not.
func set(figures map[string]float64, name string, value float64) {
	if value > 0 {
		figures[name] = value
	}
}
