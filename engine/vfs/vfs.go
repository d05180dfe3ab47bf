package vfs

import (
	"io/fs"
	"os"
)

// FS is one directory tree. All methods may be called concurrently; all may
// block on the disk. Errors are *fs.PathError or *os.LinkError around the
// errno, with the path as the operator knows it.
type FS interface {
	// Path is the directory's name for messages.
	Path() string
	// Open opens name for reading, without updating its access time where the
	// kernel allows that.
	Open(name string) (File, error)
	// OpenFile opens name for reading and writing. flag adds os.O_CREATE,
	// os.O_EXCL or os.O_TRUNC.
	OpenFile(name string, flag int) (File, error)
	// Mkdir makes one directory. Its parent must exist.
	Mkdir(name string) error
	// Rename replaces newName atomically.
	Rename(oldName, newName string) error
	// Remove removes a file or an empty directory.
	Remove(name string) error
	// ReadDir lists a directory ("." is the root), sorted by name.
	ReadDir(name string) ([]fs.DirEntry, error)
	// Stat follows symbolic links inside the tree.
	Stat(name string) (fs.FileInfo, error)
	// SyncDir makes the directory's entries durable.
	SyncDir(name string) error
	// Space reports the file system that holds the tree.
	Space() (Space, error)
	// Lock takes an exclusive lock on the file name, creating it if missing,
	// until the returned File is closed or the process ends. It does not wait:
	// ErrLocked if another open file description holds it.
	Lock(name string) (File, error)
	// Close releases the directory itself; open Files stay valid.
	Close() error
}

// File is one open file. ReadAt, Size, Datasync and StartWriteback may be
// called concurrently with each other and with one writer.
type File interface {
	// Name is the path for messages.
	Name() string
	// OS is the file itself, for zero-copy. The caller must keep the File (or
	// this *os.File) reachable while the kernel works on its descriptor.
	OS() *os.File
	Size() (int64, error)
	// ReadAt is pread(2): it reads len(p) bytes or returns an error; io.EOF
	// when the file ends first.
	ReadAt(p []byte, off int64) (int, error)
	// WriteAt is pwritev(2): it writes all of bufs at off, in order, and
	// returns how many bytes reached the page cache, also on error. bufs and
	// the slices in it are consumed.
	WriteAt(off int64, bufs ...[]byte) (int64, error)
	Truncate(size int64) error
	// Datasync is fdatasync(2): data and size are durable when it returns nil.
	// After an error it must not be called again: the kernel has dropped the
	// pages and would answer nil.
	Datasync() error
	// StartWriteback is sync_file_range(2) with SYNC_FILE_RANGE_WRITE only: it
	// spreads the work of a later Datasync and is no durability by itself.
	StartWriteback(off, length int64) error
	Close() error
}

// Space is what statfs(2) tells of a file system, in bytes.
type Space struct {
	Total int64
	// Available is what an unprivileged user may still write.
	Available int64
	// Type is the kernel's name for the file system, "0x..." when unknown.
	Type string
}
