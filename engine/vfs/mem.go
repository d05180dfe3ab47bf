package vfs

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Mem is a directory tree in memory that knows what a power cut would leave of
// it: see [Mem.CrashClone]. Its files are memfds (memfd_create(2)), so that
// pread, sendfile and splice work on [File.OS] as on a disk's.
//
// It is stricter than any file system that logs are kept on: a file's bytes and
// size are durable by its Datasync, its name only by the SyncDir of its
// directory, and whatever is not durable may be there, be there in pieces, or
// not. Bytes that are written through File.OS and not through the File are
// counted as written when they make the file longer; where they overwrite they
// go unnoticed. There are no links.
//
// A file has one descriptor, from when it is first opened until it is removed
// and closed, and each open File has one more. Close gives back those of the
// files; the owner of an open File gives back that.
type Mem struct {
	path string

	mu       sync.Mutex // held during every call but reads
	root     *memNode
	order    uint64 // of the last change; counts them
	capacity int64
	used     int64 // size of all files that have a name or are open
	closed   bool
}

// memNode is a directory or a file: one of dir and file is not nil.
type memNode struct {
	dir      *memDir
	file     *memContent
	names    int // names that it has
	modified time.Time
}

// memDir is what a directory has and what the disk knows of that.
type memDir struct {
	entries map[string]*memNode
	synced  map[string]*memNode // at the last SyncDir
	changes []*memChange        // since then, in order
}

// memChange is a change of names: all of it reaches the disk or nothing.
type memChange struct {
	order   uint64
	durable bool // the sync of one of its directories is enough
	names   []memName
}

// memName is what a name means after a change; nothing if node is nil.
type memName struct {
	dir  *memNode
	name string
	node *memNode
}

// unbounded is the capacity of a Mem that was given none: 1 TiB, more than
// there is memory.
const unbounded = 1 << 40

// NewMem makes an empty tree, which is durable as such. path is its name for
// messages.
func NewMem(path string) *Mem {
	return &Mem{path: path, capacity: unbounded, root: newMemDir()}
}

func newMemDir() *memNode {
	return &memNode{
		dir:      &memDir{entries: map[string]*memNode{}, synced: map[string]*memNode{}},
		modified: time.Now(),
	}
}

// SetCapacity bounds the sum of the files' sizes: what would exceed it is
// ENOSPC, after the bytes that still fit, as on a disk. It may be less than what
// is used.
func (m *Mem) SetCapacity(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = bytes
}

// Path implements FS.
func (m *Mem) Path() string { return m.path }

// Space implements FS. Directories and names take no space.
func (m *Mem) Space() (Space, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Space{Total: m.capacity, Available: max(0, m.capacity-m.used), Type: "mem"}, nil
}

// Close implements FS. What the tree holds is gone but for open Files.
func (m *Mem) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return m.err("close", ".", fs.ErrClosed)
	}
	m.closed = true
	m.closeNode(m.root)
	return nil
}

func (m *Mem) closeNode(n *memNode) {
	if n.file != nil {
		n.file.closeMemfd()
		return
	}
	for _, child := range n.dir.entries {
		m.closeNode(child)
	}
}

func (m *Mem) err(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: filepath.Join(m.path, name), Err: err}
}

// find returns what name stands for. Under m.mu, as all that follows.
func (m *Mem) find(name string) (*memNode, error) {
	if m.closed {
		return nil, fs.ErrClosed
	}
	if !filepath.IsLocal(name) {
		return nil, fs.ErrInvalid
	}
	n := m.root
	for part := range strings.SplitSeq(path.Clean(name), "/") {
		switch {
		case part == ".":
		case n.dir == nil:
			return nil, unix.ENOTDIR
		case n.dir.entries[part] == nil:
			return nil, unix.ENOENT
		default:
			n = n.dir.entries[part]
		}
	}
	return n, nil
}

