package netloop

import (
	"io"
	"strings"
	"testing"
	"time"
)

// wantLog fails unless the log is one line that holds every text.
func (l *lab) wantLog(texts ...string) {
	l.t.Helper()
	got := l.log.String()
	ok := strings.Count(got, "\n") == 1
	for _, text := range texts {
		ok = ok && strings.Contains(got, text)
	}
	if !ok {
		l.t.Errorf("log: %q, want one line with %q", got, texts)
	}
}

// A frame that stays incomplete closes its connection, with one log line, and no other.
func TestFrameTimeout(t *testing.T) {
	f := func(half string) {
		t.Helper()
		l := newLab(t, Options{FrameTimeout: 30 * time.Millisecond})
		idle := l.dial()
		p := l.dial()
		io.WriteString(p.tcp, "echo whole\n"+half)
		p.want("whole")
		p.wantGone()
		eventually(t, "one connection left", func() bool { return l.server.Stats().Connections == 1 })
		l.wantLog("frame half received", p.tcp.LocalAddr().String())
		idle.send("echo fine")
		idle.want("fine")
	}
	f("echo hal")
	f("bulk 100000\nabc")
	f("bulk 400000\n" + strings.Repeat("x", 300_000))
}

// A peer whose every piece ends within a frame, but whose frames come along,
// stays connected beyond the timeout.
func TestFrameTimeoutSparesTheBusy(t *testing.T) {
	const timeout = time.Second
	l := newLab(t, Options{FrameTimeout: timeout})
	p := l.dial()
	io.WriteString(p.tcp, "ec")
	for end := time.Now().Add(2*timeout + timeout/2); time.Now().Before(end); {
		io.WriteString(p.tcp, "ho x\nec")
		p.want("x")
	}
	if got := l.log.String(); got != "" {
		t.Error(got)
	}
}

// A peer that accepts no byte loses its connection, with one log line.
func TestStallTimeout(t *testing.T) {
	f := func(frame string) {
		t.Helper()
		l := newLab(t, Options{StallTimeout: 50 * time.Millisecond, SendBuffer: 64 << 10})
		p := l.dial()
		p.tcp.SetReadBuffer(64 << 10)
		p.flood(100, frame)
		l.connectionsEnd()
		l.accounts()
		l.wantLog("peer reads nothing", p.tcp.LocalAddr().String())
	}
	f("range 0 4000000\n")
	f("bytes 4000000\n")
	f("stream s 10 4000000\n")
}

func (l *lab) connectionsEnd() {
	l.t.Helper()
	eventually(l.t, "connections end", func() bool {
		s := l.server.Stats()
		return s.Accepted > 0 && s.Connections == 0
	})
}

// A slow peer that accepts something within each timeout gets everything.
func TestStallTimeoutSparesTheSlow(t *testing.T) {
	const timeout = 300 * time.Millisecond
	l := newLab(t, Options{StallTimeout: timeout, SendBuffer: 64 << 10})
	p := l.dial()
	p.tcp.SetReadBuffer(64 << 10)
	p.send("range 0 4000000")
	p.want("range 4000000")
	for at := 0; at < 4_000_000; at += 100_000 {
		p.wantBytes(l.data[at : at+100_000])
		time.Sleep(timeout / 15) // 40 times: in all far beyond the timeout
	}
}

// A silent connection is closed after IdleTimeout without a log line, but not
// while an answer or a stream is to come.
func TestIdleTimeout(t *testing.T) {
	l := newLab(t, Options{IdleTimeout: 300 * time.Millisecond})
	long := l.dial()
	long.send("defer a")
	idle := l.dial()
	idle.send("echo x")
	idle.want("x")
	idle.wantEnd()
	l.ready("a", "a\n", true)
	long.want("a")
	long.wantEnd()
	l.quiet()
	if got := l.log.String(); got != "" {
		t.Error(got)
	}
}
