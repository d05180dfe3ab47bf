// Package dump reads the files of a data directory as they stand on disk and
// tells what they hold and what is wrong with them. It never writes, takes no
// lock and needs no order among the files, so it works beside a live server
// and on a single file that somebody copied away.
//
// # Types
//
// Path reads a file or a directory and hands an Item at a time to the caller:
// File begins a file, what follows belongs to it; Batch, Record, OffsetEntry,
// TimeEntry, CheckpointEntry, EpochEntry, Producer, Property and Commit are contents;
// Problem is a place that is not what the format says.
//
// # Invariants
//
//   - A file is decoded here on its own, by docs/format, and not by the code
//     that wrote it: what both agree on is right with more certainty.
//   - After a problem the reader goes on where something whole begins again.
//   - Memory is bounded by maxBatchBytes and maxTextBytes, whatever lengths
//     the bytes declare.
//   - A file that grows while it is read ends where it ended when it was
//     opened; a batch that was cut there by the moment is no problem.
package dump
