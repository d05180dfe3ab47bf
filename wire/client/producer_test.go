package client

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/wire"
)

// described answers the DescribeTopic of NewProducer.
func (s *fake) described(partitions int, configs ...wire.ConfigDescription) {
	s.t.Helper()
	d := wire.TopicDescription{Topic: "t", Configs: configs}
	for i := range int32(partitions) {
		d.Partitions = append(d.Partitions, wire.Partition{Index: i, State: wire.StateReady})
	}
	s.send(&d, s.expect(wire.KindDescribeTopic).RequestID)
}

// acknowledge answers a Produce of n records.
func (s *fake) acknowledge(id uint32, base int64, n int) {
	s.t.Helper()
	s.send(&wire.Produced{BaseOffset: base, NextOffset: base + int64(n), LogAppendTimeMs: -1}, id)
}

// results collects what OnBatch is told.
type results struct {
	mu   sync.Mutex
	list []BatchResult
}

func (r *results) add(b BatchResult) {
	r.mu.Lock()
	r.list = append(r.list, b)
	r.mu.Unlock()
}

func (r *results) all() []BatchResult {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]BatchResult(nil), r.list...)
}

// producer returns a producer for "t", without idempotence, that is given up when the test ends, and its results.
func producer(t testing.TB, c *Client, options ProducerOptions) (*Producer, *results) {
	t.Helper()
	options.DisableIdempotence = true
	return anyProducer(t, c, options)
}

func anyProducer(t testing.TB, c *Client, options ProducerOptions) (*Producer, *results) {
	t.Helper()
	var r results
	options.OnBatch = r.add
	p, err := NewProducer(t.Context(), c, "t", options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close(longAgo()) })
	return p, &r
}

// produce gives p one record for each value, each in a batch of its own.
func produce(t testing.TB, p *Producer, values ...string) {
	t.Helper()
	for _, v := range values {
		if err := p.Produce(t.Context(), Record{Value: []byte(v)}); err != nil {
			t.Fatal(err)
		}
		p.sealAll()
	}
}

// Records arrive in the partition of their key, in order, compressed as asked for, and the results tell their offsets.
func TestProduce(t *testing.T) {
	const partitions, n = 3, 500
	f := func(codec record.Codec, acks Acks, wantAcks wire.Acks) {
		t.Helper()
		received := make(chan map[int32][]string, 1)
		c := serve(t, func(s *fake) {
			s.described(partitions)
			got := map[int32][]string{}
			for count := 0; count < n; {
				f, m, records := s.produce()
				b, _, err := record.Next(m.Batches)
				if err != nil || b.Codec() != codec || m.Acks != wantAcks || string(m.Topic) != "t" {
					s.fail("codec %v, acks %d, topic %s, %v", b.Codec(), m.Acks, m.Topic, err)
				}
				if acks != AcksNone {
					s.acknowledge(f.RequestID, int64(1000+len(got[m.Partition])), len(records))
				}
				got[m.Partition] = append(got[m.Partition], records...)
				count += len(records)
			}
			received <- got
			s.end()
		})
		p, r := producer(t, c, ProducerOptions{Codec: codec, Acks: acks, BatchBytes: 1 << 10})
		want := map[int32][]string{}
		for i := range n {
			rec := Record{Key: fmt.Append(nil, "key ", i%7), Value: fmt.Append(nil, "value ", i)}
			if err := p.Produce(t.Context(), rec); err != nil {
				t.Fatal(err)
			}
			partition := ByKey(rec, partitions)
			want[partition] = append(want[partition], fmt.Sprintf("%s=%s", rec.Key, rec.Value))
			clear(rec.Key) // Produce has copied it
			clear(rec.Value)
		}
		if err := p.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := <-received; !reflect.DeepEqual(got, want) {
			t.Errorf("%v: other records than were produced", codec)
		}
		next := map[int32]int64{}
		for _, b := range r.all() {
			if b.Err != nil || b.Sequence != next[b.Partition] || b.Records < 1 || b.Bytes < record.HeaderSize || b.Topic != "t" {
				t.Errorf("%+v, want sequence %d", b, next[b.Partition])
			}
			next[b.Partition] += int64(b.Records)
			base, end := 1000+b.Sequence, 1000+next[b.Partition]
			if acks == AcksNone {
				base, end = -1, -1
			}
			if b.BaseOffset != base || b.NextOffset != end || b.LogAppendTimeMs != -1 {
				t.Errorf("%+v, want offsets %d..%d", b, base, end)
			}
		}
		if next[0]+next[1]+next[2] != n {
			t.Errorf("results for %v records, want %d", next, n)
		}
		c.Close()
	}
	for codec := record.CodecNone; codec <= record.CodecZstd; codec++ {
		f(codec, AcksAll, wire.AcksAll)
	}
	f(record.CodecNone, AcksLeader, wire.AcksLeader)
	f(record.CodecNone, AcksNone, wire.AcksNone)
}

