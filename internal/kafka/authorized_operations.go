package kafka

import "math"

// noOperations is the bit field of a request that did not ask for operations.
const noOperations = math.MinInt32

// What a client may do with a resource, as a bit field by operation (KIP-430):
// all that there is, since there is no authorizer.
var (
	topicOperations = bits(readOperation, writeOperation, createOperation, deleteOperation, alterOperation,
		describeOperation, describeConfigsOperation, alterConfigsOperation)
	groupOperations   = bits(readOperation, deleteOperation, describeOperation)
	clusterOperations = bits(createOperation, alterOperation, describeOperation, clusterActionOperation,
		describeConfigsOperation, alterConfigsOperation, idempotentWriteOperation)
)

func bits(operations ...operation) (field int32) {
	for _, o := range operations {
		field |= 1 << o
	}
	return field
}

// operations is field if it was asked for.
func operations(asked bool, field int32) int32 {
	if asked {
		return field
	}
	return noOperations
}
