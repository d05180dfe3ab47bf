package kafka

import (
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/engine/vfs"
	"github.com/rollway/rollway/internal/coord"
	"github.com/rollway/rollway/internal/node"
)

// heldReads is a file system where what reads the offsets log waits until gate is
// closed.
type heldReads struct {
	vfs.FS
	gate chan struct{}
}

func (h *heldReads) OpenFile(name string, flag int) (vfs.File, error) {
	return h.hold(name)(h.FS.OpenFile(name, flag))
}

func (h *heldReads) Open(name string) (vfs.File, error) {
	return h.hold(name)(h.FS.Open(name))
}

func (h *heldReads) hold(name string) func(f vfs.File, err error) (vfs.File, error) {
	return func(f vfs.File, err error) (vfs.File, error) {
		if err != nil || !strings.HasPrefix(name, node.OffsetsTopic) || path.Ext(name) != ".log" {
			return f, err
		}
		return &heldFile{f, h}, nil
	}
}

type heldFile struct {
	vfs.File
	fs *heldReads
}

func (f *heldFile) ReadAt(p []byte, off int64) (int, error) {
	<-f.fs.gate
	return f.File.ReadAt(p, off)
}

// While groups are loaded every request about one is answered as Kafka answers it,
// in every version; then what was committed before is there.
func TestGroupsLoading(t *testing.T) {
	fs := &heldReads{FS: vfs.NewMem("/groups"), gate: make(chan struct{})}
	open := func() *frontend {
		t.Helper()
		o := node.Options{Log: quiet, Settings: map[string]string{"offsets.topic.num.partitions": "1"}}
		o.Engine.FS, o.Engine.JournalBytes, o.Engine.BallastBytes = fs, 1<<20, -1
		n, err := node.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { n.Close() })
		return newFrontend(n, tcpAddr, Options{})
	}
	f := open()
	awaitGroups(f)
	createTopic(t, f, "t", 1)
	before := newGroupClient(dial(t, f), "g")
	before.generation = -1
	if code := before.commit(8, "t", 0, 42, nil); code != 0 {
		t.Fatalf("commit: %v", code)
	}
	f.Closing.Begin()
	if err := f.node.Close(); err != nil {
		t.Fatal(err)
	}

	f = open()
	g := newGroupClient(dial(t, f), "g")
	g.id, g.generation = "m", 1
	topics := []kmsg.OffsetFetchRequestGroupTopic{{Topic: "t", Partitions: []int32{0}}}
	join, sync, heartbeat, leave := g.joinRequest(), g.syncRequest(), kmsg.NewPtrHeartbeatRequest(), kmsg.NewPtrLeaveGroupRequest()
	heartbeat.Group, heartbeat.MemberID, heartbeat.Generation = "g", "m", 1
	leave.Group, leave.MemberID, leave.Members = "g", "m", []kmsg.LeaveGroupRequestMember{{MemberID: "m"}}
	commit, fetch := kmsg.NewPtrOffsetCommitRequest(), kmsg.NewPtrOffsetFetchRequest()
	commit.Group, commit.Generation = "g", -1
	commit.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetCommitRequestTopicPartition{{}}}}
	fetch.Group, fetch.Topics = "g", []kmsg.OffsetFetchRequestTopic{{Topic: "t", Partitions: []int32{0}}}
	fetch.Groups = []kmsg.OffsetFetchRequestGroup{{Group: "g", MemberEpoch: -1, Topics: topics}}
	describe, list, remove, removeOffsets := kmsg.NewPtrDescribeGroupsRequest(), kmsg.NewPtrListGroupsRequest(), kmsg.NewPtrDeleteGroupsRequest(), kmsg.NewPtrOffsetDeleteRequest()
	describe.Groups, remove.Groups = []string{"g"}, []string{"g"}
	removeOffsets.Group = "g"
	removeOffsets.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{}}}}
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.CoordinatorKey, find.CoordinatorKeys = "g", []string{"g"}
	loading := []coord.Code{coord.CoordinatorLoadInProgress}
	for _, c := range []struct {
		m    kmsg.Request
		want []coord.Code // nil: no error
	}{
		{find, nil},
		{join, loading},
		{sync, []coord.Code{coord.RebalanceInProgress}}, // the member joins again, and waits there
		{heartbeat, nil},
		{leave, loading},
		{commit, loading},
		{fetch, loading},
		{describe, loading},
		{list, loading},
		{remove, loading},
		{removeOffsets, loading},
	} {
		a := apiOf(c.m.Key())
		for version := a.least(); version <= a.max; version++ {
			if got := codesOf(reflect.ValueOf(g.ask(c.m, version))); !slices.Equal(got, c.want) {
				t.Errorf("%s version %d: %v, want %v", a.name, version, got, c.want)
			}
		}
	}

	close(fs.gate)
	awaitGroups(f)
	if got := g.fetch(8, topics...); got.code != 0 || got.topics[0].Partitions[0].Offset != 42 {
		t.Errorf("the offset is %+v", got)
	}
}
