package zerocopy

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// connect returns both ends of a TCP connection over loopback, under cubic if
// the user may choose that, closed when the test ends.
func connect(t testing.TB) (server, client *net.TCPConn) {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.DialTCP("tcp", nil, l.Addr().(*net.TCPAddr)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if server, err = l.AcceptTCP(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	// The default may be bbr, which paces even loopback.
	for _, conn := range []*net.TCPConn{server, client} {
		err := SetCongestion(conn, "cubic")
		if err != nil && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ENOENT) {
			t.Fatal(err)
		}
	}
	return server, client
}

// content returns n bytes that differ from one place to another.
func content(n int) []byte {
	p := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(p)
	return p
}

// fileOf returns an open file that holds p, closed when the test ends.
func fileOf(t testing.TB, p []byte) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "00000000000000000042.log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.Write(p); err != nil {
		t.Fatal(err)
	}
	return f
}

// pool returns a PipePool that is closed when the test ends, and fails it if a
// pipe was not given back.
func pool(t testing.TB, options PipePoolOptions) *PipePool {
	t.Helper()
	l, err := NewPipePool(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if open, idle := l.Stats(); open != idle {
			t.Errorf("pipe pool: %d of %d pipes idle at the end, want all", idle, open)
		}
		l.Close()
		if open, _ := l.Stats(); open != 0 {
			t.Errorf("pipe pool: %d pipes open after Close, want 0", open)
		}
	})
	return l
}

// sender returns a Sender on conn and its counters.
func sender(t testing.TB, conn *net.TCPConn, options Options) (*Sender, *Counters) {
	t.Helper()
	if options.Counters == nil {
		options.Counters = new(Counters)
	}
	s, err := NewSender(conn, options)
	if err != nil {
		t.Fatal(err)
	}
	return s, options.Counters
}

// received is what a peer read until the connection ended.
type received struct {
	p   []byte
	err error
}

// collect reads conn to its end in a goroutine.
func collect(conn io.Reader) <-chan received {
	c := make(chan received, 1)
	go func() {
		p, err := io.ReadAll(conn)
		c <- received{p, err}
	}()
	return c
}

// same fails the test when got is not want, naming the first difference.
func same(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	at := 0
	for at < len(got) && at < len(want) && got[at] == want[at] {
		at++
	}
	t.Errorf("%s: got %d bytes, want %d; first difference at %d", what, len(got), len(want), at)
}

// note is a Releaser that counts.
type note struct{ released int }

func (n *note) Release() { n.released++ }
