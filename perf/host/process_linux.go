package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Process is what another process has used up to a moment, as the kernel tells
// from outside of it.
type Process struct {
	at      time.Time
	cpu     time.Duration // user and system, of threads that have ended too
	user    time.Duration // in ticks of 10 ms
	threads map[int]switches
	written int64
}

// ProcessUse is what a process has used between two moments.
type ProcessUse struct {
	Elapsed time.Duration
	CPU     time.Duration // user and system
	User    time.Duration // rounded to 10 ms; the rest of CPU is the system's
	// Switches are those of threads that live at the end: of one that has ended
	// nobody tells.
	Voluntary, Involuntary int64
	Threads                int
	// Written are bytes that the process has caused to go to a disk: pages that it
	// made dirty, whether they are there yet or not, and what it wrote past the page
	// cache (write_bytes of proc_pid_io(5), without what was cancelled by truncating
	// or deleting files).
	Written int64
}

// ProcessNow reads what the process has used up to now. As with CPUTime, ask when
// it sleeps.
//
// Errors: those of a process that is not there or may not be looked at.
func ProcessNow(pid int) (Process, error) {
	p := Process{at: time.Now(), threads: map[int]switches{}}
	var err error
	if p.cpu, err = CPUTime(pid); err != nil {
		return p, err
	}
	stat, err := os.ReadFile(procFile(pid, "stat"))
	if err != nil {
		return p, err
	}
	if p.user, err = parseUserTime(string(stat)); err != nil {
		return p, fmt.Errorf("%s: %w", procFile(pid, "stat"), err)
	}
	io, err := os.ReadFile(procFile(pid, "io"))
	if err != nil {
		return p, err
	}
	p.written = parseField(string(io), "write_bytes") - parseField(string(io), "cancelled_write_bytes")
	entries, err := os.ReadDir(procFile(pid, "task"))
	if err != nil {
		return p, err
	}
	for _, e := range entries {
		status, err := os.ReadFile(filepath.Join(procFile(pid, "task"), e.Name(), "status"))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it has just ended
		}
		if err != nil {
			return p, err
		}
		tid, err := strconv.Atoi(e.Name())
		if err != nil {
			return p, fmt.Errorf("%s: %w", procFile(pid, "task"), err)
		}
		p.threads[tid] = parseSwitches(string(status))
	}
	return p, nil
}

// Since returns what the process has used since before.
func (p Process) Since(before Process) ProcessUse {
	u := ProcessUse{
		Elapsed: p.at.Sub(before.at), CPU: p.cpu - before.cpu, Threads: len(p.threads),
		// A cancelled write may be of bytes that were counted before.
		Written: max(0, p.written-before.written),
	}
	u.User = min(p.user-before.user, u.CPU)
	for tid, s := range p.threads {
		was := before.threads[tid] // of a new thread: none
		u.Voluntary += s.voluntary - was.voluntary
		u.Involuntary += s.involuntary - was.involuntary
	}
	return u
}

// Memory is what a process has in memory, in bytes.
type Memory struct {
	Resident     int64 // RSS: its own pages and those of files that it maps
	Proportional int64 // PSS: the same, shared pages by their share
}

// MemoryOf reads the memory of a process. That walks its page tables and holds up
// whoever of its threads maps or unmaps meanwhile, for about a millisecond a GiB:
// do it beside nothing that is measured.
func MemoryOf(pid int) (Memory, error) {
	text, err := os.ReadFile(procFile(pid, "smaps_rollup"))
	if err != nil {
		return Memory{}, err
	}
	return Memory{
		Resident:     parseField(string(text), "Rss") << 10,
		Proportional: parseField(string(text), "Pss") << 10,
	}, nil
}

func procFile(pid int, name string) string {
	return filepath.Join("/proc", strconv.Itoa(pid), name)
}
