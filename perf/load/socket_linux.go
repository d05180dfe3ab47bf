package load

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"github.com/rollway/rollway/perf/host"
)

// socket is a connection in blocking mode, outside the runtime's poller: its
// reader sleeps in the kernel, which is the cheapest way to wait both for it
// and for the server that wakes it.
type socket struct {
	fd      int
	discard []byte // touched by a FetchRun with Copy only, else it says how much may be discarded
	unwatch func() bool
}

// discardBytes is the most that one receive discards.
const discardBytes = 4 << 20

// dialSocket connects and opens the conversation. Reads and writes end when ctx does.
func (t Target) dialSocket(ctx context.Context) (*socket, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	s := &socket{fd: fd, discard: make([]byte, discardBytes)}
	if err := s.open(t); err != nil {
		unix.Close(fd)
		return nil, err
	}
	// Shutdown, unlike close, wakes who sleeps in the socket.
	s.unwatch = context.AfterFunc(ctx, func() { unix.Shutdown(fd, unix.SHUT_RDWR) })
	return s, nil
}

func (s *socket) open(t Target) error {
	if err := setCongestion(s.fd, t.Congestion); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(s.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return fmt.Errorf("setsockopt TCP_NODELAY: %w", err)
	}
	timeout := unix.NsecToTimeval(answerTime.Nanoseconds())
	if err := unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return fmt.Errorf("setsockopt SO_RCVTIMEO: %w", err)
	}
	if err := unix.Connect(s.fd, &unix.SockaddrInet4{Port: int(t.Addr.Port()), Addr: t.Addr.Addr().As4()}); err != nil {
		return fmt.Errorf("connect to %v: %w", t.Addr, err)
	}
	return t.protocol().open(s)
}

// Close closes the connection.
func (s *socket) Close() error {
	s.unwatch()
	return unix.Close(s.fd)
}

// local returns our own address.
func (s *socket) local() (netip.AddrPort, error) {
	name, err := unix.Getsockname(s.fd)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("getsockname: %w", err)
	}
	a, ok := name.(*unix.SockaddrInet4)
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("getsockname: %T, want an IPv4 address", name)
	}
	return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)), nil
}

func (s *socket) options() (host.TCP, error) { return host.SocketTCP(s.fd) }

// Read waits for bytes.
func (s *socket) Read(p []byte) (int, error) { return s.receive(p, 0) }

// receive is recv(2) with what it can mean turned into errors.
func (s *socket) receive(p []byte, flags int) (int, error) {
	for {
		n, _, err := unix.Recvfrom(s.fd, p, flags)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return 0, fmt.Errorf("no answer within %v: %w", answerTime, os.ErrDeadlineExceeded)
		case err != nil:
			return 0, fmt.Errorf("recv: %w", err)
		case n == 0:
			return 0, io.ErrUnexpectedEOF
		default:
			return n, nil
		}
	}
}

// skip discards the next n bytes. TCP does so without copying them when asked
// to truncate: MSG_TRUNC of tcp(7).
func (s *socket) skip(n int) error {
	for n > 0 {
		done, err := s.receive(s.discard[:min(n, discardBytes)], unix.MSG_TRUNC|unix.MSG_WAITALL)
		if err != nil {
			return err
		}
		n -= done
	}
	return nil
}

// Write sends all of p.
func (s *socket) Write(p []byte) (int, error) {
	for sent := 0; sent < len(p); {
		n, err := unix.SendmsgN(s.fd, p[sent:], nil, nil, unix.MSG_NOSIGNAL)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return sent, fmt.Errorf("send: %w", err)
		}
		sent += n
	}
	return len(p), nil
}
