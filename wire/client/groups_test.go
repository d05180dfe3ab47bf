package client

import (
	"reflect"
	"testing"

	"github.com/rollway/rollway/wire"
)

// Requests about groups are sent as they were asked for, and their answers, or why they were refused, come back.
func TestGroups(t *testing.T) {
	commit := wire.CommitOffset{Group: "g", Topic: "orders", Partitions: []wire.PartitionOffset{{Partition: 1, Offset: 42, LeaderEpoch: 3, Metadata: "m"}}}
	fetched := wire.OffsetsFetched{Topics: []wire.TopicOffsets{{Topic: "orders", Partitions: commit.Partitions}}}
	list := wire.GroupList{Groups: []wire.GroupEntry{{Group: "g", State: wire.GroupStable, ProtocolType: "consumer"}}, Missing: []int32{7}}
	description := wire.GroupDescription{Group: "g", State: wire.GroupStable, Members: []wire.GroupMember{{Member: "m-1"}}, Offsets: []wire.GroupOffset{{Topic: "orders", Lag: 8}}}
	c := serve(t, func(s *fake) {
		f := s.expect(wire.KindCommitOffset)
		if m, err := wire.ParseCommitOffset(f); err != nil || !reflect.DeepEqual(m, commit) {
			s.fail("%+v %v", m, err)
		}
		s.send(&wire.Done{}, f.RequestID)
		s.send(wire.Errorf(wire.CodeGroupNotEmpty, "g has members"), s.expect(wire.KindCommitOffset).RequestID)
		f = s.expect(wire.KindFetchOffset)
		if m, err := wire.ParseFetchOffset(f); err != nil || m != (wire.FetchOffset{Group: "g", Topic: "orders"}) {
			s.fail("%+v %v", m, err)
		}
		s.send(&fetched, f.RequestID)
		s.send(&list, s.expect(wire.KindListGroups).RequestID)
		s.send(&description, s.expect(wire.KindDescribeGroup).RequestID)
		s.send(wire.Errorf(wire.CodeUnknownGroup, "h"), s.expect(wire.KindDescribeGroup).RequestID)
		f = s.expect(wire.KindDeleteGroup)
		if m, err := wire.ParseDeleteGroup(f); err != nil || m.Group != "g" {
			s.fail("%+v %v", m, err)
		}
		s.send(&wire.Done{}, f.RequestID)
		s.send(wire.Errorf(wire.CodeGroupsLoading, "wait"), s.expect(wire.KindDeleteGroup).RequestID)
		s.end()
	})
	ctx := t.Context()
	if err := c.CommitOffset(ctx, commit); err != nil {
		t.Error(err)
	}
	err := c.CommitOffset(ctx, commit)
	wantCode(t, err, wire.CodeGroupNotEmpty)
	wantError(t, err, "commit offsets of orders for group g: group not empty: g has members")
	if got, err := c.FetchOffset(ctx, "g", "orders"); err != nil || !reflect.DeepEqual(got, fetched.Topics) {
		t.Errorf("%+v %v", got, err)
	}
	if got, err := c.ListGroups(ctx); err != nil || !reflect.DeepEqual(got, list) {
		t.Errorf("%+v %v", got, err)
	}
	if got, err := c.DescribeGroup(ctx, "g"); err != nil || !reflect.DeepEqual(got, description) {
		t.Errorf("%+v %v", got, err)
	}
	_, err = c.DescribeGroup(ctx, "h")
	wantError(t, err, "describe group h: unknown group: h")
	if err := c.DeleteGroup(ctx, "g"); err != nil {
		t.Error(err)
	}
	err = c.DeleteGroup(ctx, "g")
	wantError(t, err, "delete group g: groups loading: wait")

	// What cannot be is refused before it is sent.
	wantCode(t, c.CommitOffset(ctx, wire.CommitOffset{Group: "g", Topic: "orders"}), wire.CodeInvalidRequest)
	wantCode(t, c.DeleteGroup(ctx, ""), wire.CodeInvalidRequest)
}
