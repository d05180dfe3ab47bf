package kafka

import (
	"fmt"
	"time"

	"github.com/rollway/rollway/engine/record"
)

// recordError says which record of a refused batch was wrong, and why (KIP-467).
type recordError struct {
	index int32
	text  string
}

const (
	// maxRecordErrors bounds how many records are named: enough to see which.
	maxRecordErrors = 16
	// maxInspected bounds what the refused batches of one request are inflated
	// to, in bytes.
	maxInspected = 4 << 20
)

// untimely returns the records of the batch for q whose timestamps its topic does
// not take. None if the batch cannot be read within what p may inflate.
func (p *produce) untimely(q *producePartition) (errs []recordError) {
	topic, err := p.session.engine.Topic(q.partition.Topic())
	if err != nil {
		return nil
	}
	batch := record.Batch(q.request.Batches)
	room := maxInspected - p.inspected
	if room <= 0 {
		return nil
	}
	records, err := batch.Decompress(nil, room)
	if err != nil {
		p.inspected = maxInspected // it may have been inflated up to there
		return nil
	}
	if batch.Codec() != record.CodecNone {
		p.inspected += len(records)
	}
	config := topic.Config()
	nowMs := time.Now().UnixMilli()
	it := batch.Iterate(records)
	for index := int32(0); it.Next() && len(errs) < maxRecordErrors; index++ {
		switch at := it.Record().Timestamp; {
		case at < 0:
		case nowMs-at > config.TimestampBeforeMaxMs:
			errs = append(errs, recordError{index, fmt.Sprintf("timestamp %d is %d ms before the clock, message.timestamp.before.max.ms is %d",
				at, nowMs-at, config.TimestampBeforeMaxMs)})
		case at-nowMs > config.TimestampAfterMaxMs:
			errs = append(errs, recordError{index, fmt.Sprintf("timestamp %d is %d ms after the clock, message.timestamp.after.max.ms is %d",
				at, at-nowMs, config.TimestampAfterMaxMs)})
		}
	}
	return errs
}
