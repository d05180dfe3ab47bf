package coord

import (
	"maps"
	"slices"
	"time"

	"github.com/rollway/rollway/internal/invariant"
)

// State is what a group is doing, by Kafka's names.
type State uint8

// The states of a group.
const (
	// Empty has no members; it may have offsets.
	Empty State = iota
	// PreparingRebalance waits for its members to join again.
	PreparingRebalance
	// CompletingRebalance has a new generation and waits for its leader's
	// assignment.
	CompletingRebalance
	// Stable has an assignment.
	Stable
	// Dead is being deleted, or is not there.
	Dead
)

// String returns the name that Kafka has for the state.
func (s State) String() string {
	return [...]string{"Empty", "PreparingRebalance", "CompletingRebalance", "Stable", "Dead"}[s]
}

// consumerProtocol is the protocol type of consumers, whose metadata lists the
// topics that they are subscribed to.
const consumerProtocol = "consumer"

// group is a group of the classic protocol, or one that only has offsets.
type group struct {
	partition *partition
	id        string

	state State
	since int64 // when state became Empty, or what it was before; wall clock, ms; -1: not known
	// timer ends the join phase in PreparingRebalance, and the sync phase in
	// CompletingRebalance and Stable. Invariant: it runs in PreparingRebalance and
	// CompletingRebalance.
	timer timer
	// initial tells that PreparingRebalance began with an Empty group: then it
	// lasts for the initial delay, and for another one after each in which a
	// member came, until extendable is used up.
	initial    bool
	came       bool
	delay      time.Duration
	extendable time.Duration

	protocolType string // "": only offsets so far
	protocol     string // chosen for the generation; "" while there is none
	leader       string // member id; "" while there is none
	generation   int32
	assigning    bool // CompletingRebalance: the leader's assignment is being written

	members   map[string]*member
	order     []*member          // as they came
	static    map[string]*member // by instance id
	pending   map[string]*pendingMember
	supported map[string]int // how many members offer a protocol
	awaiting  int            // members with a parked join
	unsynced  int            // members that were given the generation and have not sent SyncGroup
	// recordBytes is what the members take of the group's record, at most, without
	// their assignments.
	recordBytes int

	offsets map[string]map[int32]*offset
	// commits counts offsets and deletions of them that are not settled.
	commits int
	// written tells that a record of the group may be in the log.
	written bool
}

// groupBytes, memberBytes, protocolOverhead, pendingBytes, topicBytes and
// offsetBytes are what a group, a member, a protocol of one, a member id that was
// given out, a topic of which offsets are committed and an offset take beside
// their strings, about; measured by TestMemory and TestMadeUpGroups.
const (
	groupBytes       = 1 << 10
	memberBytes      = 1 << 10
	protocolOverhead = 128
	pendingBytes     = 256
	topicBytes       = 192
	offsetBytes      = 256
)

// create makes a group that is not there.
func (c *Coordinator) create(p *partition, id string) *group {
	g := &group{partition: p, id: id, since: -1}
	g.timer.owner = g
	p.groups[id] = g
	c.stats.Groups++
	c.bytes += int64(groupBytes + len(id))
	return g
}

// drop forgets a group without members.
func (c *Coordinator) drop(g *group) {
	invariant.Check(len(g.members) == 0, "drop group %s: %d members", g.id, len(g.members))
	for _, id := range slices.Sorted(maps.Keys(g.pending)) {
		c.removePending(g, id)
	}
	for topic, partitions := range g.offsets {
		for partition := range partitions {
			c.removeOffset(g, topic, partition)
		}
	}
	c.timers.stop(&g.timer)
	delete(g.partition.groups, g.id)
	c.stats.Groups--
	c.bytes -= int64(groupBytes + len(g.id))
}

