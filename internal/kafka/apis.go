package kafka

import (
	"unsafe"

	"github.com/rollway/rollway/internal/netloop"
)

// api is one key of the protocol.
type api struct {
	key  int16
	name string

	// The versions that are carried out, and the first flexible one (KIP-482).
	min, max, flexible int16
	// decodable is the first version that is carried out, where it is above min:
	// min is advertised all the same, since old clients conclude from it what
	// the server can do.
	decodable int16

	// overlaps tells that requests of this key, one behind the other, do not wait
	// for one another's answers.
	overlaps bool

	// access is what a client needs to be allowed for it.
	access access

	// handle decodes the request and appends its answer to out, or an answer
	// that is to come. Its error is that the request cannot be decoded, and ends
	// the connection.
	handle func(s *session, r *request, out *netloop.Out) error
}

// least is the first version that is carried out.
func (a *api) least() int16 { return max(a.min, a.decodable) }

// access is an operation on a kind of resource, as Kafka's authorizer knows
// them (KIP-11 and later). Where a request names no resource of that kind, what
// is returned is cut down to what may be described.
type access struct {
	resource  resource
	operation operation
}

// resource is a kind of resource; the values are Kafka's ResourceType.
type resource uint8

const (
	anyResource     resource = 1 // none in particular: whoever is connected
	topicResource   resource = 2
	groupResource   resource = 3
	clusterResource resource = 4
)

// operation is what is done with it; the values are Kafka's AclOperation.
type operation uint8

const (
	anyOperation             operation = 1
	readOperation            operation = 3
	writeOperation           operation = 4
	createOperation          operation = 5
	deleteOperation          operation = 6
	alterOperation           operation = 7
	describeOperation        operation = 8
	clusterActionOperation   operation = 9
	describeConfigsOperation operation = 10
	alterConfigsOperation    operation = 11
	idempotentWriteOperation operation = 12
)

// apis are the keys that are served, in order. What is not complete is not
// among them: clients take what is advertised for granted.
var apis []*api

func init() {
	// In a function, since ApiVersions answers with the table that it is in.
	apis = []*api{
		produceAPI,
		fetchAPI,
		listOffsetsAPI,
		metadataAPI,
		offsetCommitAPI,
		offsetFetchAPI,
		findCoordinatorAPI,
		joinGroupAPI,
		heartbeatAPI,
		leaveGroupAPI,
		syncGroupAPI,
		describeGroupsAPI,
		listGroupsAPI,
		saslHandshakeAPI,
		apiVersionsAPI,
		createTopicsAPI,
		deleteTopicsAPI,
		deleteRecordsAPI,
		initProducerIDAPI,
		offsetForLeaderEpochAPI,
		describeACLsAPI,
		describeConfigsAPI,
		alterConfigsAPI,
		describeLogDirsAPI,
		saslAuthenticateAPI,
		createPartitionsAPI,
		deleteGroupsAPI,
		electLeadersAPI,
		incrementalAlterConfigsAPI,
		listPartitionReassignmentsAPI,
		offsetDeleteAPI,
		describeClusterAPI,
		describeTopicPartitionsAPI,
	}
	for _, a := range apis {
		byKey[a.key] = a
	}
}

// byKey finds an api without a search.
var byKey [128]*api

// apiOf returns nil for a key that is not served.
func apiOf(key int16) *api {
	if key < 0 || int(key) >= len(byKey) {
		return nil
	}
	return byKey[key]
}

// sizeOf is the memory of one element of a slice of T, without what it points
// to.
func sizeOf[T any](v T) uintptr { return unsafe.Sizeof(v) }
