package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rollway/rollway/wire"
	"github.com/rollway/rollway/wire/client"
)

// numbered returns lines that count from first to below end.
func numbered(first, end int) string {
	var b strings.Builder
	for i := first; i < end; i++ {
		fmt.Fprintf(&b, "line %d\n", i)
	}
	return b.String()
}

// committedOf returns what a group has committed for a topic, by partition.
func committedOf(t *testing.T, addr, group, topic string) map[int32]int64 {
	t.Helper()
	c, err := client.Dial(t.Context(), addr, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	topics, err := c.FetchOffset(t.Context(), group, topic)
	if err != nil {
		t.Fatal(err)
	}
	offsets := map[int32]int64{}
	for _, topic := range topics {
		for _, p := range topic.Partitions {
			offsets[p.Partition] = p.Offset
		}
	}
	return offsets
}

// commitOf commits an offset in partition 0 of a topic for a group.
func commitOf(t *testing.T, addr, group, topic string, offset int64) {
	t.Helper()
	c, err := client.Dial(t.Context(), addr, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m := wire.CommitOffset{Group: group, Topic: topic, Partitions: []wire.PartitionOffset{{Offset: offset, LeaderEpoch: -1}}}
	if err := c.CommitOffset(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

// What a group reads in pieces, with restarts of the server between them, is what was produced, each record once.
func TestConsumeInGroup(t *testing.T) {
	dir := t.TempDir()
	s := startServer(t, dir)
	mustExecute(t, "", "topic", "create", "lines", "--partitions", "3", "--addr", s.addr)
	want := map[string]int{}
	var got string
	for round := range 4 {
		for partition := range 3 {
			lines := numbered(1000*round+100*partition, 1000*round+100*partition+50)
			mustExecute(t, lines, "produce", "lines", "--partition", fmt.Sprint(partition), "--addr", s.addr)
			for line := range strings.Lines(lines) {
				want[line] = 1
			}
		}
		got += mustExecute(t, "", "consume", "lines", "--group", "g", "--max", "70", "--addr", s.addr)
		s.stop(t)
		s = startServer(t, dir)
	}
	got += mustExecute(t, "", "consume", "lines", "--group", "g", "--addr", s.addr)
	for line := range strings.Lines(got) {
		want[line]--
	}
	for line, left := range want {
		if left != 0 {
			t.Errorf("%q was printed %d times, want once", line, 1-left)
		}
	}
	if again := mustExecute(t, "", "consume", "lines", "--group", "g", "--addr", s.addr); again != "" {
		t.Errorf("%q was printed again", again)
	}
}

// consume --follow --group commits while it goes on, and once more when a signal ends it.
func TestFollowInGroup(t *testing.T) {
	s := startServer(t, t.TempDir())
	mustExecute(t, "", "topic", "create", "lines", "--addr", s.addr)
	r, w := io.Pipe()
	ended := make(chan int, 1)
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		ended <- run(ctx, []string{"consume", "lines", "--follow", "--group", "g", "--addr", s.addr}, nil, w, io.Discard)
		w.Close()
	}()
	produceAndRead := func(lines string) {
		t.Helper()
		mustExecute(t, lines, "produce", "lines", "--addr", s.addr)
		got := make([]byte, len(lines))
		if _, err := io.ReadFull(r, got); err != nil || string(got) != lines {
			t.Fatalf("%q, %v; want %q", got, err, lines)
		}
	}
	produceAndRead(numbered(0, 10))
	for deadline := time.Now().Add(time.Minute); committedOf(t, s.addr, "g", "lines")[0] != 10; {
		if time.Now().After(deadline) {
			t.Fatal("nothing was committed for a minute while it was read")
		}
		time.Sleep(20 * time.Millisecond)
	}
	produceAndRead(numbered(10, 15))
	cancel(signalError{syscall.SIGTERM})
	if code := <-ended; code != 143 {
		t.Errorf("exit code %d after SIGTERM, want 143", code)
	}
	if got := committedOf(t, s.addr, "g", "lines")[0]; got != 15 {
		t.Errorf("offset %d is committed, want 15", got)
	}
}

// brokenPipe takes so many bytes before its reader has gone.
type brokenPipe struct {
	bytes.Buffer
	room int
}

func (p *brokenPipe) Write(b []byte) (int, error) {
	n := min(len(b), p.room)
	p.room -= n
	p.Buffer.Write(b[:n])
	if n < len(b) {
		return n, os.NewSyscallError("write", syscall.EPIPE)
	}
	return n, nil
}

// When the reader of the output has gone, what it was not given is not committed, and is printed the next time.
func TestConsumeInGroupToClosedOutput(t *testing.T) {
	s := startServer(t, t.TempDir())
	mustExecute(t, "", "topic", "create", "lines", "--addr", s.addr)
	all := numbered(0, 100_000)
	mustExecute(t, all, "produce", "lines", "--addr", s.addr)
	out := &brokenPipe{room: len(all) / 2}
	if code := run(t.Context(), []string{"consume", "lines", "--group", "g", "--addr", s.addr}, nil, out, io.Discard); code != exitOK {
		t.Errorf("exit code %d, want 0", code)
	}
	printed := int64(strings.Count(out.String(), "\n"))
	committed := committedOf(t, s.addr, "g", "lines")[0]
	if committed > printed {
		t.Errorf("offset %d is committed, but the reader has %d lines", committed, printed)
	}
	if rest := mustExecute(t, "", "consume", "lines", "--group", "g", "--addr", s.addr); rest != numbered(int(committed), 100_000) {
		t.Errorf("the next one printed %d lines, want those from %d on", strings.Count(rest, "\n"), committed)
	}
}

// A group whose records were deleted goes on with those that are left and says so, one whose topic was made anew begins
// there, and one that is behind the end is stopped.
func TestConsumeInGroupElsewhere(t *testing.T) {
	s := startServer(t, t.TempDir())
	mustExecute(t, "", "topic", "create", "lines", "--addr", s.addr)
	mustExecute(t, numbered(0, 10), "produce", "lines", "--addr", s.addr)
	mustExecute(t, "", "consume", "lines", "--group", "g", "--max", "2", "--addr", s.addr)
	mustExecute(t, "", "topic", "delete-records", "lines", "--partition", "0", "--before", "8", "--addr", s.addr)
	code, stdout, stderr := execute(t.Context(), "", "consume", "lines", "--group", "g", "--addr", s.addr)
	if code != exitOK || stdout != numbered(8, 10) || !strings.Contains(stderr, "whose records below 8 are deleted") {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}

	mustExecute(t, "", "topic", "delete", "lines", "--addr", s.addr)
	mustExecute(t, "", "topic", "create", "lines", "--addr", s.addr)
	if got := committedOf(t, s.addr, "g", "lines"); len(got) != 0 {
		t.Errorf("%v is committed in a new topic", got)
	}
	mustExecute(t, numbered(0, 3), "produce", "lines", "--addr", s.addr)
	if got := mustExecute(t, "", "consume", "lines", "--group", "g", "--addr", s.addr); got != numbered(0, 3) {
		t.Errorf("of a new topic %q was printed", got)
	}

	commitOf(t, s.addr, "g", "lines", 10)
	code, stdout, stderr = execute(t.Context(), "", "consume", "lines", "--group", "g", "--addr", s.addr)
	if code != exitFailure || stdout != "" || !strings.Contains(stderr, "at offset 10 of lines-0, which ends at 3") {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
	if got := committedOf(t, s.addr, "g", "lines"); got[0] != 10 {
		t.Errorf("after that %v is committed, want what was", got)
	}
	mustExecute(t, "", "group", "reset", "g", "lines", "--to-earliest", "--addr", s.addr)
	mustExecute(t, "", "consume", "lines", "--group", "g", "--addr", s.addr)
}

// A reset never leaves what there is, and a shift does not go over the ends of the numbers either.
func TestResetTarget(t *testing.T) {
	row := offsetsJSON{Earliest: 10, Latest: 20, Time: &foundJSON{Offset: 15}}
	f := func(flag string, n, at, want int64) {
		t.Helper()
		if got, err := (resetTarget{flag, n}).of(row, at); got != want || err != nil {
			t.Errorf("%s %d from %d is %d, %v, want %d", flag, n, at, got, err, want)
		}
	}
	f("--to-earliest", 0, -1, 10)
	f("--to-latest", 0, -1, 20)
	f("--to-offset", 0, -1, 10)
	f("--to-offset", 12, -1, 12)
	f("--to-offset", 21, -1, 20)
	f("--to-datetime", 0, -1, 15)
	f("--shift-by", 2, 11, 13)
	f("--shift-by", -2, 11, 10)
	f("--shift-by", 100, 11, 20)
	f("--shift-by", 1<<63-1, 11, 20)
	f("--shift-by", -1<<63, 11, 10)
	f("--shift-by", 0, 5, 10)
	if _, err := (resetTarget{"--shift-by", 1}).of(row, -1); err == nil {
		t.Error("nothing was shifted")
	}
}
