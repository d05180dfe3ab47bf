package server

import (
	"bytes"
	"strings"
	"testing"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/wire"
)

// Data frames come for exactly as many bytes as there is credit, in pieces of
// at most the maximum, and joined they are the log.
func TestSubscribeCredit(t *testing.T) {
	f := openFrontend(t, Options{MaxCredit: 1000})
	p := createTopic(t, f, "t", nil)
	batch := batchOf(t, strings.Repeat("x", 100))
	log := fill(t, p, batch, batchOf(t, strings.Repeat("y", 100)), batchOf(t, strings.Repeat("z", 100)))
	m := greeted(t, f)
	var got []byte
	piece := func(length int) {
		t.Helper()
		d := m.data(9)
		if len(d.Batches) != length || d.End {
			t.Fatalf("Data of %d bytes (end %t), want %d", len(d.Batches), d.End, length)
		}
		got = append(got, d.Batches...)
	}
	credit := func(bytes int64) { m.ask(9, &wire.Credit{Bytes: bytes}) }

	m.ask(9, &wire.Subscribe{Topic: []byte("t"), MaxBytes: 70, Credit: 0})
	piece(0) // the subscription stands
	m.quiet()
	credit(100)
	piece(70)
	piece(30)
	m.quiet()
	credit(1)
	credit(2)
	piece(1)
	piece(2)
	m.quiet()
	rest := len(log) - 103
	credit(int64(rest + 50))
	for ; rest > 0; rest -= 70 {
		piece(min(rest, 70))
	}
	m.quiet()
	log = fill(t, p, batch)
	piece(50) // what credit was left
	m.Turn()
	m.quiet()
	credit(1000)
	for rest := len(log) - len(got); rest > 0; rest -= 70 {
		piece(min(rest, 70))
	}
	if !bytes.Equal(got, log) {
		t.Error("the pieces joined are not the log")
	}
	m.ask(9, &wire.Unsubscribe{})
	if d := m.data(9); !d.End || len(d.Batches) != 0 || d.Offsets.HighWatermark != 4 {
		t.Errorf("last Data %+v", d)
	}
	// The id is free, and what crosses the end is ignored.
	credit(5)
	m.ask(9, &wire.Unsubscribe{})
	m.quiet()
	m.ask(9, &wire.Subscribe{Topic: []byte("t"), Offset: 3, MaxBytes: 1 << 20, Credit: 1000})
	if d := m.data(9); !bytes.Equal(d.Batches, log[len(log)-len(batch):]) {
		t.Errorf("%d bytes from offset 3, want the last batch", len(d.Batches))
	}
}

// A subscription to an empty partition stands, and gets what comes.
func TestSubscribeEmpty(t *testing.T) {
	f := openFrontend(t, Options{})
	p := createTopic(t, f, "t", nil)
	m := greeted(t, f)
	m.ask(1, &wire.Subscribe{Topic: []byte("t"), MaxBytes: 1 << 20, Credit: 1 << 20})
	if d := m.data(1); len(d.Batches) != 0 || d.End {
		t.Errorf("first Data %+v", d)
	}
	m.quiet()
	for round := range 3 {
		log := fill(t, p, batchOf(t, "x"))
		if d := m.data(1); !bytes.Equal(d.Batches, log[round*len(log)/(round+1):]) {
			t.Errorf("round %d: %d bytes", round, len(d.Batches))
		}
	}
	m.quiet()
}

