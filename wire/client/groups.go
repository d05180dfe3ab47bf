package client

import (
	"context"
	"fmt"

	"github.com/rollway/rollway/wire"
)

// CommitOffset commits offsets of a topic for a group that has no members, and
// returns once they are durable. Committing them again does no harm.
func (c *Client) CommitOffset(ctx context.Context, m wire.CommitOffset) error {
	if _, err := roundTrip(ctx, c, &m, wire.KindDone, wire.ParseDone); err != nil {
		return fmt.Errorf("commit offsets of %s for group %s: %w", m.Topic, m.Group, err)
	}
	return nil
}

// FetchOffset returns what a group has committed for a topic, or for all topics
// if that is empty, in the order of topics and partitions. Where nothing is
// committed there is nothing, also for a group that is not there.
func (c *Client) FetchOffset(ctx context.Context, group, topic string) ([]wire.TopicOffsets, error) {
	fetched, err := roundTrip(ctx, c, &wire.FetchOffset{Group: group, Topic: topic}, wire.KindOffsetsFetched, wire.ParseOffsetsFetched)
	if err != nil {
		return nil, fmt.Errorf("fetch offsets of group %s: %w", group, err)
	}
	return fetched.Topics, nil
}

// ListGroups returns all groups, in the order of the bytes of their ids, and which
// partitions of the offsets log the server cannot read: groups are missing then.
func (c *Client) ListGroups(ctx context.Context) (wire.GroupList, error) {
	list, err := roundTrip(ctx, c, &wire.ListGroups{}, wire.KindGroupList, wire.ParseGroupList)
	if err != nil {
		return wire.GroupList{}, fmt.Errorf("list groups: %w", err)
	}
	return list, nil
}

// DescribeGroup returns the members of a group and how far it is.
func (c *Client) DescribeGroup(ctx context.Context, group string) (wire.GroupDescription, error) {
	d, err := roundTrip(ctx, c, &wire.DescribeGroup{Group: group}, wire.KindGroupDescription, wire.ParseGroupDescription)
	if err != nil {
		return wire.GroupDescription{}, fmt.Errorf("describe group %s: %w", group, err)
	}
	return d, nil
}

// DeleteGroup removes a group that has no members, with its offsets, and returns
// once the removal is durable.
func (c *Client) DeleteGroup(ctx context.Context, group string) error {
	if _, err := roundTrip(ctx, c, &wire.DeleteGroup{Group: group}, wire.KindDone, wire.ParseDone); err != nil {
		return fmt.Errorf("delete group %s: %w", group, err)
	}
	return nil
}
