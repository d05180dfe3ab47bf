package wire

import "math"

// TopicPartitions names partitions of a topic.
//
//	at  len  field
//	 0    .  topic       string, 1..249 bytes
//	 .    .  partitions  array of i32, >= 0
type TopicPartitions struct {
	Topic      string
	Partitions []int32
}

// topicPartitionsMinSize is the least encoded TopicPartitions take.
const topicPartitionsMinSize = 2 + 4

// GroupMember describes one member of a group.
//
//	at  len  field
//	 0    .  member    string, 0..32767 bytes: its id
//	 .    .  instance  string, 0..32767 bytes: what it calls itself across restarts; empty: nothing
//	 .    .  clientID  string, 0..32767 bytes
//	 .    .  host      string, 0..32767 bytes: where it comes from
//	 .    .  assigned  array of TopicPartitions: those it has, of a consumer in a group that is Stable
type GroupMember struct {
	Member, Instance, ClientID, Host string
	Assigned                         []TopicPartitions
}

// groupMemberMinSize is the least an encoded GroupMember takes.
const groupMemberMinSize = 4*2 + 4

// GroupOffset says how far a group is in a partition. What is not known is -1:
// committed where nothing is, all else where the partition is gone or not ready.
//
//	at  len  field
//	 0    .  topic          string, 1..249 bytes
//	 .    4  partition      i32, >= 0
//	 .    8  committed      i64, >= -1: the offset of the next record that the group reads
//	 .    4  leaderEpoch    i32, >= -1: as it was committed
//	 .    8  logStart       i64, >= -1
//	 .    8  highWatermark  i64, >= -1
//	 .    8  lag            i64, >= -1: records from committed, or log start if that is above, to the high watermark
//	 .    8  lagMs          i64, >= -1: age of the first of them; 0 if there are none
type GroupOffset struct {
	Topic         string
	Partition     int32
	Committed     int64
	LeaderEpoch   int32
	LogStart      int64
	HighWatermark int64
	Lag           int64
	LagMs         int64
}

// groupOffsetMinSize is the least an encoded GroupOffset takes.
const groupOffsetMinSize = 2 + 4 + 8 + 4 + 4*8

// GroupDescription answers a DescribeGroup.
//
//	at  len  field
//	 0    .  group         string, 0..32767 bytes
//	 .    1  state         1 Empty, 2 PreparingRebalance, 3 CompletingRebalance, 4 Stable, 5 Dead
//	 .    .  protocolType  string, 0..32767 bytes: "consumer" for consumers; empty: it never had members
//	 .    .  protocol      string, 0..32767 bytes: how partitions are shared out; empty unless Stable
//	 .    4  generation    i32, >= 0: counts rebalances
//	 .    .  members       array of GroupMember, as they came
//	 .    .  offsets       array of GroupOffset, in the order of topic and partition: those committed or assigned
type GroupDescription struct {
	Group        string
	State        GroupState
	ProtocolType string
	Protocol     string
	Generation   int32
	Members      []GroupMember
	Offsets      []GroupOffset
}

// Check returns an Error if a field is out of range.
func (m *GroupDescription) Check() error {
	c := checks{kind: KindGroupDescription}
	c.text("group", m.Group, 0, MaxGroupString)
	c.groupState(m.State)
	c.text("protocol type", m.ProtocolType, 0, MaxGroupString)
	c.text("protocol", m.Protocol, 0, MaxGroupString)
	c.within("generation", int64(m.Generation), 0, math.MaxInt32)
	for i := range m.Members {
		c.groupMember(&m.Members[i])
	}
	for i := range m.Offsets {
		c.groupOffset(&m.Offsets[i])
	}
	return c.result()
}

func (c *checks) groupMember(m *GroupMember) {
	c.text("member", m.Member, 0, MaxGroupString)
	c.text("member, instance", m.Instance, 0, MaxGroupString)
	c.text("member, client id", m.ClientID, 0, MaxGroupString)
	c.text("member, host", m.Host, 0, MaxGroupString)
	for i := range m.Assigned {
		c.topicString(m.Assigned[i].Topic)
		for _, p := range m.Assigned[i].Partitions {
			c.within("member, partition", int64(p), 0, math.MaxInt32)
		}
	}
}

func (c *checks) groupOffset(o *GroupOffset) {
	c.topicString(o.Topic)
	c.within("offset, partition", int64(o.Partition), 0, math.MaxInt32)
	c.atLeast("offset, committed", o.Committed, -1)
	c.within("offset, leader epoch", int64(o.LeaderEpoch), -1, math.MaxInt32)
	c.atLeast("offset, log start", o.LogStart, -1)
	c.atLeast("offset, high watermark", o.HighWatermark, -1)
	c.atLeast("offset, lag", o.Lag, -1)
	c.atLeast("offset, lag in ms", o.LagMs, -1)
}

