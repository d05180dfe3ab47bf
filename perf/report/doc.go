// Report turns what the lab has measured, the files of perf/results, into pages:
// BENCHMARKS.md, one HTML page with plots that opens without a network, and the
// drawings of the README: `make lab-report`.
//
// comparison.go sums up the measures of all files: for each workload its
// contestants, for each of them its figures round by round. targets.go has what is
// wanted, behind.go finds what is lost. markdown.go and html.go write the pages,
// plot.go draws. Nothing is measured here, and the same files make the same pages.
package main
