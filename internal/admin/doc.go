// Package admin serves over HTTP what an operator and their tools ask a node
// for: /metrics for Prometheus, /healthz and /readyz for whoever starts and
// watches the process, and profiles under /debug/pprof/.
//
// Server is one listener. collector turns what engine, netloop, zerocopy and
// internal/metrics count into metric families when it is asked; nothing is kept
// for it between two scrapes but which topics, and which partitions of groups, have
// series of their own. family is
// one row of docs/metrics.md, which is written from the rows.
//
// # Invariants
//
//   - Everything is read-only; a request changes nothing.
//   - What a peer can make the server hold is bounded: connections, the size of a
//     head, times, scrapes at once, and series, whatever the number of topics and
//     groups.
//   - No answer waits for an append or a sync; /healthz waits for nothing. A scrape
//     asks the file system for its free space, and for a partition that a group is
//     behind in reads headers of batches.
//   - Profiles show what is in memory: only a process of this machine gets them.
//
// # Locks
//
// Server.answering is held for reading while a request is answered; listener.mu and
// topicSeries.mu and groupSeries.mu are leaves.
package admin
