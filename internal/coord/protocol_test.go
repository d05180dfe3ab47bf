package coord

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// A member without an id gets one first, and joins with it (KIP-394); until its
// session ends the join phase waits for it. Old clients join at once.
func TestMemberIDRequired(t *testing.T) {
	l := newLab(t, Settings{})
	first := l.join("", nil)
	require := func(r *JoinRequest) { r.RequireMemberID = true }
	a := l.joined(l.join("", require))
	if a.Code != MemberIDRequired || a.MemberID == "" {
		t.Fatalf("%+v", a)
	}
	second := l.join(a.MemberID, require)
	l.joinPhase()
	l.complete(first, second)
	l.state(Stable, 2)

	// One that never comes back holds up the next join phase for its session.
	never := l.joined(l.join("", require))
	third := l.join("", nil)
	l.heartbeat(l.joined(first).MemberID, 1, RebalanceInProgress)
	first = l.join(l.joined(first).MemberID, nil)
	second = l.join(l.joined(second).MemberID, nil)
	waits(l, third)
	l.advance(10 * time.Second)
	l.complete(first, second, third)
	if a := l.joined(l.join(never.MemberID, require)); a.Code != UnknownMemberID {
		t.Errorf("an id whose session has ended: %v", a.Code)
	}
}

// What is wrong with a join is answered as Kafka does.
func TestJoinRefused(t *testing.T) {
	l := newLab(t, Settings{})
	l.group(1)
	f := func(want Code, set func(r *JoinRequest)) {
		t.Helper()
		id := ""
		if a := l.joined(l.join(id, set)); a.Code != want || a.Generation != -1 {
			t.Errorf("%v, generation %d; want %v, -1", a.Code, a.Generation, want)
		}
	}
	f(InvalidGroupID, func(r *JoinRequest) { r.Group = "" })
	f(InvalidGroupID, func(r *JoinRequest) { r.Group = strings.Repeat("g", 1<<15) })
	f(UnknownMemberID, func(r *JoinRequest) { r.MemberID = "nobody" })
	f(UnknownMemberID, func(r *JoinRequest) { r.Group, r.MemberID = "other", "nobody" })
	f(UnknownMemberID, func(r *JoinRequest) { r.MemberID, r.Instance = "nobody", "i" })
	f(InvalidSessionTimeout, func(r *JoinRequest) { r.SessionTimeout = 5999 * time.Millisecond })
	f(InvalidSessionTimeout, func(r *JoinRequest) { r.SessionTimeout = 30*time.Minute + time.Millisecond })
	f(InconsistentGroupProtocol, func(r *JoinRequest) { r.Group, r.Protocols = "other", nil })
	f(InconsistentGroupProtocol, func(r *JoinRequest) { r.Group, r.ProtocolType = "other", "" })
	f(InconsistentGroupProtocol, func(r *JoinRequest) { r.ProtocolType = "connect" })
	f(InconsistentGroupProtocol, func(r *JoinRequest) { r.Protocols[0].Name = "sticky" })
	f(InvalidRequest, func(r *JoinRequest) { r.Protocols[0].Name = "" })
	f(InvalidRequest, func(r *JoinRequest) { r.Instance = strings.Repeat("i", 1<<15) })
	if found, _ := l.c.List(nil, nil); len(found) != 1 {
		t.Errorf("refused joins have left groups: %v", found)
	}
}

// The first rebalance of a group waits for the initial delay, and again for each
// in which a member came, up to the rebalance timeout.
func TestInitialDelay(t *testing.T) {
	l := newLab(t, Settings{InitialRebalanceDelay: 4 * time.Second})
	short := func(r *JoinRequest) { r.RebalanceTimeout = 10 * time.Second }
	first := l.join("", short)
	l.advance(2 * time.Second)
	second := l.join("", short)
	l.advance(5 * time.Second) // at 4 s it was put off to 8 s
	third := l.join("", short)
	waits(l, first)
	l.advance(1500 * time.Millisecond) // at 8 s it was put off to 10 s, no further
	waits(l, first)
	fourth := l.join("", short)
	l.advance(1500 * time.Millisecond)
	if a := l.joined(first); len(a.Members) != 4 || a.Leader != a.MemberID {
		t.Errorf("%+v", a)
	}
	if a := l.joined(fourth); a.Members != nil {
		t.Errorf("who does not lead is told %d members", len(a.Members))
	}
	l.complete(first, second, third, fourth)
}

