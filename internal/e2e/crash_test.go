package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/wire"
)

const (
	crashTopic      = "crash"
	crashPartitions = 3
	crashWindow     = 24      // batches that each producer keeps in flight
	crashInFlight   = 8       // fewer than these in all, and the kill waits
	crashSegment    = 1 << 20 // bytes; small, so that many kills meet a roll
)

// envInt reads a number from the environment; missing or empty means fallback.
func envInt(t *testing.T, name string, fallback int64) int64 {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		return fallback
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// A server that is killed at a random moment, with batches in flight, while it
// rolls segments and while it recovers, loses nothing that it acknowledged or
// showed to a reader, leaves no gap in the offsets and no batch with a bad crc.
// ROLLWAY_CRASH_KILLS sets how often, ROLLWAY_CRASH_SEED replays a run.
func TestCrash(t *testing.T) {
	kills := envInt(t, "ROLLWAY_CRASH_KILLS", 12)
	seed := envInt(t, "ROLLWAY_CRASH_SEED", time.Now().UnixNano())
	t.Logf("replay with: make crash KILLS=%d SEED=%d", kills, seed)
	c := &crashRun{t: t, random: rand.New(rand.NewPCG(uint64(seed), 1)), data: t.TempDir()}
	s := startServer(t, c.data)
	s.run(nil, "topic", "create", crashTopic, "--partitions", strconv.Itoa(crashPartitions),
		"--config", "segment.bytes="+strconv.Itoa(crashSegment))
	s.kill()
	for p := range c.logs {
		c.logs[p] = &crashLog{partition: int32(p), records: map[int64]crashRecord{}}
	}
	for kill := range kills {
		c.cycle(kill)
		if t.Failed() {
			t.Fatalf("after kill %d of seed %d", kill+1, seed)
		}
	}
	s = startServer(t, c.data)
	for _, log := range c.logs {
		log.verified = 0
		c.verify(s, log)
	}
	s.stop()
	t.Logf("%d kills: %d acknowledged batches, %d records seen by readers, in flight at the kill %d to %d, %d aimed at a roll, %d during recovery",
		kills, c.acked.Load(), c.seen.Load(), c.leastInFlight, c.mostInFlight, c.atRoll, c.inRecovery)
}

// crashRun is the state that outlives the server.
type crashRun struct {
	t      *testing.T
	random *rand.Rand
	data   string
	logs   [crashPartitions]*crashLog

	acked, seen                 atomic.Int64
	leastInFlight, mostInFlight int64
	atRoll, inRecovery          int
}

// crashLog is what is known of one partition.
type crashLog struct {
	partition int32

	mu       sync.Mutex
	records  map[int64]crashRecord // by offset
	verified int64                 // all records below were found where they belong
	sent     int64                 // bytes sent in this cycle
	serial   int64                 // of the next record
}

// crashRecord is a record that must be there from now on, and who says so. The
// value's hash stands for it: a run may well produce a gigabyte.
type crashRecord struct {
	hash uint64
	by   string
}

// must notes that a record was acknowledged or seen; it cannot be another one
// than before.
func (l *crashLog) must(offset int64, value, by string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := crashRecord{xxhash.Sum64String(value), by}
	if old, ok := l.records[offset]; ok && old.hash != r.hash {
		return fmt.Errorf("partition %d offset %d: %s %.40q, but another value was %s", l.partition, offset, by, value, old.by)
	}
	l.records[offset] = r
	return nil
}

// cycle starts the server, lets producers and readers at it, kills it, and
// checks after a restart.
func (c *crashRun) cycle(kill int64) {
	c.t.Helper()
	if kill%10 == 9 {
		c.killInRecovery()
	}
	s := startServer(c.t, c.data)
	for _, log := range c.logs {
		c.verify(s, log)
	}
	var (
		wg       sync.WaitGroup
		inFlight atomic.Int64
	)
	for _, log := range c.logs {
		seed := c.random.Uint64()
		wg.Go(func() { c.check(c.produce(s.addr, log, seed, &inFlight)) })
		wg.Go(func() { c.check(c.read(s.addr, log)) })
	}
	c.awaitKill(kill, &inFlight)
	n := inFlight.Load()
	s.kill()
	wg.Wait()
	if c.leastInFlight == 0 || n < c.leastInFlight {
		c.leastInFlight = n
	}
	c.mostInFlight = max(c.mostInFlight, n)
}

// killInRecovery starts a server and kills it before or soon after it accepts.
func (c *crashRun) killInRecovery() {
	c.inRecovery++
	s := startServer(c.t, c.data)
	time.Sleep(time.Duration(c.random.Int64N(int64(5 * time.Millisecond))))
	s.kill()
}

// awaitKill waits for the moment to kill: a random time, or for each fourth
// kill, right when some partition is about to roll; then until enough batches
// are in flight.
func (c *crashRun) awaitKill(kill int64, inFlight *atomic.Int64) {
	limit := time.Now().Add(20 * time.Second)
	if kill%4 == 3 {
		c.atRoll++
		log := c.logs[c.random.IntN(len(c.logs))]
		for time.Now().Before(limit) && !log.aboutToRoll() {
			time.Sleep(50 * time.Microsecond)
		}
	} else {
		time.Sleep(time.Duration(c.random.Int64N(int64(60 * time.Millisecond))))
	}
	for inFlight.Load() < crashInFlight {
		if time.Now().After(limit) {
			c.t.Errorf("only %d batches in flight, want %d", inFlight.Load(), crashInFlight)
			return
		}
		time.Sleep(50 * time.Microsecond)
	}
}

// aboutToRoll tells whether about a segment, or a multiple, was sent.
func (l *crashLog) aboutToRoll() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sent > crashSegment/2 && l.sent%crashSegment < 64<<10
}

