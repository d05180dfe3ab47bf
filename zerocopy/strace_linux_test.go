package zerocopy

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rollway/rollway/internal/needs"
)

// straceChild, in the environment, is the path and the file that a child of
// TestStrace sends.
const straceChild = "ZEROCOPY_STRACE_CHILD"

// The system calls of a process that sends a file, as the kernel saw them:
// on the zero-copy paths every byte of the body leaves by the call of that
// path, and no call reads the file into user memory.
func TestStrace(t *testing.T) {
	strace := tracer(t)
	const size = 3<<20 + 123
	file := fileOf(t, content(size))
	f := func(path Path, want map[string]int64) {
		t.Helper()
		got := map[string]int64{}
		for _, c := range trace(t, strace, path, file.Name()) {
			got[c.name] += c.bytes
		}
		for name, bytes := range want {
			if got[name] != bytes {
				t.Errorf("%v: %d bytes of the file by %s, want %d", path, got[name], name, bytes)
			}
			delete(got, name)
		}
		if len(got) != 0 {
			t.Errorf("%v: the file was touched by %v too, want nothing but %v", path, got, want)
		}
	}
	f(Auto, map[string]int64{"sendfile": size})
	f(SendFile, map[string]int64{"sendfile": size})
	f(Splice, map[string]int64{"splice": size})
	f(Copy, map[string]int64{"pread64": size})
}

// TestStraceChild is what TestStrace traces; by itself it does nothing.
func TestStraceChild(t *testing.T) {
	path, name, ok := strings.Cut(os.Getenv(straceChild), " ")
	if !ok {
		return
	}
	options := Options{}
	if err := options.Path.UnmarshalText([]byte(path)); err != nil {
		t.Fatal(err)
	}
	if options.Path == Splice {
		options.Pipes = pool(t, PipePoolOptions{})
	}
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	server, client := connect(t)
	s, _ := sender(t, server, options)
	done := make(chan int64, 1)
	go func() {
		n, _ := io.Copy(io.Discard, client)
		done <- n
	}()
	r := NewRange(file, 0, info.Size(), nil)
	if _, err := s.Send([]byte("head"), &r); err != nil {
		t.Fatal(err)
	}
	server.Close()
	if n := <-done; n != info.Size()+4 {
		t.Fatalf("received %d bytes, want %d", n, info.Size()+4)
	}
}

// tracer returns the path of a strace that may trace here: a container may have
// the program and forbid ptrace.
func tracer(t *testing.T) string {
	t.Helper()
	strace := needs.Tool(t, "strace")
	out, err := exec.Command(strace, "-o", os.DevNull, os.Args[0], "-test.run=^$").CombinedOutput()
	if err == nil {
		return strace
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("strace: %v: %s; with CI=true nothing may be skipped: allow ptrace", err, out)
	}
	t.Skipf("strace: %v: %s", err, out)
	return ""
}

// fileCall is one system call that had the file as an argument.
type fileCall struct {
	name  string
	bytes int64 // its result
}

// tracedCalls are the calls that move bytes out of a file.
const tracedCalls = "sendfile,splice,read,pread64,readv,preadv,preadv2,mmap,copy_file_range"

// tracedLine is a call that strace wrote: name(arguments) = result.
var tracedLine = regexp.MustCompile(`^(\w+)\((.*)\) += (-?\d+|0x[0-9a-f]+)`)

// trace runs TestStraceChild under strace and returns its calls on file.
func trace(t *testing.T, strace string, path Path, file string) (calls []fileCall) {
	t.Helper()
	// -ff with -o: one log per thread, so that no line is cut in two; -y: the
	// name of the file behind each descriptor.
	logs := filepath.Join(t.TempDir(), "strace")
	cmd := exec.Command(strace, "-f", "-ff", "-y", "-o", logs, "-e", "trace="+tracedCalls,
		os.Args[0], "-test.run=^TestStraceChild$", "-test.count=1")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%v %s", straceChild, path, file))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	names, err := filepath.Glob(logs + ".*")
	if err != nil || len(names) == 0 {
		t.Fatalf("no strace log at %s.* (%v)", logs, err)
	}
	for _, name := range names {
		log, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(log)) {
			m := tracedLine.FindStringSubmatch(line)
			if m == nil || !strings.Contains(m[2], "<"+file+">") {
				continue
			}
			result, err := strconv.ParseInt(m[3], 0, 64)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			calls = append(calls, fileCall{m[1], max(result, 0)})
		}
	}
	return calls
}
