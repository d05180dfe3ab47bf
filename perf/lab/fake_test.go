package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rollway/rollway/broker"
	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/perf/child"
	"github.com/rollway/rollway/perf/contestant"
	"github.com/rollway/rollway/perf/load"
	"github.com/rollway/rollway/perf/result"
	"github.com/rollway/rollway/wire"
)

// TestMain makes this program what it is told to be: a contestant's server, or the
// lab itself with contestants of the tests.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) == 3 && os.Args[1] == serverArgument:
		if err := serveFake(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case len(os.Args) > 1 && os.Args[1] == labArgument:
		os.Exit(testProgram().main(os.Args[2:]))
	case len(os.Args) > 1 && os.Args[1] == innerArgument:
		os.Exit(testProgram().main(os.Args[1:]))
	default:
		// A server process built with -race would sleep for a second at its end.
		os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE"))
		os.Exit(m.Run())
	}
}

const (
	serverArgument = "test-server"
	labArgument    = "test-lab"
)

// fake is a contestant of the tests, which says in its name what it does wrong.
type fake struct {
	name string

	Dir     string
	Broken  string        `json:",omitempty"` // "drop" or "flip": every tenth batch; "start": does not
	Burn    time.Duration `json:",omitempty"` // CPU time for each batch
	Delay   time.Duration `json:",omitempty"` // for each batch
	Rollway bool          `json:",omitempty"` // a real server instead, whose data are in Dir
	Kafka   bool          `json:",omitempty"` // that is asked by Kafka's protocol
}

// fakes are all there are.
var fakes = []fake{
	{name: "fake"},
	{name: "fake-drop", Broken: "drop"},
	{name: "fake-flip", Broken: "flip"},
	{name: "fake-none", Broken: "start"},
	{name: "fake-burn-1", Burn: 3 * time.Millisecond}, // beside which all else costs little, also with -race
	{name: "fake-burn-2", Burn: 6 * time.Millisecond},
	{name: "fake-delay-1", Delay: 20 * time.Millisecond},
	{name: "fake-delay-2", Delay: 40 * time.Millisecond},
	{name: "test-native", Rollway: true},
	{name: "test-kafka", Rollway: true, Kafka: true},
}

// newFakes is program.make.
func newFakes(options, string) func(name string) (contestant.Contestant, error) {
	return func(name string) (contestant.Contestant, error) {
		i := slices.IndexFunc(fakes, func(f fake) bool { return f.name == name })
		if i < 0 {
			return nil, fmt.Errorf("no fake %q", name)
		}
		f := fakes[i]
		return &f, nil
	}
}

func (f *fake) Name() string { return f.name }

func (f *fake) Start(ctx context.Context, s contestant.Setup) (contestant.Server, error) {
	if f.Broken == "start" {
		return nil, &contestant.UnavailableError{Name: f.name, Lacks: "everything"}
	}
	c := *f
	c.Dir = s.Dir
	argument, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	p, err := child.StartOn(context.WithoutCancel(ctx), s.Cores, os.Args[0], serverArgument, string(argument))
	if err != nil {
		return nil, err
	}
	server := &fakeServer{fake: c, process: p, ready: time.Since(began), target: load.Target{Addr: p.Addr}}
	server.native = server.target
	if f.Kafka {
		server.target.Kafka = true
		err = p.Ask("kafka", &server.target.Addr)
	}
	return server, err
}

// fakeServer is a running one.
type fakeServer struct {
	fake           fake
	process        *child.Process
	ready          time.Duration
	target, native load.Target
	configs        map[string]string // TopicConfigs
}

func (s *fakeServer) Target() load.Target  { return s.target }
func (s *fakeServer) PID() int             { return s.process.PID() }
func (s *fakeServer) DataDir() string      { return s.fake.Dir }
func (s *fakeServer) Ready() time.Duration { return s.ready }
func (s *fakeServer) First() time.Duration { return s.ready }
func (s *fakeServer) Conditions() []result.Condition {
	return []result.Condition{{Name: "version", Text: "of the tests", Contestant: s.fake.name}}
}

func (s *fakeServer) TopicConfigs() map[string]string {
	all := map[string]string{}
	maps.Copy(all, s.configs)
	return all
}

func (s *fakeServer) CreateTopic(ctx context.Context, name string, partitions int, configs map[string]string) error {
	if !s.fake.Rollway {
		return nil // it has all
	}
	topic := wire.CreateTopic{Topic: name, Partitions: int32(partitions)}
	for key, value := range configs {
		topic.Configs = append(topic.Configs, wire.Config{Key: key, Value: value})
	}
	return s.native.CreateTopic(ctx, topic)
}

func (s *fakeServer) DeleteTopic(context.Context, string) error { return nil }

func (s *fakeServer) Fill(ctx context.Context, topic string, f contestant.Filling) (load.Log, error) {
	size := f.Batch.Size()
	log := load.Log{Topic: topic, Bytes: f.Bytes - f.Bytes%size, BatchBytes: size, Step: int64(f.Batch.Count())}
	p, err := load.NewProducers(ctx, s.target, load.ProducerOptions{Topic: topic, Partitions: 1, Connections: 1, Window: 4, Batch: f.Batch})
	if err != nil {
		return log, err
	}
	defer p.Close()
	_, err = p.Run(load.ProduceRun{Batches: log.Bytes / size})
	return log, err
}

func (s *fakeServer) Verify(context.Context, string, int, contestant.Filling) error {
	return errors.New("no bare server")
}

