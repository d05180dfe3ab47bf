package zerocopy

import (
	"io"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// writeFile moves bytes of p, which must not be empty, into f from position on
// by one pwrite(2). n is at least 1 without an error; every error is a
// *FileError.
func writeFile(f *os.File, p []byte, position int64) (n int, err error) {
	for {
		n, err := unix.Pwrite(int(f.Fd()), p, position)
		runtime.KeepAlive(f)
		switch {
		case err == nil && n == 0:
			// No file system does this; one that did would loop the caller.
			return 0, &FileError{Op: "pwrite", Path: f.Name(), Position: position, Err: io.ErrShortWrite}
		case err == nil:
			return n, nil
		case err == unix.EINTR: // a signal before the first byte
		default:
			return 0, &FileError{Op: "pwrite", Path: f.Name(), Position: position, Err: err}
		}
	}
}
