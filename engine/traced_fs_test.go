package engine

import (
	"os"
	"path"
	"strings"
	"sync"
	"testing"

	"github.com/rollway/rollway/engine/vfs"
)

// call is one call of the file system, or of one of its files.
type call struct {
	// op is "open", "create", "read", "write", "truncate", "datasync", "close",
	// "rename", "remove", "mkdir", "readdir" or "syncdir".
	op string
	// name is the path below the data directory, of a rename the new one.
	name  string
	at    int64
	bytes int64
	dirty bool // of a close: this description wrote bytes that it did not sync
}

func (c call) String() string { return c.op + " " + c.name }

// is tells that the call is op on a file whose name ends in suffix.
func (c call) is(op, suffix string) bool { return c.op == op && strings.HasSuffix(c.name, suffix) }

// isLog tells that the call is op on a segment, not on the metadata log.
func (c call) isLog(op string) bool { return c.is(op, ".log") && strings.Contains(c.name, "/") }

// tracedFS is a file system that records its calls, knows which bytes would
// survive a power cut, and fails on demand.
type tracedFS struct {
	vfs.FS
	noSync bool // syncs only pretend; set before use

	mu     sync.Mutex
	before func(call) error
	// changed is told of files that were opened and will be closed, under mu.
	changed func(call)
	calls   []call
	open    map[string]int // open files by name
	// synced and named are what a power cut leaves: the first bytes of a file,
	// if its name is durable too.
	size, synced map[string]int64
	named        map[string]bool
}

// traceDir returns the traced file system of dir; all that it holds is durable.
func traceDir(t testing.TB, dir string) *tracedFS {
	t.Helper()
	under, err := vfs.OpenOS(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { under.Close() })
	return traceFS(under)
}

// traceFS is traceDir for any file system.
func traceFS(under vfs.FS) *tracedFS {
	return &tracedFS{
		FS: under, open: map[string]int{},
		size: map[string]int64{}, synced: map[string]int64{}, named: map[string]bool{},
	}
}

// hook has f asked before each call from now on; its error is that of the call.
// A write that fails has written its first half. f may block and may be called
// concurrently; nil ends it.
func (d *tracedFS) hook(f func(call) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.before = f
}

// reset forgets the calls.
func (d *tracedFS) reset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls = nil
}

// find returns the successful calls of op on files whose names end in suffix.
func (d *tracedFS) find(op, suffix string) []call {
	d.mu.Lock()
	defer d.mu.Unlock()
	var found []call
	for _, c := range d.calls {
		if c.is(op, suffix) {
			found = append(found, c)
		}
	}
	return found
}

// bytesRead sums what was read from files whose names end in suffix.
func (d *tracedFS) bytesRead(suffix string) (bytes int64) {
	for _, c := range d.find("read", suffix) {
		bytes += c.bytes
	}
	return bytes
}

// durable is how many bytes of a file a power cut leaves for certain.
func (d *tracedFS) durable(name string) int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.named[name] {
		return 0
	}
	return d.synced[name]
}

// leaked lists the files that are still open.
func (d *tracedFS) leaked() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	for name, n := range d.open {
		if n > 0 {
			names = append(names, name)
		}
	}
	return names
}

