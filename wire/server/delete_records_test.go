package server

import (
	"testing"

	"github.com/rollway/rollway/wire"
)

func (m *memory) recordsDeleted(id uint32, logStart int64) {
	m.t.Helper()
	if got := must(wire.ParseRecordsDeleted(m.answer(id, wire.KindRecordsDeleted)))(m.t); got.LogStart != logStart {
		m.t.Errorf("answer %d: log start %d, want %d", id, got.LogStart, logStart)
	}
}

// Records are deleted up to an offset or to the high watermark; what follows on the connection finds them gone, and what
// cannot be deleted is refused.
func TestDeleteRecords(t *testing.T) {
	f := openFrontend(t, Options{})
	p := createTopic(t, f, "t", nil)
	fill(t, p, batchOf(t, "a", "b", "c"), batchOf(t, "d", "e"))
	m := greeted(t, f)
	var requests []byte
	ask := func(id uint32, topic string, partition int32, before int64) {
		requests = (&wire.DeleteRecords{Topic: []byte(topic), Partition: partition, Before: before}).AppendTo(requests, id)
	}
	ask(1, "t", 0, 2)
	requests = (&wire.ListOffsets{Topic: []byte("t"), Query: wire.QueryEarliest}).AppendTo(requests, 2)
	requests = (&wire.Fetch{Topic: []byte("t"), Offset: 1, MaxBytes: 1}).AppendTo(requests, 3)
	ask(4, "t", 0, 1)
	ask(5, "t", 0, 6)
	ask(6, "t", 0, wire.ToHighWatermark)
	ask(7, "t", 1, wire.ToHighWatermark)
	ask(8, "t", 2, 0)
	ask(9, "none", 0, 0)
	m.Receive(requests)
	m.recordsDeleted(1, 2)
	m.offset(2, 2, -1)
	m.refused(3, wire.CodeOffsetOutOfRange)
	m.recordsDeleted(4, 2)
	m.refused(5, wire.CodeOffsetOutOfRange)
	m.recordsDeleted(6, 5)
	m.recordsDeleted(7, 0)
	m.refused(8, wire.CodeUnknownPartition)
	m.refused(9, wire.CodeUnknownTopic)
	m.ask(10, produceTo("t", 0, wire.AcksAll, batchOf(t, "f")))
	if got := m.produced(10, 5, 6); got.LogStart != 5 {
		t.Errorf("produced %+v, want log start 5", got)
	}
	m.quiet()
}
