package zerocopy

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// readFile moves up to len(p) bytes, at least 1, of f from position on into p
// by one pread(2); it waits for the disk. n is at least 1 without an error.
// Errors: a *ShortFileError when the file ends at position; a *FileError.
func readFile(f *os.File, p []byte, position int64) (n int, err error) {
	for {
		n, err := unix.Pread(int(f.Fd()), p, position)
		runtime.KeepAlive(f)
		switch {
		case err == nil && n == 0:
			return 0, &ShortFileError{Path: f.Name(), Position: position, Wanted: int64(len(p))}
		case err == nil:
			return n, nil
		case err == unix.EINTR: // a signal before the first byte
		default:
			return 0, &FileError{Op: "pread", Path: f.Name(), Position: position, Err: err}
		}
	}
}