// The protocol is one that all offer, and most like best.
func TestVotes(t *testing.T) {
	l := newLab(t, Settings{})
	offer := func(names ...string) *Pending[JoinAnswer] {
		return l.join("", func(r *JoinRequest) {
			r.Protocols = nil
			for _, n := range names {
				r.Protocols = append(r.Protocols, Protocol{n, []byte(n)})
			}
		})
	}
	a, b, c := offer("x", "y", "z", "x"), offer("x", "z", "y"), offer("z", "y")
	if refused := l.joined(offer("w", "x")); refused.Code != InconsistentGroupProtocol {
		t.Errorf("x is not offered by all: %v", refused.Code)
	}
	l.joinPhase()
	l.complete(a, b, c)
	// x has the first two votes, but the third does not offer it; z has two then.
	if got := l.joined(a); got.Protocol != "z" || string(got.Members[1].Metadata) != "z" {
		t.Errorf("%+v", got)
	}
}

// Followers wait for the leader's assignment, and it for the disk. Who has missed
// an answer gets it again. A member that is not assigned anything has nothing.
func TestSync(t *testing.T) {
	l := newLab(t, Settings{})
	first, second := l.join("", nil), l.join("", nil)
	l.joinPhase()
	leader, follower := l.joined(first).MemberID, l.joined(second).MemberID
	l.held = true
	waiting := l.sync(follower, 1)
	waits(l, waiting)
	leading := l.sync(leader, 1, Assignment{leader, []byte("all")}, Assignment{"nobody", []byte("x")})
	waits(l, leading)
	waits(l, waiting)
	// The first assignment counts, whatever the leader sends after it.
	again := l.sync(leader, 1, Assignment{follower, []byte("all")})
	if a := is(l, leading); a.Code != RebalanceInProgress {
		t.Errorf("a sync that was sent again: %v", a.Code)
	}
	l.heartbeat(leader, 1, None)
	l.held = false
	l.run()
	if a := is(l, again); a.Code != None || string(a.Assignment) != "all" || a.Protocol != "range" || a.ProtocolType != "consumer" {
		t.Errorf("leader: %+v", a)
	}
	if a := is(l, waiting); a.Code != None || a.Assignment != nil {
		t.Errorf("follower: %+v", a)
	}
	if a := is(l, l.sync(leader, 1)); string(a.Assignment) != "all" {
		t.Errorf("asked again: %+v", a)
	}
	f := func(want Code, r SyncRequest) {
		t.Helper()
		if a := is(l, l.c.Sync(&r, l.now)); a.Code != want {
			t.Errorf("%+v: %v, want %v", r, a.Code, want)
		}
	}
	f(InvalidGroupID, SyncRequest{MemberID: leader, Generation: 1})
	f(UnknownMemberID, SyncRequest{Group: "other", MemberID: leader, Generation: 1})
	f(UnknownMemberID, SyncRequest{Group: "g", MemberID: "nobody", Generation: 1})
	f(IllegalGeneration, SyncRequest{Group: "g", MemberID: leader, Generation: 2})
	f(InconsistentGroupProtocol, SyncRequest{Group: "g", MemberID: leader, Generation: 1, Protocol: "sticky"})
	f(InconsistentGroupProtocol, SyncRequest{Group: "g", MemberID: leader, Generation: 1, ProtocolType: "connect"})
}

