package vfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"

	"golang.org/x/sys/unix"
)

// Files and directories are for the owner alone: logs hold whatever producers
// put there.
const (
	filePerm = 0o600
	dirPerm  = 0o700
)

// ErrLocked means that another process (or another engine of this one) holds
// the lock of the directory.
var ErrLocked = errors.New("vfs: locked by another process")

// OS is the real file system below one directory. Names cannot leave it, also
// not through symbolic links (os.Root).
type OS struct {
	path string
	root *os.Root
}

// OpenOS opens the directory path and makes it, with its parents, if it is
// missing.
func OpenOS(path string) (*OS, error) {
	if err := os.MkdirAll(path, dirPerm); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return &OS{path: path, root: root}, nil
}

// OpenExistingOS opens the directory path, which must exist. Tools that only
// read use it.
func OpenExistingOS(path string) (*OS, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return &OS{path: path, root: root}, nil
}

// Path implements FS.
func (d *OS) Path() string { return d.path }

// Close implements FS.
func (d *OS) Close() error { return d.root.Close() }

// Open implements FS. O_NOATIME needs the file's owner or CAP_FOWNER (open(2)),
// so it is asked for and done without.
func (d *OS) Open(name string) (File, error) {
	f, err := d.root.OpenFile(name, os.O_RDONLY|unix.O_NOATIME, 0)
	if errors.Is(err, unix.EPERM) {
		f, err = d.root.OpenFile(name, os.O_RDONLY, 0)
	}
	return d.file(f, name, err)
}

// OpenFile implements FS.
func (d *OS) OpenFile(name string, flag int) (File, error) {
	flag |= os.O_RDWR
	f, err := d.root.OpenFile(name, flag|unix.O_NOATIME, filePerm)
	if errors.Is(err, unix.EPERM) {
		f, err = d.root.OpenFile(name, flag, filePerm)
	}
	return d.file(f, name, err)
}

func (d *OS) file(f *os.File, name string, err error) (File, error) {
	if err != nil {
		return nil, d.named(err)
	}
	return &osFile{f: f, fd: int(f.Fd()), name: filepath.Join(d.path, name)}, nil
}

// named puts the whole path into the error of an os.Root call, which knows only
// the name below it.
func (d *OS) named(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return &fs.PathError{Op: pe.Op, Path: filepath.Join(d.path, pe.Path), Err: pe.Err}
	}
	var le *os.LinkError
	if errors.As(err, &le) {
		return &os.LinkError{Op: le.Op, Old: filepath.Join(d.path, le.Old), New: filepath.Join(d.path, le.New), Err: le.Err}
	}
	return err
}

// Mkdir implements FS.
func (d *OS) Mkdir(name string) error {
	if err := d.root.Mkdir(name, dirPerm); err != nil {
		return d.named(err)
	}
	return nil
}

// Rename implements FS.
func (d *OS) Rename(oldName, newName string) error {
	if err := d.root.Rename(oldName, newName); err != nil {
		return d.named(err)
	}
	return nil
}

// Remove implements FS.
func (d *OS) Remove(name string) error {
	if err := d.root.Remove(name); err != nil {
		return d.named(err)
	}
	return nil
}

// ReadDir implements FS.
func (d *OS) ReadDir(name string) ([]fs.DirEntry, error) {
	f, err := d.root.Open(name)
	if err != nil {
		return nil, d.named(err)
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	sort.Slice(entries, func(i, j int) bool { return entries[i].Name() < entries[j].Name() })
	return entries, err
}

// Stat implements FS.
func (d *OS) Stat(name string) (fs.FileInfo, error) {
	info, err := d.root.Stat(name)
	if err != nil {
		return nil, d.named(err)
	}
	return info, nil
}

// SyncDir implements FS.
func (d *OS) SyncDir(name string) error {
	f, err := d.root.Open(name)
	if err != nil {
		return d.named(err)
	}
	defer f.Close()
	if err := retryInterrupted(func() error { return unix.Fsync(int(f.Fd())) }); err != nil {
		return &fs.PathError{Op: "fsync", Path: filepath.Join(d.path, name), Err: err}
	}
	return nil
}

// Space implements FS.
func (d *OS) Space() (Space, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(d.path, &st); err != nil {
		return Space{}, &fs.PathError{Op: "statfs", Path: d.path, Err: err}
	}
	return Space{
		Total:     int64(st.Blocks) * st.Bsize,
		Available: int64(st.Bavail) * st.Bsize,
		Type:      fsTypeName(st.Type),
	}, nil
}

// fsTypeName names the file systems that logs are kept on; the magic numbers
// are those of statfs(2).
func fsTypeName(magic int64) string {
	switch magic {
	case unix.EXT4_SUPER_MAGIC:
		return "ext4"
	case unix.XFS_SUPER_MAGIC:
		return "xfs"
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs"
	case unix.F2FS_SUPER_MAGIC:
		return "f2fs"
	case unix.TMPFS_MAGIC:
		return "tmpfs"
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlayfs"
	case unix.NFS_SUPER_MAGIC:
		return "nfs"
	case unix.FUSE_SUPER_MAGIC:
		return "fuse"
	case 0x2fc12fc1: // ZFS_SUPER_MAGIC, not in the kernel's own headers
		return "zfs"
	}
	return fmt.Sprintf("%#x", uint64(magic))
}

// Lock implements FS.
func (d *OS) Lock(name string) (File, error) {
	f, err := d.OpenFile(name, os.O_CREATE)
	if err != nil {
		return nil, err
	}
	return locked(f)
}
