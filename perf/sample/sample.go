package sample

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Series is one figure of one contestant, a value per round, in the order of
// the rounds.
type Series []float64

// Median returns the middle value, of an even number the mean of the two in
// the middle; NaN of none.
func (s Series) Median() float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s))
	mid := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[mid]
	}
	return (sorted[mid-1] + sorted[mid]) / 2
}

// Spread returns the lowest and the highest value; NaN of none. With the few
// rounds of a benchmark they say more than a deviation, which would suppose a
// distribution.
func (s Series) Spread() (lowest, highest float64) {
	if len(s) == 0 {
		return math.NaN(), math.NaN()
	}
	return slices.Min(s), slices.Max(s)
}

// Over returns s divided by base, round by round: what both had to bear in a
// round, such as a busy neighbour, cancels out. Both have the same rounds.
func (s Series) Over(base Series) Series {
	return s.with(base, func(a, b float64) float64 { return a / b })
}

// Minus returns s less base, round by round. Both have the same rounds.
func (s Series) Minus(base Series) Series {
	return s.with(base, func(a, b float64) float64 { return a - b })
}

func (s Series) with(other Series, f func(a, b float64) float64) Series {
	if len(s) != len(other) {
		panic(fmt.Sprintf("sample: %d rounds beside %d", len(s), len(other)))
	}
	out := make(Series, len(s))
	for i := range s {
		out[i] = f(s[i], other[i])
	}
	return out
}

// Percentile returns the smallest of the sorted latencies that at least share
// of them do not exceed (nearest rank). share is in (0, 1]. Of none it is 0.
func Percentile(sorted []time.Duration, share float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(share * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}
