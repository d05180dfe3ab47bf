package coord

import (
	"strings"
	"testing"
	"time"
)

// Who may commit, and what is answered to others.
func TestCommit(t *testing.T) {
	l := newLab(t, Settings{})
	f := func(id string, generation int32, want Code) {
		t.Helper()
		if code := l.commit(id, generation, "t 0 1"); code != want {
			t.Errorf("commit of %q, generation %d: %v, want %v", id, generation, code, want)
		}
	}
	f("", 0, IllegalGeneration) // no such group
	f("", -1, None)             // makes one
	l.state(Empty, 0)
	f("", -1, None)
	f("nobody", 0, UnknownMemberID)
	ids, generation := l.group(2)
	f("", -1, UnknownMemberID)
	f("nobody", generation, UnknownMemberID)
	f(ids[0], -1, IllegalGeneration)
	f(ids[0], generation+1, IllegalGeneration)
	f(ids[0], generation, None)
	// While others join, a member commits what it has read; when it has joined
	// it has nothing to commit before it is assigned something.
	first := l.join(ids[0], nil)
	f(ids[1], generation, None)
	l.join(ids[1], nil)
	f(ids[1], generation, IllegalGeneration)
	f(ids[1], l.joined(first).Generation, RebalanceInProgress)
	// The empty group id is one like others here.
	if code := l.commitTo(""); code != None {
		t.Errorf("empty group id: %v", code)
	}
}

// A commit is visible and answered when it is durable; one that is not written
// leaves what was.
func TestCommitIsDurable(t *testing.T) {
	l := newLab(t, Settings{})
	l.commit("", -1, "t 0 1")
	l.held = true
	first := l.c.Commit(commitRequest(t, "g", "", -1, "t 0 2", "t 1 2"), l.now)
	second := l.c.Commit(commitRequest(t, "g", "", -1, "t 0 3"), l.now)
	waits(l, first)
	if got := l.fetched("g"); got != "t 0 1" {
		t.Errorf("fetched %q", got)
	}
	l.c.Settle(l.open[0], errBad, l.now)
	l.open = l.open[1:]
	if code := is(l, first); code != CoordinatorNotAvailable {
		t.Error(code)
	}
	if got := l.fetched("g"); got != "t 0 1" {
		t.Errorf("fetched %q", got)
	}
	l.held = false
	l.run()
	if code := is(l, second); code != None {
		t.Error(code)
	}
	if got := l.fetched("g"); got != "t 0 3" {
		t.Errorf("fetched %q", got)
	}
	l.log[PartitionOf("g", 3)] = l.log[PartitionOf("g", 3)][:1]
	l.restart()
	if got := l.fetched("g"); got != "t 0 1" {
		t.Errorf("fetched after a restart %q", got)
	}
}

// Metadata longer than the bound, in UTF-16 units, is refused for its partition
// alone.
func TestMetadataLimit(t *testing.T) {
	l := newLab(t, Settings{MaxMetadata: 4})
	r := commitRequest(t, "g", "", -1, "t 0 1", "t 1 1", "t 2 1", "t 3 1", "t 4 1")
	for i, text := range []string{"abcd", "abcde", "éééé", "\U0001F600\U0001F600", "\U0001F600\U0001F600x"} {
		r.Topics[i].Partitions[0].Metadata = text
	}
	p := l.c.Commit(r, l.now)
	l.run()
	if code := is(l, p); code != None {
		t.Error(code)
	}
	for i, want := range []Code{None, OffsetMetadataTooLarge, None, None, OffsetMetadataTooLarge} {
		if got := r.Topics[i].Partitions[0].Code; got != want {
			t.Errorf("partition %d: %v, want %v", i, got, want)
		}
	}
	if got := l.fetched("g"); got != "t 0 1, t 2 1, t 3 1" {
		t.Errorf("fetched %q", got)
	}
	r = commitRequest(t, "large", "", -1, "t 0 1")
	r.Topics[0].Partitions[0].Metadata = strings.Repeat("x", 10<<20)
	if code := is(l, l.c.Commit(r, l.now)); code != None || r.Topics[0].Partitions[0].Code != OffsetMetadataTooLarge {
		t.Errorf("%v, %v", code, r.Topics[0].Partitions[0].Code)
	}
	if found, _ := l.c.List(nil, nil); len(found) != 1 {
		t.Errorf("a commit of nothing has left a group: %v", found)
	}
}

