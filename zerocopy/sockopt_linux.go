package zerocopy

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The socket options that sending from files depends on, all described in
// tcp(7). Each function takes a *net.TCPConn or a *net.TCPListener; what a
// listener accepts inherits its options.
//
// A listener that the net package made without ListenConfig.SetMultipathTCP(false)
// is an MPTCP socket: it refuses TCP_USER_TIMEOUT (ENOPROTOOPT), and a client
// that speaks MPTCP gets a connection of another implementation than tcp(7).

// SetCongestion selects the congestion control algorithm (TCP_CONGESTION).
// It matters even on loopback, where bbr paces sendfile down to a sixth of
// what cubic gives. The algorithm must be loaded, and for who lacks
// CAP_NET_ADMIN also listed in
// /proc/sys/net/ipv4/tcp_allowed_congestion_control.
func SetCongestion(conn syscall.Conn, name string) error {
	return control(conn, "TCP_CONGESTION "+name, func(fd int) error {
		return unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, name)
	})
}

// Congestion returns the name of the congestion control algorithm in force.
func Congestion(conn syscall.Conn) (name string, err error) {
	err = control(conn, "TCP_CONGESTION", func(fd int) error {
		name, err = unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION)
		return err
	})
	return name, err
}

// SetNotSentLowat bounds the bytes that wait unsent in the socket
// (TCP_NOTSENT_LOWAT): the socket counts as full above it. With sendfile they
// are references to file pages that a slow reader pins, up to 4 MiB without a
// bound; 128-256 KiB costs a fast reader nothing.
func SetNotSentLowat(conn syscall.Conn, bytes int) error {
	return control(conn, fmt.Sprintf("TCP_NOTSENT_LOWAT %d", bytes), func(fd int) error {
		return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, bytes)
	})
}

// SetUserTimeout bounds how long sent bytes may stay unacknowledged, or unsent
// behind a closed window, before the kernel gives the connection up with
// ETIMEDOUT (TCP_USER_TIMEOUT, in whole milliseconds, rounded up). 0 restores
// the system's default, about 15 minutes.
func SetUserTimeout(conn syscall.Conn, d time.Duration) error {
	ms := int((d + time.Millisecond - 1) / time.Millisecond)
	return control(conn, fmt.Sprintf("TCP_USER_TIMEOUT %d ms", ms), func(fd int) error {
		return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, ms)
	})
}

// control calls f with conn's descriptor and names the option in its error.
func control(conn syscall.Conn, option string, f func(fd int) error) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = f(int(fd)) }); err != nil {
		return err
	}
	if failed != nil {
		return fmt.Errorf("socket option %s: %w", option, os.NewSyscallError("setsockopt", failed))
	}
	return nil
}
