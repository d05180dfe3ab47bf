package coord

import (
	"bytes"
	"slices"
	"time"

	"github.com/rollway/rollway/internal/mutant"
)

// member is one of a group. It is either waited for, because it has a parked
// answer, or its session runs: the timer.
type member struct {
	group                *group
	id                   string
	instance             string // "": not static
	clientID, clientHost string
	sessionTimeout       time.Duration
	rebalanceTimeout     time.Duration

	protocols  []Protocol // best first, at least one, none twice
	assignment []byte

	joined *Pending[JoinAnswer] // parked; nil: none
	synced *Pending[SyncAnswer] // parked; nil: none
	// unsynced tells that the member was given the generation and has not sent
	// SyncGroup since.
	unsynced bool
	// nameless tells that the member does not know its id before its parked join
	// is answered.
	nameless bool
	timer    timer // the session
}

// metadata returns what the member says for a protocol; nil if it has none.
func (m *member) metadata(protocol string) []byte {
	for i := range m.protocols {
		if m.protocols[i].Name == protocol {
			return m.protocols[i].Metadata
		}
	}
	return nil
}

// offers tells whether the member's protocols are these, in this order.
func (m *member) offers(protocols []Protocol) bool {
	return slices.EqualFunc(m.protocols, protocols, func(a, b Protocol) bool {
		return a.Name == b.Name && bytes.Equal(a.Metadata, b.Metadata)
	})
}

// bytes is what the member takes, about.
func (m *member) bytes() int {
	return memberBytes + 2*(len(m.id)+len(m.instance)) + len(m.clientID) + len(m.clientHost) + len(m.assignment) + protocolBytes(m.protocols)
}

func protocolBytes(protocols []Protocol) int {
	n := 0
	for _, p := range protocols {
		n += protocolOverhead + len(p.Name) + len(p.Metadata)
	}
	return n
}

// recordBytes is what the member takes of the record of its group, at most, without
// its assignment.
func (m *member) recordBytes() int {
	return memberRecordBytes(m.protocols, m.id, m.instance, m.clientID, m.clientHost)
}

// memberRecordBytes is what a member takes that is called so in the record of its
// group, whichever of the protocols is chosen.
func memberRecordBytes(protocols []Protocol, names ...string) int {
	n := 0
	for _, p := range protocols {
		n = max(n, len(p.Metadata))
	}
	for _, name := range names {
		n += len(name)
	}
	return n + 64 // lengths, timeouts
}

// count and discount keep what members take, of memory and of the record of their
// group: before a member changes, and after that.
func (c *Coordinator) count(m *member) {
	c.bytes += int64(m.bytes())
	m.group.recordBytes += m.recordBytes()
}

func (c *Coordinator) discount(m *member) {
	c.bytes -= int64(m.bytes())
	m.group.recordBytes -= m.recordBytes()
}

// parked tells whether the member waits for an answer.
func (m *member) parked() bool { return m.joined != nil || m.synced != nil }

// touch begins the session of a member anew, since it was heard of or an answer
// has left for it. A parked member has none.
func (c *Coordinator) touch(m *member, now time.Time) {
	if m.parked() && !mutant.Is(mutant.ParkedMemberExpired) {
		c.timers.stop(&m.timer)
		return
	}
	c.timers.set(&m.timer, now.Add(m.sessionTimeout))
}

// expire ends the session of a member that was not heard of.
func (m *member) expire(c *Coordinator, now time.Time) {
	c.stats.SessionsExpired++
	c.remove(m)
	c.membersLeft(m.group, now)
}

// add puts a new member into its group.
func (c *Coordinator) add(m *member, protocolType string) {
	g := m.group
	if len(g.members) == 0 {
		g.protocolType = protocolType
	}
	if g.leader == "" {
		g.leader = m.id
	}
	put(&g.members, m.id, m)
	if m.instance != "" {
		put(&g.static, m.instance, m)
	}
	g.order = append(g.order, m)
	for _, p := range m.protocols {
		put(&g.supported, p.Name, g.supported[p.Name]+1)
	}
	m.timer.owner = m
	c.stats.Members++
	c.count(m)
}

// remove takes a member out of its group. What it waits for is answered.
func (c *Coordinator) remove(m *member) {
	g := m.group
	g.answerJoin(m, refuseJoin(UnknownMemberID, ""))
	g.answerSync(m, SyncAnswer{Code: UnknownMemberID})
	c.timers.stop(&m.timer)
	g.setUnsynced(m, false)
	delete(g.members, m.id)
	if m.instance != "" {
		delete(g.static, m.instance)
	}
	i := slices.Index(g.order, m)
	g.order = slices.Delete(g.order, i, i+1)
	g.withdraw(m)
	if g.leader == m.id {
		g.leader = ""
		if len(g.order) > 0 {
			g.leader = g.order[0].id
		}
	}
	c.stats.Members--
	c.discount(m)
}

