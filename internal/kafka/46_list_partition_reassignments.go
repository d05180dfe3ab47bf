package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/internal/netloop"
)

// ListPartitionReassignments (key 46), version 0: which partitions move to other
// nodes. With one node none does.
var listPartitionReassignmentsAPI = &api{
	key: 46, name: "ListPartitionReassignments", min: 0, max: 0, flexible: 0,
	access: access{clusterResource, describeOperation},
	handle: (*session).listPartitionReassignments,
}

func (s *session) listPartitionReassignments(r *request, out *netloop.Out) error {
	if _, err := readListPartitionReassignments(&r.body, r.version); err != nil {
		return err
	}
	s.answer(&r.header, kmsg.NewPtrListPartitionReassignmentsResponse(), out)
	return nil
}

// readListPartitionReassignments decodes a request; Topics is nil where all are
// meant.
func readListPartitionReassignments(r *reader, version int16) (*kmsg.ListPartitionReassignmentsRequest, error) {
	m := kmsg.NewPtrListPartitionReassignmentsRequest()
	m.Version = version
	m.TimeoutMillis = r.int32()
	m.Topics = slice(r, 3, func(r *reader) kmsg.ListPartitionReassignmentsRequestTopic {
		t := kmsg.NewListPartitionReassignmentsRequestTopic()
		t.Topic = r.string()
		t.Partitions = nonNull(r, slice(r, 4, (*reader).int32))
		r.tags()
		return t
	})
	r.tags()
	return m, r.end()
}
