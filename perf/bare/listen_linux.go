package bare

import (
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// listen returns a socket that listens on a free port of 127.0.0.1, outside the
// runtime's poller, for loops that accept themselves. What it accepts inherits
// its options: the congestion control algorithm, if one is named, and TCP_NODELAY, which the net
// package sets on the connections of Server.
func listen(congestion string) (fd int, addr netip.AddrPort, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, addr, os.NewSyscallError("socket", err)
	}
	if addr, err = bindAndListen(fd, congestion); err != nil {
		unix.Close(fd)
		return -1, addr, err
	}
	return fd, addr, nil
}

func bindAndListen(fd int, congestion string) (addr netip.AddrPort, err error) {
	if congestion != "" {
		err = unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, congestion)
	}
	if err != nil {
		return addr, fmt.Errorf("setsockopt TCP_CONGESTION %s: %w; see /proc/sys/net/ipv4/tcp_available_congestion_control", congestion, err)
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return addr, fmt.Errorf("setsockopt TCP_NODELAY: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return addr, os.NewSyscallError("bind", err)
	}
	if err := unix.Listen(fd, unix.SOMAXCONN); err != nil {
		return addr, os.NewSyscallError("listen", err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return addr, os.NewSyscallError("getsockname", err)
	}
	a, ok := name.(*unix.SockaddrInet4)
	if !ok {
		return addr, fmt.Errorf("getsockname: %T, want an IPv4 address", name)
	}
	return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)), nil
}
