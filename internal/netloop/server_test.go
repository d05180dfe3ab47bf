package netloop

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rollway/rollway/zerocopy"
)

func goroutineCount() int { return runtime.NumGoroutine() }

// One connection too many is closed at once and counted; its place is free when another ends.
func TestMaxConnections(t *testing.T) {
	l := newLab(t, Options{Limits: func() ConnectionLimits { return ConnectionLimits{Open: 2, PerIP: 1} }})
	a, b := l.dial(), l.dial()
	a.send("echo a")
	a.want("a")
	b.send("echo b")
	b.want("b")
	for range 3 {
		l.dial().wantGone()
	}
	l.wantLog("connection refused", "max.connections", "refused=1") // one line a second
	if got := l.server.Stats(); got.Refused != 3 || got.Accepted != 2 || got.Connections != 2 {
		t.Errorf("stats %+v, want 3 refused, 2 accepted, 2 open", got)
	}
	a.tcp.Close()
	eventually(t, "a place is free", func() bool { return l.server.Stats().Connections == 1 })
	c := l.dial()
	c.send("echo c")
	c.want("c")
}

// A bound may change while the server runs: a higher one lets the next in, a lower one refuses whoever comes and ends
// nobody who is there.
func TestLimitsChange(t *testing.T) {
	var open atomic.Int64
	open.Store(1)
	l := newLab(t, Options{Limits: func() ConnectionLimits { return ConnectionLimits{Open: int(open.Load()), PerIP: 1} }})
	var there []*peer
	serve := func() {
		t.Helper()
		for _, p := range there {
			p.send("echo here")
			p.want("here")
		}
	}
	enter := func() {
		t.Helper()
		there = append(there, l.dial())
		serve()
		l.dial().wantGone()
		serve()
	}
	enter()
	open.Store(2)
	enter()
	open.Store(1)
	l.dial().wantGone()
	serve()
	there[0].tcp.Close()
	eventually(t, "one is left", func() bool { return l.server.Stats().Connections == 1 })
	there = there[1:]
	l.dial().wantGone()
	serve()
	there[0].tcp.Close()
	eventually(t, "none is left", func() bool { return l.server.Stats().Connections == 0 })
	there = nil
	enter()
}

// The bound per address counts each address alone and not loopback, and as many as there are when it is lowered stay.
func TestAdmission(t *testing.T) {
	a := admission{perIP: map[netip.Addr]int{}}
	limits := ConnectionLimits{Open: 6, PerIP: 2}
	f := func(ip, wantErr string) {
		t.Helper()
		err := a.enter(netip.MustParseAddr(ip), limits)
		if wantErr == "" && err != nil || wantErr != "" && (err == nil || !strings.Contains(err.Error(), wantErr)) {
			t.Errorf("enter %s: %v, want %q", ip, err, wantErr)
		}
	}
	f("192.0.2.1", "")
	f("192.0.2.1", "")
	f("192.0.2.1", "2 connections from 192.0.2.1")
	f("2001:db8::1", "")
	f("127.0.0.1", "")
	f("127.0.0.1", "")
	f("::1", "")
	f("::1", "6 connections are open")
	a.leave(netip.MustParseAddr("192.0.2.1"))
	f("192.0.2.1", "")
	limits = ConnectionLimits{Open: 7, PerIP: 1}
	f("192.0.2.1", "2 connections from 192.0.2.1 are open, at most 1 are allowed")
	a.leave(netip.MustParseAddr("192.0.2.1"))
	f("192.0.2.1", "1 connections from 192.0.2.1")
	limits = ConnectionLimits{Open: 3, PerIP: 2}
	f("192.0.2.1", "5 connections are open, at most 3 are allowed")
	limits.Open = 6
	f("192.0.2.1", "")
	for _, ip := range []string{"192.0.2.1", "192.0.2.1", "2001:db8::1", "127.0.0.1", "127.0.0.1", "::1"} {
		a.leave(netip.MustParseAddr(ip))
	}
	if a.open != 0 || len(a.perIP) != 0 {
		t.Errorf("%d open, %v at the end, want none", a.open, a.perIP)
	}
}

