package coord

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// lab is a coordinator whose log settles at once, unless held.
type lab struct {
	t    *testing.T
	c    *Coordinator
	now  time.Time
	held bool
	log  map[int32][]Record
	open []int32 // partitions of the appends that are not settled
	ids  int
	gone func(topic string, id [16]byte) bool // Options.TopicGone
}

func newLab(t *testing.T, s Settings) *lab {
	l := &lab{t: t, now: time.Unix(1_700_000_000, 0), log: map[int32][]Record{}}
	l.start(s)
	return l
}

func (l *lab) start(s Settings) {
	l.t.Helper()
	if s.Partitions == 0 {
		s.Partitions = 3
	}
	c, err := New(Options{Settings: s, Log: l, TopicGone: l.gone, NewMemberID: func(name string) string {
		l.ids++
		return fmt.Sprintf("%s-%d", name, l.ids)
	}}, l.now)
	if err != nil {
		l.t.Fatal(err)
	}
	l.c = c
	for p := range c.settings.Partitions {
		for _, r := range l.log[p] {
			if err := c.Replay(p, r.Key, r.Value); err != nil {
				l.t.Fatal(err)
			}
		}
		c.Loaded(p, l.now)
	}
}

// restart starts a coordinator over what was written.
func (l *lab) restart() {
	l.t.Helper()
	l.open = nil
	l.start(l.c.settings)
}

// Append implements Log.
func (l *lab) Append(partition int32, records []Record) {
	l.log[partition] = append(l.log[partition], records...)
	l.open = append(l.open, partition)
}

// settle settles what was appended.
func (l *lab) settle(err error) {
	for len(l.open) > 0 {
		p := l.open[0]
		l.open = l.open[1:]
		l.c.Settle(p, err, l.now)
	}
}

// run settles what is not held, and checks the state.
func (l *lab) run() {
	l.t.Helper()
	if !l.held {
		l.settle(nil)
	}
	if err := l.c.check(); err != nil {
		l.t.Fatal(err)
	}
}

// advance lets time pass.
func (l *lab) advance(d time.Duration) {
	l.t.Helper()
	for to := l.now.Add(d); l.now.Before(to); {
		next := l.c.Tick(l.now)
		if next.IsZero() || next.After(to) {
			next = to
		}
		l.now = next
		l.c.Tick(l.now)
		l.run()
	}
}

// joinPhase lets time pass until the join phase of the group is over.
func (l *lab) joinPhase() {
	l.t.Helper()
	for range 120 {
		if d, _ := l.c.Describe("g"); d.State != PreparingRebalance {
			return
		}
		l.advance(time.Second)
	}
	l.t.Fatal("the join phase does not end")
}

// join sends JoinGroup; set changes the request, nil: nothing.
func (l *lab) join(id string, set func(r *JoinRequest)) *Pending[JoinAnswer] {
	l.t.Helper()
	r := &JoinRequest{
		Group: "g", MemberID: id, ClientID: "c", ClientHost: "/h", SessionTimeout: 10 * time.Second, RebalanceTimeout: time.Minute,
		ProtocolType: "consumer", Protocols: []Protocol{{"range", []byte{0, 0, 0, 0, 0, 1, 0, 1, 't'}}},
	}
	if set != nil {
		set(r)
	}
	p := l.c.Join(r, l.now)
	l.run()
	return p
}

// joined returns the answer to a join, which must be there.
func (l *lab) joined(p *Pending[JoinAnswer]) JoinAnswer {
	l.t.Helper()
	return is(l, p)
}

func is[T any](l *lab, p *Pending[T]) T {
	l.t.Helper()
	a, done := p.Poll(nil)
	if !done {
		l.t.Fatal("the answer is not there")
	}
	return a
}

func waits[T any](l *lab, p *Pending[T]) {
	l.t.Helper()
	if a, done := p.Poll(nil); done {
		l.t.Fatalf("answered at once: %+v", a)
	}
}

func (l *lab) sync(id string, generation int32, assignments ...Assignment) *Pending[SyncAnswer] {
	l.t.Helper()
	p := l.c.Sync(&SyncRequest{Group: "g", MemberID: id, Generation: generation, Assignments: assignments}, l.now)
	l.run()
	return p
}

func (l *lab) heartbeat(id string, generation int32, want Code) {
	l.t.Helper()
	if code := l.c.Heartbeat(&HeartbeatRequest{Group: "g", MemberID: id, Generation: generation}, l.now); code != want {
		l.t.Errorf("heartbeat of %q, generation %d: %v, want %v", id, generation, code, want)
	}
	l.run()
}

// group makes a stable group of so many dynamic members, and returns their ids,
// the leader's first.
func (l *lab) group(members int) (ids []string, generation int32) {
	l.t.Helper()
	joins := make([]*Pending[JoinAnswer], members)
	for i := range joins {
		joins[i] = l.join("", nil)
	}
	l.joinPhase()
	return l.complete(joins...)
}

// complete has members sync whose joins are answered.
func (l *lab) complete(joins ...*Pending[JoinAnswer]) (ids []string, generation int32) {
	l.t.Helper()
	leader := ""
	for _, p := range joins {
		a := l.joined(p)
		if a.Code != None {
			l.t.Fatalf("join: %v", a.Code)
		}
		ids = append(ids, a.MemberID)
		leader, generation = a.Leader, a.Generation
	}
	slices.SortStableFunc(ids, func(a, b string) int { // leader first
		switch leader {
		case a:
			return -1
		case b:
			return 1
		}
		return 0
	})
	var parts []Assignment
	for _, id := range ids {
		parts = append(parts, Assignment{id, []byte("part of " + id)})
	}
	for _, id := range ids {
		if a := is(l, l.sync(id, generation, parts...)); a.Code != None || string(a.Assignment) != "part of "+id {
			l.t.Fatalf("sync of %s: %v %q", id, a.Code, a.Assignment)
		}
	}
	return ids, generation
}

// commit commits offsets, each "topic partition offset".
func (l *lab) commit(id string, generation int32, offsets ...string) Code {
	l.t.Helper()
	p := l.c.Commit(commitRequest(l.t, "g", id, generation, offsets...), l.now)
	l.run()
	return is(l, p)
}

func commitRequest(t *testing.T, group, id string, generation int32, offsets ...string) *CommitRequest {
	t.Helper()
	r := &CommitRequest{Group: group, MemberID: id, Generation: generation}
	for _, o := range offsets {
		var topic string
		p := CommitPartition{LeaderEpoch: -1}
		if _, err := fmt.Sscanf(o, "%s %d %d", &topic, &p.Partition, &p.Offset); err != nil {
			t.Fatal(err)
		}
		r.Topics = append(r.Topics, CommitTopic{Topic: topic, Partitions: []CommitPartition{p}})
	}
	return r
}

// fetched shows all committed offsets of a group, as "topic partition offset".
func (l *lab) fetched(group string) string {
	l.t.Helper()
	topics, code := l.c.FetchOffsets(group, nil)
	if code != None {
		l.t.Fatal(code)
	}
	var s []string
	for _, t := range topics {
		for _, p := range t.Partitions {
			s = append(s, fmt.Sprintf("%s %d %d", t.Topic, p.Partition, p.Offset))
		}
	}
	return strings.Join(s, ", ")
}

// state checks the state of the group and how many members it has.
func (l *lab) state(want State, members int) {
	l.t.Helper()
	d, code := l.c.Describe("g")
	if code != None || d.State != want || len(d.Members) != members {
		l.t.Errorf("%v, %d members, %v; want %v, %d", d.State, len(d.Members), code, want, members)
	}
}
