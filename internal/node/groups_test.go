package node

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

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
	there, err := n.Engine().Topic(topic)
	if err != nil {
		t.Fatal(err)
	}
	r := &coord.CommitRequest{Group: group, Generation: -1, Topics: []coord.CommitTopic{
		{Topic: topic, TopicID: there.ID(), Partitions: []coord.CommitPartition{{Offset: offset, LeaderEpoch: -1}}},
	}}
	return await(t, n, func() *coord.Pending[coord.Code] { return n.Groups().Commit(r, time.Now()) }, func(c coord.Code) bool { return c == coord.CoordinatorLoadInProgress })
}

// topics makes topics of one partition.
func topics(t *testing.T, n *Node, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := n.Engine().CreateTopic(engine.TopicSpec{Name: name, Partitions: 1}); err != nil {
			t.Fatal(err)
		}
	}
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

// listed returns the names of the groups, once all are loaded that can be.
func listed(t *testing.T, n *Node) (names []string) {
	t.Helper()
	for range 20_000 {
		list, code := n.Groups().List(nil, nil)
		if code == coord.None {
			for _, l := range list {
				names = append(names, l.Group)
			}
			return names
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("groups are not loaded after 20 s")
	return nil
}

// What a group has committed is there after a clean stop and after a power cut,
// in as many partitions of the topic as it was made with.
func TestGroupsLast(t *testing.T) {
	fs := vfs.NewMem("/groups")
	n := openGroupNode(t, fs, map[string]string{"offsets.topic.num.partitions": "7"})
	topics(t, n, "t")
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

// A partition of the topic that cannot be read costs its groups, which are not
// taken for new ones. The others are listed and go on.
func TestUnreadableOffsets(t *testing.T) {
	fs := vfs.NewFailing(vfs.NewMem("/groups"))
	settings := map[string]string{"offsets.topic.num.partitions": "3"}
	n := openGroupNode(t, fs, settings)
	topics(t, n, "t")
	const harmed = 1
	var kept, lost []string
	for i := range 12 {
		name := fmt.Sprintf("group-%d", i)
		commit(t, n, name, "t", int64(i))
		if coord.PartitionOf(name, 3) == harmed {
			lost = append(lost, name)
		} else {
			kept = append(kept, name)
		}
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	fs.Arm(vfs.Fault{Op: vfs.OpRead, Suffix: fmt.Sprintf("%s-%d/%020d.log", OffsetsTopic, harmed, 0), N: 1, Err: unix.EIO, Stay: true})
	n = openGroupNode(t, fs, settings)
	defer n.Close()
	names := listed(t, n)
	slices.Sort(kept)
	if !slices.Equal(names, kept) || len(lost) == 0 {
		t.Errorf("listed are %v, want %v and not %v", names, kept, lost)
	}
	if got := n.Groups().Missing(); !slices.Equal(got, []int32{harmed}) {
		t.Errorf("partitions %v are missing, want %d", got, harmed)
	}
	if _, code := n.Groups().FetchOffsets(lost[0], nil); code != coord.CoordinatorLoadInProgress {
		t.Errorf("offsets of a group that is lost: %v", code)
	}
	if code := commit(t, n, kept[0], "t", 77); code != coord.None || committed(t, n, kept[0], "t") != 77 {
		t.Errorf("a commit of another group: %v", code)
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

// What was committed for a topic is gone with it, from the log too, also if the
// power is cut in between; a topic of the same name begins without offsets.
func TestOffsetsGoWithTopic(t *testing.T) {
	fs := vfs.NewMem("/groups")
	n := openGroupNode(t, fs, map[string]string{"offsets.topic.num.partitions": "3"})
	topics(t, n, "t", "u", "v")
	for i, topic := range []string{"t", "u", "v"} {
		for _, group := range []string{"a", "b", "c", "d"} {
			if code := commit(t, n, group, topic, int64(i)); code != coord.None {
				t.Fatalf("commit: %v", code)
			}
		}
	}
	// offsets waits until so many are left in memory.
	offsets := func(want int) {
		t.Helper()
		for range 20_000 {
			if n.Groups().Stats().Offsets == want {
				return
			}
			time.Sleep(time.Millisecond)
		}
		t.Fatalf("%d offsets after 20 s, want %d", n.Groups().Stats().Offsets, want)
	}
	deleted := func(name string) *engine.Topic {
		t.Helper()
		topic, err := n.Engine().Topic(name)
		if err != nil {
			t.Fatal(err)
		}
		return topic
	}
	if err := n.DeleteTopic(deleted("t")); err != nil {
		t.Fatal(err)
	}
	topics(t, n, "t")
	if got := committed(t, n, "a", "t"); got != -1 {
		t.Errorf("a new topic has offset %d", got)
	}
	offsets(8)

	// The groups do not hear of this one before the power is cut.
	if err := n.Engine().DeleteTopicByID(deleted("u").ID()); err != nil {
		t.Fatal(err)
	}
	image := fs.CrashClone(1, vfs.KeepSynced)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n = openGroupNode(t, image, nil)
	for topic, want := range map[string]int64{"t": -1, "u": -1, "v": 2} {
		if got := committed(t, n, "c", topic); got != want {
			t.Errorf("after a power cut %s has offset %d, want %d", topic, got, want)
		}
	}
	offsets(4)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n = openGroupNode(t, image, nil)
	committed(t, n, "c", "v")
	if s := n.Groups().Stats(); s.OffsetsGone != 0 {
		t.Errorf("%d offsets were removed once more: %+v", s.OffsetsGone, s)
	}
	offsets(4)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
}

// The largest group that is taken is one that the log takes, and that a start reads.
func TestLargestGroup(t *testing.T) {
	fs := vfs.NewMem("/groups")
	settings := map[string]string{"group.initial.rebalance.delay.ms": "0", "offsets.topic.num.partitions": "1"}
	n := openGroupNode(t, fs, settings)
	const session = 30 * time.Minute
	join := func(metadata int) coord.JoinAnswer {
		t.Helper()
		r := &coord.JoinRequest{Group: "g", ClientID: "c", ProtocolType: "consumer", SessionTimeout: session,
			RebalanceTimeout: session, Protocols: []coord.Protocol{{Name: "range", Metadata: make([]byte, metadata)}}}
		return await(t, n, func() *coord.Pending[coord.JoinAnswer] { return n.Groups().Join(r, time.Now()) },
			func(a coord.JoinAnswer) bool { return a.Code == coord.CoordinatorLoadInProgress })
	}
	metadata := 8<<20 - 2<<10
	var joined coord.JoinAnswer
	for joined = join(metadata); joined.Code == coord.GroupMaxSizeReached; joined = join(metadata) {
		metadata -= 64
	}
	sync := func(assignment int) coord.SyncAnswer {
		t.Helper()
		r := &coord.SyncRequest{Group: "g", MemberID: joined.MemberID, Generation: joined.Generation,
			Assignments: []coord.Assignment{{MemberID: joined.MemberID, Data: make([]byte, assignment)}}}
		return await(t, n, func() *coord.Pending[coord.SyncAnswer] { return n.Groups().Sync(r, time.Now()) },
			func(coord.SyncAnswer) bool { return false })
	}
	assignment := 8<<20 - 125<<10
	var synced coord.SyncAnswer
	for synced = sync(assignment); synced.Code == coord.UnknownServerError; synced = sync(assignment) {
		assignment -= 1 << 10
	}
	if joined.Code != coord.None || synced.Code != coord.None || metadata+assignment < 15<<20 {
		t.Fatalf("%d bytes of metadata: %v, %d of assignment: %v", metadata, joined.Code, assignment, synced.Code)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n = openGroupNode(t, fs, settings)
	committed(t, n, "g", "t") // is loaded
	d, code := n.Groups().Describe("g")
	if code != coord.None || len(d.Members) != 1 || len(d.Members[0].Metadata) != metadata || len(d.Members[0].Assignment) != assignment {
		t.Errorf("%v, %v with %d members", code, d.State, len(d.Members))
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
