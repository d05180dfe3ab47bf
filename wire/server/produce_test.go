package server

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/internal/node"
	"github.com/rollway/rollway/wire"
)

func produceTo(topic string, partition int32, acks wire.Acks, batches ...[]byte) *wire.Produce {
	return &wire.Produce{Topic: []byte(topic), Partition: partition, Acks: acks, Batches: bytes.Join(batches, nil)}
}

// Pipelined Produces of both kinds of topics are answered in their order, each
// with its own offsets or error, those with acks 0 not at all.
func TestProducePipelined(t *testing.T) {
	f := openFrontend(t, Options{})
	createTopic(t, f, "durable", nil)
	createTopic(t, f, "cached", pageCache)
	m := greeted(t, f)
	damaged := batchOf(t, "damaged")
	damaged[len(damaged)-1] ^= 1
	var p []byte
	p = produceTo("durable", 0, wire.AcksAll, batchOf(t, "a", "b")).AppendTo(p, 1)
	p = produceTo("durable", 0, wire.AcksLeader, batchOf(t, "c"), batchOf(t, "d", "e")).AppendTo(p, 2)
	p = produceTo("durable", 0, wire.AcksNone, batchOf(t, "f")).AppendTo(p, 3)
	p = produceTo("durable", 0, wire.AcksAll, damaged).AppendTo(p, 4)
	p = produceTo("durable", 0, wire.AcksNone, damaged).AppendTo(p, 5)
	p = produceTo("durable", 0, wire.AcksAll, batchOf(t, "g")).AppendTo(p, 6)
	p = produceTo("cached", 0, wire.AcksAll, batchOf(t, "h")).AppendTo(p, 7)
	p = produceTo("durable", 1, wire.AcksAll, batchOf(t, "i")).AppendTo(p, 8)
	p = produceTo("missing", 0, wire.AcksAll, batchOf(t, "j")).AppendTo(p, 9)
	p = produceTo("missing", 0, wire.AcksNone, batchOf(t, "k")).AppendTo(p, 10)
	p = produceTo("cached", 5, wire.AcksAll, batchOf(t, "l")).AppendTo(p, 11)
	p = produceTo("cached", 0, wire.AcksAll, batchOf(t, "m")).AppendTo(p, 12)
	m.Receive(p)
	m.produced(1, 0, 2)
	m.produced(2, 2, 5)
	m.refused(4, wire.CodeCorruptBatch)
	m.produced(6, 6, 7)
	m.produced(7, 0, 1)
	m.produced(8, 0, 1)
	m.refused(9, wire.CodeUnknownTopic)
	m.refused(11, wire.CodeUnknownPartition)
	if got := m.produced(12, 1, 2); got.LogAppendTimeMs != -1 || got.LogStart != 0 {
		t.Errorf("answer %+v, want no log append time and log start 0", got)
	}
	m.quiet()
	if m.session.inFlight != 0 {
		t.Errorf("%d bytes in flight after all answers", m.session.inFlight)
	}
}

// More Produces than one group takes arrive at once, and are appended in order.
func TestProduceManyGroups(t *testing.T) {
	f := openFrontend(t, Options{})
	createTopic(t, f, "t", nil)
	m := greeted(t, f)
	m.MaxItems = 3 // fewer than groups
	const count = 5*maxGroup + 7
	var p []byte
	for id := range uint32(count) {
		p = produceTo("t", 0, wire.AcksAll, batchOf(t, "v")).AppendTo(p, 1000+id)
	}
	m.Receive(p)
	for id := range uint32(count) {
		m.produced(1000+id, int64(id), int64(id)+1)
	}
	m.quiet()
}

