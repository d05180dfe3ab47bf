package netloop

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rollway/rollway/internal/invariant"
	"github.com/rollway/rollway/zerocopy"
)

// quickSession answers fixed frames without allocating. The first byte of a
// frame says how: now, deferred to the lab's committer, or by a Range.
type quickSession struct {
	frame    int // bytes of a request
	answer   [16]byte
	file     *os.File
	body     int64
	deferred quickDeferred
	commit   chan<- *quickDeferred
}

const (
	quickNow = iota
	quickDefer
	quickRange
)

func (s *quickSession) Receive(p []byte, out *Out) (n, need int, err error) {
	for len(p)-n >= s.frame && out.Room() > 0 {
		switch p[n] {
		case quickNow:
			out.Buf = append(out.Buf, s.answer[:]...)
		case quickDefer:
			s.deferred.session = s
			s.deferred.state.Store(0)
			out.Defer(&s.deferred)
		case quickRange:
			out.Buf = append(out.Buf, s.answer[:]...)
			out.Range(zerocopy.NewRange(s.file, 0, s.body, nil))
		}
		n += s.frame
	}
	return n, s.frame, nil
}

func (s *quickSession) Close() {}

// quickDeferred is one commit at a time: asked for by the first Poll, made
// ready by another goroutine.
type quickDeferred struct {
	session *quickSession
	state   atomic.Int32 // 0 new, 1 asked, 2 ready
	wake    func()
}

func (d *quickDeferred) Poll(out *Out, wake func()) bool {
	switch d.state.Load() {
	case 0:
		d.wake = wake
		d.state.Store(1)
		d.session.commit <- d
		return false
	case 1:
		return false
	}
	out.Buf = append(out.Buf, d.session.answer[:]...)
	return true
}

func (d *quickDeferred) Deadline() time.Time { return time.Time{} }
func (d *quickDeferred) Cancel()             {}

// quickLab starts a server of quickSessions.
func quickLab(tb testing.TB, frame int, body int64) *lab {
	commits := make(chan *quickDeferred, 1024)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for d := range commits {
			d.state.Store(2)
			d.wake()
		}
	}()
	file, err := os.Create(filepath.Join(tb.TempDir(), "00000000000000000042.log"))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { file.Close() })
	if _, err := file.Write(make([]byte, body)); err != nil {
		tb.Fatal(err)
	}
	l := newLabOf(tb, Options{}, func(Peer) Session {
		return &quickSession{frame: frame, file: file, body: body, commit: commits}
	})
	tb.Cleanup(func() {
		l.server.Close()
		close(commits)
		<-done
	})
	return l
}

// pinger sends requests of one kind and reads their answers.
func pinger(tb testing.TB, address net.Addr, kind byte, request, answer int) func() {
	tcp, err := net.DialTCP("tcp", nil, address.(*net.TCPAddr))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { tcp.Close() })
	if err := zerocopy.SetCongestion(tcp, "cubic"); err != nil {
		tb.Fatal(err)
	}
	out, in := make([]byte, request), make([]byte, min(answer, 1<<20))
	out[0] = kind
	return func() {
		if _, err := tcp.Write(out); err != nil {
			tb.Error(err)
		}
		for left := answer; left > 0; {
			n, err := tcp.Read(in[:min(left, len(in))])
			if err != nil {
				tb.Error(err)
				return
			}
			left -= n
		}
	}
}

// A request and its answer allocate nothing in steady state: answered at once,
// deferred to another goroutine, or by a Range.
func TestAllocations(t *testing.T) {
	if invariant.Enabled {
		t.Skip("sync.Pool forgets at random under the race detector")
	}
	const body = 100_000
	l := quickLab(t, 1024, body)
	f := func(name string, kind byte, answer int) {
		t.Helper()
		ping := pinger(t, l.server.Addr(), kind, 1024, answer)
		for range 1000 {
			ping()
		}
		if allocs := testing.AllocsPerRun(2000, ping); allocs != 0 {
			t.Errorf("%s: %v allocations per request, want 0", name, allocs)
		}
	}
	f("at once", quickNow, 16)
	f("deferred", quickDefer, 16)
	f("range", quickRange, 16+body)
}

