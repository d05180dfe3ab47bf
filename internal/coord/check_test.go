package coord

import "fmt"

// check returns the first thing that is wrong with the state of the coordinator:
// what its types promise, and that nothing is waited for without an end.
func (c *Coordinator) check() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.checkTimers(); err != nil {
		return err
	}
	var groups, members, pending, offsets int
	var bytes int64
	for i := range c.partitions {
		p := &c.partitions[i]
		for _, g := range p.sorted() {
			if err := g.checkGroup(p); err != nil {
				return fmt.Errorf("group %s in %s: %w", g.id, g.state, err)
			}
			groups++
			members += len(g.members)
			pending += len(g.pending)
			bytes += int64(groupBytes + len(g.id))
			for _, m := range g.order {
				bytes += int64(m.bytes())
			}
			for id := range g.pending {
				bytes += int64(pendingBytes + 2*len(id))
			}
			for topic, partitions := range g.offsets {
				bytes += int64(topicBytes + len(topic))
				for _, o := range partitions {
					bytes += int64(o.bytes())
					offsets += present(o.value)
				}
			}
		}
	}
	s := c.stats
	if s.Groups != groups || s.Members != members || s.PendingMembers != pending || s.Offsets != offsets || c.bytes != bytes {
		return fmt.Errorf("counted %d groups, %d members, %d pending, %d offsets, %d bytes; there are %d, %d, %d, %d, %d",
			s.Groups, s.Members, s.PendingMembers, s.Offsets, c.bytes, groups, members, pending, offsets, bytes)
	}
	return nil
}

func (c *Coordinator) checkTimers() error {
	for i, t := range c.timers.heap {
		switch {
		case t.index != i+1:
			return fmt.Errorf("timer %d has index %d", i, t.index)
		case t.at.IsZero() || t.at.Before(t.looked):
			return fmt.Errorf("timer %d is due at %v and looked at %v", i, t.at, t.looked)
		case i > 0 && c.timers.heap.Less(i, (i-1)/2):
			return fmt.Errorf("timer %d is before its parent", i)
		}
	}
	if next := c.timers.next(); !next.IsZero() && (c.told.IsZero() || next.Before(c.told)) {
		return fmt.Errorf("a timer is due at %v, whoever ticks knows of %v", next, c.told)
	}
	return nil
}

func (g *group) checkGroup(p *partition) error {
	if p.groups[g.id] != g || g.partition != p {
		return fmt.Errorf("is in partition %d as another", p.index)
	}
	awaiting, unsynced, static, recordBytes := 0, 0, 0, 0
	supported := map[string]int{}
	for _, m := range g.order {
		if g.members[m.id] != m || m.group != g {
			return fmt.Errorf("member %s is not found by its id", m.id)
		}
		if m.instance != "" {
			static++
			if g.static[m.instance] != m {
				return fmt.Errorf("member %s is not found by its instance id", m.id)
			}
		}
		if m.joined != nil {
			awaiting++
			if m.joined.done {
				return fmt.Errorf("member %s waits for a join that is answered", m.id)
			}
		}
		if m.synced != nil && (m.synced.done || g.state != CompletingRebalance) {
			return fmt.Errorf("member %s waits for an assignment", m.id)
		}
		if m.unsynced {
			unsynced++
		}
		for _, p := range m.protocols {
			supported[p.Name]++
		}
		recordBytes += m.recordBytes()
		if running := m.timer.index > 0; running == m.parked() {
			return fmt.Errorf("member %s: its session runs: %v, it waits for an answer: %v", m.id, running, m.parked())
		}
	}
	if len(g.members) != len(g.order) || len(g.static) != static || g.awaiting != awaiting || g.unsynced != unsynced {
		return fmt.Errorf("counted %d members, %d static, %d awaiting, %d unsynced; there are %d, %d, %d, %d",
			len(g.members), len(g.static), g.awaiting, g.unsynced, len(g.order), static, awaiting, unsynced)
	}
	if g.recordBytes != recordBytes {
		return fmt.Errorf("counted %d bytes of its record, there are %d", g.recordBytes, recordBytes)
	}
	if len(supported) != len(g.supported) {
		return fmt.Errorf("protocols %v, want %v", g.supported, supported)
	}
	for name, n := range supported {
		if g.supported[name] != n {
			return fmt.Errorf("protocols %v, want %v", g.supported, supported)
		}
	}
	for id, p := range g.pending {
		if p.id != id || p.group != g || p.timer.index == 0 || g.members[id] != nil {
			return fmt.Errorf("pending member %s is there for ever, or is a member", id)
		}
	}
	return g.checkState()
}

func (g *group) checkState() error {
	timed := g.timer.index > 0
	switch g.state {
	case Empty, Dead:
		if len(g.members) > 0 || timed || g.protocol != "" || g.leader != "" {
			return fmt.Errorf("has %d members, protocol %q, leader %q, timer %v", len(g.members), g.protocol, g.leader, timed)
		}
		return nil
	case PreparingRebalance:
		if !timed {
			return fmt.Errorf("nothing ends the join phase")
		}
		if g.awaiting == len(g.members) && len(g.pending) == 0 && !g.initial {
			return fmt.Errorf("all %d members have joined, and wait", g.awaiting)
		}
		return nil
	case CompletingRebalance:
		if !timed && !g.assigning {
			return fmt.Errorf("nothing ends the sync phase")
		}
		if g.awaiting > 0 {
			return fmt.Errorf("%d members wait for the join phase", g.awaiting)
		}
	case Stable:
		if timed != (g.unsynced > 0) {
			return fmt.Errorf("%d members have not synced, the timer runs: %v", g.unsynced, timed)
		}
	}
	if g.members[g.leader] == nil || g.protocol == "" || g.generation < 1 {
		return fmt.Errorf("leader %q, protocol %q, generation %d", g.leader, g.protocol, g.generation)
	}
	return nil
}
