package node

import (
	"fmt"
	"testing"
	"time"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/vfs"
	"github.com/rollway/rollway/internal/coord"
)

// openGroupNode opens a node over fs.
func openGroupNode(t *testing.T, fs vfs.FS, settings map[string]string) *Node {
	t.Helper()
	n, err := Open(Options{Engine: engine.Options{FS: fs, JournalBytes: 1 << 20, BallastBytes: -1}, Settings: settings, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// commit commits an offset for a group without members, and waits for it.
func commit(t *testing.T, n *Node, group, topic string, offset int64) coord.Code {
	t.Helper()
	r := &coord.CommitRequest{Group: group, Generation: -1, Topics: []coord.CommitTopic{{Topic: topic, Partitions: []coord.CommitPartition{{Offset: offset, LeaderEpoch: -1}}}}}
	return await(t, n, func() *coord.Pending[coord.Code] { return n.Groups().Commit(r, time.Now()) }, func(c coord.Code) bool { return c == coord.CoordinatorLoadInProgress })
}

// await asks until the answer is not one that is to be tried again.
func await[T any](t *testing.T, n *Node, ask func() *coord.Pending[T], again func(T) bool) T {
	t.Helper()
	expired := time.After(20 * time.Second)
	for {
		p := ask()
		woken := make(chan struct{}, 1)
		answer, done := p.Poll(func() { woken <- struct{}{} })
		if !done {
			select {
			case <-woken:
			case <-expired:
				t.Fatal("no answer for 20 s")
			}
			answer, _ = p.Poll(func() {})
		}
		if !again(answer) {
			return answer
		}
		select {
		case <-expired:
			t.Fatalf("still %v after 20 s", answer)
		case <-time.After(time.Millisecond):
		}
	}
}

// committed returns the offset of a group, once it is loaded.
func committed(t *testing.T, n *Node, group, topic string) int64 {
	t.Helper()
	for range 20_000 {
		offsets, code := n.Groups().FetchOffsets(group, []coord.TopicPartitions{{Topic: topic, Partitions: []int32{0}}})
		if code == coord.None {
			return offsets[0].Partitions[0].Offset
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("the group was not loaded for 20 s")
	return 0
}

// What a group has committed is there after a clean stop and after a power cut,
// in as many partitions of the topic as it was made with.
func TestGroupsLast(t *testing.T) {
	fs := vfs.NewMem("/groups")
	n := openGroupNode(t, fs, map[string]string{"offsets.topic.num.partitions": "7"})
	const groups = 40
	name := func(i int) string { return fmt.Sprintf("group-%d", i) }
	for i := range groups {
		if code := commit(t, n, name(i), "t", int64(i)); code != coord.None {
			t.Fatalf("commit: %v", code)
		}
	}
	commit(t, n, name(0), "t", 1000)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}

	n = openGroupNode(t, fs, nil)
	topic, err := n.Engine().Topic(OffsetsTopic)
	if err != nil || len(topic.Partitions()) != 7 || !topic.Config().Compacts {
		t.Fatalf("topic %+v, error %v", topic, err)
	}
	for i := range groups {
		want := int64(i)
		if i == 0 {
			want = 1000
		}
		if got := committed(t, n, name(i), "t"); got != want {
			t.Errorf("%s has offset %d, want %d", name(i), got, want)
		}
	}
	commit(t, n, name(1), "t", 2000)

	// What was answered is durable, so a cut of the power now loses nothing.
	image := fs.CrashClone(1, vfs.KeepSynced)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n = openGroupNode(t, image, nil)
	for i, want := range map[int]int64{0: 1000, 1: 2000, 2: 2} {
		if got := committed(t, n, name(i), "t"); got != want {
			t.Errorf("after a power cut %s has offset %d, want %d", name(i), got, want)
		}
	}
	if got := committed(t, n, "none", "t"); got != -1 {
		t.Errorf("a group that is not there has offset %d", got)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
}

// Without groups there is no topic for them.
func TestNoGroupsNoTopic(t *testing.T) {
	n := openGroupNode(t, vfs.NewMem("/groups"), nil)
	if got := committed(t, n, "g", "t"); got != -1 {
		t.Errorf("offset %d, want none", got)
	}
	if len(n.Engine().Topics()) != 0 {
		t.Errorf("topics %v", n.Engine().Topics())
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
}

// Whoever waits in a group when the node is closed is answered.
func TestGroupsClose(t *testing.T) {
	n := openGroupNode(t, vfs.NewMem("/groups"), map[string]string{"group.initial.rebalance.delay.ms": "100000"})
	committed(t, n, "g", "t") // is loaded
	p := n.Groups().Join(&coord.JoinRequest{Group: "g", ClientID: "c", ProtocolType: "consumer", SessionTimeout: 10 * time.Second,
		RebalanceTimeout: 10 * time.Second, Protocols: []coord.Protocol{{Name: "range"}}}, time.Now())
	woken := make(chan struct{}, 1)
	if answer, done := p.Poll(func() { woken <- struct{}{} }); done {
		t.Fatalf("answered %+v, want a wait", answer)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	<-woken
	if answer, done := p.Poll(func() {}); !done || answer.Code != coord.NotCoordinator {
		t.Errorf("answered %v, %+v", done, answer)
	}
}
