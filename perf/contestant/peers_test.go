package contestant

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rollway/rollway/perf/load"
)

// peersOptions are those of tests with servers of other projects, which are asked
// for: building them takes long.
func peersOptions(t *testing.T) Options {
	t.Helper()
	if os.Getenv("ROLLWAY_LAB_PEERS") == "" {
		t.Skip("builds NATS and kfake, which the go command fetches: set ROLLWAY_LAB_PEERS=1")
	}
	program, err := BuildPeers(t.Context(), Options{}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return Options{Peers: program}
}

// The broker in memory is started and filled, by the clients of Kafka's protocol.
func TestKFake(t *testing.T) {
	o := peersOptions(t)
	s := start(t, KFake, o, Setup{Dir: t.TempDir()})
	if err := s.CreateTopic(t.Context(), "filled", 2, nil); err != nil {
		t.Fatal(err)
	}
	checkFill(t, s, "filled")
	checkVerify(t, s, "filled", 2)
	checkTopics(t, s)
	checkStop(t, s)
	c, err := New(KFake, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Start(t.Context(), Setup{Expect: []Topic{{"filled", 2}}}); err == nil {
		t.Error("start with topics that it has forgotten: no error")
	}
}

// NATS is started, filled, read and started again over its data, by its own client.
func TestNATS(t *testing.T) {
	o := peersOptions(t)
	for name, durable := range map[string]bool{"page cache": false, "synced": true} {
		t.Run(name, func(t *testing.T) {
			setup := Setup{Dir: filepath.Join(t.TempDir(), "data"), Durable: durable}
			s := start(t, NATS, o, setup)
			if s.First() < s.Ready() || s.Ready() <= 0 {
				t.Errorf("ready after %v, first batch after %v; want both", s.Ready(), s.First())
			}
			for _, c := range s.Conditions() {
				t.Logf("%s: %s", c.Name, c.Text)
			}
			if err := s.CreateTopic(t.Context(), "filled", 2, nil); err != nil {
				t.Fatal(err)
			}
			checkDrive(t, s.(Driver))
			checkVerify(t, s, "filled", 2)
			checkTopics(t, s)
			checkStop(t, s)
			setup.Expect = []Topic{{"filled", 2}}
			for range 2 {
				s = start(t, NATS, o, setup)
				checkVerify(t, s, "filled", 2)
				if err := s.Kill(); err != nil {
					t.Errorf("kill: %v", err)
				}
				checkGone(t, s)
			}
		})
	}
}

// checkDrive fills partition 0 of "filled" by half, produces the rest to partitions
// 0 and 1, and reads it.
func checkDrive(t *testing.T, s Driver) {
	t.Helper()
	f := testBatch(t)
	log, err := s.Fill(t.Context(), "filled", Filling{Batch: f.Batch, Bytes: f.Bytes / 2})
	if err != nil {
		t.Fatal(err)
	}
	const connections, batches = 4, 32
	done, err := s.Produce(t.Context(), load.ProducerOptions{
		Topic: "filled", Partitions: 2, Connections: connections, Window: 3, Batch: f.Batch,
	}, load.ProduceRun{Batches: batches})
	if err != nil || done.Batches != batches || len(done.Latencies) != batches || done.Latencies[0] <= 0 || done.Elapsed < done.Latencies[batches-1] {
		t.Errorf("produced %+v, %v; want %d batches, their latencies, sorted, and a time that is longer", done, err, batches)
	}
	for _, maxBytes := range []int{1 << 20, 16 << 10} { // of many batches and of one
		bytes, elapsed, err := s.Consume(t.Context(), log, connections, load.FetchRun{Bytes: 8 << 20, MaxBytes: maxBytes, Depth: 1})
		if err != nil || bytes < 8<<20 || elapsed <= 0 {
			t.Errorf("consumed %d bytes in %v by %d, %v; want 8 MiB", bytes, elapsed, maxBytes, err)
		}
	}
	bytes, elapsed, err := s.Consume(t.Context(), log, connections, load.FetchRun{Bytes: 1 << 60, Time: 50 * time.Millisecond, MaxBytes: 1 << 20, Depth: 1})
	if err != nil || bytes <= 0 || elapsed < 50*time.Millisecond {
		t.Errorf("consumed %d bytes in %v, %v; want some in 50 ms and a little more", bytes, elapsed, err)
	}
	if _, err := s.Produce(t.Context(), load.ProducerOptions{Topic: "none", Partitions: 1, Connections: 1, Window: 1, Batch: f.Batch}, load.ProduceRun{Batches: 1}); err == nil {
		t.Error("produce to a topic that is not there: no error")
	}
	if _, _, err := s.Consume(t.Context(), load.Log{Topic: "none"}, 1, load.FetchRun{Bytes: 1}); err == nil {
		t.Error("consume a topic that is not there: no error")
	}
}
