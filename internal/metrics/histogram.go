package metrics

import (
	"slices"
	"sync/atomic"

	"github.com/rollway/rollway/internal/invariant"
)

// Histogram counts values by fixed bounds. It may be used concurrently.
type Histogram struct {
	bounds []int64        // highest value of each bucket, rising; immutable
	counts []atomic.Int64 // one more than bounds: what lies above all of them
	sum    atomic.Int64
}

// Distribution is a copy of what a Histogram has counted.
type Distribution struct {
	Bounds []int64 // highest value of each bucket, rising; do not change it
	Counts []int64 // of each bucket, not of those below it; one more than Bounds
	Sum    int64   // of all values
}

// NewHistogram returns a Histogram with these bounds, rising, which it keeps.
func NewHistogram(bounds []int64) *Histogram {
	invariant.Check(slices.IsSorted(bounds), "bounds %v of a histogram, want them to rise", bounds)
	return &Histogram{bounds: bounds, counts: make([]atomic.Int64, len(bounds)+1)}
}

// Observe counts the value v n times.
func (h *Histogram) Observe(v, n int64) {
	// Low values are the frequent ones, and a dozen comparisons are cheaper than
	// the mispredicted branches of a binary search.
	i := 0
	for i < len(h.bounds) && v > h.bounds[i] {
		i++
	}
	h.counts[i].Add(n)
	h.sum.Add(v * n)
}

// Distribution returns what was counted so far.
func (h *Histogram) Distribution() Distribution {
	d := Distribution{Bounds: h.bounds, Counts: make([]int64, len(h.counts)), Sum: h.sum.Load()}
	for i := range h.counts {
		d.Counts[i] = h.counts[i].Load()
	}
	return d
}

// Count is how many values were counted.
func (d Distribution) Count() int64 {
	total := int64(0)
	for _, n := range d.Counts {
		total += n
	}
	return total
}
