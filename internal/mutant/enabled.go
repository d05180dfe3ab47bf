//go:build mutants

package mutant

import (
	"fmt"
	"os"
	"slices"
)

// selected is what the environment asks for. It is read here and not in cmd,
// because only tests are built with this tag.
var selected = fromEnvironment()

func fromEnvironment() Mutant {
	m := Mutant(os.Getenv("ROLLWAY_MUTANT"))
	if m != "" && !slices.Contains(All, m) {
		// A bug that is not planted would pass as one that no test finds.
		fmt.Fprintf(os.Stderr, "ROLLWAY_MUTANT is %q, want one of %v\n", m, All)
		os.Exit(2)
	}
	return m
}

// Is tells whether the bug is planted.
func Is(m Mutant) bool { return m == selected }
