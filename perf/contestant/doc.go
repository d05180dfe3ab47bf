// Package contestant starts, asks and stops what the lab compares: rollway as a
// user runs it, Apache Kafka, the bare mechanisms of perf/bare, and peers that are
// there by flag only.
//
// A Contestant is a recipe, found by its name; Start makes a Server of it: a
// process of its own with its data in a directory of the caller's, listening on
// free ports of 127.0.0.1. What a machine lacks for a contestant (Java, a kernel
// feature, a program) is an *UnavailableError, which tells what to do about it:
// the lab says so and goes on without that one.
//
// Invariants:
//   - A process is ended by its own id, after SIGTERM has had its time; none
//     outlives this process (PR_SET_PDEATHSIG), and none that was running before,
//     which --kafka-endpoint names, is ever ended.
//   - What Start has begun it ends itself when it returns an error. What a process
//     wrote last is in the error that says why it is gone.
//   - Every server has acknowledged a batch before Start returns, unless it takes
//     none: how long that took from its start on is First.
//   - What differs from what a contestant is shipped with is among its Conditions.
package contestant
