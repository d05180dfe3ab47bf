package coord

import (
	"time"

	"github.com/rollway/rollway/internal/mutant"
)

// Replay takes in one record of a partition that is being loaded, in the order of
// the log. value is nil for one that deletes. Neither is kept. Records of kinds
// that a later Kafka knows are passed over.
//
// Errors: ErrBadRecord; then the record has changed nothing, and the next may
// follow.
func (c *Coordinator) Replay(partition int32, key, value []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := &c.partitions[partition]
	if p.state != loading {
		return nil
	}
	offset, group, known, err := parseKey(key)
	switch {
	case err != nil || !known:
		return err
	case offset != nil && value == nil:
		if mutant.Is(mutant.TombstoneNotReplayed) {
			break
		}
		if g := p.groups[offset.group]; g != nil && g.offsets[offset.topic][offset.partition] != nil {
			c.removeOffset(g, offset.topic, offset.partition)
		}
	case offset != nil:
		v, err := parseOffsetValue(value)
		if err != nil {
			return err
		}
		c.setOffset(c.offsetOf(c.replayed(p, offset.group), offset.topic, offset.partition), v)
	case value == nil:
		if g := p.groups[group]; g != nil {
			c.replayGroup(g, &groupValue{stateSinceMs: -1})
			g.written = false
		}
	default:
		v, err := parseGroupValue(value)
		if err != nil {
			return err
		}
		if len(v.members) > 0 && (v.protocol == "" || v.protocolType == "") {
			return badRecord("group %q: %d members without a protocol", group, len(v.members))
		}
		c.replayGroup(c.replayed(p, group), v)
	}
	return nil
}

// replayed returns a group that is being loaded.
func (c *Coordinator) replayed(p *partition, id string) *group {
	if g := p.groups[id]; g != nil {
		return g
	}
	return c.create(p, id)
}

// replayGroup sets what a record says of a group.
func (c *Coordinator) replayGroup(g *group, v *groupValue) {
	for len(g.order) > 0 {
		c.remove(g.order[len(g.order)-1])
	}
	g.written = true
	g.since = v.stateSinceMs
	for i := range v.members {
		r := &v.members[i]
		if g.members[r.id] != nil || g.static[r.instance] != nil && r.instance != "" {
			continue // twice: Kafka keeps the last, nobody writes it
		}
		m := &member{
			group: g, id: r.id, instance: r.instance, clientID: r.clientID, clientHost: r.clientHost,
			sessionTimeout:   max(1, time.Duration(r.sessionTimeout)) * time.Millisecond,
			rebalanceTimeout: max(0, time.Duration(r.rebalanceTimeoutMs)) * time.Millisecond,
			protocols:        []Protocol{{v.protocol, append([]byte(nil), r.subscription...)}},
			assignment:       append([]byte(nil), r.assignment...),
		}
		c.add(m, v.protocolType)
	}
	g.protocolType, g.generation = v.protocolType, max(0, v.generation)
	g.protocol, g.leader, g.state = "", "", Empty
	if len(g.members) == 0 {
		return
	}
	g.protocol, g.leader, g.state = v.protocol, v.leader, Stable
	if g.members[g.leader] == nil {
		g.leader = g.order[0].id
	}
}

// Unloadable tells that the records of a partition cannot be read. Its groups stay
// as they are answered while it is loaded: to go on with what is not known would
// have consumers begin anew. Without it nobody could list the others.
func (c *Coordinator) Unloadable(partition int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := &c.partitions[partition]; p.state == loading {
		p.state = unloadable
	}
}

// PartitionOf returns the partition that the records of a group are in.
func (c *Coordinator) PartitionOf(group string) int32 {
	return PartitionOf(group, c.settings.Partitions)
}

// Missing returns the partitions that are Unloadable, in their order.
func (c *Coordinator) Missing() (partitions []int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.partitions {
		if c.partitions[i].state == unloadable {
			partitions = append(partitions, int32(i))
		}
	}
	return partitions
}

// Loaded tells that all records of a partition are replayed: its groups are
// served from now on, and the sessions of their members begin. What was committed
// for topics that are gone is removed: a crash may have come between the deletion
// of the topic and that.
func (c *Coordinator) Loaded(partition int32, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.rouse()
	p := &c.partitions[partition]
	if p.state != loading {
		return
	}
	p.state = serving
	for _, g := range p.sorted() {
		for _, m := range g.order {
			c.touch(m, now)
		}
		c.removeGone(g)
		switch {
		case len(g.members) > c.settings.MaxGroupSize:
			c.rebalance(g, now)
		case len(g.members) == 0:
			c.dropUnused(g)
		}
	}
}
