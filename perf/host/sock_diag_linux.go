package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Connection is one end of an established TCP connection of this machine, or of
// this network namespace, whoever owns it.
type Connection struct {
	Local, Peer netip.AddrPort
	Congestion  string
}

// Connections lists all of them with an IPv4 address, as `ss -ti` does, and those
// with an IPv4 address mapped to IPv6, which Java's sockets have.
func Connections() ([]Connection, error) {
	var all []Connection
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		found, err := diagnose(family)
		if err != nil {
			return nil, fmt.Errorf("sock_diag: %w", err)
		}
		all = append(all, found...)
	}
	return all, nil
}

const (
	sockDiagByFamily = 20 // SOCK_DIAG_BY_FAMILY of linux/sock_diag.h
	diagCongestion   = 4  // INET_DIAG_CONG of linux/inet_diag.h
	tcpEstablished   = 1  // of net/tcp_states.h

	// Of struct inet_diag_req_v2 and struct inet_diag_msg.
	diagRequestBytes = 56
	diagMessageBytes = 72
)

// diagnose is sock_diag(7): it asks for the established sockets of one family.
func diagnose(family uint8) ([]Connection, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	request := make([]byte, unix.SizeofNlMsghdr+diagRequestBytes)
	header := (*unix.NlMsghdr)(unsafe.Pointer(&request[0]))
	header.Len, header.Type = uint32(len(request)), sockDiagByFamily
	header.Flags = unix.NLM_F_REQUEST | unix.NLM_F_DUMP
	body := request[unix.SizeofNlMsghdr:]
	body[0], body[1], body[2] = family, unix.IPPROTO_TCP, 1<<(diagCongestion-1)
	binary.NativeEndian.PutUint32(body[4:], 1<<tcpEstablished)
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	var all []Connection
	buffer := make([]byte, 64<<10) // netlink's messages of a dump have 32 KiB at most
	for {
		n, _, err := unix.Recvfrom(fd, buffer, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		found, done, err := parseDiagnosis(buffer[:n])
		all = append(all, found...)
		if done || err != nil {
			return all, err
		}
	}
}

// parseDiagnosis reads netlink messages, and tells whether the last one was among
// them.
func parseDiagnosis(p []byte) (found []Connection, done bool, err error) {
	for len(p) >= unix.SizeofNlMsghdr {
		size := int(binary.NativeEndian.Uint32(p))
		kind := binary.NativeEndian.Uint16(p[4:])
		if size < unix.SizeofNlMsghdr || size > len(p) {
			return found, false, fmt.Errorf("message of %d bytes in %d", size, len(p))
		}
		body := p[unix.SizeofNlMsghdr:size]
		switch {
		case kind == unix.NLMSG_DONE:
			return found, true, nil
		case kind == unix.NLMSG_ERROR && len(body) >= 4:
			return found, false, unix.Errno(-int32(binary.NativeEndian.Uint32(body)))
		case kind == sockDiagByFamily && len(body) >= diagMessageBytes:
			found = append(found, parseConnection(body))
		default:
			return found, false, fmt.Errorf("message of type %d with %d bytes", kind, size)
		}
		p = p[min(align4(size), len(p)):]
	}
	if len(p) > 0 {
		return found, false, errors.New("less than a message")
	}
	return found, false, nil
}

// parseConnection reads a struct inet_diag_msg and its attributes.
//
//	at  len  field
//	 0    4  family, state, timer, retransmits
//	 4    2  source port, big-endian
//	 6    2  destination port
//	 8   16  source address
//	24   16  destination address
//	40   32  interface, cookie, expiry, queues, owner, inode
//	72    .  attributes: length 2, type 2, value, padded to 4
func parseConnection(p []byte) Connection {
	address := func(at int) netip.Addr {
		if p[0] == unix.AF_INET {
			return netip.AddrFrom4([4]byte(p[at : at+4]))
		}
		return netip.AddrFrom16([16]byte(p[at : at+16])).Unmap()
	}
	c := Connection{
		Local: netip.AddrPortFrom(address(8), binary.BigEndian.Uint16(p[4:])),
		Peer:  netip.AddrPortFrom(address(24), binary.BigEndian.Uint16(p[6:])),
	}
	for rest := p[diagMessageBytes:]; len(rest) >= 4; {
		size := int(binary.NativeEndian.Uint16(rest))
		if size < 4 || size > len(rest) {
			break
		}
		if binary.NativeEndian.Uint16(rest[2:]) == diagCongestion {
			value := rest[4:size]
			if end := slices.Index(value, 0); end >= 0 {
				value = value[:end]
			}
			c.Congestion = string(value)
		}
		rest = rest[min(align4(size), len(rest)):]
	}
	return c
}

func align4(n int) int { return (n + 3) &^ 3 }
