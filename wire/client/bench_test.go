package client

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/internal/invariant"
	"github.com/rollway/rollway/wire"
	"github.com/rollway/rollway/zerocopy"
)

// looped is a connection that gives the same bytes again and again.
type looped struct {
	scripted
	p  []byte
	at int
}

func (l *looped) Read(p []byte) (int, error) {
	n := copy(p, l.p[l.at:])
	l.at = (l.at + n) % len(l.p)
	return n, nil
}

// benchProducer returns a producer whose frames go nowhere, and a function that answers all that were sent.
func benchProducer(t testing.TB, options ProducerOptions) (*Producer, func()) {
	t.Helper()
	c := newClient(&scripted{in: bytes.NewReader(nil)}, "bench", Options{}.withDefaults(), welcomeOf)
	d := wire.TopicDescription{Topic: "topic", Partitions: []wire.Partition{{State: wire.StateReady}}}
	options.Linger = time.Hour
	p := newProducer(c, &d, options.withDefaults())
	var answers bytes.Reader
	r := newReceiver(&answers, wire.DefaultMaxFrame)
	var frame, credits []byte
	offset := int64(0)
	return p, func() {
		c.written(c.takeOut(&credits))
		for c.pending.count > 0 {
			front := *c.pending.at(0)
			n := int64(front.req.(*producedBatch).records)
			m := wire.Produced{BaseOffset: offset, NextOffset: offset + n, LogAppendTimeMs: -1}
			offset += n
			frame = m.AppendTo(frame[:0], front.id)
			answers.Reset(frame)
			h, err := r.head()
			if err == nil {
				err = c.takeFrame(r, h)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// BenchmarkProduce is the path of a record from Produce to the writer and of
// the answer back, without a socket.
func BenchmarkProduce(b *testing.B) {
	f := func(size int, codec record.Codec) {
		b.Run(fmt.Sprintf("%dB/%v", size, codec), func(b *testing.B) {
			p, answer := benchProducer(b, ProducerOptions{Codec: codec})
			r := Record{Value: bytes.Repeat([]byte("abcdefghij"), size/10), TimestampMs: 1}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if err := p.Produce(context.Background(), r); err != nil {
					b.Fatal(err)
				}
				if n += size; n > 4<<20 {
					n = 0
					answer()
				}
			}
		})
	}
	f(100, record.CodecNone)
	f(1000, record.CodecNone)
	f(10_000, record.CodecNone)
	f(100, record.CodecLZ4)
	f(100, record.CodecZstd)
}

// benchSubscription returns a subscription and a function that has it receive one Data of 1 MiB of batches whose
// offsets continue.
// size is that of the batches, plain what they have uncompressed.
func benchSubscription(t testing.TB, codec record.Codec, valueBytes, batchBytes int) (sub *Subscription, receive func(), size, plain int) {
	t.Helper()
	c := newClient(&scripted{}, "bench", Options{}.withDefaults(), welcomeOf)
	sub, err := c.newSubscription("topic", 0, 0, SubscribeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.subscribe(sub, &wire.Subscribe{Topic: []byte("topic"), MaxBytes: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	var list []string
	for n := 0; n < batchBytes; n += valueBytes {
		list = append(list, string(bytes.Repeat([]byte("abcdefghij"), valueBytes/10)))
	}
	one := batch(t, codec, 0, list...)
	count := int64(len(list))
	var log []byte
	for len(log)+len(one) <= 1<<20 {
		log = append(log, one...)
	}
	m := wire.Data{Batches: log}
	frame := m.AppendTo(nil, sub.id)
	src := &looped{p: frame}
	r := newReceiver(src, wire.DefaultMaxFrame)
	next := int64(0)
	var credits []byte
	return sub, func() {
		for at := wire.DataHeaderSize; at < len(frame); at += len(one) {
			record.Batch(frame[at:]).SetBaseOffset(record.Offset(next))
			next += count
		}
		c.takeOut(&credits)
		// What the receiver has read ahead is of this Data, which then is read to its end.
		h, err := r.head()
		if err == nil {
			err = c.takeFrame(r, h)
		}
		if err != nil {
			t.Fatal(err)
		}
		if r.start != r.end || src.at != 0 {
			r.start, r.end, src.at = 0, 0, 0
		}
	}, len(log), len(log) / len(one) * len(list) * valueBytes
}

// BenchmarkSubscription is the path of a Data from the connection to records,
// without a socket: joining, checking, decompressing, walking.
func BenchmarkSubscription(b *testing.B) {
	f := func(name string, codec record.Codec, valueBytes int, walk bool) {
		b.Run(name, func(b *testing.B) {
			sub, receive, size, plain := benchSubscription(b, codec, valueBytes, 64<<10)
			b.SetBytes(int64(plain))
			b.ReportAllocs()
			for b.Loop() {
				receive()
				for left := size; left > 0; {
					batches, err := sub.poll()
					if err != nil || len(batches.Bytes()) == 0 {
						b.Fatalf("%d bytes left, %v", left, err)
					}
					left -= len(batches.Bytes())
					if !walk {
						continue
					}
					for _, err := range batches.Records() {
						if err != nil {
							b.Fatal(err)
						}
					}
				}
			}
		})
	}
	f("batches", record.CodecNone, 1000, false)
	f("records/1000B", record.CodecNone, 1000, true)
	f("records/100B", record.CodecNone, 100, true)
	f("records/100B/lz4", record.CodecLZ4, 100, true)
	f("records/100B/zstd", record.CodecZstd, 100, true)
}

// BenchmarkReceive is the whole way over a TCP connection on loopback, from a
// server that writes as fast as credit allows. Both ends use cubic: bbr paces
// even loopback.
func BenchmarkReceive(b *testing.B) {
	one := batch(b, record.CodecNone, 0, string(make([]byte, 64<<10)))
	c := serveWith(b, welcomeOf, Options{Congestion: "cubic"}, func(s *fake) {
		if err := zerocopy.SetCongestion(s.conn.(*net.TCPConn), "cubic"); err != nil {
			s.fail("%v", err)
		}
		id, m := s.subscribed()
		credit := m.Credit
		var log []byte
		for len(log)+len(one) <= 1<<20 {
			log = append(log, one...)
		}
		frame := (&wire.Data{Batches: log}).AppendTo(nil, id)
		log = frame[wire.DataHeaderSize:]
		for next := int64(0); ; {
			for at := 0; at < len(log); at += len(one) {
				record.Batch(log[at:]).SetBaseOffset(record.Offset(next))
				next++
			}
			for credit < int64(len(log)) {
				f, ok := s.next()
				if !ok || f.Kind != wire.KindCredit {
					return
				}
				more, err := wire.ParseCredit(f)
				if err != nil {
					s.fail("%v", err)
				}
				credit += more.Bytes
			}
			credit -= int64(len(log))
			if _, err := s.conn.Write(frame); err != nil {
				return
			}
		}
	})
	sub := subscribe(b, c, 0, 0, SubscribeOptions{})
	b.SetBytes(int64(len(one)))
	b.ReportAllocs()
	left := 0
	for b.Loop() {
		for left == 0 {
			batches, err := sub.Next(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			left = len(batches.Bytes()) / len(one)
		}
		left--
	}
	b.StopTimer()
	c.Close()
}

// A batch that is produced, sent and answered, and a Data that is received, checked and walked, cost next to no
// allocations once pools and buffers are warm.
func TestSteadyStateAllocations(t *testing.T) {
	if testing.Short() {
		t.Skip("takes its time")
	}
	p, answer := benchProducer(t, ProducerOptions{})
	r := Record{Value: make([]byte, 100), Key: []byte("key"), TimestampMs: 1}
	batchOf := func() {
		for range 500 {
			if err := p.Produce(context.Background(), r); err != nil {
				t.Fatal(err)
			}
		}
		p.sealAll()
		answer()
	}
	batchOf()
	sub, receive, size, _ := benchSubscription(t, record.CodecNone, 1000, 64<<10)
	data := func() {
		receive()
		for left := size; left > 0; {
			b, err := sub.poll()
			if err != nil {
				t.Fatal(err)
			}
			left -= len(b.Bytes())
			for _, err := range b.Records() {
				if err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	data()
	f := func(name string, do func(), most float64) {
		t.Helper()
		if got := testing.AllocsPerRun(50, do); got > most && !invariant.Enabled {
			t.Errorf("%s: %v allocations, want at most %v", name, got, most)
		}
	}
	f("500 records in one batch", batchOf, 1)
	f("1 MiB in 1000 records", data, 12)
}