func (s *fakeServer) Stop(context.Context) error { return s.process.Stop() }

func (s *fakeServer) Kill() error {
	s.process.Kill()
	return nil
}

// serveFake is a server's process.
func serveFake(argument string) error {
	var f fake
	if err := json.Unmarshal([]byte(argument), &f); err != nil {
		return err
	}
	if f.Rollway {
		return f.serveRollway()
	}
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := &memoryServer{fake: f, partitions: map[string]*memoryLog{}}
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				if err := s.serve(conn); err != nil && err != io.EOF {
					fmt.Fprintln(os.Stderr, err)
				}
				conn.Close()
			}()
		}
	}()
	return child.Serve(ln.Addr().(*net.TCPAddr).AddrPort(), func(json.RawMessage) (any, error) { return nil, nil })
}

// serveRollway is a broker over the directory.
func (f fake) serveRollway() error {
	b, err := broker.Open(broker.Options{
		DataDir: f.Dir, Wire: "127.0.0.1:0", Kafka: "127.0.0.1:0", HTTP: broker.Off,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		return err
	}
	defer b.Close()
	if err := b.Ready(context.Background()); err != nil {
		return err
	}
	kafka := b.KafkaAddrs()[0].(*net.TCPAddr).AddrPort()
	return child.Serve(b.WireAddr().(*net.TCPAddr).AddrPort(), func(json.RawMessage) (any, error) { return kafka, nil })
}

// memoryServer keeps batches in memory and speaks as much of rollway's protocol as
// raw clients need.
type memoryServer struct {
	fake       fake
	mu         sync.Mutex
	partitions map[string]*memoryLog // +checklocks:mu
	produced   int                   // batches. +checklocks:mu
}

type memoryLog struct {
	batches []record.Batch
	end     int64
}

func (s *memoryServer) serve(conn net.Conn) error {
	var have []byte
	buffer := make([]byte, 1<<20)
	for {
		f, rest, err := wire.Split(have, 0)
		if err == wire.ErrIncomplete {
			n, err := conn.Read(buffer)
			if err != nil {
				return err
			}
			have = append(slices.Clone(have), buffer[:n]...)
			continue
		}
		if err != nil {
			return err
		}
		have = rest
		answer, err := s.answer(f)
		if err != nil {
			return err
		}
		if _, err := conn.Write(answer); err != nil {
			return err
		}
	}
}

func (s *memoryServer) answer(f wire.Frame) ([]byte, error) {
	switch f.Kind {
	case wire.KindHello:
		w := wire.Welcome{
			Version: wire.Version, Software: "fake", SoftwareVersion: "0", MaxFrame: wire.DefaultMaxFrame,
			MaxInFlight: wire.DefaultMaxInFlight, MaxCredit: wire.DefaultMaxCredit,
		}
		return w.AppendTo(nil, f.RequestID), nil
	case wire.KindProduce:
		m, err := wire.ParseProduce(f)
		if err != nil {
			return nil, err
		}
		return s.produce(f.RequestID, m)
	case wire.KindFetch:
		m, err := wire.ParseFetch(f)
		if err != nil {
			return nil, err
		}
		return s.fetch(f.RequestID, m), nil
	}
	return nil, fmt.Errorf("frame of kind %v", f.Kind)
}

// log returns a partition's.
//
// +checklocks:s.mu
func (s *memoryServer) log(topic []byte, partition int32) *memoryLog {
	key := fmt.Sprintf("%s-%d", topic, partition)
	if s.partitions[key] == nil {
		s.partitions[key] = new(memoryLog)
	}
	return s.partitions[key]
}

func (s *memoryServer) produce(id uint32, m wire.Produce) ([]byte, error) {
	burn(s.fake.Burn)
	time.Sleep(s.fake.Delay)
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.log(m.Topic, m.Partition)
	b, _, err := record.Next(slices.Clone(m.Batches))
	if err != nil {
		return nil, err
	}
	b.SetBaseOffset(record.Offset(l.end))
	next := int64(b.NextOffset())
	s.produced++
	wrong := s.produced%10 == 0
	if wrong && s.fake.Broken == "flip" {
		b[len(b)-1] ^= 1
	}
	if !wrong || s.fake.Broken != "drop" {
		l.batches, l.end = append(l.batches, b), next
	}
	p := wire.Produced{BaseOffset: int64(b.BaseOffset()), NextOffset: next, LogAppendTimeMs: -1}
	return p.AppendTo(nil, id), nil
}

func (s *memoryServer) fetch(id uint32, m wire.Fetch) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.log(m.Topic, m.Partition)
	i, _ := slices.BinarySearchFunc(l.batches, m.Offset, func(b record.Batch, o int64) int { return int(int64(b.BaseOffset()) - o) })
	var body []byte
	for ; i < len(l.batches) && len(body)+len(l.batches[i]) <= int(m.MaxBytes); i++ {
		body = append(body, l.batches[i]...)
	}
	d := wire.Data{Partition: m.Partition, Offsets: wire.Offsets{LastStable: l.end, HighWatermark: l.end}}
	return append(wire.AppendDataHead(nil, id, &d, len(body)), body...)
}

// burn uses so much CPU time of the calling thread, whatever the clock says.
func burn(d time.Duration) {
	if d == 0 {
		return
	}
	now := func() int64 {
		var t unix.Timespec
		unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t)
		return t.Nano()
	}
	for end := now() + d.Nanoseconds(); now() < end; {
	}
}
