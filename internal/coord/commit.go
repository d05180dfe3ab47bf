package coord

import (
	"time"
	"unicode/utf16"

	"github.com/rollway/rollway/internal/mutant"
)

// offset is a committed one. It is kept, without value, while a commit is not
// settled, so that whoever deletes offsets knows of it.
type offset struct {
	value   *offsetValue // durable; nil: none
	commits int          // commits and deletions of it that are not settled
}

func (o *offset) bytes() int {
	if o.value == nil {
		return offsetBytes
	}
	return offsetBytes + len(o.value.metadata)
}

// CommitRequest commits offsets. It and all that it refers to are the
// coordinator's until it is answered; the strings are kept.
type CommitRequest struct {
	Group              string
	MemberID, Instance string
	Generation         int32         // negative: of nobody's generation
	Retention          time.Duration // how long the offsets are kept; 0 or less: as the group's are, always since OffsetCommit 5
	Topics             []CommitTopic
}

// CommitTopic is a topic of a CommitRequest.
type CommitTopic struct {
	Topic      string
	TopicID    [16]byte // zero: not known
	Partitions []CommitPartition
}

// CommitPartition is an offset to be committed. The coordinator does not know
// which partitions there are, but which topics are gone.
type CommitPartition struct {
	Partition   int32
	Offset      int64 // of the next record to read
	LeaderEpoch int32 // -1: not known
	Metadata    string
	Code        Code // the answer for this partition, if it is None for all
}

// bytes is what the offsets take, about.
func (r *CommitRequest) bytes() int {
	n := groupBytes + len(r.Group)
	for i := range r.Topics {
		n += topicBytes + len(r.Topics[i].Topic)
		for j := range r.Topics[i].Partitions {
			n += offsetBytes + len(r.Topics[i].Partitions[j].Metadata)
		}
	}
	return n
}

// Commit carries out OffsetCommit. The answer comes when the offsets are durable;
// only then are they fetched.
func (c *Coordinator) Commit(r *CommitRequest, now time.Time) *Pending[Code] {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.rouse()
	p, code := c.partitionOf(r.Group)
	if code != None {
		return answered(c, code)
	}
	g := p.groups[r.Group]
	if code := g.checkCommit(r); code != None {
		return answered(c, code)
	}
	if !c.room(r.bytes()) {
		return answered(c, CoordinatorNotAvailable)
	}
	if g == nil {
		g = c.create(p, r.Group)
	} else if m := g.members[r.MemberID]; m != nil && g.state != CompletingRebalance {
		c.touch(m, now)
	}
	keys, records := c.commitRecords(g, r, now)
	if len(records) == 0 {
		c.dropUnused(g)
		return answered(c, None)
	}
	c.stats.Commits++
	answer := &Pending[Code]{c: c}
	c.writeOffsets(g, keys, records, answer)
	if mutant.Is(mutant.OffsetBeforeSync) {
		answer.resolve(None)
	}
	return answer
}

// checkCommit returns None if the offsets may be committed. g may be nil.
func (g *group) checkCommit(r *CommitRequest) Code {
	switch {
	case g == nil && r.Generation < 0:
		return None // a group that is made by it
	case g == nil:
		return IllegalGeneration
	case g.state == Dead:
		return CoordinatorNotAvailable
	case g.state == Empty && r.Generation < 0:
		return None // nobody is in the way
	case r.Generation < 0 && r.MemberID == "" && r.Instance == "":
		return UnknownMemberID
	}
	if code := g.check(r.MemberID, r.Instance); code != None {
		return code
	}
	switch {
	case r.Generation != g.generation && !mutant.Is(mutant.CommitOfStaleGeneration):
		return IllegalGeneration
	case g.state == CompletingRebalance:
		return RebalanceInProgress // what the member had may be another's now
	}
	return None
}

// offsetChange is an offset that is being written; value is nil where it is
// deleted.
type offsetChange struct {
	topic     string
	partition int32
	value     *offsetValue
}

