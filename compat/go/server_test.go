package clients

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

var (
	// otherBroker is the address of a broker to test instead of ours.
	otherBroker = os.Getenv("ROLLWAY_COMPAT_BROKER")
	// program is the path of the rollway under test.
	program string
)

// root is the folder of the module that is under test.
const root = "../.."

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "rollway-compat-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "rollway")
		build := exec.Command("go", "build", "-C", root, "-buildvcs=false", "-o", program, "./cmd/rollway")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// startLimit is how long a server may take to be ready, and to end.
const startLimit = time.Minute

// hang is how long a client may take for one thing before it has hung.
const hang = 30 * time.Second

// server is one running `rollway serve`, or another broker.
type server struct {
	kafka string // address of the Kafka listener
	wire  string // address of the native listener; empty for another broker
}

// serverComplaints is what the server logs as a warning or worse, and
// serverExcepted what says nothing of a client.
var (
	serverComplaints = regexp.MustCompile(`(?m)^.* level=(?:WARN|ERROR) .*$`)
	serverExcepted   = regexp.MustCompile(` msg="(?:topic config has no effect|the limit of open files )`)
)

// startServer starts a server with an empty data directory; it is stopped when
// the test ends, and has to end well then, with no complaint in its log. The test,
// which most of the time waits for a client to end, goes on beside others.
func startServer(t *testing.T, flags ...string) *server {
	t.Helper()
	t.Parallel()
	if otherBroker != "" {
		return &server{kafka: otherBroker}
	}
	args := append([]string{"serve", "--data", filepath.Join(t.TempDir(), "data"), "--wire", "127.0.0.1:0", "--kafka", "127.0.0.1:0", "--http", "off"}, flags...)
	cmd := exec.Command(program, args...)
	var log bytes.Buffer // read only after the end
	cmd.Stderr = &log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(startLimit, func() { cmd.Process.Kill() })
	line, _ := bufio.NewReader(stdout).ReadString('\n')
	late.Stop()
	drained := make(chan struct{})
	go func() { defer close(drained); io.Copy(io.Discard, stdout) }()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		late := time.AfterFunc(startLimit, func() { cmd.Process.Kill() })
		<-drained
		err := cmd.Wait()
		late.Stop()
		for _, line := range serverComplaints.FindAllString(log.String(), -1) {
			if !serverExcepted.MatchString(line) {
				t.Errorf("the server has logged: %s", line)
			}
		}
		if err != nil || t.Failed() {
			t.Errorf("server: %v; its log:\n%s", err, log.String())
		}
	})
	ready := regexp.MustCompile(`^ready wire=(\S+) kafka=(\S+)(?: http=\S+)?\n$`).FindStringSubmatch(line)
	if ready == nil {
		t.Fatalf("the server said %q, want a ready line", line)
	}
	return &server{wire: ready[1], kafka: ready[2]}
}

// rollway runs a client command of the program, which speaks the native protocol,
// and returns what it prints. There is none with another broker.
func (s *server) rollway(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, append(args, "--addr", s.wire)...)
	cmd.Stdin = strings.NewReader(stdin)
	return output(t, cmd)
}

// output runs a command that must succeed and returns its standard output.
func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(cmd.Args, " "), err, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.String()
}

// limit returns a context that ends with the test, or when a client has hung.
func limit(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), hang)
	t.Cleanup(cancel)
	return ctx
}

// awaitFor waits until missing returns nothing; the test fails with what it has
// returned when a client has hung.
func awaitFor(t *testing.T, missing func() string) {
	t.Helper()
	ctx := limit(t)
	for {
		what := missing()
		if what == "" {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// moduleVersion is the version of a module that go.mod requires, without its v.
func moduleVersion(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^\s*` + regexp.QuoteMeta(path) + ` v(\S+)`).FindSubmatch(text)
	if m == nil {
		t.Fatalf("go.mod does not require %s", path)
	}
	return string(m[1])
}

// unique returns a topic name that no other test uses, also with a broker that
// was there before.
func unique(t *testing.T) string {
	name := regexp.MustCompile(`[^A-Za-z0-9]+`).ReplaceAllString(t.Name(), "-")
	return fmt.Sprintf("%s-%d", name, time.Now().UnixNano())
}