// Without descriptors accepting pauses, who is connected is served, and who waits is accepted afterwards.
func TestNoDescriptors(t *testing.T) {
	l := newLab(t, Options{})
	a := l.dial()
	a.send("echo a")
	a.want("a")
	port := l.server.Addr().(*net.TCPAddr).Port
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 0 // those that are open stay open
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Skipf("needs setrlimit: %v", err)
	}
	restore := sync.OnceFunc(func() { unix.Setrlimit(unix.RLIMIT_NOFILE, &limit) })
	defer restore()
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "accepting pauses", func() bool { return strings.Contains(l.log.String(), "accepting connections pauses") })
	a.send("echo still")
	a.want("still")
	if got := l.server.Stats().Accepted; got != 1 {
		t.Errorf("%d accepted, want 1", got)
	}
	restore()
	eventually(t, "the other is accepted", func() bool { return l.server.Stats().Accepted == 2 })
	l.wantLog("too many open files")
}

// Shutdown lets every answer in order leave, those included that are not ready yet, and cancels streams.
func TestShutdown(t *testing.T) {
	l := newLab(t, Options{})
	p, idle, other := l.dial(), l.dial(), l.dial()
	p.send("echo first", "defer a", "range 0 3000000", "echo last")
	p.want("first")
	other.send("stream s 1000000 100000")
	idle.send("echo x")
	idle.want("x")
	l.readyLater("a")
	done := make(chan error)
	go func() { done <- l.shutdown() }()
	idle.wantEnd()
	idle.tcp.Close() // else the server gives it time to
	other.wantGone()
	other.tcp.Close()
	p.send("echo unheard") // and must not reset the connection
	l.ready("a", "a\n", true)
	p.want("a", "range 3000000")
	p.wantBytes(l.data[:3_000_000])
	p.want("last")
	p.wantEnd()
	p.tcp.Close()
	if err := <-done; err != nil {
		t.Errorf("Shutdown: %v, want nil", err)
	}
	l.accounts()
	if _, err := net.Dial("tcp", l.server.Addr().String()); err == nil {
		t.Error("connected after Shutdown")
	}
	if err := l.shutdown(); err != nil {
		t.Errorf("second Shutdown: %v, want nil", err)
	}
	if got := l.log.String(); got != "" {
		t.Error(got)
	}
}

// readyLater waits until the Deferred of that name was polled.
func (l *lab) readyLater(id string) {
	l.t.Helper()
	l.ready(id, "", false)
}

// When its context ends, Shutdown cuts off what is left, says so, and nothing leaks.
func TestShutdownCutOff(t *testing.T) {
	l := newLab(t, Options{SendBuffer: 64 << 10})
	var peers []*peer
	for i := range 20 {
		p := l.dial()
		p.tcp.SetReadBuffer(64 << 10)
		switch i % 4 {
		case 0:
			p.send("defer a", "range 0 100")
		case 1:
			p.flood(100, "range 0 4000000\n") // and never reads
		case 2:
			p.send("stream s 1000 4000000")
		case 3:
			p.send("defer b 60000", "echo x")
			io.WriteString(p.tcp, "half")
		}
		peers = append(peers, p)
	}
	eventually(t, "sessions are busy", func() bool { return l.frames.Load() >= 20 })
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := l.server.Shutdown(ctx); !errors.Is(err, ErrServerClosed) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v, want ErrServerClosed and DeadlineExceeded", err)
	}
	l.accounts()
	for _, p := range peers {
		p.wantGone()
	}
}

// Serve refuses bad options by name and closes the listener.
func TestServeRefuses(t *testing.T) {
	f := func(o Options, want string) {
		t.Helper()
		ln, err := Listen(context.Background(), "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s, err := Serve(ln, nil, o)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Serve with %+v: %v, want %q", o, err, want)
		}
		if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the listener is still open: %v", err)
		}
	}
	f(Options{InFlightBytes: -1}, "InFlightBytes")
	f(Options{MaxQueuedAnswers: -1}, "MaxQueuedAnswers")
	f(Options{MaxFrameBytes: 129 << 20}, "MaxFrameBytes")
	f(Options{StallTimeout: -1}, "StallTimeout")
	f(Options{FrameTimeout: 25 * time.Hour}, "FrameTimeout")
	f(Options{IdleTimeout: -1}, "IdleTimeout")
	f(Options{NotSentLowat: -2}, "NotSentLowat")
	f(Options{SendBuffer: -1}, "SendBuffer")
	f(Options{Path: 77}, "Path")
	f(Options{Congestion: "no such"}, "TCP_CONGESTION")
}

