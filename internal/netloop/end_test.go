package netloop

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// writef is Fprintf to a builder.
func writef(w *strings.Builder, format string, args ...any) { fmt.Fprintf(w, format, args...) }

// A protocol error ends its connection after every answer before it and its
// own, although the peer has sent more, with one log line.
func TestMalformed(t *testing.T) {
	l := newLab(t, Options{})
	p := l.dial()
	p.send("defer a", "range 0 1000000", "bad", strings.Repeat("x", 1<<20))
	l.ready("a", "a\n", true)
	p.want("a", "range 1000000")
	p.wantBytes(l.data[:1_000_000])
	p.want("no")
	p.wantEnd()
	p.tcp.Close()
	l.quiet()
	l.wantLog("connection closed", "no such verb: bad", p.tcp.LocalAddr().String())
	if got := l.server.Stats().Malformed; got != 1 {
		t.Errorf("Stats.Malformed %d, want 1", got)
	}
}

// Answers that stand before a protocol error and never become ready are given up.
func TestMalformedBehindDeferred(t *testing.T) {
	l := newLab(t, Options{StallTimeout: 20 * time.Millisecond})
	p := l.dial()
	p.send("defer a", "bad")
	p.wantGone()
	l.quiet()
	l.wantLog("no such verb: bad")
}

// io.EOF of a session ends the connection in order and without a log line.
func TestQuit(t *testing.T) {
	l := newLab(t, Options{})
	p := l.dial()
	p.send("stream s 1000000 100000", "quit")
	p.wantGone()
	q := l.dial()
	q.send("echo x", "quit", "echo y")
	q.want("x", "bye")
	q.wantEnd()
	p.tcp.Close()
	q.tcp.Close()
	l.quiet()
	if got := l.log.String(); got != "" || l.server.Stats().Malformed != 0 {
		t.Error(got, l.server.Stats())
	}
}

// What is ready leaves when the peer shuts down its sending side; what is not is cancelled.
func TestHalfClose(t *testing.T) {
	l := newLab(t, Options{})
	p := l.dial()
	p.send("echo a", "range 0 4000000", "defer a", "echo b")
	p.tcp.CloseWrite()
	p.want("a", "range 4000000")
	p.wantBytes(l.data[:4_000_000])
	p.wantEnd()
	l.quiet()
	if l.cancelled.Load() != 1 {
		t.Errorf("%d cancelled, want 1", l.cancelled.Load())
	}
}

// A reset with all kinds of answers on their way leaks nothing and is not worth a log line.
func TestReset(t *testing.T) {
	l := newLab(t, Options{})
	for _, frames := range []string{"defer a", "range 0 4000000\nrange 0 4000000\nrange 0 4000000", "stream s 100 1000000\ndefer b", "bulk 100\nxx"} {
		p := l.dial()
		p.send("echo x", frames)
		p.want("x")
		p.tcp.SetLinger(0)
		p.tcp.Close()
	}
	l.quiet()
	if got := l.log.String(); got != "" {
		t.Error(got)
	}
}

// A panic of a session closes its connection only, with a stack in the log.
func TestPanic(t *testing.T) {
	f := func(text string, frames ...string) {
		t.Helper()
		l := newLab(t, Options{})
		other := l.dial()
		p := l.dial()
		p.send(frames...)
		p.wantGone()
		p.tcp.Close()
		eventually(t, "it ends", func() bool { s := l.server.Stats(); return s.Accepted == 2 && s.Connections == 1 })
		l.wantLog("level=ERROR", text, "toy_test.go", p.tcp.LocalAddr().String())
		other.send("echo fine")
		other.want("fine")
		if got := l.server.Stats().Failed; got != 1 {
			t.Errorf("Stats.Failed %d, want 1", got)
		}
	}
	f("session panicked: toy", "echo x", "range 0 100", "defer a 60000", "panic")
	f("session panicked: toy poll", "panicpoll", "range 0 100", "defer a 60000")
}

// A session that cannot be made closes the connection, with a log line.
func TestPanicInNewSession(t *testing.T) {
	l := newLabOf(t, Options{}, func(Peer) Session { panic("toy new") })
	l.dial().wantGone()
	l.connectionsEnd()
	l.wantLog("session panicked: toy new")
}

