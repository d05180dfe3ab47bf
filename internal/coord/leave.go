package coord

import "time"

// LeaveRequest takes members out of a group.
type LeaveRequest struct {
	Group   string
	Members []LeavingMember
}

// LeavingMember is one by its id, or a static one by its instance id alone.
type LeavingMember struct {
	MemberID, Instance string
	Code               Code // the answer
}

// Leave carries out LeaveGroup: the Code of each member is set. That they are
// gone is not durable: after a crash they may be there again until their session
// ends.
func (c *Coordinator) Leave(r *LeaveRequest, now time.Time) Code {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.rouse()
	if r.Group == "" {
		return InvalidGroupID
	}
	g, code := c.find(r.Group)
	switch {
	case code != None:
		return code
	case g != nil && g.state == Dead:
		return CoordinatorNotAvailable
	}
	if g == nil {
		g = &noGroup
	}
	members, pending := len(g.members), len(g.pending)
	for i := range r.Members {
		r.Members[i].Code = c.leave(g, &r.Members[i])
	}
	switch {
	case len(g.members) < members:
		c.membersLeft(g, now)
	case len(g.pending) < pending:
		c.pendingLeft(g, now)
	}
	return None
}

// leave takes one member out of a group.
func (c *Coordinator) leave(g *group, l *LeavingMember) Code {
	if l.MemberID == "" {
		m := g.static[l.Instance]
		if l.Instance == "" || m == nil {
			return UnknownMemberID
		}
		c.remove(m)
		return None
	}
	if g.pending[l.MemberID] != nil {
		c.removePending(g, l.MemberID)
		return None
	}
	if code := g.check(l.MemberID, l.Instance); code != None {
		return code
	}
	c.remove(g.members[l.MemberID])
	return None
}
