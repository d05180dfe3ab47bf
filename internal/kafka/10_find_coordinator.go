package kafka

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/internal/netloop"
)

// FindCoordinator (key 10), versions 0 to 6: which node looks after a group or a
// transactional id.
//
// Version 1 has the kind of coordinator, before it is that of a group; 3 is
// flexible, 4 asks for several keys at once (KIP-699), 5 has
// TRANSACTION_ABORTABLE, 6 the coordinator of share groups. This node looks
// after every group. For what nobody looks after the error is none that clients
// try again.
var findCoordinatorAPI = &api{
	key: 10, name: "FindCoordinator", min: 0, max: 6, flexible: 3,
	access: access{groupResource, describeOperation},
	handle: (*session).findCoordinator,
}

// Kinds of coordinators.
const (
	groupCoordinator       = 0
	transactionCoordinator = 1
	shareCoordinator       = 2
)

func (s *session) findCoordinator(r *request, out *netloop.Out) error {
	m, err := readFindCoordinator(&r.body, r.version)
	if err != nil {
		return err
	}
	s.answer(&r.header, s.findCoordinatorResponse(m), out)
	return nil
}

func readFindCoordinator(r *reader, version int16) (*kmsg.FindCoordinatorRequest, error) {
	m := kmsg.NewPtrFindCoordinatorRequest()
	m.Version = version
	if version <= 3 {
		m.CoordinatorKey = r.string()
	}
	if version >= 1 {
		m.CoordinatorType = r.int8()
	}
	if version >= 4 {
		m.CoordinatorKeys = nonNull(r, slice(r, 1, (*reader).string))
		r.chargeTexts(len(m.CoordinatorKeys))
	}
	r.tags()
	return m, r.end()
}

func (s *session) findCoordinatorResponse(m *kmsg.FindCoordinatorRequest) kmsg.Response {
	found := kmsg.NewFindCoordinatorResponseCoordinator()
	if err := checkCoordinator(m.CoordinatorType); err != nil {
		found.NodeID, found.Port = -1, -1
		found.ErrorCode, found.ErrorMessage = s.outcome("FindCoordinator", err)
	} else {
		at := s.addressFor(s.peer.Local)
		found.NodeID, found.Host, found.Port = s.engine.NodeID(), at.Host, at.Port
	}
	response := kmsg.NewPtrFindCoordinatorResponse()
	response.ErrorCode, response.ErrorMessage = found.ErrorCode, found.ErrorMessage
	response.NodeID, response.Host, response.Port = found.NodeID, found.Host, found.Port
	for _, key := range m.CoordinatorKeys {
		found.Key = key
		response.Coordinators = append(response.Coordinators, found)
	}
	return response
}

// checkCoordinator refuses a kind of coordinator that is not here.
func checkCoordinator(kind int8) error {
	switch kind {
	case groupCoordinator:
		return nil
	case transactionCoordinator:
		return fmt.Errorf("%w: transactions are not supported yet; leave transactional.id out", errNoTransactions)
	case shareCoordinator:
		return fmt.Errorf("%w: share groups are not supported", errInvalidRequest)
	}
	return fmt.Errorf("%w: coordinator of type %d, want 0, that of groups", errInvalidRequest, kind)
}
