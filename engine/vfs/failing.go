package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// Op is a kind of call of an FS or a File. Its value is for messages.
type Op string

// The kinds of calls. OpAny stands for all of them in a Fault.
const (
	OpAny       Op = ""
	OpOpen      Op = "open"   // Open, and OpenFile without O_CREATE and O_TRUNC
	OpCreate    Op = "create" // OpenFile with one of them
	OpLock      Op = "lock"
	OpMkdir     Op = "mkdir"
	OpRename    Op = "rename"
	OpRemove    Op = "remove"
	OpReadDir   Op = "readdir"
	OpStat      Op = "stat" // Stat and Size
	OpSyncDir   Op = "syncdir"
	OpSpace     Op = "space"
	OpRead      Op = "read"
	OpWrite     Op = "write"
	OpTruncate  Op = "truncate"
	OpDatasync  Op = "datasync"
	OpWriteback Op = "writeback" // StartWriteback
	OpClose     Op = "close"     // of a File
)

// Fault says which calls of a Failing go wrong and how.
type Fault struct {
	// Op is the kind of call; OpAny: any.
	Op Op
	// Suffix is the end of the name that the call is about, the new one of a
	// rename; "": any.
	Suffix string
	// N is the number of the first such call that fails, counted from Arm on; at
	// least 1.
	N int64
	// Err is the errno, which the caller gets in a *fs.PathError. nil is for a
	// short write: io.ErrShortWrite.
	Err error
	// Short is how many bytes of a failing write are written nevertheless, but not
	// all: a write that wrote everything does not fail.
	Short int64
	// Stay has every such call fail from the Nth on; otherwise it is only that one.
	Stay bool
}

// Failing is an FS that does what another one does, counts its calls, and has
// chosen ones fail. A test sweeps a fault over all places by running once to
// count and then once for each N up to that.
//
// A call that fails does nothing, with three exceptions. A write may be short. A
// close closes, as close(2) does. And a failing Datasync or SyncDir loses what it
// was to make durable, if the tree is a [Mem]: the bytes and names can be read
// as before, but no later sync makes them durable. That is what the kernel does
// when write-back fails, and what makes trying again a mistake.
//
// The kernel's own calls on File.OS, such as sendfile, are not seen.
type Failing struct {
	fs FS

	mu      sync.Mutex
	counts  map[Op]int64
	fault   Fault
	matched int64 // calls that fault is about, since it was armed
	failed  int64
}

// NewFailing wraps fs, whose owner stays the caller: Close closes it.
func NewFailing(fs FS) *Failing {
	return &Failing{fs: fs, counts: map[Op]int64{}}
}

// Arm sets the fault, in place of an earlier one. Its calls are counted from now
// on.
func (d *Failing) Arm(fault Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault, d.matched = fault, 0
}

// Disarm lets all calls through again.
func (d *Failing) Disarm() { d.Arm(Fault{}) }

// Count returns how many calls of that kind there were, failed ones included;
// of OpAny: all.
func (d *Failing) Count(op Op) int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.counts[op]
}

// Failed returns how many calls have failed by faults.
func (d *Failing) Failed() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failed
}

// call counts a call and returns the fault that it meets, or nil.
func (d *Failing) call(op Op, name string) *Fault {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counts[op]++
	d.counts[OpAny]++
	f := d.fault
	if f.N == 0 || f.Op != OpAny && f.Op != op || !strings.HasSuffix(name, f.Suffix) {
		return nil
	}
	d.matched++
	if d.matched < f.N || d.matched > f.N && !f.Stay {
		return nil
	}
	d.failed++
	return &f
}

// fails is call for calls that succeed or do nothing.
func (d *Failing) fails(op Op, name string) error {
	if f := d.call(op, name); f != nil {
		return f.error(op, filepath.Join(d.fs.Path(), name))
	}
	return nil
}

func (f *Fault) error(op Op, path string) error {
	if f.Err == nil {
		return &fs.PathError{Op: string(op), Path: path, Err: io.ErrShortWrite}
	}
	return &fs.PathError{Op: string(op), Path: path, Err: f.Err}
}

// Path implements FS.
func (d *Failing) Path() string { return d.fs.Path() }

// Close implements FS. It never fails by a fault.
func (d *Failing) Close() error { return d.fs.Close() }

// Open implements FS.
func (d *Failing) Open(name string) (File, error) {
	return d.open(OpOpen, name, func() (File, error) { return d.fs.Open(name) })
}

