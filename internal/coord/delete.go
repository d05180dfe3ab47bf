package coord

import (
	"maps"
	"slices"
	"time"
)

// DeleteGroup carries out DeleteGroups for one group: it and its offsets are
// gone, durably, when the answer is there. Until then whoever uses it is told to
// try again.
func (c *Coordinator) DeleteGroup(group string, now time.Time) *Pending[Code] {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.rouse()
	if group == "" {
		return answered(c, InvalidGroupID)
	}
	g, code := c.find(group)
	switch {
	case code != None:
		return answered(c, code)
	case g == nil || g.state == Dead:
		return answered(c, GroupIDNotFound)
	case g.state != Empty:
		return answered(c, NonEmptyGroup)
	}
	answer := &Pending[Code]{c: c}
	c.deleteGroup(g, g.deletions(func(string, *offset) bool { return true }), answer)
	return answer
}

// deleteGroup writes that an empty group and the offsets are gone, which must be
// all that it has. answer may be nil.
func (c *Coordinator) deleteGroup(g *group, changes []offsetChange, answer *Pending[Code]) {
	g.state = Dead
	c.begin(g, changes)
	records := append(changesOf(g, changes), groupRecord(g.id, nil))
	c.append(g.partition, records, write{
		settled: func(err error, now time.Time) {
			c.end(g, changes, err == nil)
			if err != nil {
				g.state = Empty
				answer.resolve(CoordinatorNotAvailable)
				return
			}
			c.drop(g)
			answer.resolve(None)
		},
		lost: func() { answer.resolve(NotCoordinator) },
	})
}

// deletions returns, sorted, the changes that delete the offsets which are to go,
// those that are not settled yet included.
func (g *group) deletions(goes func(topic string, o *offset) bool) []offsetChange {
	var changes []offsetChange
	for _, topic := range slices.Sorted(maps.Keys(g.offsets)) {
		offsets := g.offsets[topic]
		for _, p := range slices.Sorted(maps.Keys(offsets)) {
			if goes(topic, offsets[p]) {
				changes = append(changes, offsetChange{topic: topic, partition: p})
			}
		}
	}
	return changes
}

// DeleteOffsetsRequest deletes committed offsets. It is the coordinator's until it
// is answered.
type DeleteOffsetsRequest struct {
	Group  string
	Topics []DeleteOffsetsTopic
}

// DeleteOffsetsTopic is a topic of a DeleteOffsetsRequest. Its Code is the answer
// for all its partitions, if it is None for the request: GroupSubscribedToTopic
// if members read it.
type DeleteOffsetsTopic struct {
	Topic      string
	Partitions []int32
	Code       Code
}

// DeleteOffsets carries out OffsetDelete (KIP-496): the offsets are gone, durably,
// when the answer is there. Those that were never committed are, too.
func (c *Coordinator) DeleteOffsets(r *DeleteOffsetsRequest, now time.Time) *Pending[Code] {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.rouse()
	if r.Group == "" {
		return answered(c, InvalidGroupID)
	}
	g, code := c.find(r.Group)
	switch {
	case code != None:
		return answered(c, code)
	case g == nil || g.state == Dead:
		return answered(c, GroupIDNotFound)
	case g.state != Empty && g.protocolType != consumerProtocol:
		return answered(c, NonEmptyGroup) // what its members read cannot be known
	}
	var changes []offsetChange
	for i := range r.Topics {
		t := &r.Topics[i]
		t.Code = None
		if g.subscribed(t.Topic) {
			t.Code = GroupSubscribedToTopic
			continue
		}
		for _, p := range t.Partitions {
			if g.offsets[t.Topic][p] != nil {
				changes = append(changes, offsetChange{topic: t.Topic, partition: p})
			}
		}
	}
	if len(changes) == 0 {
		return answered(c, None)
	}
	answer := &Pending[Code]{c: c}
	c.writeOffsets(g, changes, changesOf(g, changes), answer)
	return answer
}
