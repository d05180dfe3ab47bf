package main

import (
	"fmt"
	"math"

	"github.com/rollway/rollway/perf/sample"
)

// digits shows three digits, or all before the point.
func digits(v float64) string {
	switch abs := math.Abs(v); {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "-"
	case abs >= 99.95:
		return fmt.Sprintf("%.0f", v)
	case abs >= 9.995:
		return fmt.Sprintf("%.1f", v)
	case abs >= 0.9995 || v == 0:
		return fmt.Sprintf("%.2f", v)
	case abs < 0.001:
		return fmt.Sprintf("%.1e", v)
	}
	return fmt.Sprintf("%.3f", v)
}

// spread shows the median of a series with the lowest and the highest value, if
// there are several; "-" of none.
func spread(s sample.Series) string {
	if len(s) < 2 {
		return digits(s.Median())
	}
	lowest, highest := s.Spread()
	return fmt.Sprintf("%s (%s - %s)", digits(s.Median()), digits(lowest), digits(highest))
}

// times shows a ratio; "-" of none.
func times(v float64) string {
	if math.IsNaN(v) {
		return "-"
	}
	return digits(v) + "x"
}
