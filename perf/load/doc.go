// Package load has the clients of the benchmarks, written on the wire codec so
// that they cost as little as a client can: a Consumer that discards what it
// fetches without copying it, a Tailer that does so at the end of a log, and
// Producers that send frames made beforehand. All keep a bounded number of requests
// in flight.
//
// They trust the server no further than a benchmark must: every answer's kind,
// request id and length are checked, Consumer.Check reads one answer in full, and
// ReadBack looks at every batch of a partition when nothing is measured.
package load