// check reports what a producer or reader met, unless that is the kill.
func (c *crashRun) check(err error) {
	var netErr net.Error
	var refused *wire.Error
	switch {
	case err == nil:
	case errors.As(err, &refused):
		c.t.Errorf("refused: %v", err)
	case errors.As(err, &netErr), errors.Is(err, errKilled):
	default:
		c.t.Error(err)
	}
}

var errKilled = errors.New("the connection ended")

// produce keeps crashWindow batches of random sizes in flight until the server
// dies.
func (c *crashRun) produce(addr string, log *crashLog, seed uint64, inFlight *atomic.Int64) error {
	p, err := dialPeer(addr)
	if err != nil {
		return errKilled
	}
	defer p.conn.Close()
	random := rand.New(rand.NewPCG(seed, 2))
	window := make(chan []string, crashWindow)
	go func() {
		defer close(window)
		var b record.Builder
		for {
			values := log.batch(&b, random)
			batches, err := b.Build(nil)
			if err != nil {
				c.t.Error(err)
				return
			}
			m := wire.Produce{Topic: []byte(crashTopic), Partition: log.partition, Acks: wire.AcksAll, Batches: batches}
			window <- values
			inFlight.Add(1)
			if _, err := p.conn.Write(m.AppendTo(nil, 7)); err != nil {
				return
			}
		}
	}()
	defer func() {
		p.conn.Close()
		for range window {
			inFlight.Add(-1)
		}
	}()
	for {
		f, err := p.read()
		if refused := (*wire.Error)(nil); errors.As(err, &refused) {
			return err
		} else if err != nil {
			return errKilled
		}
		answer, err := wire.ParseProduced(f)
		if err != nil {
			return err
		}
		values := <-window
		inFlight.Add(-1)
		if n := answer.NextOffset - answer.BaseOffset; n != int64(len(values)) {
			return fmt.Errorf("%d records were acknowledged as offsets %d to %d", len(values), answer.BaseOffset, answer.NextOffset)
		}
		for i, v := range values {
			if err := log.must(answer.BaseOffset+int64(i), v, "acknowledged"); err != nil {
				return err
			}
		}
		c.acked.Add(1)
	}
}

// batch fills b with new records, each unlike all others, and returns their
// values.
func (l *crashLog) batch(b *record.Builder, random *rand.Rand) []string {
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

// read fetches what becomes visible until the server dies, and notes it.
func (c *crashRun) read(addr string, log *crashLog) error {
	p, err := dialPeer(addr)
	if err != nil {
		return errKilled
	}
	defer p.conn.Close()
	next := log.verified
	for {
		n, _, err := p.fetch(log, next, func(offset int64, value string) error {
			c.seen.Add(1)
			return log.must(offset, value, "seen")
		})
		if err != nil {
			return err
		}
		next = n
	}
}

// fetch asks once for records from offset next on, gives them to f in order,
// and returns the offset behind the last and the high watermark.
func (p *peer) fetch(log *crashLog, next int64, f func(int64, string) error) (int64, int64, error) {
	m := wire.Fetch{Topic: []byte(crashTopic), Partition: log.partition, Offset: next, MinBytes: 1, MaxBytes: 1 << 20, MaxWaitMs: 200}
	if _, err := p.conn.Write(m.AppendTo(nil, 9)); err != nil {
		return next, 0, errKilled
	}
	frame, err := p.read()
	if refused := (*wire.Error)(nil); errors.As(err, &refused) {
		return next, 0, err
	} else if err != nil {
		return next, 0, errKilled
	}
	data, err := wire.ParseData(frame)
	if err != nil {
		return next, 0, err
	}
	for rest := data.Batches; ; {
		b, after, err := record.Next(rest)
		if errors.Is(err, record.ErrShort) {
			return next, data.Offsets.HighWatermark, nil
		}
		if err == nil {
			err = b.Verify()
		}
		if err != nil {
			return next, 0, fmt.Errorf("partition %d: batch for offset %d: %w", log.partition, next, err)
		}
		it := b.Iterate(b.Records())
		for it.Next() {
			r := it.Record()
			if int64(r.Offset) < next {
				continue
			}
			if int64(r.Offset) != next {
				return next, 0, fmt.Errorf("partition %d: offset %d follows %d", log.partition, r.Offset, next-1)
			}
			if err := f(next, string(r.Value)); err != nil {
				return next, 0, err
			}
			next++
		}
		if err := it.Err(); err != nil {
			return next, 0, err
		}
		rest = after
	}
}

// verify reads what lies above the last verification and holds it against what
// was acknowledged and seen.
func (c *crashRun) verify(s *server, log *crashLog) {
	c.t.Helper()
	p, err := dialPeer(s.addr)
	if err != nil {
		c.t.Fatal(err)
	}
	defer p.conn.Close()
	next, end := log.verified, int64(-1)
	for limit := time.Now().Add(time.Minute); next != end; {
		next, end, err = p.fetch(log, next, func(offset int64, value string) error {
			return log.must(offset, value, "recovered")
		})
		if refused := (*wire.Error)(nil); errors.As(err, &refused) && refused.Retryable() && time.Now().Before(limit) {
			end = -1
			time.Sleep(time.Millisecond)
			continue
		}
		if err != nil {
			c.t.Fatalf("verify partition %d from %d: %v\nserver's stderr:\n%s", log.partition, next, err, s.stderr)
		}
	}
	for offset, r := range log.records {
		if offset >= end {
			c.t.Fatalf("partition %d ends at %d; offset %d was %s", log.partition, end, offset, r.by)
		}
	}
	log.verified = end
	log.sent = 0
}
