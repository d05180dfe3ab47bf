package coord

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// nullLog settles nothing by itself.
type nullLog struct{ appends []int32 }

func (l *nullLog) Append(partition int32, records []Record) { l.appends = append(l.appends, partition) }

func (l *nullLog) settle(c *Coordinator, now time.Time) {
	for _, p := range l.appends {
		c.Settle(p, nil, now)
	}
	l.appends = l.appends[:0]
}

// startGroups makes stable groups, as consumers with a dozen topics do, and
// returns the member ids of each.
func startGroups(t testing.TB, groups, members int) (c *Coordinator, ids [][]string, now time.Time) {
	t.Helper()
	now = time.Unix(1_700_000_000, 0)
	log := &nullLog{}
	c, err := New(Options{Log: log}, now)
	if err != nil {
		t.Fatal(err)
	}
	for p := range c.settings.Partitions {
		c.Loaded(p, now)
	}
	joins := make([][]*Pending[JoinAnswer], groups)
	for g := range joins {
		for m := range members {
			joins[g] = append(joins[g], c.Join(&JoinRequest{
				Group: fmt.Sprintf("group-%d", g), ClientID: fmt.Sprintf("consumer-group-%d-%d", g, m), ClientHost: "/127.0.0.1",
				SessionTimeout: 45 * time.Second, RebalanceTimeout: 5 * time.Minute, ProtocolType: "consumer",
				Protocols: []Protocol{{"range", make([]byte, 256)}, {"cooperative-sticky", make([]byte, 256)}},
			}, now))
		}
	}
	for next := c.Tick(now); now.Sub(time.Unix(1_700_000_000, 0)) < 7*time.Second; next = c.Tick(now) {
		now = next
	}
	ids = make([][]string, groups)
	for g, group := range joins {
		assignments := make([]Assignment, 0, members)
		for _, p := range group {
			a, done := p.Poll(nil)
			if !done || a.Code != None {
				t.Fatalf("join: %+v, %v", a, done)
			}
			ids[g] = append(ids[g], a.MemberID)
			assignments = append(assignments, Assignment{a.MemberID, make([]byte, 256)})
		}
		for m, id := range ids[g] {
			r := &SyncRequest{Group: fmt.Sprintf("group-%d", g), MemberID: id, Generation: 1}
			if m == 0 {
				r.Assignments = assignments
			}
			c.Sync(r, now)
		}
	}
	log.settle(c, now)
	return c, ids, now
}

// liveHeap is what is in use after a collection.
func liveHeap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A member takes at most 8 KiB, all in all, and what Settings.MaxBytes counts is
// what it takes, about.
func TestMemory(t *testing.T) {
	const groups, members = 1000, 3
	before := liveHeap()
	c, _, _ := startGroups(t, groups, members)
	taken := liveHeap() - before
	counted := c.Stats().Bytes
	t.Logf("%d bytes a member, %d counted, %d of them metadata and assignment", taken/(groups*members), counted/(groups*members), 3*256)
	if per := taken / (groups * members); per > 8<<10 {
		t.Errorf("%d bytes a member, want at most 8 KiB", per)
	}
	if taken > counted*3/2 || counted > taken*3 {
		t.Errorf("%d bytes are taken, %d are counted", taken, counted)
	}
	runtime.KeepAlive(c)
}

