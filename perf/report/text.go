package main

import (
	"fmt"
	"math"

	"github.com/rollway/rollway/perf/page"
	"github.com/rollway/rollway/perf/sample"
)

// spread shows the median of a series with the lowest and the highest value, if
// there are several; "-" of none.
func spread(s sample.Series) string {
	if len(s) < 2 {
		return page.Digits(s.Median())
	}
	lowest, highest := s.Spread()
	return fmt.Sprintf("%s (%s - %s)", page.Digits(s.Median()), page.Digits(lowest), page.Digits(highest))
}

// times shows a ratio; "-" of none.
func times(v float64) string {
	if math.IsNaN(v) {
		return "-"
	}
	return page.Digits(v) + "x"
}
