package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/wire"
)

// history is what the clients of a server that comes and goes were told of one
// topic: what was acknowledged or shown once must be there from then on.
type history struct {
	t     *testing.T
	topic string
	logs  []*logHistory
	// window is how many batches each producer keeps in flight.
	window int
	// pace is how long each producer waits between batches.
	pace time.Duration
	// tolerate, if not nil, tells of a refusal that it is no fault; that the
	// partition is not ready never is. The refused
	// records may be there or not; the producer goes on with new ones.
	tolerate func(*wire.Error) bool

	inFlight    atomic.Int64 // batches that were sent and not answered
	acked, seen atomic.Int64 // batches; records
	refused     atomic.Int64 // batches, tolerated
}

// newHistory returns an empty one for a topic of that many partitions.
func newHistory(t *testing.T, topic string, partitions, window int) *history {
	h := &history{t: t, topic: topic, window: window}
	for p := range partitions {
		h.logs = append(h.logs, &logHistory{partition: int32(p), records: map[int64]historyRecord{}})
	}
	return h
}

func (h *history) tolerates(refused *wire.Error) bool {
	return refused.Code == wire.CodeNotReady || h.tolerate != nil && h.tolerate(refused)
}

// create makes the topic.
func (h *history) create(s *server, configs ...string) {
	h.t.Helper()
	args := []string{"topic", "create", h.topic, "--partitions", strconv.Itoa(len(h.logs))}
	for _, c := range configs {
		args = append(args, "--config", c)
	}
	s.run(nil, args...)
}

// logHistory is what is known of one partition.
type logHistory struct {
	partition int32

	mu       sync.Mutex
	records  map[int64]historyRecord // by offset
	end      int64                   // behind the last of records
	verified int64                   // all records below were found where they belong
	sent     int64                   // bytes sent in this cycle
	serial   int64                   // of the next record
}

// historyRecord is a record that must be there from now on, and who says so. The
// value's hash stands for it: a run may well produce a gigabyte.
type historyRecord struct {
	hash uint64
	by   string
}

// must notes that a record was acknowledged or seen; it cannot be another one
// than before.
func (l *logHistory) must(offset int64, value, by string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := historyRecord{xxhash.Sum64String(value), by}
	if old, ok := l.records[offset]; ok && old.hash != r.hash {
		return fmt.Errorf("partition %d offset %d: %s %.40q, but another value was %s", l.partition, offset, by, value, old.by)
	}
	l.records[offset] = r
	l.end = max(l.end, offset+1)
	return nil
}

// check reports what a producer or reader met, unless that is the kill.
func (h *history) check(err error) {
	var netErr net.Error
	var refused *wire.Error
	switch {
	case err == nil:
	case errors.As(err, &refused):
		h.t.Errorf("refused: %v", err)
	case errors.As(err, &netErr), errors.Is(err, errKilled):
	default:
		h.t.Error(err)
	}
}

// load is the producers and readers of one server, one of each a partition.
type load struct {
	h    *history
	quit context.CancelFunc
	wg   sync.WaitGroup
}

// start has clients produce to a server and read from it until it dies or the
// load is stopped.
func (h *history) start(addr string, random *rand.Rand) *load {
	ctx, quit := context.WithCancel(context.Background())
	l := &load{h: h, quit: quit}
	for _, log := range h.logs {
		seed := random.Uint64()
		l.wg.Go(func() { h.check(h.produce(ctx, addr, log, seed)) })
		l.wg.Go(func() { h.check(h.read(ctx, addr, log)) })
	}
	return l
}

// wait returns when all clients have noticed that the server is dead.
func (l *load) wait() {
	l.wg.Wait()
	l.quit()
}

// stop has the producers send nothing more, and returns when all that they sent
// is answered.
func (l *load) stop() {
	l.quit()
	l.wg.Wait()
}

// produce keeps h.window batches of random sizes in flight until ctx ends or
// the server dies.
func (h *history) produce(ctx context.Context, addr string, log *logHistory, seed uint64) error {
	p, err := dialPeer(addr)
	if err != nil {
		return errKilled
	}
	window := make(chan []string, h.window-1)
	go h.send(ctx, p, log, rand.New(rand.NewPCG(seed, 2)), window)
	defer func() {
		p.conn.Close()
		for range window {
			h.inFlight.Add(-1)
		}
	}()
	for values := range window {
		f, err := p.read()
		h.inFlight.Add(-1)
		if refused := (*wire.Error)(nil); errors.As(err, &refused) {
			if !h.tolerates(refused) {
				return err
			}
			h.refused.Add(1)
			continue
		} else if err != nil {
			return errKilled
		}
		answer, err := wire.ParseProduced(f)
		if err != nil {
			return err
		}
		if n := answer.NextOffset - answer.BaseOffset; n != int64(len(values)) {
			return fmt.Errorf("%d records were acknowledged as offsets %d to %d", len(values), answer.BaseOffset, answer.NextOffset)
		}
		for i, v := range values {
			if err := log.must(answer.BaseOffset+int64(i), v, "acknowledged"); err != nil {
				return err
			}
		}
		h.acked.Add(1)
	}
	return nil
}

