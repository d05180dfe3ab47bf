package server

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/rollway/rollway/wire"
)

// counted lists what was counted, as "Kind code count".
func counted(f *frontend) (list []string) {
	for _, a := range f.requests.Counted() {
		for _, c := range a.Codes {
			if c.Requests > 0 {
				list = append(list, fmt.Sprint(a.API, " ", c.Code, " ", c.Requests))
			}
		}
	}
	return list
}

// Each request is counted once, with the code that it was answered with, whether
// it was answered at once, later, or not at all.
func TestRequestsAreCounted(t *testing.T) {
	f := openFrontend(t, Options{})
	p := createTopic(t, f, "t", pageCache)
	m := greeted(t, f)

	var frames []byte
	for id := range uint32(3) { // a group of three, one of which is refused
		batch := batchOf(t, "x")
		if id == 1 {
			batch[len(batch)-1] ^= 1
		}
		frames = produceTo("t", 0, wire.AcksAll, batch).AppendTo(frames, id+1)
	}
	frames = produceTo("t", 0, wire.AcksNone, batchOf(t, "x")).AppendTo(frames, 4)
	frames = produceTo("none", 0, wire.AcksNone, batchOf(t, "x")).AppendTo(frames, 5)
	frames = produceTo("none", 0, wire.AcksAll, batchOf(t, "x")).AppendTo(frames, 6)
	m.Receive(frames)
	m.produced(1, 0, 1)
	m.refused(2, wire.CodeCorruptBatch)
	m.produced(3, 1, 2)
	m.refused(6, wire.CodeUnknownTopic)

	m.ask(7, &wire.Fetch{Topic: []byte("t"), MaxBytes: 1 << 20})
	fetched := len(m.data(7).Batches)
	m.ask(8, &wire.Fetch{Topic: []byte("t"), Offset: 100, MaxBytes: 1})
	m.refused(8, wire.CodeOffsetOutOfRange)
	m.ask(9, &wire.Fetch{Topic: []byte("t"), Offset: 3, MinBytes: 1, MaxBytes: 1 << 20, MaxWaitMs: 60_000})
	m.quiet()
	if slices.Contains(counted(f), "Fetch none 2") {
		t.Error("a long poll was counted before it was answered")
	}
	fill(t, p, batchOf(t, "y"))
	fetched += len(m.data(9).Batches)
	m.ask(10, &wire.CreateTopic{Topic: "u", Partitions: 1}) // a task
	m.done(10)
	m.ask(11, &wire.CreateTopic{Topic: "u", Partitions: 1})
	m.refused(11, wire.CodeTopicExists)
	m.ask(12, &wire.Subscribe{Topic: []byte("t"), MaxBytes: 1 << 20, Credit: 1 << 20})
	fetched += len(m.data(12).Batches)
	m.ask(12, &wire.Credit{Bytes: 1})
	m.ask(12, &wire.ListTopics{}) // a malformed frame: the id is taken
	m.refused(12, wire.CodeInvalidRequest)

	want := []string{
		"Hello none 1",
		"CreateTopic none 1", "CreateTopic topic_exists 1",
		"ListTopics invalid_request 1",
		"Produce none 3", "Produce unknown_topic 2", "Produce corrupt_batch 1",
		"Fetch none 2", "Fetch offset_out_of_range 1",
		"Subscribe none 1",
		"Credit none 1",
	}
	if got := counted(f); !slices.Equal(got, want) {
		t.Errorf("counted\n%q, want\n%q", got, want)
	}
	if s := p.Stats(); s.FetchedBytes != int64(fetched) || s.AppendedRecords != 4 {
		t.Errorf("%+v, want %d bytes fetched and 4 records appended", s, fetched)
	}
}

// A long poll took as long as its reader waited, not as long as its last look.
func TestLongPollDuration(t *testing.T) {
	f := openFrontend(t, Options{})
	createTopic(t, f, "t", nil)
	m := greeted(t, f)
	const wait = 20 * time.Millisecond
	m.ask(1, &wire.Fetch{Topic: []byte("t"), MinBytes: 1, MaxBytes: 1, MaxWaitMs: uint32(wait.Milliseconds())})
	m.data(1)
	for _, a := range f.requests.Counted() {
		if a.API == "Fetch" && (a.Took.Count() != 1 || a.Took.Sum < int64(wait)) {
			t.Errorf("%d fetches took %v, want one of %v", a.Took.Count(), time.Duration(a.Took.Sum), wait)
		}
	}
}

// Every kind that a client sends and every code has a name to be counted by.
func TestRequestNames(t *testing.T) {
	spec := requestsSpec()
	if got := spec.APIs[wire.KindSkipDamage]; got != "SkipDamage" {
		t.Errorf("kind %d is %q", wire.KindSkipDamage, got)
	}
	if spec.APIs[0] != "" || len(spec.APIs) != 0x80 {
		t.Errorf("%d kinds, the first %q", len(spec.APIs), spec.APIs[0])
	}
	for c := range wire.Code(1000) {
		if c.Known() != (c > 0 && int(c) < len(spec.Codes)) {
			t.Errorf("code %d is known: %t, of %d names", c, c.Known(), len(spec.Codes))
		}
	}
	if got := spec.Codes[wire.CodeOffsetOutOfRange]; got != "offset_out_of_range" {
		t.Errorf("code %d is %q", wire.CodeOffsetOutOfRange, got)
	}
}
