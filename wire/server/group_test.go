package server

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollway/rollway/engine/vfs"
	"github.com/rollway/rollway/internal/coord"
	"github.com/rollway/rollway/internal/node"
	"github.com/rollway/rollway/wire"
)

// groupsLoaded waits until the node has its groups.
func groupsLoaded(t testing.TB, f *frontend) {
	t.Helper()
	for range 20_000 {
		if _, code := f.node.Groups().List(nil, nil); code == coord.None {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("groups are not loaded after 20 s")
}

func (m *memory) fetched(id uint32) []wire.TopicOffsets {
	m.t.Helper()
	return must(wire.ParseOffsetsFetched(m.answer(id, wire.KindOffsetsFetched)))(m.t).Topics
}

func (m *memory) described(id uint32) wire.GroupDescription {
	m.t.Helper()
	return must(wire.ParseGroupDescription(m.answer(id, wire.KindGroupDescription)))(m.t)
}

func wantSame(t testing.TB, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s\n%+v, want\n%+v", what, got, want)
	}
}

// noDelay has the first member of a group not wait for others.
func noDelay(o *node.Options) {
	o.Settings = map[string]string{"group.initial.rebalance.delay.ms": "0", "offset.metadata.max.bytes": "5"}
}

// memberOf makes the group stable with one member that has the assignment, and
// returns its id.
func memberOf(t testing.TB, f *frontend, group, protocolType string, assignment []byte) string {
	t.Helper()
	c := f.node.Groups()
	joined, done := c.Join(&coord.JoinRequest{
		Group: group, Instance: "i-1", ClientID: "app", ClientHost: "/10.0.0.7", SessionTimeout: time.Minute, RebalanceTimeout: time.Minute,
		ProtocolType: protocolType, Protocols: []coord.Protocol{{Name: "range"}},
	}, time.Now()).Poll(func() {})
	if !done || joined.Code != coord.None {
		t.Fatalf("join: %t, %+v", done, joined)
	}
	woken := make(chan struct{}, 1)
	sync := c.Sync(&coord.SyncRequest{
		Group: group, MemberID: joined.MemberID, Instance: "i-1", Generation: joined.Generation,
		Assignments: []coord.Assignment{{MemberID: joined.MemberID, Data: assignment}},
	}, time.Now())
	if _, done := sync.Poll(func() { woken <- struct{}{} }); !done {
		<-woken
	}
	if answer, _ := sync.Poll(func() {}); answer.Code != coord.None {
		t.Fatalf("sync: %+v", answer)
	}
	return joined.MemberID
}

// assignmentOf encodes the assignment of a consumer.
func assignmentOf(topics ...wire.TopicPartitions) []byte {
	p := binary.BigEndian.AppendUint16(nil, 1)
	p = binary.BigEndian.AppendUint32(p, uint32(len(topics)))
	for _, t := range topics {
		p = append(binary.BigEndian.AppendUint16(p, uint16(len(t.Topic))), t.Topic...)
		p = binary.BigEndian.AppendUint32(p, uint32(len(t.Partitions)))
		for _, partition := range t.Partitions {
			p = binary.BigEndian.AppendUint32(p, uint32(partition))
		}
	}
	return binary.BigEndian.AppendUint32(p, 1<<32-1) // no user data
}

// Offsets are committed, fetched, described with their lag and deleted with their group, each request of a pipeline after
// the one before it.
func TestGroups(t *testing.T) {
	f := openFrontend(t, Options{}, noDelay)
	groupsLoaded(t, f)
	p := createTopic(t, f, "t", nil)
	createTopic(t, f, "u", nil)
	fill(t, p, batchOf(t, "a", "b"), batchOf(t, "c"))
	m := greeted(t, f)
	offset := func(partition int32, offset int64) wire.PartitionOffset {
		return wire.PartitionOffset{Partition: partition, Offset: offset, LeaderEpoch: 0, Metadata: fmt.Sprint("m", offset)}
	}
	commit := func(group, topic string, offsets ...wire.PartitionOffset) *wire.CommitOffset {
		return &wire.CommitOffset{Group: group, Topic: topic, Partitions: offsets}
	}
	var requests []byte
	for i, r := range []message{
		&wire.ListGroups{},
		&wire.FetchOffset{Group: "g"},
		commit("g", "t", offset(1, 0), offset(0, 1)),
		commit("g", "u", offset(1, 9)),
		commit("h", "t", offset(0, 3)),
		&wire.FetchOffset{Group: "g"},
		&wire.FetchOffset{Group: "g", Topic: "u"},
		&wire.FetchOffset{Group: "g", Topic: "none"},
		&wire.ListGroups{},
		&wire.DescribeGroup{Group: "g"},
		&wire.DeleteGroup{Group: "g"},
		&wire.DescribeGroup{Group: "g"},
		&wire.DeleteGroup{Group: "g"},
		&wire.FetchOffset{Group: "g"},
		&wire.ListGroups{},
	} {
		requests = r.AppendTo(requests, uint32(i+1))
	}
	before := time.Now().UnixMilli()
	m.Receive(requests)
	listed := func(id uint32) []wire.GroupEntry {
		t.Helper()
		return must(wire.ParseGroupList(m.answer(id, wire.KindGroupList)))(t).Groups
	}
	wantSame(t, "no groups", listed(1), []wire.GroupEntry(nil))
	wantSame(t, "no offsets", m.fetched(2), []wire.TopicOffsets(nil))
	m.done(3)
	m.done(4)
	m.done(5)
	ofT := wire.TopicOffsets{Topic: "t", Partitions: []wire.PartitionOffset{offset(0, 1), offset(1, 0)}}
	ofU := wire.TopicOffsets{Topic: "u", Partitions: []wire.PartitionOffset{offset(1, 9)}}
	wantSame(t, "all offsets", m.fetched(6), []wire.TopicOffsets{ofT, ofU})
	wantSame(t, "offsets of u", m.fetched(7), []wire.TopicOffsets{ofU})
	wantSame(t, "offsets of none", m.fetched(8), []wire.TopicOffsets(nil))
	wantSame(t, "groups", listed(9), []wire.GroupEntry{{Group: "g", State: wire.GroupEmpty}, {Group: "h", State: wire.GroupEmpty}})

	d := m.described(10)
	// Records have the time 1000 and 1001; what is 2000 ms old or more is as old as those.
	if age := d.Offsets[0].LagMs; age < before-1001 || age > time.Now().UnixMilli()-1000 {
		t.Errorf("age of %d ms, want that of a record of 1970", age)
	}
	d.Offsets[0].LagMs = 7
	wantSame(t, "description", d, wire.GroupDescription{Group: "g", State: wire.GroupEmpty, Offsets: []wire.GroupOffset{
		{Topic: "t", Partition: 0, Committed: 1, LogStart: 0, HighWatermark: 3, Lag: 2, LagMs: 7},
		{Topic: "t", Partition: 1, Committed: 0},
		{Topic: "u", Partition: 1, Committed: 9},
	}})
	m.done(11)
	m.refused(12, wire.CodeUnknownGroup)
	m.refused(13, wire.CodeUnknownGroup)
	wantSame(t, "offsets of a deleted group", m.fetched(14), []wire.TopicOffsets(nil))
	wantSame(t, "groups after one was deleted", listed(15), []wire.GroupEntry{{Group: "h", State: wire.GroupEmpty}})
	m.quiet()
	if m.session.inFlight != 0 || m.session.running {
		t.Errorf("%d bytes in flight, running %t, want nothing", m.session.inFlight, m.session.running)
	}
}

// What is not there, or too long, is not committed, and the answer says so.
func TestCommitOffsetRefusals(t *testing.T) {
	f := openFrontend(t, Options{}, noDelay)
	groupsLoaded(t, f)
	createTopic(t, f, "t", nil)
	m := greeted(t, f)
	ask := func(id uint32, topic string, code wire.Code, text string, offsets ...wire.PartitionOffset) {
		t.Helper()
		m.ask(id, &wire.CommitOffset{Group: "g", Topic: topic, Partitions: offsets})
		if got := m.refused(id, code); !strings.Contains(got, text) {
			t.Errorf("refused with %q, want %q", got, text)
		}
	}
	long := func(partition int32) wire.PartitionOffset {
		return wire.PartitionOffset{Partition: partition, Offset: 5, Metadata: "longer"}
	}
	ask(1, "none", wire.CodeUnknownTopic, `"none"`, wire.PartitionOffset{})
	ask(2, "t", wire.CodeUnknownPartition, "asked for 2", wire.PartitionOffset{Offset: 1}, wire.PartitionOffset{Partition: 2})
	m.ask(3, &wire.FetchOffset{Group: "g"})
	wantSame(t, "offsets after refusals", m.fetched(3), []wire.TopicOffsets(nil))
	ask(4, "t", wire.CodeOffsetMetadataTooLarge, "of t-1 (6 bytes)", wire.PartitionOffset{Offset: 1}, long(1))
	m.ask(5, &wire.FetchOffset{Group: "g"})
	wantSame(t, "offsets", m.fetched(5), []wire.TopicOffsets{{Topic: "t", Partitions: []wire.PartitionOffset{{Offset: 1}}}})
	var many []wire.PartitionOffset
	for range 1000 {
		many = append(many, long(0))
	}
	ask(6, "t", wire.CodeOffsetMetadataTooLarge, "and others", many...)
	m.quiet()
}

// Members are described with what they have, and only they may commit; the group cannot be deleted while they are there.
func TestGroupWithMembers(t *testing.T) {
	f := openFrontend(t, Options{}, noDelay)
	groupsLoaded(t, f)
	fill(t, createTopic(t, f, "t", nil), batchOf(t, "a"))
	m := greeted(t, f)
	m.ask(1, &wire.CommitOffset{Group: "g", Topic: "t", Partitions: []wire.PartitionOffset{{Offset: 1, LeaderEpoch: -1}}})
	m.done(1)
	assigned := []wire.TopicPartitions{{Topic: "t", Partitions: []int32{1, 0, 7}}}
	id := memberOf(t, f, "g", "consumer", assignmentOf(assigned...))
	m.ask(2, &wire.DescribeGroup{Group: "g"})
	wantSame(t, "description", m.described(2), wire.GroupDescription{
		Group: "g", State: wire.GroupStable, ProtocolType: "consumer", Protocol: "range", Generation: 1,
		Members: []wire.GroupMember{{Member: id, Instance: "i-1", ClientID: "app", Host: "/10.0.0.7", Assigned: assigned}},
		Offsets: []wire.GroupOffset{
			{Topic: "t", Partition: 0, Committed: 1, LeaderEpoch: -1, HighWatermark: 1},
			{Topic: "t", Partition: 1, Committed: -1, LeaderEpoch: -1, Lag: -1, LagMs: -1},
		},
	})
	m.ask(3, &wire.CommitOffset{Group: "g", Topic: "t", Partitions: []wire.PartitionOffset{{}}})
	m.refused(3, wire.CodeGroupNotEmpty)
	m.ask(4, &wire.DeleteGroup{Group: "g"})
	m.refused(4, wire.CodeGroupNotEmpty)

	memberOf(t, f, "connect\xff", "connect", assignmentOf(assigned...))
	m.ask(5, &wire.DescribeGroup{Group: "connect\xff"}) // malformed: our own ids are UTF-8
	m.refused(5, wire.CodeInvalidRequest)
	m = greeted(t, f)
	m.ask(6, &wire.ListGroups{})
	wantSame(t, "groups", must(wire.ParseGroupList(m.answer(6, wire.KindGroupList)))(t).Groups, []wire.GroupEntry{
		{Group: "connect?", State: wire.GroupStable, ProtocolType: "connect"}, {Group: "g", State: wire.GroupStable, ProtocolType: "consumer"},
	})
	memberOf(t, f, "other", "connect", assignmentOf(assigned...))
	m.ask(7, &wire.DescribeGroup{Group: "other"})
	if d := m.described(7); d.Members[0].Assigned != nil || d.Offsets != nil {
		t.Errorf("members of no consumers are described as %+v", d)
	}
	m.quiet()
}

// A commit that waits for the disk holds up the requests behind it, costs no goroutine, and is given up with its
// connection.
func TestCommitOffsetWaits(t *testing.T) {
	held := &heldFS{FS: must(vfs.OpenOS(t.TempDir()))(t), gate: make(chan struct{})}
	f := openFrontend(t, Options{}, func(o *node.Options) { o.Engine.FS = held })
	groupsLoaded(t, f)
	createTopic(t, f, "t", nil)
	m := greeted(t, f)
	commit := wire.CommitOffset{Group: "g", Topic: "t", Partitions: []wire.PartitionOffset{{Offset: 1}}}
	m.ask(1, &commit)
	m.done(1) // the topic of offsets is made

	held.closed.Store(true)
	commit.Partitions[0].Offset = 2
	m.Receive((&wire.FetchOffset{Group: "g"}).AppendTo(commit.AppendTo(nil, 2), 3))
	gone := greeted(t, f)
	gone.ask(2, &commit)
	if !m.session.running || len(m.Input) == 0 {
		t.Errorf("running %t, %d bytes of input left, want the request behind the commit", m.session.running, len(m.Input))
	}
	m.quiet()
	gone.Close()
	if gone.session.running || gone.session.inFlight != 0 {
		t.Errorf("after its end a connection has %d bytes in flight", gone.session.inFlight)
	}
	close(held.gate)
	m.done(2)
	if got := m.fetched(3); got[0].Partitions[0].Offset != 2 {
		t.Errorf("fetched %+v, want offset 2", got)
	}
	m.quiet()
}

// heldFS holds up syncs from when it is closed until its gate is.
type heldFS struct {
	vfs.FS
	closed atomic.Bool
	gate   chan struct{}
}

func (h *heldFS) OpenFile(name string, flag int) (vfs.File, error) {
	f, err := h.FS.OpenFile(name, flag)
	if err != nil {
		return nil, err
	}
	return &heldFile{f, h}, nil
}

type heldFile struct {
	vfs.File
	fs *heldFS
}

func (f *heldFile) Datasync() error {
	if f.fs.closed.Load() {
		<-f.fs.gate
	}
	return f.File.Datasync()
}

// What the coordinator refuses has a code of its own here, and one that tells to try again where that helps.
func TestGroupRefusals(t *testing.T) {
	f := openFrontend(t, Options{})
	check := func(code coord.Code, want wire.Code, retryable bool) {
		t.Helper()
		if e := refusal(f.groupRefusal("g", code)); e.Code != want || e.Retryable() != retryable {
			t.Errorf("%v is answered by %v, retryable %t, want %v", code, e, e.Retryable(), want)
		}
	}
	check(coord.CoordinatorLoadInProgress, wire.CodeGroupsLoading, true)
	check(coord.CoordinatorNotAvailable, wire.CodeGroupUnavailable, true)
	check(coord.NotCoordinator, wire.CodeServerClosing, true)
	check(coord.GroupIDNotFound, wire.CodeUnknownGroup, false)
	check(coord.NonEmptyGroup, wire.CodeGroupNotEmpty, false)
	check(coord.UnknownMemberID, wire.CodeGroupNotEmpty, false)
	check(coord.InvalidGroupID, wire.CodeInvalidRequest, false)
	check(coord.RebalanceInProgress, wire.CodeInternal, false)
	if err := f.groupRefusal("g", coord.None); err != nil {
		t.Error(err)
	}
}

// An assignment is read as what it is, cut anywhere it is none, and no count in it is believed.
func TestParseAssignment(t *testing.T) {
	assigned := []wire.TopicPartitions{{Topic: "orders", Partitions: []int32{3, 1}}, {Topic: "clicks"}}
	whole := assignmentOf(assigned...)
	wantSame(t, "assignment", parseAssignment(whole), assigned)
	userData := 4
	for n := range len(whole) - userData {
		if got := parseAssignment(whole[:n]); got != nil {
			t.Errorf("first %d bytes are read as %+v", n, got)
		}
	}
	if got := parseAssignment(assignmentOf()); got != nil {
		t.Errorf("nothing is read as %+v", got)
	}
	for name, p := range map[string][]byte{
		"a negative partition": assignmentOf(wire.TopicPartitions{Topic: "t", Partitions: []int32{-1}}),
		"no name":              assignmentOf(wire.TopicPartitions{}),
		"a long name":          assignmentOf(wire.TopicPartitions{Topic: strings.Repeat("x", wire.MaxTopicName+1)}),
		"no UTF-8":             assignmentOf(wire.TopicPartitions{Topic: "\xff"}),
		"many topics":          append([]byte{0, 0, 0x7f, 0xff, 0xff, 0xff}, make([]byte, 64)...),
		"less than no topics":  append([]byte{0, 0, 0xff, 0xff, 0xff, 0xff}, make([]byte, 64)...),
		"many partitions":      append([]byte{0, 0, 0, 0, 0, 1, 0, 1, 't', 0x7f, 0xff, 0xff, 0xff}, make([]byte, 64)...),
	} {
		if got := parseAssignment(p); got != nil {
			t.Errorf("%s is read as %+v", name, got)
		}
	}
}

// Whatever a member sends as its assignment, it is read or it is not, within its own size.
func FuzzParseAssignment(f *testing.F) {
	f.Add(assignmentOf(wire.TopicPartitions{Topic: "orders", Partitions: []int32{3, 1}}, wire.TopicPartitions{Topic: "clicks"}))
	f.Add([]byte{0, 1, 0xff})
	f.Fuzz(func(t *testing.T, p []byte) {
		size := 0
		for _, a := range parseAssignment(p) {
			size += 6 + len(a.Topic) + 4*len(a.Partitions)
		}
		if size > len(p) {
			t.Fatalf("%d bytes were read out of %d", size, len(p))
		}
	})
}
