package engine

import "golang.org/x/sys/unix"

// unlimitedOpenFiles is the default bound where the process has none: more than
// the working set of a directory with the most partitions that there may be.
const unlimitedOpenFiles = 32 << 10

// DefaultMaxOpenFiles is two thirds of what the process may open (RLIMIT_NOFILE,
// getrlimit(2)), at most 32,768; the rest is for connections. They get the smaller
// share: a file with bytes that are not synced keeps its descriptor, and an append that
// finds none left is refused.
func DefaultMaxOpenFiles() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 682 // two thirds of the 1,024 that systems begin with
	}
	return max(int(min(limit.Cur/3*2, unlimitedOpenFiles)), leastOpenFiles)
}
