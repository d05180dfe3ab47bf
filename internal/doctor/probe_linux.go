package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rollway/rollway/engine/vfs"
	"github.com/rollway/rollway/iouring"
)

// Probe collects the facts about this machine and the data directory dir.
func Probe(dir string) Facts {
	f := Facts{
		Kernel:      kernelRelease(),
		ClockSource: readText("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
		OpenFiles:   openFilesLimit(),
		Dirty: Dirty{
			BackgroundBytes: readNumber("/proc/sys/vm/dirty_background_bytes"),
			BackgroundRatio: readNumber("/proc/sys/vm/dirty_background_ratio"),
			Bytes:           readNumber("/proc/sys/vm/dirty_bytes"),
			Ratio:           readNumber("/proc/sys/vm/dirty_ratio"),
		},
		Congestion: Congestion{
			Default:   readText("/proc/sys/net/ipv4/tcp_congestion_control"),
			Available: strings.Fields(readText("/proc/sys/net/ipv4/tcp_available_congestion_control")),
		},
		Data:            probeData(dir),
		IOUringDisabled: readNumber("/proc/sys/kernel/io_uring_disabled"),
	}
	_, f.IOUring = iouring.Probe()
	f.Pipe = tryPipe()
	f.Pipe.MaxBytes = readNumber("/proc/sys/fs/pipe-max-size")
	f.Pipe.UserPages = readNumber("/proc/sys/fs/pipe-user-pages-soft")
	probeFile(&f)
	return f
}

// probeFile tries what depends on the file system, on a file without a name.
func probeFile(f *Facts) {
	file, err := tempFile(f.Data.Nearest)
	if err != nil {
		err = fmt.Errorf("no file to try it on: %w", err)
		f.SendFile, f.Splice, f.CacheStat, f.DontCache = err, err, err, err
		return
	}
	defer file.Close()
	f.SendFile = trySendFile(file)
	f.Splice = trySplice(file)
	f.CacheStat = tryCacheStat(file)
	f.DontCache = tryDontCache(file)
}

// tempFile makes a file of one page in dir, or in the directory for temporary
// files when dir does not allow it.
func tempFile(dir string) (*os.File, error) {
	file, err := os.OpenFile(dir, os.O_RDWR|unix.O_TMPFILE, 0o600)
	if err != nil {
		if file, err = os.CreateTemp("", "rollway-doctor-"); err != nil {
			return nil, err
		}
		os.Remove(file.Name())
	}
	if _, err := file.Write(make([]byte, pageBytes)); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// pageBytes is how much the probes move.
const pageBytes = 4096

func probeData(dir string) Data {
	d := Data{Path: dir, Nearest: dir}
	info, err := os.Stat(dir)
	switch {
	case err == nil && !info.IsDir():
		d.Err = fmt.Errorf("%s is a file, want a directory", dir)
		d.Nearest = filepath.Dir(dir)
	case err == nil:
		d.Exists = true
	case errors.Is(err, fs.ErrNotExist):
		d.Nearest = nearest(dir)
	default:
		d.Err = err
		return d
	}
	if err := unix.Access(d.Nearest, unix.W_OK|unix.X_OK); err != nil && d.Err == nil {
		d.Err = &fs.PathError{Op: "write to", Path: d.Nearest, Err: err}
	}
	if root, err := vfs.OpenExistingOS(d.Nearest); err == nil {
		d.Space, _ = root.Space() // unknown is a finding
		root.Close()
	}
	if d.Exists {
		d.Topics, d.TopicsErr = unsyncedTopics(dir)
	}
	return d
}

// nearest returns the nearest directory above dir that exists.
func nearest(dir string) string {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "."
	}
	for dir != "/" {
		dir = filepath.Dir(dir)
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			break
		}
	}
	return dir
}

// readText returns what a file of /proc or /sys holds, without white space
// around it; "" if it cannot be read.
func readText(name string) string {
	content, err := os.ReadFile(name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(content))
}

// readNumber returns the number that a file holds, -1 if it cannot be read.
func readNumber(name string) int64 {
	n, err := strconv.ParseInt(readText(name), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// kernelRelease is that of uname(2), "" if it fails.
func kernelRelease() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return ""
	}
	return unix.ByteSliceToString(name.Release[:])
}

// openFilesLimit is the hard RLIMIT_NOFILE of getrlimit(2), 0 if it fails.
func openFilesLimit() uint64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return limit.Max
}
