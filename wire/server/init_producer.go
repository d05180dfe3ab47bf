package server

import (
	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/netloop"
	"github.com/rollway/rollway/wire"
)

// initProducer gives a producer its id and epoch, as a task: a block of ids may
// have to be made durable.
func (s *session) initProducer(f wire.Frame, out *netloop.Out) error {
	m, err := wire.ParseInitProducer(f)
	if err != nil {
		return err
	}
	s.run(f, out, func(dst []byte) ([]byte, error) {
		given, err := s.engine.InitProducerID(engine.ProducerID{ID: m.ProducerID, Epoch: m.Epoch})
		if err != nil {
			return nil, err
		}
		answer := wire.ProducerAssigned{ProducerID: given.ID, Epoch: given.Epoch}
		return answer.AppendTo(dst, f.RequestID), nil
	})
	return nil
}
