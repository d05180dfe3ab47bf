package vfs

import (
	"io"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// rwfDontCache is RWF_DONTCACHE of linux/fs.h, since 6.14.
const rwfDontCache = 0x80

// ReadUncached is File.ReadAt for who reads a lot once, beside others who need
// the page cache: pages that the read has to bring in are dropped again, pages
// that were there stay (RWF_DONTCACHE, preadv2(2)). Where kernel or file system
// cannot do that it is an ordinary read.
func ReadUncached(f File, p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		n, err := unix.Preadv2(int(f.OS().Fd()), [][]byte{p[done:]}, off+int64(done), rwfDontCache)
		runtime.KeepAlive(f)
		switch {
		case err == unix.EINTR:
		case err == unix.EOPNOTSUPP, err == unix.EINVAL, err == unix.ENOSYS:
			// EINVAL: of kernels that do not know the flag on this file; ENOSYS:
			// of sandboxes without preadv2.
			n, err := f.ReadAt(p[done:], off+int64(done))
			return done + n, err
		case err != nil:
			return done, &os.PathError{Op: "preadv2", Path: f.Name(), Err: err}
		case n == 0:
			return done, io.EOF
		default:
			done += n
		}
	}
	return done, nil
}
