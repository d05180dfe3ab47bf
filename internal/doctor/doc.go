// Package doctor looks at the machine that a server runs on, or shall run on,
// and says what of it is good, what costs speed or safety, and what to do.
//
// Probe collects Facts by asking the kernel: it tries each call that matters
// once instead of comparing versions. Judge turns Facts into Findings and asks
// nobody, so that its tests need no special machine. Examine is both.
//
// Nothing is changed. In the data directory, or in the nearest directory above
// it that exists, a file without a name (O_TMPFILE, open(2)) is made for the
// probes, which goes with its descriptor.
//
// There are no locks; everything may be called concurrently.
package doctor