// What cannot be subscribed to is refused, and what ends a subscription is
// told, once; the connection goes on.
func TestSubscribeRefused(t *testing.T) {
	f := openFrontend(t, Options{MaxCredit: 1000, MaxSubscriptions: 2})
	p := createTopic(t, f, "t", nil)
	fill(t, p, batchOf(t, "x"))
	m := greeted(t, f)
	subscribe := func(id uint32, topic string, partition int32, offset, credit int64) {
		m.ask(id, &wire.Subscribe{Topic: []byte(topic), Partition: partition, Offset: offset, MaxBytes: 100, Credit: credit})
	}
	subscribe(1, "none", 0, 0, 1)
	m.refused(1, wire.CodeUnknownTopic)
	subscribe(1, "t", 9, 0, 1)
	m.refused(1, wire.CodeUnknownPartition)
	subscribe(1, "t", 0, 2, 1)
	m.refused(1, wire.CodeOffsetOutOfRange)
	subscribe(1, "t", 0, 0, 1001)
	m.refused(1, wire.CodeInvalidRequest)

	subscribe(1, "t", 0, 1, 999)
	m.data(1)
	m.ask(1, &wire.Credit{Bytes: 1})
	m.quiet()
	m.ask(1, &wire.Credit{Bytes: 1})
	m.refused(1, wire.CodeInvalidRequest)
	m.ask(1, &wire.Credit{Bytes: 1 << 62})
	m.quiet()

	subscribe(1, "t", 0, 1, 0)
	m.data(1)
	subscribe(2, "t", 1, 0, 10)
	m.data(2)
	subscribe(3, "t", 0, 1, 0)
	if text := m.refused(3, wire.CodeLimitReached); !strings.Contains(text, "has 2 subscriptions") {
		t.Errorf("text %q", text)
	}
	m.ask(1, &wire.Unsubscribe{})
	m.data(1)
	if err := f.engine.DeleteTopic("t"); err != nil {
		t.Fatal(err)
	}
	m.refused(2, wire.CodeUnknownTopic)
	if len(m.session.subscriptions) != 0 || f.Closing.Waiting() != 0 {
		t.Errorf("%d subscriptions, %d enrolled after all ended", len(m.session.subscriptions), f.Closing.Waiting())
	}

	createTopic(t, f, "t", nil)
	subscribe(4, "t", 0, 0, 10)
	m.data(4)
	f.Closing.Begin()
	m.refused(4, wire.CodeServerClosing)
	m.ask(5, &wire.ListTopics{})
	m.answer(5, wire.KindTopicList)
}

// A request with the id of a live subscription is malformed.
func TestSubscriptionIDTaken(t *testing.T) {
	f := openFrontend(t, Options{})
	createTopic(t, f, "t", nil)
	for _, request := range []message{
		&wire.Subscribe{Topic: []byte("t"), MaxBytes: 1},
		&wire.ListTopics{},
		produceTo("t", 0, wire.AcksAll, batchOf(t, "x")),
	} {
		m := greeted(t, f)
		m.ask(1, &wire.Subscribe{Topic: []byte("t"), MaxBytes: 1})
		m.data(1)
		m.ask(1, request)
		m.refused(1, wire.CodeInvalidRequest)
		if m.Err == nil {
			t.Errorf("%T with the id of a subscription: the connection goes on", request)
		}
	}
}

// Much of a log leaves in turns, and stops when there is no room.
func TestSubscribeTurns(t *testing.T) {
	f := openFrontend(t, Options{})
	p := createTopic(t, f, "t", pageCache)
	for range 40 {
		r := &engine.AppendRequest{Batches: batchOf(t, strings.Repeat("x", 100<<10)), Acks: engine.AcksAll}
		if p.Append(r); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	log := logOf(t, p)
	m := greeted(t, f)
	m.ask(1, &wire.Subscribe{Topic: []byte("t"), MaxBytes: 300_000, Credit: wire.DefaultMaxCredit})
	if m.Largest < 1<<20 || m.Largest > 1<<20+300_100 {
		t.Errorf("one turn sent %d bytes, want about 1 MiB", m.Largest)
	}
	var got []byte
	for len(got) < len(log) {
		got = append(got, m.data(1).Batches...)
	}
	if !bytes.Equal(got, log) {
		t.Error("the pieces joined are not the log")
	}
}
