package mutant

import "testing"

// In builds without the tag no bug is planted; with it, at most one.
func TestIs(t *testing.T) {
	planted, names := 0, map[Mutant]bool{}
	for _, m := range All {
		if names[m] || m == "" {
			t.Errorf("%q is listed twice or has no name", m)
		}
		names[m] = true
		if Is(m) {
			planted++
		}
	}
	if planted > 1 {
		t.Errorf("%d bugs are planted at once", planted)
	}
}
