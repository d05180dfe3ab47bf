package coord

import (
	"math"
	"slices"
	"time"

	"github.com/rollway/rollway/internal/mutant"
)

// leastRetry is how long a join phase in which nobody joined is waited for again,
// at least: a member may ask for a rebalance timeout of 0.
const leastRetry = time.Second

// enter changes the state of a group.
func (c *Coordinator) enter(g *group, s State, now time.Time) {
	g.state, g.since = s, now.UnixMilli()
}

// rebalanceOrComplete has a group rebalance, since a member came or changed; one
// that does already may be complete now.
func (c *Coordinator) rebalanceOrComplete(g *group, now time.Time) {
	if g.state == PreparingRebalance {
		c.completeIfJoined(g, now)
		return
	}
	c.rebalance(g, now)
}

// membersLeft does what there is to do when members are gone.
func (c *Coordinator) membersLeft(g *group, now time.Time) {
	if g.state == Stable || g.state == CompletingRebalance {
		c.rebalance(g, now)
		return
	}
	c.pendingLeft(g, now)
}

// pendingLeft does what there is to do when ids are gone that were given out.
func (c *Coordinator) pendingLeft(g *group, now time.Time) {
	switch g.state {
	case PreparingRebalance:
		c.completeIfJoined(g, now)
	case Empty:
		c.dropUnused(g)
	}
}

// rebalance begins a join phase: members are told to join again, with the next
// heartbeat, or at once if they wait for an assignment.
func (c *Coordinator) rebalance(g *group, now time.Time) {
	c.stats.Rebalances++
	for _, m := range g.order {
		if g.state == CompletingRebalance {
			c.assign(m, nil)
		}
		g.setUnsynced(m, false)
	}
	c.answerSyncs(g, func(*member) SyncAnswer { return SyncAnswer{Code: RebalanceInProgress} }, now)
	g.assigning = false
	g.initial, g.came = g.state == Empty, false
	c.enter(g, PreparingRebalance, now)
	if !g.initial {
		c.timers.set(&g.timer, now.Add(g.rebalanceTimeout()))
		c.completeIfJoined(g, now)
		return
	}
	g.delay = c.settings.InitialRebalanceDelay
	g.extendable = max(0, g.rebalanceTimeout()-g.delay)
	if g.delay == 0 {
		c.completeJoin(g, now)
		return
	}
	c.timers.set(&g.timer, now.Add(g.delay))
}

// expire ends the join or the sync phase of a group.
func (g *group) expire(c *Coordinator, now time.Time) {
	if g.state != PreparingRebalance {
		for _, m := range slices.Clone(g.order) {
			if m.unsynced {
				c.remove(m)
			}
		}
		c.rebalance(g, now)
		return
	}
	if g.initial && g.came && g.extendable > 0 {
		g.came = false
		delay := min(c.settings.InitialRebalanceDelay, g.extendable)
		g.extendable = max(0, g.extendable-g.delay)
		g.delay = delay
		c.timers.set(&g.timer, now.Add(delay))
		return
	}
	c.completeJoin(g, now)
}

// completeIfJoined ends a join phase that waits for nobody any more. The first of
// a group waits for members that nobody knows of yet.
func (c *Coordinator) completeIfJoined(g *group, now time.Time) {
	if g.awaiting == len(g.members) && len(g.pending) == 0 && (!g.initial || len(g.members) == 0) {
		c.completeJoin(g, now)
	}
}

// completeJoin ends a join phase. Members that have not joined are gone, but for
// static ones, whose session decides.
func (c *Coordinator) completeJoin(g *group, now time.Time) {
	for _, m := range slices.Clone(g.order) {
		if m.joined == nil && m.instance == "" {
			c.remove(m)
		}
	}
	if len(g.members) == 0 {
		c.becomeEmpty(g, now)
		return
	}
	if m := g.members[g.leader]; m == nil || m.joined == nil {
		i := slices.IndexFunc(g.order, func(m *member) bool { return m.joined != nil })
		if i < 0 && mutant.Is(mutant.JoinPhaseNotTimed) {
			return
		}
		if i < 0 {
			c.timers.set(&g.timer, now.Add(max(leastRetry, g.rebalanceTimeout())))
			return
		}
		g.leader = g.order[i].id
	}
	g.nextGeneration()
	g.protocol = g.selectProtocol()
	c.enter(g, CompletingRebalance, now)
	for _, m := range g.order {
		if m.joined == nil {
			continue // static, and away
		}
		m.nameless = false
		g.setUnsynced(m, true)
		g.answerJoin(m, g.generationFor(m))
		c.touch(m, now)
	}
	c.timers.set(&g.timer, now.Add(max(leastRetry, g.rebalanceTimeout())))
}

// nextGeneration counts on; negative generations mean that there is none.
func (g *group) nextGeneration() {
	if g.generation == math.MaxInt32 {
		g.generation = 0
	}
	g.generation++
	g.initial = false
}

// becomeEmpty ends a generation without a successor. Whether it is written is
// not waited for: if a crash comes first, the members of the last generation are
// there again, and their sessions end.
func (c *Coordinator) becomeEmpty(g *group, now time.Time) {
	c.timers.stop(&g.timer)
	g.nextGeneration()
	g.protocol, g.leader = "", ""
	c.enter(g, Empty, now)
	if !g.written && len(g.offsets) == 0 && g.commits == 0 {
		c.dropUnused(g)
		return
	}
	c.writeGroup(g, g.value(nil), nil)
}

// writeGroup writes what a group is. settled may be nil.
func (c *Coordinator) writeGroup(g *group, v *groupValue, settled func(err error, now time.Time)) {
	g.written = true
	c.append(g.partition, []Record{groupRecord(g.id, v)}, write{settled: settled})
}
