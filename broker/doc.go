// Package broker starts a whole rollway server inside a process: the engine
// over a data directory, and the listeners that serve it. The program, a
// program that embeds rollway, and anybody's tests start it by one call:
//
//	b, err := broker.Open(broker.Options{DataDir: "rollway-data"})
//
// Broker is the main type. Whoever needs the logs without a network imports
// package engine alone.
//
// # Order
//
// Open listens first, so that an address that is taken leaves the data
// untouched, then opens the engine, then accepts. Recovery of the partitions
// goes on behind it; until a partition is ready it answers a retryable error,
// and Ready waits for all. The end is the reverse: the listeners stop, and the
// engine is closed when nobody uses it any more.
package broker
