package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

// PageCache returns how many bytes of the files under dir are in the page cache.
// Files that go away meanwhile do not count.
func PageCache(dir string) (int64, error) {
	var cached int64
	err := eachFile(dir, func(f *os.File, size int64) error {
		n, err := cachedBytes(int(f.Fd()), size)
		cached += n
		return err
	})
	return cached, err
}

// Evict writes the files under dir to the disk and drops them from the page cache.
// What a process has mapped, or a socket still holds, stays: look at PageCache.
func Evict(dir string) error {
	return eachFile(dir, func(f *os.File, _ int64) error {
		fd := int(f.Fd())
		if err := unix.Fdatasync(fd); err != nil {
			return fmt.Errorf("fdatasync %s: %w", f.Name(), err)
		}
		if err := unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED); err != nil {
			return fmt.Errorf("posix_fadvise %s: %w", f.Name(), err)
		}
		return nil
	})
}

// eachFile calls f with each regular file under dir that is not empty.
func eachFile(dir string, f func(f *os.File, size int64) error) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		file, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil || info.Size() == 0 {
			return err
		}
		return f(file, info.Size())
	})
}

// cachedBytes asks cachestat(2), of Linux 6.5, or looks at each page by mincore(2).
func cachedBytes(fd int, size int64) (int64, error) {
	page := int64(os.Getpagesize())
	var cached unix.Cachestat_t
	err := unix.Cachestat(uint(fd), &unix.CachestatRange{Len: uint64(size)}, &cached, 0)
	switch {
	case err == nil:
		return min(int64(cached.Cache)*page, size), nil
	case err != unix.ENOSYS && err != unix.EPERM: // the latter is seccomp's for a call that it does not know
		return 0, fmt.Errorf("cachestat: %w", err)
	}
	return residentBytes(fd, size)
}

func residentBytes(fd int, size int64) (int64, error) {
	page := int64(os.Getpagesize())
	mapped, err := unix.Mmap(fd, 0, int(size), unix.PROT_NONE, unix.MAP_SHARED)
	if err != nil {
		return 0, fmt.Errorf("mmap %d bytes: %w", size, err)
	}
	defer unix.Munmap(mapped)
	pages := make([]byte, (size+page-1)/page)
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&mapped[0])), uintptr(size), uintptr(unsafe.Pointer(&pages[0]))); errno != 0 {
		return 0, fmt.Errorf("mincore of %d bytes: %w", size, errno)
	}
	var resident int64
	for _, p := range pages {
		resident += int64(p&1) * page
	}
	return min(resident, size), nil
}
