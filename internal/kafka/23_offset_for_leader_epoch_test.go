package kafka

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/node"
)

// Epochs end where the next one begins, the present one where the log ends, also
// before anything was appended in it; others are unknown.
func TestOffsetForLeaderEpoch(t *testing.T) {
	dir := t.TempDir()
	open := func() (*frontend, *node.Node) {
		o := node.Options{DataDir: dir, Log: slog.New(slog.DiscardHandler)}
		o.Engine.JournalBytes = 1 << 20
		n, err := node.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Engine().WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		return newFrontend(n, tcpAddr, Options{}), n
	}
	f, n := open()
	createTopic(t, f, "t", 1)
	epochs := map[int32]engine.Offset{} // and where they end
	// A start without the marker of a clean stop raises the epoch.
	for range 3 {
		p, err := f.engine.Partition([]byte("t"), 0)
		if err != nil {
			t.Fatal(err)
		}
		appendAll(t, p, batchOf(t, "a", "b"))
		epochs[p.LeaderEpoch()] = p.Offsets().LogEnd
		f.Tasks.Wait()
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		markers, _ := filepath.Glob(filepath.Join(dir, ".kafka_cleanshutdown"))
		if len(markers) != 1 {
			t.Fatalf("markers of a clean stop: %v", markers)
		}
		if err := os.Remove(markers[0]); err != nil {
			t.Fatal(err)
		}
		f, n = open()
	}
	t.Cleanup(func() { n.Close() })
	t.Cleanup(f.Tasks.Wait)
	p, _ := f.engine.Partition([]byte("t"), 0)
	if len(epochs) != 3 || epochs[p.LeaderEpoch()] != 0 {
		t.Fatalf("epochs %v, now %d", epochs, p.LeaderEpoch())
	}
	epochs[p.LeaderEpoch()] = 6

	c := dial(t, f)
	ask := func(version int16, topic string, current, epoch int32) kmsg.OffsetForLeaderEpochResponseTopicPartition {
		m := kmsg.NewPtrOffsetForLeaderEpochRequest()
		rp := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
		rp.CurrentLeaderEpoch, rp.LeaderEpoch = current, epoch
		m.Topics = []kmsg.OffsetForLeaderEpochRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{rp}}}
		answer := c.ask(m, version).(*kmsg.OffsetForLeaderEpochResponse)
		return answer.Topics[0].Partitions[0]
	}
	for version := int16(2); version <= 4; version++ {
		for epoch, end := range epochs {
			if got := ask(version, "t", p.LeaderEpoch(), epoch); got.ErrorCode != 0 || got.LeaderEpoch != epoch || got.EndOffset != int64(end) {
				t.Errorf("version %d, epoch %d: %+v, want end %d", version, epoch, got, end)
			}
		}
		if got := ask(version, "t", -1, p.LeaderEpoch()+1); got.ErrorCode != 0 || got.LeaderEpoch != -1 || got.EndOffset != -1 {
			t.Errorf("version %d, an epoch to come: %+v", version, got)
		}
		if got := ask(version, "t", p.LeaderEpoch()-1, 0); code(got.ErrorCode) != codeFencedLeaderEpoch {
			t.Errorf("version %d, an old leader: %+v", version, got)
		}
		if got := ask(version, "t", p.LeaderEpoch()+1, 0); code(got.ErrorCode) != codeUnknownLeaderEpoch {
			t.Errorf("version %d, a leader to come: %+v", version, got)
		}
		if got := ask(version, "none", -1, 0); code(got.ErrorCode) != codeUnknownTopicOrPartition || got.EndOffset != -1 {
			t.Errorf("version %d, no topic: %+v", version, got)
		}
	}
}
