package server

import (
	"fmt"
	"maps"
	"slices"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/topicconfig"
	"github.com/rollway/rollway/internal/netloop"
	"github.com/rollway/rollway/wire"
)

// createTopic makes a topic, as a task: directories are synced.
func (s *session) createTopic(f wire.Frame, out *netloop.Out) error {
	m, err := wire.ParseCreateTopic(f)
	if err != nil {
		return err
	}
	spec := engine.TopicSpec{Name: m.Topic, Partitions: m.Partitions}
	if m.Partitions == wire.ServerDefault {
		spec.Partitions = 0
	}
	if spec.Configs, err = configMap("configs", m.Configs); err != nil {
		return err
	}
	s.runChange(f, out, func() error {
		_, err := s.engine.CreateTopic(spec)
		return err
	})
	return nil
}

// alterTopic changes a topic, as a task.
func (s *session) alterTopic(f wire.Frame, out *netloop.Out) error {
	m, err := wire.ParseAlterTopic(f)
	if err != nil {
		return err
	}
	change := engine.TopicChange{Reset: m.Reset, Partitions: m.Partitions}
	if change.Set, err = configMap("set", m.Set); err != nil {
		return err
	}
	for _, key := range m.Reset {
		if _, both := change.Set[key]; both {
			return fmt.Errorf("%w: AlterTopic: config key %q is set and reset, want one of them", errInvalidRequest, key)
		}
	}
	s.runChange(f, out, func() error {
		_, err := s.engine.AlterTopic(m.Topic, change)
		return err
	})
	return nil
}

// deleteTopic removes a topic, as a task.
func (s *session) deleteTopic(f wire.Frame, out *netloop.Out) error {
	m, err := wire.ParseDeleteTopic(f)
	if err != nil {
		return err
	}
	s.runChange(f, out, func() error {
		t, err := s.engine.Topic(m.Topic)
		if err != nil {
			return err
		}
		return s.node.DeleteTopic(t)
	})
	return nil
}

// runChange runs change as a task that is answered by Done.
func (s *session) runChange(f wire.Frame, out *netloop.Out, change func() error) {
	id := f.RequestID
	s.run(f, out, func(dst []byte) ([]byte, error) {
		if err := change(); err != nil {
			return nil, err
		}
		return new(wire.Done).AppendTo(dst, id), nil
	})
}

// configMap returns the configs by key. The same key twice is refused: which
// value was meant cannot be guessed.
func configMap(field string, configs []wire.Config) (map[string]string, error) {
	m := make(map[string]string, len(configs))
	for _, c := range configs {
		if _, twice := m[c.Key]; twice {
			return nil, fmt.Errorf("%w: %s: config key %q twice, want it once", errInvalidRequest, field, c.Key)
		}
		m[c.Key] = c.Value
	}
	return m, nil
}

// listTopics answers a ListTopics.
func (s *session) listTopics(f wire.Frame, out *netloop.Out) error {
	if _, err := wire.ParseListTopics(f); err != nil {
		return err
	}
	topics := s.engine.Topics()
	m := wire.TopicList{Topics: make([]wire.TopicEntry, 0, len(topics))}
	for _, name := range slices.Sorted(maps.Keys(topics)) {
		t := topics[name]
		m.Topics = append(m.Topics, wire.TopicEntry{Topic: name, TopicID: t.ID(), Partitions: int32(len(t.Partitions()))})
	}
	return s.putWhole(m.AppendTo(nil, f.RequestID), out)
}

// describeTopic answers a DescribeTopic.
func (s *session) describeTopic(f wire.Frame, out *netloop.Out) error {
	m, err := wire.ParseDescribeTopic(f)
	if err != nil {
		return err
	}
	t, err := s.engine.Topic(m.Topic)
	if err != nil {
		return err
	}
	d := wire.TopicDescription{Topic: t.Name(), TopicID: t.ID()}
	for _, p := range t.Partitions() {
		d.Partitions = append(d.Partitions, s.describePartition(p))
	}
	for _, e := range t.Configs() {
		d.Configs = append(d.Configs, wire.ConfigDescription{
			Key:           e.Name,
			Value:         e.Value,
			Source:        sources[e.Source],
			Documentation: e.Documentation,
			InForce:       e.InForce,
		})
	}
	// Who embeds the engine can set values that no frame of ours may have.
	if err := d.Check(); err != nil {
		return fmt.Errorf("wire server: description of topic %s: %w", t.Name(), err)
	}
	return s.putWhole(d.AppendTo(nil, f.RequestID), out)
}

var sources = map[topicconfig.Source]wire.Source{
	topicconfig.FromDefault:  wire.SourceDefault,
	topicconfig.FromStatic:   wire.SourceServer,
	topicconfig.FromAllNodes: wire.SourceServer,
	topicconfig.FromNode:     wire.SourceServer,
	topicconfig.FromTopic:    wire.SourceTopic,
}

// describePartition describes p; what is not known is -1.
func (s *session) describePartition(p *engine.Partition) wire.Partition {
	d := wire.Partition{Index: p.Index(), LeaderEpoch: -1, LogStart: -1, HighWatermark: -1, LogEnd: -1}
	state, _ := p.State()
	switch state {
	case engine.Recovering:
		d.State = wire.StateRecovering
		return d
	case engine.Ready:
		d.State = wire.StateReady
	default:
		d.State = wire.StateFailed
		return d
	}
	if s.engine.Failure() != nil {
		d.State = wire.StateFailed
	}
	o := p.Offsets()
	d.LeaderEpoch = p.LeaderEpoch()
	d.LogStart, d.HighWatermark, d.LogEnd = int64(o.LogStart), int64(o.HighWatermark), int64(o.LogEnd)
	return d
}

// putWhole answers with a frame that grows with what the node holds, unless it
// has outgrown the limit.
func (s *session) putWhole(frame []byte, out *netloop.Out) error {
	if err := s.checkWhole(frame); err != nil {
		return err
	}
	out.Buf = append(out.Buf, frame...)
	return nil
}

// checkWhole refuses to answer with a frame that has outgrown the limit.
func (s *session) checkWhole(frame []byte) error {
	if payload := len(frame) - wire.HeadSize; payload > s.maxFrame {
		return fmt.Errorf("%w: the answer has %d bytes, a frame at most %d", errTooLarge, payload, s.maxFrame)
	}
	return nil
}
