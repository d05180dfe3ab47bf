package nearest

import (
	"strings"
	"testing"
)

// The name with the fewest edits is found, whatever comes from outside.
func TestOf(t *testing.T) {
	names := []string{"retention.bytes", "retention.ms", "segment.ms"}
	f := func(in, want string) {
		t.Helper()
		if got := Of(in, names); got != want {
			t.Errorf("Of(%.20q) = %q, want %q", in, got, want)
		}
	}
	f("retention.ms", "retention.ms")
	f("retention.sm", "retention.ms")
	f("segmentms", "segment.ms")
	f("", "segment.ms")
	f(strings.Repeat("x", 1<<20), "retention.ms")
	if got := Of("x", nil); got != "" {
		t.Errorf("of no names: %q", got)
	}
	if got := Shorten(strings.Repeat("x", 200)); len(got) != maxBytes+3 {
		t.Errorf("shortened to %d bytes", len(got))
	}
}

// distance is Levenshtein's, and symmetric.
func TestDistance(t *testing.T) {
	f := func(a, b string, want int) {
		t.Helper()
		if got, back := distance(a, b), distance(b, a); got != want || back != want {
			t.Errorf("distance(%q, %q) = %d, and %d the other way; want %d", a, b, got, back, want)
		}
	}

	f("", "", 0)
	f("", "abc", 3)
	f("abc", "abc", 0)
	f("kitten", "sitting", 3)
	f("flaw", "lawn", 2)
	f("ms", "sm", 2)
}
