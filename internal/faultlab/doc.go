// Package faultlab provokes faults from outside of a program, for tests of what
// was shipped: a file system that is small and can be filled or frozen ([Mount]),
// system calls that fail or kill ([Injection]), and files that are harmed while no
// server runs ([Harm]).
//
// What the machine does not allow skips the test and says why. What was mounted,
// filled or frozen is undone when the test ends, also when it fails; processes
// are not ended here, except those that this package has started.
package faultlab
