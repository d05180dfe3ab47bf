package host

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// CPUTime returns the CPU time, user and system, that the process has used
// since it began, in nanoseconds: all its threads, those that have ended too.
//
// It is the process's CPU clock, clock_getcpuclockid(3), which any process may
// read. What a thread has used since its last tick or switch is missing while
// it runs (at most a tick, 1 to 10 ms); nothing is missing once the process
// sleeps, so read it before the first request and after the last answer. Work
// of the kernel in the context of the process counts, such as TCP delivering to
// the peer on loopback; that of kernel threads, such as write-back, does not.
//
// Errors: EINVAL when there is no such process.
func CPUTime(pid int) (time.Duration, error) {
	// MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED) of linux/posix-timers.h.
	clock := ^int32(pid)<<3 | 2
	var t unix.Timespec
	if err := unix.ClockGettime(clock, &t); err != nil {
		return 0, fmt.Errorf("read CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}
