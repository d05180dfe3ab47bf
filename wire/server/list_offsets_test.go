package server

import (
	"testing"

	"github.com/rollway/rollway/wire"
)

// Each query finds its offset, exact to the record, in the order of asking.
func TestListOffsets(t *testing.T) {
	f := openFrontend(t, Options{})
	p := createTopic(t, f, "t", nil)
	fill(t, p, batchOf(t, "a", "b", "c"), batchOf(t, "d", "e")) // at 1000, 1001, 1002, 1000, 1001
	m := greeted(t, f)
	var requests []byte
	ask := func(id uint32, partition int32, query wire.Query, timestamp int64) {
		requests = (&wire.ListOffsets{Topic: []byte("t"), Partition: partition, Query: query, TimestampMs: timestamp}).AppendTo(requests, id)
	}
	ask(1, 0, wire.QueryEarliest, 0)
	ask(2, 0, wire.QueryTimestamp, 1001)
	ask(3, 0, wire.QueryLatest, 0)
	ask(4, 0, wire.QueryMaxTimestamp, 0)
	ask(5, 0, wire.QueryTimestamp, 1003)
	ask(6, 1, wire.QueryLatest, 0)
	ask(7, 1, wire.QueryMaxTimestamp, 0)
	ask(8, 2, wire.QueryMaxTimestamp, 0)
	m.Receive(requests)
	m.offset(1, 0, -1)
	m.offset(2, 1, 1001)
	m.offset(3, 5, -1)
	m.offset(4, 2, 1002)
	m.offset(5, -1, -1)
	m.offset(6, 0, -1)
	m.offset(7, -1, -1)
	m.refused(8, wire.CodeUnknownPartition)
	m.ask(9, &wire.ListOffsets{Topic: []byte("none"), Query: wire.QueryLatest})
	m.refused(9, wire.CodeUnknownTopic)
	m.quiet()
}
