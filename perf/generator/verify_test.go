package generator

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// testTopic is one topic with one partition, two producers and one subscription.
func testTopic(t *testing.T) (v *verifier, c *partitionCheck, workers []*worker, w Workload) {
	t.Helper()
	w = DefaultWorkload()
	w.ProducersPerTopic, w.MessageSize = 2, 64
	v = &verifier{run: 7, messageSize: w.MessageSize, producers: 2}
	c = v.newCheck("topic", 0, 0, 0)
	p, err := newPayloads(w)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		workers = append(workers, newWorker(i, "topic", 7, w, newMeter(&testClock{}), p))
	}
	return v, c, workers, w
}

// value returns a message as it is sent.
func value(m message) []byte {
	p := make([]byte, 64)
	m.put(p)
	return p
}

// What a log does with the messages of a producer is told apart: nothing, lost, twice in the log, delivered twice, out of order, corrupt; with where it is.
func TestVerify(t *testing.T) {
	// Log lists what comes, "offset:sequence" of producer 0, of which sent were acknowledged.
	f := func(log string, sent int64, want Verification) {
		t.Helper()
		v, c, workers, w := testTopic(t)
		workers[0].sent[0] = sent
		for _, entry := range strings.Fields(log) {
			var offset, sequence int64
			if _, err := fmt.Sscanf(entry, "%d:%d", &offset, &sequence); err != nil {
				t.Fatal(err)
			}
			c.take(offset, value(message{run: 7, sequence: sequence, due: 99}))
		}
		got := v.finish(workers, w, "")
		want.Sent, want.Acknowledged = sent, sent
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Errorf("%s: %+v, want %+v", log, got, want)
		}
	}
	f("", 0, Verification{})
	f("0:0 1:1 2:2", 3, Verification{Received: 3})
	f("5:0 9:1", 2, Verification{Received: 2}) // offsets may have gaps: other producers, control batches
	f("0:0 1:3 2:4", 5, Verification{Received: 3, Lost: 2, Findings: []string{
		"lost: topic-0 (subscription 0): messages 1 to 2 of producer 0, between offsets 0 and 1"}})
	f("0:0 1:1", 4, Verification{Received: 2, Lost: 2, Findings: []string{
		"lost: topic-0 (subscription 0): messages 2 to 3 of producer 0, between offsets 1 and -1"}})
	f("", 2, Verification{Lost: 2, Findings: []string{
		"lost: topic-0 (subscription 0): messages 0 to 1 of producer 0, between offsets -1 and -1"}})
	f("0:0 1:1 2:1 3:2", 3, Verification{Received: 3, Duplicated: 1, Findings: []string{
		"duplicated: topic-0 at offset 2 (subscription 0): message 1 of producer 0, which came before"}})
	f("0:0 1:1 0:0 1:1 2:2", 3, Verification{Received: 3, Redelivered: 2})
	f("0:0 1:2 2:1 3:3", 4, Verification{Received: 4, OutOfOrder: 1, Findings: []string{
		"out of order: topic-0 at offset 2 (subscription 0): message 1 of producer 0 behind message 2 at offset 1"}})
	f("0:9 1:5 2:5", 10, Verification{Received: 2, OutOfOrder: 1, Duplicated: 1, Lost: 8, Findings: []string{
		"out of order: topic-0 at offset 1 (subscription 0): message 5 of producer 0 behind message 9 at offset 0",
		"duplicated: topic-0 at offset 2 (subscription 0): message 5 of producer 0, which came before",
		"lost: topic-0 (subscription 0): messages 0 to 4 of producer 0, between offsets -1 and 0",
		"lost: topic-0 (subscription 0): messages 6 to 8 of producer 0, between offsets -1 and 0"}})
}

