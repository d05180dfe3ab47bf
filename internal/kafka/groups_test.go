package kafka

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/internal/coord"
	"github.com/rollway/rollway/internal/node"
)

// openGroups returns a frontend whose groups are loaded and wait for nobody, with
// a topic "t" of three partitions.
func openGroups(t testing.TB, settings ...string) *frontend {
	t.Helper()
	o := node.Options{Settings: map[string]string{"group.initial.rebalance.delay.ms": "0", "offsets.topic.num.partitions": "3"}}
	for i := 0; i < len(settings); i += 2 {
		o.Settings[settings[i]] = settings[i+1]
	}
	f := openFrontend(t, o)
	awaitGroups(f)
	createTopic(t, f, "t", 3)
	return f
}

// awaitGroups waits until all groups are loaded.
func awaitGroups(f *frontend) {
	for _, code := f.groups().List(nil, nil); code != coord.None; _, code = f.groups().List(nil, nil) {
		time.Sleep(time.Millisecond)
	}
}

// groupClient is a client that is a member of a group, or wants to be.
type groupClient struct {
	*client
	group, id, instance string
	generation          int32
}

func newGroupClient(c *client, group string) *groupClient {
	return &groupClient{client: c, group: group}
}

// in returns version, or the nearest one that the API has.
func in(a *api, version int16) int16 { return min(max(version, a.least()), a.max) }

func (g *groupClient) joinRequest() *kmsg.JoinGroupRequest {
	m := kmsg.NewPtrJoinGroupRequest()
	m.Group, m.MemberID, m.InstanceID, m.ProtocolType = g.group, g.id, nullIfEmpty(&g.instance), "consumer"
	m.SessionTimeoutMillis, m.RebalanceTimeoutMillis = 30_000, 30_000
	m.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: subscribedTo("t")}}
	return m
}

// subscribedTo is what a consumer says of a topic that it reads.
func subscribedTo(topic string) []byte {
	m := kmsg.NewConsumerMemberMetadata()
	m.Topics = []string{topic}
	return m.AppendTo(nil)
}

// joined takes what a member is told of its generation.
func (g *groupClient) joined(m *kmsg.JoinGroupRequest) *kmsg.JoinGroupResponse {
	g.t.Helper()
	a := g.receive(m).(*kmsg.JoinGroupResponse)
	g.id, g.generation = a.MemberID, a.Generation
	return a
}

// join joins and waits for the generation; with an id that it is given first,
// where that is needed.
func (g *groupClient) join(version int16) *kmsg.JoinGroupResponse {
	g.t.Helper()
	m := g.joinRequest()
	g.send(m, version)
	a := g.joined(m)
	if code(a.ErrorCode) == code(coord.MemberIDRequired) {
		m.MemberID = g.id
		g.send(m, version)
		a = g.joined(m)
	}
	return a
}

// startJoin sends a join with an id that the member has been given, without
// waiting for the answer, which finishJoin receives.
func (g *groupClient) startJoin(version int16) *kmsg.JoinGroupRequest {
	g.t.Helper()
	m := g.joinRequest()
	if g.id == "" && g.instance == "" {
		g.send(m, version)
		if a := g.joined(m); code(a.ErrorCode) != code(coord.MemberIDRequired) {
			g.t.Fatalf("join without an id: %+v", a)
		}
		m.MemberID = g.id
	}
	g.send(m, version)
	return m
}

func (g *groupClient) syncRequest(assignments ...string) *kmsg.SyncGroupRequest {
	m := kmsg.NewPtrSyncGroupRequest()
	m.Group, m.MemberID, m.InstanceID, m.Generation = g.group, g.id, nullIfEmpty(&g.instance), g.generation
	m.ProtocolType, m.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
	for i := 0; i < len(assignments); i += 2 {
		m.GroupAssignment = append(m.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: assignments[i], MemberAssignment: []byte(assignments[i+1])})
	}
	return m
}

// sync sends the assignments, pairs of member id and what it has, and returns the
// member's own.
func (g *groupClient) sync(version int16, assignments ...string) *kmsg.SyncGroupResponse {
	g.t.Helper()
	return g.ask(g.syncRequest(assignments...), version).(*kmsg.SyncGroupResponse)
}

