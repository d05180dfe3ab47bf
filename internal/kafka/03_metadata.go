package kafka

import (
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/netloop"
)

// Metadata (key 3), versions 0 to 13: which topics and nodes there are.
//
// No topics mean all of them, by an empty list in version 0 and by null later.
// Version 1 has the controller and internal topics, 2 the cluster id, 4 whether
// an unknown topic is to be created, 5 offline replicas, 7 leader epochs, 8
// authorized operations, 9 is flexible, 10 has topic ids, 11 drops the
// cluster's operations (DescribeCluster has them), 12 looks topics up by their
// id alone, 13 has an error at the top.
var metadataAPI = &api{
	key: 3, name: "Metadata", min: 0, max: 13, flexible: 9,
	access: access{topicResource, describeOperation},
	handle: (*session).metadata,
}

func (s *session) metadata(r *request, out *netloop.Out) error {
	m, err := readMetadata(&r.body, r.version)
	if err != nil {
		return err
	}
	local := s.peer.Local
	if names := s.toCreate(m); len(names) > 0 {
		s.run(r, out, func() kmsg.Response {
			failed := s.createAll(names)
			return s.metadataResponse(m, s.addressFor(local), failed)
		})
		return nil
	}
	s.answer(&r.header, s.metadataResponse(m, s.addressFor(local), nil), out)
	return nil
}

// readMetadata decodes a request; Topics is nil where all are meant.
func readMetadata(r *reader, version int16) (*kmsg.MetadataRequest, error) {
	m := kmsg.NewPtrMetadataRequest()
	m.Version = version
	least := 2 // a short name
	if version >= 10 {
		least = 18 // an id, no name, no tagged fields
	}
	m.Topics = slice(r, least, func(r *reader) kmsg.MetadataRequestTopic {
		t := kmsg.NewMetadataRequestTopic()
		if version >= 10 {
			t.TopicID = r.uuid()
			t.Topic = r.nullableString()
		} else {
			name := r.string()
			t.Topic = &name
		}
		r.tags()
		return t
	})
	if version == 0 && len(m.Topics) == 0 {
		m.Topics = nil
	}
	m.AllowAutoTopicCreation = version < 4 || r.bool()
	if version >= 8 && version <= 10 {
		m.IncludeClusterAuthorizedOperations = r.bool()
	}
	if version >= 8 {
		m.IncludeTopicAuthorizedOperations = r.bool()
	}
	r.tags()
	return m, r.end()
}

// toCreate returns the names that are to become topics because they were asked
// for.
func (s *session) toCreate(m *kmsg.MetadataRequest) (names []string) {
	if !m.AllowAutoTopicCreation || !s.autoCreateTopics() {
		return nil
	}
	for _, t := range m.Topics {
		if t.Topic == nil || s.engine.IsInternal(*t.Topic) {
			continue // the node makes its own when it needs them
		}
		if s.engine.Topics()[*t.Topic] == nil {
			names = append(names, *t.Topic)
		}
	}
	return names
}

// createAll creates topics with the defaults of this node, and returns why
// some were not.
func (s *session) createAll(names []string) (failed map[string]error) {
	failed = map[string]error{}
	refused := s.checkReplicationFactor(-1)
	for _, name := range names {
		err := refused
		if err == nil {
			_, err = s.engine.CreateTopic(engine.TopicSpec{Name: name})
		}
		if err != nil && !s.exists(name) {
			failed[name] = err
		}
	}
	for _, err := range failed {
		// One line, whatever a client asks for and however often.
		if !s.logged.Swap(true) {
			s.node.Log().Info("topics were not created when they were asked for", "peer", s.peer.Remote, "count", len(failed), "one reason", err)
		}
		break
	}
	return failed
}

// exists tells whether there is a topic of that name: another client may have
// been faster to create it.
func (f *frontend) exists(name string) bool {
	_, err := f.engine.Topic(name)
	return err == nil
}

