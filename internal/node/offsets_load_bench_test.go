package node

import (
	"fmt"
	"testing"
	"time"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/vfs"
	"github.com/rollway/rollway/internal/coord"
)

// What a start costs that finds 20,000 offsets of 200 groups in the log.
func BenchmarkLoadOffsets(b *testing.B) {
	const groups, partitions = 200, 100
	fs := vfs.NewMem("/groups")
	open := func() *Node {
		n, err := Open(Options{Engine: engine.Options{FS: fs, JournalBytes: 1 << 20, BallastBytes: -1}, Log: quiet})
		if err != nil {
			b.Fatal(err)
		}
		return n
	}
	// loaded waits until all groups are there.
	loaded := func(n *Node) {
		for {
			if _, code := n.Groups().List(nil, nil); code == coord.None {
				return
			}
			time.Sleep(100 * time.Microsecond)
		}
	}
	n := open()
	loaded(n)
	topic, err := n.Engine().CreateTopic(engine.TopicSpec{Name: "t", Partitions: partitions})
	if err != nil {
		b.Fatal(err)
	}
	for g := range groups {
		t := coord.CommitTopic{Topic: "t", TopicID: topic.ID()}
		for p := range int32(partitions) {
			t.Partitions = append(t.Partitions, coord.CommitPartition{Partition: p, Offset: int64(g), LeaderEpoch: -1})
		}
		woken := make(chan struct{}, 1)
		p := n.Groups().Commit(&coord.CommitRequest{Group: fmt.Sprint("group-", g), Generation: -1, Topics: []coord.CommitTopic{t}}, time.Now())
		if _, done := p.Poll(func() { woken <- struct{}{} }); !done {
			<-woken
		}
	}
	if err := n.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		b.StopTimer()
		n := open()
		b.StartTimer()
		loaded(n)
		b.StopTimer()
		if got := n.Groups().Stats().Offsets; got != groups*partitions {
			b.Fatalf("%d offsets, want %d", got, groups*partitions)
		}
		if err := n.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