func (g *groupClient) heartbeat(version int16) code {
	g.t.Helper()
	m := kmsg.NewPtrHeartbeatRequest()
	m.Group, m.MemberID, m.InstanceID, m.Generation = g.group, g.id, nullIfEmpty(&g.instance), g.generation
	return code(g.ask(m, version).(*kmsg.HeartbeatResponse).ErrorCode)
}

// heartbeatUntil sends heartbeats until the answer is want: what other
// connections have asked for may not have been carried out yet.
func (g *groupClient) heartbeatUntil(want coord.Code) {
	g.t.Helper()
	for g.heartbeat(4) != code(want) {
		time.Sleep(time.Millisecond)
	}
}

func (g *groupClient) leave(version int16) code {
	g.t.Helper()
	m := kmsg.NewPtrLeaveGroupRequest()
	m.Group, m.MemberID = g.group, g.id
	m.Members = []kmsg.LeaveGroupRequestMember{{MemberID: g.id, InstanceID: nullIfEmpty(&g.instance)}}
	a := g.ask(m, version).(*kmsg.LeaveGroupResponse)
	if version >= 3 && a.ErrorCode == 0 {
		return code(a.Members[0].ErrorCode)
	}
	return code(a.ErrorCode)
}

// commit commits an offset and returns the code of its partition.
func (g *groupClient) commit(version int16, topic string, partition int32, offset int64, metadata *string) code {
	g.t.Helper()
	m := kmsg.NewPtrOffsetCommitRequest()
	m.Group, m.MemberID, m.InstanceID, m.Generation = g.group, g.id, nullIfEmpty(&g.instance), g.generation
	m.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetCommitRequestTopicPartition{
		{Partition: partition, Offset: offset, LeaderEpoch: 5, Metadata: metadata},
	}}}
	a := g.ask(m, version).(*kmsg.OffsetCommitResponse)
	return code(a.Topics[0].Partitions[0].ErrorCode)
}

// fetchAnswer is one of OffsetFetch in the form of all versions.
type fetchAnswer struct {
	code   code
	topics []kmsg.OffsetFetchResponseGroupTopic
}

// fetch asks for the offsets of partitions of topics; all there are for none.
func (g *groupClient) fetch(version int16, topics ...kmsg.OffsetFetchRequestGroupTopic) fetchAnswer {
	g.t.Helper()
	m := kmsg.NewPtrOffsetFetchRequest()
	m.Group = g.group
	for _, t := range topics {
		m.Topics = append(m.Topics, kmsg.OffsetFetchRequestTopic{Topic: t.Topic, Partitions: t.Partitions})
	}
	m.Groups = []kmsg.OffsetFetchRequestGroup{{Group: g.group, MemberEpoch: -1, Topics: topics}}
	a := g.ask(m, version).(*kmsg.OffsetFetchResponse)
	if version >= 8 {
		return fetchAnswer{code(a.Groups[0].ErrorCode), a.Groups[0].Topics}
	}
	answer := fetchAnswer{code: code(a.ErrorCode)}
	for _, t := range a.Topics {
		topic := kmsg.OffsetFetchResponseGroupTopic{Topic: t.Topic}
		for _, p := range t.Partitions {
			topic.Partitions = append(topic.Partitions, kmsg.OffsetFetchResponseGroupTopicPartition(p))
		}
		answer.topics = append(answer.topics, topic)
	}
	return answer
}

// describe describes the group of g.
func (g *groupClient) describe(version int16) kmsg.DescribeGroupsResponseGroup {
	g.t.Helper()
	m := kmsg.NewPtrDescribeGroupsRequest()
	m.Groups = []string{g.group}
	return g.ask(m, version).(*kmsg.DescribeGroupsResponse).Groups[0]
}

// describeUntil describes the group until it is in a state with so many members.
func (g *groupClient) describeUntil(state string, members int) kmsg.DescribeGroupsResponseGroup {
	g.t.Helper()
	for {
		d := g.describe(5)
		if d.State == state && len(d.Members) == members {
			return d
		}
		time.Sleep(time.Millisecond)
	}
}