// However many groups a client makes up, they take no more than Settings.MaxBytes,
// about: then it is told to try again, and groups that are there go on.
func TestMadeUpGroups(t *testing.T) {
	const most = 8 << 20
	long := strings.Repeat("x", 30_000)
	now := time.Unix(1_700_000_000, 0)
	join := func(c *Coordinator, r JoinRequest) Code {
		r.ClientID, r.SessionTimeout, r.ProtocolType = "c", 30*time.Minute, "consumer"
		if r.Protocols == nil {
			r.Protocols = []Protocol{{Name: "range"}}
		}
		a, done := c.Join(&r, now).Poll(nil)
		if done && a.Code != MemberIDRequired {
			return a.Code
		}
		return None
	}
	for name, ask := range map[string]func(c *Coordinator, i int) Code{
		"by commits": func(c *Coordinator, i int) Code {
			r := commitRequest(t, fmt.Sprint(i), "", -1, "t 0 1")
			a, _ := c.Commit(r, now).Poll(nil)
			return a
		},
		"by commits with long names": func(c *Coordinator, i int) Code {
			r := commitRequest(t, fmt.Sprint(i, long), "", -1, "t 0 1")
			r.Topics[0].Partitions[0].Metadata = long[:4096]
			a, _ := c.Commit(r, now).Poll(nil)
			return a
		},
		"by offsets of one": func(c *Coordinator, i int) Code {
			a, _ := c.Commit(commitRequest(t, "g", "", -1, fmt.Sprintf("topic-%d 0 1", i)), now).Poll(nil)
			return a
		},
		"by joins": func(c *Coordinator, i int) Code { return join(c, JoinRequest{Group: fmt.Sprint(i)}) },
		"by joins without an id": func(c *Coordinator, i int) Code {
			return join(c, JoinRequest{Group: fmt.Sprint(i), RequireMemberID: true})
		},
		"by ids of one": func(c *Coordinator, i int) Code { return join(c, JoinRequest{Group: "g", RequireMemberID: true}) },
		"by members that say much": func(c *Coordinator, i int) Code {
			return join(c, JoinRequest{Group: fmt.Sprint(i), Protocols: []Protocol{{"range", make([]byte, 1<<20)}}})
		},
		"by many protocols": func(c *Coordinator, i int) Code {
			r := JoinRequest{Group: fmt.Sprint(i)}
			for n := range 1000 {
				r.Protocols = append(r.Protocols, Protocol{Name: fmt.Sprint(n)})
			}
			return join(c, r)
		},
	} {
		log := &nullLog{}
		c, err := New(Options{Settings: Settings{MaxBytes: most, Partitions: 1}, Log: log}, now)
		if err != nil {
			t.Fatal(err)
		}
		c.Loaded(0, now)
		kept := commitRequest(t, "kept", "", -1, "t 0 1")
		c.Commit(kept, now)
		log.settle(c, now)
		before, asked, code := liveHeap(), 0, None
		for ; code == None && asked < 1_000_000; asked++ {
			code = ask(c, asked)
			log.settle(c, now)
		}
		taken := liveHeap() - before
		t.Logf("%s: %d were taken, %d bytes, %d counted", name, asked-1, taken, c.Stats().Bytes)
		if code != CoordinatorNotAvailable || taken > most*3/2 {
			t.Errorf("%s: %d were taken, with %d bytes, then %v", name, asked, taken, code)
		}
		if _, code := c.FetchOffsets("kept", nil); code != None {
			t.Errorf("%s: a group that is there: %v", name, code)
		}
		if code := is(&lab{t: t}, c.DeleteGroup("none", now)); code != GroupIDNotFound {
			t.Errorf("%s: %v", name, code)
		}
		runtime.KeepAlive(c)
	}
}

// BenchmarkHeartbeat is one heartbeat among 3,000 members.
func BenchmarkHeartbeat(b *testing.B) {
	c, ids, now := startGroups(b, 1000, 3)
	b.ReportAllocs()
	r := &HeartbeatRequest{Generation: 1}
	names := make([]string, len(ids))
	for g := range names {
		names[g] = fmt.Sprintf("group-%d", g)
	}
	for i := 0; b.Loop(); i++ {
		g := i % len(ids)
		r.Group, r.MemberID = names[g], ids[g][i/len(ids)%3]
		now = now.Add(time.Millisecond)
		if code := c.Heartbeat(r, now); code != None {
			b.Fatal(code)
		}
		if i%100 == 0 {
			c.Tick(now)
		}
	}
}

// BenchmarkRebalance is a group of 500 members that all join and sync again.
func BenchmarkRebalance(b *testing.B) {
	c, ids, now := startGroups(b, 1, 500)
	log := c.log.(*nullLog)
	b.ReportAllocs()
	for b.Loop() {
		joins := make([]*Pending[JoinAnswer], len(ids[0]))
		for m, id := range ids[0] {
			joins[m] = c.Join(&JoinRequest{
				Group: "group-0", MemberID: id, SessionTimeout: 45 * time.Second, RebalanceTimeout: 5 * time.Minute,
				ProtocolType: "consumer", Protocols: []Protocol{{"range", make([]byte, 256)}, {"cooperative-sticky", make([]byte, 256)}},
			}, now)
		}
		assignments := make([]Assignment, 0, len(joins))
		for _, id := range ids[0] {
			assignments = append(assignments, Assignment{id, make([]byte, 256)})
		}
		for m, p := range joins {
			a, done := p.Poll(nil)
			if !done || a.Code != None {
				b.Fatalf("join: %+v, %v", a, done)
			}
			r := &SyncRequest{Group: "group-0", MemberID: ids[0][m], Generation: a.Generation}
			if a.Leader == a.MemberID {
				r.Assignments = assignments
			}
			c.Sync(r, now)
		}
		log.settle(c, now)
	}
}
