package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// maxIovecs is IOV_MAX (limits.h): the most buffers of one pwritev(2).
const maxIovecs = 1024

// osFile is a file of the real file system. fd is f's descriptor; every use of
// it is followed by a use of f, or the garbage collector could close f, and so
// fd, in the middle of a system call.
type osFile struct {
	f    *os.File
	fd   int
	name string
}

func (f *osFile) Name() string { return f.name }

func (f *osFile) OS() *os.File { return f.f }

func (f *osFile) Close() error { return f.f.Close() }

func (f *osFile) err(op string, err error) error {
	return &fs.PathError{Op: op, Path: f.name, Err: err}
}

func (f *osFile) Size() (int64, error) {
	var st unix.Stat_t
	err := unix.Fstat(f.fd, &st)
	runtime.KeepAlive(f.f)
	if err != nil {
		return 0, f.err("fstat", err)
	}
	return st.Size, nil
}

func (f *osFile) ReadAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		n, err := unix.Pread(f.fd, p[done:], off+int64(done))
		runtime.KeepAlive(f.f)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return done, f.err("pread", err)
		}
		if n == 0 {
			return done, io.EOF
		}
		done += n
	}
	return done, nil
}

func (f *osFile) WriteAt(off int64, bufs ...[]byte) (int64, error) {
	var done int64
	for {
		for len(bufs) > 0 && len(bufs[0]) == 0 {
			bufs = bufs[1:]
		}
		if len(bufs) == 0 {
			return done, nil
		}
		n, err := f.writeSome(off+done, bufs)
		if err == unix.EINTR {
			continue
		}
		if err == nil && n == 0 {
			err = io.ErrShortWrite
		}
		if err != nil {
			return done, f.err("pwritev", err)
		}
		done += int64(n)
		bufs = consume(bufs, n)
	}
}

func (f *osFile) writeSome(off int64, bufs [][]byte) (n int, err error) {
	if len(bufs) == 1 {
		n, err = unix.Pwrite(f.fd, bufs[0], off)
	} else {
		n, err = unix.Pwritev(f.fd, bufs[:min(len(bufs), maxIovecs)], off)
	}
	runtime.KeepAlive(f.f)
	return n, err
}

// consume drops the first n bytes of bufs, in place.
func consume(bufs [][]byte, n int) [][]byte {
	for n > 0 {
		if n < len(bufs[0]) {
			bufs[0] = bufs[0][n:]
			return bufs
		}
		n -= len(bufs[0])
		bufs = bufs[1:]
	}
	return bufs
}

func (f *osFile) Truncate(size int64) error {
	err := retryInterrupted(func() error { return unix.Ftruncate(f.fd, size) })
	runtime.KeepAlive(f.f)
	if err != nil {
		return f.err("ftruncate", err)
	}
	return nil
}

func (f *osFile) Datasync() error {
	err := retryInterrupted(func() error { return unix.Fdatasync(f.fd) })
	runtime.KeepAlive(f.f)
	if err != nil {
		return f.err("fdatasync", err)
	}
	return nil
}

func (f *osFile) StartWriteback(off, length int64) error {
	err := retryInterrupted(func() error {
		return unix.SyncFileRange(f.fd, off, length, unix.SYNC_FILE_RANGE_WRITE)
	})
	runtime.KeepAlive(f.f)
	if err != nil {
		return f.err("sync_file_range", err)
	}
	return nil
}

// retryInterrupted repeats call while a signal interrupts it. EINTR of a sync
// means that nothing was waited for, not that an error was consumed, so asking
// again is allowed (signal(7)).
func retryInterrupted(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
