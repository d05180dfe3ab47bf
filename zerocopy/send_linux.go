package zerocopy

import "golang.org/x/sys/unix"

// TrySend moves bytes of p, which must not be empty, to socket by one send of
// sendmsg(2), without waiting for the peer whatever the socket's mode.
//
// more says that other bytes follow at once, in the next call: the kernel then
// keeps a last partial segment back for them (MSG_MORE). It gives up waiting
// after 200 ms, a stall that the peer sees, so more without bytes that surely
// follow is a bug.
//
// n bytes, possibly fewer than len(p), were accepted. Errors, all with n = 0:
// unix.EAGAIN as is when the socket is full; one that wraps ErrPeerGone; any
// other errno wrapped.
func TrySend(socket int, p []byte, more bool) (n int, err error) {
	// MSG_NOSIGNAL: an embedding program may have given SIGPIPE its default
	// action, which is to die.
	flags := unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL
	if more {
		flags |= unix.MSG_MORE
	}
	for {
		n, err := unix.SendmsgN(socket, p, nil, nil, flags)
		switch err {
		case nil:
			return n, nil
		case unix.EINTR: // a signal before the first byte
		case unix.EAGAIN:
			return 0, err
		default:
			return 0, socketError("sendmsg", err)
		}
	}
}
