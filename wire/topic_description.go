package wire

import "math"

// State says what a partition can do.
type State uint8

// States of a partition.
const (
	StateReady      State = 1 // takes and gives records
	StateRecovering State = 2 // will be ready; until then requests get CodeNotReady
	StateFailed     State = 3 // its storage failed; it gives what was visible before and takes nothing
)

// String returns the name of the state as docs/protocol.md has it.
func (s State) String() string {
	switch s {
	case StateReady:
		return "ready"
	case StateRecovering:
		return "recovering"
	case StateFailed:
		return "failed"
	}
	return "unknown"
}

// Partition describes one partition of a topic. What is not known, as long as
// it is not ready, is -1.
//
//	at  len  field
//	 0    4  index          i32, >= 0
//	 4    4  leaderEpoch    i32, >= -1
//	 8    1  state          1 ready, 2 recovering, 3 failed
//	 9    8  logStart       i64, >= -1
//	17    8  highWatermark  i64, >= -1
//	25    8  logEnd         i64, >= -1
type Partition struct {
	Index         int32
	LeaderEpoch   int32
	State         State
	LogStart      int64
	HighWatermark int64
	LogEnd        int64
}

// partitionSize is what an encoded Partition takes.
const partitionSize = 4 + 4 + 1 + 3*8

// Source says where the value of a config comes from.
type Source uint8

// Sources of a config.
const (
	SourceDefault Source = 1 // nobody has set it
	SourceServer  Source = 2 // set for the whole server
	SourceTopic   Source = 3 // set for the topic
)

// String returns the name of the source as docs/protocol.md has it.
func (s Source) String() string {
	switch s {
	case SourceDefault:
		return "default"
	case SourceServer:
		return "server"
	case SourceTopic:
		return "topic"
	}
	return "unknown"
}

// ConfigDescription describes one config of a topic.
//
//	at  len  field
//	 0    .  key            string, 1..255 bytes
//	 .    .  value          string, 0..8192 bytes
//	 .    1  source         1 default, 2 server, 3 topic
//	 .    .  documentation  string, 0..8192 bytes
//	 .    1  inForce        1 if the server acts on the config, 0 if it only keeps it
type ConfigDescription struct {
	Key, Value    string
	Source        Source
	Documentation string
	InForce       bool
}

// configDescriptionMinSize is the least an encoded ConfigDescription takes.
const configDescriptionMinSize = 2 + 2 + 1 + 2 + 1

// TopicDescription answers a DescribeTopic.
//
//	at  len  field
//	 0    .  topic       string, 1..249 bytes
//	 .   16  topicID     changes when a topic is deleted and made again
//	 .    .  partitions  array of Partition, in the order of their index
//	 .    .  configs     array of ConfigDescription, at most 1024: all that the server knows
type TopicDescription struct {
	Topic      string
	TopicID    [16]byte
	Partitions []Partition
	Configs    []ConfigDescription
}

// Check returns an Error if a field is out of range.
func (m *TopicDescription) Check() error {
	c := checks{kind: KindTopicDescription}
	c.topicString(m.Topic)
	for i := range m.Partitions {
		p := &m.Partitions[i]
		c.within("partition, index", int64(p.Index), 0, math.MaxInt32)
		c.within("partition, leader epoch", int64(p.LeaderEpoch), -1, math.MaxInt32)
		c.within("partition, state", int64(p.State), int64(StateReady), int64(StateFailed))
		c.atLeast("partition, log start", p.LogStart, -1)
		c.atLeast("partition, high watermark", p.HighWatermark, -1)
		c.atLeast("partition, log end", p.LogEnd, -1)
	}
	c.within("configs, count", int64(len(m.Configs)), 0, MaxConfigs)
	for i := range m.Configs {
		d := &m.Configs[i]
		c.text("config, key", d.Key, 1, MaxName)
		c.text("config, value", d.Value, 0, MaxConfigValue)
		c.within("config, source", int64(d.Source), int64(SourceDefault), int64(SourceTopic))
		c.text("config, documentation", d.Documentation, 0, MaxConfigValue)
	}
	return c.result()
}