// dropUnused forgets a group of which nothing is left, here or in the log.
func (c *Coordinator) dropUnused(g *group) {
	if g.state == Empty && !g.written && len(g.pending) == 0 && len(g.offsets) == 0 && g.commits == 0 {
		c.drop(g)
	}
}

// sorted returns the groups in the order of their names.
func (p *partition) sorted() []*group {
	groups := make([]*group, 0, len(p.groups))
	for _, id := range slices.Sorted(maps.Keys(p.groups)) {
		groups = append(groups, p.groups[id])
	}
	return groups
}

// rebalanceTimeout is the longest of those of the members.
func (g *group) rebalanceTimeout() time.Duration {
	var longest time.Duration
	for _, m := range g.order {
		longest = max(longest, m.rebalanceTimeout)
	}
	return longest
}

// supports tells whether a member with the protocols may be in the group: one of
// them is offered by all others.
func (g *group) supports(protocolType string, protocols []Protocol) bool {
	if protocolType == "" || len(protocols) == 0 {
		return false
	}
	if len(g.members) == 0 {
		return true
	}
	return protocolType == g.protocolType && slices.ContainsFunc(protocols, func(p Protocol) bool {
		return g.supported[p.Name] == len(g.members)
	})
}

// selectProtocol returns the protocol that most members like best among those
// that all of them offer; of several the one that the first member likes best.
// There must be members.
func (g *group) selectProtocol() string {
	votes := map[string]int{}
	for _, m := range g.order {
		for _, p := range m.protocols {
			if g.supported[p.Name] == len(g.members) {
				votes[p.Name]++
				break
			}
		}
	}
	best := ""
	for _, p := range g.order[0].protocols {
		if votes[p.Name] > votes[best] {
			best = p.Name
		}
	}
	invariant.Check(best != "", "group %s: no protocol is offered by all %d members", g.id, len(g.members))
	return best
}

// value returns the group as it is written, with the assignment of each member
// as assignment has it.
func (g *group) value(assignment func(m *member) []byte) *groupValue {
	v := &groupValue{
		protocolType: g.protocolType, generation: g.generation, protocol: g.protocol, leader: g.leader,
		stateSinceMs: g.since,
		members:      make([]memberValue, 0, len(g.order)),
	}
	for _, m := range g.order {
		v.members = append(v.members, memberValue{
			id: m.id, instance: m.instance, clientID: m.clientID, clientHost: m.clientHost,
			rebalanceTimeoutMs: int32(m.rebalanceTimeout.Milliseconds()),
			sessionTimeout:     int32(m.sessionTimeout.Milliseconds()),
			subscription:       m.metadata(g.protocol),
			assignment:         assignment(m),
		})
	}
	return v
}

// check returns None if a request of the member may be carried out; instance is
// "" for one that is not static.
func (g *group) check(memberID, instance string) Code {
	if instance != "" {
		switch m := g.static[instance]; {
		case m == nil:
			return UnknownMemberID
		case m.id != memberID:
			return FencedInstanceID
		}
	}
	if g.members[memberID] == nil {
		return UnknownMemberID
	}
	return None
}

// subscribed tells whether a member is subscribed to a topic, as far as is known:
// where metadata cannot be read the answer is yes.
func (g *group) subscribed(topic string) bool {
	if g.protocolType != consumerProtocol || len(g.members) == 0 {
		return false
	}
	return slices.ContainsFunc(g.order, func(m *member) bool {
		found, err := subscriptionHas(m.metadata(g.protocol), topic)
		return found || err != nil
	})
}

// subscriptionHas looks for a topic in the metadata of a consumer
// (ConsumerProtocolSubscription.json): int16 version, then an array of topics.
func subscriptionHas(metadata []byte, topic string) (bool, error) {
	d := recordDecoder{rest: metadata}
	d.uint16()
	for n := d.length(true); n > 0 && d.err == nil; n-- {
		if string(d.take(max(0, d.length(false)))) == topic && d.err == nil {
			return true, nil
		}
	}
	return false, d.err
}
