package engine

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// Whoever waits is notified once, when its offset is reached, unless it is forgotten before; whatever comes in between,
// and also if its memory is used again.
func TestWaiters(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 200 {
		var l waiters
		all := make([]Waiter, 20)
		notified := make([]int, len(all))
		waits := map[int]Offset{} // the model: who waits for what
		for i := range all {
			all[i].Notify = func() { notified[i]++ }
		}
		reached := Offset(0)
		for step := range 200 {
			i := rng.IntN(len(all))
			_, waiting := waits[i]
			switch what := rng.IntN(10); {
			case what < 5 && !waiting:
				at := reached + Offset(rng.IntN(6)) - 2
				got := l.add(&all[i], at, func(at Offset) bool { return at <= reached })
				if got != (at > reached) {
					t.Fatalf("round %d step %d: %d waits for %d at %d: %v", round, step, i, at, reached, got)
				}
				if got {
					waits[i] = at
				}
			case what < 8:
				l.remove(&all[i])
				delete(waits, i)
			default:
				reached += Offset(rng.IntN(3))
				l.wake(reached)
			}
			for i := range all {
				want := 0
				if at, waiting := waits[i]; waiting && at <= reached {
					delete(waits, i)
					want = 1
				}
				if notified[i] != want {
					t.Fatalf("round %d step %d: %d was notified %d times, want %d", round, step, i, notified[i], want)
				}
				notified[i] = 0
			}
			if len(l.list) != len(waits) {
				t.Fatalf("round %d step %d: %d wait, want %d", round, step, len(l.list), len(waits))
			}
		}
	}
}

// How long it takes one of many to come and to give up again.
func BenchmarkForget(b *testing.B) {
	for _, others := range []int{0, 100, 10_000} {
		b.Run(fmt.Sprint(others), func(b *testing.B) {
			var l waiters
			never := func(Offset) bool { return false }
			all := make([]Waiter, others+1)
			for i := range all {
				l.add(&all[i], 1, never)
			}
			rng := rand.New(rand.NewPCG(1, 2))
			b.ReportAllocs()
			for b.Loop() {
				w := &all[rng.IntN(len(all))]
				l.remove(w)
				l.add(w, 1, never)
			}
		})
	}
}
