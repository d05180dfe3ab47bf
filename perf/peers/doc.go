// Command peers is what the perf lab compares rollway with when it is asked to:
// servers from the Go module proxy, each a process of its own, and a client for the
// one that speaks neither of the lab's protocols. It is a module of its own, so that
// what they need stays out of the program's dependencies.
//
//	peers kfake              franz-go's broker, which keeps all in memory
//	peers nats DIR [sync]    NATS with JetStream; with sync each message is synced
//	peers nats-client ADDR   a client of that, driven by perf/contestant
//
// A server says on one line where it listens and ends on SIGTERM; the client ends
// with its standard input.
package main
