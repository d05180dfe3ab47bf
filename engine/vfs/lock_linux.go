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

// Locked tells whether somebody else holds the lock of the file name, and takes
// none (F_OFD_GETLK, fcntl(2)). A missing file is not locked.
func (d *OS) Locked(name string) (bool, error) {
	f, err := d.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	if err := unix.FcntlFlock(f.OS().Fd(), unix.F_OFD_GETLK, &lock); err != nil {
		return false, &fs.PathError{Op: "fcntl F_OFD_GETLK", Path: f.Name(), Err: err}
	}
	return lock.Type != unix.F_UNLCK, nil
}