// withdraw takes back what a member offers.
func (g *group) withdraw(m *member) {
	for _, p := range m.protocols {
		if g.supported[p.Name]--; g.supported[p.Name] == 0 {
			delete(g.supported, p.Name)
		}
	}
}

// update changes what a member has asked for.
func (c *Coordinator) update(m *member, r *JoinRequest) {
	g := m.group
	c.discount(m)
	g.withdraw(m)
	m.protocols = r.protocols()
	for _, p := range m.protocols {
		g.supported[p.Name]++
	}
	m.sessionTimeout, m.rebalanceTimeout = r.SessionTimeout, r.rebalanceTimeout()
	c.count(m)
}

// assign gives a member its part.
func (c *Coordinator) assign(m *member, assignment []byte) {
	c.bytes += int64(len(assignment) - len(m.assignment))
	m.assignment = assignment
}

// replace gives the place of a static member, with a new id, to whoever has
// joined with its instance id. Whoever had it, and still waits, is fenced.
func (c *Coordinator) replace(m *member, id string, r *JoinRequest) {
	g := m.group
	if m.joined != nil && mutant.Is(mutant.FencedNotAnswered) {
		m.joined = nil
		g.awaiting--
	}
	g.answerJoin(m, refuseJoin(FencedInstanceID, m.id))
	g.answerSync(m, SyncAnswer{Code: FencedInstanceID})
	if g.leader == m.id {
		g.leader = id
	}
	delete(g.members, m.id)
	c.discount(m)
	m.id, m.clientID, m.clientHost = id, r.ClientID, r.ClientHost
	c.count(m)
	g.members[id] = m
	c.update(m, r)
}

// parkJoin has a member wait for the end of the join phase. A request that waits
// already is one that the member has given up: its answer tells to join again, if
// anyone reads it.
func (c *Coordinator) parkJoin(m *member, now time.Time) *Pending[JoinAnswer] {
	g := m.group
	g.answerJoin(m, refuseJoin(RebalanceInProgress, m.id))
	p := &Pending[JoinAnswer]{c: c}
	p.abandon = func(now time.Time) {
		if m.joined != p {
			return
		}
		g.answerJoin(m, JoinAnswer{})
		if m.nameless {
			c.remove(m)
			c.membersLeft(g, now)
			return
		}
		c.touch(m, now)
	}
	m.joined = p
	g.awaiting++
	c.touch(m, now)
	return p
}

// answerJoin answers a member's parked join, if there is one.
func (g *group) answerJoin(m *member, answer JoinAnswer) {
	if m.joined == nil {
		return
	}
	m.joined.resolve(answer)
	m.joined = nil
	g.awaiting--
}

// parkSync has a member wait for the leader's assignment.
func (c *Coordinator) parkSync(m *member, now time.Time) *Pending[SyncAnswer] {
	g := m.group
	g.answerSync(m, SyncAnswer{Code: RebalanceInProgress})
	p := &Pending[SyncAnswer]{c: c}
	p.abandon = func(now time.Time) {
		if m.synced == p {
			g.answerSync(m, SyncAnswer{})
			c.touch(m, now)
		}
	}
	m.synced = p
	c.touch(m, now)
	return p
}

// answerSync answers a member's parked sync, if there is one.
func (g *group) answerSync(m *member, answer SyncAnswer) {
	m.synced.resolve(answer)
	m.synced = nil
}

// setUnsynced sets m.unsynced.
func (g *group) setUnsynced(m *member, unsynced bool) {
	if m.unsynced == unsynced {
		return
	}
	m.unsynced = unsynced
	if unsynced {
		g.unsynced++
	} else {
		g.unsynced--
	}
}

// pendingMember is a member id that was given out (KIP-394) and has not joined
// with. A join phase waits for it, until its session ends.
type pendingMember struct {
	group *group
	id    string
	timer timer
}

// expire forgets the id.
func (p *pendingMember) expire(c *Coordinator, now time.Time) {
	c.removePending(p.group, p.id)
	c.pendingLeft(p.group, now)
}

func (c *Coordinator) addPending(g *group, id string, session time.Duration, now time.Time) {
	p := &pendingMember{group: g, id: id}
	p.timer.owner = p
	put(&g.pending, id, p)
	c.timers.set(&p.timer, now.Add(session))
	c.stats.PendingMembers++
	c.bytes += int64(pendingBytes + 2*len(id))
}

func (c *Coordinator) removePending(g *group, id string) {
	c.timers.stop(&g.pending[id].timer)
	delete(g.pending, id)
	c.stats.PendingMembers--
	c.bytes -= int64(pendingBytes + 2*len(id))
}

// put sets a key of a map that is made when it gets its first.
func put[K comparable, V any](m *map[K]V, key K, value V) {
	if *m == nil {
		*m = map[K]V{}
	}
	(*m)[key] = value
}