// A leader that dies before it has assigned anything has the others join again;
// so does one that lives and does not.
func TestLeaderWithoutAssignment(t *testing.T) {
	l := newLab(t, Settings{})
	first, second := l.join("", nil), l.join("", nil)
	l.joinPhase()
	leader, follower := l.joined(first).MemberID, l.joined(second).MemberID
	waiting := l.sync(follower, 1)
	l.advance(10 * time.Second)
	if a := is(l, waiting); a.Code != RebalanceInProgress {
		t.Errorf("%v", a.Code)
	}
	l.heartbeat(leader, 1, UnknownMemberID)
	first, second = l.join("", nil), l.join(follower, nil)
	l.complete(first, second)

	// Both live, the leader only heartbeats: after the rebalance timeout it is out.
	third := l.join("", nil)
	leader, other := l.joined(second).Leader, l.joined(first).MemberID
	if leader != follower {
		t.Fatalf("%q leads, want the member that was there first", leader)
	}
	l.heartbeat(leader, 2, RebalanceInProgress)
	l.join(leader, nil)
	l.join(other, nil)
	waiting = l.sync(other, 3)
	l.sync(l.joined(third).MemberID, 3)
	for range 12 {
		l.heartbeat(leader, 3, None)
		l.advance(5 * time.Second)
	}
	l.heartbeat(leader, 3, UnknownMemberID)
	if a := is(l, waiting); a.Code != RebalanceInProgress {
		t.Errorf("%v", a.Code)
	}
}

// A write that fails is answered with an error, and the group rebalances.
func TestAssignmentNotWritten(t *testing.T) {
	l := newLab(t, Settings{})
	first := l.join("", nil)
	l.joinPhase()
	l.held = true
	p := l.sync(l.joined(first).MemberID, 1, Assignment{})
	l.settle(errBad)
	if a := is(l, p); a.Code != CoordinatorNotAvailable {
		t.Errorf("%v", a.Code)
	}
	l.state(PreparingRebalance, 1)
	l.held = false
	l.complete(l.join(l.joined(first).MemberID, nil))
	l.state(Stable, 1)

	// Who did not wait for it has not been heard of.
	ids, _ := l.complete(l.join("", nil), l.join(l.joined(first).MemberID, nil))
	joins := []*Pending[JoinAnswer]{l.join(ids[0], nil), l.join(ids[1], nil)}
	l.joinPhase()
	generation := l.joined(joins[0]).Generation
	l.advance(9 * time.Second)
	l.held = true
	l.sync(l.joined(joins[0]).Leader, generation)
	l.settle(errBad)
	l.advance(2 * time.Second)
	l.state(PreparingRebalance, 1)
}

var errBad = ErrBadRecord // any error

// Heartbeats keep a session, and tell what is going on; without them a member is
// out, and its partitions are dealt again. What comes back is refused.
func TestSession(t *testing.T) {
	l := newLab(t, Settings{})
	ids, generation := l.group(2)
	l.heartbeat(ids[0], generation+1, IllegalGeneration)
	l.heartbeat("nobody", generation, UnknownMemberID)
	for range 3 {
		l.advance(9 * time.Second)
		l.heartbeat(ids[0], generation, None)
		if code := l.commit(ids[1], generation, "t 0 1"); code != None { // keeps the session, too
			t.Errorf("commit: %v", code)
		}
	}
	l.advance(9 * time.Second)
	l.heartbeat(ids[0], generation, None)
	l.advance(time.Second)
	l.heartbeat(ids[0], generation, RebalanceInProgress)
	l.complete(l.join(ids[0], nil))
	if code := l.commit(ids[1], generation, "t 0 9"); code != UnknownMemberID {
		t.Errorf("commit of who was out: %v", code)
	}
	if got := l.fetched("g"); got != "t 0 1" {
		t.Errorf("fetched %q", got)
	}
	// Nobody is left: the group is empty, and its offsets stay.
	l.advance(10 * time.Second)
	l.state(Empty, 0)
	l.heartbeat(ids[0], generation, UnknownMemberID)
}

// A member that waits for the others is not taken for dead, however long it
// takes; when its connection ends its session begins.
func TestParkedIsNotExpired(t *testing.T) {
	l := newLab(t, Settings{})
	ids, generation := l.group(2)
	slow := func(r *JoinRequest) { r.RebalanceTimeout = time.Hour }
	waiting := l.join(ids[0], slow)
	for range 100 {
		l.advance(5 * time.Second)
		l.heartbeat(ids[1], generation, RebalanceInProgress)
	}
	waits(l, waiting)
	waiting.Cancel(l.now)
	l.advance(9 * time.Second)
	l.state(PreparingRebalance, 2)
	l.heartbeat(ids[1], generation, RebalanceInProgress)
	l.advance(time.Second)
	l.state(PreparingRebalance, 1)
	l.complete(l.join(ids[1], nil))

	// An old client does not know its id before it is answered: it goes with its
	// connection, and the group with it.
	l = newLab(t, Settings{})
	l.join("", nil).Cancel(l.now)
	l.run()
	l.state(Dead, 0)
}

