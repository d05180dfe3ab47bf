package vfs

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// memContent is the content of a file and what the disk would have of it.
type memContent struct {
	// memfd holds the content from when the file is first opened; until then
	// that is image.
	memfd *os.File
	image []byte
	size  int64
	files map[*memFile]bool // open; true: the next Datasync reports a lost write

	disk   []byte     // what is durable; only ever grown or replaced
	writes []memWrite // since the last Datasync, in order
}

// memWrite is a write of data at a position, or with cut a truncation to it.
type memWrite struct {
	order uint64
	at    int64
	data  []byte
	cut   bool
}

// end is how long a file of that size is after the write.
func (w *memWrite) end(size int64) int64 {
	if w.cut {
		return w.at
	}
	return max(size, w.at+int64(len(w.data)))
}

// memFile is an open file of a Mem: osFile on a description of its own, beside
// which it is written down what changes.
type memFile struct {
	osFile
	mem  *Mem
	node *memNode
}

// openNode opens a file. Under m.mu.
func (m *Mem) openNode(n *memNode, name string, flag int) (*memFile, error) {
	if err := n.file.fill(name); err != nil {
		return nil, m.err("memfd_create", name, err)
	}
	// The name below /proc gives a description of its own, memfd_create(2), with
	// its own access mode and its own locks.
	fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", n.file.memfd.Fd()), flag|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, m.err("openat", name, err)
	}
	whole := filepath.Join(m.path, name)
	f := &memFile{osFile{f: os.NewFile(uintptr(fd), whole), fd: fd, name: whole}, m, n}
	if n.file.files == nil {
		n.file.files = map[*memFile]bool{}
	}
	n.file.files[f] = false
	return f, nil
}

// fill makes the memfd if there is none yet.
func (c *memContent) fill(name string) error {
	if c.memfd != nil {
		return nil
	}
	// The name is shown in /proc/*/maps and may be 249 bytes long.
	fd, err := unix.MemfdCreate(filepath.Base(name)[:min(len(filepath.Base(name)), 200)], unix.MFD_CLOEXEC)
	if err != nil {
		return err
	}
	memfd := os.NewFile(uintptr(fd), name)
	if _, err := memfd.WriteAt(c.image, 0); err != nil {
		memfd.Close()
		return err
	}
	c.memfd, c.image = memfd, nil
	return nil
}

func (c *memContent) closeMemfd() {
	if c.memfd != nil {
		c.memfd.Close()
		c.memfd = nil
	}
}

// notice counts bytes as written that came to the end of a file past its File,
// such as by splice. Under m.mu.
func (m *Mem) notice(c *memContent) {
	if c.memfd == nil {
		return
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(c.memfd.Fd()), &st); err != nil || st.Size <= c.size {
		return
	}
	data := make([]byte, st.Size-c.size)
	if n, err := c.memfd.ReadAt(data, c.size); err == nil || err == io.EOF {
		m.write(c, memWrite{at: c.size, data: data[:n]})
	}
}

// write writes down a change of a file. Under m.mu.
func (m *Mem) write(c *memContent, w memWrite) {
	m.order++
	w.order = m.order
	c.writes = append(c.writes, w)
	size := w.end(c.size)
	m.used += size - c.size
	c.size = size
}

// content copies what programs read.
func (c *memContent) content() []byte {
	if c.memfd == nil {
		return slices.Clone(c.image)
	}
	content := make([]byte, c.size)
	n, _ := c.memfd.ReadAt(content, 0) // a memfd has no read errors
	return content[:n]
}

// sync makes durable what was written.
func (c *memContent) sync() {
	for i := range c.writes {
		w := &c.writes[i]
		c.disk = resized(c.disk, w.end(int64(len(c.disk))))
		copy(c.disk[min(w.at, int64(len(c.disk))):], w.data)
	}
	c.writes = nil
}

// resized cuts b, or appends zeros.
func resized(b []byte, size int64) []byte {
	if more := size - int64(len(b)); more > 0 {
		return append(b, make([]byte, more)...)
	}
	return b[:size]
}

// WriteAt implements File.
func (f *memFile) WriteAt(off int64, bufs ...[]byte) (int64, error) {
	data := slices.Concat(bufs...)
	if len(data) == 0 {
		return 0, nil
	}
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	c := f.node.file
	f.mem.notice(c)
	fits := min(int64(len(data)), max(0, c.size+max(0, f.mem.capacity-f.mem.used)-off))
	n, err := f.osFile.WriteAt(off, data[:fits])
	if n > 0 {
		f.changed(memWrite{at: off, data: data[:n]})
	}
	if err == nil && n < int64(len(data)) {
		err = f.err("pwritev", unix.ENOSPC)
	}
	return n, err
}

// changed writes down what was written through f. Under f.mem.mu.
func (f *memFile) changed(w memWrite) {
	f.mem.write(f.node.file, w)
	f.node.modified = time.Now()
}

// Truncate implements File.
func (f *memFile) Truncate(size int64) error {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	return f.truncate(size)
}

// truncate is Truncate under f.mem.mu.
func (f *memFile) truncate(size int64) error {
	c := f.node.file
	f.mem.notice(c)
	if size-c.size > max(0, f.mem.capacity-f.mem.used) {
		return f.err("ftruncate", unix.ENOSPC)
	}
	if err := f.osFile.Truncate(size); err != nil {
		return err
	}
	if size != c.size {
		f.changed(memWrite{at: size, cut: true})
	}
	return nil
}

// Datasync implements File.
func (f *memFile) Datasync() error {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	c := f.node.file
	f.mem.notice(c)
	c.sync()
	if c.files[f] {
		c.files[f] = false
		return f.err("fdatasync", unix.EIO)
	}
	return nil
}

// StartWriteback implements File: nothing, for it is no durability.
func (f *memFile) StartWriteback(int64, int64) error { return nil }

// FailWriteback has the kernel's own write-back of a file go wrong, as it may at
// any time before a sync: what was not durable is lost, although it can still be
// read, and no later sync writes it. If there was anything, each File that is open
// now is told once, by its next Datasync, which is EIO; one that is opened later
// never is. So whoever closes a file that it has not synced may not hear of it.
func (m *Mem) FailWriteback(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find(name)
	if err == nil && n.file == nil {
		err = unix.EISDIR
	}
	if err != nil {
		return m.err("write back", name, err)
	}
	m.notice(n.file)
	if len(n.file.writes) == 0 {
		return nil
	}
	n.file.writes = nil
	for f := range n.file.files {
		n.file.files[f] = true
	}
	return nil
}

// loseUnsynced is what a kernel does when a sync has failed: programs still read
// what was written, but it is marked as clean and no later sync writes it.
func (f *memFile) loseUnsynced() {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	f.mem.notice(f.node.file)
	f.node.file.writes = nil
}

// Close implements File.
func (f *memFile) Close() error {
	if err := f.osFile.Close(); err != nil {
		return err
	}
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	delete(f.node.file.files, f)
	f.mem.forget(f.node)
	return nil
}