// Values that are not what was sent are corrupt, whatever of them is wrong.
func TestVerifyCorrupt(t *testing.T) {
	good := message{run: 7, producer: 1, sequence: 0, due: 99}
	f := func(value []byte, want string) {
		t.Helper()
		v, c, workers, w := testTopic(t)
		if _, fresh := c.take(3, value); fresh {
			t.Error("a corrupt message counts")
		}
		got := v.finish(workers, w, "")
		if got.Corrupt != 1 || len(got.Findings) != 1 || got.Findings[0] != "corrupt: topic-0 at offset 3 (subscription 0): "+want {
			t.Errorf("%+v, want %s", got, want)
		}
		var bad *VerificationError
		if err := got.Err(); !errors.As(err, &bad) || err.Error() != "messages 1 corrupt; first: "+got.Findings[0] {
			t.Errorf("error %v", err)
		}
	}
	f(nil, "0 bytes, want 64")
	f(value(good)[:63], "63 bytes, want 64")
	for i := range 64 {
		v, c, _, _ := testTopic(t)
		flipped := value(good)
		flipped[i] ^= 1 << (i % 8)
		if _, fresh := c.take(3, flipped); fresh || v.corrupt.Load() != 1 {
			t.Errorf("a bit of byte %d is not missed", i)
		}
	}
	f(value(message{run: 8}), "run 00000008, want 00000007")
	f(value(message{run: 7, producer: 2}), "producer 2, want 0 to 1")
	f(value(message{run: 7, partition: 1}), "partition 1, want 0")
	f(value(message{run: 7, sequence: -1}), "sequence below 0")
}

// What was not acknowledged need not come; what is at most or at least once by its settings is counted and no failure.
func TestVerifyAllowed(t *testing.T) {
	v, c, workers, w := testTopic(t)
	workers[0].sent[0] = 10
	for _, s := range []int64{2, 3, 4, 8} {
		workers[0].delivered(0, s, []int64{1}, errors.New("refused"))
	}
	for offset, sequence := range []int64{0, 1, 3, 5, 6, 9} { // 3 came although its answer did not
		c.take(int64(offset), value(message{run: 7, sequence: sequence}))
	}
	got := v.finish(workers, w, "")
	if got.Sent != 10 || got.Acknowledged != 6 || got.Received != 6 || got.Lost != 1 || !strings.Contains(got.Findings[0], "messages 7 to 7 of") {
		t.Errorf("%+v, want message 7 lost", got)
	}
	if v.finish(workers, w, "stopped").Lost != 0 {
		t.Error("loss although consumers were not given the time")
	}
	w.Acks, w.Idempotence = "0", false
	got = v.finish(workers, w, "")
	if err := got.Err(); got.Lost != 1 || err != nil {
		t.Errorf("acks 0: %d lost, %v", got.Lost, err)
	}
	c.take(9, value(message{run: 7, sequence: 9}))
	got = v.finish(workers, w, "")
	if err := got.Err(); got.Duplicated != 1 || err != nil {
		t.Errorf("without idempotence: %d duplicated, %v", got.Duplicated, err)
	}
	w.Idempotence = true
	if v := v.finish(workers, w, ""); v.Err() == nil {
		t.Error("a duplicate although idempotence is on")
	}
}

// Spans hold what a set of sequences holds, whatever is added and removed, and a bound on them loses no count.
func TestSpans(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		var a, b spans
		inA, inB := map[int64]bool{}, map[int64]bool{}
		at := int64(0)
		for range 30 {
			from := at + random.Int64N(3)
			at = from + 1 + random.Int64N(4)
			a.add(span{from: from, to: at, before: 1, after: 2})
			for i := from; i < at; i++ {
				inA[i] = true
			}
			if random.IntN(2) == 0 {
				b.add(span{from: from, to: at, before: -1, after: -1})
				for i := from; i < at; i++ {
					inB[i] = true
				}
			}
		}
		for range 40 {
			i := random.Int64N(at + 2)
			if got := a.remove(i); got != inA[i] {
				t.Fatalf("seed %d: remove %d: %v, want %v", seed, i, got, inA[i])
			}
			delete(inA, i)
		}
		if int(a.count) != len(inA) {
			t.Fatalf("seed %d: count %d, want %d", seed, a.count, len(inA))
		}
		left := map[int64]bool{}
		for _, p := range a.without(&b) {
			for i := p.from; i < p.to; i++ {
				left[i] = true
			}
		}
		for i := range at {
			if left[i] != (inA[i] && !inB[i]) {
				t.Fatalf("seed %d: %d: %v after taking out what is not wanted", seed, i, left[i])
			}
		}
	}
	var many spans
	for i := range int64(maxSpans + 10) {
		many.add(span{from: 3 * i, to: 3*i + 2, after: 1})
	}
	if len(many.list) != maxSpans || many.count != 2*(maxSpans+10) {
		t.Errorf("%d spans of %d sequences", len(many.list), many.count)
	}
}