// deleteGroup returns the code for the group of g.
func (g *groupClient) deleteGroup(version int16) code {
	g.t.Helper()
	m := kmsg.NewPtrDeleteGroupsRequest()
	m.Groups = []string{g.group, g.group}
	a := g.ask(m, version).(*kmsg.DeleteGroupsResponse)
	if len(a.Groups) != 1 || a.Groups[0].Group != g.group {
		g.t.Fatalf("deletion: %+v", a)
	}
	return code(a.Groups[0].ErrorCode)
}

// A member joins, is assigned, lives, commits, fetches, is described and listed,
// leaves, and its group is deleted, in every version.
func TestGroupInEveryVersion(t *testing.T) {
	f := openGroups(t)
	c := dial(t, f)
	for version := int16(0); version <= 9; version++ {
		g := newGroupClient(c, fmt.Sprint("group", version))
		check := func(what string, got code, want coord.Code) {
			t.Helper()
			if got != code(want) {
				t.Fatalf("version %d: %s: error %d, want %v", version, what, got, want)
			}
		}
		a := g.join(in(joinGroupAPI, version))
		check("join", code(a.ErrorCode), coord.None)
		if a.Generation != 1 || a.LeaderID != g.id || len(a.Members) != 1 || a.Members[0].MemberID != g.id || string(a.Members[0].ProtocolMetadata) != string(subscribedTo("t")) || text(a.Protocol) != "range" {
			t.Fatalf("version %d: %+v", version, a)
		}
		if a.Version >= 7 && text(a.ProtocolType) != "consumer" {
			t.Errorf("version %d: protocol type %q", version, text(a.ProtocolType))
		}
		s := g.sync(in(syncGroupAPI, version), g.id, "all of it")
		check("sync", code(s.ErrorCode), coord.None)
		if string(s.MemberAssignment) != "all of it" || s.Version >= 5 && (text(s.ProtocolType) != "consumer" || text(s.Protocol) != "range") {
			t.Errorf("version %d: %+v", version, s)
		}
		check("heartbeat", g.heartbeat(in(heartbeatAPI, version)), coord.None)
		check("commit", g.commit(in(offsetCommitAPI, version), "t", 1, 42, kmsg.StringPtr("why")), coord.None)
		g.checkFetched(in(offsetFetchAPI, version), 42)
		g.checkDescribed(in(describeGroupsAPI, version))
		g.checkListed(in(listGroupsAPI, version), "Stable")
		check("deletion", g.deleteGroup(in(deleteGroupsAPI, version)), coord.NonEmptyGroup)
		check("leave", g.leave(in(leaveGroupAPI, version)), coord.None)
		check("leave again", g.leave(in(leaveGroupAPI, version)), coord.UnknownMemberID)
		g.checkListed(in(listGroupsAPI, version), "Empty")
		check("deletion", g.deleteGroup(in(deleteGroupsAPI, version)), coord.None)
		check("deletion again", g.deleteGroup(in(deleteGroupsAPI, version)), coord.GroupIDNotFound)
		g.checkFetched(in(offsetFetchAPI, version), -1)
	}
}

// checkFetched checks the offset of partition 1 of "t", with metadata if it is
// one, asked for by itself, twice, and among all.
func (g *groupClient) checkFetched(version int16, offset int64) {
	g.t.Helper()
	a := g.fetch(version, kmsg.OffsetFetchRequestGroupTopic{Topic: "t", Partitions: []int32{1, 0, 1}})
	if a.code != codeNone || len(a.topics) != 1 || len(a.topics[0].Partitions) != 2 {
		g.t.Fatalf("version %d: %+v", version, a)
	}
	p, none := a.topics[0].Partitions[0], a.topics[0].Partitions[1]
	if p.Partition != 1 || p.Offset != offset || p.ErrorCode != 0 || (offset >= 0) != (text(p.Metadata) == "why") {
		g.t.Errorf("version %d: %+v", version, p)
	}
	if none.Partition != 0 || none.Offset != -1 || none.ErrorCode != 0 || none.Metadata == nil || none.LeaderEpoch != -1 {
		g.t.Errorf("version %d: %+v, want nothing committed", version, none)
	}
	if version < 2 {
		return
	}
	all := g.fetch(version)
	switch {
	case offset < 0 && len(all.topics) != 0, all.code != codeNone:
		g.t.Errorf("version %d: all are %+v", version, all)
	case offset >= 0 && (len(all.topics) != 1 || len(all.topics[0].Partitions) != 1 || all.topics[0].Partitions[0].Offset != offset):
		g.t.Errorf("version %d: all are %+v", version, all)
	}
}

