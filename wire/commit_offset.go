package wire

import "math"

// CommitOffset commits offsets of a topic for a group, as somebody who is none of
// its members. It is answered by Done once they are durable.
//
//	at  len  field
//	 0    .  group       string, 1..32767 bytes
//	 .    .  topic       string, 1..249 bytes
//	 .    .  partitions  array of PartitionOffset, at least one; of two for a partition the last counts
type CommitOffset struct {
	Group      string
	Topic      string
	Partitions []PartitionOffset
}

// PartitionOffset is a committed offset.
//
//	at  len  field
//	 0    4  partition    i32, >= 0
//	 4    8  offset       i64, >= 0: of the next record to read
//	12    4  leaderEpoch  i32, >= -1: of the batch before it; -1 if not known
//	16    .  metadata     string, 0..32767 bytes: what whoever commits wants to find again
type PartitionOffset struct {
	Partition   int32
	Offset      int64
	LeaderEpoch int32
	Metadata    string
}

// partitionOffsetMinSize is the least an encoded PartitionOffset takes.
const partitionOffsetMinSize = 4 + 8 + 4 + 2

// Check returns an Error if a field is out of range.
func (m *CommitOffset) Check() error {
	c := checks{kind: KindCommitOffset}
	c.text("group", m.Group, 1, MaxGroupString)
	c.topicString(m.Topic)
	if len(m.Partitions) == 0 {
		c.failf("partitions: none, want at least 1")
	}
	c.partitionOffsets(m.Partitions)
	return c.result()
}

// partitionOffsets checks each of them.
func (c *checks) partitionOffsets(offsets []PartitionOffset) {
	for i := range offsets {
		p := &offsets[i]
		c.within("partition", int64(p.Partition), 0, math.MaxInt32)
		c.atLeast("partition, offset", p.Offset, 0)
		c.within("partition, leader epoch", int64(p.LeaderEpoch), -1, math.MaxInt32)
		c.text("partition, metadata", p.Metadata, 0, MaxGroupString)
	}
}

// AppendTo appends the frame to dst. m must pass Check.
func (m *CommitOffset) AppendTo(dst []byte, requestID uint32) []byte {
	dst, at := beginFrame(dst)
	dst = appendString(dst, m.Group)
	dst = appendString(dst, m.Topic)
	dst = appendPartitionOffsets(dst, m.Partitions)
	return endFrame(dst, at, Head{Kind: KindCommitOffset, RequestID: requestID}, 0)
}

func appendPartitionOffsets(dst []byte, offsets []PartitionOffset) []byte {
	dst = appendU32(dst, uint32(len(offsets)))
	for i := range offsets {
		p := &offsets[i]
		dst = appendI32(dst, p.Partition)
		dst = appendI64(dst, p.Offset)
		dst = appendI32(dst, p.LeaderEpoch)
		dst = appendString(dst, p.Metadata)
	}
	return dst
}

// ParseCommitOffset reads a CommitOffset.
func ParseCommitOffset(f Frame) (CommitOffset, error) {
	r := open(f, KindCommitOffset, 0)
	m := CommitOffset{
		Group:      r.text("group"),
		Topic:      r.text("topic"),
		Partitions: readPartitionOffsets(&r),
	}
	if err := r.close(); err != nil {
		return CommitOffset{}, err
	}
	return m, m.Check()
}

// readPartitionOffsets reads the array; of none it returns nil.
func readPartitionOffsets(r *reader) []PartitionOffset {
	n := r.count("partitions", partitionOffsetMinSize)
	if n == 0 {
		return nil
	}
	offsets := make([]PartitionOffset, n)
	for i := range offsets {
		offsets[i] = PartitionOffset{
			Partition:   r.i32("partition"),
			Offset:      r.i64("partition, offset"),
			LeaderEpoch: r.i32("partition, leader epoch"),
			Metadata:    r.text("partition, metadata"),
		}
	}
	return offsets
}
