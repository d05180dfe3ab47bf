package iouring

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Support is what the kernel can do for this process.
type Support struct {
	Flags    SetupFlags // of the best ring
	Features Features

	// Sockets tells whether accepts and receives can be multishot and take their
	// buffers from a ring of provided ones, all of which Streams needs: Linux 6.0.
	Sockets bool

	ops [256]bool
}

// Has tells whether the kernel knows an operation.
func (s *Support) Has(op Op) bool { return s.ops[op] }

// Probe sets up a small ring and asks and tries what it can do; it blocks for
// well under a millisecond. Its error wraps ErrUnavailable if there can be none.
func Probe() (Support, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r, err := Open(Options{Entries: 4})
	if err != nil {
		return Support{}, err
	}
	s := Support{Flags: r.flags, Features: r.features}
	err = s.probeOps(r)
	if err == nil {
		s.Sockets, err = probeSockets(r)
	}
	if e := r.Close(); err == nil {
		err = e
	}
	return s, err
}

// ProbeSockets returns why there can be no Streams, an error that wraps
// ErrUnavailable, or nil.
func ProbeSockets() error {
	s, err := Probe()
	if err == nil && !s.Sockets {
		err = &UnavailableError{Op: "io_uring multishot receive", Cause: "likely a kernel before 6.0"}
	}
	return err
}

func (s *Support) probeOps(r *Ring) error {
	probe := new(kernelProbe)
	if errno := ioUringRegister(r.fd, registerProbe, unsafe.Pointer(probe), len(probe.ops)); errno != 0 {
		// EINVAL before 5.6, which has no setup flag of ours either.
		return os.NewSyscallError("io_uring_register probe", errno)
	}
	for i, op := range probe.ops[:probe.opsLen] {
		s.ops[i] = op.flags&probeSupported != 0
	}
	return nil
}

// probeSockets tries both multishot operations on what is no socket. A kernel
// that knows them looks at the descriptor next, and says ENOTSOCK; one that does
// not has already refused the flag with EINVAL.
func probeSockets(r *Ring) (bool, error) {
	b, err := NewBuffers(BuffersOptions{Count: 1, Size: 1})
	if err != nil {
		return false, err
	}
	defer b.Close()
	if b.Register(r) != nil {
		return false, nil
	}
	noSocket, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return false, os.NewSyscallError("eventfd", err)
	}
	defer unix.Close(noSocket)
	for _, s := range []SQE{AcceptMultishot(noSocket), ReceiveMultishot(noSocket, b.group)} {
		if err := r.Push(s); err != nil {
			return false, err
		}
	}
	if err := r.Enter(2); err != nil {
		return false, err
	}
	known := 0
	for c, ok := r.Next(); ok; c, ok = r.Next() {
		switch c.Err() {
		case unix.ENOTSOCK:
			known++
		case unix.EINVAL:
		default:
			return false, fmt.Errorf("multishot operation on an eventfd: result %d, want ENOTSOCK or EINVAL", c.Result)
		}
	}
	return known == 2, nil
}