func (m *Mem) findDir(name string) (*memNode, error) {
	n, err := m.find(name)
	if err == nil && n.dir == nil {
		return nil, unix.ENOTDIR
	}
	return n, err
}

// place returns the directory that name is in, and its name there.
func (m *Mem) place(name string) (memName, error) {
	name = path.Clean(name)
	parent, err := m.findDir(path.Dir(name))
	if err != nil {
		return memName{}, err
	}
	if name == "." || !filepath.IsLocal(name) {
		return memName{}, fs.ErrInvalid
	}
	base := path.Base(name)
	return memName{parent, base, parent.dir.entries[base]}, nil
}

// change gives names another meaning.
func (m *Mem) change(names ...memName) {
	m.order++
	c := &memChange{order: m.order, names: names}
	for _, n := range names {
		dir := n.dir.dir
		before := dir.entries[n.name]
		if n.node == nil {
			delete(dir.entries, n.name)
		} else {
			dir.entries[n.name] = n.node
			m.link(n.node)
		}
		if before != nil {
			m.unlink(before)
		}
		if len(dir.changes) == 0 || dir.changes[len(dir.changes)-1] != c {
			dir.changes = append(dir.changes, c)
		}
		n.dir.modified = time.Now()
	}
}

// link counts one more name of n.
func (m *Mem) link(n *memNode) {
	if n.file != nil && n.names == 0 && len(n.file.files) == 0 {
		m.used += n.file.size
	}
	n.names++
}

func (m *Mem) unlink(n *memNode) {
	n.names--
	m.forget(n)
}

// forget gives back the space and the memfd of a file that nobody can reach. A
// power cut may still bring it back: what is needed for that is not in the memfd.
func (m *Mem) forget(n *memNode) {
	if n.file != nil && n.names == 0 && len(n.file.files) == 0 {
		m.used -= n.file.size
		n.file.closeMemfd()
	}
}

// Open implements FS.
func (m *Mem) Open(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find(name)
	if err == nil && n.dir != nil {
		err = unix.EISDIR // a directory has no memfd; see ReadDir
	}
	if err != nil {
		return nil, m.err("openat", name, err)
	}
	return m.openNode(n, name, os.O_RDONLY)
}

// OpenFile implements FS.
func (m *Mem) OpenFile(name string, flag int) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.findOrCreate(name, flag)
	if err != nil {
		return nil, m.err("openat", name, err)
	}
	f, err := m.openNode(n, name, os.O_RDWR)
	if err == nil && flag&os.O_TRUNC != 0 {
		err = f.truncate(0)
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (m *Mem) findOrCreate(name string, flag int) (*memNode, error) {
	at, err := m.place(name)
	switch {
	case err != nil:
		return nil, err
	case at.node == nil && flag&os.O_CREATE == 0:
		return nil, unix.ENOENT
	case at.node != nil && flag&os.O_EXCL != 0:
		return nil, unix.EEXIST
	case at.node == nil:
		at.node = &memNode{file: new(memContent), modified: time.Now()}
		m.change(at)
	case at.node.dir != nil:
		return nil, unix.EISDIR
	}
	return at.node, nil
}

// Lock implements FS.
func (m *Mem) Lock(name string) (File, error) {
	f, err := m.OpenFile(name, os.O_CREATE)
	if err != nil {
		return nil, err
	}
	return locked(f)
}

// Mkdir implements FS.
func (m *Mem) Mkdir(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, err := m.place(name)
	if err == nil && at.node != nil {
		err = unix.EEXIST
	}
	if err != nil {
		return m.err("mkdirat", name, err)
	}
	at.node = newMemDir()
	m.change(at)
	return nil
}

// Rename implements FS.
func (m *Mem) Rename(oldName, newName string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	from, to, err := m.renamed(oldName, newName)
	if err != nil {
		return &os.LinkError{Op: "renameat", Old: filepath.Join(m.path, oldName), New: filepath.Join(m.path, newName), Err: err}
	}
	if from.node == to.node {
		return nil
	}
	to.node, from.node = from.node, nil
	m.change(to, from)
	return nil
}

// renamed returns the places of a rename, or why it is not possible.
func (m *Mem) renamed(oldName, newName string) (from, to memName, err error) {
	if from, err = m.place(oldName); err != nil {
		return from, to, err
	}
	if to, err = m.place(newName); err != nil {
		return from, to, err
	}
	replaces := to.node != nil && to.node != from.node
	switch {
	case from.node == nil:
		err = unix.ENOENT
	case replaces && to.node.dir != nil:
		err = unix.EEXIST // also an empty one: os.Rename asks before the kernel does
	case strings.HasPrefix(path.Clean(newName), path.Clean(oldName)+"/"):
		err = unix.EINVAL
	case replaces && from.node.dir != nil:
		err = unix.ENOTDIR
	}
	return from, to, err
}

// Remove implements FS.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, err := m.place(name)
	switch {
	case err != nil:
	case at.node == nil:
		err = unix.ENOENT
	case at.node.dir != nil && len(at.node.dir.entries) > 0:
		err = unix.ENOTEMPTY
	}
	if err != nil {
		return m.err("unlinkat", name, err)
	}
	at.node = nil
	m.change(at)
	return nil
}