// do runs a call with the hook before it and note, if it succeeds, after it.
func (d *tracedFS) do(c call, run func() error, note func()) error {
	d.mu.Lock()
	before := d.before
	d.mu.Unlock()
	if before != nil {
		if err := before(c); err != nil {
			return err
		}
	}
	if err := run(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls = append(d.calls, c)
	if note != nil {
		note()
	}
	return nil
}

func (d *tracedFS) opened(op, name string, open func() (vfs.File, error)) (vfs.File, error) {
	traced := &tracedFile{fs: d, name: name}
	err := d.do(call{op: op, name: name}, func() (err error) {
		traced.File, err = open()
		return err
	}, func() {
		d.open[name]++
		size, _ := traced.File.Size()
		if _, known := d.size[name]; !known && op == "open" {
			d.synced[name], d.named[name] = size, true
		}
		d.size[name] = size
		d.synced[name] = min(d.synced[name], size)
		if d.changed != nil {
			d.changed(call{op: op, name: name})
		}
	})
	if err != nil {
		return nil, err
	}
	return traced, nil
}

func (d *tracedFS) Open(name string) (vfs.File, error) {
	return d.opened("open", name, func() (vfs.File, error) { return d.FS.Open(name) })
}

func (d *tracedFS) OpenFile(name string, flag int) (vfs.File, error) {
	op := "open"
	if flag&(os.O_CREATE|os.O_TRUNC) != 0 {
		op = "create"
	}
	return d.opened(op, name, func() (vfs.File, error) { return d.FS.OpenFile(name, flag) })
}

func (d *tracedFS) Mkdir(name string) error {
	return d.do(call{op: "mkdir", name: name}, func() error { return d.FS.Mkdir(name) }, nil)
}

func (d *tracedFS) ReadDir(name string) (entries []os.DirEntry, err error) {
	err = d.do(call{op: "readdir", name: name}, func() error {
		entries, err = d.FS.ReadDir(name)
		return err
	}, nil)
	return entries, err
}

func (d *tracedFS) Rename(oldName, newName string) error {
	return d.do(call{op: "rename", name: newName}, func() error { return d.FS.Rename(oldName, newName) }, func() {
		d.size[newName], d.synced[newName] = d.size[oldName], d.synced[oldName]
		d.named[newName] = false
	})
}

func (d *tracedFS) Remove(name string) error {
	return d.do(call{op: "remove", name: name}, func() error { return d.FS.Remove(name) }, func() {
		delete(d.size, name)
		delete(d.synced, name)
		delete(d.named, name)
	})
}

func (d *tracedFS) SyncDir(name string) error {
	return d.do(call{op: "syncdir", name: name}, func() error {
		if d.noSync {
			return nil
		}
		return d.FS.SyncDir(name)
	}, func() {
		for file := range d.size {
			if path.Dir(file) == path.Clean(name) {
				d.named[file] = true
			}
		}
	})
}

type tracedFile struct {
	vfs.File
	fs   *tracedFS
	name string
	// wrote counts the writes through this description, synced those before its
	// last sync. Under fs.mu.
	wrote, synced int
}

func (f *tracedFile) ReadAt(p []byte, off int64) (n int, err error) {
	c := call{op: "read", name: f.name, at: off, bytes: int64(len(p))}
	return n, f.fs.do(c, func() error {
		n, err = f.File.ReadAt(p, off)
		return err
	}, nil)
}

func (f *tracedFile) WriteAt(off int64, bufs ...[]byte) (n int64, err error) {
	c := call{op: "write", name: f.name, at: off}
	for _, b := range bufs {
		c.bytes += int64(len(b))
	}
	half := bufs[0][:len(bufs[0])/2]
	ran := false
	err = f.fs.do(c, func() error {
		ran = true
		n, err = f.File.WriteAt(off, bufs...)
		return err
	}, func() {
		f.fs.size[f.name] = max(f.fs.size[f.name], off+c.bytes)
		f.wrote++
	})
	if !ran {
		n, _ = f.File.WriteAt(off, half)
	}
	return n, err
}

func (f *tracedFile) Truncate(size int64) error {
	return f.fs.do(call{op: "truncate", name: f.name, at: size}, func() error { return f.File.Truncate(size) }, func() {
		f.fs.size[f.name] = size
		f.fs.synced[f.name] = min(f.fs.synced[f.name], size)
	})
}

// Datasync makes durable what was written before it began.
func (f *tracedFile) Datasync() error {
	var size int64
	var wrote int
	return f.fs.do(call{op: "datasync", name: f.name}, func() error {
		f.fs.mu.Lock()
		size, wrote = f.fs.size[f.name], f.wrote
		f.fs.mu.Unlock()
		if f.fs.noSync {
			return nil
		}
		return f.File.Datasync()
	}, func() {
		f.fs.synced[f.name] = max(f.fs.synced[f.name], size)
		f.synced = max(f.synced, wrote)
	})
}

func (f *tracedFile) Close() error {
	c := call{op: "close", name: f.name}
	return f.fs.do(c, func() error {
		f.fs.mu.Lock()
		c.dirty = f.synced < f.wrote
		if f.fs.changed != nil {
			f.fs.changed(c)
		}
		f.fs.mu.Unlock()
		return f.File.Close()
	}, func() { f.fs.open[f.name]-- })
}