// OpenFile implements FS.
func (d *Failing) OpenFile(name string, flag int) (File, error) {
	op := OpOpen
	if flag&(os.O_CREATE|os.O_TRUNC) != 0 {
		op = OpCreate
	}
	return d.open(op, name, func() (File, error) { return d.fs.OpenFile(name, flag) })
}

// Lock implements FS.
func (d *Failing) Lock(name string) (File, error) {
	return d.open(OpLock, name, func() (File, error) { return d.fs.Lock(name) })
}

func (d *Failing) open(op Op, name string, open func() (File, error)) (File, error) {
	if err := d.fails(op, name); err != nil {
		return nil, err
	}
	f, err := open()
	if err != nil {
		return nil, err
	}
	return &failingFile{File: f, fs: d, name: name}, nil
}

// Mkdir implements FS.
func (d *Failing) Mkdir(name string) error {
	if err := d.fails(OpMkdir, name); err != nil {
		return err
	}
	return d.fs.Mkdir(name)
}

// Rename implements FS.
func (d *Failing) Rename(oldName, newName string) error {
	if err := d.fails(OpRename, newName); err != nil {
		return err
	}
	return d.fs.Rename(oldName, newName)
}

// Remove implements FS.
func (d *Failing) Remove(name string) error {
	if err := d.fails(OpRemove, name); err != nil {
		return err
	}
	return d.fs.Remove(name)
}

// ReadDir implements FS.
func (d *Failing) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := d.fails(OpReadDir, name); err != nil {
		return nil, err
	}
	return d.fs.ReadDir(name)
}

// Stat implements FS.
func (d *Failing) Stat(name string) (fs.FileInfo, error) {
	if err := d.fails(OpStat, name); err != nil {
		return nil, err
	}
	return d.fs.Stat(name)
}

// SyncDir implements FS.
func (d *Failing) SyncDir(name string) error {
	if err := d.fails(OpSyncDir, name); err != nil {
		if mem, ok := d.fs.(interface{ loseNames(dir string) }); ok {
			mem.loseNames(name)
		}
		return err
	}
	return d.fs.SyncDir(name)
}

// Space implements FS.
func (d *Failing) Space() (Space, error) {
	if err := d.fails(OpSpace, "."); err != nil {
		return Space{}, err
	}
	return d.fs.Space()
}

// failingFile is an open file of a Failing.
type failingFile struct {
	File
	fs   *Failing
	name string
}

// Size implements File.
func (f *failingFile) Size() (int64, error) {
	if err := f.fs.fails(OpStat, f.name); err != nil {
		return 0, err
	}
	return f.File.Size()
}

// ReadAt implements File.
func (f *failingFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.fs.fails(OpRead, f.name); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

// WriteAt implements File.
func (f *failingFile) WriteAt(off int64, bufs ...[]byte) (int64, error) {
	fault := f.fs.call(OpWrite, f.name)
	if fault == nil {
		return f.File.WriteAt(off, bufs...)
	}
	length := int64(0)
	for _, b := range bufs {
		length += int64(len(b))
	}
	n, err := f.File.WriteAt(off, leading(bufs, max(0, min(fault.Short, length-1)))...)
	if err != nil {
		return n, err
	}
	return n, fault.error(OpWrite, f.File.Name())
}

// leading returns the first n bytes of bufs.
func leading(bufs [][]byte, n int64) [][]byte {
	var first [][]byte
	for _, b := range bufs {
		b = b[:min(int64(len(b)), n)]
		n -= int64(len(b))
		first = append(first, b)
	}
	return first
}

// Truncate implements File.
func (f *failingFile) Truncate(size int64) error {
	if err := f.fs.fails(OpTruncate, f.name); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

// Datasync implements File.
func (f *failingFile) Datasync() error {
	if err := f.fs.fails(OpDatasync, f.name); err != nil {
		if mem, ok := f.File.(interface{ loseUnsynced() }); ok {
			mem.loseUnsynced()
		}
		return err
	}
	return f.File.Datasync()
}

// StartWriteback implements File.
func (f *failingFile) StartWriteback(off, length int64) error {
	if err := f.fs.fails(OpWriteback, f.name); err != nil {
		return err
	}
	return f.File.StartWriteback(off, length)
}

// Close implements File.
func (f *failingFile) Close() error {
	return errors.Join(f.fs.fails(OpClose, f.name), f.File.Close())
}
