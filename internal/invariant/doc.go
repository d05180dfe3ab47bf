// Package invariant holds the assertions of test builds.
//
// An assertion states what the program itself guarantees: its failure is a bug
// here, never bad input, a full disk or a broken peer, which are errors. Check
// panics in builds with -race or -tags invariant and is compiled out of every
// other build.
//
// Its arguments are evaluated wherever they have side effects or call
// functions that are not inlined, so a costly check is guarded:
//
//	if invariant.Enabled {
//		invariant.Check(s.sorted(), "segments of %s out of order", s.name)
//	}
package invariant
