package doctor

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// rwfDontCache is RWF_DONTCACHE of linux/fs.h.
const rwfDontCache = 0x80

// tryDontCache reads the page of f so that it does not stay in the page cache,
// preadv2(2).
func tryDontCache(f *os.File) error {
	_, err := unix.Preadv2(int(f.Fd()), [][]byte{make([]byte, pageBytes)}, 0, rwfDontCache)
	runtime.KeepAlive(f)
	if err != nil {
		return os.NewSyscallError("preadv2", err) // EOPNOTSUPP before 6.14 or on this file system
	}
	return nil
}