// commitRecords returns the records of a commit, and sets the Code of each
// partition.
func (c *Coordinator) commitRecords(g *group, r *CommitRequest, now time.Time) ([]offsetChange, []Record) {
	expires := int64(-1)
	if r.Retention > 0 {
		expires = now.Add(r.Retention).UnixMilli()
	}
	var changes []offsetChange
	for i := range r.Topics {
		t := &r.Topics[i]
		// Whoever asked whether it is there did so before the lock was taken.
		gone := c.topicGone(t.Topic, t.TopicID)
		for j := range t.Partitions {
			p := &t.Partitions[j]
			p.Code = None
			if gone {
				p.Code = UnknownTopicOrPartition
				continue
			}
			if longer(p.Metadata, c.settings.MaxMetadata) {
				p.Code = OffsetMetadataTooLarge
				continue
			}
			changes = append(changes, offsetChange{t.Topic, p.Partition, &offsetValue{
				offset: p.Offset, leaderEpoch: max(-1, p.LeaderEpoch), metadata: p.Metadata,
				committedMs: now.UnixMilli(), expiresMs: expires, topicID: t.TopicID,
			}})
		}
	}
	return changes, changesOf(g, changes)
}

// longer tells whether s has more UTF-16 units than most.
func longer(s string, most int) bool {
	if len(s) <= most {
		return false
	}
	units := 0
	for _, r := range s {
		units += max(1, utf16.RuneLen(r))
	}
	return units > most
}

func changesOf(g *group, changes []offsetChange) []Record {
	records := make([]Record, 0, len(changes)+1)
	for _, ch := range changes {
		records = append(records, offsetRecord(offsetKey{g.id, ch.topic, ch.partition}, ch.value))
	}
	return records
}

// writeOffsets writes changes of a group's offsets, and makes them, and gives the
// answer, when they are durable. answer may be nil.
func (c *Coordinator) writeOffsets(g *group, changes []offsetChange, records []Record, answer *Pending[Code]) {
	c.begin(g, changes)
	c.append(g.partition, records, write{
		settled: func(err error, now time.Time) {
			c.end(g, changes, err == nil)
			if c.hasGone(changes) {
				c.removeGone(g)
			}
			c.dropUnused(g)
			if err != nil {
				answer.resolve(CoordinatorNotAvailable)
				return
			}
			answer.resolve(None)
		},
		lost: func() { answer.resolve(NotCoordinator) },
	})
}

// begin notes that changes are being written.
func (c *Coordinator) begin(g *group, changes []offsetChange) {
	g.commits++
	for _, ch := range changes {
		c.offsetOf(g, ch.topic, ch.partition).commits++
	}
}

// end notes that changes are written, or that they are not.
func (c *Coordinator) end(g *group, changes []offsetChange, durable bool) {
	g.commits--
	for _, ch := range changes {
		o := g.offsets[ch.topic][ch.partition]
		o.commits--
		if durable {
			c.setOffset(o, ch.value)
		}
		if o.value == nil && o.commits == 0 {
			c.removeOffset(g, ch.topic, ch.partition)
		}
	}
}

// offsetOf returns the offset of a partition, and makes it if there is none.
func (c *Coordinator) offsetOf(g *group, topic string, partition int32) *offset {
	partitions := g.offsets[topic]
	o := partitions[partition]
	if o != nil {
		return o
	}
	if partitions == nil {
		partitions = map[int32]*offset{}
		put(&g.offsets, topic, partitions)
		c.bytes += int64(topicBytes + len(topic))
	}
	o = &offset{}
	partitions[partition] = o
	c.bytes += int64(o.bytes())
	return o
}

// setOffset sets what is committed; nil: nothing.
func (c *Coordinator) setOffset(o *offset, v *offsetValue) {
	c.stats.Offsets += present(v) - present(o.value)
	c.bytes -= int64(o.bytes())
	o.value = v
	c.bytes += int64(o.bytes())
}

func present(v *offsetValue) int {
	if v == nil {
		return 0
	}
	return 1
}

func (c *Coordinator) removeOffset(g *group, topic string, partition int32) {
	o := g.offsets[topic][partition]
	c.setOffset(o, nil)
	c.bytes -= int64(o.bytes())
	delete(g.offsets[topic], partition)
	if len(g.offsets[topic]) == 0 {
		delete(g.offsets, topic)
		c.bytes -= int64(topicBytes + len(topic))
	}
}
