// Package record reads and writes RecordBatch v2, the unit in which records
// are produced, stored and fetched. docs/format/record-batch.md is its format.
//
// # Types
//
// A [Batch] is a view of the bytes of one whole batch: accessors read its
// header, [Batch.Verify] checks it, a few setters patch it in place. [Next]
// cuts the first batch off a buffer; [PeekSize] tells how long a batch is from
// its first bytes. An [Iterator] walks the records of a batch and a [Record]
// points into them. A [Builder] makes batches. [Compress] and [Decompress]
// are the five codecs of the format.
//
// # Invariants
//
//   - No function panics, loops long or allocates much because of what the
//     bytes say: a length is compared with the bytes that remain before it is
//     used, a count with the bytes that so many records need, and what is
//     decompressed with a limit that the caller gives.
//   - Verify, the accessors, the setters and the iterator allocate nothing,
//     unless they return an error.
//   - The package keeps no reference to a buffer after it returned. A Record
//     lives as long as the buffer that it points into stays unchanged.
//
// Functions may be called concurrently; a Batch, an Iterator and a Builder
// belong to one goroutine at a time, as any other slice does. There are no
// locks.
package record
