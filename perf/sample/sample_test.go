package sample

import (
	"math"
	"slices"
	"testing"
	"time"
)

// The median is the middle of the values in any order, and leaves them as they are.
func TestMedian(t *testing.T) {
	f := func(in Series, want float64) {
		t.Helper()
		before := slices.Clone(in)
		if got := in.Median(); got != want {
			t.Errorf("median of %v = %v, want %v", in, got, want)
		}
		if !slices.Equal(in, before) {
			t.Errorf("median changed %v to %v", before, in)
		}
	}
	f(Series{5}, 5)
	f(Series{9, 1, 5}, 5)
	f(Series{4, 1, 3, 2}, 2.5)
	f(Series{2, 2, 2, 90}, 2)
	if got := (Series{}).Median(); !math.IsNaN(got) {
		t.Errorf("median of nothing = %v, want NaN", got)
	}
}

// The spread is the lowest and the highest value.
func TestSpread(t *testing.T) {
	if low, high := (Series{3, 1, 2}).Spread(); low != 1 || high != 3 {
		t.Errorf("spread = %v to %v, want 1 to 3", low, high)
	}
	if low, high := (Series{}).Spread(); !math.IsNaN(low) || !math.IsNaN(high) {
		t.Errorf("spread of nothing = %v to %v, want NaN", low, high)
	}
}

// Ratios and differences are of values of the same round.
func TestRoundByRound(t *testing.T) {
	a, b := Series{2, 9, 8}, Series{1, 3, 4}
	if got, want := a.Over(b), (Series{2, 3, 2}); !slices.Equal(got, want) {
		t.Errorf("%v over %v = %v, want %v", a, b, got, want)
	}
	if got, want := a.Minus(b), (Series{1, 6, 4}); !slices.Equal(got, want) {
		t.Errorf("%v minus %v = %v, want %v", a, b, got, want)
	}
	defer func() {
		if recover() == nil {
			t.Error("series of 3 and 2 rounds were divided, want a panic")
		}
	}()
	a.Over(b[:2])
}

// Percentiles are values that occurred, by nearest rank.
func TestPercentile(t *testing.T) {
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(i+1))
	}
	f := func(in []time.Duration, share float64, want time.Duration) {
		t.Helper()
		if got := Percentile(in, share); got != want {
			t.Errorf("percentile %v of %d values = %d, want %d", share, len(in), got, want)
		}
	}
	f(hundred, 0.5, 50)
	f(hundred, 0.99, 99)
	f(hundred, 0.991, 100)
	f(hundred, 1, 100)
	f(hundred, 0.0001, 1)
	f(hundred[:1], 0.99, 1)
	f(hundred[:2], 0.5, 1)
	f(nil, 0.5, 0)
}
