package zerocopy

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// discard takes all that arrives at conn without copying it anywhere
// (MSG_TRUNC, tcp(7)), so that the sending side is the limit, and closes the
// channel when the connection ends.
func discard(b *testing.B, conn *net.TCPConn) <-chan struct{} {
	b.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	p := make([]byte, 4<<20)
	go func() {
		defer close(done)
		raw.Read(func(fd uintptr) (done bool) {
			for {
				// Not unix.Recvfrom: it allocates, which would count as the sender's.
				n, _, errno := unix.Syscall6(unix.SYS_RECVFROM, fd,
					uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_TRUNC, 0, 0)
				if errno == unix.EAGAIN {
					return false
				}
				if errno != 0 && errno != unix.EINTR || errno == 0 && n == 0 {
					return true
				}
			}
		})
	}()
	return done
}

// threadCPU returns the CPU time of the calling thread in seconds.
func threadCPU(b *testing.B) float64 {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// BenchmarkSend sends a head of 50 bytes and a body, over and over, to a
// client on loopback that discards; both ends use cubic. "bare" is the least
// that Go can do: write and sendfile on the descriptor, nothing counted and no
// error told apart. cpu-s/GiB is that of the sending thread.
func BenchmarkSend(b *testing.B) {
	file := fileOf(b, content(1<<20))
	head := make([]byte, 50)
	run := func(b *testing.B, body int64, send func(server *net.TCPConn) func() error) {
		server, client := connect(b)
		for _, conn := range []*net.TCPConn{server, client} {
			if name, err := Congestion(conn); err != nil || name != "cubic" {
				b.Fatalf("congestion control %q, %v, want cubic on both ends", name, err)
			}
		}
		done := discard(b, client)
		one := send(server)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		b.SetBytes(body)
		b.ReportAllocs()
		before := threadCPU(b)
		for b.Loop() {
			if err := one(); err != nil {
				b.Fatal(err)
			}
		}
		used := threadCPU(b) - before
		b.ReportMetric(used/(float64(b.N)*float64(body)/(1<<30)), "cpu-s/GiB")
		server.Close()
		<-done
	}
	for _, body := range []int64{4 << 10, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("body=%dKiB", body>>10), func(b *testing.B) {
			b.Run("bare", func(b *testing.B) {
				run(b, body, func(server *net.TCPConn) func() error { return bare(b, server, head, file, body) })
			})
			for _, path := range []Path{Auto, SendFile, Splice, Copy} {
				b.Run(path.String(), func(b *testing.B) {
					run(b, body, func(server *net.TCPConn) func() error {
						options := Options{Path: path}
						if path == Splice {
							options.Pipes = pool(b, PipePoolOptions{})
						}
						s, _ := sender(b, server, options)
						return func() error {
							r := NewRange(file, 0, body, nil)
							_, err := s.Send(head, &r)
							r.Close()
							return err
						}
					})
				})
			}
		})
	}
}

// bare returns a function that sends head and the first body bytes of file by
// nothing but write and sendfile.
func bare(b *testing.B, conn *net.TCPConn, head []byte, file *os.File, body int64) func() error {
	b.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		b.Fatal(err)
	}
	in := int(file.Fd())
	var rest []byte
	var at int64
	var failed error
	turn := func(fd uintptr) bool {
		for len(rest) > 0 {
			n, err := unix.Write(int(fd), rest)
			if err == unix.EAGAIN {
				return false
			}
			if failed = err; err != nil {
				return true
			}
			rest = rest[n:]
		}
		for at < body {
			_, err := unix.Sendfile(int(fd), in, &at, int(body-at))
			if err == unix.EAGAIN {
				return false
			}
			if failed = err; err != nil {
				return true
			}
		}
		return true
	}
	return func() error {
		rest, at = head, 0
		if err := raw.Write(turn); err != nil {
			return err
		}
		return failed
	}
}
