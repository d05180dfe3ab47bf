package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/internal/node"
)

// DescribeCluster names this node, in both versions, and knows no controllers.
func TestDescribeCluster(t *testing.T) {
	f := openFrontend(t, node.Options{})
	c := dial(t, f)
	for version := int16(0); version <= 1; version++ {
		m := kmsg.NewPtrDescribeClusterRequest()
		answer := c.ask(m, version).(*kmsg.DescribeClusterResponse)
		b := answer.Brokers
		if answer.ErrorCode != 0 || answer.ClusterID != f.engine.ClusterID() || answer.ControllerID != 0 || len(b) != 1 || b[0].Host != "127.0.0.1" || b[0].Port != 9092 {
			t.Errorf("version %d: %+v", version, answer)
		}
		if answer.ClusterAuthorizedOperations != noOperations {
			t.Errorf("version %d: operations %x without being asked", version, answer.ClusterAuthorizedOperations)
		}
		m.IncludeClusterAuthorizedOperations = true
		if answer := c.ask(m, version).(*kmsg.DescribeClusterResponse); answer.ClusterAuthorizedOperations != clusterOperations {
			t.Errorf("version %d: operations %x", version, answer.ClusterAuthorizedOperations)
		}
	}
	m := kmsg.NewPtrDescribeClusterRequest()
	m.EndpointType = controllerEndpoint
	answer := c.ask(m, 1).(*kmsg.DescribeClusterResponse)
	checkOutcome(t, "controllers", answer.ErrorCode, answer.ErrorMessage, codeMismatchedEndpoint, "brokers")
	m.EndpointType = 9
	answer = c.ask(m, 1).(*kmsg.DescribeClusterResponse)
	checkOutcome(t, "type 9", answer.ErrorCode, answer.ErrorMessage, codeUnsupportedEndpoint, "found 9")
}

// This node looks after every group, in every version, and nobody after
// transactions: an error that clients do not try again says so.
func TestFindCoordinator(t *testing.T) {
	c := dial(t, openFrontend(t, node.Options{}))
	ask := func(version int16, kind int8, keys ...string) []kmsg.FindCoordinatorResponseCoordinator {
		t.Helper()
		m := kmsg.NewPtrFindCoordinatorRequest()
		m.CoordinatorType, m.CoordinatorKey, m.CoordinatorKeys = kind, keys[0], keys
		a := c.ask(m, version).(*kmsg.FindCoordinatorResponse)
		if version >= 4 {
			return a.Coordinators
		}
		return []kmsg.FindCoordinatorResponseCoordinator{{Key: keys[0], NodeID: a.NodeID, Host: a.Host, Port: a.Port, ErrorCode: a.ErrorCode, ErrorMessage: a.ErrorMessage}}
	}
	for version := int16(0); version <= 6; version++ {
		keys := []string{"group", ""}
		for i, a := range ask(version, 0, keys...) {
			checkOutcome(t, "group", a.ErrorCode, a.ErrorMessage, codeNone, "")
			if a.Key != keys[i] || a.NodeID != 0 || a.Host != "127.0.0.1" || a.Port != 9092 {
				t.Errorf("version %d: %+v", version, a)
			}
		}
		if version == 0 {
			continue // groups only
		}
		for kind, words := range map[int8]string{1: "transactions", 2: "share groups", 7: "type 7"} {
			for _, a := range ask(version, kind, keys...) {
				checkOutcome(t, words, a.ErrorCode, a.ErrorMessage, codeInvalidRequest, words)
				if a.NodeID != -1 || a.Port != -1 || a.Host != "" {
					t.Errorf("version %d: %+v", version, a)
				}
			}
		}
	}
}

// There is no authorizer, and no partition moves.
func TestNothingThere(t *testing.T) {
	c := dial(t, openFrontend(t, node.Options{}))
	for version := int16(1); version <= 3; version++ {
		answer := c.ask(kmsg.NewPtrDescribeACLsRequest(), version).(*kmsg.DescribeACLsResponse)
		checkOutcome(t, "acls", answer.ErrorCode, answer.ErrorMessage, codeSecurityDisabled, "no authorizer")
	}
	m := kmsg.NewPtrListPartitionReassignmentsRequest()
	for _, m.Topics = range [][]kmsg.ListPartitionReassignmentsRequestTopic{nil, {{Topic: "t", Partitions: []int32{0}}}} {
		answer := c.ask(m, 0).(*kmsg.ListPartitionReassignmentsResponse)
		if answer.ErrorCode != 0 || len(answer.Topics) != 0 {
			t.Errorf("reassignments: %+v", answer)
		}
	}
}

// Every partition that there is has its leader, in every version.
func TestElectLeaders(t *testing.T) {
	f := openFrontend(t, node.Options{})
	createTopic(t, f, "t", 2)
	c := dial(t, f)
	for version := int16(0); version <= 2; version++ {
		m := kmsg.NewPtrElectLeadersRequest()
		answer := c.ask(m, version).(*kmsg.ElectLeadersResponse)
		if answer.ErrorCode != 0 || len(answer.Topics) != 0 {
			t.Errorf("version %d, all: %+v", version, answer)
		}
		m.Topics = []kmsg.ElectLeadersRequestTopic{{Topic: "t", Partitions: []int32{1, 2, -1}}, {Topic: "u", Partitions: []int32{0}}}
		for m.ElectionType = 0; m.ElectionType <= 1; m.ElectionType++ {
			answer = c.ask(m, version).(*kmsg.ElectLeadersResponse)
			if answer.ErrorCode != 0 || len(answer.Topics) != 2 || len(answer.Topics[0].Partitions) != 3 {
				t.Fatalf("version %d: %+v", version, answer)
			}
			all := append(answer.Topics[0].Partitions, answer.Topics[1].Partitions...)
			checkOutcome(t, "t-1", all[0].ErrorCode, all[0].ErrorMessage, codeElectionNotNeeded, "already")
			for i := 1; i < 4; i++ {
				checkOutcome(t, "unknown", all[i].ErrorCode, all[i].ErrorMessage, codeUnknownTopicOrPartition, "no such partition")
			}
		}
		m.ElectionType = 5
		if answer = c.ask(m, version).(*kmsg.ElectLeadersResponse); version >= 1 && (code(answer.ErrorCode) != codeInvalidRequest || len(answer.Topics) != 0) {
			t.Errorf("version %d, election of type 5: %+v", version, answer)
		}
	}
}