// SyncDir implements FS. What a change did in other directories is durable too:
// a rename is one transaction of the journal of any file system.
func (m *Mem) SyncDir(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.findDir(name)
	if err != nil {
		return m.err("fsync", name, err)
	}
	n.dir.sync()
	return nil
}

// loseNames is loseUnsynced of a memFile for a directory's entries.
func (m *Mem) loseNames(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n, err := m.findDir(name); err == nil {
		n.dir.changes = nil
	}
}

func (d *memDir) sync() {
	for _, c := range d.changes {
		c.durable = true
		c.apply(d, d.synced)
	}
	d.changes = nil
}

// apply makes of the entries of d what the change makes of them.
func (c *memChange) apply(d *memDir, entries map[string]*memNode) {
	for _, n := range c.names {
		switch {
		case n.dir.dir != d:
		case n.node == nil:
			delete(entries, n.name)
		default:
			entries[n.name] = n.node
		}
	}
}

// Stat implements FS.
func (m *Mem) Stat(name string) (fs.FileInfo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find(name)
	if err != nil {
		return nil, m.err("statat", name, err)
	}
	return m.info(n, path.Base(path.Clean(name))), nil
}

// ReadDir implements FS.
func (m *Mem) ReadDir(name string) ([]fs.DirEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.findDir(name)
	if err != nil {
		return nil, m.err("openat", name, err)
	}
	entries := make([]fs.DirEntry, 0, len(n.dir.entries))
	for _, name := range sortedNames(n.dir.entries) {
		entries = append(entries, fs.FileInfoToDirEntry(m.info(n.dir.entries[name], name)))
	}
	return entries, nil
}

func sortedNames(entries map[string]*memNode) []string {
	names := make([]string, 0, len(entries))
	for name := range entries {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// info describes a node as it is now.
func (m *Mem) info(n *memNode, name string) memInfo {
	info := memInfo{name: name, mode: filePerm, modified: n.modified}
	if n.dir != nil {
		info.mode = fs.ModeDir | dirPerm
		return info
	}
	m.notice(n.file)
	info.size = n.file.size
	return info
}

// memInfo is a fs.FileInfo.
type memInfo struct {
	name     string
	size     int64
	mode     fs.FileMode
	modified time.Time
}

func (i memInfo) Name() string       { return i.name }
func (i memInfo) Size() int64        { return i.size }
func (i memInfo) Mode() fs.FileMode  { return i.mode }
func (i memInfo) ModTime() time.Time { return i.modified }
func (i memInfo) IsDir() bool        { return i.mode.IsDir() }
func (i memInfo) Sys() any           { return nil }