// What was never committed is -1, without an error, also of a group that is not
// there.
func TestFetchNothing(t *testing.T) {
	l := newLab(t, Settings{})
	l.commit("", -1, "t 1 7")
	for _, group := range []string{"g", "other"} {
		fetched, code := l.c.FetchOffsets(group, []TopicPartitions{{"t", []int32{0}}, {"u", []int32{5}}})
		if code != None || len(fetched) != 2 || fetched[1].Topic != "u" || fetched[1].Partitions[0] != (CommittedOffset{Partition: 5, Offset: -1, LeaderEpoch: -1}) {
			t.Errorf("%s: %v, %+v", group, code, fetched)
		}
	}
	if fetched, code := l.c.FetchOffsets("other", nil); code != None || len(fetched) != 0 {
		t.Errorf("%v, %+v", code, fetched)
	}
}

// Everything of a commit comes back, from memory and from the log.
func TestFetchAll(t *testing.T) {
	l := newLab(t, Settings{})
	r := commitRequest(t, "g", "", -1, "t 0 9")
	r.Topics[0].TopicID = [16]byte{1, 2}
	r.Topics[0].Partitions[0].LeaderEpoch, r.Topics[0].Partitions[0].Metadata = 4, "text"
	l.c.Commit(r, l.now)
	l.run()
	want := CommittedOffset{Partition: 0, Offset: 9, LeaderEpoch: 4, Metadata: "text", TopicID: [16]byte{1, 2}}
	for range 2 {
		if fetched, _ := l.c.FetchOffsets("g", nil); len(fetched) != 1 || fetched[0].Partitions[0] != want {
			t.Errorf("%+v", fetched)
		}
		l.restart()
	}
}

// A group is deleted when it has no members, with its offsets, for good. Until
// that is durable, whoever uses it is told to try again.
func TestDeleteGroup(t *testing.T) {
	l := newLab(t, Settings{})
	f := func(group string, want Code) {
		t.Helper()
		p := l.c.DeleteGroup(group, l.now)
		l.run()
		if code := is(l, p); code != want {
			t.Errorf("delete %q: %v, want %v", group, code, want)
		}
	}
	f("", InvalidGroupID)
	f("g", GroupIDNotFound)
	ids, generation := l.group(1)
	l.commit(ids[0], generation, "t 0 1")
	f("g", NonEmptyGroup)
	l.advance(10 * time.Second)
	l.held = true
	late := l.c.Commit(commitRequest(t, "g", "", -1, "t 1 1"), l.now)
	p := l.c.DeleteGroup("g", l.now)
	waits(l, p)
	if code := l.commit("", -1, "t 0 2"); code != CoordinatorNotAvailable {
		t.Errorf("commit meanwhile: %v", code)
	}
	if a := l.joined(l.join("", nil)); a.Code != CoordinatorNotAvailable {
		t.Errorf("join meanwhile: %v", a.Code)
	}
	l.settle(errBad)
	if a, b := is(l, late), is(l, p); a != CoordinatorNotAvailable || b != CoordinatorNotAvailable {
		t.Errorf("not written: %v, %v", a, b)
	}
	l.state(Empty, 0)
	l.held = false
	l.commit("", -1, "t 1 1")
	f("g", None)
	l.state(Dead, 0)
	for range 2 {
		if got := l.fetched("g"); got != "" {
			t.Errorf("fetched %q", got)
		}
		f("g", GroupIDNotFound)
		l.log[PartitionOf("g", 3)] = append(l.log[PartitionOf("g", 3)][:0:0], l.log[PartitionOf("g", 3)]...)
		l.restart()
	}
}

// Offsets are deleted of topics that no member is subscribed to.
func TestDeleteOffsets(t *testing.T) {
	l := newLab(t, Settings{})
	del := func(group, topic string, want, wantTopic Code) {
		t.Helper()
		r := &DeleteOffsetsRequest{Group: group, Topics: []DeleteOffsetsTopic{{Topic: topic, Partitions: []int32{0, 7}}}}
		p := l.c.DeleteOffsets(r, l.now)
		l.run()
		if code := is(l, p); code != want || r.Topics[0].Code != wantTopic {
			t.Errorf("delete %s of %q: %v, %v; want %v, %v", topic, group, code, r.Topics[0].Code, want, wantTopic)
		}
	}
	del("", "t", InvalidGroupID, None)
	del("g", "t", GroupIDNotFound, None)
	ids, generation := l.group(1)
	l.commit(ids[0], generation, "t 0 1", "u 0 1", "u 1 1")
	del("g", "t", None, GroupSubscribedToTopic)
	del("g", "u", None, None)
	if got := l.fetched("g"); got != "t 0 1, u 1 1" {
		t.Errorf("fetched %q", got)
	}
	l.advance(10 * time.Second)
	del("g", "t", None, None)
	l.restart()
	if got := l.fetched("g"); got != "u 1 1" {
		t.Errorf("fetched %q", got)
	}
	// What members of another protocol read is not known.
	other := l.join("", func(r *JoinRequest) { r.ProtocolType = "connect" })
	l.joinPhase()
	l.complete(other)
	del("g", "u", NonEmptyGroup, None)
}

