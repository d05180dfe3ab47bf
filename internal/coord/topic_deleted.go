package coord

import (
	"slices"

	"github.com/rollway/rollway/internal/mutant"
)

// TopicDeleted removes what groups have committed for a topic that is gone, as
// Options.TopicGone has it from now on at the latest. It is hidden at once, and
// that it is removed is not waited for: where it cannot be written, or a crash
// comes first, it is tried again by the retention or the next start. The groups
// stay. A topic that has the name by now keeps what was committed for it.
func (c *Coordinator) TopicDeleted(topic string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.partitions {
		p := &c.partitions[i]
		if p.state != serving {
			continue // Loaded looks
		}
		var with []string
		for id, g := range p.groups {
			if g.offsets[topic] != nil {
				with = append(with, id)
			}
		}
		slices.Sort(with)
		for _, id := range with {
			c.removeGone(p.groups[id])
		}
	}
}

// removeGone removes what a group has committed for topics that are gone. What is
// being written to the same partition of a topic is waited for: it may be for one
// that has the name by now, and when it is settled is the time to look.
func (c *Coordinator) removeGone(g *group) {
	gone := func(topic string, o *offset) bool {
		if mutant.Is(mutant.GoneWithoutLook) && o.value != nil {
			return c.topicGone(topic, o.value.topicID)
		}
		return o.commits == 0 && c.topicGone(topic, o.value.topicID)
	}
	if g.state == Dead || !g.hasOffset(gone) {
		return
	}
	changes := g.deletions(gone)
	c.stats.OffsetsGone += int64(len(changes))
	c.writeOffsets(g, changes, changesOf(g, changes), nil)
}

// hasOffset tells whether one of the offsets is such.
func (g *group) hasOffset(such func(topic string, o *offset) bool) bool {
	for topic, offsets := range g.offsets {
		for _, o := range offsets {
			if such(topic, o) {
				return true
			}
		}
	}
	return false
}

// hasGone tells whether changes that were written are for a topic that is gone.
// Those that delete are not.
func (c *Coordinator) hasGone(changes []offsetChange) bool {
	for i := range changes {
		if v := changes[i].value; v != nil && c.topicGone(changes[i].topic, v.topicID) {
			return true
		}
	}
	return false
}
