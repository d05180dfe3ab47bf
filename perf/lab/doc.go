// Lab measures rollway, Apache Kafka and the bare mechanisms of the kernel side by
// side: the same machine, client and work, in turns, and writes what it has found
// to perf/results as it goes: `make lab`. docs/lab.md says how it measures and why
// its figures can be trusted.
//
// The program is two processes. The outer one (guard_linux.go) makes what must not
// be left behind, a network namespace and a directory, starts the inner one in it,
// passes signals on and cleans up, whatever becomes of that. The inner one (lab.go)
// goes through the plan (plan.go): workloads in sections, whose contestants are
// started together (subject.go) and take their turns round by round.
//
// A workload (workloads.go) is a job with sizes. A job, one file each, says what
// clients do in a turn: produce.go, consume.go, open_loop.go, fan_out.go, cold.go,
// partitions.go, connections.go, recovery.go. It is measured from outside the
// server (observe.go), and what it produced is read back (verify.go).
package main