// When a batch is sent: when it is full, when it has lingered, when it is flushed.
func TestLinger(t *testing.T) {
	f := func(options ProducerOptions, want int, act func(p *Producer)) {
		t.Helper()
		got := make(chan int, 100)
		c := serve(t, func(s *fake) {
			s.described(1)
			for {
				f, ok := s.next()
				if !ok {
					return
				}
				m, err := wire.ParseProduce(f)
				if err != nil {
					s.fail("%v", err)
				}
				n := int(record.Batch(m.Batches).Count())
				got <- n
				s.acknowledge(f.RequestID, 0, n)
			}
		})
		p, _ := producer(t, c, options)
		for range 10 {
			if err := p.Produce(t.Context(), Record{Value: make([]byte, 100)}); err != nil {
				t.Fatal(err)
			}
		}
		if act != nil {
			act(p)
		}
		for want > 0 {
			want -= <-got
		}
		if want != 0 {
			t.Errorf("%d records too many were sent", -want)
		}
		c.Close()
	}
	f(ProducerOptions{Linger: time.Hour, BatchBytes: 600}, 8, nil) // 4 of 110 bytes and the header
	f(ProducerOptions{Linger: time.Hour}, 10, func(p *Producer) {
		if err := p.Flush(t.Context()); err != nil {
			t.Error(err)
		}
	})
	f(ProducerOptions{Linger: time.Millisecond}, 10, nil)
	f(ProducerOptions{Linger: -1}, 10, nil)
}