// The wake of a parked answer is called when it is there, and not if it is there
// at once or nobody waits any more.
func TestWake(t *testing.T) {
	l := newLab(t, Settings{})
	woken := 0
	wake := func() { woken++ }
	p := l.join("", nil)
	if _, done := p.Poll(wake); done {
		t.Fatal("answered")
	}
	l.advance(3 * time.Second)
	if woken != 1 {
		t.Errorf("woken %d times", woken)
	}
	if a, done := p.Poll(wake); !done || a.Code != None {
		t.Errorf("%+v, %v", a, done)
	}
	l.complete(p)
	q := l.join("", nil)
	q.Poll(wake)
	q.Cancel(l.now)
	l.advance(time.Hour)
	if woken != 1 {
		t.Errorf("woken %d times", woken)
	}
}

// Members that do not join again within the rebalance timeout are out. Static ones
// have their session.
func TestRebalanceTimeout(t *testing.T) {
	l := newLab(t, Settings{})
	ids, generation := l.group(2)
	static := l.join("", func(r *JoinRequest) { r.Instance, r.SessionTimeout = "i", 5*time.Minute })
	l.heartbeat(ids[0], generation, RebalanceInProgress)
	l.heartbeat(ids[1], generation, RebalanceInProgress)
	l.complete(l.join(ids[0], nil), l.join(ids[1], nil), static)

	waiting := l.join(ids[0], nil)
	for range 12 {
		l.heartbeat(ids[1], generation+1, RebalanceInProgress)
		l.advance(5 * time.Second)
	}
	l.complete(waiting)
	l.heartbeat(ids[1], generation+1, UnknownMemberID)
	l.state(Stable, 2)
	if a := l.joined(waiting); len(a.Members) != 2 || a.Members[1].Instance != "i" {
		t.Errorf("%+v", a.Members)
	}
	// Only the static member is left, and away: the join phase waits for its session.
	p := l.c.Leave(&LeaveRequest{Group: "g", Members: []LeavingMember{{MemberID: ids[0]}}}, l.now)
	if l.run(); p != None {
		t.Error(p)
	}
	l.advance(2 * time.Minute)
	l.state(PreparingRebalance, 1)
	l.advance(3 * time.Minute)
	l.state(Empty, 0)
}

// A static member that is started anew keeps its assignment, without a rebalance
// and across a restart of the coordinator; its old id is fenced.
func TestStaticMember(t *testing.T) {
	l := newLab(t, Settings{})
	static := func(r *JoinRequest) { r.Instance = "i" }
	first, second := l.join("", static), l.join("", nil)
	l.joinPhase()
	ids, generation := l.complete(first, second)

	l.held = true
	again := l.join("", static)
	waits(l, again) // until it is durable
	l.held = false
	l.run()
	a := l.joined(again)
	// Its client does not know SkipAssignment, so it is not told that it leads.
	if a.Code != None || a.Generation != generation || a.MemberID == ids[0] || a.Leader != ids[0] || a.Members != nil {
		t.Errorf("%+v", a)
	}
	l.state(Stable, 2)
	if s := is(l, l.sync(a.MemberID, generation)); string(s.Assignment) != "part of "+ids[0] {
		t.Errorf("%+v", s)
	}
	fenced := &HeartbeatRequest{Group: "g", MemberID: ids[0], Instance: "i", Generation: generation}
	if code := l.c.Heartbeat(fenced, l.now); code != FencedInstanceID {
		t.Errorf("heartbeat of the old id: %v", code)
	}
	r := commitRequest(t, "g", ids[0], generation, "t 0 1")
	r.Instance = "i"
	if code := is(l, l.c.Commit(r, l.now)); code != FencedInstanceID {
		t.Errorf("commit of the old id: %v", code)
	}

	// One that knows it is told all, and to leave the assignment as it is.
	a = l.joined(l.join("", func(r *JoinRequest) { r.Instance, r.SkipAssignment = "i", true }))
	if !a.SkipAssignment || a.Leader != a.MemberID || len(a.Members) != 2 {
		t.Errorf("%+v", a)
	}
	l.restart()
	l.heartbeat(a.MemberID, generation, None)
	if s := is(l, l.sync(a.MemberID, generation)); string(s.Assignment) != "part of "+ids[0] {
		t.Errorf("after a restart: %+v", s)
	}

	// In a join phase the old one's parked answer says that it is fenced.
	l.join(ids[1], func(r *JoinRequest) { r.Protocols[0].Metadata = []byte("other") })
	waiting := l.join(a.MemberID, static)
	l.join("", nil)
	old := l.join(l.joined(waiting).MemberID, static)
	waits(l, old)
	l.join("", static)
	if a := l.joined(old); a.Code != FencedInstanceID {
		t.Errorf("%+v", a)
	}
}

