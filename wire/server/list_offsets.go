package server

import (
	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/netloop"
	"github.com/rollway/rollway/wire"
)

// listOffsets answers a ListOffsets: the ends of the log at once, a search by
// time, which reads and opens batches, as a task.
func (s *session) listOffsets(f wire.Frame, out *netloop.Out) error {
	m, err := wire.ParseListOffsets(f)
	if err != nil {
		return err
	}
	p, err := s.engine.Partition(m.Topic, m.Partition)
	if err != nil {
		return err
	}
	var found engine.FoundOffset
	switch m.Query {
	case wire.QueryEarliest:
		found, err = p.Earliest()
	case wire.QueryLatest:
		found, err = p.Latest()
	default:
		query, timestamp, id := m.Query, m.TimestampMs, f.RequestID // m points into the frame
		s.run(f, out, func(dst []byte) ([]byte, error) {
			found, err := search(p, query, timestamp)
			if err != nil {
				return nil, err
			}
			return appendOffsetFound(dst, found, id), nil
		})
		return nil
	}
	if err != nil {
		return err
	}
	out.Buf = appendOffsetFound(out.Buf, found, f.RequestID)
	return nil
}

// search finds a record by time.
func search(p *engine.Partition, query wire.Query, timestamp int64) (engine.FoundOffset, error) {
	if query == wire.QueryTimestamp {
		return p.OffsetByTime(timestamp)
	}
	return p.OffsetOfMaxTimestamp()
}

func appendOffsetFound(dst []byte, found engine.FoundOffset, id uint32) []byte {
	m := wire.OffsetFound{Offset: int64(found.Offset), TimestampMs: found.Timestamp, LeaderEpoch: found.LeaderEpoch}
	return m.AppendTo(dst, id)
}