// inUse returns how many bytes are taken.
func (b *budget) inUse() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// Without room Produce waits, for its context, or until batches are done; what lingers does not keep the room.
func TestMaxInFlight(t *testing.T) {
	release := make(chan struct{})
	c := serve(t, func(s *fake) {
		s.described(1)
		f, _, records := s.produce()
		<-release
		s.acknowledge(f.RequestID, 0, len(records))
		f, _, records = s.produce()
		s.acknowledge(f.RequestID, 1, len(records))
		s.produce()
		s.conn.Close()
	})
	p, r := producer(t, c, ProducerOptions{MaxInFlightBytes: 1000, Linger: time.Hour})
	record := Record{Value: make([]byte, 900)}
	if err := p.Produce(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := p.Produce(ctx, record); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want the deadline", err)
	}
	waiting := make(chan error)
	go func() { waiting <- p.Produce(t.Context(), record) }()
	eventually(t, "Produce waits", func() bool { return p.room.waiting.Load() == 1 })
	close(release)
	if err := <-waiting; err != nil {
		t.Fatal(err)
	}
	// One that is longer than all the room is taken when there is nothing else; the end of the connection ends the wait.
	record.Value = make([]byte, 5000)
	if err := p.Produce(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	wantError(t, p.Produce(t.Context(), record), "closed by the server")
	eventually(t, "all done and the room free", func() bool { return len(r.all()) == 3 && p.room.inUse() == 0 })
}

// When the connection breaks, what was sent and not answered is in doubt, with its range, and not sent again.
func TestInDoubt(t *testing.T) {
	c := serve(t, func(s *fake) {
		s.described(1)
		f, _, _ := s.produce()
		s.produce()
		s.produce()
		s.acknowledge(f.RequestID, 70, 2)
		s.reset()
	})
	p, r := producer(t, c, ProducerOptions{Linger: time.Hour})
	for i := range 3 {
		for range i + 2 {
			if err := p.Produce(t.Context(), Record{Value: []byte("v")}); err != nil {
				t.Fatal(err)
			}
		}
		p.sealAll()
	}
	err := p.Flush(t.Context())
	list := r.all()
	if len(list) != 3 || list[0].Err != nil || list[0].BaseOffset != 70 {
		t.Fatalf("%+v", list)
	}
	f := func(b BatchResult, sequence int64, records int) {
		t.Helper()
		var doubt *InDoubtError
		if !errors.As(b.Err, &doubt) {
			t.Fatalf("%v, want an *InDoubtError", b.Err)
		}
		if doubt.Topic != "t" || doubt.Partition != 0 || doubt.Sequence != sequence || doubt.Records != records || !errors.Is(b.Err, c.Err()) {
			t.Errorf("%+v, want %d records from %d", doubt, records, sequence)
		}
	}
	f(list[1], 2, 3)
	f(list[2], 5, 4)
	if err != list[1].Err {
		t.Errorf("Flush: %v, want the first error", err)
	}
	wantError(t, err, "produce to t-0: in doubt, records 2..4 of this producer: connection to "+c.Addr())

	// What comes after is not in doubt.
	err = p.Produce(t.Context(), Record{Value: []byte("v")})
	if err == nil {
		err = p.Flush(t.Context())
	}
	var doubt *InDoubtError
	if !errors.Is(err, c.Err()) || errors.As(err, &doubt) {
		t.Errorf("%v, want the error of the connection, and no doubt", err)
	}
}

// Batches that the kernel was not given are not in doubt.
func TestNotSent(t *testing.T) {
	f := func(lost func(b *producedBatch, err error), doubt bool) {
		t.Helper()
		c := serve(t, func(s *fake) {
			s.described(1)
			s.end()
		})
		p, r := producer(t, c, ProducerOptions{})
		b := &producedBatch{partition: p.partitions[0], records: 1, number: 1}
		b.refs.Store(2)
		p.partitions[0].queue = append(p.partitions[0].queue, b)
		b.state = batchSent
		lost(b, errors.New("broken"))
		var d *InDoubtError
		if list := r.all(); len(list) != 1 || errors.As(list[0].Err, &d) != doubt {
			t.Errorf("%+v, want in doubt %t", list, doubt)
		}
		c.Close()
	}
	f(func(b *producedBatch, err error) { b.lost(err, true) }, true)
	f(func(b *producedBatch, err error) { b.lost(err, false) }, false)
}

// Answers of the server to a batch: which are final, and which are in doubt.
func TestRefusals(t *testing.T) {
	f := func(code wire.Code, doubt bool) {
		t.Helper()
		c := serve(t, func(s *fake) {
			s.described(1)
			f, _, _ := s.produce()
			s.send(wire.Errorf(code, "why"), f.RequestID)
			f, _, _ = s.produce()
			s.acknowledge(f.RequestID, 0, 1)
			s.end()
		})
		p, r := producer(t, c, ProducerOptions{Linger: time.Hour})
		produce(t, p, "a")
		eventually(t, "answered", func() bool { return len(r.all()) == 1 })

		// The error is returned until it was flushed.
		err := p.Produce(t.Context(), Record{})
		wantCode(t, err, code)
		var d *InDoubtError
		if errors.As(err, &d) != doubt {
			t.Errorf("%v, want in doubt %t", err, doubt)
		}
		if flushed := p.Flush(t.Context()); flushed != err {
			t.Errorf("Flush: %v, want %v", flushed, err)
		}
		produce(t, p, "b")
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if list := r.all(); len(list) != 2 || list[1].Err != nil || list[1].Sequence != 1 {
			t.Errorf("%+v", list)
		}
		c.Close()
	}
	f(wire.CodeMessageTooLarge, false)
	f(wire.CodeUnknownTopic, false)
	f(wire.CodeCorruptBatch, false)
	f(wire.CodeServerClosing, false)
	f(wire.CodeNotEnoughReplicas, false)
	f(wire.CodeStorageFailed, true)
	f(wire.CodeTimeout, true)
	f(wire.CodeInternal, true)
}

// Batches that were refused for now are sent again in order, one by one, and those behind them wait.
func TestRetry(t *testing.T) {
	notReady := wire.Errorf(wire.CodeNotReady, "recovering")
	noRoom := wire.Errorf(wire.CodeLimitReached, "no space")
	queued := make(chan struct{})
	c := serve(t, func(s *fake) {
		s.described(1)
		next := func(want string) uint32 {
			f, _, records := s.produce()
			if len(records) != 1 || records[0] != "="+want {
				s.fail("records %v, want %s", records, want)
			}
			return f.RequestID
		}
		a, b := next("a"), next("b")
		s.send(notReady, a)
		s.send(noRoom, b)
		<-queued
		s.send(notReady, next("a"))
		// b does not come before a is appended, nor c and d before b.
		s.acknowledge(next("a"), 0, 1)
		s.send(notReady, next("b"))
		s.acknowledge(next("b"), 1, 1)
		c, d := next("c"), next("d")
		s.acknowledge(c, 2, 1)
		s.acknowledge(d, 3, 1)
		s.end()
	})
	p, r := producer(t, c, ProducerOptions{Linger: time.Hour})
	produce(t, p, "a", "b")
	eventually(t, "refused", func() bool {
		t := p.partitions[0]
		t.mu.Lock()
		defer t.mu.Unlock()
		return t.queue[0].state == batchRefused && t.queue[1].state == batchRefused
	})
	produce(t, p, "c", "d")
	close(queued)
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, b := range r.all() {
		if b.Sequence != int64(i) || b.BaseOffset != int64(i) || b.Err != nil {
			t.Errorf("%+v, want offset %d", b, i)
		}
	}
}

// A batch that a later one has overtaken fails, because sending it again would change the order.
func TestOvertaken(t *testing.T) {
	c := serve(t, func(s *fake) {
		s.described(1)
		a, _, _ := s.produce()
		b, _, _ := s.produce()
		c, _, _ := s.produce()
		s.send(wire.Errorf(wire.CodeNotReady, "recovering"), a.RequestID)
		s.acknowledge(b.RequestID, 0, 1)
		s.send(wire.Errorf(wire.CodeNotReady, "recovering"), c.RequestID)
		c, _, records := s.produce()
		if records[0] != "=c" {
			s.fail("%v", records)
		}
		s.acknowledge(c.RequestID, 1, 1)
		s.end()
	})
	p, r := producer(t, c, ProducerOptions{Linger: time.Hour})
	produce(t, p, "a", "b", "c")
	err := p.Flush(t.Context())
	if !errors.Is(err, ErrOvertaken) {
		t.Errorf("%v, want ErrOvertaken", err)
	}
	wantError(t, err, "produce to t-0: not appended, records 0..0 of this producer")
	list := r.all()
	if len(list) != 3 || list[0].Sequence != 0 || list[1].Err != nil || list[2].Err != nil || list[2].BaseOffset != 1 {
		t.Errorf("%+v", list)
	}
}

// A batch is not sent again when RetryFor is over, or negative; those behind it go on.
func TestRetryFor(t *testing.T) {
	f := func(retryFor time.Duration) {
		t.Helper()
		c := serve(t, func(s *fake) {
			s.described(1)
			for {
				f, _, records := s.produce()
				if records[0] == "=b" {
					s.acknowledge(f.RequestID, 0, 1)
					break
				}
				s.send(wire.Errorf(wire.CodeNotReady, "recovering"), f.RequestID)
			}
			s.end()
		})
		p, _ := producer(t, c, ProducerOptions{Linger: time.Hour, RetryFor: retryFor})
		produce(t, p, "a")
		wantCode(t, p.Flush(t.Context()), wire.CodeNotReady)
		produce(t, p, "b")
		if err := p.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		c.Close()
	}
	f(-1)
	f(time.Millisecond)       // less than the first pause
	f(120 * time.Millisecond) // once or twice
}

// The end of the connection fails batches that wait to be sent again, or behind one that does: they are not in doubt.
func TestBrokenWhileHolding(t *testing.T) {
	c := serve(t, func(s *fake) {
		s.described(1)
		f, _, _ := s.produce()
		s.send(wire.Errorf(wire.CodeNotReady, "recovering"), f.RequestID)
		s.end()
	})
	p, r := producer(t, c, ProducerOptions{Linger: time.Hour})
	produce(t, p, "a")
	eventually(t, "refused", func() bool {
		p.partitions[0].mu.Lock()
		defer p.partitions[0].mu.Unlock()
		return p.partitions[0].holding
	})
	produce(t, p, "b")
	if err := p.Produce(t.Context(), Record{Value: []byte("open")}); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if err := p.Flush(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("%v, want ErrClosed", err)
	}
	list := r.all()
	for _, b := range list {
		var d *InDoubtError
		if !errors.Is(b.Err, ErrClosed) || errors.As(b.Err, &d) {
			t.Errorf("%+v, want ErrClosed without doubt", b)
		}
	}
	if len(list) != 3 {
		t.Errorf("%d results, want 3", len(list))
	}
}

// A Close whose context ends tells of everything: what was sent is in doubt, the rest is not appended; late answers
// are dropped.
func TestCloseCancelled(t *testing.T) {
	closed := make(chan struct{})
	c := serve(t, func(s *fake) {
		s.described(2)
		a, _, _ := s.produce()
		s.send(wire.Errorf(wire.CodeNotReady, "recovering"), a.RequestID)
		b, m, _ := s.produce()
		if m.Partition != 1 {
			s.fail("partition %d", m.Partition)
		}
		<-closed
		s.acknowledge(b.RequestID, 0, 1)
		s.send(&wire.TopicList{}, s.expect(wire.KindListTopics).RequestID)
		s.end()
	})
	p, r := producer(t, c, ProducerOptions{Linger: time.Hour, Partitioner: ByRecord, RetryFor: time.Hour})
	p.partitions[0].pause = time.Hour
	p.options.RetryFor = 3 * time.Hour
	for i := range int32(2) {
		if err := p.Produce(t.Context(), Record{Partition: i}); err != nil {
			t.Fatal(err)
		}
		p.sealAll()
		eventually(t, "answered or sent", func() bool {
			t := p.partitions[i]
			t.mu.Lock()
			defer t.mu.Unlock()
			return t.holding || i == 1
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := p.Close(ctx); !errors.Is(err, ErrProducerClosed) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want ErrProducerClosed and the deadline", err)
	}
	close(closed)
	if _, err := c.ListTopics(t.Context()); err != nil {
		t.Error(err)
	}
	list := r.all()
	var d *InDoubtError
	if len(list) != 2 || list[0].Partition != 0 || errors.As(list[0].Err, &d) || !errors.As(list[1].Err, &d) {
		t.Errorf("%+v, want the first not appended, the second in doubt", list)
	}
	if err := p.Produce(t.Context(), Record{}); !errors.Is(err, ErrProducerClosed) {
		t.Errorf("%v, want ErrProducerClosed", err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// What Produce refuses at once.
func TestProduceRefuses(t *testing.T) {
	welcome := welcomeOf
	welcome.MaxFrame = wire.MinMaxFrame
	c := serveWith(t, welcome, Options{}, func(s *fake) {
		s.described(2)
		s.end()
	})
	p, _ := producer(t, c, ProducerOptions{Partitioner: ByRecord})
	if err := p.Produce(t.Context(), Record{Value: make([]byte, wire.MinMaxFrame)}); !errors.Is(err, ErrRecordTooLarge) {
		t.Errorf("%v, want ErrRecordTooLarge", err)
	}
	wantError(t, p.Produce(t.Context(), Record{Partition: 2}), "partition 2, want 0..1")
	wantError(t, p.Produce(t.Context(), Record{Partition: -7}), "partition -7, want 0..1")

	f := func(o ProducerOptions, want string) {
		t.Helper()
		_, err := NewProducer(t.Context(), c, "t", o)
		wantError(t, err, want)
	}
	f(ProducerOptions{Acks: 9}, "Acks: 9")
	f(ProducerOptions{Codec: 7}, "Codec: codec(7)")
	f(ProducerOptions{BatchBytes: 5}, "BatchBytes: 5, want at least 61")
	f(ProducerOptions{MaxInFlightBytes: -1}, "MaxInFlightBytes: -1, want at least 1")
}

// A full batch is within the topic's max.message.bytes and the server's frames.
func TestBatchBytes(t *testing.T) {
	f := func(options ProducerOptions, config string, want int) {
		t.Helper()
		c := serve(t, func(s *fake) {
			s.described(1, wire.ConfigDescription{Key: "max.message.bytes", Value: config, Source: wire.SourceTopic})
			s.end()
		})
		p, _ := producer(t, c, options)
		if p.batchBytes != want {
			t.Errorf("full at %d bytes, want %d", p.batchBytes, want)
		}
		c.Close()
	}
	f(ProducerOptions{}, "1048588", 64<<10)
	f(ProducerOptions{}, "3000", 3000)
	f(ProducerOptions{}, "soon", 64<<10)
	f(ProducerOptions{BatchBytes: 1 << 30}, "soon", wire.DefaultMaxFrame-wire.FrameOverhead)
}

// A Produced for another number of records than were sent breaks the connection, and the batch is in doubt.
func TestProducedCount(t *testing.T) {
	c := serve(t, func(s *fake) {
		s.described(1)
		f, _, _ := s.produce()
		s.acknowledge(f.RequestID, 5, 2)
		s.end()
	})
	p, _ := producer(t, c, ProducerOptions{})
	produce(t, p, "a")
	err := p.Flush(t.Context())
	wantError(t, err, "in doubt")
	wantError(t, err, "offsets 5..6, want 1 of them")
}

// Many goroutines produce, flush and are told; under the race detector.
func TestProduceConcurrently(t *testing.T) {
	const goroutines, each = 8, 300
	c := serve(t, func(s *fake) {
		s.described(4)
		next := map[int32]int64{}
		for {
			f, ok := s.next()
			if !ok {
				return
			}
			m, err := wire.ParseProduce(f)
			if err != nil {
				s.fail("%v", err)
			}
			n := int(record.Batch(m.Batches).Count())
			s.acknowledge(f.RequestID, next[m.Partition], n)
			next[m.Partition] += int64(n)
		}
	})
	p, r := producer(t, c, ProducerOptions{BatchBytes: 500, MaxInFlightBytes: 10_000, Linger: -1})
	var running sync.WaitGroup
	for g := range goroutines {
		running.Add(1)
		go func() {
			defer running.Done()
			for i := range each {
				rec := Record{Value: []byte(strings.Repeat("x", i%100))}
				if i%2 == 0 {
					rec.Key = fmt.Append(nil, g, i)
				}
				if err := p.Produce(t.Context(), rec); err != nil {
					t.Error(err)
				}
				if i%100 == 0 {
					if err := p.Flush(t.Context()); err != nil {
						t.Error(err)
					}
				}
			}
		}()
	}
	running.Wait()
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
	total := 0
	for _, b := range r.all() {
		if b.Err != nil || b.BaseOffset != b.Sequence {
			t.Errorf("%+v", b)
		}
		total += b.Records
	}
	if total != goroutines*each || p.room.inUse() != 0 {
		t.Errorf("%d records, %d bytes used, want %d, 0", total, p.room.inUse(), goroutines*each)
	}
}