// checkDescribed checks what is told of a group whose one member is g.
func (g *groupClient) checkDescribed(version int16) {
	g.t.Helper()
	m := kmsg.NewPtrDescribeGroupsRequest()
	m.Groups, m.IncludeAuthorizedOperations = []string{g.group, "unknown", g.group}, true
	a := g.ask(m, version).(*kmsg.DescribeGroupsResponse)
	if len(a.Groups) != 2 || len(a.Groups[0].Members) != 1 {
		g.t.Fatalf("version %d: %+v", version, a)
	}
	d, member := a.Groups[0], a.Groups[0].Members[0]
	if d.ErrorCode != 0 || d.Group != g.group || d.State != "Stable" || d.ProtocolType != "consumer" || d.Protocol != "range" {
		g.t.Errorf("version %d: %+v", version, d)
	}
	if version >= 3 && d.AuthorizedOperations != groupOperations {
		g.t.Errorf("version %d: operations %x", version, d.AuthorizedOperations)
	}
	if member.MemberID != g.id || member.ClientID != "test" || member.ClientHost != "/127.0.0.1" || string(member.MemberAssignment) != "all of it" || string(member.ProtocolMetadata) != string(subscribedTo("t")) {
		g.t.Errorf("version %d: %+v", version, member)
	}
	want, words := codeNone, ""
	if version >= 6 {
		want, words = codeGroupIDNotFound, "unknown"
	}
	checkOutcome(g.t, "unknown", a.Groups[1].ErrorCode, a.Groups[1].ErrorMessage, want, words)
	if a.Groups[1].State != "Dead" {
		g.t.Errorf("version %d: %+v", version, a.Groups[1])
	}
}

// checkListed checks that g's group is the only one, in that state.
func (g *groupClient) checkListed(version int16, state string) {
	g.t.Helper()
	list := func(states, types []string) []kmsg.ListGroupsResponseGroup {
		m := kmsg.NewPtrListGroupsRequest()
		m.StatesFilter, m.TypesFilter = states, types
		a := g.ask(m, version).(*kmsg.ListGroupsResponse)
		if a.ErrorCode != 0 {
			g.t.Errorf("version %d: error %d", version, a.ErrorCode)
		}
		return a.Groups
	}
	listed := list([]string{state}, []string{"Classic"})
	if len(listed) != 1 || listed[0].Group != g.group || listed[0].ProtocolType != "consumer" {
		g.t.Fatalf("version %d: %+v", version, listed)
	}
	if version >= 4 && (listed[0].GroupState != state || len(list([]string{"Dead"}, nil)) != 0) {
		g.t.Errorf("version %d: %+v, want it in state %s only", version, listed, state)
	}
	if version >= 5 && (listed[0].GroupType != "classic" || len(list(nil, []string{"share"})) != 0) {
		g.t.Errorf("version %d: %+v, want it of the classic type only", version, listed)
	}
}

