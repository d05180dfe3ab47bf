package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// What produce, consume and offsets print.
func TestProduceConsumeOffsets(t *testing.T) {
	s := startServer(t, t.TempDir())
	tr := &transcript{t: t, addr: s.addr}
	tr.mask(`\d{4}-\d\d-\d\dT[\d:.]{12}Z`, "YYYY-MM-DDTHH:MM:SS.mmmZ")
	tr.mask(`\b1[789]\d{11}\b`, "1700000000000")

	mustExecute(t, "", "topic", "create", "lines", "--partitions", "2", "--addr", s.addr)
	tr.run("one\ntwo\r\n\nkey=four\n", "produce", "lines", "--partition", "0")
	tr.run("k1=a\nk2=b\nk3=c=d\nno key\n", "produce", "lines", "--key-separator", "=", "--linger", "10s")
	tr.run("last", "produce", "lines", "--partition", "1", "--acks", "0", "--compression", "zstd", "--linger", "0s")
	waitForEnd(t, s.addr, "lines", 9)
	tr.run("", "offsets", "lines")
	tr.run("", "offsets", "lines", "--json")
	tr.run("", "offsets", "lines", "--time", "@0")
	tr.run("", "offsets", "lines", "--time", "@2100-01-01T00:00:00Z", "--json")
	tr.run("", "consume", "lines")
	tr.run("", "consume", "lines", "--partition", "0", "--from", "2")
	tr.run("", "consume", "lines", "--partition", "1", "--from", "latest")
	tr.run("", "consume", "lines", "--from", "@2100-01-01T00:00:00Z")
	tr.run("", "consume", "lines", "--max", "3", "--format", `%t-%p %o %T key=%k(%K) value=%v(%S)\n`)
	tr.run("", "consume", "lines", "--from", "@0", "--partition", "1", "--format", `%o:%k:%s\t`)
	tr.check("produce_consume_offsets")
}

// waitForEnd waits until a topic has so many records: what is produced with
// acks=0 is not waited for by anybody.
func waitForEnd(t *testing.T, addr, topic string, count int) {
	t.Helper()
	for {
		if lines := mustExecute(t, "", "consume", topic, "--addr", addr); strings.Count(lines, "\n") >= count {
			return
		}
	}
}

// generated returns about size bytes of lines as logs have them, some of them
// empty, long, with "\r" or not UTF-8; the last one has no end.
func generated(seed uint64, size int) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	var b bytes.Buffer
	for i := 0; b.Len() < size; i++ {
		switch r.IntN(20) {
		case 0:
		case 1:
			b.WriteString("\r")
		case 2:
			b.Write([]byte{0, 0xff, '\t', 0x80})
		case 3:
			b.WriteString(strings.Repeat("long ", r.IntN(20_000)))
		default:
			fmt.Fprintf(&b, "%d INFO worker-%d handled request %x in %d us", i, r.IntN(8), r.Uint64(), r.IntN(10_000))
		}
		b.WriteByte('\n')
	}
	b.WriteString("the last line")
	return b.Bytes()
}

