package host

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine is what a figure depends on and does not say by itself.
type Machine struct {
	Kernel     string // system, release and architecture
	CPU        string // model and what is known about it
	Memory     string // in all and available
	FileSystem string // of the directory that was asked about
	Go         string // version and GOAMD64 or the like
}

// Describe returns what there is to say about this machine and the file system
// of dir, which must exist.
func Describe(dir string) (Machine, error) {
	var m Machine
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return m, fmt.Errorf("uname: %w", err)
	}
	m.Kernel = unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:]) + " " + unix.ByteSliceToString(u.Machine[:])
	m.Go = runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH

	cpu, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return m, err
	}
	m.CPU = parseCPUInfo(string(cpu)).String()

	memory, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return m, err
	}
	m.Memory = fmt.Sprintf("%.1f GiB, %.1f available",
		float64(parseMemInfo(string(memory), "MemTotal"))/(1<<30), float64(parseMemInfo(string(memory), "MemAvailable"))/(1<<30))

	mount, err := MountOf(dir)
	if err != nil {
		return m, err
	}
	m.FileSystem = mount.String()
	if mount.Type == "ext4" && !hasJournal(mount) {
		m.FileSystem += ", no journal"
	}
	return m, nil
}

// MountOf returns the mount that dir, which must exist, lies in.
func MountOf(dir string) (Mount, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return Mount{}, err
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return Mount{}, err
	}
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return Mount{}, err
	}
	mount, ok := findMount(string(info), path)
	if !ok {
		return Mount{}, fmt.Errorf("/proc/self/mountinfo: no mount holds %s", path)
	}
	return mount, nil
}

// hasJournal tells whether an ext4 file system has one, without which an
// fdatasync is cheaper and orders less: jbd2 lists each by its device and inode.
func hasJournal(m Mount) bool {
	entries, err := os.ReadDir("/proc/fs/jbd2")
	if err != nil {
		return true // not known; claim nothing unusual
	}
	device := filepath.Base(m.Source)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), device+"-") {
			return true
		}
	}
	// The source may be another name of the device (/dev/root).
	_, err = os.Stat(filepath.Join("/proc/fs/ext4", device))
	return err != nil
}