// AppendTo appends the frame to dst. m must pass Check.
func (m *TopicDescription) AppendTo(dst []byte, requestID uint32) []byte {
	dst, at := beginFrame(dst)
	dst = appendString(dst, m.Topic)
	dst = append(dst, m.TopicID[:]...)
	dst = appendU32(dst, uint32(len(m.Partitions)))
	for i := range m.Partitions {
		p := &m.Partitions[i]
		dst = appendI32(dst, p.Index)
		dst = appendI32(dst, p.LeaderEpoch)
		dst = append(dst, uint8(p.State))
		dst = appendI64(dst, p.LogStart)
		dst = appendI64(dst, p.HighWatermark)
		dst = appendI64(dst, p.LogEnd)
	}
	dst = appendU32(dst, uint32(len(m.Configs)))
	for i := range m.Configs {
		d := &m.Configs[i]
		dst = appendString(dst, d.Key)
		dst = appendString(dst, d.Value)
		dst = append(dst, uint8(d.Source))
		dst = appendString(dst, d.Documentation)
		dst = appendBool(dst, d.InForce)
	}
	return endFrame(dst, at, Head{Kind: KindTopicDescription, RequestID: requestID}, 0)
}

// ParseTopicDescription reads a TopicDescription.
func ParseTopicDescription(f Frame) (TopicDescription, error) {
	r := open(f, KindTopicDescription, 0)
	m := TopicDescription{
		Topic:      r.text("topic"),
		TopicID:    r.id("topic id"),
		Partitions: readPartitions(&r),
		Configs:    readConfigDescriptions(&r),
	}
	if err := r.close(); err != nil {
		return TopicDescription{}, err
	}
	return m, m.Check()
}

// readPartitions reads the array; of none it returns nil.
func readPartitions(r *reader) []Partition {
	n := r.count("partitions", partitionSize)
	if n == 0 {
		return nil
	}
	partitions := make([]Partition, n)
	for i := range partitions {
		partitions[i] = Partition{
			Index:         r.i32("partition, index"),
			LeaderEpoch:   r.i32("partition, leader epoch"),
			State:         State(r.u8("partition, state")),
			LogStart:      r.i64("partition, log start"),
			HighWatermark: r.i64("partition, high watermark"),
			LogEnd:        r.i64("partition, log end"),
		}
	}
	return partitions
}

// readConfigDescriptions reads the array; of none it returns nil.
func readConfigDescriptions(r *reader) []ConfigDescription {
	n := r.configCount("configs", configDescriptionMinSize)
	if n == 0 {
		return nil
	}
	configs := make([]ConfigDescription, n)
	for i := range configs {
		configs[i] = ConfigDescription{
			Key:           r.text("config, key"),
			Value:         r.text("config, value"),
			Source:        Source(r.u8("config, source")),
			Documentation: r.text("config, documentation"),
			InForce:       r.boolean("config, in force"),
		}
	}
	return configs
}

// TopicEntry is one topic of a TopicList.
//
//	at  len  field
//	 0    .  topic       string, 1..249 bytes
//	 .   16  topicID
//	 .    4  partitions  i32, >= 1
type TopicEntry struct {
	Topic      string
	TopicID    [16]byte
	Partitions int32
}

// topicEntryMinSize is the least an encoded TopicEntry takes.
const topicEntryMinSize = 2 + 16 + 4

// TopicList answers a ListTopics.
//
//	at  len  field
//	 0    .  topics  array of TopicEntry, in the order of the bytes of their names
type TopicList struct {
	Topics []TopicEntry
}

// Check returns an Error if a field is out of range.
func (m *TopicList) Check() error {
	c := checks{kind: KindTopicList}
	for i := range m.Topics {
		c.topicString(m.Topics[i].Topic)
		c.within("partitions", int64(m.Topics[i].Partitions), 1, math.MaxInt32)
	}
	return c.result()
}

// AppendTo appends the frame to dst. m must pass Check.
func (m *TopicList) AppendTo(dst []byte, requestID uint32) []byte {
	dst, at := beginFrame(dst)
	dst = appendU32(dst, uint32(len(m.Topics)))
	for i := range m.Topics {
		t := &m.Topics[i]
		dst = appendString(dst, t.Topic)
		dst = append(dst, t.TopicID[:]...)
		dst = appendI32(dst, t.Partitions)
	}
	return endFrame(dst, at, Head{Kind: KindTopicList, RequestID: requestID}, 0)
}

// ParseTopicList reads a TopicList.
func ParseTopicList(f Frame) (TopicList, error) {
	r := open(f, KindTopicList, 0)
	var m TopicList
	if n := r.count("topics", topicEntryMinSize); n > 0 {
		m.Topics = make([]TopicEntry, n)
	}
	for i := range m.Topics {
		m.Topics[i] = TopicEntry{
			Topic:      r.text("topic"),
			TopicID:    r.id("topic id"),
			Partitions: r.i32("partitions"),
		}
	}
	if err := r.close(); err != nil {
		return TopicList{}, err
	}
	return m, m.Check()
}
