package engine

import (
	"errors"
	"strings"
	"testing"
)

// The text says the place as far as it is known, and the cause stays visible.
func TestCorruptionError(t *testing.T) {
	f := func(offset Offset, position Position, want string) {
		t.Helper()
		err := &CorruptionError{Path: "orders-3/00.log", Offset: offset, Position: position, Err: ErrUnknownVersion}
		if err.Error() != want {
			t.Errorf("%q, want %q", err, want)
		}
		if !errors.Is(err, ErrUnknownVersion) {
			t.Errorf("%v is not its cause", err)
		}
	}
	f(-1, -1, "orders-3/00.log: engine: unknown format version")
	f(-1, 0, "orders-3/00.log: at position 0: engine: unknown format version")
	f(50, 8192, "orders-3/00.log: offset 50: at position 8192: engine: unknown format version")
}

// Text from outside cannot fill a message or break its line.
func TestQuoted(t *testing.T) {
	f := func(s, want string) {
		t.Helper()
		if got := quoted(s); got != want {
			t.Errorf("quoted(%q) = %s, want %s", s, got, want)
		}
	}
	f("a\nb\xff", `"a\nb\xff"`)
	f(strings.Repeat("x", 80), `"`+strings.Repeat("x", 80)+`"`)
	f(strings.Repeat("x", 81), `"`+strings.Repeat("x", 80)+`"...`)
}
