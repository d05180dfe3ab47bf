package server

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/internal/node"
	"github.com/rollway/rollway/wire"
)

// A Fetch gives the log's bytes from the batch that holds its offset on.
func TestFetch(t *testing.T) {
	f := openFrontend(t, Options{}, func(o *node.Options) { o.MaxFrameBytes = 64 << 10 })
	p := createTopic(t, f, "t", nil)
	var batches [][]byte
	for i := range 10 {
		batches = append(batches, batchOf(t, fmt.Sprint("a", i), fmt.Sprint("b", i)))
	}
	log := fill(t, p, batches...)
	size := len(log) / 10
	m := greeted(t, f)
	check := func(offset int64, maxBytes int32, want []byte) {
		t.Helper()
		m.ask(1, &wire.Fetch{Topic: []byte("t"), Offset: offset, MaxBytes: maxBytes})
		d := m.data(1)
		if !bytes.Equal(d.Batches, want) {
			t.Errorf("fetch at %d: %d bytes, want %d", offset, len(d.Batches), len(want))
		}
		if d.End || d.Partition != 0 || d.Offsets != (wire.Offsets{LastStable: 20, HighWatermark: 20}) || d.LeaderEpoch != p.LeaderEpoch() {
			t.Errorf("fetch at %d: %+v", offset, d)
		}
	}
	check(0, 1<<30, log)
	check(0, 1, log[:size])
	check(3, 1, log[size:2*size])
	check(0, int32(2*size+10), log[:2*size+10])
	check(19, 1<<20, log[9*size:])
	check(20, 1<<20, nil)
	// A sequential reader, once with a cursor that fits and once with one that
	// was displaced.
	for round := range 2 {
		got := []byte(nil)
		for offset := int64(0); offset < 20; {
			m.ask(1, &wire.Fetch{Topic: []byte("t"), Offset: offset, MaxBytes: 1})
			d := m.data(1)
			got = append(got, d.Batches...)
			offset = int64(record.Batch(d.Batches).NextOffset())
			if round == 1 {
				m.session.cursors = node.CursorCache{}
			}
		}
		if !bytes.Equal(got, log) {
			t.Errorf("round %d: %d bytes, want %d", round, len(got), len(log))
		}
	}
}

// What cannot be fetched is refused with a reason, and the connection goes on.
func TestFetchRefused(t *testing.T) {
	f := openFrontend(t, Options{}, func(o *node.Options) { o.MaxFrameBytes = 64 << 10 })
	p := createTopic(t, f, "t", nil)
	fill(t, p, batchOf(t, "a"), batchOf(t, strings.Repeat("x", 64<<10)))
	m := greeted(t, f)
	check := func(topic string, partition int32, offset int64, code wire.Code, text string) {
		t.Helper()
		m.ask(1, &wire.Fetch{Topic: []byte(topic), Partition: partition, Offset: offset, MaxBytes: 1, MaxWaitMs: 60_000})
		if got := m.refused(1, code); !strings.Contains(got, text) {
			t.Errorf("text %q, want %q in it", got, text)
		}
	}
	check("none", 0, 0, wire.CodeUnknownTopic, `"none"`)
	check("t", 2, 0, wire.CodeUnknownPartition, "t has partitions 0 to 1, asked for 2")
	check("t", 0, 3, wire.CodeOffsetOutOfRange, "t-0 has offsets 0 to 2, asked for 3")
	check("t", 0, 1, wire.CodeMessageTooLarge, "the batch at offset 1 of t-0")
	m.ask(1, &wire.Fetch{Topic: []byte("t"), MaxBytes: 1})
	if d := m.data(1); len(d.Batches) == 0 {
		t.Error("no batches")
	}
}

// A long poll ends when enough is visible, at its deadline with what there is,
// when its topic is deleted, and when the server stops. Answers behind it wait.
func TestLongPoll(t *testing.T) {
	f := openFrontend(t, Options{})
	p := createTopic(t, f, "t", nil)
	batch := batchOf(t, "some value")
	m := greeted(t, f)
	poll := func(id uint32, offset int64, minBytes int32, wait time.Duration) {
		m.ask(id, &wire.Fetch{Topic: []byte("t"), Offset: offset, MinBytes: minBytes, MaxBytes: 1 << 20, MaxWaitMs: uint32(wait.Milliseconds())})
	}

	poll(1, 0, int32(2*len(batch)), time.Minute)
	m.ask(2, &wire.ListTopics{})
	m.quiet()
	fill(t, p, batch)
	m.Turn()
	m.quiet()
	fill(t, p, batch)
	if d := m.data(1); len(d.Batches) != 2*len(batch) || d.Offsets.HighWatermark != 2 {
		t.Errorf("%d bytes up to %d, want two batches", len(d.Batches), d.Offsets.HighWatermark)
	}
	m.answer(2, wire.KindTopicList)

	start := time.Now()
	poll(3, 1, int32(2*len(batch)), 30*time.Millisecond)
	m.quiet()
	if d := m.data(3); len(d.Batches) != len(batch) {
		t.Errorf("%d bytes at the deadline, want one batch", len(d.Batches))
	}
	if waited := time.Since(start); waited < 30*time.Millisecond {
		t.Errorf("answered after %v, want 30 ms", waited)
	}

	poll(4, 2, 1, time.Minute)
	if err := f.engine.DeleteTopic("t"); err != nil {
		t.Fatal(err)
	}
	m.refused(4, wire.CodeUnknownTopic)

	createTopic(t, f, "t", nil)
	poll(5, 0, 1, time.Minute)
	f.Closing.Begin()
	m.refused(5, wire.CodeServerClosing)
	poll(6, 0, 1, time.Minute)
	m.refused(6, wire.CodeServerClosing)
	if m.session.inFlight != 0 || f.Closing.Waiting() != 0 {
		t.Errorf("%d bytes in flight, %d enrolled", m.session.inFlight, f.Closing.Waiting())
	}
}
