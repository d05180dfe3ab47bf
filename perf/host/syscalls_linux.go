package host

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ErrNoStrace says that system calls cannot be counted here.
var ErrNoStrace = errors.New("strace: not installed")

// straceTime is how long strace has to attach, and to end when it is told to.
const straceTime = 10 * time.Second

// Syscalls returns the system calls of all threads of a process while f runs, by
// name. strace stops a thread at each of them, so take no other figure of it.
//
// Errors: ErrNoStrace; those of strace, which needs the right to trace
// (ptrace(2), kernel.yama.ptrace_scope); that of f.
func Syscalls(pid int, f func() error) (calls map[string]int64, err error) {
	program, err := exec.LookPath("strace")
	if err != nil {
		return nil, ErrNoStrace
	}
	dir, err := os.MkdirTemp("", "rollway-strace-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	table := filepath.Join(dir, "calls")
	cmd := exec.Command(program, "-f", "-c", "-o", table, "-p", strconv.Itoa(pid))
	// Not by Ctrl-C on the terminal, and not longer than we live.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	said, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("strace: %w", err)
	}
	kill := time.AfterFunc(straceTime, func() { cmd.Process.Kill() })
	lines := bufio.NewReader(said)
	line, err := lines.ReadString('\n')
	kill.Stop()
	if err != nil || !strings.Contains(line, "attached") {
		cmd.Process.Kill()
		cmd.Wait() // says that it was killed
		return nil, fmt.Errorf("strace -p %d: %q, want it attached", pid, strings.TrimSpace(line))
	}
	var rest sync.WaitGroup
	rest.Go(func() { io.Copy(io.Discard, lines) }) // of more threads; ends when strace does
	failed := f()
	cmd.Process.Signal(syscall.SIGINT) // detach and print; fails only when it has ended already
	kill = time.AfterFunc(straceTime, func() { cmd.Process.Kill() })
	defer kill.Stop()
	rest.Wait()
	cmd.Wait() // says that it was interrupted
	if failed != nil {
		return nil, failed
	}
	text, err := os.ReadFile(table)
	if err != nil {
		return nil, fmt.Errorf("strace -p %d: %w", pid, err)
	}
	return parseStrace(string(text))
}
