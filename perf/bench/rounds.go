package main

import (
	"context"

	"github.com/rollway/rollway/perf/sample"
)

// figures are what was measured of one contestant, by the name of the figure.
type figures map[string]sample.Series

// add appends one round's values.
func (f figures) add(values map[string]float64) {
	for name, v := range values {
		f[name] = append(f[name], v)
	}
}

// turn measures one contestant once.
type turn func(ctx context.Context) (map[string]float64, error)

// rounds gives every contestant its turn in each round, one after another, and
// begins each round with the next of them, so that none is always behind the
// same one. One round before, which counts for nothing, leaves caches and
// memory as they will be.
func (b *bench) rounds(ctx context.Context, what string, names []string, turns map[string]turn) (map[string]figures, error) {
	all := map[string]figures{}
	for _, name := range names {
		all[name] = figures{}
	}
	for round := -1; round < b.options.rounds; round++ {
		for i := range names {
			name := names[(i+max(round, 0))%len(names)]
			b.progress.step(what, name, round+1, b.options.rounds)
			values, err := turns[name](ctx)
			if err != nil {
				return nil, wrap(what, name, err)
			}
			if round >= 0 {
				all[name].add(values)
			}
		}
	}
	return all, nil
}
