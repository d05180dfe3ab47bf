package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"golang.org/x/sys/unix"
)

// locked returns f with an open file description lock (F_OFD_SETLK, fcntl(2)),
// or closes it. That conflicts with the traditional record lock that a JVM takes
// through FileChannel.tryLock, so a running Kafka and an engine exclude each
// other; flock(2) would not.
func locked(f File) (File, error) {
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	err := unix.FcntlFlock(f.OS().Fd(), unix.F_OFD_SETLK, &lock)
	if err == nil {
		return f, nil
	}
	f.Close()
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return nil, fmt.Errorf("%w: %s", ErrLocked, f.Name())
	}
	return nil, &fs.PathError{Op: "fcntl F_OFD_SETLK", Path: f.Name(), Err: err}
}
