package bare

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/rollway/rollway/zerocopy"
)

// LoopHandler answers the frames of all connections of a Loop, on its thread.
type LoopHandler interface {
	// open is called for a new connection.
	open(c *loopConn)
	// readable is called when c can receive. It receives once.
	readable(c *loopConn) error
	// writable is called when a blocked c can send again.
	writable(c *loopConn) error
	// turned is called when all connections that were ready have been handled.
	turned() error
}

// Loop accepts connections on a free port of 127.0.0.1 and serves them by one
// thread and an epoll instance, epoll(7).
type Loop struct {
	handler  LoopHandler
	addr     netip.AddrPort
	epoll    int
	listener int
	stop     int // eventfd: its first event ends the loop
	conns    map[int32]*loopConn
	failed   error // the first error of a connection
	done     chan struct{}
}

// loopConn is one connection of a Loop.
type loopConn struct {
	loop    *Loop
	fd      int
	blocked bool // waits until it can send, and receives nothing meanwhile
	closed  bool

	fetch loopFetch // of a Fetcher
	sink  sinkConn  // of a LoopSink
	rest  []byte    // of a LoopSink: answers that the socket did not take
}

// ListenLoop starts a Loop. Connections get the congestion control algorithm of
// that name. A handler is for one Loop at a time.
func ListenLoop(handler LoopHandler, congestion string) (*Loop, error) {
	if f, ok := handler.(*Fetcher); ok && f.Path != zerocopy.Auto && f.Path != zerocopy.SendFile {
		return nil, fmt.Errorf("fetcher on a loop by %v, want sendfile", f.Path)
	}
	l := &Loop{handler: handler, epoll: -1, listener: -1, stop: -1, conns: map[int32]*loopConn{}, done: make(chan struct{})}
	if err := l.listen(congestion); err != nil {
		l.close()
		return nil, err
	}
	go l.run()
	return l, nil
}

func (l *Loop) listen(congestion string) (err error) {
	if l.listener, l.addr, err = listen(congestion); err != nil {
		return err
	}
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	if l.stop, err = unix.Eventfd(0, unix.EFD_CLOEXEC); err != nil {
		return os.NewSyscallError("eventfd", err)
	}
	for _, fd := range []int{l.listener, l.stop} {
		if err := l.control(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN); err != nil {
			return err
		}
	}
	return nil
}

// Addr returns the address that is listened on.
func (l *Loop) Addr() netip.AddrPort { return l.addr }

// Close ends all connections and the thread and returns the first error that a
// connection had, unless that is that its peer has left.
func (l *Loop) Close() error {
	one := uint64(1)
	unix.Write(l.stop, (*[8]byte)(unsafe.Pointer(&one))[:]) // an eventfd takes it
	<-l.done
	l.close()
	return l.failed
}

func (l *Loop) close() {
	for _, c := range l.conns {
		unix.Close(c.fd)
	}
	for _, fd := range []int{l.listener, l.epoll, l.stop} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

func (l *Loop) run() {
	// A thread of its own waits in the kernel for itself, not for the scheduler.
	runtime.LockOSThread()
	defer close(l.done)
	events := make([]unix.EpollEvent, 256)
	for {
		ready, err := l.wait(events)
		if err != nil {
			l.keep(err)
			return
		}
		for _, e := range ready {
			if e.Fd == int32(l.stop) {
				return
			}
			if err := l.handle(e); err != nil {
				l.keep(err)
				return
			}
		}
		if err := l.handler.turned(); err != nil {
			l.keep(err)
			return
		}
	}
}

// wait returns who is ready. It looks first without telling the scheduler: a
// thread that has gone to sleep must get a P back when it returns, and under
// load it need not sleep.
func (l *Loop) wait(events []unix.EpollEvent) ([]unix.EpollEvent, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(l.epoll), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
	if errno == 0 && n > 0 {
		return events[:n], nil
	}
	for {
		n, err := unix.EpollWait(l.epoll, events, -1)
		switch err {
		case nil:
			return events[:n], nil
		case unix.EINTR:
		default:
			return nil, os.NewSyscallError("epoll_wait", err)
		}
	}
}

// handle returns errors that concern no single connection.
func (l *Loop) handle(e unix.EpollEvent) error {
	if e.Fd == int32(l.listener) {
		return l.accept()
	}
	c := l.conns[e.Fd]
	if c == nil {
		return nil // ended in this turn, by an answer that could not be sent
	}
	var err error
	if c.blocked {
		err = l.handler.writable(c)
	} else {
		err = l.handler.readable(c)
	}
	if err != nil {
		l.end(c, err)
	}
	return nil
}

func (l *Loop) accept() error {
	fd, _, err := unix.Accept4(l.listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	switch err {
	case nil:
	case unix.EAGAIN, unix.EINTR, unix.ECONNABORTED: // the peer has given up
		return nil
	default:
		return os.NewSyscallError("accept4", err)
	}
	c := &loopConn{loop: l, fd: fd}
	l.conns[int32(fd)] = c
	l.handler.open(c)
	return l.control(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN)
}

func (l *Loop) control(op, fd int, events uint32) error {
	e := unix.EpollEvent{Events: events, Fd: int32(fd)}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(l.epoll, op, fd, &e))
}

// block has c wait until it can send, or until it can receive again.
func (c *loopConn) block(blocked bool) error {
	if c.blocked == blocked {
		return nil
	}
	c.blocked = blocked
	events := uint32(unix.EPOLLIN)
	if blocked {
		events = unix.EPOLLOUT
	}
	return c.loop.control(unix.EPOLL_CTL_MOD, c.fd, events)
}

// receive is one readv(2) into first, which may be empty, and what follows it
// into then; 0 bytes when there is nothing after all.
func (c *loopConn) receive(first, then []byte) (int, error) {
	var n int
	var err error
	if len(first) > 0 {
		n, err = unix.Readv(c.fd, [][]byte{first, then})
	} else {
		n, err = unix.Read(c.fd, then)
	}
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return 0, nil
	case err != nil:
		return 0, os.NewSyscallError("read", err)
	case n == 0:
		return 0, io.EOF
	default:
		return n, nil
	}
}

// end closes c.
func (l *Loop) end(c *loopConn, err error) {
	l.keep(err)
	c.closed = true
	delete(l.conns, int32(c.fd))
	unix.Close(c.fd) // takes it out of the epoll instance too
}

// keep keeps err if it is the first one to tell.
func (l *Loop) keep(err error) {
	if l.failed == nil && !left(err) {
		l.failed = err
	}
}

// left tells whether err says that the peer has left.
func left(err error) bool {
	return err == io.EOF || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE)
}

// errFrameTooLarge is for a frame that no buffer has room for.
func errFrameTooLarge(bytes int) error {
	return fmt.Errorf("frame of more than %d bytes, want a smaller one", bytes)
}
