package server

import (
	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/netloop"
	"github.com/rollway/rollway/wire"
)

// deleteRecords moves the start of a log, as a task: it is synced.
func (s *session) deleteRecords(f wire.Frame, out *netloop.Out) error {
	m, err := wire.ParseDeleteRecords(f)
	if err != nil {
		return err
	}
	p, err := s.engine.Partition(m.Topic, m.Partition)
	if err != nil {
		return err
	}
	before, id := engine.Offset(m.Before), f.RequestID // m points into the frame
	if m.Before == wire.ToHighWatermark {
		before = engine.ToHighWatermark
	}
	s.run(f, out, func(dst []byte) ([]byte, error) {
		start, err := p.DeleteRecords(before)
		if err != nil {
			return nil, err
		}
		answer := wire.RecordsDeleted{LogStart: int64(start)}
		return answer.AppendTo(dst, id), nil
	})
	return nil
}
