package host

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// Cores returns the numbers of the cores that this process may use, ascending.
// The calling thread is asked, so ask before pinning anything.
func Cores() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("sched_getaffinity: %w", err)
	}
	var cores []int
	for core := range len(set) * strconv.IntSize {
		if set.IsSet(core) {
			cores = append(cores, core)
		}
	}
	return cores, nil
}

// Pin puts all threads of this process on these cores, those to come included: a
// thread starts on the cores of the one that makes it.
func Pin(cores ...int) error {
	var pinned []string
	for {
		entries, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		done := true
		for _, e := range entries {
			if slices.Contains(pinned, e.Name()) {
				continue
			}
			done = false // a thread that was not pinned yet may have made more
			tid, err := strconv.Atoi(e.Name())
			if err != nil {
				return fmt.Errorf("/proc/self/task: %w", err)
			}
			if err := setAffinity(tid, cores); err != nil && err != unix.ESRCH {
				return fmt.Errorf("sched_setaffinity of thread %d to cores %v: %w", tid, cores, err)
			}
			pinned = append(pinned, e.Name())
		}
		if done {
			return nil
		}
	}
}

// Pinned calls f on a thread that is on one core, and nowhere else: a process
// that f starts stays on that core, with all its threads, and Go programs
// then have GOMAXPROCS 1.
func Pinned(core int, f func() error) error { return PinnedTo([]int{core}, f) }

// PinnedTo is Pinned to several cores. Of none it only calls f.
func PinnedTo(cores []int, f func() error) error {
	if len(cores) == 0 {
		return f()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := Cores()
	if err != nil {
		return err
	}
	if err := setAffinity(0, cores); err != nil {
		return fmt.Errorf("sched_setaffinity to cores %v: %w", cores, err)
	}
	defer setAffinity(0, before) // it was in force a moment ago
	return f()
}

func setAffinity(tid int, cores []int) error {
	var set unix.CPUSet
	for _, core := range cores {
		set.Set(core)
	}
	return unix.SchedSetaffinity(tid, &set)
}
