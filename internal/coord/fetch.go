package coord

import (
	"maps"
	"slices"
)

// TopicOffsets are the committed offsets of a topic.
type TopicOffsets struct {
	Topic      string
	Partitions []CommittedOffset
}

// CommittedOffset is one that was committed, or, with an Offset of -1, none.
type CommittedOffset struct {
	Partition   int32
	Offset      int64
	LeaderEpoch int32
	Metadata    string
	TopicID     [16]byte // zero: not known
}

// FetchOffsets carries out OffsetFetch for one group: the offsets of the
// partitions, in that order, or of all that have one if topics is nil, sorted.
// What is not durable is not seen, and what was committed for a topic that is gone
// is not, either, also while it is being removed. A group that is not there is no error: it has
// no offsets. All offsets are stable, since there are no transactions.
func (c *Coordinator) FetchOffsets(group string, topics []TopicPartitions) ([]TopicOffsets, Code) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g, code := c.find(group)
	if code != None {
		return nil, code
	}
	if g == nil {
		g = &noGroup
	}
	if topics == nil {
		return c.allOffsets(g), None
	}
	fetched := make([]TopicOffsets, 0, len(topics))
	for _, t := range topics {
		partitions := make([]CommittedOffset, 0, len(t.Partitions))
		offsets := g.offsets[t.Topic]
		for _, p := range t.Partitions {
			partitions = append(partitions, c.committed(t.Topic, p, offsets[p]))
		}
		fetched = append(fetched, TopicOffsets{t.Topic, partitions})
	}
	return fetched, None
}

// committed returns what is fetched of an offset; o may be nil.
func (c *Coordinator) committed(topic string, partition int32, o *offset) CommittedOffset {
	if !c.there(topic, o) {
		return CommittedOffset{Partition: partition, Offset: -1, LeaderEpoch: -1}
	}
	v := o.value
	return CommittedOffset{partition, v.offset, v.leaderEpoch, v.metadata, v.topicID}
}

// there tells whether something is committed that is fetched; o may be nil.
func (c *Coordinator) there(topic string, o *offset) bool {
	return o != nil && o.value != nil && !c.topicGone(topic, o.value.topicID)
}

func (c *Coordinator) allOffsets(g *group) []TopicOffsets {
	var fetched []TopicOffsets
	for _, topic := range slices.Sorted(maps.Keys(g.offsets)) {
		t := TopicOffsets{Topic: topic}
		offsets := g.offsets[topic]
		for _, p := range slices.Sorted(maps.Keys(offsets)) {
			if c.there(topic, offsets[p]) {
				t.Partitions = append(t.Partitions, c.committed(topic, p, offsets[p]))
			}
		}
		if len(t.Partitions) > 0 {
			fetched = append(fetched, t)
		}
	}
	return fetched
}

// noGroup stands for a group that is not there, where nothing is changed.
var noGroup group