// A panic in Cancel or Close is logged and keeps nothing else from being released.
func TestPanicAtTheEnd(t *testing.T) {
	l := newLabOf(t, Options{}, func(Peer) Session { return sore{} })
	p := l.dial()
	p.send("x")
	p.want("x")
	p.tcp.Close()
	l.quiet()
	got := l.log.String()
	for _, want := range []string{"in=cancel", "in=close", "toy cancel", "toy close"} {
		if !strings.Contains(got, want) {
			t.Errorf("log: %q, want %q", got, want)
		}
	}
}

// sore is a session, and its Deferreds, that panics at the end.
type sore struct{}

func (s sore) Receive(p []byte, out *Out) (int, int, error) {
	out.Buf = append(out.Buf, p...)
	out.Defer(s)
	out.Stream(s)
	return len(p), 0, nil
}
func (s sore) Poll(*Out, func()) bool { return false }
func (s sore) Deadline() time.Time    { return time.Time{} }
func (s sore) Cancel()                { panic("toy cancel") }
func (s sore) Close()                 { panic("toy close") }

// A frame beyond MaxFrameBytes, announced or just endless, is malformed; one of that size is not.
func TestMaxFrameBytes(t *testing.T) {
	o := Options{MaxFrameBytes: 512 << 10}
	head := len("bulk 524276\n")
	f := func(frame, want string) {
		t.Helper()
		l := newLab(t, o)
		p := l.dial()
		go io.WriteString(p.tcp, frame)
		if want != "" {
			p.want(want)
			return
		}
		p.wantGone()
		p.tcp.Close()
		l.quiet()
		l.wantLog("frame too large")
		if got := l.server.Stats().Malformed; got != 1 {
			t.Errorf("Stats.Malformed %d, want 1", got)
		}
	}
	f("bulk 524276\n"+strings.Repeat("x", 512<<10-head), "524276 bytes")
	f("bulk 524277\n", "")
	f("echo "+strings.Repeat("x", 512<<10), "")
}

// A file that ends inside a Range closes the connection, which was promised more, with a log line.
func TestShortFile(t *testing.T) {
	l := newLab(t, Options{})
	p := l.dial()
	p.send("echo x", fmt.Sprintf("range %d 100000", len(l.data)-50_000), "echo y")
	p.want("x", "range 100000")
	p.wantBytes(l.data[len(l.data)-50_000:])
	p.wantGone()
	p.tcp.Close()
	l.quiet()
	l.wantLog("file ends inside the range of 100000 bytes")
}

// A session that reports what cannot be is stopped like one that panicked.
func TestReceiveIsChecked(t *testing.T) {
	f := func(n, need int) {
		t.Helper()
		l := newLabOf(t, Options{}, func(Peer) Session { return liar{n, need} })
		p := l.dial()
		p.send("x")
		p.wantGone()
		l.connectionsEnd()
		l.wantLog(fmt.Sprintf("Receive consumed %d of 2 bytes and needs %d", n, need))
	}
	f(-1, 0)
	f(3, 0)
	f(0, -1)
}

type liar struct{ n, need int }

func (s liar) Receive([]byte, *Out) (int, int, error) { return s.n, s.need, nil }
func (s liar) Close()                                 {}

// Close ends every kind of wait of a connection at once and may be called by many.
func TestClose(t *testing.T) {
	b, _ := NewBudget(1 << 20)
	l := newLab(t, Options{Budget: b, SendBuffer: 64 << 10, MaxQueuedAnswers: 2})
	for _, frames := range []string{"", "defer a", "defer a\ndefer a\ndefer a\ndefer a", "range 0 4000000\nrange 0 4000000\nrange 0 4000000", "stream s 1000 4000000"} {
		l.dial().send("echo x", frames)
	}
	for range 6 { // more than the budget has
		io.WriteString(l.dial().tcp, "bulk 200000\n"+strings.Repeat("x", 100_000))
	}
	eventually(t, "the budget is used up", func() bool { return b.Waiting() > 0 })
	errs := make(chan error, 4)
	for range cap(errs) {
		go func() { errs <- l.server.Close() }()
	}
	for range cap(errs) {
		if err := <-errs; err != nil && !errors.Is(err, ErrServerClosed) {
			t.Error(err)
		}
	}
	l.accounts()
}
