// Package sample sums up what was measured several times: the median and
// spread over rounds, the ratio of two contestants round by round, percentiles
// of latencies. It knows no clocks and no contestants.
package sample