// A group of three: each member that comes has the others join again, the leader
// assigns, each gets its own, and one that leaves is not missed.
func TestGroupOfThree(t *testing.T) {
	f := openGroups(t)
	a, b, c := newGroupClient(dial(t, f), "g"), newGroupClient(dial(t, f), "g"), newGroupClient(dial(t, f), "g")
	if j := a.join(9); j.ErrorCode != 0 {
		t.Fatalf("%+v", j)
	}
	a.sync(5, a.id, "a0")

	joining := b.startJoin(9)
	a.heartbeatUntil(coord.RebalanceInProgress)
	ja := a.join(9)
	jb := b.joined(joining)
	if ja.Generation != 2 || jb.Generation != 2 || ja.LeaderID != a.id || jb.LeaderID != a.id || len(ja.Members) != 2 || len(jb.Members) != 0 {
		t.Fatalf("%+v, %+v", ja, jb)
	}
	// The follower waits for the leader.
	waiting := b.syncRequest()
	b.send(waiting, 5)
	if s := a.sync(5, a.id, "a1", b.id, "b1"); string(s.MemberAssignment) != "a1" {
		t.Errorf("%+v", s)
	}
	if s := b.receive(waiting).(*kmsg.SyncGroupResponse); s.ErrorCode != 0 || string(s.MemberAssignment) != "b1" {
		t.Errorf("%+v", s)
	}

	joining = c.startJoin(9)
	a.heartbeatUntil(coord.RebalanceInProgress)
	if got := b.commit(9, "t", 0, 7, nil); got != codeNone {
		t.Errorf("commit while the group rebalances: error %d", got)
	}
	again := a.startJoin(9)
	jb = b.join(9)
	ja, jc := a.joined(again), c.joined(joining)
	if ja.Generation != 3 || jb.Generation != 3 || jc.Generation != 3 || len(ja.Members) != 3 {
		t.Fatalf("%+v, %+v, %+v", ja, jb, jc)
	}
	a.sync(5, a.id, "a2", b.id, "b2", c.id, "c2")
	for g, want := range map[*groupClient]string{b: "b2", c: "c2"} {
		if s := g.sync(5); s.ErrorCode != 0 || string(s.MemberAssignment) != want {
			t.Errorf("%+v, want %s", s, want)
		}
	}

	if got := b.leave(5); got != codeNone {
		t.Errorf("leave: error %d", got)
	}
	c.heartbeatUntil(coord.RebalanceInProgress)
	joining = c.startJoin(9)
	if ja, jc = a.join(9), c.joined(joining); ja.Generation != 4 || jc.Generation != 4 || len(ja.Members) != 2 {
		t.Fatalf("%+v, %+v", ja, jc)
	}
	// What a member of an older generation says is refused.
	c.generation = 3
	if got := c.commit(9, "t", 0, 1, nil); got != code(coord.IllegalGeneration) {
		t.Errorf("commit of an older generation: error %d", got)
	}
	if got := c.heartbeat(4); got != code(coord.IllegalGeneration) {
		t.Errorf("heartbeat of an older generation: error %d", got)
	}
	if got := b.heartbeat(4); got != code(coord.UnknownMemberID) {
		t.Errorf("heartbeat of who has left: error %d", got)
	}
}

// A static member that is started anew has its assignment again without a
// rebalance, and the old one is fenced.
func TestStaticMember(t *testing.T) {
	f := openGroups(t)
	leader, old := newGroupClient(dial(t, f), "g"), newGroupClient(dial(t, f), "g")
	leader.instance, old.instance = "one", "two"
	leader.join(9)
	leader.sync(5, leader.id, "")
	joining := old.startJoin(9)
	leader.heartbeatUntil(coord.RebalanceInProgress)
	leader.join(9)
	old.joined(joining)
	leader.sync(5, leader.id, "first", old.id, "second")
	if s := old.sync(5); string(s.MemberAssignment) != "second" {
		t.Fatalf("%+v", s)
	}

	started := newGroupClient(dial(t, f), "g")
	started.instance = "two"
	if j := started.join(9); j.ErrorCode != 0 || j.Generation != old.generation || started.id == old.id {
		t.Fatalf("%+v", j)
	}
	if s := started.sync(5); s.ErrorCode != 0 || string(s.MemberAssignment) != "second" {
		t.Errorf("%+v", s)
	}
	if got := leader.heartbeat(4); got != codeNone {
		t.Errorf("the other member's heartbeat: error %d, want none", got)
	}
	if got := old.heartbeat(4); got != code(coord.FencedInstanceID) {
		t.Errorf("the old one's heartbeat: error %d", got)
	}
	if got := old.commit(9, "t", 0, 1, nil); got != code(coord.FencedInstanceID) {
		t.Errorf("the old one's commit: error %d", got)
	}
	d := leader.describe(6)
	if i := slices.IndexFunc(d.Members, func(m kmsg.DescribeGroupsResponseGroupMember) bool { return text(m.InstanceID) == "two" }); len(d.Members) != 2 || i < 0 || d.Members[i].MemberID != started.id {
		t.Errorf("%+v", d.Members)
	}
	started.id = ""
	if got := started.leave(5); got != codeNone {
		t.Errorf("leave by the instance id: error %d", got)
	}
}

