package doctor

import "github.com/rollway/rollway/engine/vfs"

// Facts are what Probe found out. An error in it says why something could not
// be found out, or why a call does not work here; nil that it does.
type Facts struct {
	Kernel      string // release, as uname(2) has it
	ClockSource string // "" if unknown

	// OpenFiles is the hard limit of open files, which is the one in force:
	// the Go runtime raises the soft one to it.
	OpenFiles uint64

	Dirty      Dirty
	Congestion Congestion
	Pipe       Pipe
	Data       Data

	SendFile  error // from the data directory's file system to a socket
	Splice    error // the same through a pipe
	CacheStat error // which pages are in the cache
	DontCache error // reading past the cache
	IOUring   error

	// IOUringDisabled is the sysctl kernel.io_uring_disabled: 0 anyone may,
	// 1 members of a group, 2 nobody; -1 unknown.
	IOUringDisabled int64
}

// Dirty is when the kernel begins to write dirty pages, and when it makes
// writers wait for that: the sysctls vm.dirty_*. Of each pair the bytes count
// if they are not 0, else the percentage of available memory. -1: unknown.
type Dirty struct {
	BackgroundBytes, BackgroundRatio int64
	Bytes, Ratio                     int64
}

// Congestion is the congestion control of TCP.
type Congestion struct {
	Default   string // "" if unknown
	Available []string
}

// Pipe is what limits pipes.
type Pipe struct {
	MaxBytes  int64 // sysctl fs.pipe-max-size, -1 if unknown
	UserPages int64 // sysctl fs.pipe-user-pages-soft, -1 if unknown; 0: no limit
	// Granted is what a new pipe got that asked for 1 MiB, bytes; 0 with Err.
	Granted int
	Err     error
}

// Data is the data directory.
type Data struct {
	Path    string
	Nearest string // Path, or the nearest directory above it that exists
	Exists  bool
	Err     error // why it cannot be used as a data directory
	Space   vfs.Space
	// Topics are those that show records before they are durable, with the
	// value of flush.messages that says so. TopicsErr says why they are unknown.
	Topics    []UnsyncedTopic
	TopicsErr error
}

// UnsyncedTopic is a topic whose last records a power cut may take.
type UnsyncedTopic struct {
	Name          string
	FlushMessages string
}
