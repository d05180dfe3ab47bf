package iouring

import (
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// setupWays are the flags to set up a ring with, best first. The kernel refuses
// those that it does not know with EINVAL, so that the first that it takes is
// the best that it has.
var setupWays = []SetupFlags{
	SetupCQSize | SetupClamp | SetupSubmitAll | SetupSingleIssuer | SetupDeferTaskrun,                   // 6.1
	SetupCQSize | SetupClamp | SetupSubmitAll | SetupSingleIssuer | SetupCoopTaskrun | SetupTaskrunFlag, // 6.0
	SetupCQSize | SetupClamp | SetupSubmitAll | SetupCoopTaskrun | SetupTaskrunFlag,                     // 5.19
	SetupCQSize | SetupClamp, // 5.6
}

// setup makes a ring by io_uring_setup(2), the first way that the kernel takes.
func setup(entries, completions int, ways []SetupFlags) (fd int, p setupParams, err error) {
	var errno unix.Errno
	for _, flags := range ways {
		p = setupParams{flags: flags, cqEntries: uint32(completions)}
		fd, errno = ioUringSetup(entries, &p)
		switch errno {
		case 0:
			return fd, p, nil
		case unix.EINVAL: // a flag that it does not know: the lengths were checked
		default:
			return -1, p, refused(errno)
		}
	}
	return -1, p, refused(errno)
}

// ioUringSetup is the call itself; the descriptor is close-on-exec.
func ioUringSetup(entries int, p *setupParams) (fd int, errno unix.Errno) {
	n, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, uintptr(entries), uintptr(unsafe.Pointer(p)), 0)
	return int(n), errno
}

// disabledPath is the sysctl that forbids io_uring: 0 to nobody, 1 to all but
// members of kernel.io_uring_group and CAP_SYS_ADMIN, 2 to all. Since Linux 6.6.
const disabledPath = "/proc/sys/kernel/io_uring_disabled"

// refused explains an errno of io_uring_setup.
func refused(errno unix.Errno) error {
	disabled, _ := os.ReadFile(disabledPath) // may not be there, or hidden: then the cause is less sure
	return &UnavailableError{Op: "io_uring_setup", Err: errno, Cause: likelyCause(errno, strings.TrimSpace(string(disabled)))}
}

// likelyCause says why the kernel answers so, given the sysctl, which may be
// empty.
func likelyCause(errno unix.Errno, disabled string) string {
	switch errno {
	case unix.EPERM:
		switch disabled {
		case "2":
			return "sysctl kernel.io_uring_disabled is 2: nobody may; set it to 0 or 1"
		case "1":
			return "sysctl kernel.io_uring_disabled is 1: join the group of kernel.io_uring_group, or set it to 0"
		}
		return "likely a container's seccomp profile: allow io_uring_setup, io_uring_enter and io_uring_register in it"
	case unix.ENOSYS:
		return "likely a container's seccomp profile, or a kernel before 5.1 or without CONFIG_IO_URING"
	case unix.ENOMEM:
		return "no memory for it, or before Linux 5.12 too little of it may be locked: see ulimit -l"
	case unix.EMFILE, unix.ENFILE:
		return "too many open descriptors: see ulimit -n and fs.file-max"
	case unix.EINVAL:
		return "likely a kernel before 5.6"
	default:
		return fmt.Sprintf("errno %d is not known to come from it", int(errno))
	}
}
