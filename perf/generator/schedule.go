package generator

import (
	"math"
	"time"
)

// schedule says when the messages of one worker are due in an open loop. It knows
// nothing of what became of those before.
type schedule struct {
	start         int64   // when the first of all workers is
	between       float64 // nanoseconds from one message to the next, of whichever worker
	number, count int64   // of the worker, of how many
}

// newSchedule returns the schedule of worker number of count, which share the rate,
// in messages a second, in turns.
func newSchedule(start int64, rate float64, number, count int) schedule {
	return schedule{start: start, between: float64(time.Second) / rate, number: int64(number), count: int64(count)}
}

// due returns when message i is, from 0 on: not from the one before, so that nothing
// adds up.
func (s schedule) due(i int64) int64 {
	return s.start + int64(math.Round(float64(i*s.count+s.number)*s.between))
}