// A connection has the socket options that were asked for.
func TestSocketOptions(t *testing.T) {
	l := newLab(t, Options{NotSentLowat: 128 << 10, SendBuffer: 100_000, KeepAlive: 7 * time.Second, StallTimeout: time.Minute})
	p := l.dial()
	p.send("echo x")
	p.want("x")
	l.server.mu.Lock()
	defer l.server.mu.Unlock()
	for c := range l.server.conns {
		if name, err := zerocopy.Congestion(c.tcp); name != "cubic" || err != nil {
			t.Errorf("congestion %q, %v; want cubic", name, err)
		}
		f := func(level, option, want int) {
			t.Helper()
			c.raw.Control(func(fd uintptr) {
				if got, err := unix.GetsockoptInt(int(fd), level, option); got != want || err != nil {
					t.Errorf("option %d: %d, %v; want %d", option, got, err, want)
				}
			})
		}
		f(unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, 128<<10)
		f(unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 120_000)
		f(unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 7)
		f(unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		f(unix.SOL_SOCKET, unix.SO_SNDBUF, 200_000) // the kernel doubles it, socket(7)
		f(unix.SOL_SOCKET, unix.SO_PROTOCOL, unix.IPPROTO_TCP)
	}
}

// Whatever peers do and whenever they go, answers are right and nothing leaks.
func TestManyRandomPeers(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	l := newLab(t, Options{InFlightBytes: 300_000, MaxQueuedAnswers: 20, SendBuffer: 64 << 10})
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() { randomPeer(l, rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
	wg.Wait()
	l.quiet()
	if t.Failed() {
		t.Logf("seed %d", seed)
	}
}

// randomPeer sends frames with known answers, reads some or all of them, and
// ends in some way.
func randomPeer(l *lab, r *rand.Rand) {
	for range 6 {
		tcp, err := net.DialTCP("tcp", nil, l.server.Addr().(*net.TCPAddr))
		if err != nil {
			l.t.Error(err)
			return
		}
		tcp.SetDeadline(time.Now().Add(20 * time.Second))
		var request, answer strings.Builder
		for range r.IntN(100) {
			randomFrame(l, r, &request, &answer)
		}
		io.WriteString(&request, "quit\n")
		io.WriteString(&answer, "bye\n")
		go io.WriteString(tcp, request.String())

		want := answer.String()
		leaves := r.IntN(3) == 0
		if leaves {
			want = want[:r.IntN(len(want))]
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(tcp, got); err != nil || string(got) != want {
			l.t.Errorf("read %d bytes, %v; as wanted: %v", len(got), err, string(got) == want)
		}
		if leaves {
			tcp.SetLinger(r.IntN(2) - 1) // by a reset, or not
		} else if rest, err := io.ReadAll(tcp); len(rest) != 0 || err != nil {
			l.t.Errorf("after quit: %d bytes, %v; want the end", len(rest), err)
		}
		tcp.Close()
	}
}

// randomFrame appends a frame and its answer.
func randomFrame(l *lab, r *rand.Rand, request, answer *strings.Builder) {
	frame := func(format string, args ...any) { writef(request, format, args...) }
	at, size := r.IntN(1<<20), 1+r.IntN(1<<(1+r.IntN(18)))
	part := func(from, to int) { answer.Write(l.data[from:to]) }
	switch r.IntN(6) {
	case 0:
		frame("echo %d\n", at)
		writef(answer, "%d\n", at)
	case 1:
		frame("bulk %d\n%s", size, strings.Repeat("x", size))
		writef(answer, "%d bytes\n", size)
	case 2:
		frame("bytes %d\n", size)
		part(0, size)
	case 3:
		frame("range %d %d\n", at, size)
		writef(answer, "range %d\n", size)
		part(at, at+size)
	case 4:
		frame("two %d %d\n", at, size)
		writef(answer, "two %d\n", size)
		part(at, at+size/2)
		writef(answer, "and\n")
		part(at+size/2, at+size)
		writef(answer, "end\n")
	case 5:
		frame("defer %d %d\n", at, r.IntN(3))
		writef(answer, "late %d\n", at)
	}
}