// awaitAcked waits until so many batches are acknowledged.
func (h *history) awaitAcked(batches int64) {
	h.t.Helper()
	for limit := time.Now().Add(time.Minute); h.acked.Load() < batches; time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			h.t.Fatalf("%d batches were acknowledged, want %d", h.acked.Load(), batches)
		}
	}
}

// send produces new batches and puts their values into window, which it closes
// at the end.
func (h *history) send(ctx context.Context, p *peer, log *logHistory, random *rand.Rand, window chan<- []string) {
	defer close(window)
	var b record.Builder
	for ctx.Err() == nil {
		values := log.batch(&b, random)
		batches, err := b.Build(nil)
		if err != nil {
			h.t.Error(err)
			return
		}
		m := wire.Produce{Topic: []byte(h.topic), Partition: log.partition, Acks: wire.AcksAll, Batches: batches}
		h.inFlight.Add(1)
		window <- values
		if _, err := p.conn.Write(m.AppendTo(nil, 7)); err != nil {
			return
		}
		time.Sleep(h.pace)
	}
}

// batch fills b with new records, each unlike all others, and returns their
// values.
func (l *logHistory) batch(b *record.Builder, random *rand.Rand) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	b.Reset(record.BuilderOptions{})
	var values []string
	for range 1 + random.IntN(8) {
		l.serial++
		v := fmt.Sprintf("%d/%d/%0*d", l.partition, l.serial, 1+random.IntN(1000), 0)
		b.Append(time.Now().UnixMilli(), nil, []byte(v))
		values = append(values, v)
	}
	l.sent += int64(b.Size())
	return values
}

// read fetches what becomes visible until ctx ends or the server dies, and notes
// it.
func (h *history) read(ctx context.Context, addr string, log *logHistory) error {
	p, err := dialPeer(addr)
	if err != nil {
		return errKilled
	}
	defer p.conn.Close()
	next, _ := log.known()
	for ctx.Err() == nil {
		next, _, err = h.fetch(p, log, next, func(offset int64, value []byte) error {
			h.seen.Add(1)
			return log.must(offset, string(value), "seen")
		})
		if refused := (*wire.Error)(nil); errors.As(err, &refused) && h.tolerates(refused) {
			time.Sleep(time.Millisecond)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// fetch asks once for records from offset next on, gives them to take in order,
// and returns the offset behind the last and the high watermark.
func (h *history) fetch(p *peer, log *logHistory, next int64, take func(int64, []byte) error) (int64, int64, error) {
	m := wire.Fetch{Topic: []byte(h.topic), Partition: log.partition, Offset: next, MinBytes: 1, MaxBytes: 1 << 20, MaxWaitMs: 200}
	return p.fetch(m, false, take)
}

// verifyAll verifies all partitions.
func (h *history) verifyAll(s *server) {
	h.t.Helper()
	for _, log := range h.logs {
		h.verify(s, log)
	}
}

// verifyFromStart verifies all partitions once more, everything.
func (h *history) verifyFromStart(s *server) {
	h.t.Helper()
	for _, log := range h.logs {
		log.mu.Lock()
		log.verified = 0
		log.mu.Unlock()
	}
	h.verifyAll(s)
}

// known returns up to where records were verified and where they end.
func (l *logHistory) known() (verified, end int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.verified, l.end
}

// verify reads what lies above the last verification and holds it against what
// was acknowledged and seen before it. Producers and readers may be at work.
func (h *history) verify(s *server, log *logHistory) {
	h.t.Helper()
	p, err := dialPeer(s.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	defer p.conn.Close()
	next, known := log.known()
	end := int64(-1)
	for limit := time.Now().Add(time.Minute); next != end; {
		next, end, err = h.fetch(p, log, next, func(offset int64, value []byte) error {
			return log.must(offset, string(value), "recovered")
		})
		if refused := (*wire.Error)(nil); errors.As(err, &refused) && refused.Retryable() && time.Now().Before(limit) {
			end = -1
			time.Sleep(time.Millisecond)
			continue
		}
		if err != nil {
			h.t.Fatalf("verify partition %d from %d: %v\nserver's stderr:\n%s", log.partition, next, err, s.stderr)
		}
	}
	log.mu.Lock()
	defer log.mu.Unlock()
	if end < known {
		h.t.Fatalf("partition %d ends at %d; offset %d was %s", log.partition, end, known-1, log.records[known-1].by)
	}
	log.verified = end
	log.sent = 0
}
