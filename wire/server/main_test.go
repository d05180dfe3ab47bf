package server

import (
	"context"
	"io"
	"log/slog"
	"testing"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/internal/node"
	"github.com/rollway/rollway/wire"
)

// openNode opens a node in a directory of the test, ready, which is closed
// with the test.
func openNode(t testing.TB, change ...func(*node.Options)) *node.Node {
	t.Helper()
	o := node.Options{DataDir: t.TempDir(), Version: "1.2.3", Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	for _, c := range change {
		c(&o)
	}
	n, err := node.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	if err := n.Engine().WaitReady(context.Background()); err != nil {
		t.Fatal(err)
	}
	return n
}

// openFrontend is openNode with what the sessions of a Server share.
func openFrontend(t testing.TB, o Options, change ...func(*node.Options)) *frontend {
	t.Helper()
	f, err := newFrontend(openNode(t, change...), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Tasks.Wait)
	return f
}

// pageCache are the configs of a topic whose appends are acknowledged at once.
var pageCache = map[string]string{"flush.messages": "9223372036854775807"}

// createTopic makes a topic and returns its partition 0.
func createTopic(t testing.TB, f *frontend, name string, configs map[string]string) *engine.Partition {
	t.Helper()
	topic, err := f.engine.CreateTopic(engine.TopicSpec{Name: name, Configs: configs, Partitions: 2})
	if err != nil {
		t.Fatal(err)
	}
	return topic.Partitions()[0]
}

func specOf(name string, partitions int32) engine.TopicSpec {
	return engine.TopicSpec{Name: name, Partitions: partitions}
}

// batchOf builds a batch with these values, timestamped one ms apart from 1000
// on.
func batchOf(t testing.TB, values ...string) []byte {
	t.Helper()
	var b record.Builder
	b.Reset(record.BuilderOptions{})
	for i, v := range values {
		if err := b.Append(int64(1000+i), nil, []byte(v)); err != nil {
			t.Fatal(err)
		}
	}
	p, err := b.Build(nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// fill produces batches to p and returns the log's bytes.
func fill(t testing.TB, p *engine.Partition, batches ...[]byte) []byte {
	t.Helper()
	for _, b := range batches {
		r := &engine.AppendRequest{Batches: b, Acks: engine.AcksAll}
		if err := p.Produce(context.Background(), r); err != nil {
			t.Fatal(err)
		}
	}
	return logOf(t, p)
}

// logOf returns all visible bytes of p.
func logOf(t testing.TB, p *engine.Partition) []byte {
	t.Helper()
	s, err := p.Fetch(engine.FetchRequest{MaxBytes: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	log := make([]byte, s.Len)
	if s.Len > 0 {
		if _, err := s.File.ReadAt(log, s.Position); err != nil {
			t.Fatal(err)
		}
	}
	return log
}

// message is one that a client sends.
type message interface {
	AppendTo(dst []byte, requestID uint32) []byte
}

// greeted returns a connection that has had its Welcome.
func greeted(t testing.TB, f *frontend) *memory {
	t.Helper()
	m := newMemory(t, f)
	m.ask(100, &wire.Hello{MinVersion: 1, MaxVersion: 1, Software: "test", SoftwareVersion: "1"})
	m.welcome(100)
	return m
}

// ask sends a request.
func (m *memory) ask(id uint32, request message) { m.Receive(request.AppendTo(nil, id)) }

// answer returns the next frame, which must be of this kind and request.
func (m *memory) answer(id uint32, kind wire.Kind) wire.Frame {
	m.t.Helper()
	f := m.next()
	if f.Kind != kind || f.RequestID != id {
		m.t.Fatalf("%s left, want %s of request %d", describe(f), kind, id)
	}
	return f
}

func (m *memory) welcome(id uint32) wire.Welcome {
	m.t.Helper()
	return must(wire.ParseWelcome(m.answer(id, wire.KindWelcome)))(m.t)
}

func (m *memory) produced(id uint32, base, next int64) wire.Produced {
	m.t.Helper()
	p := must(wire.ParseProduced(m.answer(id, wire.KindProduced)))(m.t)
	if p.BaseOffset != base || p.NextOffset != next {
		m.t.Fatalf("request %d: offsets %d to %d, want %d to %d", id, p.BaseOffset, p.NextOffset, base, next)
	}
	return p
}

func (m *memory) data(id uint32) wire.Data {
	m.t.Helper()
	return must(wire.ParseData(m.answer(id, wire.KindData)))(m.t)
}

func (m *memory) offset(id uint32, offset, timestamp int64) {
	m.t.Helper()
	found := must(wire.ParseOffsetFound(m.answer(id, wire.KindOffsetFound)))(m.t)
	if found.Offset != offset || found.TimestampMs != timestamp {
		m.t.Fatalf("request %d: offset %d at %d, want %d at %d", id, found.Offset, found.TimestampMs, offset, timestamp)
	}
}

func (m *memory) done(id uint32) {
	m.t.Helper()
	must(wire.ParseDone(m.answer(id, wire.KindDone)))(m.t)
}

// refused checks that the next frame is an Error of this code, and returns its
// text.
func (m *memory) refused(id uint32, code wire.Code) string {
	m.t.Helper()
	e := must(wire.ParseError(m.answer(id, wire.KindError)))(m.t)
	if e.Code != code {
		m.t.Fatalf("request %d: %v, want code %d (%s)", id, e, code, code)
	}
	return e.Text
}

// must returns v, or ends the test with err.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
