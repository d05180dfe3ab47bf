package doctor

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// tryIOUring sets up a ring of one entry, io_uring_setup(2), and closes it.
func tryIOUring() error {
	var params [120]byte // struct io_uring_params, all zero
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params[0])), 0)
	if errno != 0 {
		// EPERM: kernel.io_uring_disabled or seccomp. ENOSYS: seccomp of some
		// container runtimes, or a kernel without it. ENOMEM: RLIMIT_MEMLOCK
		// before 5.12.
		return os.NewSyscallError("io_uring_setup", errno)
	}
	unix.Close(int(fd))
	return nil
}
