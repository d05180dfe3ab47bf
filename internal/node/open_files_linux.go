package node

import "golang.org/x/sys/unix"

// otherFiles is how many descriptors a node needs beside segments and
// connections: listeners, those of HTTP (admin.MaxConnections), the runtime's, locks
// and logs of its own, and those that are open for a moment: one for each file of a group commit, a directory that is
// synced, a connection that is accepted to be refused.
const otherFiles = 80

// leastConnections are allowed however few descriptors there are: idle segment
// files are closed for them.
const leastConnections = 16

// roomForConnections is how many connections the process can have beside so many
// open segment files (RLIMIT_NOFILE, getrlimit(2)).
func roomForConnections(openFiles int) int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		limit.Cur = 1024 // that systems begin with
	}
	return connectionsBeside(limit.Cur, openFiles)
}

func connectionsBeside(limit uint64, openFiles int) int {
	left := int64(min(limit, 1<<30)) - int64(openFiles) - otherFiles
	return int(max(left, leastConnections))
}
