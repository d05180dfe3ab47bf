package engine

import (
	"fmt"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/engine/topicconfig"
)

// checkTimestamps refuses a batch whose timestamps, which are the producer's,
// lie further from the clock than the topic takes: one record from 2099 would
// keep its segment, one from 1970 would have it deleted at once (KIP-937). It
// goes by the header, which names the first and the highest timestamp, so it
// opens nothing; records without timestamps pass.
func checkTimestamps(b record.Batch, config *topicconfig.Config, nowMs int64) error {
	// Both times are positive, so no difference overflows.
	if oldest := b.BaseTimestamp(); oldest >= 0 && nowMs-oldest > config.TimestampBeforeMaxMs {
		return fmt.Errorf("%w: batch begins with timestamp %d, which is %d ms before the clock; message.timestamp.before.max.ms is %d",
			ErrInvalidTimestamp, oldest, nowMs-oldest, config.TimestampBeforeMaxMs)
	}
	if newest := b.MaxTimestamp(); newest >= 0 && newest-nowMs > config.TimestampAfterMaxMs {
		return fmt.Errorf("%w: batch has timestamp %d, which is %d ms after the clock; message.timestamp.after.max.ms is %d",
			ErrInvalidTimestamp, newest, newest-nowMs, config.TimestampAfterMaxMs)
	}
	return nil
}