// Offsets of a group are kept for as long as it has members, and then for the
// retention (KIP-211); after them the group goes, from the log too. In a group
// that never had members each has its own time, and a commit may bring one.
func TestRetention(t *testing.T) {
	l := newLab(t, Settings{OffsetRetention: time.Hour, RetentionCheck: time.Minute})
	ids, generation := l.group(1)
	l.commit(ids[0], generation, "t 0 1")
	for range 24 * 60 * 60 / 5 {
		l.heartbeat(ids[0], generation, None)
		l.advance(5 * time.Second)
	}
	if got := l.fetched("g"); got != "t 0 1" {
		t.Errorf("a group with members: fetched %q", got)
	}
	l.advance(59 * time.Minute)
	l.restart() // since when it is empty is in the log
	if got := l.fetched("g"); got != "t 0 1" {
		t.Errorf("too early: fetched %q", got)
	}
	l.advance(3 * time.Minute)
	l.state(Dead, 0)
	l.restart()
	l.state(Dead, 0)

	l.commit("", -1, "t 0 1")
	l.advance(30 * time.Minute)
	l.commit("", -1, "t 1 1")
	r := commitRequest(t, "g", "", -1, "t 2 1")
	r.Retention = 5 * time.Minute
	l.c.Commit(r, l.now)
	l.run()
	l.restart()
	l.advance(7 * time.Minute)
	if got := l.fetched("g"); got != "t 0 1, t 1 1" {
		t.Errorf("fetched %q", got)
	}
	l.advance(26 * time.Minute)
	if got := l.fetched("g"); got != "t 1 1" {
		t.Errorf("fetched %q", got)
	}
	if s := l.c.Stats(); s.OffsetsExpired != 2 || s.Offsets != 1 { // since the restart
		t.Errorf("%+v", s)
	}
}

// A consumer that reads loses the offsets of topics that nobody is subscribed to
// any more.
func TestRetentionOfUnsubscribed(t *testing.T) {
	l := newLab(t, Settings{OffsetRetention: time.Hour, RetentionCheck: time.Minute})
	ids, generation := l.group(1)
	l.commit(ids[0], generation, "t 0 1", "u 0 1")
	for range 62 * 60 / 5 {
		l.heartbeat(ids[0], generation, None)
		l.advance(5 * time.Second)
	}
	if got := l.fetched("g"); got != "t 0 1" {
		t.Errorf("fetched %q", got)
	}
}

// Groups are listed and described by Kafka's names of states and types.
func TestListAndDescribe(t *testing.T) {
	l := newLab(t, Settings{})
	if d, code := l.c.Describe("g"); d.State != Dead || code != None {
		t.Errorf("%+v, %v", d, code)
	}
	ids, _ := l.group(1)
	l.c.Commit(commitRequest(t, "simple", "", -1, "t 0 1"), l.now)
	l.run()
	f := func(states, types []string, want string) {
		t.Helper()
		found, code := l.c.List(states, types)
		var s []string
		for _, g := range found {
			s = append(s, g.Group+" "+g.ProtocolType+" "+g.State.String())
		}
		if got := strings.Join(s, ", "); got != want || code != None {
			t.Errorf("%v %v: %q, %v; want %q", states, types, got, code, want)
		}
	}
	f(nil, nil, "g consumer Stable, simple  Empty")
	f([]string{"stable", "Dead"}, nil, "g consumer Stable")
	f(nil, []string{"Classic", "consumer"}, "g consumer Stable, simple  Empty")
	f(nil, []string{"consumer"}, "")
	d, _ := l.c.Describe("g")
	if d.Protocol != "range" || d.ProtocolType != "consumer" || d.Members[0].ClientHost != "/h" || string(d.Members[0].Assignment) != "part of "+ids[0] {
		t.Errorf("%+v", d)
	}
	l.join("", nil)
	if d, _ := l.c.Describe("g"); d.State != PreparingRebalance || d.Protocol != "" || d.Members[0].Metadata != nil {
		t.Errorf("%+v", d)
	}
}

