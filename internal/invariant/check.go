package invariant

import "fmt"

// Check panics with the formatted text when Enabled and ok is false. The text
// names where, what was found and what was wanted, like that of an error. It
// may be called concurrently.
func Check(ok bool, format string, args ...any) {
	if Enabled && !ok {
		panic("invariant: " + fmt.Sprintf(format, args...))
	}
}
