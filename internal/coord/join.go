package coord

import (
	"slices"
	"time"
)

// JoinRequest asks to be a member of a group's next generation. It and all that
// it refers to are the coordinator's from then on.
type JoinRequest struct {
	Group    string
	MemberID string // "": none yet
	Instance string // "": not a static member (KIP-345)

	ClientID, ClientHost string

	SessionTimeout   time.Duration
	RebalanceTimeout time.Duration // negative, as in JoinGroup 0: SessionTimeout

	ProtocolType string
	Protocols    []Protocol // best first

	// RequireMemberID has a member without an id get one first and join with it
	// (KIP-394): since JoinGroup 4.
	RequireMemberID bool
	// SkipAssignment tells that the client knows of JoinAnswer.SkipAssignment:
	// since JoinGroup 9.
	SkipAssignment bool
}

// JoinAnswer is the generation that a member is in.
type JoinAnswer struct {
	Code     Code
	MemberID string // also with MemberIDRequired

	Generation             int32 // -1 with any Code but None
	ProtocolType, Protocol string
	Leader                 string // member id
	// SkipAssignment tells the leader that the assignment of the generation stays
	// as it is: it must not send another.
	SkipAssignment bool
	Members        []JoinMember // for the leader: all of them
}

// JoinMember is what the leader is told of a member.
type JoinMember struct {
	ID, Instance string
	Metadata     []byte // of the chosen protocol
}

// protocols returns the request's without those that stand twice.
func (r *JoinRequest) protocols() []Protocol {
	seen := make(map[string]bool, len(r.Protocols))
	return slices.DeleteFunc(r.Protocols, func(p Protocol) bool {
		again := seen[p.Name]
		seen[p.Name] = true
		return again
	})
}

func (r *JoinRequest) rebalanceTimeout() time.Duration {
	if r.RebalanceTimeout < 0 {
		return r.SessionTimeout
	}
	return r.RebalanceTimeout
}

// bytes is what the request will take of a member, about.
func (r *JoinRequest) bytes() int {
	return groupBytes + memberBytes + len(r.Group) + 4*(len(r.ClientID)+len(r.Instance)+64) + len(r.ClientHost) + protocolBytes(r.Protocols)
}

// recordable tells whether a record has room for the strings of the request, and
// each protocol has a name.
func (r *JoinRequest) recordable() bool {
	const most = maxString - 64 // a member id has a UUID behind one of them
	return max(len(r.Instance), len(r.ProtocolType), len(r.ClientID)) <= most &&
		!slices.ContainsFunc(r.Protocols, func(p Protocol) bool { return p.Name == "" || len(p.Name) > maxString })
}

// refuseJoin is the answer to a join that is not carried out.
func refuseJoin(code Code, memberID string) JoinAnswer {
	return JoinAnswer{Code: code, MemberID: memberID, Generation: -1}
}

// Join carries out JoinGroup. The answer comes when all members have joined, or
// after the rebalance timeout of the group; a member that waits for it is never
// taken for dead.
func (c *Coordinator) Join(r *JoinRequest, now time.Time) *Pending[JoinAnswer] {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.rouse()
	c.stats.Joins++
	refuse := func(code Code) *Pending[JoinAnswer] { return answered(c, refuseJoin(code, r.MemberID)) }
	if r.Group == "" {
		return refuse(InvalidGroupID)
	}
	p, code := c.partitionOf(r.Group)
	switch {
	case code != None:
		return refuse(code)
	case r.SessionTimeout < c.settings.MinSessionTimeout || r.SessionTimeout > c.settings.MaxSessionTimeout:
		return refuse(InvalidSessionTimeout)
	case !r.recordable():
		return refuse(InvalidRequest)
	case !c.room(r.bytes()):
		return refuse(CoordinatorNotAvailable)
	}
	g := p.groups[r.Group]
	switch {
	case g == nil && r.MemberID != "":
		return refuse(UnknownMemberID)
	case g == nil && (r.ProtocolType == "" || len(r.Protocols) == 0):
		return refuse(InconsistentGroupProtocol)
	case !c.recordFits(g, r):
		return refuse(GroupMaxSizeReached)
	case g == nil:
		g = c.create(p, r.Group)
	case g.state == Dead:
		return refuse(CoordinatorNotAvailable)
	}
	if !g.accepts(r.MemberID, c.settings.MaxGroupSize) {
		c.turnAway(g, r.MemberID, now)
		return answered(c, refuseJoin(GroupMaxSizeReached, ""))
	}
	if !g.supports(r.ProtocolType, r.Protocols) {
		return refuse(InconsistentGroupProtocol)
	}
	if r.MemberID != "" {
		return c.joinAgain(g, r, now)
	}
	return c.joinNew(g, r, now)
}

// recordFits tells whether the group's record has room for what the member says of
// itself. g may be nil.
func (c *Coordinator) recordFits(g *group, r *JoinRequest) bool {
	n := memberRecordBytes(r.Protocols, r.MemberID, r.Instance, r.ClientID, r.ClientHost)
	if g != nil {
		n += g.recordBytes
		if m := g.members[r.MemberID]; m != nil {
			n -= m.recordBytes()
		} else if m := g.static[r.Instance]; m != nil {
			n -= m.recordBytes()
		}
	}
	return n <= c.settings.MaxRecordBytes/2
}

// accepts tells whether there is room for the member. While a group rebalances
// those count that have joined already, so that a group that is too large, since
// the bound was lowered, loses the last to come.
func (g *group) accepts(memberID string, most int) bool {
	m := g.members[memberID]
	switch g.state {
	case PreparingRebalance:
		return m != nil && m.joined != nil || g.awaiting < most
	case CompletingRebalance, Stable:
		return m != nil || len(g.members) < most
	}
	return true
}

