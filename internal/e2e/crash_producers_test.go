package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/rollway/rollway/wire"
	"github.com/rollway/rollway/wire/client"
)

// fleetSegment and fleetJournal are small, so that many kills meet a roll and a
// wrap of the journal.
const (
	fleetSegment = 1 << 20
	fleetJournal = 1 << 20
)

// Idempotent producers outlive a server that is killed again and again, at random
// moments and at those that are delicate: each of their records is in the log
// once and in order, with the offset that they were told, and nothing that a
// reader has seen is ever gone. ROLLWAY_CRASH_KILLS sets how often in all,
// ROLLWAY_CRASH_SEED replays a run.
func TestCrashProducers(t *testing.T) {
	kills := envInt(t, "ROLLWAY_CRASH_KILLS", 10)
	seed := envInt(t, "ROLLWAY_CRASH_SEED", time.Now().UnixNano())
	t.Logf("replay with: make crash KILLS=%d SEED=%d", kills, seed)
	for _, fleet := range []struct{ producers, partitions int }{{4, 8}, {1, 500}} {
		t.Run(fmt.Sprintf("%d producers, %d partitions", fleet.producers, fleet.partitions), func(t *testing.T) {
			runFleet(t, seed, kills/2, fleet.producers, fleet.partitions)
		})
	}
}

// fleet is the producers and readers of one topic, and what they know.
type fleet struct {
	t      *testing.T
	random *rand.Rand
	data   string
	topic  string
	parts  []*fleetPartition
	ships  []*ship

	addr    atomic.Pointer[string] // of the server that is up now
	fragile atomic.Bool            // the producers' connections break by themselves

	acked, seen, connections atomic.Int64 // batches; records; those that were made
	ackedBytes               atomic.Int64

	quit              context.CancelFunc // ends sail and watch
	sailing, watching sync.WaitGroup

	leastInFlight, mostInFlight int64
	atRoll, atWrap, inRecovery  int
}

// ship is one producer.
type ship struct {
	number   int
	producer *client.Producer
	inFlight atomic.Int64 // batches that were sent over this connection and not answered
}

// fleetRecord is a record by its producer and its number among all that this
// producer has sent to the partition.
type fleetRecord struct {
	ship   uint8
	serial int32
}

// fleetPartition is what is known of a partition.
type fleetPartition struct {
	mu       sync.Mutex
	verified []fleetRecord         // by offset: found there after a start
	next     []int32               // serial of the next record of each ship behind them
	digest   uint64                // of all values of verified
	must     map[int64]fleetRecord // acknowledged or seen at offsets behind them
	bytes    atomic.Int64          // acknowledged
	observed int64                 // where the reader goes on
}

// hold notes that r was acknowledged or seen at an offset.
func (p *fleetPartition) hold(partition int32, offset int64, r fleetRecord, by string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	known, ok := p.must[offset]
	if offset < int64(len(p.verified)) {
		known, ok = p.verified[offset], true
	}
	if ok && known != r {
		return fmt.Errorf("partition %d offset %d: record %d of producer %d was %s, but another one, %d of %d, is there", partition, offset, r.serial, r.ship, by, known.serial, known.ship)
	}
	if offset >= int64(len(p.verified)) {
		p.must[offset] = r
	}
	return nil
}

// verify takes a record that was found after a start, at the offset behind the
// last.
func (p *fleetPartition) verify(partition int32, value []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	offset := int64(len(p.verified))
	r, err := parseFleetRecord(value)
	if err != nil {
		return err
	}
	if want := p.next[r.ship]; r.serial != want {
		what := "a gap"
		if r.serial < want {
			what = "a duplicate"
		}
		return fmt.Errorf("partition %d offset %d: %s: record %d of producer %d, want %d", partition, offset, what, r.serial, r.ship, want)
	}
	if known, ok := p.must[offset]; ok && known != r {
		return fmt.Errorf("partition %d offset %d: record %d of producer %d, but %d of %d was acknowledged or seen", partition, offset, r.serial, r.ship, known.serial, known.ship)
	}
	delete(p.must, offset)
	p.next[r.ship]++
	p.verified = append(p.verified, r)
	p.digest = chain(p.digest, value)
	return nil
}

