// Package golden compares what a test produced with a file in the testdata
// folder of its package, and rewrites that file when asked to.
//
// Check does the comparison; Hex renders bytes as an annotated dump, so that
// the diff of a binary format can be reviewed like the diff of a text. Golden
// files are rewritten by the test flag -update, which `make golden` passes to
// every package that imports this one.
package golden