// AppendTo appends the frame to dst. m must pass Check.
func (m *GroupDescription) AppendTo(dst []byte, requestID uint32) []byte {
	dst, at := beginFrame(dst)
	dst = appendString(dst, m.Group)
	dst = append(dst, uint8(m.State))
	dst = appendString(dst, m.ProtocolType)
	dst = appendString(dst, m.Protocol)
	dst = appendI32(dst, m.Generation)
	dst = appendU32(dst, uint32(len(m.Members)))
	for i := range m.Members {
		dst = m.Members[i].append(dst)
	}
	dst = appendU32(dst, uint32(len(m.Offsets)))
	for i := range m.Offsets {
		dst = m.Offsets[i].append(dst)
	}
	return endFrame(dst, at, Head{Kind: KindGroupDescription, RequestID: requestID}, 0)
}

func (m *GroupMember) append(dst []byte) []byte {
	dst = appendString(dst, m.Member)
	dst = appendString(dst, m.Instance)
	dst = appendString(dst, m.ClientID)
	dst = appendString(dst, m.Host)
	dst = appendU32(dst, uint32(len(m.Assigned)))
	for i := range m.Assigned {
		dst = appendString(dst, m.Assigned[i].Topic)
		dst = appendU32(dst, uint32(len(m.Assigned[i].Partitions)))
		for _, p := range m.Assigned[i].Partitions {
			dst = appendI32(dst, p)
		}
	}
	return dst
}

func (o *GroupOffset) append(dst []byte) []byte {
	dst = appendString(dst, o.Topic)
	dst = appendI32(dst, o.Partition)
	dst = appendI64(dst, o.Committed)
	dst = appendI32(dst, o.LeaderEpoch)
	dst = appendI64(dst, o.LogStart)
	dst = appendI64(dst, o.HighWatermark)
	dst = appendI64(dst, o.Lag)
	return appendI64(dst, o.LagMs)
}

// ParseGroupDescription reads a GroupDescription.
func ParseGroupDescription(f Frame) (GroupDescription, error) {
	r := open(f, KindGroupDescription, 0)
	m := GroupDescription{
		Group:        r.text("group"),
		State:        GroupState(r.u8("state")),
		ProtocolType: r.text("protocol type"),
		Protocol:     r.text("protocol"),
		Generation:   r.i32("generation"),
		Members:      readGroupMembers(&r),
		Offsets:      readGroupOffsets(&r),
	}
	if err := r.close(); err != nil {
		return GroupDescription{}, err
	}
	return m, m.Check()
}

// readGroupMembers reads the array; of none it returns nil.
func readGroupMembers(r *reader) []GroupMember {
	n := r.count("members", groupMemberMinSize)
	if n == 0 {
		return nil
	}
	members := make([]GroupMember, n)
	for i := range members {
		members[i] = GroupMember{
			Member:   r.text("member"),
			Instance: r.text("member, instance"),
			ClientID: r.text("member, client id"),
			Host:     r.text("member, host"),
			Assigned: readAssigned(r),
		}
	}
	return members
}

// readAssigned reads the array; of none it returns nil.
func readAssigned(r *reader) []TopicPartitions {
	n := r.count("member, assigned", topicPartitionsMinSize)
	if n == 0 {
		return nil
	}
	assigned := make([]TopicPartitions, n)
	for i := range assigned {
		assigned[i].Topic = r.text("member, topic")
		if n := r.count("member, partitions", 4); n > 0 {
			assigned[i].Partitions = make([]int32, n)
		}
		for j := range assigned[i].Partitions {
			assigned[i].Partitions[j] = r.i32("member, partition")
		}
	}
	return assigned
}

// readGroupOffsets reads the array; of none it returns nil.
func readGroupOffsets(r *reader) []GroupOffset {
	n := r.count("offsets", groupOffsetMinSize)
	if n == 0 {
		return nil
	}
	offsets := make([]GroupOffset, n)
	for i := range offsets {
		offsets[i] = GroupOffset{
			Topic:         r.text("offset, topic"),
			Partition:     r.i32("offset, partition"),
			Committed:     r.i64("offset, committed"),
			LeaderEpoch:   r.i32("offset, leader epoch"),
			LogStart:      r.i64("offset, log start"),
			HighWatermark: r.i64("offset, high watermark"),
			Lag:           r.i64("offset, lag"),
			LagMs:         r.i64("offset, lag in ms"),
		}
	}
	return offsets
}