// What the engine refuses is answered by its code, and the connection goes on.
func TestProduceRefused(t *testing.T) {
	f := openFrontend(t, Options{}, func(o *node.Options) { o.MaxFrameBytes = 64 << 10 })
	createTopic(t, f, "small", map[string]string{"max.message.bytes": "100"})
	createTopic(t, f, "recent", map[string]string{"message.timestamp.before.max.ms": "1000"})
	createTopic(t, f, "replicas", map[string]string{"min.insync.replicas": "2"})
	createTopic(t, f, "t", nil)
	appended := createTopic(t, f, "stamped", map[string]string{"message.timestamp.type": "LogAppendTime"})
	m := greeted(t, f)
	id := uint32(0)
	check := func(request *wire.Produce, code wire.Code, text string) {
		t.Helper()
		id++
		m.ask(id, request)
		if got := m.refused(id, code); !strings.Contains(got, text) {
			t.Errorf("text %q, want %q in it", got, text)
		}
	}
	check(produceTo("small", 0, -1, batchOf(t, strings.Repeat("x", 200))), wire.CodeMessageTooLarge, "max.message.bytes is 100")
	check(produceTo("recent", 0, -1, batchOf(t, "x")), wire.CodeInvalidTimestamp, "message.timestamp.before.max.ms is 1000") // at 1000 ms
	check(produceTo("replicas", 0, -1, batchOf(t, "x")), wire.CodeNotEnoughReplicas, "min.insync.replicas wants 2")
	check(produceTo("t", 0, -1, []byte("no batch")), wire.CodeCorruptBatch, "t-0")
	check(produceTo("t", 0, -1, batchOf(t, strings.Repeat("x", 64<<10-290))), wire.CodeMessageTooLarge, "so that a Data can carry it")
	var b record.Builder
	b.Reset(record.BuilderOptions{Control: true, Producer: &record.Producer{}})
	if err := b.Append(1, nil, nil); err != nil {
		t.Fatal(err)
	}
	control, err := b.Build(nil)
	if err != nil {
		t.Fatal(err)
	}
	check(produceTo("t", 0, -1, control), wire.CodeInvalidBatch, "")
	m.ask(99, produceTo("stamped", 0, -1, batchOf(t, "x")))
	if got := m.produced(99, 0, 1); got.LogAppendTimeMs <= 1000 {
		t.Errorf("log append time %d", got.LogAppendTimeMs)
	}
	if appended.Offsets().LogEnd != 1 {
		t.Errorf("log end %d", appended.Offsets().LogEnd)
	}
}

// Beyond the limit of bytes in flight nothing more is taken before an answer
// has left, and then everything is.
func TestProduceInFlight(t *testing.T) {
	f := openFrontend(t, Options{}, func(o *node.Options) { o.MaxFrameBytes, o.InFlightBytes = 64<<10, 64<<10 })
	createTopic(t, f, "t", nil)
	m := greeted(t, f)
	var p []byte
	const count = 40
	for id := range uint32(count) {
		p = produceTo("t", int32(id%2), wire.AcksAll, batchOf(t, strings.Repeat("x", 10<<10))).AppendTo(p, 100+id)
	}
	m.Receive(p)
	for id := range uint32(count) {
		if m.session.inFlight > 64<<10+11<<10 {
			t.Fatalf("%d bytes in flight", m.session.inFlight)
		}
		m.produced(100+id, int64(id/2), int64(id/2)+1)
	}
	m.quiet()
}

// A connection that ends while answers wait leaves nothing armed.
func TestProduceCancelled(t *testing.T) {
	f := openFrontend(t, Options{})
	p := createTopic(t, f, "t", nil)
	for range 20 {
		m := greeted(t, f)
		m.ask(1, produceTo("t", 0, wire.AcksAll, batchOf(t, "x")))
		m.Close()
	}
	fill(t, p, batchOf(t, "y"))
}

// After the directory has stopped no error says that nothing was changed.
func TestUnacknowledged(t *testing.T) {
	check := func(err error, code wire.Code) {
		t.Helper()
		if got := unacknowledged(err); got.Code != code || got.Retryable() {
			t.Errorf("unacknowledged(%v) = %v (%v), want code %v", err, got, got.Code, code)
		}
	}
	check(engine.ErrStorageFailed, wire.CodeStorageFailed)
	check(engine.ErrClosed, wire.CodeTimeout)
	check(engine.ErrNotReady, wire.CodeTimeout)
	check(engine.ErrUnknownTopic, wire.CodeUnknownTopic)
	check(errors.New("a bug"), wire.CodeInternal)
}
