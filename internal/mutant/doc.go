// Package mutant holds the planted bugs that tests must find.
//
// A planted bug is a line or two in the code of the engine or of the group
// coordinator, `if mutant.Is(...)`. In builds with -tags mutants the environment
// variable ROLLWAY_MUTANT selects one of them by name; in all others Is is false,
// and the compiler removes the line and what it guards. `make mutants` runs the
// tests against each.
//
// A bug belongs here if it is one that engines of this kind have had and that
// tests find only when they look for it. It is planted where it would be made.
package mutant
