package kafka

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/internal/netloop"
)

// DescribeCluster (key 60), versions 0 and 1: which nodes there are.
//
// Version 1 asks for brokers or for controllers (KIP-919). A listener of clients
// knows brokers only, as with Kafka.
var describeClusterAPI = &api{
	key: 60, name: "DescribeCluster", min: 0, max: 1, flexible: 0,
	access: access{clusterResource, describeOperation},
	handle: (*session).describeCluster,
}

// Kinds of endpoints.
const (
	brokerEndpoint     = 1
	controllerEndpoint = 2
)

func (s *session) describeCluster(r *request, out *netloop.Out) error {
	m, err := readDescribeCluster(&r.body, r.version)
	if err != nil {
		return err
	}
	response := kmsg.NewPtrDescribeClusterResponse()
	if err := checkEndpoint(m.EndpointType); err != nil {
		response.ErrorCode, response.ErrorMessage = s.outcome("DescribeCluster", err)
		response.ControllerID = -1
	} else {
		at := s.addressFor(s.peer.Local)
		response.ClusterID, response.ControllerID = s.engine.ClusterID(), s.engine.NodeID()
		response.Brokers = []kmsg.DescribeClusterResponseBroker{{NodeID: s.engine.NodeID(), Host: at.Host, Port: at.Port}}
		response.ClusterAuthorizedOperations = operations(m.IncludeClusterAuthorizedOperations, clusterOperations)
	}
	s.answer(&r.header, response, out)
	return nil
}

func readDescribeCluster(r *reader, version int16) (*kmsg.DescribeClusterRequest, error) {
	m := kmsg.NewPtrDescribeClusterRequest()
	m.Version = version
	m.IncludeClusterAuthorizedOperations = r.bool()
	m.EndpointType = brokerEndpoint
	if version >= 1 {
		m.EndpointType = r.int8()
	}
	r.tags()
	return m, r.end()
}

// checkEndpoint refuses a kind of endpoint that this listener does not know.
func checkEndpoint(kind int8) error {
	switch kind {
	case brokerEndpoint:
		return nil
	case controllerEndpoint:
		return fmt.Errorf("%w: asked for controllers (2), this listener is one of brokers (1)", errMismatchedEndpoint)
	}
	return fmt.Errorf("%w: found %d, want 1, brokers", errUnsupportedEndpoint, kind)
}
