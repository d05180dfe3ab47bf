package client

import (
	"context"
	"fmt"

	"github.com/rollway/rollway/wire"
)

// CreateTopic makes a topic and returns once it is durable.
func (c *Client) CreateTopic(ctx context.Context, m wire.CreateTopic) error {
	if _, err := roundTrip(ctx, c, &m, wire.KindDone, wire.ParseDone); err != nil {
		return fmt.Errorf("create topic %s: %w", m.Topic, err)
	}
	return nil
}

// DescribeTopic returns the partitions and configs of a topic.
func (c *Client) DescribeTopic(ctx context.Context, topic string) (wire.TopicDescription, error) {
	d, err := roundTrip(ctx, c, &wire.DescribeTopic{Topic: topic}, wire.KindTopicDescription, wire.ParseTopicDescription)
	if err != nil {
		return wire.TopicDescription{}, fmt.Errorf("describe topic %s: %w", topic, err)
	}
	return d, nil
}

// ListTopics returns all topics, in the order of the bytes of their names.
func (c *Client) ListTopics(ctx context.Context) ([]wire.TopicEntry, error) {
	list, err := roundTrip(ctx, c, &wire.ListTopics{}, wire.KindTopicList, wire.ParseTopicList)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	return list.Topics, nil
}

// AlterTopic changes configs and adds partitions, all or nothing, and returns
// once the change is durable.
func (c *Client) AlterTopic(ctx context.Context, m wire.AlterTopic) error {
	if _, err := roundTrip(ctx, c, &m, wire.KindDone, wire.ParseDone); err != nil {
		return fmt.Errorf("alter topic %s: %w", m.Topic, err)
	}
	return nil
}

// DeleteTopic removes a topic with its records and returns once the removal is
// durable.
func (c *Client) DeleteTopic(ctx context.Context, topic string) error {
	if _, err := roundTrip(ctx, c, &wire.DeleteTopic{Topic: topic}, wire.KindDone, wire.ParseDone); err != nil {
		return fmt.Errorf("delete topic %s: %w", topic, err)
	}
	return nil
}

// ListOffsets returns one offset of a partition. timestampMs is for
// wire.QueryTimestamp and 0 for the other queries. The offset found is -1 if
// there is no such record.
func (c *Client) ListOffsets(ctx context.Context, topic string, partition int32, query wire.Query, timestampMs int64) (wire.OffsetFound, error) {
	m := wire.ListOffsets{Topic: []byte(topic), Partition: partition, Query: query, TimestampMs: timestampMs}
	found, err := roundTrip(ctx, c, &m, wire.KindOffsetFound, wire.ParseOffsetFound)
	if err != nil {
		return wire.OffsetFound{}, fmt.Errorf("list offsets of %s-%d: %w", topic, partition, err)
	}
	return found, nil
}

// DeleteRecords deletes the records of a partition below the offset before, which
// is at most the high watermark, or wire.ToHighWatermark for that. It returns the
// first offset that there is then, once the deletion is durable.
func (c *Client) DeleteRecords(ctx context.Context, topic string, partition int32, before int64) (int64, error) {
	m := wire.DeleteRecords{Topic: []byte(topic), Partition: partition, Before: before}
	deleted, err := roundTrip(ctx, c, &m, wire.KindRecordsDeleted, wire.ParseRecordsDeleted)
	if err != nil {
		return 0, fmt.Errorf("delete records of %s-%d: %w", topic, partition, err)
	}
	return deleted.LogStart, nil
}

// InitProducer returns an id for an idempotent producer, or the next epoch of
// the one that m has. A Producer does this by itself.
func (c *Client) InitProducer(ctx context.Context, m wire.InitProducer) (wire.ProducerAssigned, error) {
	assigned, err := roundTrip(ctx, c, &m, wire.KindProducerAssigned, wire.ParseProducerAssigned)
	if err != nil {
		return wire.ProducerAssigned{}, fmt.Errorf("init producer: %w", err)
	}
	return assigned, nil
}

// SkipDamage lets readers past the damage that m names, or with DryRun only tells
// what that is, and returns it in the order of its offsets. It returns once
// readers are let past it for good; asking again does no harm.
func (c *Client) SkipDamage(ctx context.Context, m wire.SkipDamage) ([]wire.DamagedRange, error) {
	skipped, err := roundTrip(ctx, c, &m, wire.KindDamageSkipped, wire.ParseDamageSkipped)
	if err != nil {
		return nil, fmt.Errorf("skip damage of %s-%d: %w", m.Topic, m.Partition, err)
	}
	return skipped.Ranges, nil
}
