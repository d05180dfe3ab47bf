// Package verify checks a whole data directory as it stands on disk, file
// against file, and says everything that is wrong with it. It never writes,
// takes no lock and may run beside a live server.
//
// # Types
//
// Dir checks a data directory and hands a Finding at a time to the caller: a
// problem, or a note on what is none. Summary counts what was read.
//
// # Invariants
//
//   - Files are decoded by engine/dump, on its own and not by the code that
//     wrote them; here one file is held against the others.
//   - One damaged place is one problem, and what lies behind it is still
//     checked: damage to one file is no problem of the files beside it.
//   - What a crash may leave above the durable end of a log, and what a live
//     server is just writing, is no problem. Everything else is.
//   - Memory is bounded by the largest batch for each of Options.Width
//     partitions, and by the metadata log; pages of other readers stay in the
//     page cache (vfs.ReadUncached).
//
// Partitions are checked several at a time; findings come in the order of the
// directory.
package verify
