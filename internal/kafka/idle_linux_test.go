package kafka

import (
	"io"
	"net"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rollway/rollway/internal/invariant"
	"github.com/rollway/rollway/internal/node"
)

// Consumers that wait cost at most 16 KiB of heap and stack each, both ends of
// their connections included, and no processor time: that is measured for as long
// as ROLLWAY_IDLE_TIME says. There are ROLLWAY_IDLE_CONSUMERS of them, or 1,000.
func TestIdleConsumers(t *testing.T) {
	if invariant.Enabled {
		t.Skip("the race detector has memory of its own")
	}
	count := 1000
	if testing.Short() {
		count = 200
	}
	if v := os.Getenv("ROLLWAY_IDLE_CONSUMERS"); v != "" {
		var err error
		if count, err = strconv.Atoi(v); err != nil {
			t.Fatal(err)
		}
	}
	f := openFrontend(t, node.Options{})
	topic := createTopic(t, f, "t", 10)
	s := serve(t, f)
	m := fetchOf(f, wantedOf{topic: "t", index: 0}, wantedOf{topic: "t", index: 1})
	m.MaxWaitMillis = 3_600_000
	before := memoryInUse()
	conns := make([]net.Conn, 0, count)
	for i := range count {
		conn, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conns = append(conns, conn)
		m.Topics[0].Partitions[0].Partition = int32(i % 10)
		m.Topics[0].Partitions[1].Partition = int32((i + 5) % 10)
		m.SessionEpoch = int32(-(i % 2)) // every other is about to make a fetch session
		if _, err := conn.Write(frameOf(m, 12, 1)); err != nil {
			t.Fatal(err)
		}
	}
	for f.Closing.Waiting() < count {
		time.Sleep(time.Millisecond)
	}
	each := (memoryInUse() - before) / int64(count)
	t.Logf("%d bytes of heap and stack for each of %d waiting consumers", each, count)
	if each > 16<<10 {
		t.Errorf("a waiting consumer costs %d bytes of heap and stack, want at most 16 KiB", each)
	}

	if v := os.Getenv("ROLLWAY_IDLE_TIME"); v != "" {
		idle, err := time.ParseDuration(v)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second) // what the collections above have left to do
		used := processorTime(t)
		time.Sleep(idle)
		used = processorTime(t) - used
		t.Logf("%v of processor time in %v", used, idle)
		if share := float64(used) / float64(idle); share >= 0.0005 {
			t.Errorf("%.2f %% of a processor, want 0.0 %%", 100*share)
		}
	}
	// All of them are there.
	batch := batchOf(t, "x")
	for _, p := range topic.Partitions() {
		appendAll(t, p, batch)
	}
	for i, conn := range conns {
		conn.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := io.ReadFull(conn, make([]byte, len(batch))); err != nil {
			t.Fatalf("consumer %d: %v", i, err)
		}
	}
}

// memoryInUse is the heap that is referred to, and the stacks, in bytes.
func memoryInUse() (sum int64) {
	for range 2 { // pools give up their memory at the second collection
		runtime.GC()
	}
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(samples)
	for _, s := range samples {
		sum += int64(s.Value.Uint64())
	}
	return sum
}

// processorTime is what the process has used.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
