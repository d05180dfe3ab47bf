package zerocopy

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Options set are the options in force, and what is accepted inherits them
// from the listener.
func TestSocketOptions(t *testing.T) {
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := listener.(*net.TCPListener)
	defer l.Close()
	if err := errors.Join(SetCongestion(l, "reno"), SetNotSentLowat(l, 128<<10), SetUserTimeout(l, 1500*time.Microsecond)); err != nil {
		t.Fatal(err)
	}
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if name, err := Congestion(server); err != nil || name != "reno" {
		t.Errorf("congestion %q, %v, want reno", name, err)
	}
	f := func(what string, option, want int) {
		t.Helper()
		err := control(server, what, func(fd int) error {
			got, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, option)
			if got != want {
				t.Errorf("%s %d, want %d", what, got, want)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	f("TCP_NOTSENT_LOWAT", unix.TCP_NOTSENT_LOWAT, 128<<10)
	f("TCP_USER_TIMEOUT", unix.TCP_USER_TIMEOUT, 2)

	err = SetCongestion(server, "no-such")
	if !errors.Is(err, unix.ENOENT) || !strings.Contains(text(err), "TCP_CONGESTION no-such") {
		t.Errorf("%v, want ENOENT that names the option", err)
	}
	server.Close()
	if _, err := Congestion(server); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed connection: %v, want net.ErrClosed", err)
	}
}
