package kafka

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/topicconfig"
	"github.com/rollway/rollway/internal/netloop"
)

// CreateTopics (key 19), versions 2 to 7: makes topics.
//
// Version 4 has -1 for the default number of partitions and replication factor,
// taken in every version here as in Kafka; 5 is flexible and answers with
// partitions and configs; 6 lets a quota refuse; 7 answers with topic ids.
// timeout_ms is not looked at: Kafka answers 0 with REQUEST_TIMED_OUT, here the
// topics are made.
var createTopicsAPI = &api{
	key: 19, name: "CreateTopics", min: 2, max: 7, flexible: 5,
	access: access{clusterResource, createOperation},
	handle: (*session).createTopics,
}

func (s *session) createTopics(r *request, out *netloop.Out) error {
	m, err := readCreateTopics(&r.body, r.version)
	if err != nil {
		return err
	}
	memory := r.body.memory
	s.run(r, out, func() kmsg.Response { return s.createTopicsResponse(m, memory) })
	return nil
}

func readCreateTopics(r *reader, version int16) (*kmsg.CreateTopicsRequest, error) {
	m := kmsg.NewPtrCreateTopicsRequest()
	m.Version = version
	m.Topics = nonNull(r, slice(r, 10, func(r *reader) kmsg.CreateTopicsRequestTopic {
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic = r.string()
		t.NumPartitions = r.int32()
		t.ReplicationFactor = r.int16()
		t.ReplicaAssignment = nonNull(r, slice(r, 6, func(r *reader) kmsg.CreateTopicsRequestTopicReplicaAssignment {
			a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
			a.Partition = r.int32()
			a.Replicas = nonNull(r, slice(r, 4, (*reader).int32))
			r.tags()
			return a
		}))
		t.Configs = nonNull(r, slice(r, 3, func(r *reader) kmsg.CreateTopicsRequestTopicConfig {
			c := kmsg.NewCreateTopicsRequestTopicConfig()
			c.Name = r.string()
			c.Value = r.nullableString()
			r.tags()
			return c
		}))
		r.tags()
		return t
	}))
	r.chargeTexts(len(m.Topics))
	m.TimeoutMillis = r.int32()
	m.ValidateOnly = r.bool()
	r.tags()
	return m, r.end()
}

// createTopicsResponse makes the topics, one after another, and answers with
// their configs as long as those take less than memory bytes.
func (s *session) createTopicsResponse(m *kmsg.CreateTopicsRequest, memory int64) kmsg.Response {
	response := kmsg.NewPtrCreateTopicsResponse()
	names := occurrencesOf(m.Topics, func(t *kmsg.CreateTopicsRequestTopic) string { return t.Topic })
	for i := range m.Topics {
		t := &m.Topics[i]
		a := kmsg.NewCreateTopicsResponseTopic()
		a.Topic = t.Topic
		a.Configs = []kmsg.CreateTopicsResponseTopicConfig{} // null is for those that may not be seen
		var configs []topicconfig.Entry
		var err error
		switch times := names.take(t.Topic); {
		case times == 0:
			continue
		case times > 1:
			err = duplicate("topic", t.Topic, times)
		case m.ValidateOnly:
			configs, err = s.checkTopic(t, &a)
		default:
			configs, err = s.makeTopic(t, &a)
		}
		if err != nil {
			a.ErrorCode, a.ErrorMessage = s.outcome("CreateTopics", err)
		} else if m.Version >= 5 {
			memory = describeCreated(&a, configs, memory)
		}
		response.Topics = append(response.Topics, a)
	}
	return response
}

// makeTopic creates a topic, and fills in what it has become.
func (s *session) makeTopic(t *kmsg.CreateTopicsRequestTopic, a *kmsg.CreateTopicsResponseTopic) ([]topicconfig.Entry, error) {
	spec, err := s.topicSpec(t)
	if err != nil {
		return nil, err
	}
	topic, err := s.engine.CreateTopic(spec)
	if err != nil {
		return nil, err
	}
	a.TopicID, a.NumPartitions, a.ReplicationFactor = topic.ID(), int32(len(topic.Partitions())), 1
	return topic.Configs(), nil
}

// checkTopic finds out whether makeTopic would do, and fills in what would
// become of it. Without a topic there is no topic id.
func (s *session) checkTopic(t *kmsg.CreateTopicsRequestTopic, a *kmsg.CreateTopicsResponseTopic) ([]topicconfig.Entry, error) {
	spec, err := s.topicSpec(t)
	if err != nil {
		return nil, err
	}
	plan, err := s.engine.CheckTopic(spec)
	if err != nil {
		return nil, err
	}
	a.NumPartitions, a.ReplicationFactor = plan.Partitions, 1
	return plan.Configs, nil
}

