// Package metrics counts what a node's frontends do. Frontend counts the
// requests of one protocol, Histogram how values are spread, Registry is where a
// node keeps its frontends for whoever shows them.
//
// Counting is for hot paths: an array index and atomic additions, no lock and no
// allocation. What was counted is read by copies that are put together from one
// atomic after another; while requests go on, its sums may differ by those.
//
// The package knows no format and no library of one: internal/admin shows what
// is counted here.
package metrics
