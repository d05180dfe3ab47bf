package client

import (
	"bytes"
	"context"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/wire"
)

// scripted is a connection whose peer has said everything already. Reads give
// at most a few bytes at a time, writes go nowhere.
type scripted struct {
	net.Conn
	in    *bytes.Reader
	piece int
}

func (s *scripted) Read(p []byte) (int, error)        { return s.in.Read(p[:min(len(p), s.piece)]) }
func (s *scripted) Write(p []byte) (int, error)       { return len(p), nil }
func (s *scripted) Close() error                      { return nil }
func (s *scripted) SetReadDeadline(t time.Time) error { return nil }

// scriptedClient returns a client without goroutines that has two calls, a
// fetch, a batch and a subscription unanswered, and the receiver of its
// connection, which gives stream and then ends.
func scriptedClient(t testing.TB, stream []byte, piece int) (*Client, *receiver, *Subscription, *fetchCall) {
	t.Helper()
	conn := &scripted{in: bytes.NewReader(stream), piece: max(1, piece)}
	c := newClient(conn, "fuzz", Options{MaxFrame: wire.MinMaxFrame}.withDefaults(), welcomeOf)
	close(c.writerDone)
	for range 6 {
		c.slots <- struct{}{}
	}
	list := &call[wire.TopicList]{kind: wire.KindTopicList, parse: wire.ParseTopicList, done: make(chan struct{})}
	describe := &call[wire.TopicDescription]{kind: wire.KindTopicDescription, parse: wire.ParseTopicDescription, done: make(chan struct{})}
	fetch := &fetchCall{maxBytes: 100, done: make(chan struct{})}
	d := wire.TopicDescription{Topic: "t", Partitions: []wire.Partition{{State: wire.StateReady}}}
	p := newProducer(c, &d, ProducerOptions{Linger: time.Hour}.withDefaults())
	if err := p.Produce(context.Background(), Record{Value: []byte("v")}); err != nil {
		t.Fatal(err)
	}
	p.sealAll() // request id 2
	for i, r := range []request{list, describe, fetch} {
		if err := c.send(outFrame{}, unanswered{id: uint32(4 + 2*i), slot: true, req: r}); err != nil {
			t.Fatal(err)
		}
	}
	sub, err := c.newSubscription("t", 0, 10, SubscribeOptions{CreditBytes: 8 << 10})
	if err != nil {
		t.Fatal(err)
	}
	m := wire.Subscribe{Topic: []byte("t"), MaxBytes: int32(sub.maxBytes), Credit: sub.window}
	if err := c.subscribe(sub, &m); err != nil { // id 1
		t.Fatal(err)
	}
	var credits []byte
	c.takeOut(&credits)
	return c, newReceiver(conn, c.maxRecv), sub, fetch
}

// Whatever the server sends, the reader neither panics nor hangs nor holds more memory than the limits allow, and
// everyone who waits is told.
func FuzzClientReader(f *testing.F) {
	good := batch(f, record.CodecLZ4, 10, "a", "b", "c")
	frames := func(list ...[]byte) []byte { return bytes.Join(list, nil) }
	produced := (&wire.Produced{NextOffset: 1, LogAppendTimeMs: -1}).AppendTo(nil, 2)
	data := func(id uint32, end bool, p []byte) []byte {
		return (&wire.Data{End: end, Batches: p}).AppendTo(nil, id)
	}
	f.Add(frames(produced, (&wire.TopicList{}).AppendTo(nil, 4)), 1000, false)
	f.Add(frames(data(1, false, nil), data(1, false, good[:50]), produced, data(1, false, good[50:]), data(1, true, nil)), 7, false)
	f.Add(frames(wire.Errorf(wire.CodeNotReady, "x").AppendTo(nil, 2), wire.Errorf(wire.CodeInternal, "y").AppendTo(nil, 1)), 1, false)
	f.Add(wire.Errorf(wire.CodeFrameTooLarge, "z").AppendTo(nil, 0), 100, false)
	f.Add([]byte{0x85, 0, 2, 32, 0, 0, 0, 0x86, 0, 1, 33, 1, 2, 3}, 100, true)

	f.Fuzz(func(t *testing.T, stream []byte, piece int, framed bool) {
		if framed {
			stream = reframe(stream)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		c, r, sub, fetch := scriptedClient(t, stream, piece)
		err := c.readLoop(r)
		c.finish(err)
		runtime.ReadMemStats(&after)
		// The read-ahead buffer and block, and what arrived, twice because slices grow.
		if grown, most := after.TotalAlloc-before.TotalAlloc, uint64(4<<20+4*len(stream)); grown > most {
			t.Errorf("%d bytes allocated for a stream of %d, want at most %d", grown, len(stream), most)
		}
		if err == nil || c.Err() == nil || c.pending.count != 0 {
			t.Fatalf("%v, %v, %d requests left", err, c.Err(), c.pending.count)
		}
		<-fetch.done
		next := record.Offset(10)
		for {
			b, err := sub.poll()
			if err != nil {
				break
			}
			if len(b.Bytes()) == 0 {
				t.Fatal("the subscription waits, want its end")
			}
			for batch := range b.All() {
				if err := batch.Verify(); err != nil || batch.NextOffset() <= next {
					t.Fatalf("offsets %d.. behind %d, %v", batch.BaseOffset(), next, err)
				}
				next = batch.NextOffset()
			}
			for r, err := range b.Records() {
				if err != nil {
					break
				}
				if r.Offset < 10 || r.Offset >= next {
					t.Fatalf("record %d, want 10..%d", r.Offset, next-1)
				}
			}
		}
	})
}

// reframe makes frames with good heads of p: kind, flags, request id and
// length are a byte each, and the payload follows.
func reframe(p []byte) (stream []byte) {
	for len(p) >= 4 {
		n := min(int(p[3]), len(p)-4)
		stream = append(stream, headFor(wire.Kind(p[0]), p[1]&1, uint32(p[2]), p[4:4+n])...)
		p = p[4+n:]
	}
	return stream
}

// The receiver gives the same frames whatever pieces the stream arrives in.
func TestReceiverPieces(t *testing.T) {
	var stream []byte
	for _, n := range []int{0, 1, 100, readAheadBytes - wire.HeadSize, readAheadBytes, spillStartBytes, 3 * spillStartBytes} {
		stream = append(stream, headFor(wire.KindDone, 0, uint32(n), bytes.Repeat([]byte{byte(n)}, n))...)
	}
	f := func(piece int) {
		t.Helper()
		r := newReceiver(&scripted{in: bytes.NewReader(stream), piece: piece}, wire.DefaultMaxFrame)
		for {
			h, err := r.head()
			if err == io.EOF {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			frame, err := r.frame(h)
			if err != nil {
				t.Fatal(err)
			}
			n := int(h.RequestID)
			if !bytes.Equal(frame.Payload, bytes.Repeat([]byte{byte(n)}, n)) {
				t.Errorf("pieces of %d: other payload of %d bytes", piece, n)
			}
		}
	}
	f(1)
	f(15)
	f(1000)
	f(1 << 20)
}
