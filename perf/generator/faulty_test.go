package generator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollway/rollway/broker"
)

// faultyServer is a driver and its server in memory, which acknowledges everything and
// does with each message what harm says.
type faultyServer struct {
	partitions int
	harm       func(m message) harm

	mu    sync.Mutex
	logs  map[string][][][]byte // by topic and partition: values. +checklocks:mu
	moved chan struct{}         // closed when something is appended. +checklocks:mu
}

// harm is what a server does with a message.
type harm int

const (
	keep harm = iota
	drop
	flip       // a bit
	twice      // append it again
	behindNext // append it behind the next one
)

func newFaultyServer(partitions int, h func(m message) harm) *faultyServer {
	return &faultyServer{partitions: partitions, harm: h, logs: map[string][][][]byte{}, moved: make(chan struct{})}
}

func (s *faultyServer) createTopic(_ context.Context, topic string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logs[topic] = make([][][]byte, s.partitions)
	return nil
}

func (s *faultyServer) deleteTopic(_ context.Context, topic string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.logs, topic)
	return nil
}

func (s *faultyServer) ends(_ context.Context, topic string) ([]int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ends []int64
	for _, log := range s.logs[topic] {
		ends = append(ends, int64(len(log)))
	}
	return ends, nil
}

func (s *faultyServer) close() {}

// append puts values behind a log.
func (s *faultyServer) append(topic string, partition int32, values ...[]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logs[topic][partition] = append(s.logs[topic][partition], values...)
	close(s.moved)
	s.moved = make(chan struct{})
}

// faultySender appends at once.
type faultySender struct {
	server    *faultyServer
	topic     string
	delivered func(int32, int64, []int64, error)
	held      map[int32][]byte // behind the next
}

func (s *faultyServer) newSender(_ context.Context, topic string, delivered func(int32, int64, []int64, error)) (sender, error) {
	return &faultySender{server: s, topic: topic, delivered: delivered, held: map[int32][]byte{}}, nil
}

func (s *faultySender) send(_ context.Context, m *message, _, value []byte) error {
	value = slices.Clone(value)
	values := [][]byte{value}
	if held := s.held[m.partition]; held != nil {
		values = append(values, held)
		s.held[m.partition] = nil
	}
	switch s.server.harm(*m) {
	case drop:
		values = values[1:]
	case flip:
		value[50] ^= 4
	case twice:
		values = append(values, value)
	case behindNext:
		s.held[m.partition] = value
		values = values[1:]
	}
	s.server.append(s.topic, m.partition, values...)
	s.delivered(m.partition, m.sequence, []int64{m.due}, nil)
	return nil
}

func (s *faultySender) flush(context.Context) error {
	for partition, held := range s.held {
		if held != nil {
			s.server.append(s.topic, partition, held)
		}
	}
	return nil
}

func (s *faultySender) close() {}

// faultyReceiver reads the logs of its partitions.
type faultyReceiver struct {
	server *faultyServer
	topic  string
	next   map[int32]int
}

func (s *faultyServer) newReceiver(_ context.Context, topic string, partitions []int32) (receiver, error) {
	r := &faultyReceiver{server: s, topic: topic, next: map[int32]int{}}
	for _, p := range partitions {
		r.next[p] = 0
	}
	return r, nil
}

