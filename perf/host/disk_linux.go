package host

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// DiskWritten returns how many bytes were written since boot to the disk that dir
// lies on, by everybody; false when that is no disk of its own, such as memory or
// a file system over several.
func DiskWritten(dir string) (written int64, ok bool, err error) {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return 0, false, fmt.Errorf("stat %s: %w", dir, err)
	}
	text, err := os.ReadFile("/proc/diskstats")
	if err != nil {
		return 0, false, err
	}
	written, ok = parseDiskStats(string(text), unix.Major(st.Dev), unix.Minor(st.Dev))
	return written, ok, nil
}

// SyncDisk waits until what was written to the file system that dir lies on is on
// the disk, by everybody, so that nothing of it goes on beside a measurement.
func SyncDisk(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("syncfs %s: %w", dir, err)
	}
	return nil
}
