// Package host is about the machine that a measurement runs on: Describe says
// what it is, Pin and Pinned put threads on cores, CPUTime reads what a process
// has used, Usage what all others used meanwhile, TCP what the ends of a
// connection are set to, Connections what those of all processes are.
//
// What a server uses is read from outside of it: ProcessNow (CPU, waits, bytes for
// the disk), MemoryOf, PageCache, DiskWritten, and Syscalls, which slows it down.
// MemoryGroup bounds its memory, Evict drops its files from the page cache, and
// SyncDisk and FreshMemory have nobody pay for the turn before.
//
// Parsers of /proc are apart from what reads it, so that tests feed them text.
package host
