// Package vfs is the one seam between the engine and the file system.
//
// An [FS] is a data directory: every name is relative to it and uses forward
// slashes, and no name or symbolic link leads out of it. A [File] shows its
// [os.File], so that sendfile and splice work on it unmodified: the seam costs
// one indirect call (2 ns) per system call (340 ns and more), not the fast
// path.
//
// [OS] is the real file system. [Mem] is a tree in memory whose files are memfds,
// and which gives images of what a crash would leave of it ([Mem.CrashClone]).
// [Failing] wraps either and has chosen calls fail. Nothing here is package-level:
// two engines, or an engine and a test that injects faults, live side by side in
// one process.
//
// Durability is the caller's: a name is durable after [FS.SyncDir] of its
// parent, bytes after [File.Datasync] of the file that wrote them. A write-back
// error is reported by the kernel once per open file description, so a file is
// synced through the File that wrote it and never again after an error
// (fsync(2), NOTES).
package vfs
