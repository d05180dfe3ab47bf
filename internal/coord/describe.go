package coord

import (
	"slices"
	"strings"
)

// Description is what there is to know of a group.
type Description struct {
	State        State  // Dead: there is no such group
	ProtocolType string // "": it has offsets only
	Protocol     string // "" unless Stable
	Generation   int32
	Members      []MemberDescription // as they came
}

// MemberDescription is what there is to know of a member.
type MemberDescription struct {
	ID, Instance, ClientID, ClientHost string
	Metadata, Assignment               []byte // nil unless Stable; must not be changed
}

// Describe carries out DescribeGroups for one group.
func (c *Coordinator) Describe(group string) (Description, Code) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g, code := c.find(group)
	if code != None || g == nil {
		return Description{State: Dead}, code
	}
	d := Description{State: g.state, ProtocolType: g.protocolType, Generation: g.generation}
	stable := g.state == Stable
	if stable {
		d.Protocol = g.protocol
	}
	for _, m := range g.order {
		member := MemberDescription{ID: m.id, Instance: m.instance, ClientID: m.clientID, ClientHost: m.clientHost}
		if stable {
			member.Metadata, member.Assignment = m.metadata(g.protocol), m.assignment
		}
		d.Members = append(d.Members, member)
	}
	return d, None
}

// Listing is a group in a list.
type Listing struct {
	Group, ProtocolType string
	State               State
}

// classicType is the group type of all groups here.
const classicType = "classic"

// List carries out ListGroups: the groups in one of the states and of one of the
// types, by Kafka's names in any case; none means all. They are sorted by name.
// While a partition is loaded its groups are missing and the Code tells so; those
// of one that is Unloadable are left out, as by Kafka, and Missing names it.
func (c *Coordinator) List(states, types []string) ([]Listing, Code) {
	c.mu.Lock()
	defer c.mu.Unlock()
	matches := func(filter []string, name string) bool {
		return len(filter) == 0 || slices.ContainsFunc(filter, func(f string) bool { return strings.EqualFold(f, name) })
	}
	code := None
	var found []Listing
	for i := range c.partitions {
		p := &c.partitions[i]
		switch p.state {
		case loading:
			code = CoordinatorLoadInProgress
			continue
		case unloadable:
			continue
		case closed:
			return nil, NotCoordinator
		}
		for id, g := range p.groups {
			if matches(states, g.state.String()) && matches(types, classicType) {
				found = append(found, Listing{id, g.protocolType, g.state})
			}
		}
	}
	slices.SortFunc(found, func(a, b Listing) int { return strings.Compare(a.Group, b.Group) })
	return found, code
}
