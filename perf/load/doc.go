// Package load has the clients of the benchmarks, written on the wire codec so
// that they cost as little as a client can: a Consumer that discards what it
// fetches without copying it, and Producers that send frames made beforehand.
// Both keep a bounded number of requests in flight.
//
// They trust the server no further than a benchmark must: every answer's kind,
// request id and length are checked, and Consumer.Check reads one answer in
// full.
package load