// turnAway forgets a member for which there is no room.
func (c *Coordinator) turnAway(g *group, memberID string, now time.Time) {
	if g.pending[memberID] != nil {
		c.removePending(g, memberID)
		c.pendingLeft(g, now)
	}
	if m := g.members[memberID]; m != nil {
		c.remove(m)
		c.membersLeft(g, now)
	}
}

// joinNew joins who has no member id.
func (c *Coordinator) joinNew(g *group, r *JoinRequest, now time.Time) *Pending[JoinAnswer] {
	if m := g.static[r.Instance]; m != nil && r.Instance != "" {
		return c.joinReplacing(m, r, now)
	}
	if r.Instance == "" && r.RequireMemberID {
		id := c.newMemberID(r.ClientID)
		c.addPending(g, id, r.SessionTimeout, now)
		return answered(c, refuseJoin(MemberIDRequired, id))
	}
	name := r.ClientID
	if r.Instance != "" {
		name = r.Instance
	}
	return c.joinAs(g, r, c.newMemberID(name), now)
}

// joinAs joins as a new member with an id.
func (c *Coordinator) joinAs(g *group, r *JoinRequest, id string, now time.Time) *Pending[JoinAnswer] {
	m := &member{
		group: g, id: id, instance: r.Instance, clientID: r.ClientID, clientHost: r.ClientHost,
		sessionTimeout: r.SessionTimeout, rebalanceTimeout: r.rebalanceTimeout(), protocols: r.protocols(),
		nameless: r.MemberID == "" && r.Instance == "",
	}
	c.add(m, r.ProtocolType)
	g.came = true
	p := c.parkJoin(m, now)
	c.rebalanceOrComplete(g, now)
	return p
}

// joinAgain joins who has a member id.
func (c *Coordinator) joinAgain(g *group, r *JoinRequest, now time.Time) *Pending[JoinAnswer] {
	if g.pending[r.MemberID] != nil && r.Instance == "" {
		c.removePending(g, r.MemberID)
		return c.joinAs(g, r, r.MemberID, now)
	}
	if code := g.check(r.MemberID, r.Instance); code != None {
		return answered(c, refuseJoin(code, r.MemberID))
	}
	m := g.members[r.MemberID]
	// Who has missed the answer to a join of this generation gets it again. A
	// leader that joins a stable group wants another assignment, because the
	// partitions have changed.
	if (g.state == CompletingRebalance || g.state == Stable && g.leader != m.id) && m.offers(r.Protocols) {
		c.touch(m, now)
		return answered(c, g.generationFor(m))
	}
	c.update(m, r)
	p := c.parkJoin(m, now)
	c.rebalanceOrComplete(g, now)
	return p
}

// joinReplacing joins who has an instance id, but not the member id that goes
// with it: a static member that was started anew. It gets a new id and the place
// of the old one, which is fenced from now on.
func (c *Coordinator) joinReplacing(m *member, r *JoinRequest, now time.Time) *Pending[JoinAnswer] {
	g := m.group
	leader := g.leader
	c.replace(m, c.newMemberID(r.Instance), r)
	p := c.parkJoin(m, now)
	switch {
	case g.state == Stable && g.selectProtocol() == g.protocol:
		// The sync phase may still wait for the old one, and would take the new one,
		// which waits for this answer, for who has missed it.
		c.hasSynced(m)
		c.persistReplaced(m, p, leader, r.SkipAssignment, now)
	case g.state == PreparingRebalance:
		c.completeIfJoined(g, now)
	default:
		// In CompletingRebalance the leader may have been told the old id, and
		// would assign nothing to the new one.
		c.rebalance(g, now)
	}
	return p
}

// persistReplaced writes the new id of a static member of a stable group, whose
// assignment stays, and then answers. leader is who was the leader, by its old id.
//
// A leader whose client does not know SkipAssignment is told that its old id is
// the leader: so it does not take itself for it, and gets the assignment that
// there is.
func (c *Coordinator) persistReplaced(m *member, p *Pending[JoinAnswer], leader string, skips bool, now time.Time) {
	g := m.group
	generation, id := g.generation, m.id
	c.writeGroup(g, g.value(func(m *member) []byte { return m.assignment }), func(err error, now time.Time) {
		if m.joined != p {
			return // answered, given up or gone
		}
		if err != nil {
			g.answerJoin(m, refuseJoin(CoordinatorNotAvailable, ""))
			c.touch(m, now)
			return
		}
		if g.state != Stable || g.generation != generation || m.id != id {
			return // it has joined the rebalance that came in between
		}
		answer := g.generationFor(m)
		if g.leader == m.id && !skips {
			answer.Leader, answer.Members = leader, nil
		}
		answer.SkipAssignment = g.leader == m.id && skips
		g.answerJoin(m, answer)
		c.touch(m, now)
	})
}

// generationFor is what a member is told of the generation.
func (g *group) generationFor(m *member) JoinAnswer {
	a := JoinAnswer{
		MemberID: m.id, Generation: g.generation,
		ProtocolType: g.protocolType, Protocol: g.protocol, Leader: g.leader,
	}
	if g.leader == m.id {
		a.Members = make([]JoinMember, 0, len(g.order))
		for _, m := range g.order {
			a.Members = append(a.Members, JoinMember{ID: m.id, Instance: m.instance, Metadata: m.metadata(g.protocol)})
		}
	}
	return a
}
