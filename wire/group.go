package wire

import "math"

// GroupState is what a group is doing.
type GroupState uint8

// States of a group.
const (
	GroupEmpty               GroupState = 1 // has no members; it may have offsets
	GroupPreparingRebalance  GroupState = 2 // waits for its members to join again
	GroupCompletingRebalance GroupState = 3 // waits for its leader to share the partitions out
	GroupStable              GroupState = 4 // has members that have their partitions
	GroupDead                GroupState = 5 // is being deleted
)

// String returns the name of the state as Kafka and docs/protocol.md have it.
func (s GroupState) String() string {
	switch s {
	case GroupEmpty:
		return "Empty"
	case GroupPreparingRebalance:
		return "PreparingRebalance"
	case GroupCompletingRebalance:
		return "CompletingRebalance"
	case GroupStable:
		return "Stable"
	case GroupDead:
		return "Dead"
	}
	return "unknown"
}

// groupState wants one of the states.
func (c *checks) groupState(s GroupState) {
	c.within("state", int64(s), int64(GroupEmpty), int64(GroupDead))
}

// ListGroups asks for all groups. It has no payload.
type ListGroups struct{}

// Check returns nil: there is nothing to check.
func (m *ListGroups) Check() error { return nil }

// AppendTo appends the frame to dst.
func (m *ListGroups) AppendTo(dst []byte, requestID uint32) []byte {
	dst, at := beginFrame(dst)
	return endFrame(dst, at, Head{Kind: KindListGroups, RequestID: requestID}, 0)
}

// ParseListGroups reads a ListGroups.
func ParseListGroups(f Frame) (ListGroups, error) {
	r := open(f, KindListGroups, 0)
	return ListGroups{}, r.close()
}

// GroupEntry is one group in a GroupList.
//
//	at  len  field
//	 0    .  group         string, 0..32767 bytes
//	 .    1  state         1 Empty, 2 PreparingRebalance, 3 CompletingRebalance, 4 Stable, 5 Dead
//	 .    .  protocolType  string, 0..32767 bytes: "consumer" for consumers; empty: it never had members
type GroupEntry struct {
	Group        string
	State        GroupState
	ProtocolType string
}

// groupEntryMinSize is the least an encoded GroupEntry takes.
const groupEntryMinSize = 2 + 1 + 2

// GroupList answers a ListGroups.
//
//	at  len  field
//	 0    .  groups   array of GroupEntry, in the order of the bytes of their ids
//	 .    .  missing  array of i32: partitions of the offsets log that cannot be read, whose groups are not among them
type GroupList struct {
	Groups  []GroupEntry
	Missing []int32
}

// Check returns an Error if a field is out of range.
func (m *GroupList) Check() error {
	c := checks{kind: KindGroupList}
	for i := range m.Groups {
		g := &m.Groups[i]
		c.text("group", g.Group, 0, MaxGroupString)
		c.groupState(g.State)
		c.text("protocol type", g.ProtocolType, 0, MaxGroupString)
	}
	for _, p := range m.Missing {
		c.within("missing", int64(p), 0, math.MaxInt32)
	}
	return c.result()
}

// AppendTo appends the frame to dst. m must pass Check.
func (m *GroupList) AppendTo(dst []byte, requestID uint32) []byte {
	dst, at := beginFrame(dst)
	dst = appendU32(dst, uint32(len(m.Groups)))
	for i := range m.Groups {
		g := &m.Groups[i]
		dst = appendString(dst, g.Group)
		dst = append(dst, uint8(g.State))
		dst = appendString(dst, g.ProtocolType)
	}
	dst = appendU32(dst, uint32(len(m.Missing)))
	for _, p := range m.Missing {
		dst = appendI32(dst, p)
	}
	return endFrame(dst, at, Head{Kind: KindGroupList, RequestID: requestID}, 0)
}

// ParseGroupList reads a GroupList.
func ParseGroupList(f Frame) (GroupList, error) {
	r := open(f, KindGroupList, 0)
	var m GroupList
	if n := r.count("groups", groupEntryMinSize); n > 0 {
		m.Groups = make([]GroupEntry, n)
	}
	for i := range m.Groups {
		m.Groups[i] = GroupEntry{
			Group:        r.text("group"),
			State:        GroupState(r.u8("state")),
			ProtocolType: r.text("protocol type"),
		}
	}
	if n := r.count("missing", 4); n > 0 {
		m.Missing = make([]int32, n)
	}
	for i := range m.Missing {
		m.Missing[i] = r.i32("missing")
	}
	if err := r.close(); err != nil {
		return GroupList{}, err
	}
	return m, m.Check()
}

// DescribeGroup asks for a GroupDescription.
//
//	at  len  field
//	 0    .  group  string, 0..32767 bytes
type DescribeGroup struct {
	Group string
}

// Check returns an Error if a field is out of range.
func (m *DescribeGroup) Check() error {
	c := checks{kind: KindDescribeGroup}
	c.text("group", m.Group, 0, MaxGroupString)
	return c.result()
}

// AppendTo appends the frame to dst. m must pass Check.
func (m *DescribeGroup) AppendTo(dst []byte, requestID uint32) []byte {
	dst, at := beginFrame(dst)
	dst = appendString(dst, m.Group)
	return endFrame(dst, at, Head{Kind: KindDescribeGroup, RequestID: requestID}, 0)
}

// ParseDescribeGroup reads a DescribeGroup.
func ParseDescribeGroup(f Frame) (DescribeGroup, error) {
	r := open(f, KindDescribeGroup, 0)
	m := DescribeGroup{Group: r.text("group")}
	if err := r.close(); err != nil {
		return DescribeGroup{}, err
	}
	return m, m.Check()
}

// DeleteGroup removes a group without members, with its offsets. It is answered
// by Done once that is durable.
//
//	at  len  field
//	 0    .  group  string, 1..32767 bytes
type DeleteGroup struct {
	Group string
}

// Check returns an Error if a field is out of range.
func (m *DeleteGroup) Check() error {
	c := checks{kind: KindDeleteGroup}
	c.text("group", m.Group, 1, MaxGroupString)
	return c.result()
}

// AppendTo appends the frame to dst. m must pass Check.
func (m *DeleteGroup) AppendTo(dst []byte, requestID uint32) []byte {
	dst, at := beginFrame(dst)
	dst = appendString(dst, m.Group)
	return endFrame(dst, at, Head{Kind: KindDeleteGroup, RequestID: requestID}, 0)
}

// ParseDeleteGroup reads a DeleteGroup.
func ParseDeleteGroup(f Frame) (DeleteGroup, error) {
	r := open(f, KindDeleteGroup, 0)
	m := DeleteGroup{Group: r.text("group")}
	if err := r.close(); err != nil {
		return DeleteGroup{}, err
	}
	return m, m.Check()
}