// metadataResponse answers m. failed says why topics are not there that m
// would have created.
func (f *frontend) metadataResponse(m *kmsg.MetadataRequest, at Address, failed map[string]error) kmsg.Response {
	response := kmsg.NewPtrMetadataResponse()
	cluster := f.engine.ClusterID()
	response.ClusterID = &cluster
	response.ControllerID = f.engine.NodeID()
	response.Brokers = []kmsg.MetadataResponseBroker{{NodeID: f.engine.NodeID(), Host: at.Host, Port: at.Port}}
	response.AuthorizedOperations = operations(m.IncludeClusterAuthorizedOperations, clusterOperations)
	if m.Topics == nil {
		topics := f.engine.Topics()
		for _, name := range slices.Sorted(maps.Keys(topics)) {
			response.Topics = append(response.Topics, f.topicMetadata(topics[name]))
		}
	} else {
		response.Topics = f.lookUp(m.Topics, failed)
	}
	if m.IncludeTopicAuthorizedOperations {
		for i := range response.Topics {
			response.Topics[i].AuthorizedOperations = topicOperations
		}
	}
	return response
}

// lookUp describes the topics that were asked for, or says why not. One that is
// asked for again is described once: a request must not be answered by more
// than all that there is.
func (f *frontend) lookUp(asked []kmsg.MetadataRequestTopic, failed map[string]error) []kmsg.MetadataResponseTopic {
	answers := make([]kmsg.MetadataResponseTopic, 0, len(asked))
	described := map[*engine.Topic]bool{}
	for i := range asked {
		topic, why := f.find(&asked[i], failed)
		if topic == nil {
			d := kmsg.NewMetadataResponseTopic()
			d.Topic, d.TopicID, d.ErrorCode = asked[i].Topic, asked[i].TopicID, int16(why)
			answers = append(answers, d)
		} else if !described[topic] {
			described[topic] = true
			answers = append(answers, f.topicMetadata(topic))
		}
	}
	return answers
}

// find returns the topic that t names, or why there is none. It makes no error,
// which would cost more than the rest of the answer.
func (f *frontend) find(t *kmsg.MetadataRequestTopic, failed map[string]error) (*engine.Topic, code) {
	if t.Topic == nil {
		if topic, err := f.engine.TopicByID(t.TopicID); err == nil {
			return topic, codeNone
		}
		return nil, codeUnknownTopicID
	}
	if topic := f.engine.Topics()[*t.Topic]; topic != nil {
		return topic, codeNone
	}
	if err := failed[*t.Topic]; err != nil {
		why, _ := refusal(err)
		return nil, why
	}
	if !engine.IsTopicName(*t.Topic) {
		return nil, codeInvalidTopic
	}
	return nil, codeUnknownTopicOrPartition
}

// topicMetadata describes a topic. This node leads every partition that is
// ready.
func (f *frontend) topicMetadata(t *engine.Topic) kmsg.MetadataResponseTopic {
	d := kmsg.NewMetadataResponseTopic()
	name := t.Name()
	d.Topic, d.TopicID = &name, t.ID()
	d.IsInternal = t.Internal()
	nodes := []int32{f.engine.NodeID()} // shared by all partitions: only read
	d.Partitions = make([]kmsg.MetadataResponseTopicPartition, 0, len(t.Partitions()))
	for _, p := range t.Partitions() {
		e := kmsg.NewMetadataResponseTopicPartition()
		e.Partition, e.Replicas, e.ISR = p.Index(), nodes, nodes
		e.Leader, e.LeaderEpoch, e.ErrorCode = leaderOf(p, f.engine.NodeID())
		d.Partitions = append(d.Partitions, e)
	}
	return d
}

// leaderOf returns who leads p, and its epoch; nobody does while it is
// recovered, nor when its files are damaged.
func leaderOf(p *engine.Partition, node int32) (leader, epoch int32, errorCode int16) {
	if state, _ := p.State(); state != engine.Ready {
		return -1, -1, int16(codeLeaderNotAvailable)
	}
	return node, p.LeaderEpoch(), 0
}

// autoCreateTopics is Kafka's auto.create.topics.enable.
func (f *frontend) autoCreateTopics() bool { return f.node.Settings().AutoCreateTopics() }
