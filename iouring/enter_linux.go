package iouring

import "golang.org/x/sys/unix"

// ioUringEnter is io_uring_enter(2): it submits so many and returns how many the
// kernel took, after so many completions are there to be seen.
//
// Without waiting it does not tell the scheduler: the call returns soon, and the
// thread keeps its P. A thread that sleeps in the kernel must get one back first
// when it returns, which under load takes longer than the call.
func ioUringEnter(fd int, submit, wait uint32) (taken int, errno unix.Errno) {
	var n uintptr
	if wait == 0 {
		n, _, errno = unix.RawSyscall6(unix.SYS_IO_URING_ENTER, uintptr(fd), uintptr(submit), 0, enterGetEvents, 0, 0)
	} else {
		n, _, errno = unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(fd), uintptr(submit), uintptr(wait), enterGetEvents, 0, 0)
	}
	return int(n), errno
}
