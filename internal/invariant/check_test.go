package invariant

import "testing"

// Check panics exactly in the builds that enable it and only when the condition is false.
func TestCheck(t *testing.T) {
	f := func(ok bool, want any) {
		t.Helper()
		defer func() {
			t.Helper()
			if got := recover(); got != want {
				t.Errorf("Check(%v) panicked with %v, want %v", ok, got, want)
			}
		}()
		Check(ok, "flushed %d, want <= %d", 7, 5)
	}

	f(true, nil)
	if Enabled {
		f(false, "invariant: flushed 7, want <= 5")
	} else {
		f(false, nil)
	}
}

// In builds without assertions a Check costs nothing on the heap, so that it may stand on a fast path.
func TestCheckAllocatesNothing(t *testing.T) {
	flushed, next := int64(5), int64(7)
	allocs := testing.AllocsPerRun(100, func() {
		Check(flushed <= next, "flushed beyond next")
	})
	if allocs != 0 {
		t.Errorf("%v allocations, want 0", allocs)
	}
}
