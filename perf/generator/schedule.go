package generator

import "time"

// schedule says when the messages of one worker are due in an open loop. It knows
// nothing of what became of those before.
type schedule struct {
	start  int64   // when the first is
	period float64 // nanoseconds from one to the next
}

// newSchedule returns the schedule of worker number of count, which share the rate,
// in messages a second, in turns.
func newSchedule(start int64, rate float64, number, count int) schedule {
	between := float64(time.Second) / rate
	return schedule{start: start + int64(between*float64(number)), period: between * float64(count)}
}

// due returns when message i is, from 0 on.
func (s schedule) due(i int64) int64 { return s.start + int64(float64(i)*s.period) }
