package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/wire"
)

// listenEach runs a script for each connection to the address it returns, in the order in which they are made, and
// refuses those that come after the last.
func listenEach(t testing.TB, scripts ...func(s *fake)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for _, script := range scripts {
			conn, err := l.Accept()
			if err != nil {
				return // the test is over
			}
			done := make(chan struct{})
			go func() { // so that fail ends the script only
				defer close(done)
				defer conn.Close()
				s := &fake{t: t, conn: conn, in: bufio.NewReader(conn)}
				f := s.expect(wire.KindHello)
				s.send(&welcomeOf, f.RequestID)
				script(s)
			}()
			<-done
		}
		l.Close()
	})
	t.Cleanup(func() {
		l.Close()
		running.Wait()
	})
	return l.Addr().String()
}

// idempotent is an idempotent producer for "t" over an address, given up when the test ends.
func idempotent(t testing.TB, addr string, options ProducerOptions) (*Producer, *results) {
	t.Helper()
	c, err := Dial(t.Context(), addr, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if options.Linger == 0 {
		options.Linger = time.Hour
	}
	return anyProducer(t, c, options)
}

// begin answers what a new idempotent producer asks.
func (s *fake) begin(id int64, epoch int16) {
	s.t.Helper()
	s.described(1)
	s.assign(wire.NoProducer, wire.NoProducer, id, epoch)
}

// assign answers an InitProducer for the wanted id and epoch.
func (s *fake) assign(wantID int64, wantEpoch int16, id int64, epoch int16) {
	s.t.Helper()
	f := s.expect(wire.KindInitProducer)
	if m, err := wire.ParseInitProducer(f); err != nil || m.ProducerID != wantID || m.Epoch != wantEpoch {
		s.fail("%+v %v, want producer %d epoch %d", m, err, wantID, wantEpoch)
	}
	s.send(&wire.ProducerAssigned{ProducerID: id, Epoch: epoch}, f.RequestID)
}

// numbered reads a Produce, which must be of this producer, epoch and sequence and hold these values.
func (s *fake) numbered(id int64, epoch int16, sequence int32, want ...string) uint32 {
	s.t.Helper()
	f, m, records := s.produce()
	b := record.Batch(m.Batches)
	if b.ProducerID() != id || b.ProducerEpoch() != epoch || b.BaseSequence() != sequence {
		s.fail("producer %d epoch %d sequence %d, want %d, %d, %d", b.ProducerID(), b.ProducerEpoch(), b.BaseSequence(), id, epoch, sequence)
	}
	for i := range want {
		want[i] = "=" + want[i]
	}
	if !slices.Equal(records, want) {
		s.fail("records %q, want %q", records, want)
	}
	return f.RequestID
}

// refuse answers with an Error.
func (s *fake) refuse(id uint32, code wire.Code) {
	s.t.Helper()
	s.send(wire.Errorf(code, "why"), id)
}

// good wants all results good, with offsets that begin at 0.
func (r *results) good(t testing.TB, batches int) {
	t.Helper()
	list := r.all()
	next := int64(0)
	for _, b := range list {
		if b.Err != nil || b.BaseOffset != next || b.Sequence != next {
			t.Errorf("%+v, want offset %d", b, next)
		}
		next = b.NextOffset
	}
	if len(list) != batches {
		t.Errorf("%d results, want %d", len(list), batches)
	}
}

// Batches carry id, epoch and the number of the records before; one goes first, and then at most five are on their way.
func TestNumbers(t *testing.T) {
	sent := make(chan struct{})
	addr := listenEach(t, func(s *fake) {
		s.begin(4711, 3)
		first := s.numbered(4711, 3, 0, "a")
		<-sent
		s.acknowledge(first, 0, 1)
		var ids []uint32
		for i := range int32(5) {
			ids = append(ids, s.numbered(4711, 3, 1+i, fmt.Sprint(i)))
		}
		s.acknowledge(ids[0], 1, 1)
		ids = append(ids, s.numbered(4711, 3, 6, "5"))
		for i, id := range ids[1:] {
			s.acknowledge(id, int64(2+i), 1)
		}
		s.end()
	})
	p, r := idempotent(t, addr, ProducerOptions{})
	produce(t, p, "a", "0", "1", "2", "3", "4", "5")
	close(sent)
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.good(t, 7)
}

// When the connection breaks, all that had no answer goes again, in order and under the same numbers, over another one:
// the first alone, and then the others.
func TestNumbersAfterABreak(t *testing.T) {
	addr := listenEach(t, func(s *fake) {
		s.begin(7, 0)
		s.acknowledge(s.numbered(7, 0, 0, "a"), 0, 1)
		s.acknowledge(s.numbered(7, 0, 1, "b"), 1, 1)
		s.numbered(7, 0, 2, "c")
		s.numbered(7, 0, 3, "d")
		s.reset()
	}, func(s *fake) {
		s.conn.Close() // before anything is said
	}, func(s *fake) {
		s.described(1)
		c := s.numbered(7, 0, 2, "c")
		s.acknowledge(c, 2, 1)
		d := s.numbered(7, 0, 3, "d")
		s.acknowledge(d, 3, 1)
		s.acknowledge(s.numbered(7, 0, 4, "e"), 4, 1)
		s.end()
	})
	p, r := idempotent(t, addr, ProducerOptions{})
	produce(t, p, "a", "b", "c", "d")
	eventually(t, "two answers", func() bool { return len(r.all()) >= 2 })
	produce(t, p, "e")
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.good(t, 5)
}

// A batch that is refused for now, and those behind it that are out of order because of that, go again in order.
func TestNumbersRefusedForNow(t *testing.T) {
	f := func(code wire.Code) {
		t.Helper()
		addr := listenEach(t, func(s *fake) {
			s.begin(7, 0)
			s.acknowledge(s.numbered(7, 0, 0, "a"), 0, 1)
			b, c := s.numbered(7, 0, 1, "b"), s.numbered(7, 0, 2, "c")
			s.refuse(b, code)
			s.refuse(c, wire.CodeOutOfOrderSequence)
			s.refuse(s.numbered(7, 0, 1, "b"), code)
			s.acknowledge(s.numbered(7, 0, 1, "b"), 1, 1)
			s.acknowledge(s.numbered(7, 0, 2, "c"), 2, 1)
			s.end()
		})
		p, r := idempotent(t, addr, ProducerOptions{})
		produce(t, p, "a")
		eventually(t, "an answer", func() bool { return len(r.all()) == 1 })
		produce(t, p, "b", "c")
		if err := p.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.good(t, 3)
	}
	f(wire.CodeNotReady)
	f(wire.CodeLimitReached)
	f(wire.CodeServerClosing)
	f(wire.CodeTimeout)       // in doubt: the server recognizes it
	f(wire.CodeStorageFailed) // likewise, once it was started again
}

// A batch that fails for good is reported; what comes behind it goes on under the next epoch, from sequence 0, or under
// another id when a later epoch of this one is in use.
func TestNumbersAfterAFailure(t *testing.T) {
	f := func(code wire.Code, renewed func(s *fake) (id int64, epoch int16)) {
		t.Helper()
		addr := listenEach(t, func(s *fake) {
			s.begin(7, 2)
			s.acknowledge(s.numbered(7, 2, 0, "a"), 0, 1)
			b, c := s.numbered(7, 2, 1, "b"), s.numbered(7, 2, 2, "c")
			s.refuse(b, code)
			s.refuse(c, wire.CodeOutOfOrderSequence)
			id, epoch := renewed(s)
			s.acknowledge(s.numbered(id, epoch, 0, "c"), 1, 1)
			s.acknowledge(s.numbered(id, epoch, 1, "d"), 2, 1)
			s.end()
		})
		p, r := idempotent(t, addr, ProducerOptions{})
		produce(t, p, "a")
		eventually(t, "an answer", func() bool { return len(r.all()) == 1 })
		produce(t, p, "b", "c")
		eventually(t, "two more", func() bool { return len(r.all()) == 3 })
		err := p.Flush(t.Context())
		wantCode(t, err, code)
		wantError(t, err, "not appended, records 1..1")
		produce(t, p, "d")
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
		list := r.all()
		if len(list) != 4 || list[2].Err != nil || list[2].BaseOffset != 1 || list[3].Err != nil || list[3].BaseOffset != 2 {
			t.Errorf("%+v", list)
		}
	}
	next := func(s *fake) (int64, int16) { s.assign(7, 2, 7, 3); return 7, 3 }
	f(wire.CodeMessageTooLarge, next)
	f(wire.CodeOutOfOrderSequence, next)
	f(wire.CodeNotEnoughReplicas, next)
	f(wire.CodeOutOfOrderSequence, func(s *fake) (int64, int16) { s.assign(7, 2, 90, 0); return 90, 0 }) // epochs are exhausted
	f(wire.CodeInvalidProducerEpoch, func(s *fake) (int64, int16) { s.assign(-1, -1, 90, 0); return 90, 0 })
	f(wire.CodeOutOfOrderSequence, func(s *fake) (int64, int16) {
		s.refuse(s.expect(wire.KindInitProducer).RequestID, wire.CodeUnknownProducerID)
		s.assign(-1, -1, 90, 0)
		return 90, 0
	})
	f(wire.CodeOutOfOrderSequence, func(s *fake) (int64, int16) {
		s.refuse(s.expect(wire.KindInitProducer).RequestID, wire.CodeLimitReached) // the disk is full
		s.assign(7, 2, 7, 3)
		return 7, 3
	})
}

// What may be in the log behind a batch that failed is given up as in doubt: under a new number it might be stored twice.
func TestNumbersInDoubtBehindAFailure(t *testing.T) {
	addr := listenEach(t, func(s *fake) {
		s.begin(7, 0)
		s.acknowledge(s.numbered(7, 0, 0, "a"), 0, 1)
		s.numbered(7, 0, 1, "b")
		s.numbered(7, 0, 2, "c")
		s.reset()
	}, func(s *fake) {
		s.described(1)
		s.refuse(s.numbered(7, 0, 1, "b"), wire.CodeOutOfOrderSequence)
		s.assign(7, 0, 7, 1)
		s.acknowledge(s.numbered(7, 1, 0, "d"), 9, 1)
		s.end()
	})
	p, r := idempotent(t, addr, ProducerOptions{})
	produce(t, p, "a")
	eventually(t, "an answer", func() bool { return len(r.all()) == 1 })
	produce(t, p, "b", "c")
	eventually(t, "two more", func() bool { return len(r.all()) == 3 })
	err := p.Flush(t.Context())
	wantCode(t, err, wire.CodeOutOfOrderSequence)
	produce(t, p, "d")
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
	list := r.all()
	var doubt *InDoubtError
	if len(list) != 4 || !errors.As(list[1].Err, &doubt) || !errors.As(list[2].Err, &doubt) || list[3].Err != nil || list[3].BaseOffset != 9 {
		t.Errorf("%+v, want the second and third in doubt", list)
	}
}

// Without a connection for RetryFor a batch fails: in doubt if it was sent, else not appended; later ones go on when there
// is one again.
func TestNumbersRetryFor(t *testing.T) {
	back := make(chan struct{})
	addr := listenEach(t, func(s *fake) {
		s.begin(7, 0)
		s.acknowledge(s.numbered(7, 0, 0, "a"), 0, 1)
		s.numbered(7, 0, 1, "b")
		s.reset()
	}, func(s *fake) {
		<-back
		s.described(1)
		s.assign(7, 0, 7, 1)
		s.acknowledge(s.numbered(7, 1, 0, "d"), 5, 1)
		s.end()
	})
	var block sync.Mutex // held while there is no way to the server
	c, err := Dial(t.Context(), addr, Options{Dial: func(ctx context.Context, addr string) (net.Conn, error) {
		if !block.TryLock() {
			return nil, errors.New("no way")
		}
		block.Unlock()
		return dialTCP(ctx, addr)
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	block.Lock()
	p, r := anyProducer(t, c, ProducerOptions{Linger: time.Hour, RetryFor: 100 * time.Millisecond})
	produce(t, p, "a")
	eventually(t, "an answer", func() bool { return len(r.all()) == 1 })
	produce(t, p, "b")
	<-c.broken
	if err := p.Produce(t.Context(), Record{Value: []byte("c")}); err != nil {
		t.Fatal(err)
	}
	err = p.Flush(t.Context())
	wantError(t, err, "in doubt, records 1..1 of this producer: connection to "+addr)
	list := r.all()
	var doubt *InDoubtError
	if len(list) != 3 || !errors.As(list[1].Err, &doubt) || list[2].Err == nil || errors.As(list[2].Err, &doubt) {
		t.Errorf("%+v, want the second in doubt, the third not appended", list)
	}
	block.Unlock()
	close(back)
	produce(t, p, "d")
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// A server whose storage has failed takes nothing and gives no epoch: after RetryFor all has failed, in doubt where it was sent.
func TestNumbersStorageFailed(t *testing.T) {
	addr := listenEach(t, func(s *fake) {
		s.begin(7, 0)
		s.acknowledge(s.numbered(7, 0, 0, "a"), 0, 1)
		for {
			f, ok := s.next()
			if !ok {
				return
			}
			s.refuse(f.RequestID, wire.CodeStorageFailed)
		}
	})
	p, r := idempotent(t, addr, ProducerOptions{RetryFor: 200 * time.Millisecond})
	values := []string{"a"}
	for i := range 12 {
		values = append(values, fmt.Sprint(i))
	}
	produce(t, p, values...)
	wantCode(t, p.Close(t.Context()), wire.CodeStorageFailed)
	list := r.all()
	var doubt *InDoubtError
	if len(list) != len(values) || !errors.As(list[1].Err, &doubt) || list[12].Err == nil || errors.As(list[12].Err, &doubt) {
		t.Errorf("%+v, want the second in doubt, the last not appended", list)
	}
}

// Close of the Client is the end, and so is the deletion of the topic: what is on its way fails, and says why.
func TestNumbersEnd(t *testing.T) {
	f := func(want string, second func(s *fake), act func(c *Client)) {
		t.Helper()
		got := make(chan struct{})
		end := make(chan struct{})
		addr := listenEach(t, func(s *fake) {
			s.begin(7, 0)
			s.numbered(7, 0, 0, "a")
			close(got)
			<-end
		}, second)
		p, r := idempotent(t, addr, ProducerOptions{})
		produce(t, p, "a", "b")
		<-got
		act(p.client)
		close(end)
		err := p.Flush(t.Context())
		wantError(t, err, want)
		list := r.all()
		slices.SortFunc(list, func(a, b BatchResult) int { return int(a.Sequence - b.Sequence) })
		var doubt *InDoubtError
		if len(list) != 2 || !errors.As(list[0].Err, &doubt) || errors.As(list[1].Err, &doubt) {
			t.Errorf("%+v, want the first in doubt, the second not appended", list)
		}
		wantError(t, p.Produce(t.Context(), Record{}), want)
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	nothing := func(*Client) {}
	f("closed by this client", func(s *fake) { s.end() }, func(c *Client) { c.Close() })
	f("the topic was deleted and created anew", func(s *fake) {
		d := wire.TopicDescription{Topic: "t", TopicID: [16]byte{1}, Partitions: []wire.Partition{{State: wire.StateReady}}}
		s.send(&d, s.expect(wire.KindDescribeTopic).RequestID)
		s.end()
	}, nothing)
	f("unknown topic", func(s *fake) {
		s.refuse(s.expect(wire.KindDescribeTopic).RequestID, wire.CodeUnknownTopic)
		s.end()
	}, nothing)
}

// While nothing may be sent, one batch waits and the next grows to 16 times BatchBytes, but not beyond; it is sent when it has lingered.
func TestNumbersGrowth(t *testing.T) {
	const records, batchBytes = 60, 400
	taken := make(chan struct{})
	addr := listenEach(t, func(s *fake) {
		s.begin(7, 0)
		f, _, values := s.produce()
		<-taken
		sizes := []int{}
		for next := 0; ; {
			s.acknowledge(f.RequestID, int64(next), len(values))
			if next += len(values); next == records {
				break
			}
			var m wire.Produce
			f, m, values = s.produce()
			sizes = append(sizes, len(m.Batches))
		}
		if len(sizes) != 3 || sizes[0] > batchBytes || sizes[1] > 16*batchBytes || sizes[1] < 15*batchBytes || sizes[2] > 16*batchBytes {
			s.fail("batches of %d bytes, want one of %d, and two that have grown", sizes, batchBytes)
		}
		s.end()
	})
	p, _ := idempotent(t, addr, ProducerOptions{BatchBytes: batchBytes, Linger: 50 * time.Millisecond})
	for range records {
		if err := p.Produce(t.Context(), Record{Value: make([]byte, 150)}); err != nil {
			t.Fatal(err)
		}
	}
	close(taken)
	if err := p.Flush(t.Context()); err != nil {
		t.Error(err)
	}
}

// What has lingered is not sent while it would only wait: records that come one by one meanwhile are one batch, which
// goes when the one before it has gone.
func TestNumbersHeldBack(t *testing.T) {
	const records = 100
	taken := make(chan struct{})
	var batches []int
	addr := listenEach(t, func(s *fake) {
		s.begin(7, 0)
		for next := 0; next < records; {
			f, _, values := s.produce()
			if next == 0 {
				<-taken
			}
			batches = append(batches, len(values))
			s.acknowledge(f.RequestID, int64(next), len(values))
			next += len(values)
		}
		s.end()
	})
	p, r := idempotent(t, addr, ProducerOptions{Linger: -1})
	for i := range records {
		if err := p.Produce(t.Context(), Record{Value: []byte("value")}); err != nil {
			t.Fatal(err)
		}
		if i < 2 { // the first is on its way, and the second waits for its answer
			eventually(t, "sealed", func() bool { return p.partitions[0].sealedNumber.Load() == int64(i+1) })
		}
		time.Sleep(100 * time.Microsecond) // time to make a batch of it
	}
	close(taken)
	eventually(t, "all answers", func() bool { return len(r.all()) == 3 })
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.good(t, 3)
	if !slices.Equal(batches, []int{1, 1, records - 2}) {
		t.Errorf("batches of %d records, want 1, 1 and all others", batches)
	}
}

// Where nothing is answered or nothing is sent again, batches have no number.
func TestNoNumbers(t *testing.T) {
	for _, options := range []ProducerOptions{{Acks: AcksNone}, {RetryFor: -1}, {DisableIdempotence: true}} {
		addr := listenEach(t, func(s *fake) {
			s.described(1)
			id := s.numbered(-1, -1, -1, "a")
			if options.Acks != AcksNone {
				s.acknowledge(id, 0, 1)
			}
			s.end()
		})
		p, _ := idempotent(t, addr, options)
		produce(t, p, "a")
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// The sequence goes on with 0 behind 2^31-1, also in the middle of a batch.
func TestNumbersWrap(t *testing.T) {
	const last = 1<<31 - 1
	addr := listenEach(t, func(s *fake) {
		s.begin(7, 0)
		s.acknowledge(s.numbered(7, 0, last-1, "a", "b", "c"), 0, 3)
		s.acknowledge(s.numbered(7, 0, 1, "d"), 3, 1)
		s.end()
	})
	p, r := idempotent(t, addr, ProducerOptions{})
	p.partitions[0].numbers.next = last - 1
	for _, v := range []string{"a", "b", "c"} {
		if err := p.Produce(t.Context(), Record{Value: []byte(v)}); err != nil {
			t.Fatal(err)
		}
	}
	p.sealAll()
	produce(t, p, "d")
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.good(t, 2)
}

// moodyServer keeps the rules for numbered batches, over any number of connections, and does what servers and networks do:
// it refuses for now, loses answers, loses requests, and works on what it has of a connection that is gone.
type moodyServer struct {
	mu        sync.Mutex
	random    *rand.Rand
	moods     int // of 100 requests, so many go wrong
	nextID    int64
	logs      [][]string
	producers []map[int64]*moodyProducer
}

type moodyProducer struct {
	epoch  int16
	recent []moodyBatch
}

type moodyBatch struct {
	first, last int32
	base, next  int64
}

// appendBatch is the server's judgement of a batch.
func (m *moodyServer) appendBatch(partition int32, b record.Batch, values []string) (moodyBatch, wire.Code) {
	first, last := b.BaseSequence(), sequenceAfter(b.BaseSequence(), int(b.Count())-1)
	p := m.producers[partition][b.ProducerID()]
	if p != nil && p.epoch == b.ProducerEpoch() {
		for _, known := range p.recent {
			if known.first == first && known.last == last {
				return known, 0
			}
		}
	}
	switch {
	case p == nil:
	case b.ProducerEpoch() < p.epoch:
		return moodyBatch{}, wire.CodeInvalidProducerEpoch
	case b.ProducerEpoch() > p.epoch && first != 0, b.ProducerEpoch() == p.epoch && first != sequenceAfter(p.recent[len(p.recent)-1].last, 1):
		return moodyBatch{}, wire.CodeOutOfOrderSequence
	}
	if p == nil || p.epoch != b.ProducerEpoch() {
		p = &moodyProducer{epoch: b.ProducerEpoch()}
		m.producers[partition][b.ProducerID()] = p
	}
	base := int64(len(m.logs[partition]))
	m.logs[partition] = append(m.logs[partition], values...)
	added := moodyBatch{first, last, base, base + int64(len(values))}
	if p.recent = append(p.recent, added); len(p.recent) > 5 {
		p.recent = p.recent[1:]
	}
	return added, 0
}

// mood is what becomes of a request.
type mood int

const (
	fine mood = iota
	refuseForNow
	loseAnswer
	loseRequest
	inDoubtAnswer
)

func (m *moodyServer) pick() mood {
	if m.random.IntN(100) >= m.moods {
		return fine
	}
	return mood(1 + m.random.IntN(4))
}

// serve handles one connection.
func (m *moodyServer) serve(s *fake) {
	f := s.expect(wire.KindHello)
	s.send(&welcomeOf, f.RequestID)
	gone := false
	answer := func(a interface{ AppendTo([]byte, uint32) []byte }, id uint32) {
		if !gone {
			s.conn.Write(a.AppendTo(nil, id))
		}
	}
	for {
		f, ok := s.next()
		if !ok {
			return
		}
		m.mu.Lock()
		switch f.Kind {
		case wire.KindDescribeTopic:
			d := wire.TopicDescription{Topic: "t"}
			for i := range m.logs {
				d.Partitions = append(d.Partitions, wire.Partition{Index: int32(i), State: wire.StateReady})
			}
			answer(&d, f.RequestID)
		case wire.KindInitProducer:
			m.nextID++
			answer(&wire.ProducerAssigned{ProducerID: m.nextID}, f.RequestID)
		case wire.KindProduce:
			p, err := wire.ParseProduce(f)
			if err != nil {
				s.t.Error(err)
			}
			b := record.Batch(p.Batches)
			if err := b.VerifyProduced(); err != nil {
				s.t.Errorf("batch: %v", err)
			}
			var values []string
			for it := b.Iterate(b.Records()); it.Next(); {
				values = append(values, string(it.Record().Value))
			}
			mood := m.pick()
			if gone && mood == refuseForNow {
				mood = fine
			}
			if mood == refuseForNow {
				answer(wire.Errorf(wire.CodeNotReady, "not now"), f.RequestID)
				break
			}
			if mood != loseRequest {
				if added, code := m.appendBatch(p.Partition, b, values); code != 0 {
					answer(wire.Errorf(code, "no"), f.RequestID)
				} else if mood == inDoubtAnswer {
					answer(wire.Errorf(wire.CodeTimeout, "perhaps"), f.RequestID)
				} else if mood == fine {
					answer(&wire.Produced{BaseOffset: added.base, NextOffset: added.next, LogAppendTimeMs: -1}, f.RequestID)
				}
			}
			if (mood == loseRequest || mood == loseAnswer) && !gone {
				// The client sees the end; what it has sent may still be worked on.
				gone = true
				s.conn.(*net.TCPConn).CloseWrite()
			}
		}
		m.mu.Unlock()
	}
}

// Whatever goes wrong on the way, each record is stored once, in order, and acknowledged with the offset that it has.
func TestNumbersAgainstAMoodyServer(t *testing.T) {
	for round := range 4 {
		seed := uint64(time.Now().UnixNano())
		const partitions, each = 3, 400
		m := &moodyServer{random: rand.New(rand.NewPCG(seed, 1)), moods: []int{0, 2, 10, 40}[round], logs: make([][]string, partitions)}
		for range partitions {
			m.producers = append(m.producers, map[int64]*moodyProducer{})
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var running sync.WaitGroup
		running.Go(func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				running.Go(func() {
					defer conn.Close()
					m.serve(&fake{t: t, conn: conn, in: bufio.NewReader(conn)})
				})
			}
		})
		p, r := idempotent(t, l.Addr().String(), ProducerOptions{Linger: -1, BatchBytes: 200, Partitioner: ByRecord, RetryFor: time.Minute})
		var want [partitions][]string
		for i := range each * partitions {
			v := fmt.Sprint(i)
			if err := p.Produce(t.Context(), Record{Value: []byte(v), Partition: int32(i % partitions)}); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			want[i%partitions] = append(want[i%partitions], v)
		}
		if err := p.Close(t.Context()); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		p.client.Close()
		l.Close()
		running.Wait()
		for i := range want {
			if !slices.Equal(m.logs[i], want[i]) {
				t.Errorf("seed %d: partition %d holds %d records, want %d; %.200q", seed, i, len(m.logs[i]), len(want[i]), m.logs[i])
			}
		}
		for _, b := range r.all() {
			if b.Err != nil || b.BaseOffset != b.Sequence {
				t.Errorf("seed %d: %+v", seed, b)
			}
		}
	}
}
