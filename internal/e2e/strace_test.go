package e2e

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rollway/rollway/internal/needs"
)

// tracedBytes is how much is consumed under strace; ROLLWAY_TRACED_BYTES sets
// another amount.
func tracedBytes(t *testing.T) int64 {
	if v := os.Getenv("ROLLWAY_TRACED_BYTES"); v != "" {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	const few = 64 << 20
	if testing.Short() {
		return few
	}
	if free := freeBytes(t, os.TempDir()); free < 4<<30 {
		t.Logf("%d bytes are free in %s: only %d are consumed", free, os.TempDir(), few)
		return few
	}
	return 1 << 30
}

// A consumer's payload leaves the server by sendfile, or by splice when that is
// chosen, and never enters it: the server reads of its .log files one index
// interval of batch headers at most to find the start, and nothing after that.
func TestPayloadBypassesTheServer(t *testing.T) {
	strace := needs.Tool(t, "strace")
	data := t.TempDir()
	s := startServer(t, data)
	s.run(nil, "topic", "create", "logs", "--config", "segment.bytes=268435456")
	want := tracedBytes(t)
	s.run(&lines{left: want}, "produce", "logs", "--batch-bytes", "262144")
	s.stop()

	for _, path := range []string{"sendfile", "splice"} {
		trace := filepath.Join(t.TempDir(), "trace")
		tracer := []string{strace, "-f", "-y", "-qq", "-o", trace,
			"-e", "trace=accept4,sendfile,splice,read,pread64,readv,preadv,preadv2,write,writev,sendto,sendmsg,mmap"}
		s := startTraced(t, tracer, data, "--fetch-path", path)
		out := s.consumeCounting("logs")
		s.stop()
		if out != want {
			t.Fatalf("%s: %d bytes came out, %d went in", path, out, want)
		}
		calls := readTrace(t, trace)
		t.Logf("%s: %+v", path, calls)
		payload := map[string]int64{"sendfile": calls.sendfile, "splice": calls.splice}[path]
		if sent := payload + calls.written; float64(payload) < 0.999*float64(sent) || payload < want {
			t.Errorf("%s: %d of %d bytes sent, want at least 99.9%% and all of the %d of the log's records", path, payload, sent, want)
		}
		if calls.firstRead > 4096 {
			t.Errorf("%s: %d bytes of .log files were read before the first byte was sent, want at most one index interval (4096)", path, calls.firstRead)
		}
		if calls.laterRead > 0 {
			t.Errorf("%s: %d bytes of .log files were read while the log was sent, want none", path, calls.laterRead)
		}
		if calls.mapped > 0 {
			t.Errorf("%s: .log files were mapped %d times", path, calls.mapped)
		}
	}
}

// freeBytes is what may still be written below dir.
func freeBytes(t *testing.T, dir string) int64 {
	t.Helper()
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return int64(st.Bavail) * st.Bsize
}

// consumeCounting consumes a topic and returns how many bytes came out.
func (s *server) consumeCounting(topic string) int64 {
	s.t.Helper()
	var n counter
	if err := s.pipe(nil, &n, "consume", topic); err != nil {
		s.t.Fatalf("consume %s: %v\nserver's stderr:\n%s", topic, err, s.stderr)
	}
	return int64(n)
}

// counter counts what is written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// lines yields left bytes of numbered lines.
type lines struct {
	left int64
	n    int
	rest []byte
}

func (l *lines) Read(p []byte) (int, error) {
	if l.left == 0 {
		return 0, io.EOF
	}
	if len(l.rest) == 0 {
		for range 500 {
			l.n++
			l.rest = fmt.Appendf(l.rest, "line %09d %s\n", l.n, strings.Repeat("payload ", 12))
		}
		if int64(len(l.rest)) > l.left {
			l.rest = l.rest[:l.left]
			l.rest[l.left-1] = '\n'
		}
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	l.left -= int64(n)
	return n, nil
}

// traced is what a server's system calls amount to, in bytes.
type traced struct {
	sendfile  int64 // from .log files to sockets
	splice    int64 // from pipes to sockets
	written   int64 // to sockets from memory
	firstRead int64 // of .log files, after the first accept and before the first payload
	laterRead int64 // of .log files, after it
	mapped    int   // mappings of .log files
}

// A line of strace -f -y: pid, call, first argument with its path, result. Calls
// that another thread's line interrupts are printed in two halves; the second,
// "resumed", has the result.
var (
	callLine    = regexp.MustCompile(`^(\d+) +(\w+)\((.*)\) += (-?\d+)`)
	begunLine   = regexp.MustCompile(`^(\d+) +(\w+)\((.*) <unfinished \.\.\.>$`)
	resumedLine = regexp.MustCompile(`^(\d+) +<\.\.\. (\w+) resumed>(.*)\) += (-?\d+)`)
)

func readTrace(t *testing.T, path string) traced {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var sum traced
	accepted := false
	begun := map[string]string{} // arguments by pid and call
	scan := bufio.NewScanner(file)
	scan.Buffer(nil, 1<<20)
	for scan.Scan() {
		line := scan.Text()
		if m := begunLine.FindStringSubmatch(line); m != nil {
			begun[m[1]+m[2]] = m[3]
			continue
		}
		m := callLine.FindStringSubmatch(line)
		if m == nil {
			if m = resumedLine.FindStringSubmatch(line); m == nil {
				continue
			}
			m[3] = begun[m[1]+m[2]] + m[3]
		}
		n, err := strconv.ParseInt(m[4], 10, 64)
		if err != nil || n < 0 {
			continue
		}
		sum.add(m[2], m[3], n, &accepted)
	}
	if err := scan.Err(); err != nil {
		t.Fatal(err)
	}
	return sum
}

// add counts one call by its arguments and result.
func (c *traced) add(call, args string, n int64, accepted *bool) {
	first, _, _ := strings.Cut(args, ",")
	log := strings.Contains(args, ".log>")
	socket := strings.Contains(first, "<TCP") || strings.Contains(first, "<socket:")
	switch call {
	case "accept4":
		*accepted = true
	case "sendfile":
		c.sendfile += n
	case "splice":
		if !log {
			c.splice += n
		}
	case "read", "pread64", "readv", "preadv", "preadv2":
		switch {
		case !log || !*accepted:
		case c.sendfile+c.splice == 0:
			c.firstRead += n
		default:
			c.laterRead += n
		}
	case "write", "writev", "sendto", "sendmsg":
		if socket {
			c.written += n
		}
	case "mmap":
		if log {
			c.mapped++
		}
	}
}
