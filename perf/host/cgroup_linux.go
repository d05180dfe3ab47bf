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

// MemoryGroup is a control group with a bound on memory, page cache included.
type MemoryGroup struct{ dir string }

// NewMemoryGroup makes a group of that name with a bound in bytes, by cgroup v1's
// memory controller where that is mounted, else by v2's. Remove it.
//
// Errors: wraps fs.ErrNotExist where there is no such controller, fs.ErrPermission
// for whoever may not.
func NewMemoryGroup(name string, bytes int64) (*MemoryGroup, error) {
	root, bound := memoryController()
	// Of v2; of v1 there is no such file. Fails too where a manager lets nobody.
	writeSetting(filepath.Join(root, "cgroup.subtree_control"), "+memory")
	g := &MemoryGroup{dir: filepath.Join(root, name)}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		return nil, err
	}
	if err := writeSetting(filepath.Join(g.dir, bound), strconv.FormatInt(bytes, 10)); err != nil {
		return nil, errors.Join(err, g.Remove())
	}
	return g, nil
}

// memoryController returns where groups are made, and the file of their bound.
func memoryController() (root, bound string) {
	root, bound = "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
	if _, err := os.Stat(filepath.Join(root, bound)); err != nil {
		root, bound = "/sys/fs/cgroup", "memory.max"
	}
	return root, bound
}

// RemoveMemoryGroup removes the group of that name, if there is one: for who
// cleans up behind a process that made it.
func RemoveMemoryGroup(name string) error {
	root, _ := memoryController()
	return (&MemoryGroup{dir: filepath.Join(root, name)}).Remove()
}

// Add moves a process into the group, with all its threads. What it holds already
// stays charged to where it was.
func (g *MemoryGroup) Add(pid int) error {
	return writeSetting(filepath.Join(g.dir, "cgroup.procs"), strconv.Itoa(pid))
}

// removeTime is how long the kernel may take to notice that the last process of a
// group has ended.
const removeTime = time.Second

// Remove removes the group, whose processes have ended. It may be called again.
func (g *MemoryGroup) Remove() error {
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
