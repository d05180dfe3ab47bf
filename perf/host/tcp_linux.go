package host

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// TCP is what one end of a connection is set to, as getsockopt(2) tells.
type TCP struct {
	Congestion   string // TCP_CONGESTION
	NoDelay      bool   // TCP_NODELAY
	NotSentLowat int    // TCP_NOTSENT_LOWAT in bytes; 0: no bound
}

// String is short, for a line of conditions.
func (t TCP) String() string {
	text := t.Congestion
	if !t.NoDelay {
		text += ", Nagle"
	}
	if t.NotSentLowat > 0 {
		text += fmt.Sprintf(", notsent_lowat %d", t.NotSentLowat)
	}
	return text
}

// SocketTCP reads the options of a socket.
func SocketTCP(fd int) (TCP, error) {
	var t TCP
	var err error
	if t.Congestion, err = unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION); err != nil {
		return t, fmt.Errorf("getsockopt TCP_CONGESTION: %w", err)
	}
	noDelay, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY)
	if err != nil {
		return t, fmt.Errorf("getsockopt TCP_NODELAY: %w", err)
	}
	t.NoDelay = noDelay != 0
	lowat, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT)
	if err != nil {
		return t, fmt.Errorf("getsockopt TCP_NOTSENT_LOWAT: %w", err)
	}
	t.NotSentLowat = max(0, lowat) // the default is the highest uint32, so -1
	return t, nil
}

// PeerTCP reads the options of this process's socket whose peer is at peer, an
// IPv4 address, by looking at each of its descriptors: so the options of a
// connection can be read that a library keeps to itself.
func PeerTCP(peer netip.AddrPort) (TCP, error) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return TCP{}, err
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			return TCP{}, fmt.Errorf("/proc/self/fd: %w", err)
		}
		name, err := unix.Getpeername(fd)
		if err != nil {
			continue // no socket, or not connected
		}
		if addrPort(name) == peer {
			return SocketTCP(fd)
		}
	}
	return TCP{}, fmt.Errorf("no socket of this process has the peer %v", peer)
}

func addrPort(name unix.Sockaddr) netip.AddrPort {
	switch a := name.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}
