package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/rollway/rollway/perf/sample"
)

// Every contestant has one turn a round, each round begins with the next one,
// and the first round does not count.
func TestRounds(t *testing.T) {
	b := &bench{options: options{rounds: 4}, progress: &progress{}}
	var order []string
	names := []string{"a", "b", "c"}
	turns := map[string]turn{}
	for _, name := range names {
		turns[name] = func(context.Context) (map[string]float64, error) {
			order = append(order, name)
			return map[string]float64{"n": float64(len(order))}, nil
		}
	}
	all, err := b.rounds(t.Context(), "x", names, turns)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(order, ""), "abc"+"abc"+"bca"+"cab"+"abc"; got != want {
		t.Errorf("turns in the order %s, want %s", got, want)
	}
	if got, want := all["b"]["n"], (sample.Series{5, 7, 12, 14}); !slices.Equal(got, want) {
		t.Errorf("figures of b: %v, want %v", got, want)
	}

	turns["b"] = func(context.Context) (map[string]float64, error) { return nil, errors.New("no luck") }
	if _, err := b.rounds(t.Context(), "x", names, turns); err == nil || err.Error() != "x: b: no luck" {
		t.Errorf("a turn that fails: %v", err)
	}
}