// chain adds a value to a digest.
func chain(digest uint64, value []byte) uint64 {
	d := xxhash.NewWithSeed(digest)
	d.Write(value)
	return d.Sum64()
}

// fleetValue is the value of a record: it tells which one it is, and has a length
// between 20 and 1,000 bytes.
func fleetValue(ship int, partition, serial int32) []byte {
	head := fmt.Sprintf("%d/%d/", ship, serial)
	size := 20 + xxhash.Sum64String(fmt.Sprint(head, partition))%980
	return fmt.Appendf(nil, "%s%0*d", head, int(size), partition)
}

func parseFleetRecord(value []byte) (fleetRecord, error) {
	fields := strings.SplitN(string(value), "/", 3)
	if len(fields) != 3 {
		return fleetRecord{}, fmt.Errorf("value %.40q is of no producer", value)
	}
	ship, err1 := strconv.ParseUint(fields[0], 10, 8)
	serial, err2 := strconv.ParseInt(fields[1], 10, 32)
	return fleetRecord{uint8(ship), int32(serial)}, errors.Join(err1, err2)
}

func runFleet(t *testing.T, seed, kills int64, producers, partitions int) {
	f := newFleet(t, seed, partitions)
	s := f.begin(producers, partitions)
	began := time.Now()
	for kill := range kills {
		f.awaitKill(kill)
		s.kill()
		if kill%10 == 9 {
			f.inRecovery++
			s = f.start()
			time.Sleep(time.Duration(f.random.Int64N(int64(15 * time.Millisecond))))
			s.kill()
		}
		s = f.start()
		f.verifyAll(s)
		if t.Failed() {
			t.Fatalf("after kill %d of seed %d; the server's log:\n%s", kill+1, seed, s.stderr)
		}
		if kill%100 == 99 {
			f.logFigures(kill+1, time.Since(began), f.records())
		}
	}
	f.logFigures(kills, time.Since(began), f.end(s))
}

// logFigures says what was found, which is nothing, or the test has failed.
func (f *fleet) logFigures(kills int64, took time.Duration, records int) {
	f.t.Logf("%d kills in %v: 0 of %d records lost, doubled, out of order or missing; %d batches acknowledged, %d records seen by readers, "+
		"%d connections; in flight at the kill %d to %d; %d kills aimed at a roll, %d at a wrap of the journal, %d more during recovery",
		kills, took.Round(time.Second), records, f.acked.Load(), f.seen.Load(), f.connections.Load(), f.leastInFlight, f.mostInFlight, f.atRoll, f.atWrap, f.inRecovery)
}

// Idempotent producers whose connections break again and again, in the middle of
// a frame in either direction, and whose server is killed and stopped between,
// have each record stored once and in order.
func TestProducersOverBadConnections(t *testing.T) {
	const breaks = 60
	seed := time.Now().UnixNano()
	f := newFleet(t, seed, 4)
	f.fragile.Store(true)
	s := f.begin(2, 4)
	for round := range int64(4) {
		for limit := time.Now().Add(time.Minute); f.connections.Load() < breaks*(round+1)/4; time.Sleep(time.Millisecond) {
			if time.Now().After(limit) {
				t.Fatalf("%d connections within a minute", f.connections.Load())
			}
		}
		if round%2 == 0 {
			s.kill()
		} else {
			s.stop()
		}
		s = f.start()
		f.verifyAll(s)
	}
	f.fragile.Store(false)
	records := f.end(s)
	t.Logf("%d records over %d connections", records, f.connections.Load())
}

