package wire

// FetchOffset asks for the offsets that a group has committed.
//
//	at  len  field
//	 0    .  group  string, 0..32767 bytes
//	 .    .  topic  string, 0..249 bytes: one topic; empty: all
type FetchOffset struct {
	Group string
	Topic string
}

// Check returns an Error if a field is out of range.
func (m *FetchOffset) Check() error {
	c := checks{kind: KindFetchOffset}
	c.text("group", m.Group, 0, MaxGroupString)
	if m.Topic != "" {
		c.topicString(m.Topic)
	}
	return c.result()
}

// AppendTo appends the frame to dst. m must pass Check.
func (m *FetchOffset) AppendTo(dst []byte, requestID uint32) []byte {
	dst, at := beginFrame(dst)
	dst = appendString(dst, m.Group)
	dst = appendString(dst, m.Topic)
	return endFrame(dst, at, Head{Kind: KindFetchOffset, RequestID: requestID}, 0)
}

// ParseFetchOffset reads a FetchOffset.
func ParseFetchOffset(f Frame) (FetchOffset, error) {
	r := open(f, KindFetchOffset, 0)
	m := FetchOffset{
		Group: r.text("group"),
		Topic: r.text("topic"),
	}
	if err := r.close(); err != nil {
		return FetchOffset{}, err
	}
	return m, m.Check()
}

// TopicOffsets are the committed offsets of one topic.
//
//	at  len  field
//	 0    .  topic       string, 1..249 bytes
//	 .    .  partitions  array of PartitionOffset, in the order of their partition
type TopicOffsets struct {
	Topic      string
	Partitions []PartitionOffset
}

// topicOffsetsMinSize is the least encoded TopicOffsets take.
const topicOffsetsMinSize = 2 + 4

// OffsetsFetched answers a FetchOffset. Where nothing is committed there is
// nothing: neither for a partition, nor for a group that nobody knows.
//
//	at  len  field
//	 0    .  topics  array of TopicOffsets, in the order of the bytes of their names
type OffsetsFetched struct {
	Topics []TopicOffsets
}

// Check returns an Error if a field is out of range.
func (m *OffsetsFetched) Check() error {
	c := checks{kind: KindOffsetsFetched}
	for i := range m.Topics {
		c.topicString(m.Topics[i].Topic)
		c.partitionOffsets(m.Topics[i].Partitions)
	}
	return c.result()
}

// AppendTo appends the frame to dst. m must pass Check.
func (m *OffsetsFetched) AppendTo(dst []byte, requestID uint32) []byte {
	dst, at := beginFrame(dst)
	dst = appendU32(dst, uint32(len(m.Topics)))
	for i := range m.Topics {
		dst = appendString(dst, m.Topics[i].Topic)
		dst = appendPartitionOffsets(dst, m.Topics[i].Partitions)
	}
	return endFrame(dst, at, Head{Kind: KindOffsetsFetched, RequestID: requestID}, 0)
}

// ParseOffsetsFetched reads an OffsetsFetched.
func ParseOffsetsFetched(f Frame) (OffsetsFetched, error) {
	r := open(f, KindOffsetsFetched, 0)
	var m OffsetsFetched
	if n := r.count("topics", topicOffsetsMinSize); n > 0 {
		m.Topics = make([]TopicOffsets, n)
	}
	for i := range m.Topics {
		m.Topics[i] = TopicOffsets{
			Topic:      r.text("topic"),
			Partitions: readPartitionOffsets(&r),
		}
	}
	if err := r.close(); err != nil {
		return OffsetsFetched{}, err
	}
	return m, m.Check()
}
