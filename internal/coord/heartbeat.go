package coord

import "time"

// HeartbeatRequest tells that a member lives.
type HeartbeatRequest struct {
	Group, MemberID, Instance string
	Generation                int32
}

// Heartbeat carries out Heartbeat: RebalanceInProgress tells the member to join
// again.
func (c *Coordinator) Heartbeat(r *HeartbeatRequest, now time.Time) Code {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.rouse()
	if r.Group == "" {
		return InvalidGroupID
	}
	g, code := c.find(r.Group)
	if code == CoordinatorLoadInProgress {
		return None // the session begins when the group is loaded
	}
	if code != None {
		return code
	}
	m, code := g.identify(r.MemberID, r.Instance, r.Generation)
	if code != None {
		return code
	}
	c.touch(m, now)
	if g.state == PreparingRebalance {
		return RebalanceInProgress
	}
	return None
}