func newFleet(t *testing.T, seed int64, partitions int) *fleet {
	f := &fleet{t: t, random: rand.New(rand.NewPCG(uint64(seed), uint64(partitions))), data: t.TempDir(), topic: "fleet"}
	for range partitions {
		f.parts = append(f.parts, &fleetPartition{must: map[int64]fleetRecord{}})
	}
	return f
}

// begin starts the server, the producers and the reader.
func (f *fleet) begin(producers, partitions int) *server {
	f.t.Helper()
	s := f.start()
	s.run(nil, "topic", "create", f.topic, "--partitions", strconv.Itoa(partitions), "--config", "segment.bytes="+strconv.Itoa(fleetSegment))
	for _, p := range f.parts {
		p.next = make([]int32, producers)
	}
	ctx, quit := context.WithCancel(f.t.Context())
	f.quit = quit
	f.t.Cleanup(quit)
	for n := range producers {
		sp := f.launchShip(ctx, n)
		f.sailing.Go(func() { f.sail(ctx, sp) })
	}
	f.watching.Go(func() { f.watch(ctx) })
	return s
}

// end lets the producers finish, verifies everything, stops the server and
// returns how many records there are.
func (f *fleet) end(s *server) int {
	f.t.Helper()
	f.quit()
	f.sailing.Wait()
	for _, sp := range f.ships {
		if err := sp.producer.Close(f.t.Context()); err != nil {
			f.t.Errorf("close of producer %d: %v", sp.number, err)
		}
	}
	f.watching.Wait()
	f.verifyAll(s)
	f.verifyDigests(s)
	s.stop()
	return f.records()
}

// records is how many are verified.
func (f *fleet) records() (n int) {
	for _, p := range f.parts {
		p.mu.Lock()
		n += len(p.verified)
		p.mu.Unlock()
	}
	return n
}

// start starts the server and leads the producers to it.
func (f *fleet) start() *server {
	f.t.Helper()
	s := startServer(f.t, f.data, "--journal-bytes", strconv.Itoa(fleetJournal))
	f.addr.Store(&s.addr)
	return s
}