// 1 KiB requests and 16 B answers, one in flight per connection, against a bare
// goroutine per connection. The figures hold client and server together.
func BenchmarkPingPong(b *testing.B) {
	for _, conns := range []int{1, 64} {
		b.Run(fmt.Sprintf("conns=%d/bare", conns), func(b *testing.B) {
			address := bareServer(b, func(tcp *net.TCPConn) {
				buf, answer := make([]byte, receiveBytes), make([]byte, 16)
				for have := 0; ; {
					n, err := tcp.Read(buf[have:])
					if err != nil {
						return
					}
					for have += n; have >= 1024; have -= 1024 {
						if _, err := tcp.Write(answer); err != nil {
							return
						}
					}
				}
			})
			pingPong(b, address, conns, quickNow, 16)
		})
		b.Run(fmt.Sprintf("conns=%d/netloop", conns), func(b *testing.B) {
			pingPong(b, quickLab(b, 1024, 0).server.Addr(), conns, quickNow, 16)
		})
		b.Run(fmt.Sprintf("conns=%d/netloop-deferred", conns), func(b *testing.B) {
			pingPong(b, quickLab(b, 1024, 0).server.Addr(), conns, quickDefer, 16)
		})
	}
}

// 1 MiB answers from a cached file, against a bare sendfile loop.
func BenchmarkRange(b *testing.B) {
	const body = 1 << 20
	f := func(name string, address func(b *testing.B) net.Addr) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(body)
			pingPong(b, address(b), 1, quickRange, 16+body)
		})
	}
	f("bare", func(b *testing.B) net.Addr {
		file := newLab(b, Options{}).file
		return bareServer(b, func(tcp *net.TCPConn) {
			raw, err := tcp.SyscallConn()
			if err != nil {
				return
			}
			request, head := make([]byte, 1024), make([]byte, 16)
			var at int64
			send := func(fd uintptr) bool {
				for at < body {
					if _, err := syscall.Sendfile(int(fd), int(file.Fd()), &at, int(body-at)); err == syscall.EAGAIN {
						return false
					} else if err != nil {
						return true
					}
				}
				return true
			}
			for {
				if _, err := io.ReadFull(tcp, request); err != nil {
					return
				}
				binary.BigEndian.PutUint64(head, body)
				if _, err := tcp.Write(head); err != nil {
					return
				}
				at = 0
				if raw.Write(send) != nil {
					return
				}
			}
		})
	})
	f("netloop", func(b *testing.B) net.Addr { return quickLab(b, 1024, body).server.Addr() })
}

// pingPong spreads b.N round trips over the connections and reports the CPU of
// the process, client included, per round trip.
func pingPong(b *testing.B, address net.Addr, conns int, kind byte, answer int) {
	pings := make([]func(), conns)
	for i := range pings {
		pings[i] = pinger(b, address, kind, 1024, answer)
		pings[i]()
	}
	b.ReportAllocs()
	var left atomic.Int64
	left.Store(int64(b.N))
	before := cpu()
	b.ResetTimer()
	var wg sync.WaitGroup
	for _, ping := range pings {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				ping()
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64((cpu()-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
	runtime.KeepAlive(pings)
}

// cpu returns the CPU time of the process.
func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// bareServer runs handle in a goroutine per connection until the benchmark ends.
func bareServer(b *testing.B, handle func(*net.TCPConn)) net.Addr {
	b.Helper()
	ln, err := Listen(b.Context(), "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	if err := zerocopy.SetCongestion(ln, "cubic"); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { ln.Close() })
	go func() {
		for {
			tcp, err := ln.AcceptTCP()
			if err != nil {
				return
			}
			go func() {
				defer tcp.Close()
				handle(tcp)
			}()
		}
	}()
	return ln.Addr()
}