// Requests behind a join that waits are carried out after it, in order.
func TestBehindJoin(t *testing.T) {
	f := openGroups(t)
	a, b := newGroupClient(dial(t, f), "g"), newGroupClient(dial(t, f), "g")
	a.join(9)
	a.sync(5, a.id, "")
	joining := b.startJoin(9)
	listing := kmsg.NewPtrListGroupsRequest()
	b.send(listing, 5)
	a.heartbeatUntil(coord.RebalanceInProgress)
	a.join(9)
	b.sent--
	if j := b.joined(joining); j.ErrorCode != 0 {
		t.Fatalf("%+v", j)
	}
	b.sent++
	if l := b.receive(listing).(*kmsg.ListGroupsResponse); len(l.Groups) != 1 || l.Groups[0].GroupState != "CompletingRebalance" {
		t.Errorf("%+v", l)
	}
}

// A shutdown answers joins and syncs that wait, so that clients look for another
// coordinator; nothing of them is left.
func TestGroupsAtShutdown(t *testing.T) {
	t.Parallel() // it waits for most of its time
	f := openGroups(t)
	s := serve(t, f)
	a, b := newGroupClient(dialTo(t, s), "g"), newGroupClient(dialTo(t, s), "g")
	c := newGroupClient(dialTo(t, s), "other")
	a.join(9)
	a.sync(5, a.id, "")
	joining := b.startJoin(9)
	c.join(9)
	d := newGroupClient(dialTo(t, s), "other")
	also := d.startJoin(9)
	c.heartbeatUntil(coord.RebalanceInProgress)
	c.join(9)
	d.joined(also)
	waiting := d.syncRequest()
	d.send(waiting, 5)
	for f.Closing.Waiting() < 2 {
		time.Sleep(time.Millisecond)
	}
	f.Closing.Begin()
	if j := b.joined(joining); code(j.ErrorCode) != code(coord.NotCoordinator) || j.Generation != -1 {
		t.Errorf("%+v", j)
	}
	if s := d.receive(waiting).(*kmsg.SyncGroupResponse); code(s.ErrorCode) != code(coord.NotCoordinator) {
		t.Errorf("%+v", s)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if n := f.Closing.Waiting(); n != 0 {
		t.Errorf("%d are enrolled", n)
	}
}

// A connection that ends while its join waits takes a member that cannot know its
// own id with it, and one that knows it keeps its place until its session ends.
func TestJoinOfClosedConnection(t *testing.T) {
	f := openGroups(t)
	a := newGroupClient(dial(t, f), "g")
	a.join(9)
	a.sync(5, a.id, "")
	nameless, named := newGroupClient(dial(t, f), "g"), newGroupClient(dial(t, f), "g")
	nameless.send(nameless.joinRequest(), 3)
	named.startJoin(9)
	a.describeUntil("PreparingRebalance", 3)
	nameless.Close()
	a.describeUntil("PreparingRebalance", 2)
	named.Close()
	joining := a.startJoin(9)
	back := newGroupClient(dial(t, f), "g")
	back.id = named.id
	if j := back.join(9); j.ErrorCode != 0 || back.id != named.id {
		t.Errorf("%+v", j)
	}
	if j := a.joined(joining); j.ErrorCode != 0 || len(j.Members) != 2 {
		t.Errorf("%+v", j)
	}
}

// Offsets that cannot be committed are refused partition by partition, and what
// is not for the group as a whole.
func TestOffsetCommitRefusals(t *testing.T) {
	f := openGroups(t, "offset.metadata.max.bytes", "100")
	c := dial(t, f)
	g := newGroupClient(c, "g")
	g.generation = -1
	for version := int16(2); version <= 9; version++ {
		m := kmsg.NewPtrOffsetCommitRequest()
		m.Group, m.Generation, m.RetentionTimeMillis = "g", -1, -1
		long, short := strings.Repeat("x", 101), strings.Repeat("x", 100)
		m.Topics = []kmsg.OffsetCommitRequestTopic{
			{Topic: "unknown", Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Offset: 1}}},
			{Topic: "t", Partitions: []kmsg.OffsetCommitRequestTopicPartition{
				{Partition: 0, Offset: 1, Metadata: &long}, {Partition: 3}, {Partition: 1, Offset: int64(version), Metadata: &short}, {Partition: -1},
			}},
		}
		a := c.ask(m, version).(*kmsg.OffsetCommitResponse)
		var got []code
		for _, t := range a.Topics {
			for _, p := range t.Partitions {
				got = append(got, code(p.ErrorCode))
			}
		}
		want := []code{codeUnknownTopicOrPartition, code(coord.OffsetMetadataTooLarge), codeUnknownTopicOrPartition, codeNone, codeUnknownTopicOrPartition}
		if !slices.Equal(got, want) {
			t.Errorf("version %d: errors %d, want %d", version, got, want)
		}
		fetched := g.fetch(9)
		if len(fetched.topics) != 1 || len(fetched.topics[0].Partitions) != 1 || fetched.topics[0].Partitions[0].Offset != int64(version) || text(fetched.topics[0].Partitions[0].Metadata) != short {
			t.Errorf("version %d: %+v", version, fetched)
		}
		epoch := int32(-1)
		if version >= 6 {
			epoch = 0
		}
		if got := fetched.topics[0].Partitions[0].LeaderEpoch; got != epoch {
			t.Errorf("version %d: leader epoch %d, want %d", version, got, epoch)
		}
		m.Topics = m.Topics[:1]
		if a = c.ask(m, version).(*kmsg.OffsetCommitResponse); code(a.Topics[0].Partitions[0].ErrorCode) != codeUnknownTopicOrPartition {
			t.Errorf("version %d: %+v", version, a)
		}
	}
	g.group, g.generation = "new", 4
	if got := g.commit(9, "t", 0, 1, nil); got != code(coord.IllegalGeneration) {
		t.Errorf("a generation of a group that is not there: error %d", got)
	}
	g.join(9)
	id := g.id
	g.id, g.generation = "", -1
	if got := g.commit(9, "t", 0, 1, nil); got != code(coord.UnknownMemberID) {
		t.Errorf("nobody's commit for a group with members: error %d", got)
	}
	g.id, g.generation = id, 1
	if got := g.commit(9, "t", 0, 1, nil); got != code(coord.RebalanceInProgress) {
		t.Errorf("before the assignment: error %d", got)
	}
}