// What came in comes out byte for byte, with every codec, from one partition and from eight, before and after a restart.
func TestRoundTrip(t *testing.T) {
	seed := rand.Uint64()
	input := generated(seed, 4<<20)
	want := append(slices.Clone(input), '\n') // a missing final newline is added
	file := filepath.Join(t.TempDir(), "input.log")
	if err := os.WriteFile(file, input, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := startServer(t, dir, "--topic-default", "segment.bytes=1048576")
	var topics []string
	for _, codec := range []string{"none", "lz4", "zstd"} {
		for _, partitions := range []int{1, 8} {
			topic := fmt.Sprintf("%s-%d", codec, partitions)
			topics = append(topics, topic)
			mustExecute(t, "", "topic", "create", topic, "--partitions", fmt.Sprint(partitions), "--addr", s.addr)
			mustExecute(t, "", "produce", topic, file, "--compression", codec, "--addr", s.addr)
		}
	}
	check := func(when string) {
		t.Helper()
		for _, topic := range topics {
			if strings.HasSuffix(topic, "-1") {
				if got := mustExecute(t, "", "consume", topic, "--addr", s.addr); got != string(want) {
					t.Errorf("seed %d: %s, %s: %d bytes came out, want the same %d", seed, when, topic, len(got), len(want))
				}
				continue
			}
			var all []string
			for partition := range 8 {
				lines := linesOf(mustExecute(t, "", "consume", topic, "--partition", fmt.Sprint(partition), "--addr", s.addr))
				if !isSubsequence(lines, linesOf(string(want))) {
					t.Errorf("seed %d: %s, %s-%d: the order of the %d lines is not that of the input", seed, when, topic, partition, len(lines))
				}
				all = append(all, lines...)
			}
			wanted := linesOf(string(want))
			slices.Sort(all)
			slices.Sort(wanted)
			if !slices.Equal(all, wanted) {
				t.Errorf("seed %d: %s, %s: %d lines came out, want the same %d", seed, when, topic, len(all), len(wanted))
			}
		}
	}
	check("at first")
	s.stop(t)
	s = startServer(t, dir)
	check("after a restart")
}

func linesOf(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// isSubsequence tells whether part is what is left of whole without some lines.
func isSubsequence(part, whole []string) bool {
	for _, line := range whole {
		if len(part) > 0 && part[0] == line {
			part = part[1:]
		}
	}
	return len(part) == 0
}

// consume --follow shows what is appended as it comes, from all partitions, and ends by --max or a signal.
func TestFollow(t *testing.T) {
	s := startServer(t, t.TempDir())
	mustExecute(t, "", "topic", "create", "lines", "--partitions", "2", "--addr", s.addr)
	mustExecute(t, "old\n", "produce", "lines", "--addr", s.addr)

	r, w := io.Pipe()
	ended := make(chan int, 1)
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		ended <- run(ctx, []string{"consume", "lines", "--follow", "--addr", s.addr}, nil, w, io.Discard)
		w.Close()
	}()
	read := func(want string) {
		t.Helper()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
			t.Fatalf("%q, %v; want %q", got, err, want)
		}
	}
	read("old\n")
	mustExecute(t, "one\n", "produce", "lines", "--partition", "0", "--addr", s.addr)
	read("one\n")
	mustExecute(t, "two\nthree\n", "produce", "lines", "--partition", "1", "--addr", s.addr)
	read("two\nthree\n")
	cancel(signalError{syscall.SIGINT})
	if code := <-ended; code != 130 {
		t.Errorf("exit code %d after SIGINT, want 130", code)
	}

	if got := mustExecute(t, "", "consume", "lines", "--follow", "--max", "4", "--addr", s.addr); strings.Count(got, "\n") != 4 {
		t.Errorf("%q, want 4 lines", got)
	}
}

// closedPipe is standard output whose reader has gone.
type closedPipe struct{}

func (closedPipe) Write([]byte) (int, error) { return 0, os.NewSyscallError("write", syscall.EPIPE) }

// Who reads only the beginning ends the command quietly and with 0; a full disk behind standard output does not.
func TestClosedOutput(t *testing.T) {
	s := startServer(t, t.TempDir())
	mustExecute(t, "", "topic", "create", "lines", "--addr", s.addr)
	mustExecute(t, strings.Repeat("line\n", 200_000), "produce", "lines", "--addr", s.addr)
	f := func(out io.Writer, wantCode int, wantErr string, args ...string) {
		t.Helper()
		var stderr lockedBuffer
		if code := run(t.Context(), args, nil, out, &stderr); code != wantCode || stderr.String() != wantErr {
			t.Errorf("%q: exit code %d, %q; want %d, %q", args, code, stderr.String(), wantCode, wantErr)
		}
	}
	f(closedPipe{}, exitOK, "", "consume", "lines", "--addr", s.addr)
	f(closedPipe{}, exitOK, "", "consume", "lines", "--follow", "--addr", s.addr)
	f(closedPipe{}, exitOK, "", "topic", "list", "--addr", s.addr)
	f(closedPipe{}, exitOK, "", "dump", s.dir, "--records")
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	f(full, exitFailure, "rollway: standard output: write /dev/full: no space left on device\n", "consume", "lines", "--addr", s.addr)
}