// topicSpec is what the engine is to make of t. Where t has several faults, that
// of its name comes first, then of its configs, as in Kafka.
func (s *session) topicSpec(t *kmsg.CreateTopicsRequestTopic) (engine.TopicSpec, error) {
	spec := engine.TopicSpec{Name: t.Topic, Configs: make(map[string]string, len(t.Configs))}
	var fault error
	for _, c := range t.Configs {
		if c.Value == nil {
			fault = fmt.Errorf("%w %.100q: null, want a value", topicconfig.ErrInvalidValue, c.Name)
			continue
		}
		spec.Configs[c.Name] = *c.Value
	}
	if fault == nil {
		spec.Partitions, fault = s.partitionsOf(t)
	}
	if fault != nil {
		spec.Partitions = 1
		if _, err := s.engine.CheckTopic(spec); err != nil {
			return spec, err
		}
	}
	return spec, fault
}

// partitionsOf returns how many partitions t asks for, 0 for the default. This
// node is the only replica that there can be.
func (s *session) partitionsOf(t *kmsg.CreateTopicsRequestTopic) (int32, error) {
	if len(t.ReplicaAssignment) > 0 {
		return s.assignedPartitions(t)
	}
	if err := s.checkReplicationFactor(t.ReplicationFactor); err != nil {
		return 0, err
	}
	switch {
	case t.NumPartitions == -1:
		return 0, nil
	case t.NumPartitions <= 0:
		return 0, fmt.Errorf("%w: found %d, want at least 1, or -1 for the default", engine.ErrInvalidPartitions, t.NumPartitions)
	}
	return t.NumPartitions, nil
}

// checkReplicationFactor refuses a replication factor that this node, the only
// one, does not reach; -1 is the default.
func (f *frontend) checkReplicationFactor(factor int16) error {
	settings := f.node.Settings()
	found := fmt.Sprintf("found %d", factor)
	if factor == -1 {
		factor = settings.DefaultReplicationFactor()
		found = fmt.Sprintf("default.replication.factor is %d", factor)
	}
	switch {
	case factor < 1:
		return fmt.Errorf("%w: %s, want at least 1, or -1 for the default", errInvalidReplicationFactor, found)
	case factor > 1 && !settings.AcceptAnyReplicationFactor():
		return fmt.Errorf("%w: %s, want 1: there is one node (rollway.accept.any.replication.factor=true takes any)", errInvalidReplicationFactor, found)
	}
	return nil
}

// assignedPartitions returns how many partitions t has whose replicas it names
// itself: each, from 0 on, once, and on this node.
func (s *session) assignedPartitions(t *kmsg.CreateTopicsRequestTopic) (int32, error) {
	if t.NumPartitions != -1 || t.ReplicationFactor != -1 {
		return 0, fmt.Errorf("%w: %d partitions and replication factor %d beside an assignment of replicas, want -1 and -1",
			errInvalidRequest, t.NumPartitions, t.ReplicationFactor)
	}
	assigned := make([]bool, len(t.ReplicaAssignment))
	for _, a := range t.ReplicaAssignment {
		switch {
		case a.Partition < 0 || int(a.Partition) >= len(assigned):
			return 0, fmt.Errorf("%w: partition %d among %d, want those from 0 on without a gap", errInvalidReplicaAssignment, a.Partition, len(assigned))
		case assigned[a.Partition]:
			return 0, fmt.Errorf("%w: partition %d stands in it twice", errInvalidReplicaAssignment, a.Partition)
		}
		assigned[a.Partition] = true
		if err := s.checkReplicas(a.Partition, a.Replicas); err != nil {
			return 0, err
		}
	}
	return int32(len(assigned)), nil
}

// checkReplicas refuses replicas of a partition that are not this node alone.
func (s *session) checkReplicas(partition int32, replicas []int32) error {
	node := s.engine.NodeID()
	switch {
	case len(replicas) == 0:
		return fmt.Errorf("%w: partition %d has no replicas, want node %d", errInvalidReplicaAssignment, partition, node)
	case replicas[0] != node:
		return fmt.Errorf("%w: partition %d on node %d, there is only node %d", errInvalidReplicaAssignment, partition, replicas[0], node)
	case len(replicas) > 1:
		return fmt.Errorf("%w: partition %d has %d replicas, there is only node %d", errInvalidReplicaAssignment, partition, len(replicas), node)
	}
	return nil
}

// describeCreated adds the configs to the answer about a topic if they take
// less than memory bytes, and returns what is left. A topic whose configs are
// left out is there all the same, and says so.
func describeCreated(a *kmsg.CreateTopicsResponseTopic, configs []topicconfig.Entry, memory int64) int64 {
	list := make([]kmsg.CreateTopicsResponseTopicConfig, len(configs))
	var size int64
	for i := range configs {
		c := &list[i]
		c.Default()
		value := configs[i].Value
		c.Name, c.Value, c.Source = configs[i].Name, &value, int8(configSources[configs[i].Source])
		size += int64(sizeOf(*c)+sizeOf(value)) + int64(len(c.Name)+len(value)) + 8
	}
	if size > memory {
		a.Configs, a.ConfigErrorCode = nil, int16(codePolicyViolation)
		return memory
	}
	a.Configs = list
	return memory - size
}
