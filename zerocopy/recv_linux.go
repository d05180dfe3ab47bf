package zerocopy

import "golang.org/x/sys/unix"

// TryReceive moves bytes that have arrived at socket into p, which must not be
// empty, by one read(2). The socket must be O_NONBLOCK.
//
// n = 0 without an error means that the peer has closed its side. Errors:
// unix.EAGAIN as is when nothing has arrived; one that wraps ErrPeerGone; any
// other errno wrapped.
func TryReceive(socket int, p []byte) (n int, err error) {
	for {
		n, err := unix.Read(socket, p)
		switch err {
		case nil:
			return n, nil
		case unix.EINTR: // a signal before the first byte
		case unix.EAGAIN:
			return 0, err
		default:
			return 0, socketError("read", err)
		}
	}
}
