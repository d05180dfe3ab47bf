package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rollway/rollway/internal/layering"
)

// program is the path of the rollway under test: the one that ROLLWAY_PROGRAM
// names, by default one built from this checkout.
var program = os.Getenv("ROLLWAY_PROGRAM")

func TestMain(m *testing.M) {
	os.Exit(func() int {
		if addr := os.Getenv(consumerAddress); addr != "" {
			if err := consume(addr); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
			return 0
		}
		if program != "" {
			return m.Run()
		}
		dir, err := os.MkdirTemp("", "rollway-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "rollway")
		build := exec.Command("go", "build", "-buildvcs=false", "-o", program, "github.com/rollway/rollway/cmd/rollway")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// readSources reads the sources of the program. The go command cannot see what
// a program depends on that a test builds; from this it knows, and serves no
// stale pass.
var readSources = sync.OnceValue(func() error {
	root, err := layering.FindRoot(".")
	if err == nil {
		_, err = layering.Sources(root)
	}
	return err
})

// startLimit is how long a server may take to accept, and to end.
const startLimit = time.Minute

// server is one running `rollway serve`.
type server struct {
	t      testing.TB
	cmd    *exec.Cmd
	pid    int    // of the server, also when cmd is a tracer
	addr   string // of the native listener
	kafka  string // of the Kafka listener, "" when it is off
	http   string // of the HTTP listener, "" when it is off
	stderr *syncBuffer
	ended  chan struct{}
	killed bool // by kill
}

// startServer starts a server on the data directory and waits for its ready
// line. It is killed with the test.
func startServer(t testing.TB, data string, args ...string) *server {
	t.Helper()
	return startTraced(t, nil, data, args...)
}

// startTraced starts it under another program, such as strace with its flags.
func startTraced(t testing.TB, tracer []string, data string, args ...string) *server {
	t.Helper()
	s, ready := launch(t, tracer, data, args...)
	if !ready {
		t.Fatalf("the server ended before it was ready: %v; stderr:\n%s", s.cmd.ProcessState, s.stderr)
	}
	return s
}

// launch is startTraced for a server that may end before it is ready: then it
// has ended when launch returns.
func launch(t testing.TB, tracer []string, data string, args ...string) (s *server, ready bool) {
	t.Helper()
	if err := readSources(); err != nil {
		t.Fatal(err)
	}
	line := append(append([]string{}, tracer...), program, "serve", "--data", data, "--wire", "127.0.0.1:0", "--kafka", "off", "--http", "off")
	line = append(line, args...)
	s = &server{t: t, cmd: exec.Command(line[0], line[1:]...), stderr: new(syncBuffer), ended: make(chan struct{})}
	s.cmd.Stderr = s.stderr
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	first := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(stdout).ReadString('\n')
		first <- line
		io.Copy(io.Discard, stdout)
		s.cmd.Wait()
		close(s.ended)
	}()
	select {
	case line := <-first:
		if line == "" {
			<-s.ended
			return s, false
		}
		addrs := readyAddrs(line)
		if s.addr, s.kafka, s.http = addrs["wire"], addrs["kafka"], addrs["http"]; s.addr == "" {
			s.cmd.Process.Kill()
			<-s.ended
			t.Fatalf("the server said %q, want a ready line; stderr:\n%s", line, s.stderr)
		}
	case <-time.After(startLimit):
		s.cmd.Process.Kill()
		t.Fatalf("the server was not ready after %v; stderr:\n%s", startLimit, s.stderr)
	}
	s.pid = s.cmd.Process.Pid
	if tracer != nil {
		if s.pid = childOf(s.pid); s.pid == 0 {
			<-s.ended // it was killed right behind its ready line
			return s, false
		}
	}
	t.Cleanup(s.kill)
	return s, true
}

// readyAddrs returns the addresses of a ready line by what is served there.
func readyAddrs(line string) map[string]string {
	addrs := map[string]string{}
	for _, field := range strings.Fields(strings.TrimPrefix(line, "ready ")) {
		what, addr, _ := strings.Cut(field, "=")
		addrs[what] = addr
	}
	return addrs
}

// childOf returns the only child of a process; 0 if it has none any more.
func childOf(pid int) int {
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	child, _ := strconv.Atoi(strings.TrimSpace(string(children)))
	return child
}

// kill ends the server as a crash would. A server that has ended is left alone.
func (s *server) kill() {
	select {
	case <-s.ended:
		return
	default:
	}
	s.killed = true
	syscall.Kill(s.pid, syscall.SIGKILL)
	<-s.ended
}

// stop ends it as an operator would, and fails the test if it complains.
func (s *server) stop() {
	s.t.Helper()
	s.terminate()
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		s.t.Fatalf("the server ended with exit code %d; stderr:\n%s", code, s.stderr)
	}
}

// terminate tells it to stop, and returns when it has ended.
func (s *server) terminate() {
	s.t.Helper()
	syscall.Kill(s.pid, syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(startLimit):
		s.t.Fatalf("the server did not end %v after SIGTERM; stderr:\n%s", startLimit, s.stderr)
	}
}

// run runs a client command against the server and returns its standard output.
func (s *server) run(stdin io.Reader, args ...string) []byte {
	s.t.Helper()
	out, err := s.try(stdin, args...)
	if err != nil {
		s.t.Fatalf("rollway %s: %v\nserver's stderr:\n%s", strings.Join(args, " "), err, s.stderr)
	}
	return out
}

// try is run that returns the error, with what the command said of it.
func (s *server) try(stdin io.Reader, args ...string) ([]byte, error) {
	var stdout bytes.Buffer
	err := s.pipe(stdin, &stdout, args...)
	return stdout.Bytes(), err
}

// pipe runs a client command from stdin to stdout.
func (s *server) pipe(stdin io.Reader, stdout io.Writer, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "ROLLWAY_ADDR="+s.addr)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w: %s", err, stderr.Bytes())
	}
	return nil
}

// syncBuffer is a bytes.Buffer for two goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
