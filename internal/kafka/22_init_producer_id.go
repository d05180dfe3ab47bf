package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/netloop"
)

// InitProducerId (key 22), versions 0 to 5: gives a producer the id under which
// its batches are recognized.
//
// Version 2 is flexible, 3 has the id and epoch that a producer has already
// (KIP-360), 4 and 5 stand for errors of transactions. There are no
// transactions: a transactional id is an invalid request, which no client tries
// again. Like Kafka, an idempotent producer gets a new id whatever it has.
var initProducerIDAPI = &api{
	key: 22, name: "InitProducerID", min: 0, max: 5, flexible: 2,
	access: access{clusterResource, idempotentWriteOperation},
	handle: (*session).initProducerID,
}

// initProducerID is a task: a block of ids may have to be made durable.
func (s *session) initProducerID(r *request, out *netloop.Out) error {
	m, err := readInitProducerID(&r.body, r.version)
	if err != nil {
		return err
	}
	if m.TransactionalID != nil || (m.ProducerID < 0) != (m.ProducerEpoch < 0) {
		response := kmsg.NewPtrInitProducerIDResponse()
		response.ErrorCode = int16(codeInvalidRequest)
		s.answer(&r.header, response, out)
		if m.TransactionalID != nil && !s.logged.Swap(true) {
			// The answer has no room for a text.
			s.node.Log().Warn("a producer asked for transactions, which are not supported: it was refused",
				"peer", s.peer.Remote, "transactional_id", shortened(*m.TransactionalID))
		}
		return nil
	}
	s.run(r, out, func() kmsg.Response {
		response := kmsg.NewPtrInitProducerIDResponse()
		given, err := s.engine.InitProducerID(engine.NoProducerID)
		if err != nil {
			c, _ := s.refuse("InitProducerID", err)
			response.ErrorCode = int16(c)
			return response
		}
		response.ProducerID, response.ProducerEpoch = given.ID, given.Epoch
		return response
	})
	return nil
}

func readInitProducerID(r *reader, version int16) (*kmsg.InitProducerIDRequest, error) {
	m := kmsg.NewPtrInitProducerIDRequest()
	m.TransactionalID = r.nullableString()
	m.TransactionTimeoutMillis = r.int32()
	if version >= 3 {
		m.ProducerID = r.int64()
		m.ProducerEpoch = r.int16()
	}
	r.tags()
	return m, r.end()
}
