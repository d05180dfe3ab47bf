package server

import (
	"fmt"
	"strings"
	"time"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/coord"
	"github.com/rollway/rollway/internal/netloop"
	"github.com/rollway/rollway/wire"
)

// commitOffset commits offsets of partitions that are there for a group without
// members.
func (s *session) commitOffset(f wire.Frame, out *netloop.Out) error {
	m, err := wire.ParseCommitOffset(f)
	if err != nil {
		return err
	}
	t, err := s.engine.Topic(m.Topic)
	if err != nil {
		return err
	}
	topic := coord.CommitTopic{Topic: m.Topic, TopicID: t.ID(), Partitions: make([]coord.CommitPartition, 0, len(m.Partitions))}
	for _, p := range m.Partitions {
		if _, err := t.Partition(p.Partition); err != nil {
			return err
		}
		topic.Partitions = append(topic.Partitions, coord.CommitPartition{
			Partition: p.Partition, Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: p.Metadata,
		})
	}
	r := &coord.CommitRequest{Group: m.Group, Generation: -1, Topics: []coord.CommitTopic{topic}}
	s.await(f, out, s.node.Groups().Commit(r, time.Now()), func(code coord.Code) error {
		if code != coord.None {
			return s.groupRefusal(m.Group, code)
		}
		return uncommitted(&r.Topics[0])
	})
	return nil
}

// maxNamed bounds the partitions that one refusal names.
const maxNamed = 100

// uncommitted names the partitions whose offsets were not committed although the
// others were; nil if all were.
func uncommitted(t *coord.CommitTopic) error {
	var named []string
	for _, p := range t.Partitions {
		switch p.Code {
		case coord.None:
			continue
		case coord.UnknownTopicOrPartition: // which is so of all
			return fmt.Errorf("%w: %s was deleted meanwhile", engine.ErrUnknownTopic, t.Topic)
		}
		if len(named) == maxNamed {
			named = append(named, "and others")
			break
		}
		named = append(named, fmt.Sprintf("%s-%d (%d bytes)", t.Topic, p.Partition, len(p.Metadata)))
	}
	if named == nil {
		return nil
	}
	return fmt.Errorf("%w: of %s", errOffsetMetadataTooLarge, strings.Join(named, ", "))
}

// fetchOffset answers with what a group has committed.
func (s *session) fetchOffset(f wire.Frame, out *netloop.Out) error {
	m, err := wire.ParseFetchOffset(f)
	if err != nil {
		return err
	}
	topics, code := s.node.Groups().FetchOffsets(m.Group, nil)
	if code != coord.None {
		return s.groupRefusal(m.Group, code)
	}
	var answer wire.OffsetsFetched
	for _, t := range topics {
		if m.Topic != "" && m.Topic != t.Topic {
			continue
		}
		fetched := wire.TopicOffsets{Topic: t.Topic, Partitions: make([]wire.PartitionOffset, 0, len(t.Partitions))}
		for _, p := range t.Partitions {
			if p.Offset < 0 {
				continue // a Kafka client may commit that, and means none
			}
			fetched.Partitions = append(fetched.Partitions, wire.PartitionOffset{
				Partition: p.Partition, Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: legible(p.Metadata),
			})
		}
		answer.Topics = append(answer.Topics, fetched)
	}
	// Another frontend, or who has written the log, can have committed what no frame
	// of ours may have.
	if err := answer.Check(); err != nil {
		return fmt.Errorf("wire server: offsets of group %q: %w", m.Group, err)
	}
	return s.putWhole(answer.AppendTo(nil, f.RequestID), out)
}

// legible returns text that another frontend has taken as it may stand in a
// frame, no longer than it was.
func legible(text string) string { return strings.ToValidUTF8(text, "?") }
