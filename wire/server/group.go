package server

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/rollway/rollway/internal/coord"
	"github.com/rollway/rollway/internal/netloop"
	"github.com/rollway/rollway/wire"
)

var groupStates = map[coord.State]wire.GroupState{
	coord.Empty:               wire.GroupEmpty,
	coord.PreparingRebalance:  wire.GroupPreparingRebalance,
	coord.CompletingRebalance: wire.GroupCompletingRebalance,
	coord.Stable:              wire.GroupStable,
	coord.Dead:                wire.GroupDead,
}

// listGroups answers a ListGroups.
func (s *session) listGroups(f wire.Frame, out *netloop.Out) error {
	if _, err := wire.ParseListGroups(f); err != nil {
		return err
	}
	groups, code := s.node.Groups().List(nil, nil)
	switch code {
	case coord.None:
	case coord.CoordinatorLoadInProgress:
		return errStillLoading
	default:
		return s.groupRefusal("", code)
	}
	m := wire.GroupList{Groups: make([]wire.GroupEntry, 0, len(groups)), Missing: s.node.Groups().Missing()}
	for _, g := range groups {
		m.Groups = append(m.Groups, wire.GroupEntry{Group: legible(g.Group), State: groupStates[g.State], ProtocolType: legible(g.ProtocolType)})
	}
	return s.putWhole(m.AppendTo(nil, f.RequestID), out)
}

// deleteGroup removes a group.
func (s *session) deleteGroup(f wire.Frame, out *netloop.Out) error {
	m, err := wire.ParseDeleteGroup(f)
	if err != nil {
		return err
	}
	s.await(f, out, s.node.Groups().DeleteGroup(m.Group, time.Now()), func(code coord.Code) error { return s.groupRefusal(m.Group, code) })
	return nil
}

// describeGroup describes a group, as a task: how old what it has not read is, is
// looked up on the disk.
func (s *session) describeGroup(f wire.Frame, out *netloop.Out) error {
	m, err := wire.ParseDescribeGroup(f)
	if err != nil {
		return err
	}
	id := f.RequestID
	s.run(f, out, func(dst []byte) ([]byte, error) {
		d, err := s.describe(m.Group)
		if err != nil {
			return nil, err
		}
		// Another frontend, or who has written the log, can have committed what no
		// frame of ours may have.
		if err := d.Check(); err != nil {
			return nil, fmt.Errorf("wire server: description of group %q: %w", m.Group, err)
		}
		answer := d.AppendTo(dst, id)
		return answer, s.checkWhole(answer)
	})
	return nil
}

// describe looks up what there is to know of a group.
func (f *frontend) describe(group string) (*wire.GroupDescription, error) {
	found, code := f.node.Groups().Describe(group)
	switch {
	case code != coord.None:
		return nil, f.groupRefusal(group, code)
	case found.State == coord.Dead:
		return nil, f.groupRefusal(group, coord.GroupIDNotFound)
	}
	committed, code := f.node.Groups().FetchOffsets(group, nil)
	if code != coord.None {
		return nil, f.groupRefusal(group, code)
	}
	d := &wire.GroupDescription{
		Group: legible(group), State: groupStates[found.State], Generation: found.Generation,
		ProtocolType: legible(found.ProtocolType), Protocol: legible(found.Protocol),
	}
	for i := range found.Members {
		d.Members = append(d.Members, describeMember(&found.Members[i], found.ProtocolType))
	}
	d.Offsets = f.groupOffsets(committed, d.Members)
	return d, nil
}

func describeMember(m *coord.MemberDescription, protocolType string) wire.GroupMember {
	d := wire.GroupMember{Member: legible(m.ID), Instance: legible(m.Instance), ClientID: legible(m.ClientID), Host: legible(m.ClientHost)}
	if protocolType == consumerProtocol {
		d.Assigned = parseAssignment(m.Assignment)
	}
	return d
}

// groupPartition names a partition of which something is committed or assigned.
type groupPartition struct {
	topic     string
	partition int32
}

// groupOffsets tells how far a group is in each partition for which it has
// committed something, and in those that its members have and that are there.
func (f *frontend) groupOffsets(committed []coord.TopicOffsets, members []wire.GroupMember) []wire.GroupOffset {
	now := time.Now()
	var offsets []wire.GroupOffset
	seen := map[groupPartition]bool{}
	add := func(topic string, c coord.CommittedOffset) {
		seen[groupPartition{topic, c.Partition}] = true
		c.Offset = max(-1, c.Offset) // a Kafka client may commit what is none
		lag := f.node.LagOf(topic, c.Partition, c.Offset, now)
		offsets = append(offsets, wire.GroupOffset{
			Topic: topic, Partition: c.Partition, Committed: c.Offset, LeaderEpoch: c.LeaderEpoch,
			LogStart: lag.LogStart, HighWatermark: lag.HighWatermark, Lag: lag.Records, LagMs: lag.AgeMs,
		})
	}
	for _, t := range committed {
		for _, c := range t.Partitions {
			add(t.Topic, c)
		}
	}
	for i := range members {
		for _, t := range members[i].Assigned {
			for _, p := range t.Partitions {
				if _, err := f.engine.Partition([]byte(t.Topic), p); err == nil && !seen[groupPartition{t.Topic, p}] {
					add(t.Topic, coord.CommittedOffset{Partition: p, Offset: -1, LeaderEpoch: -1})
				}
			}
		}
	}
	slices.SortFunc(offsets, func(a, b wire.GroupOffset) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return offsets
}
