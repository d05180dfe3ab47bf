package netloop

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rollway/rollway/zerocopy"
)

// Answers leave in the order of their frames, whatever becomes ready first, on every path.
func TestOrder(t *testing.T) {
	f := func(o Options) {
		t.Helper()
		t.Run(o.Path.String(), func(t *testing.T) {
			l := newLab(t, o)
			p := l.dial()
			p.send("echo one", "defer a", "echo two", "range 5 1000", "defer b", "two 100 50001", "defer c", "after d", "echo three")
			p.want("one")
			l.ready("c", "c\n", true)
			l.ready("b", "b\n", true)
			l.ready("a", "a1\n", false)
			p.want("a1") // what is ready of an answer is not held back
			l.ready("a", "a2\n", true)
			p.want("a2", "two", "range 1000")
			p.wantBytes(l.data[5:1005])
			p.want("b", "two 50001")
			p.wantBytes(l.data[100:25100])
			p.want("and")
			p.wantBytes(l.data[25100:50101])
			p.want("end", "c")
			l.ready("d", "d\n", true)
			p.want("d")
			p.wantBytes(l.data[:100])
			p.want("three")
			p.tcp.Close()
			l.quiet()
			if got := l.log.String(); got != "" {
				t.Errorf("an ordinary connection logged %s", got)
			}
		})
	}
	f(Options{})
	f(Options{Path: zerocopy.SendFile})
	f(Options{Path: zerocopy.Splice})
	f(Options{Path: zerocopy.Copy})
}

// Frames arrive in any pieces, also larger than any first buffer, and give the same answers.
func TestPieces(t *testing.T) {
	l := newLab(t, Options{})
	p := l.dial()
	var request, answer strings.Builder
	for i, size := range []int{0, 1, 100, receiveBytes - 7, receiveBytes, 300_000, 1 << 20, 3 << 20, 5 << 20, 10} {
		fmt.Fprintf(&request, "echo %d\nbulk %d\n%s", i, size, strings.Repeat("x", size))
		fmt.Fprintf(&answer, "%d\n%d bytes\n", i, size)
	}
	go func() {
		rest := request.String()
		for step := 1; rest != ""; step = step*5/3 + 1 {
			n := min(step, len(rest))
			if _, err := p.tcp.Write([]byte(rest[:n])); err != nil {
				t.Error(err)
				return
			}
			rest = rest[n:]
		}
	}()
	p.wantBytes([]byte(answer.String()))
	p.tcp.Close()
	l.quiet()
	if got, want := l.server.Stats().Received, int64(request.Len()); got != want {
		t.Errorf("Stats.Received %d, want %d", got, want)
	}
	if got, want := l.server.Stats().Sent, int64(answer.Len()); got != want {
		t.Errorf("Stats.Sent %d, want %d", got, want)
	}
}

// A long poll is answered at its deadline without a wake, and one wake in time is enough.
func TestDeadline(t *testing.T) {
	l := newLab(t, Options{})
	p := l.dial()
	p.send("defer a 5", "defer b 10", "defer c 60000", "echo end")
	p.want("late a", "late b")
	l.ready("c", "c\n", true)
	p.want("c", "end")
}

// Two streams and ordered answers that are all ready share the connection: no
// one waits for more than about a turn of each other, and no frame is torn.
func TestStreamsInterleave(t *testing.T) {
	const count, size = 40, 256 << 10
	l := newLab(t, Options{})
	p := l.dial()
	p.send(fmt.Sprintf("stream a %d %d", count, size), fmt.Sprintf("stream b %d %d", count, size))
	for range count {
		p.send(fmt.Sprintf("two 0 %d", size))
	}
	next := map[string]int{}
	var order strings.Builder
	for range 3 * count {
		line := p.line()
		f := strings.Fields(line)
		if f[0] == "two" {
			p.wantBytes(l.data[:size/2])
			p.want("and")
			p.wantBytes(l.data[size/2 : size])
			p.want("end")
		} else {
			if want := fmt.Sprintf("%s %d %d", f[0], next[f[0]], size); line != want {
				t.Fatalf("read %q, want %q", line, want)
			}
			p.wantBytes(l.data[:size])
		}
		next[f[0]]++
		order.WriteString(f[0][:1])
	}
	if next["a"] != count || next["b"] != count || next["two"] != count {
		t.Fatalf("frames: %v, want %d of each", next, count)
	}
	// The ordered answers become ready as Receive has room, in lumps of
	// InFlightBytes, 4 MiB: 16 frames; a turn of a stream is 4 frames.
	longest, run := 0, 0
	for i, kind := range order.String() {
		if i > 0 && rune(order.String()[i-1]) != kind {
			run = 0
		}
		run++
		// At the end only one is left.
		if strings.Count(order.String()[i:], "a") > 0 && strings.Count(order.String()[i:], "b") > 0 {
			longest = max(longest, run)
		}
	}
	if longest > 20 {
		t.Errorf("%d frames of one kind in a row, want at most 20: %s", longest, order.String())
	}
}

// A stream of small frames passes an ordered answer that is not ready.
func TestStreamPassesDeferred(t *testing.T) {
	l := newLab(t, Options{})
	p := l.dial()
	p.send("defer a", "echo behind", "stream s 3 10")
	for i := range 3 {
		p.want(fmt.Sprintf("s %d 10", i))
		p.wantBytes(l.data[:10])
	}
	l.ready("a", "a\n", true)
	p.want("a", "behind")
}
