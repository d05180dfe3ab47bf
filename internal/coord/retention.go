package coord

import "time"

// retention deletes offsets that are kept no longer (KIP-211), and groups of
// which nothing is left: one partition of the log after the other, so that each
// is looked at once in RetentionCheck.
type retention struct {
	timer timer
	next  int // partition
}

// interval is the time from one partition to the next.
func (r *retention) interval(c *Coordinator) time.Duration {
	return max(time.Millisecond, c.settings.RetentionCheck/time.Duration(len(c.partitions)))
}

// expire looks at the next partition.
func (r *retention) expire(c *Coordinator, now time.Time) {
	p := &c.partitions[r.next]
	r.next = (r.next + 1) % len(c.partitions)
	c.timers.set(&r.timer, now.Add(r.interval(c)))
	if p.state != serving {
		return
	}
	for _, g := range p.sorted() {
		c.removeGone(g) // what could not be written when the topic was deleted
		c.expireOffsets(g, now)
	}
}

// expireOffsets deletes what a group keeps no longer.
func (c *Coordinator) expireOffsets(g *group, now time.Time) {
	if g.state == Dead || g.commits > 0 {
		return // changes are under way: the next time
	}
	changes := g.deletions(func(topic string, o *offset) bool {
		return g.expired(topic, o.value, now, c.settings.OffsetRetention)
	})
	c.stats.OffsetsExpired += int64(len(changes))
	count := 0
	for _, offsets := range g.offsets {
		count += len(offsets)
	}
	switch {
	case len(changes) == count && g.state == Empty && len(g.pending) == 0:
		if count == 0 && !g.written {
			c.drop(g)
			return
		}
		c.deleteGroup(g, changes, nil)
	case len(changes) > 0:
		c.writeOffsets(g, changes, changesOf(g, changes), nil)
	}
}

// expired tells whether an offset is kept no longer: in a group that has had
// members, since it became empty; in one that never had, since the commit; and
// in one that reads, since the commit too, if nobody is subscribed to the topic.
// A commit that came with a time to keep it has that.
func (g *group) expired(topic string, v *offsetValue, now time.Time, retention time.Duration) bool {
	base := v.committedMs
	switch {
	case g.protocolType == "":
	case g.state == Empty:
		base = max(base, g.since)
	case g.state == Stable && g.protocolType == consumerProtocol && !g.subscribed(topic):
	default:
		return false
	}
	if v.expiresMs >= 0 {
		return now.UnixMilli() >= v.expiresMs
	}
	return now.UnixMilli()-base >= retention.Milliseconds()
}
