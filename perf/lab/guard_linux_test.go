package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// started is a lab that runs as a user has it: a guard, an inner process, servers.
type started struct {
	cmd     *exec.Cmd
	dir     string // where its temporary directory is made
	results string
	lines   *bufio.Reader // of its progress
	errors  bytes.Buffer
}

// startLab starts one and waits until a counted round has begun.
func startLab(t *testing.T) *started {
	t.Helper()
	s := &started{dir: t.TempDir(), results: t.TempDir()}
	s.cmd = exec.Command(os.Args[0], labArgument, "-dir", s.dir, "-results", s.results, "-contestants", "fake,test-native", "-share-cores")
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s.cmd.Stdout, s.cmd.Stderr = in, &s.errors
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	t.Cleanup(func() { out.Close() })
	t.Cleanup(func() {
		s.cmd.Process.Kill() // fails when it has ended, as it should have
		s.cmd.Wait()
	})
	s.lines = bufio.NewReader(out)
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			s.cmd.Wait()
			t.Fatalf("lab ended before its first round: %v: %s", err, &s.errors)
		}
		if strings.Contains(line, "round 1") {
			return s
		}
	}
}

// inner returns the pid of the inner process.
func (s *started) inner(t *testing.T) int {
	t.Helper()
	for pid, args := range processes(t) {
		if len(args) > 3 && args[1] == innerArgument && strings.HasPrefix(args[2], s.dir+"/") {
			return pid
		}
	}
	t.Fatal("there is no inner process")
	return 0
}

// checkGone waits until all processes are gone that have the lab's directory among
// their arguments, its inner one and its servers, and then looks for files.
func (s *started) checkGone(t *testing.T) {
	t.Helper()
	left := func() (some []string) {
		for _, args := range processes(t) {
			if text := strings.Join(args, " "); strings.Contains(text, s.dir+"/rollway-lab-") {
				some = append(some, text)
			}
		}
		return some
	}
	for len(left()) > 0 { // the kernel ends them; the test's own time limit is the bound
		time.Sleep(time.Millisecond)
	}
	if entries, err := os.ReadDir(s.dir); err != nil || len(entries) > 0 {
		t.Errorf("left behind in %s: %v, %v", s.dir, entries, err)
	}
}

// processes returns the arguments of all processes.
func processes(t *testing.T) map[int][]string {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	all := map[int][]string{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if line, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline")); err == nil && len(line) > 0 {
			all[pid] = strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")
		}
	}
	return all
}

// A lab that is interrupted stops its servers, removes its files, says so, keeps
// the results of whole turns, and ends with the signal's exit code.
func TestInterrupt(t *testing.T) {
	for signal, code := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		s := startLab(t)
		if err := s.cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, s.lines)
		err := s.cmd.Wait()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != code {
			t.Errorf("%v: %v, want exit code %d: %s", signal, err, code, &s.errors)
		}
		if !strings.Contains(s.errors.String(), "servers are stopped and their files removed; results so far are in "+s.results) {
			t.Errorf("%v: it said %q, want that all is removed and where the results are", signal, &s.errors)
		}
		if _, measures := readResults(t, s.results); len(measures) < 4 {
			t.Errorf("%v: %d measures, want those of the turns before the first round", signal, len(measures))
		}
		s.checkGone(t)
	}
}

// Whichever of the two processes is killed, the other one cleans up, and no server
// outlives them.
func TestKill(t *testing.T) {
	s := startLab(t)
	inner := s.inner(t)
	if err := unix.Kill(inner, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, s.lines)
	if err := s.cmd.Wait(); err == nil || !strings.Contains(s.errors.String(), "killed") {
		t.Errorf("guard of an inner process that was killed: %v: %s", err, &s.errors)
	}
	s.checkGone(t)

	s = startLab(t)
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, s.lines)
	s.cmd.Wait()
	s.checkGone(t)
}

// The namespace has a loopback that works and cubic by default, and the machine's
// own settings are what they were.
func TestNamespace(t *testing.T) {
	read := func(path string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		return strings.TrimSpace(string(text))
	}
	before := [2]string{read(congestionFile), read(allowedFile)}
	type seen struct {
		err        error
		congestion string
	}
	found := make(chan seen)
	go func() {
		runtime.LockOSThread() // the thread ends with this
		err := newNamespace()
		if err == nil {
			var ln net.Listener
			if ln, err = net.Listen("tcp4", "127.0.0.1:0"); err == nil {
				var conn net.Conn
				if conn, err = net.Dial("tcp4", ln.Addr().String()); err == nil {
					conn.Close()
				}
				ln.Close()
			}
		}
		found <- seen{err, read(congestionFile)}
	}()
	got := <-found
	if errors.Is(got.err, unix.EPERM) || errors.Is(got.err, fs.ErrPermission) || errors.Is(got.err, unix.ENOENT) {
		t.Skip(got.err)
	}
	if got.err != nil || got.congestion != congestion {
		t.Errorf("namespace with congestion control %s, %v; want %s and a loopback", got.congestion, got.err, congestion)
	}
	if after := [2]string{read(congestionFile), read(allowedFile)}; after != before {
		t.Errorf("the machine's congestion control and what is allowed: %q, before %q", after, before)
	}
}

// A place survives the way to the inner process.
func TestPlace(t *testing.T) {
	want := place{dir: "/tmp/x", network: "the host's, since it is so", warning: true}
	if got, err := parsePlace(append(want.arguments(), "-profile", "full")); err != nil || got != want {
		t.Errorf("place %+v, %v; want %+v", got, err, want)
	}
	if _, err := parsePlace([]string{innerArgument, "/tmp/x"}); err == nil {
		t.Error("place of two arguments: no error")
	}
	if _, err := parsePlace([]string{innerArgument, "/tmp/x", "net", "maybe"}); err == nil {
		t.Error("place with a warning of maybe: no error")
	}
}
