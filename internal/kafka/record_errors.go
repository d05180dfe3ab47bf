package kafka

import (
	"fmt"
	"time"

	"github.com/rollway/rollway/engine"
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
	// maxInspected bounds what a refused batch is inflated to, in bytes.
	maxInspected = 4 << 20
)

// untimely returns the records of a batch whose timestamps the topic of p does
// not take. None if the batch cannot be read within bounds.
func (f *frontend) untimely(p *engine.Partition, batch record.Batch) (errs []recordError) {
	topic, err := f.engine.Topic(p.Topic())
	if err != nil {
		return nil
	}
	records, err := batch.Decompress(nil, maxInspected)
	if err != nil {
		return nil
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
