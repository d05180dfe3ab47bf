//go:build race || invariant

package invariant

// Enabled tells whether Check checks. It is a constant, so that the compiler
// removes what it guards.
const Enabled = true
