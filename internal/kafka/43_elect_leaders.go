package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/netloop"
)

// ElectLeaders (key 43), versions 0 to 2: has the preferred replica of a
// partition lead it, or any that there is.
//
// Version 1 has the kind of election, before it is that of the preferred
// replica, and an error at the top; 2 is flexible. The only node leads every
// partition already, but those that are being recovered or damaged, which nobody
// can lead.
var electLeadersAPI = &api{
	key: 43, name: "ElectLeaders", min: 0, max: 2, flexible: 2,
	access: access{clusterResource, alterOperation},
	handle: (*session).electLeaders,
}

// Kinds of elections.
const (
	preferredElection = 0
	uncleanElection   = 1
)

func (s *session) electLeaders(r *request, out *netloop.Out) error {
	m, err := readElectLeaders(&r.body, r.version)
	if err != nil {
		return err
	}
	s.answer(&r.header, s.electLeadersResponse(m), out)
	return nil
}

// readElectLeaders decodes a request; Topics is nil where all partitions are
// meant.
func readElectLeaders(r *reader, version int16) (*kmsg.ElectLeadersRequest, error) {
	m := kmsg.NewPtrElectLeadersRequest()
	m.Version = version
	if version >= 1 {
		m.ElectionType = r.int8()
	}
	m.Topics = slice(r, 3, func(r *reader) kmsg.ElectLeadersRequestTopic {
		t := kmsg.NewElectLeadersRequestTopic()
		t.Topic = r.string()
		t.Partitions = nonNull(r, slice(r, 4, (*reader).int32))
		r.tags()
		return t
	})
	m.TimeoutMillis = r.int32()
	r.tags()
	return m, r.end()
}

// Why there was no election, at most 64 bytes each: one stands in the answer for
// every partition of the request.
var (
	hasLeaderText        = "this node leads the partition already"
	noLeaderText         = "the partition is being recovered or damaged"
	unknownPartitionText = "there is no such partition"
)

// electLeadersResponse elects nobody. Where all partitions are meant, those that
// need no election are not listed, as with Kafka.
func (s *session) electLeadersResponse(m *kmsg.ElectLeadersRequest) kmsg.Response {
	response := kmsg.NewPtrElectLeadersResponse()
	if m.ElectionType != preferredElection && m.ElectionType != uncleanElection {
		response.ErrorCode = int16(codeInvalidRequest)
		return response
	}
	for _, t := range m.Topics {
		a := kmsg.NewElectLeadersResponseTopic()
		a.Topic = t.Topic
		for _, index := range t.Partitions {
			p, err := s.engine.Partition([]byte(t.Topic), index)
			if err != nil {
				p = nil
			}
			a.Partitions = append(a.Partitions, notElected(index, p, m.ElectionType))
		}
		response.Topics = append(response.Topics, a)
	}
	return response
}

// notElected says why a partition, which is nil if it is unknown, keeps the
// leader that it has or has not.
func notElected(index int32, p *engine.Partition, election int8) kmsg.ElectLeadersResponseTopicPartition {
	a := kmsg.NewElectLeadersResponseTopicPartition()
	a.Partition = index
	var c code
	switch {
	case p == nil:
		c, a.ErrorMessage = codeUnknownTopicOrPartition, &unknownPartitionText
	case isLed(p):
		c, a.ErrorMessage = codeElectionNotNeeded, &hasLeaderText
	case election == preferredElection:
		c, a.ErrorMessage = codeNoPreferredLeader, &noLeaderText
	default:
		c, a.ErrorMessage = codeNoEligibleLeaders, &noLeaderText
	}
	a.ErrorCode = int16(c)
	return a
}

// isLed tells whether this node leads p.
func isLed(p *engine.Partition) bool {
	state, _ := p.State()
	return state == engine.Ready
}
