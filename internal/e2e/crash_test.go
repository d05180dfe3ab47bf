package e2e

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

const (
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
	c := &crashRun{
		t: t, random: rand.New(rand.NewPCG(uint64(seed), 1)), data: t.TempDir(),
		history: newHistory(t, "crash", crashPartitions, crashWindow),
	}
	s := startServer(t, c.data)
	c.history.create(s, "segment.bytes="+strconv.Itoa(crashSegment))
	s.kill()
	for kill := range kills {
		c.cycle(kill)
		if t.Failed() {
			t.Fatalf("after kill %d of seed %d", kill+1, seed)
		}
	}
	s = startServer(t, c.data)
	c.history.verifyFromStart(s)
	s.stop()
	t.Logf("%d kills: %d acknowledged batches, %d records seen by readers, in flight at the kill %d to %d, %d aimed at a roll, %d during recovery",
		kills, c.history.acked.Load(), c.history.seen.Load(), c.leastInFlight, c.mostInFlight, c.atRoll, c.inRecovery)
}

// crashRun is the state that outlives the server.
type crashRun struct {
	t       *testing.T
	random  *rand.Rand
	data    string
	history *history

	leastInFlight, mostInFlight int64
	atRoll, inRecovery          int
}

// cycle starts the server, lets producers and readers at it, kills it, and
// checks after a restart.
func (c *crashRun) cycle(kill int64) {
	c.t.Helper()
	if kill%10 == 9 {
		c.killInRecovery()
	}
	s := startServer(c.t, c.data)
	c.history.verifyAll(s)
	load := c.history.start(s.addr, c.random)
	c.awaitKill(kill)
	n := c.history.inFlight.Load()
	s.kill()
	load.wait()
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
func (c *crashRun) awaitKill(kill int64) {
	limit := time.Now().Add(20 * time.Second)
	if kill%4 == 3 {
		c.atRoll++
		log := c.history.logs[c.random.IntN(len(c.history.logs))]
		for time.Now().Before(limit) && !log.aboutToRoll() {
			time.Sleep(50 * time.Microsecond)
		}
	} else {
		time.Sleep(time.Duration(c.random.Int64N(int64(60 * time.Millisecond))))
	}
	for c.history.inFlight.Load() < crashInFlight {
		if time.Now().After(limit) {
			c.t.Errorf("only %d batches in flight, want %d", c.history.inFlight.Load(), crashInFlight)
			return
		}
		time.Sleep(50 * time.Microsecond)
	}
}

// aboutToRoll tells whether about a segment, or a multiple, was sent.
func (l *logHistory) aboutToRoll() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sent > crashSegment/2 && l.sent%crashSegment < 64<<10
}