// A static member that is replaced before it has sent SyncGroup does not lose its
// place to the end of the sync phase while it waits for its join.
func TestReplacedInSyncPhase(t *testing.T) {
	l := newLab(t, Settings{})
	static := func(r *JoinRequest) { r.Instance, r.SessionTimeout = "i", 5*time.Minute }
	first, second := l.join("", nil), l.join("", static)
	l.joinPhase()
	leader := l.joined(first).MemberID
	is(l, l.sync(leader, 1, Assignment{l.joined(second).MemberID, []byte("all")}))
	for range 59 { // the rebalance timeout, less one
		l.advance(time.Second)
		l.heartbeat(leader, 1, None)
	}
	l.held = true
	again := l.join("", static)
	l.advance(2 * time.Second)
	l.held = false
	l.run()
	a := l.joined(again)
	if a.Code != None {
		t.Fatalf("%+v", a)
	}
	if s := is(l, l.sync(a.MemberID, 1)); string(s.Assignment) != "all" {
		t.Errorf("%+v", s)
	}
}

// A group has at most so many members; while it rebalances the last to come are
// out.
func TestMaxGroupSize(t *testing.T) {
	l := newLab(t, Settings{MaxGroupSize: 2})
	ids, generation := l.group(2)
	if a := l.joined(l.join("", nil)); a.Code != GroupMaxSizeReached {
		t.Errorf("%v", a.Code)
	}
	l.heartbeat(ids[0], generation, None)
	first, second := l.join(ids[0], nil), l.join(ids[1], nil)
	l.complete(first, second)

	// The bound was lowered.
	l.c.settings.MaxGroupSize = 1
	l.restart()
	l.heartbeat(ids[0], generation+1, RebalanceInProgress)
	first = l.join(ids[0], nil)
	if a := l.joined(l.join(ids[1], nil)); a.Code != GroupMaxSizeReached {
		t.Errorf("%v", a.Code)
	}
	l.complete(first)
	l.state(Stable, 1)
}

// The memory of all groups is bounded: beyond it clients are told to try again,
// and members that are there go on.
func TestMaxBytes(t *testing.T) {
	l := newLab(t, Settings{MaxBytes: 64 << 10})
	ids, generation := l.group(1)
	large := func(r *JoinRequest) { r.Group, r.Protocols[0].Metadata = "other", make([]byte, 64<<10) }
	if a := l.joined(l.join("", large)); a.Code != CoordinatorNotAvailable {
		t.Errorf("join: %v", a.Code)
	}
	require := func(r *JoinRequest) { r.Group, r.RequireMemberID = "many", true }
	for range 1000 {
		if a := l.joined(l.join("", require)); a.Code != MemberIDRequired && a.Code != CoordinatorNotAvailable {
			t.Fatal(a.Code)
		}
	}
	if s := l.c.Stats(); s.Bytes > 64<<10 || s.PendingMembers < 50 {
		t.Errorf("%+v", s)
	}
	l.heartbeat(ids[0], generation, None)
	many := slices.Repeat([]string{"t 0 1"}, 10)
	if code := l.commit(ids[0], generation, many...); code != CoordinatorNotAvailable {
		t.Errorf("commit: %v", code)
	}
	l.advance(11 * time.Second) // the ids are forgotten
	if s := l.c.Stats(); s.PendingMembers != 0 {
		t.Errorf("%+v", s)
	}
	l.joined(l.join("", require))
}

