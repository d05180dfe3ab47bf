package iouring

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// ioUringRegister is io_uring_register(2).
func ioUringRegister(fd int, op uint32, arg unsafe.Pointer, count int) unix.Errno {
	_, _, errno := unix.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(fd), uintptr(op), uintptr(arg), uintptr(count), 0, 0)
	return errno
}
