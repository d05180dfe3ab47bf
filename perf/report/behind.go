package main

import (
	"cmp"
	"slices"

	"github.com/rollway/rollway/perf/result"
)

// loss is a figure in which somebody is better than rollway.
type loss struct {
	workload     *workload
	figure       result.Figure
	ours, theirs *subject
	factor       float64 // how many times worse ours is, above 1: the median of rounds
}

// leastLoss is the least that is called a loss: below it the rounded figures are
// the same.
const leastLoss = 1.005

// losses are all figures that a workload is about and in which somebody of that
// kind is better than a rollway, the largest factor first.
func losses(c comparison, than kind) []loss {
	var all []loss
	for _, w := range c.workloads {
		for _, f := range w.shown() {
			for _, s := range w.subjects {
				for _, other := range w.subjects {
					if kindOf(s.Name) != ours || kindOf(other.Name) != than {
						continue
					}
					if l, ok := behind(w, f, s, other); ok {
						all = append(all, l)
					}
				}
			}
		}
	}
	slices.SortStableFunc(all, func(a, b loss) int { return cmp.Compare(b.factor, a.factor) })
	return all
}

// behind tells whether s is worse than other in a figure, and by what factor.
func behind(w *workload, f result.Figure, s, other *subject) (loss, bool) {
	ratio := other.figures[f.Name].over(s.figures[f.Name]).Median()
	if f.Better == result.Lower {
		ratio = s.figures[f.Name].over(other.figures[f.Name]).Median()
	}
	return loss{w, f, s, other, ratio}, f.Better != result.Neither && ratio >= leastLoss
}