// Members leave by their ids, static ones also by their instance ids alone; each
// has an answer of its own.
func TestLeave(t *testing.T) {
	l := newLab(t, Settings{})
	static := l.join("", func(r *JoinRequest) { r.Instance = "i" })
	a, b := l.join("", nil), l.join("", nil)
	l.joinPhase()
	l.complete(static, a, b)
	r := &LeaveRequest{Group: "g", Members: []LeavingMember{
		{Instance: "i"}, {MemberID: l.joined(a).MemberID}, {MemberID: "nobody"}, {Instance: "nobody"}, {}, {MemberID: l.joined(static).MemberID, Instance: "i"},
	}}
	if code := l.c.Leave(r, l.now); code != None {
		t.Error(code)
	}
	l.run()
	var codes []Code
	for _, m := range r.Members {
		codes = append(codes, m.Code)
	}
	if want := []Code{None, None, UnknownMemberID, UnknownMemberID, UnknownMemberID, UnknownMemberID}; !slices.Equal(codes, want) {
		t.Errorf("%v, want %v", codes, want)
	}
	l.heartbeat(l.joined(b).MemberID, 1, RebalanceInProgress)
	l.complete(l.join(l.joined(b).MemberID, nil))

	r = &LeaveRequest{Group: "other", Members: []LeavingMember{{MemberID: "m"}}}
	if code := l.c.Leave(r, l.now); code != None || r.Members[0].Code != UnknownMemberID {
		t.Errorf("%v %v", code, r.Members[0].Code)
	}
}

// What members say of themselves and their assignments fit one record of the log: a
// member that says too much is not taken, nor an assignment that is too large, and
// the group goes on without.
func TestRecordBound(t *testing.T) {
	l := newLab(t, Settings{MaxRecordBytes: 512 << 10})
	says := func(bytes int) func(r *JoinRequest) {
		return func(r *JoinRequest) {
			r.Protocols = []Protocol{{"range", make([]byte, bytes)}, {"other", make([]byte, bytes/2)}}
		}
	}
	if a := l.joined(l.join("", says(257<<10))); a.Code != GroupMaxSizeReached {
		t.Errorf("alone: %v", a.Code)
	}
	l.state(Dead, 0)
	first := l.join("", says(200<<10))
	second := l.join("", says(50<<10))
	if a := l.joined(l.join("", says(7<<10))); a.Code != GroupMaxSizeReached {
		t.Errorf("beside others: %v", a.Code)
	}
	l.joinPhase()
	a, b := l.joined(first), l.joined(second)
	if a.Code != None || b.Code != None || a.Leader != a.MemberID {
		t.Fatalf("%+v, %+v", a, b)
	}
	if s := is(l, l.sync(a.MemberID, a.Generation, Assignment{a.MemberID, make([]byte, 200<<10)})); s.Code != UnknownServerError {
		t.Errorf("assignment: %v", s.Code)
	}
	if len(l.log) > 0 {
		t.Errorf("%v was written", l.log)
	}
	if s := is(l, l.sync(a.MemberID, a.Generation, Assignment{a.MemberID, make([]byte, 100<<10)})); s.Code != None {
		t.Errorf("assignment: %v", s.Code)
	}
	for _, records := range l.log {
		if n := len(records[0].Key) + len(records[0].Value); n > 512<<10 {
			t.Errorf("a record of %d bytes was written", n)
		}
	}
	// Who is there may say something else of itself, within the bound.
	if a := l.joined(l.join(b.MemberID, says(60<<10))); a.Code != GroupMaxSizeReached {
		t.Errorf("more: %v", a.Code)
	}
	again := l.join(a.MemberID, says(1<<10))
	l.join(b.MemberID, says(200<<10))
	if a := l.joined(again); a.Code != None || len(a.Members) != 2 {
		t.Errorf("less: %+v", a)
	}
}
