package coord

import (
	"time"

	"github.com/rollway/rollway/internal/mutant"
)

// SyncRequest asks for a member's assignment; the leader's has it for all. It and
// all that it refers to are the coordinator's from then on.
type SyncRequest struct {
	Group, MemberID, Instance string
	Generation                int32
	ProtocolType, Protocol    string // "": not said, as before SyncGroup 5
	Assignments               []Assignment
}

// Assignment is what the leader has for a member.
type Assignment struct {
	MemberID string
	Data     []byte
}

// groupRecordBytes is what the record of a group takes beside its members, at most:
// four strings, and lengths.
const groupRecordBytes = 4*maxString + 64

// bytes is what the assignments take.
func (r *SyncRequest) bytes() int {
	n := 0
	for _, a := range r.Assignments {
		n += len(a.Data)
	}
	return n
}

// SyncAnswer is a member's assignment.
type SyncAnswer struct {
	Code                   Code
	ProtocolType, Protocol string
	Assignment             []byte // must not be changed
}

// Sync carries out SyncGroup. The answer comes when the leader has sent the
// assignment and it is durable.
func (c *Coordinator) Sync(r *SyncRequest, now time.Time) *Pending[SyncAnswer] {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.rouse()
	refuse := func(code Code) *Pending[SyncAnswer] { return answered(c, SyncAnswer{Code: code}) }
	if r.Group == "" {
		return refuse(InvalidGroupID)
	}
	g, code := c.find(r.Group)
	if code == CoordinatorLoadInProgress {
		// The generation is lost. Clients that do not know this code know how to
		// join again.
		code = RebalanceInProgress
	}
	if code != None {
		return refuse(code)
	}
	m, code := g.identify(r.MemberID, r.Instance, r.Generation)
	if code != None {
		return refuse(code)
	}
	if r.ProtocolType != "" && r.ProtocolType != g.protocolType || r.Protocol != "" && g.protocol != "" && r.Protocol != g.protocol {
		return refuse(InconsistentGroupProtocol)
	}
	c.touch(m, now)
	switch g.state {
	case PreparingRebalance:
		return refuse(RebalanceInProgress)
	case Stable:
		c.hasSynced(m)
		return answered(c, g.assignmentOf(m))
	}
	assigns := g.leader == m.id && !g.assigning
	switch {
	case !assigns:
	case g.recordBytes+r.bytes()+groupRecordBytes > c.settings.MaxRecordBytes:
		return refuse(UnknownServerError) // as Kafka does; the next attempt would be no better
	case !c.room(r.bytes()):
		return refuse(CoordinatorNotAvailable)
	}
	c.hasSynced(m)
	p := c.parkSync(m, now)
	if assigns {
		c.persistAssignment(g, r.Assignments, now)
	}
	return p
}

// identify returns a member of the generation. g may be nil.
func (g *group) identify(memberID, instance string, generation int32) (*member, Code) {
	switch {
	case g == nil:
		return nil, UnknownMemberID
	case g.state == Dead:
		return nil, CoordinatorNotAvailable
	}
	if code := g.check(memberID, instance); code != None {
		return nil, code
	}
	if generation != g.generation {
		return nil, IllegalGeneration
	}
	return g.members[memberID], None
}

// hasSynced notes that a member has sent SyncGroup: the sync phase waits for the
// others.
func (c *Coordinator) hasSynced(m *member) {
	g := m.group
	g.setUnsynced(m, false)
	if g.unsynced == 0 {
		c.timers.stop(&g.timer)
	}
}

// persistAssignment writes the generation with the leader's assignment, and then
// answers all who wait for theirs. The first one that a leader sends counts.
func (c *Coordinator) persistAssignment(g *group, assignments []Assignment, now time.Time) {
	parts := make(map[string][]byte, len(assignments))
	for _, a := range assignments {
		parts[a.MemberID] = a.Data
	}
	g.assigning = true
	generation := g.generation
	settled := func(err error, now time.Time) {
		if g.state != CompletingRebalance || g.generation != generation {
			return // a rebalance came in between
		}
		if err != nil {
			c.answerSyncs(g, func(*member) SyncAnswer { return SyncAnswer{Code: CoordinatorNotAvailable} }, now)
			c.rebalance(g, now)
			return
		}
		g.assigning = false
		c.enter(g, Stable, now)
		for _, m := range g.order {
			c.assign(m, parts[m.id])
		}
		c.answerSyncs(g, g.assignmentOf, now)
	}
	c.writeGroup(g, g.value(func(m *member) []byte { return parts[m.id] }), settled)
	if mutant.Is(mutant.AssignmentBeforeSync) {
		settled(nil, now)
	}
}

// answerSyncs answers all who wait for their assignment. The session of who does
// not goes on as it was.
func (c *Coordinator) answerSyncs(g *group, answer func(m *member) SyncAnswer, now time.Time) {
	for _, m := range g.order {
		if m.synced != nil {
			g.answerSync(m, answer(m))
			c.touch(m, now)
		}
	}
}

func (g *group) assignmentOf(m *member) SyncAnswer {
	return SyncAnswer{ProtocolType: g.protocolType, Protocol: g.protocol, Assignment: m.assignment}
}