// While a partition is loaded its groups are not served, each request with the
// answer that its clients understand; the others are.
func TestLoading(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	l := &lab{t: t, now: now, log: map[int32][]Record{}}
	c, err := New(Options{Settings: Settings{Partitions: 2}, Log: l}, now)
	if err != nil {
		t.Fatal(err)
	}
	l.c = c
	c.Loaded(1-PartitionOf("g", 2), now)
	served := "g"
	for n := 0; PartitionOf(served, 2) == PartitionOf("g", 2); n++ {
		served = strings.Repeat("x", n)
	}
	if code := l.commitTo(served); code != None {
		t.Errorf("another partition: %v", code)
	}
	if code := l.commitTo("g"); code != CoordinatorLoadInProgress {
		t.Errorf("commit: %v", code)
	}
	if a := l.joined(l.join("", nil)); a.Code != CoordinatorLoadInProgress {
		t.Errorf("join: %v", a.Code)
	}
	if a := is(l, l.sync("m", 1)); a.Code != RebalanceInProgress {
		t.Errorf("sync: %v", a.Code)
	}
	l.heartbeat("m", 1, None)
	if _, code := c.FetchOffsets("g", nil); code != CoordinatorLoadInProgress {
		t.Errorf("fetch: %v", code)
	}
	if _, code := c.Describe("g"); code != CoordinatorLoadInProgress {
		t.Errorf("describe: %v", code)
	}
	if found, code := c.List(nil, nil); code != CoordinatorLoadInProgress || len(found) != 1 {
		t.Errorf("list: %v, %v", found, code)
	}
	c.Loaded(PartitionOf("g", 2), now)
	if code := l.commitTo("g"); code != None {
		t.Errorf("commit: %v", code)
	}

	// After Close everything that waits and everything new is somebody else's.
	waiting := l.join("", nil)
	l.held = true
	writing := c.Commit(commitRequest(t, served, "", -1, "t 0 2"), now)
	c.Close()
	if a, b := l.joined(waiting), is(l, writing); a.Code != NotCoordinator || b != NotCoordinator {
		t.Errorf("%v, %v", a.Code, b)
	}
	if code := l.commitTo("g"); code != NotCoordinator {
		t.Errorf("%v", code)
	}
	c.Settle(0, nil, now)
	if next := c.Tick(now); !next.IsZero() {
		t.Errorf("Tick at %v", next)
	}
}

func (l *lab) commitTo(group string) Code {
	l.t.Helper()
	p := l.c.Commit(commitRequest(l.t, group, "", -1, "t 0 1"), l.now)
	l.settle(nil)
	return is(l, p)
}

// A record that cannot be read changes nothing, and one of a member without a
// protocol is none.
func TestReplayRefuses(t *testing.T) {
	c, err := New(Options{Settings: Settings{Partitions: 1}}, time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	bad := groupRecord("g", &groupValue{protocolType: "consumer", members: []memberValue{{id: "m"}}})
	if err := c.Replay(0, bad.Key, bad.Value); err == nil || !strings.Contains(err.Error(), `group "g": 1 members without a protocol`) {
		t.Error(err)
	}
	good := offsetRecord(offsetKey{"g", "t", 0}, &offsetValue{offset: 3, expiresMs: -1})
	if err := c.Replay(0, good.Key, good.Value[:9]); err == nil {
		t.Error("a value that is cut short")
	}
	if err := c.Replay(0, []byte{0, 3, 0}, nil); err != nil {
		t.Errorf("a later Kafka's record: %v", err)
	}
	c.Loaded(0, time.Unix(0, 0))
	if found, _ := c.List(nil, nil); len(found) != 0 {
		t.Errorf("%v", found)
	}
}

// Settings out of range are refused by name.
func TestSettings(t *testing.T) {
	f := func(want string, s Settings) {
		t.Helper()
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	f("Partitions is -1", Settings{Partitions: -1})
	f("MinSessionTimeout is -1s", Settings{MinSessionTimeout: -time.Second})
	f("MaxSessionTimeout is 5s, want at least MinSessionTimeout, 6s", Settings{MaxSessionTimeout: 5 * time.Second})
	f("MaxGroupSize is -2", Settings{MaxGroupSize: -2})
	f("OffsetRetention is -1ns", Settings{OffsetRetention: -1})
	f("RetentionCheck is -1ns", Settings{RetentionCheck: -1})
	f("MaxRecordBytes is 1000, want at least 524288", Settings{MaxRecordBytes: 1000})
	f("MaxBytes is -1", Settings{MaxBytes: -1})
	if err := (Settings{}).Validate(); err != nil {
		t.Error(err)
	}
}
