package netloop

import "golang.org/x/sys/unix"

// isReadable tells whether a read of fd would not block, by poll(2), without
// waiting: there are bytes, an end or an error.
func isReadable(fd uintptr) bool {
	p := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(p[:], 0)
		if err == unix.EINTR {
			continue
		}
		return n != 0 || err != nil // with an error the read will tell
	}
}
