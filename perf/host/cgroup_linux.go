package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Group is a control group with a bound on what its processes use together. Of
// NewMemoryGroup and NewCPUGroup, whose errors are the same: they wrap
// fs.ErrNotExist where there is no such controller, fs.ErrPermission or EROFS for
// whoever may not, see NoGroups.
type Group struct{ dir string }

// NoGroups tells whether err says that no such group can be made here.
func NoGroups(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS)
}

// NewMemoryGroup makes a group of that name with a bound in bytes on memory, page
// cache included, by cgroup v1's memory controller where that is mounted, else by
// v2's. Remove it.
func NewMemoryGroup(name string, bytes int64) (*Group, error) {
	bound := "memory.max"
	if _, v1 := memoryController.root(); v1 {
		bound = memoryController.v1File
	}
	g, err := newGroup(memoryController, name)
	if err != nil {
		return nil, err
	}
	if err := g.set(bound, strconv.FormatInt(bytes, 10)); err != nil {
		return nil, errors.Join(err, g.Remove())
	}
	return g, nil
}

// CPUGroup is a Group that bounds CPU.
type CPUGroup struct {
	Group
	v1 bool
}

// NewCPUGroup makes a group of that name, by cgroup v1's cpu controller where that is
// mounted, else by v2's. It has no bound before Bound sets one. Remove it.
func NewCPUGroup(name string) (*CPUGroup, error) {
	_, v1 := cpuController.root()
	g, err := newGroup(cpuController, name)
	if err != nil {
		return nil, err
	}
	c := &CPUGroup{Group: *g, v1: v1}
	if err := c.Bound(0); err != nil { // the controller may not be there
		return nil, errors.Join(err, c.Remove())
	}
	return c, nil
}

const (
	// quotaPeriod is what a bound on CPU holds for, and the kernel's default. A process
	// with a small part of it runs for a few milliseconds and then pauses: with one of
	// 25 ms, Kafka within 0.04 cores took 276 s/GiB to be produced to where it took 16
	// with this, as nothing that it needs was in the caches any more each time.
	quotaPeriod = 100 * time.Millisecond
	// minQuota is the least that the kernel takes: min_cfs_quota_period of
	// kernel/sched/core.c. The period gets longer for who is to have less.
	minQuota = time.Millisecond
)

// Bound has the processes of the group use so many cores together, such as 0.1, at
// most; 0: as many as there are.
func (g *CPUGroup) Bound(cores float64) error {
	period, quota := quotaPeriod, "max"
	if cores > 0 {
		period = max(period, time.Duration(float64(minQuota)/cores))
		quota = strconv.FormatInt(time.Duration(cores*float64(period)).Round(time.Microsecond).Microseconds(), 10)
	} else if g.v1 {
		quota = "-1"
	}
	every := strconv.FormatInt(period.Microseconds(), 10)
	if !g.v1 {
		return g.set("cpu.max", quota+" "+every)
	}
	return errors.Join(g.set("cpu.cfs_period_us", every), g.set(cpuController.v1File, quota))
}

// newGroup makes a group.
func newGroup(c controller, name string) (*Group, error) {
	root, v1 := c.root()
	if !v1 {
		writeSetting(filepath.Join(root, "cgroup.subtree_control"), "+"+c.name) // fails where a manager lets nobody
	}
	g := &Group{dir: filepath.Join(root, name)}
	return g, os.Mkdir(g.dir, 0o755)
}

// set writes one of the group's files.
func (g *Group) set(file, value string) error { return writeSetting(filepath.Join(g.dir, file), value) }

// controller is one of the kernel's.
type controller struct{ name, v1File string } // the file is there when v1 is mounted

var (
	memoryController = controller{"memory", "memory.limit_in_bytes"}
	cpuController    = controller{"cpu", "cpu.cfs_quota_us"}
)

// root returns where groups are made, and whether by v1.
func (c controller) root() (dir string, v1 bool) {
	dir = filepath.Join("/sys/fs/cgroup", c.name)
	if _, err := os.Stat(filepath.Join(dir, c.v1File)); err != nil {
		return "/sys/fs/cgroup", false
	}
	return dir, true
}

// RemoveMemoryGroup removes the group of that name, if there is one: for who
// cleans up behind a process that made it.
func RemoveMemoryGroup(name string) error { return memoryController.remove(name) }

// RemoveCPUGroup is RemoveMemoryGroup of NewCPUGroup.
func RemoveCPUGroup(name string) error { return cpuController.remove(name) }

func (c controller) remove(name string) error {
	root, _ := c.root()
	return (&Group{dir: filepath.Join(root, name)}).Remove()
}

// Add moves a process into the group, with all its threads. Memory that it holds
// already stays charged to where it was.
func (g *Group) Add(pid int) error {
	return g.set("cgroup.procs", strconv.Itoa(pid))
}

// removeTime is how long the kernel may take to notice that the last process of a
// group has ended.
const removeTime = time.Second

// Remove removes the group, whose processes have ended. It may be called again.
func (g *Group) Remove() error {
	for deadline := time.Now().Add(removeTime); ; time.Sleep(time.Millisecond) {
		err := os.Remove(g.dir)
		switch {
		case err == nil || errors.Is(err, fs.ErrNotExist):
			return nil
		case !errors.Is(err, unix.EBUSY) || time.Now().After(deadline):
			return err
		}
	}
}

// writeSetting writes a file that is there; os.WriteFile would make one.
func writeSetting(path, value string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %q: %w", value, err)
	}
	return nil
}
