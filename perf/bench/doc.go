// Bench measures rollway's server against the least that a Go server can do
// for the same bytes, in one run on one machine, and prints the figures with
// the conditions that they hold under: `make bench`, or
//
//	go run ./perf/bench -help
//
// Contestants are servers in processes of their own, which are this program
// again (server.go): bare loops (package bare) and rollway as package broker
// starts it. One client, in this process, drives all of them (package load).
// In each round every contestant has its turn, and each round begins with
// another of them (rounds.go). What is measured how is in fetch.go, produce.go
// and durable.go; report.go prints it.
package main