// launchShip makes a producer that finds the server wherever it is.
func (f *fleet) launchShip(ctx context.Context, number int) *ship {
	f.t.Helper()
	sp := &ship{number: number}
	c, err := client.Dial(ctx, "the server", client.Options{Dial: func(ctx context.Context, _ string) (net.Conn, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", *f.addr.Load())
		if err != nil {
			return nil, err
		}
		f.connections.Add(1)
		sp.inFlight.Store(0)
		conn = &countingConn{conn, &sp.inFlight}
		if f.fragile.Load() {
			conn = &fragileConn{Conn: conn, writes: 2000 + rand.N(100_000), reads: 8000 + rand.N(8000)} // a description has 6 KB
		}
		return conn, nil
	}})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { c.Close() })
	sp.producer, err = client.NewProducer(ctx, c, f.topic, client.ProducerOptions{
		Partitioner: client.ByRecord, Linger: -1, MaxInFlightBytes: 1 << 20, RetryFor: 10 * time.Minute,
		OnBatch: func(r client.BatchResult) { f.settled(sp, r) },
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.ships = append(f.ships, sp)
	return sp
}

// countingConn counts the Produces that are sent: a producer's frames are written
// one by one where there is no writev.
type countingConn struct {
	net.Conn
	sent *atomic.Int64
}

func (c *countingConn) Write(p []byte) (int, error) {
	if len(p) > wire.HeadSize && wire.Kind(p[4]) == wire.KindProduce {
		c.sent.Add(1)
	}
	return c.Conn.Write(p)
}

// fragileConn breaks after so many bytes written or read, in the middle of
// whatever it is.
type fragileConn struct {
	net.Conn
	writes int // the writer's
	reads  int // the reader's
}

func (c *fragileConn) Write(p []byte) (int, error) {
	if len(p) <= c.writes {
		c.writes -= len(p)
		return c.Conn.Write(p)
	}
	n, err := c.Conn.Write(p[:c.writes])
	c.Conn.Close()
	return n, errors.Join(err, net.ErrClosed)
}

func (c *fragileConn) Read(p []byte) (int, error) {
	if c.reads == 0 {
		c.Conn.Close()
		return 0, net.ErrClosed
	}
	n, err := c.Conn.Read(p[:min(len(p), c.reads)])
	c.reads -= n
	return n, err
}

// sail produces to all partitions in turn until ctx ends.
func (f *fleet) sail(ctx context.Context, sp *ship) {
	serials := make([]int32, len(f.parts))
	for i := 0; ctx.Err() == nil; i++ {
		partition := int32(i % len(f.parts))
		r := client.Record{Value: fleetValue(sp.number, partition, serials[partition]), Partition: partition}
		if err := sp.producer.Produce(ctx, r); err != nil {
			if ctx.Err() == nil {
				f.t.Errorf("producer %d: %v", sp.number, err)
			}
			return
		}
		serials[partition]++
		if i%8 == 7 {
			time.Sleep(time.Millisecond) // so that a run does not fill the disk
		}
	}
}

// settled takes the fate of a batch.
func (f *fleet) settled(sp *ship, r client.BatchResult) {
	sp.inFlight.Add(-1)
	if r.Err != nil {
		f.t.Errorf("producer %d: %v", sp.number, r.Err)
		return
	}
	f.acked.Add(1)
	f.ackedBytes.Add(int64(r.Bytes))
	p := f.parts[r.Partition]
	p.bytes.Add(int64(r.Bytes))
	for i := range int64(r.Records) {
		if err := p.hold(r.Partition, r.BaseOffset+i, fleetRecord{uint8(sp.number), int32(r.Sequence + i)}, "acknowledged"); err != nil {
			f.t.Error(err)
		}
	}
}

// watch reads what becomes visible, of one partition after the other, and notes
// it, until ctx ends.
func (f *fleet) watch(ctx context.Context) {
	for ctx.Err() == nil {
		p, err := dialPeer(*f.addr.Load())
		if err != nil {
			time.Sleep(time.Millisecond)
			continue
		}
		for i := 0; ctx.Err() == nil && err == nil; i++ {
			partition := int32(i % len(f.parts))
			log := f.parts[partition]
			log.observed, _, err = f.fetch(p, partition, log.observed, func(offset int64, value []byte) error {
				f.seen.Add(1)
				r, err := parseFleetRecord(value)
				if err == nil {
					err = log.hold(partition, offset, r, "seen")
				}
				return err
			})
			if i%8 == 7 {
				time.Sleep(time.Millisecond)
			}
		}
		p.conn.Close()
		f.check(err)
	}
}

// check reports what a reader met, unless that is the kill or a partition that
// is not ready.
func (f *fleet) check(err error) {
	var refused *wire.Error
	if err == nil || errors.Is(err, errKilled) || errors.As(err, &refused) && refused.Code == wire.CodeNotReady {
		return
	}
	f.t.Error(err)
}

// fetch asks once for what is there from an offset on, gives it to take in order
// and returns the offset behind it, and the high watermark.
func (f *fleet) fetch(p *peer, partition int32, from int64, take func(int64, []byte) error) (next, end int64, err error) {
	return p.fetch(wire.Fetch{Topic: []byte(f.topic), Partition: partition, Offset: from, MaxBytes: 1 << 20}, false, take)
}

// readAll gives everything from an offset to the high watermark of the first
// answer to take, and returns that.
func (f *fleet) readAll(s *server, p *peer, partition int32, from int64, take func(int64, []byte) error) int64 {
	f.t.Helper()
	end := int64(-1)
	for limit := time.Now().Add(time.Minute); end < 0 || from < end; {
		next, mark, err := f.fetch(p, partition, from, take)
		if refused := (*wire.Error)(nil); errors.As(err, &refused) && refused.Code == wire.CodeNotReady && time.Now().Before(limit) {
			time.Sleep(time.Millisecond)
			continue
		}
		if err != nil {
			f.t.Fatalf("verify partition %d from %d: %v; the server's log:\n%s", partition, from, err, s.stderr)
		}
		from = next
		if end < 0 {
			end = mark
		}
	}
	return end
}

// verifyAll reads what lies behind what is verified, in all partitions, beside the
// producers, and holds it against what was acknowledged and seen.
func (f *fleet) verifyAll(s *server) {
	f.t.Helper()
	p, err := dialPeer(s.addr)
	if err != nil {
		f.t.Fatal(err)
	}
	defer p.conn.Close()
	for i, log := range f.parts {
		partition := int32(i)
		// What was held before the look has to be there.
		log.mu.Lock()
		last := int64(-1)
		for offset := range log.must {
			last = max(last, offset)
		}
		from := int64(len(log.verified))
		log.mu.Unlock()
		end := f.readAll(s, p, partition, from, func(_ int64, value []byte) error { return log.verify(partition, value) })
		if last >= end {
			f.t.Fatalf("partition %d ends at %d; offset %d was acknowledged or seen", partition, end, last)
		}
	}
}

// verifyDigests reads everything once more: it is what it was when it was
// verified.
func (f *fleet) verifyDigests(s *server) {
	f.t.Helper()
	p, err := dialPeer(s.addr)
	if err != nil {
		f.t.Fatal(err)
	}
	defer p.conn.Close()
	for i, log := range f.parts {
		digest := uint64(0)
		end := f.readAll(s, p, int32(i), 0, func(_ int64, value []byte) error { digest = chain(digest, value); return nil })
		if end != int64(len(log.verified)) || digest != log.digest {
			f.t.Errorf("partition %d: %d records with digest %x, want %d with %x", i, end, digest, len(log.verified), log.digest)
		}
	}
}

// awaitKill waits for the moment to kill: a random time, or right when a
// partition is about to roll, or the journal to wrap; then until enough batches
// are in flight. Of four times it waits thrice until the producers get on again:
// a partition that was not ready is asked again after 50 ms and more, and would
// never be in time.
func (f *fleet) awaitKill(kill int64) {
	limit := time.Now().Add(20 * time.Second)
	for before := f.acked.Load(); kill%4 != 0 && f.acked.Load() < before+int64(len(f.parts)/8) && time.Now().Before(limit); {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(time.Duration(f.random.Int64N(int64(60 * time.Millisecond))))
	near := func(bytes, size int64) bool { return bytes > size/2 && bytes%size > size-size/32 }
	await := func(what func() bool) {
		for short := time.Now().Add(200 * time.Millisecond); time.Now().Before(short) && !what(); {
			time.Sleep(50 * time.Microsecond)
		}
	}
	switch kill % 4 {
	case 1:
		f.atWrap++
		await(func() bool { return near(f.ackedBytes.Load(), fleetJournal/2) })
	case 3:
		f.atRoll++
		await(func() bool {
			for _, p := range f.parts {
				if near(p.bytes.Load(), fleetSegment) {
					return true
				}
			}
			return false
		})
	}
	for f.inFlight() < crashInFlight {
		if time.Now().After(limit) {
			f.t.Errorf("only %d batches in flight, want %d", f.inFlight(), crashInFlight)
			return
		}
		time.Sleep(50 * time.Microsecond)
	}
	n := f.inFlight()
	if f.leastInFlight == 0 || n < f.leastInFlight {
		f.leastInFlight = n
	}
	f.mostInFlight = max(f.mostInFlight, n)
}

func (f *fleet) inFlight() (n int64) {
	for _, sp := range f.ships {
		n += sp.inFlight.Load()
	}
	return n
}
