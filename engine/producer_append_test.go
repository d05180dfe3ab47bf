package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"syscall"
	"testing"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/internal/invariant"
)

// sequenced builds a batch of n records of an idempotent producer.
func sequenced(t testing.TB, id int64, epoch int16, sequence int32, n int) []byte {
	t.Helper()
	var b record.Builder
	b.Reset(record.BuilderOptions{Producer: &record.Producer{ID: id, Epoch: epoch, BaseSequence: sequence}})
	for i := range n {
		if err := b.Append(1000+int64(sequence), nil, fmt.Appendf(nil, "%d/%d/%d", id, epoch, sequenceAfter(sequence, int32(i)))); err != nil {
			t.Fatal(err)
		}
	}
	out, err := b.Build(nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// appendTo appends a request of these batches and returns it.
func appendTo(p *Partition, batches ...[]byte) *AppendRequest {
	r := &AppendRequest{Acks: AcksAll}
	for _, b := range batches {
		r.Batches = append(r.Batches, b...)
	}
	p.Append(r)
	return r
}

// sequences checks what becomes of requests, step by step.
type sequences struct {
	t testing.TB
	p *Partition
}

// good wants the request appended at base.
func (s sequences) good(base Offset, batches ...[]byte) {
	s.t.Helper()
	if r := appendTo(s.p, batches...); r.Err != nil || r.Duplicate || r.BaseOffset != base {
		s.t.Fatalf("offset %d, duplicate %t, %v, want it appended at %d", r.BaseOffset, r.Duplicate, r.Err, base)
	}
}

// again wants the request answered as a duplicate, and nothing appended.
func (s sequences) again(base, next Offset, batches ...[]byte) {
	s.t.Helper()
	end := s.p.Offsets().LogEnd
	r := appendTo(s.p, batches...)
	if r.Err != nil || !r.Duplicate || r.BaseOffset != base || r.NextOffset != next {
		s.t.Fatalf("offsets %d to %d, duplicate %t, %v, want the duplicate at %d to %d", r.BaseOffset, r.NextOffset, r.Duplicate, r.Err, base, next)
	}
	if now := s.p.Offsets().LogEnd; now != end {
		s.t.Fatalf("the log ends at %d after a duplicate, want %d", now, end)
	}
}

// bad wants the request refused, and nothing appended.
func (s sequences) bad(want error, batches ...[]byte) {
	s.t.Helper()
	end := s.p.Offsets().LogEnd
	if r := appendTo(s.p, batches...); !errors.Is(r.Err, want) || r.Duplicate {
		s.t.Fatalf("%v, duplicate %t, want %v", r.Err, r.Duplicate, want)
	}
	if now := s.p.Offsets().LogEnd; now != end {
		s.t.Fatalf("the log ends at %d after a refusal, want %d", now, end)
	}
}

func newSequences(t *testing.T, change ...func(*Options)) sequences {
	t.Helper()
	return sequences{t, createTopic(t, openEngine(t, t.TempDir(), change...), "t")}
}

// The rules for sequences and epochs, one producer beside another and beside batches of none.
func TestProducerSequences(t *testing.T) {
	s := newSequences(t)
	s.good(0, sequenced(t, 7, 0, 0, 3))
	s.good(3, sequenced(t, 7, 0, 3, 1))
	s.bad(ErrOutOfOrderSequence, sequenced(t, 7, 0, 5, 1)) // a gap
	s.good(4, batchOf(t, 1, "nobody's"))
	s.good(5, sequenced(t, 8, 4, 77, 1)) // nothing is known of 8: it may begin anywhere
	s.good(6, sequenced(t, 7, 0, 4, 2))
	s.bad(ErrOutOfOrderSequence, sequenced(t, 7, 0, 4, 1)) // begins like a batch, but is another
	s.bad(ErrOutOfOrderSequence, sequenced(t, 7, 0, 5, 1))
	s.bad(ErrOutOfOrderSequence, sequenced(t, 8, 5, 78, 1)) // a new epoch begins at 0
	s.good(8, sequenced(t, 8, 5, 0, 1))
	s.bad(ErrInvalidProducerEpoch, sequenced(t, 8, 4, 78, 1))
	s.bad(ErrInvalidProducerEpoch, sequenced(t, 8, 4, 77, 1)) // a duplicate, but of an epoch that is over
	s.good(9, sequenced(t, 8, 9, 0, 1))                       // epochs may be left out
	s.good(10, sequenced(t, 7, 0, 6, 1))
}

// Each of the last five batches is answered with the offsets it has, the sixth is out of order; other producers push none out.
func TestProducerDuplicates(t *testing.T) {
	s := newSequences(t)
	var base []Offset
	var batches [][]byte
	next := Offset(0)
	for i := range int32(7) {
		b := sequenced(t, 7, 2, 10*i, 10)
		batches, base = append(batches, b), append(base, next)
		s.good(next, b)
		s.good(next+10, sequenced(t, 8, 0, i, 1))
		next += 11
	}
	for i, b := range batches[2:] {
		s.again(base[2+i], base[2+i]+10, b)
	}
	s.bad(ErrOutOfOrderSequence, batches[1])
	s.bad(ErrOutOfOrderSequence, batches[0])
	s.again(base[2], base[2]+10, batches[2]) // a duplicate changes nothing
}

// 0 follows 2^31-1, also in the middle of a batch; duplicates are known across that.
func TestProducerSequenceWraps(t *testing.T) {
	s := newSequences(t)
	last := int32(math.MaxInt32)
	s.good(0, sequenced(t, 7, 0, last-3, 2))
	s.good(2, sequenced(t, 7, 0, last-1, 5)) // up to 2
	s.again(2, 7, sequenced(t, 7, 0, last-1, 5))
	s.bad(ErrOutOfOrderSequence, sequenced(t, 7, 0, 0, 1))
	s.good(7, sequenced(t, 7, 0, 3, 1))
	s.good(8, sequenced(t, 8, 0, last, 1))
	s.good(9, sequenced(t, 8, 0, 0, 1))
	s.again(8, 9, sequenced(t, 8, 0, last, 1))
	s.again(0, 2, sequenced(t, 7, 0, last-3, 2))
}

// A request of several batches is one piece: appended, known or refused as a whole.
func TestProducerRequestsOfSeveralBatches(t *testing.T) {
	s := newSequences(t)
	a, b, c := sequenced(t, 7, 0, 0, 2), sequenced(t, 7, 0, 2, 1), sequenced(t, 7, 0, 3, 3)
	s.good(0, a, b)
	s.again(0, 3, a, b)
	s.again(2, 3, b)
	s.bad(ErrOutOfOrderSequence, b, c) // the first half is in the log
	s.good(3, c)
	s.again(0, 6, a, b, c)
	s.bad(ErrOutOfOrderSequence, sequenced(t, 7, 0, 6, 1), sequenced(t, 7, 0, 8, 1))
	s.bad(record.ErrInvalid, sequenced(t, 7, 0, 6, 1), sequenced(t, 8, 0, 0, 1))
	s.bad(record.ErrInvalid, sequenced(t, 7, 0, 6, 1), batchOf(t, 1, "nobody's"))
	s.bad(record.ErrInvalid, sequenced(t, 7, 0, 6, 1), sequenced(t, 7, 1, 0, 1))

	// Batches that are known, but have others between them, were not one request.
	s.good(6, sequenced(t, 7, 0, 6, 1))
	s.good(7, sequenced(t, 9, 0, 0, 1))
	s.good(8, sequenced(t, 7, 0, 7, 1))
	s.bad(ErrOutOfOrderSequence, sequenced(t, 7, 0, 6, 1), sequenced(t, 7, 0, 7, 1))
}

// The requests of one call see those before them, as if they came one by one.
func TestProducerRequestsOfOneCall(t *testing.T) {
	s := newSequences(t)
	var requests []*AppendRequest
	add := func(batch []byte) { requests = append(requests, &AppendRequest{Batches: batch, Acks: AcksAll}) }
	add(sequenced(t, 7, 0, 0, 1)) // 0
	add(sequenced(t, 8, 0, 5, 2)) // 1, 2
	add(sequenced(t, 7, 0, 1, 1)) // 3
	add(sequenced(t, 7, 0, 1, 1)) // of 3
	add(sequenced(t, 7, 0, 9, 1)) // a gap
	add(sequenced(t, 7, 0, 2, 1)) // 4
	add(sequenced(t, 8, 0, 5, 2)) // of 1
	add(sequenced(t, 7, 1, 0, 1)) // 5
	add(sequenced(t, 7, 0, 3, 1)) // fenced
	add(batchOf(t, 1, "nobody's"))
	s.p.Append(requests...)
	for i, want := range []struct {
		base      Offset
		duplicate bool
		err       error
	}{
		{base: 0}, {base: 1}, {base: 3}, {base: 3, duplicate: true}, {err: ErrOutOfOrderSequence},
		{base: 4}, {base: 1, duplicate: true}, {base: 5}, {err: ErrInvalidProducerEpoch}, {base: 6},
	} {
		r := requests[i]
		if !errors.Is(r.Err, want.err) || want.err == nil && (r.Err != nil || r.BaseOffset != want.base || r.Duplicate != want.duplicate) {
			t.Errorf("request %d: offset %d, duplicate %t, %v, want %+v", i, r.BaseOffset, r.Duplicate, r.Err, want)
		}
	}
	if end := s.p.Offsets().LogEnd; end != 7 {
		t.Errorf("the log ends at %d, want 7", end)
	}
}

// A duplicate is acknowledged when the batch itself is durable, not before.
func TestProducerDuplicateWaitsForTheOriginal(t *testing.T) {
	fs := traceDir(t, t.TempDir())
	e := openEngine(t, "", onFS(fs))
	p := createTopic(t, e, "t")
	produce(t, p, sequenced(t, 7, 0, 0, 1))
	syncing, goOn := make(chan struct{}), make(chan struct{})
	fs.hook(func(c call) error {
		if c.op == "datasync" {
			syncing <- struct{}{}
			<-goOn
		}
		return nil
	})
	appendTo(p, sequenced(t, 7, 0, 1, 1))
	<-syncing
	again := appendTo(p, sequenced(t, 7, 0, 1, 1))
	if ok, err := p.Acknowledged(again.NextOffset); ok || err != nil || !again.Duplicate {
		t.Errorf("duplicate of a batch that is not durable: acknowledged %t, %v", ok, err)
	}
	fs.hook(nil)
	close(goOn)
	if err := p.AwaitHighWatermark(context.Background(), again.NextOffset); err != nil {
		t.Error(err)
	}
}

// With LogAppendTime a duplicate is answered with the time of its append, otherwise without one.
func TestProducerDuplicateTime(t *testing.T) {
	clock := newFakeClock()
	e := openEngine(t, t.TempDir(), clock.use)
	f := func(topic, timestampType string, want int64) {
		t.Helper()
		p := createTopic(t, e, topic, "message.timestamp.type", timestampType)
		first := appendTo(p, sequenced(t, 7, 0, 0, 1))
		clock.advance(e, time.Second)
		again := appendTo(p, sequenced(t, 7, 0, 0, 1))
		if first.LogAppendTime != want || again.LogAppendTime != want || !again.Duplicate {
			t.Errorf("%s: %d, then %d, want %d", topic, first.LogAppendTime, again.LogAppendTime, want)
		}
	}
	f("created", "CreateTime", -1)
	f("appended", "LogAppendTime", clock.now().UnixMilli())
}

// What could not be written was not produced: the same sequences are taken later.
func TestProducerAppendFails(t *testing.T) {
	fs := traceDir(t, t.TempDir())
	e := openEngine(t, "", onFS(fs))
	s := sequences{t, createTopic(t, e, "t")}
	s.good(0, sequenced(t, 7, 0, 0, 1))
	fs.hook(func(c call) error {
		if c.op == "write" {
			return syscall.ENOSPC
		}
		return nil
	})
	s.bad(ErrNoSpace, sequenced(t, 7, 0, 1, 1))
	s.bad(ErrNoSpace, sequenced(t, 8, 0, 0, 1))
	fs.hook(nil)
	s.good(1, sequenced(t, 8, 0, 0, 1))
	s.good(2, sequenced(t, 7, 0, 1, 1))
}

// A producer is forgotten when it has been silent for long enough, and may begin anywhere then; one that is not stays.
func TestProducerExpiry(t *testing.T) {
	clock := newFakeClock()
	s := newSequences(t, clock.use, func(o *Options) { o.ProducerIDExpiration = time.Minute })
	s.good(0, sequenced(t, 7, 3, 0, 1))
	s.good(1, sequenced(t, 8, 0, 0, 1))
	clock.advance(s.p.engine, 59*time.Second)
	s.bad(ErrOutOfOrderSequence, sequenced(t, 7, 3, 9, 1))
	s.good(2, sequenced(t, 8, 0, 1, 1))
	clock.advance(s.p.engine, time.Second)
	if _, err := s.p.engine.checkpoint(false); err != nil {
		t.Fatal(err)
	}
	if list := s.p.Producers(); len(list) != 1 || list[0].ID != 8 || list[0].LastSequence != 1 || list[0].LastOffset != 2 {
		t.Errorf("%+v, want producer 8 alone", list)
	}
	s.good(3, sequenced(t, 7, 1, 9, 1))
	clock.advance(s.p.engine, time.Minute) // also without a checkpoint
	s.good(4, sequenced(t, 7, 0, 5, 1))
	s.again(4, 5, sequenced(t, 7, 0, 5, 1))
	s.bad(ErrOutOfOrderSequence, sequenced(t, 7, 0, 9, 1))
}

// Beyond the limit the producer that has been silent for longest is forgotten; a partition without producers has no table.
func TestProducerLimit(t *testing.T) {
	s := newSequences(t, func(o *Options) { o.MaxProducers = 3 })
	s.good(0, batchOf(t, 1, "nobody's"))
	if s.p.producers != nil {
		t.Error("a table without producers")
	}
	s.good(1, sequenced(t, 1, 0, 0, 1))
	s.good(2, sequenced(t, 2, 0, 0, 1))
	s.good(3, sequenced(t, 3, 0, 0, 1))
	s.good(4, sequenced(t, 1, 0, 1, 1)) // so 2 has been silent for longest
	s.good(5, sequenced(t, 4, 0, 0, 1))
	if got := fmt.Sprint(ids(s.p)); got != "[3 1 4]" {
		t.Errorf("producers %s, want [3 1 4]", got)
	}
	s.good(6, sequenced(t, 2, 0, 77, 1))
	s.bad(ErrOutOfOrderSequence, sequenced(t, 1, 0, 77, 1))
}

func ids(p *Partition) []int64 {
	var list []int64
	for _, info := range p.Producers() {
		list = append(list, info.ID)
	}
	return list
}

// Judging and noting the batches of a known producer allocates nothing, nor does answering a duplicate.
func TestProducerAllocatesNothing(t *testing.T) {
	if invariant.Enabled {
		return // assertions and the race detector allocate
	}
	s := newSequences(t)
	s.good(0, sequenced(t, 7, 0, 0, 1))
	const runs = 100
	config := s.p.log.config()
	var requests []*AppendRequest
	for i := range int32(runs + 1) { // AllocsPerRun calls once more
		r := &AppendRequest{Batches: sequenced(t, 7, 0, 1+i, 1)}
		if err := s.p.prepare(r, config); err != nil {
			t.Fatal(err)
		}
		requests = append(requests, r)
	}
	next := 0
	if allocs := testing.AllocsPerRun(runs, func() {
		r := requests[next]
		next++
		if s.p.admit(r, nil, 0, config) != admitted {
			t.Fatal(r.Err)
		}
		s.p.noteProducers(requests[next-1:next], 0)
		if s.p.admit(r, nil, 0, config) != answered || !r.Duplicate {
			t.Fatal(r.Err)
		}
		r.Duplicate = false
	}); allocs != 0 {
		t.Errorf("%v allocations, want 0", allocs)
	}
}

// A topic that asks for another codec recompresses batches; they are recognized all the same.
func TestProducerRecompressed(t *testing.T) {
	e := openEngine(t, t.TempDir())
	s := sequences{t, createTopic(t, e, "t", "compression.type", "lz4")}
	s.good(0, sequenced(t, 7, 0, 0, 3))
	s.again(0, 3, sequenced(t, 7, 0, 0, 3))
	s.good(3, sequenced(t, 7, 0, 3, 1))
	s.p = partition(t, recrash(t, e), "t")
	s.again(0, 3, sequenced(t, 7, 0, 0, 3))
	s.bad(ErrOutOfOrderSequence, sequenced(t, 7, 0, 5, 1))
}
