package iouring

import (
	"errors"

	"golang.org/x/sys/unix"
)

var (
	// ErrUnavailable is wrapped by the error of Open and Probe when this process
	// may not have a ring, or not one that this package can use. The text says
	// who likely forbids it and what to do.
	ErrUnavailable = errors.New("io_uring is not available")

	// ErrFull is returned by Push when the submission queue is full: Enter, and
	// push again.
	ErrFull = errors.New("iouring: submission queue full")

	// ErrLost is wrapped by the error of Enter when the kernel had no memory to
	// keep a completion. Who waits for it would wait for ever: close the ring.
	ErrLost = errors.New("iouring: completions lost")

	// ErrInFlight is wrapped by the error of Close when operations could not be
	// cancelled. The ring stays as it is: its memory is still the kernel's.
	ErrInFlight = errors.New("iouring: operations in flight")
)

// UnavailableError says why there is no ring, or not one that can do what is asked
// for. It wraps ErrUnavailable and the errno, and errors.ErrUnsupported if the
// kernel does not have it: then nobody can allow it.
type UnavailableError struct {
	Op    string // what was refused
	Err   error  // the errno; nil when a ring was given that lacks something
	Cause string // the likely cause, and what to do
}

func (e *UnavailableError) Error() string {
	if e.Err == nil {
		return e.Op + ": " + e.Cause
	}
	return e.Op + ": " + e.Err.Error() + "; " + e.Cause
}

// Unwrap returns what the error wraps.
func (e *UnavailableError) Unwrap() []error {
	switch e.Err {
	case nil:
		return []error{ErrUnavailable, errors.ErrUnsupported}
	case unix.EINVAL: // a flag or an operation that the kernel does not know
		return []error{ErrUnavailable, e.Err, errors.ErrUnsupported}
	default: // ENOSYS is errors.ErrUnsupported by itself
		return []error{ErrUnavailable, e.Err}
	}
}
