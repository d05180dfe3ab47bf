package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/spf13/cobra"

	"github.com/rollway/rollway/internal/golden"
)

// The environment of whoever runs the tests sets nothing here.
func TestMain(m *testing.M) {
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, environmentPrefix) {
			os.Unsetenv(name)
		}
	}
	os.Exit(m.Run())
}

// execute runs the program.
func execute(ctx context.Context, stdin string, args ...string) (code int, stdout, stderr string) {
	var out, errs lockedBuffer
	code = run(ctx, args, strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

// mustExecute is execute for a command that has to end with 0.
func mustExecute(t *testing.T, stdin string, args ...string) (stdout string) {
	t.Helper()
	code, stdout, stderr := execute(t.Context(), stdin, args...)
	if code != exitOK || stderr != "" {
		t.Fatalf("rollway %s: exit code %d, %s", strings.Join(args, " "), code, stderr)
	}
	return stdout
}

// lockedBuffer is a buffer that a server may write to while a test reads.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// testServer is a server that runs in this process.
type testServer struct {
	addr, dir string
	http      string // "" when it is off
	log       lockedBuffer
	cancel    context.CancelCauseFunc
	ended     chan int
	stopped   bool
}

// startServer starts a server on dir with more flags and returns when it is
// ready. The test ends it if nobody else does.
func startServer(t *testing.T, dir string, flags ...string) *testServer {
	t.Helper()
	ctx, cancel := context.WithCancelCause(context.Background())
	s := &testServer{dir: dir, cancel: cancel, ended: make(chan int, 1)}
	r, w := io.Pipe()
	args := append([]string{"serve", "--data", dir, "--wire", "127.0.0.1:0", "--kafka", "off", "--http", "off"}, flags...)
	go func() {
		code := run(ctx, args, strings.NewReader(""), w, &s.log)
		w.Close()
		s.ended <- code
	}()
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatalf("no ready line: %v; exit code %d, log:\n%s", err, <-s.ended, s.log.String())
	}
	m := regexp.MustCompile(`^ready wire=(127\.0\.0\.1:\d+)(?: http=(127\.0\.0\.1:\d+))?\n$`).FindStringSubmatch(line)
	if m == nil {
		t.Fatalf("ready line %q", line)
	}
	s.addr, s.http = m[1], m[2]
	t.Cleanup(func() { s.stop(t) })
	return s
}

// stop stops the server as SIGTERM does and checks that it ends cleanly.
func (s *testServer) stop(t *testing.T) {
	t.Helper()
	if s.stopped {
		return
	}
	s.stopped = true
	s.cancel(signalError{syscall.SIGTERM})
	if code := <-s.ended; code != exitOK {
		t.Errorf("server: exit code %d, log:\n%s", code, s.log.String())
	}
}

// transcript collects what commands print, as a terminal would show it: "! "
// stands before lines of standard error.
type transcript struct {
	t    *testing.T
	addr string // of client commands
	out  bytes.Buffer
	// masks replace what differs from run to run, in order.
	masks []mask
}

type mask struct {
	pattern *regexp.Regexp
	text    string
}

func (tr *transcript) mask(pattern, text string) {
	tr.masks = append(tr.masks, mask{regexp.MustCompile(pattern), text})
}

// run executes a command and notes it.
func (tr *transcript) run(stdin string, args ...string) {
	tr.t.Helper()
	real := args
	if tr.addr != "" {
		real = append(append([]string{}, args...), "--addr", tr.addr)
	}
	code, stdout, stderr := execute(tr.t.Context(), stdin, real...)
	quoted := make([]string, len(args))
	for i, arg := range args {
		if quoted[i] = arg; strings.ContainsAny(arg, " \\%") {
			quoted[i] = "'" + arg + "'"
		}
	}
	fmt.Fprintf(&tr.out, "$ rollway %s\n%s", strings.Join(quoted, " "), stdout)
	for line := range strings.Lines(stderr) {
		fmt.Fprintf(&tr.out, "! %s", line)
	}
	if code != exitOK {
		fmt.Fprintf(&tr.out, "exit code %d\n", code)
	}
	tr.out.WriteByte('\n')
}

// check compares the masked transcript with a golden file.
func (tr *transcript) check(name string) {
	tr.t.Helper()
	text := tr.out.String()
	for _, m := range tr.masks {
		text = m.pattern.ReplaceAllString(text, m.text)
	}
	golden.Check(tr.t, name, []byte(text))
}

// Every command explains itself; the golden files are the help texts.
func TestHelp(t *testing.T) {
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		path := strings.Fields(cmd.CommandPath())
		stdout := mustExecute(t, "", append(path[1:], "--help")...)
		golden.Check(t, "help/"+strings.Join(path, "_"), []byte(stdout))
		for _, c := range cmd.Commands() {
			visit(c)
		}
	}
	p := &program{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard}
	visit(p.newRoot())
	if got, want := mustExecute(t, "", "help", "exit-codes"), exitCodesHelp; !strings.HasPrefix(got, want) {
		t.Errorf("help exit-codes: %s", got)
	}
}

// The completion scripts are there, and complete topics by asking the server.
func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if script := mustExecute(t, "", "completion", shell); !strings.Contains(script, "rollway") {
			t.Errorf("%s: %d bytes", shell, len(script))
		}
	}
	s := startServer(t, t.TempDir())
	t.Setenv(addrVariable, s.addr)
	mustExecute(t, "", "topic", "create", "orders")
	mustExecute(t, "", "topic", "create", "clicks")
	f := func(want string, args ...string) {
		t.Helper()
		_, stdout, _ := execute(t.Context(), "", append([]string{"__complete"}, args...)...)
		if got := strings.Join(strings.Fields(stdout), " "); got != want {
			t.Errorf("complete %q: %q, want %q", args, got, want)
		}
	}
	f("clicks orders :4", "consume", "")
	f("clicks orders :4", "topic", "describe", "")
	f("clicks orders :4", "partition", "skip", "")
	f(":0", "produce", "orders", "")
	mustExecute(t, "", "group", "reset", "billing", "orders", "--to-latest")
	f("billing :4", "group", "describe", "")
	f("billing :4", "consume", "orders", "--group", "")
	f("__consumer_offsets clicks orders :4", "group", "reset", "billing", "")
	f(":4", "group", "describe", "billing", "")
	f("auto sendfile splice copy :4", "serve", "--fetch-path", "") // shells filter
	f("none gzip snappy lz4 zstd :4", "produce", "--compression", "")
	s.stop(t)
	f(":4", "consume", "")
}

// What the program says of itself.
func TestVersion(t *testing.T) {
	tr := &transcript{t: t}
	tr.mask(`go\d\.\d+[^ "]*`, "GO")
	tr.mask(`linux/\w+`, "PLATFORM")
	tr.mask(`, revision \w+(\+dirty)?`, "")
	tr.mask(`  "revision": "[^"]*",\n`, "")
	tr.mask(`rollway v\S+,`, "rollway devel,")
	tr.mask(`"version": "v[^"]*"`, `"version": "devel"`)
	tr.run("", "version")
	tr.run("", "version", "--json")
	tr.check("version")
}