// Offsets of a topic that is deleted are gone, for whoever deletes it, and not
// those of one that has its name later; and of a group that has members only those are deleted that nobody
// reads.
func TestOffsetsOfDeletedTopic(t *testing.T) {
	f := openGroups(t)
	createTopic(t, f, "u", 1)
	g := newGroupClient(dial(t, f), "g")
	g.generation = -1
	for _, topic := range []string{"t", "u"} {
		if got := g.commit(9, topic, 0, 5, nil); got != codeNone {
			t.Fatalf("commit: error %d", got)
		}
	}
	check := func(want ...string) {
		t.Helper()
		var got []string
		for _, topic := range g.fetch(9).topics {
			got = append(got, topic.Topic)
		}
		if !slices.Equal(got, want) {
			t.Errorf("offsets of %v, want %v", got, want)
		}
	}
	check("t", "u")
	remove := kmsg.NewPtrDeleteTopicsRequest()
	remove.TopicNames, remove.TimeoutMillis = []string{"u"}, 1000
	if got := g.ask(remove, 5).(*kmsg.DeleteTopicsResponse).Topics[0]; got.ErrorCode != 0 {
		t.Fatalf("delete: %+v", got)
	}
	check("t")
	for f.groups().Stats().Offsets > 1 {
		time.Sleep(time.Millisecond)
	}
	createTopic(t, f, "u", 1)
	check("t")
	if p := g.fetch(7, kmsg.OffsetFetchRequestGroupTopic{Topic: "u", Partitions: []int32{0}}).topics[0].Partitions[0]; p.Offset != -1 || p.ErrorCode != 0 {
		t.Errorf("%+v, want nothing committed", p)
	}

	g.commit(9, "u", 0, 6, nil)
	g.join(9)
	g.sync(5, g.id, "")
	m := kmsg.NewPtrOffsetDeleteRequest()
	m.Group = "g"
	m.Topics = []kmsg.OffsetDeleteRequestTopic{
		{Topic: "t", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 9}, {Partition: 0}}},
		{Topic: "u", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}},
		{Topic: "unknown", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}},
	}
	ask := func() (codes []code) {
		a := g.ask(m, 0).(*kmsg.OffsetDeleteResponse)
		codes = append(codes, code(a.ErrorCode))
		for _, t := range a.Topics {
			for _, p := range t.Partitions {
				codes = append(codes, code(p.ErrorCode))
			}
		}
		return codes
	}
	subscribed := code(coord.GroupSubscribedToTopic)
	if got := ask(); !slices.Equal(got, []code{codeNone, codeUnknownTopicOrPartition, subscribed, codeNone, codeUnknownTopicOrPartition}) {
		t.Errorf("errors %d", got)
	}
	check("t")
	g.leave(5)
	if got := ask(); !slices.Equal(got, []code{codeNone, codeUnknownTopicOrPartition, codeNone, codeNone, codeUnknownTopicOrPartition}) {
		t.Errorf("errors %d", got)
	}
	check()
	m.Group = "unknown"
	if got := ask(); !slices.Equal(got, []code{codeGroupIDNotFound}) {
		t.Errorf("errors %d", got)
	}
}