func (r *faultyReceiver) receive(ctx context.Context, take func(int32, int64, []byte)) error {
	for {
		taken := false
		r.server.mu.Lock()
		moved := r.server.moved
		r.server.mu.Unlock()
		for p, next := range r.next {
			r.server.mu.Lock()
			values := r.server.logs[r.topic][p][next:]
			r.server.mu.Unlock()
			for i, value := range values {
				take(p, int64(next+i), value)
				taken = true
			}
			r.next[p] = next + len(values)
		}
		if taken {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (r *faultyReceiver) close() {}

// A server that drops, corrupts, doubles or swaps messages fails the run, which says what was found, how often and where; one that does nothing of that does not.
func TestFaultyServer(t *testing.T) {
	// Each harm befalls message 100 of producer 1 in partition 2 of each topic that it has.
	f := func(name string, h harm, check func(v Verification) bool, finding string) {
		t.Run(name, func(t *testing.T) {
			w := short()
			w.ProducerRate, w.Topics = 4000, 1
			w.KeyDistributor = keyRoundRobin // so that all partitions get their share
			w.TestDurationSeconds = 0.2
			w.WarmupDurationSeconds = 0.1
			harmed := false
			var mu sync.Mutex
			server := newFaultyServer(w.PartitionsPerTopic, func(m message) harm {
				mu.Lock()
				defer mu.Unlock()
				if m.producer != 1 || m.partition != 2 || m.sequence != 100 {
					return keep
				}
				harmed = true
				return h
			})
			c := newMachineClock()
			defer c.close()
			r, err := newRunner(w, Target{}, Options{}.withDefaults(), server, c).do(t.Context())
			if !harmed {
				t.Fatal("message 100 was never sent")
			}
			if len(server.logs) > 0 {
				t.Error("topics are left")
			}
			if h == keep {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var bad *VerificationError
			if !errors.As(err, &bad) || !check(r.Verification) || len(r.Verification.Findings) == 0 || !strings.Contains(r.Verification.Findings[0], finding) {
				t.Errorf("%v; %+v", err, r)
			}
			if text := err.Error(); !strings.Contains(text, "rollway-bench-") || !strings.Contains(text, "-0-2") {
				t.Errorf("the error does not say where: %s", text)
			}
		})
	}
	f("good", keep, nil, "")
	f("drop", drop, func(v Verification) bool { return v.Lost == 2 && v.Corrupt == 0 }, "messages 100 to 100 of producer 1, between offsets")
	f("flip", flip, func(v Verification) bool { return v.Corrupt == 2 }, "crc ")
	f("twice", twice, func(v Verification) bool { return v.Duplicated == 2 && v.Lost == 0 }, "message 100 of producer 1, which came before")
	f("swap", behindNext, func(v Verification) bool { return v.OutOfOrder == 2 && v.Lost == 0 }, "message 100 of producer 1 behind message 101")
}

// flippingProxy stands in front of a server and flips a bit in the first bytes on the
// way to a client that are the mark.
type flippingProxy struct {
	listener net.Listener
	mark     []byte

	mu      sync.Mutex
	flipped bool // +checklocks:mu
}

func newFlippingProxy(t *testing.T, mark []byte) *flippingProxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return &flippingProxy{listener: listener, mark: mark}
}

// serve forwards connections to addr until the listener is closed.
func (p *flippingProxy) serve(addr string) {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", addr)
		if err != nil {
			client.Close()
			continue
		}
		go func() {
			io.Copy(server, client)
			server.Close()
		}()
		go func() {
			p.forward(client, server)
			client.Close()
		}()
	}
}

// forward sends what the server says, with the one bit flipped.
func (p *flippingProxy) forward(client io.Writer, server io.Reader) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := server.Read(buffer)
		p.mu.Lock()
		if at := bytes.Index(buffer[:n], p.mark); at >= 0 && !p.flipped {
			p.flipped = true
			buffer[at] ^= 1
		}
		p.mu.Unlock()
		if n > 0 {
			if _, err := client.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// A bit that is flipped between server and client is found by the crc of the batch, over both protocols, and fails the run with the place.
func TestFlippedBit(t *testing.T) {
	w := short()
	w.TestDurationSeconds, w.MaxInFlightMessages = 3600, 50 // the finding ends it
	p, err := newPayloads(w)
	if err != nil {
		t.Fatal(err)
	}
	mark := p.body(0)[60:80]
	kafka, native := newFlippingProxy(t, mark), newFlippingProxy(t, mark)
	b, err := broker.Open(broker.Options{
		DataDir: t.TempDir(), Wire: "127.0.0.1:0", Kafka: "127.0.0.1:0", HTTP: broker.Off,
		KafkaAdvertised: kafka.listener.Addr().String(), Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	go kafka.serve(b.KafkaAddrs()[0].String())
	go native.serve(b.WireAddr().String())
	for _, target := range []Target{{Kafka: kafka.listener.Addr().String()}, {Native: native.listener.Addr().String()}} {
		r, err := Run(t.Context(), w, target, Options{Timeout: 20 * time.Second})
		var bad *VerificationError
		if !errors.As(err, &bad) || bad.Corrupt != 1 || r.Verification.Lost > 0 {
			t.Errorf("%v: %v", target, err)
			continue
		}
		if text := fmt.Sprint(err); !strings.Contains(text, "crc") || !strings.Contains(text, r.Topics[0][:len(r.Topics[0])-1]) {
			t.Errorf("%v: %v, want what and where", target, err)
		}
		t.Log(err)
	}
}