// What is wrong with a request of a member is answered by Kafka's codes.
func TestGroupRefusals(t *testing.T) {
	f := openGroups(t)
	g := newGroupClient(dial(t, f), "g")
	join := func(want coord.Code, edit func(m *kmsg.JoinGroupRequest)) {
		t.Helper()
		m := g.joinRequest()
		edit(m)
		for version := int16(0); version <= 9; version++ {
			if a := g.ask(m, version).(*kmsg.JoinGroupResponse); a.ErrorCode != int16(want) || a.Generation != -1 || len(a.Members) != 0 {
				t.Errorf("version %d: %+v, want %v", version, a, want)
			}
		}
	}
	join(coord.InvalidGroupID, func(m *kmsg.JoinGroupRequest) { m.Group = "" })
	join(coord.UnknownMemberID, func(m *kmsg.JoinGroupRequest) { m.MemberID = "nobody" })
	join(coord.InconsistentGroupProtocol, func(m *kmsg.JoinGroupRequest) { m.Protocols = nil })
	join(coord.InvalidSessionTimeout, func(m *kmsg.JoinGroupRequest) { m.SessionTimeoutMillis = 5999 })
	join(coord.InvalidSessionTimeout, func(m *kmsg.JoinGroupRequest) { m.SessionTimeoutMillis = 1_800_001 })
	join(coord.InvalidSessionTimeout, func(m *kmsg.JoinGroupRequest) { m.SessionTimeoutMillis = -1 })
	g.id = "nobody"
	for version := int16(0); version <= 5; version++ {
		unknown := code(coord.UnknownMemberID)
		if got := g.heartbeat(in(heartbeatAPI, version)); got != unknown {
			t.Errorf("heartbeat: error %d", got)
		}
		if s := g.sync(version); code(s.ErrorCode) != unknown || len(s.MemberAssignment) != 0 {
			t.Errorf("sync: %+v", s)
		}
		if got := g.leave(version); got != unknown {
			t.Errorf("leave: error %d", got)
		}
		if got := g.deleteGroup(in(deleteGroupsAPI, version)); got != codeGroupIDNotFound {
			t.Errorf("deletion: error %d", got)
		}
	}
	g.id = ""
	g.join(9)
	m := g.syncRequest()
	m.Protocol = nil
	if s := g.ask(m, 5).(*kmsg.SyncGroupResponse); code(s.ErrorCode) != code(coord.InconsistentGroupProtocol) {
		t.Errorf("sync without a protocol: %+v", s)
	}
	m.Protocol = kmsg.StringPtr("other")
	if s := g.ask(m, 5).(*kmsg.SyncGroupResponse); code(s.ErrorCode) != code(coord.InconsistentGroupProtocol) {
		t.Errorf("sync with another protocol: %+v", s)
	}
}
