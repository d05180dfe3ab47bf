package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"

	"github.com/rollway/rollway/engine/vfs"
)

// indexBlockEntries is how many entries share one fence: a lookup costs a
// binary search in memory and one read of a block (4 KiB of offset index, 6 of
// time index), whatever the size of the index.
const indexBlockEntries = 512

// indexEntry is what OffsetIndex and TimeIndex differ in.
type indexEntry[E any] interface {
	// width is the size of an entry in the file, in bytes.
	width() int
	marshal(dst []byte)
	unmarshal(src []byte) E
	// follows names the check that fails if the entry may not stand behind
	// prev, or is "".
	follows(prev E) string
	// namesBatch tells that the entry is about one batch, whose base offset is
	// worth remembering.
	namesBatch() bool
}

// sparseIndex is a file of fixed-size entries in rising order plus a tail of
// entries that are not in the file yet. The file has no checksum and can be
// rebuilt from the log, so writing it is put off: entries reach it a block at a
// time, at a checkpoint and when the segment is sealed.
//
// There is one writer at a time, under the partition's mutex; lookups run
// beside it and take no lock.
type sparseIndex[E indexEntry[E]] struct {
	name  string
	cache *indexCache

	// view is nil until load or reset.
	view atomic.Pointer[indexView[E]]

	file descriptor // used while dirty

	mu      sync.Mutex
	created bool // the file's name is not durable yet
	dirty   bool // the file holds bytes that are not durable yet
}

// indexView is what readers see. It is immutable; the arrays behind fences and
// tail may grow beyond its lengths.
type indexView[E indexEntry[E]] struct {
	id        uint64 // of the entries in the file: views that differ in one have different ids
	persisted int    // entries in the file
	fences    []E    // every indexBlockEntries-th of them, from the first
	tail      []E    // the entries behind them
	last      E      // the last of all; zero when there are none
}

func newIndexView[E indexEntry[E]]() *indexView[E] {
	return &indexView[E]{id: indexViews.Add(1)}
}

func (v *indexView[E]) count() int { return v.persisted + len(v.tail) }

// load reads the file, which may be missing, and checks every entry: that it
// follows the one before, and by accept what only the segment knows. A failed
// check is a *CorruptionError that names it, and leaves the index unloaded.
func (x *sparseIndex[E]) load(accept func(E) string) error {
	file, err := x.open()
	if errors.Is(err, fs.ErrNotExist) {
		x.view.Store(newIndexView[E]())
		return nil
	}
	if err != nil {
		return err
	}
	defer x.file.done()
	size, err := file.Size()
	if err != nil {
		return err
	}
	view := newIndexView[E]()
	width := int64(view.last.width())
	if size%width != 0 {
		return x.corrupt(size/width*width, fmt.Errorf("file of %d bytes, want a multiple of %d", size, width))
	}
	block := make([]byte, indexBlockEntries*width)
	for at := int64(0); at < size; at += int64(len(block)) {
		block = block[:min(int64(len(block)), size-at)]
		if _, err := file.ReadAt(block, at); err != nil {
			return err
		}
		if failed := view.take(block, accept); failed != nil {
			return x.corrupt(int64(view.persisted)*width, failed)
		}
	}
	x.view.Store(view)
	return nil
}

// take appends the entries of the file's next block to the view.
func (v *indexView[E]) take(block []byte, accept func(E) string) error {
	for ; len(block) > 0; block = block[v.last.width():] {
		e := v.last.unmarshal(block)
		failed := ""
		if v.persisted > 0 {
			failed = e.follows(v.last)
		}
		if failed == "" {
			failed = accept(e)
		}
		if failed != "" {
			return fmt.Errorf("entry %d %+v: %s", v.persisted, e, failed)
		}
		v.push(e)
	}
	return nil
}

// push counts e, the next entry, among those in the file.
func (v *indexView[E]) push(e E) {
	if v.persisted%indexBlockEntries == 0 {
		v.fences = append(v.fences, e)
	}
	v.persisted++
	v.last = e
}

func (x *sparseIndex[E]) corrupt(at int64, err error) error {
	return &CorruptionError{Path: x.name, Offset: -1, Position: Position(at), Err: err}
}

// open returns the file. The caller ends with x.file.done what it began by this,
// unless there is an error.
func (x *sparseIndex[E]) open() (vfs.File, error) { return x.openAs(0, false) }

// openToWrite is open for who may take the writers' reserve; flag adds os.O_CREATE.
func (x *sparseIndex[E]) openToWrite(flag int) (vfs.File, error) { return x.openAs(flag, true) }

func (x *sparseIndex[E]) openAs(flag int, writer bool) (vfs.File, error) {
	x.file.useMore()
	f, err := x.file.open(x.name, flag, writer)
	if err != nil {
		x.file.done()
		return nil, err
	}
	if flag&os.O_CREATE != 0 {
		x.mu.Lock()
		x.created = true
		x.mu.Unlock()
	}
	return f, nil
}

// add appends an entry. Writer only.
func (x *sparseIndex[E]) add(e E) {
	v := *x.view.Load()
	v.tail = append(v.tail, e)
	v.last = e
	x.view.Store(&v)
}

// last returns the last entry.
func (x *sparseIndex[E]) last() (e E, ok bool) {
	v := x.view.Load()
	return v.last, v.count() > 0
}

// sizeBytes is the size that the file has once everything is persisted.
func (x *sparseIndex[E]) sizeBytes() int64 {
	v := x.view.Load()
	return int64(v.count()) * int64(v.last.width())
}

// floor returns the last entry for which match is true; match must be true for
// a prefix of the entries. It reads at most one block of the file, none if that is
// in the cache.
func (x *sparseIndex[E]) floor(match func(E) bool) (found E, ok bool, err error) {
	found, _, ok, err = x.floorIn(match)
	return found, ok, err
}

// floorIn is floor, with where the base offset of the entry's batch is remembered;
// nil if it is not.
func (x *sparseIndex[E]) floorIn(match func(E) bool) (found E, known *atomic.Uint32, ok bool, err error) {
	v := x.view.Load()
	if n := prefix(v.tail, match); n > 0 {
		return v.tail[n-1], nil, true, nil
	}
	number := prefix(v.fences, match) - 1
	if number < 0 {
		return found, nil, false, nil
	}
	first, width := number*indexBlockEntries, found.width()
	count := min(indexBlockEntries, v.persisted-first)
	var entries []byte
	block := x.cache.get(v.id, number, count*width)
	if block != nil {
		entries = block.entries[:count*width]
	} else {
		buffer := indexBuffers.Get().(*[]byte)
		defer indexBuffers.Put(buffer)
		if entries, err = x.read(*buffer, first, count); err != nil {
			return found, nil, false, err
		}
	}
	n := prefixOfBytes(entries, match)
	if n == 0 {
		return found, nil, false, x.corrupt(int64(first*width), errors.New("entry changed since it was checked"))
	}
	if block == nil {
		firsts := 0
		if found.namesBatch() {
			firsts = count
		}
		block = x.cache.put(v.id, number, entries, firsts)
	}
	return found.unmarshal(entries[(n-1)*width:]), block.first(n - 1), true, nil
}

// indexBuffers lends the memory of lookups; 12 bytes is the widest entry.
var indexBuffers = sync.Pool{New: func() any {
	b := make([]byte, indexBlockEntries*timeEntryWidth)
	return &b
}}

// read reads count entries of the file, from entry first, into block.
func (x *sparseIndex[E]) read(block []byte, first, count int) ([]byte, error) {
	file, err := x.open()
	if err != nil {
		return nil, err
	}
	defer x.file.done()
	var e E
	block = block[:count*e.width()]
	_, err = file.ReadAt(block, int64(first*e.width()))
	return block, err
}

// prefix counts the leading entries for which match is true.
func prefix[E any](entries []E, match func(E) bool) int {
	low, high := 0, len(entries)
	for low < high {
		mid := int(uint(low+high) >> 1)
		if match(entries[mid]) {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}

// prefixOfBytes is prefix over marshalled entries.
func prefixOfBytes[E indexEntry[E]](entries []byte, match func(E) bool) int {
	var e E
	width := e.width()
	low, high := 0, len(entries)/width
	for low < high {
		mid := int(uint(low+high) >> 1)
		if match(e.unmarshal(entries[mid*width:])) {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}

// persist writes the tail to the file. Writer only.
func (x *sparseIndex[E]) persist() error {
	v := *x.view.Load()
	if len(v.tail) == 0 {
		return nil
	}
	flag := 0
	if v.persisted == 0 {
		// What a crash may have left under this name is not in the view.
		flag = os.O_CREATE | os.O_TRUNC
	}
	file, err := x.openToWrite(flag)
	if err != nil {
		return err
	}
	defer x.file.done()
	width := v.last.width()
	bytes := make([]byte, len(v.tail)*width)
	for i, e := range v.tail {
		e.marshal(bytes[i*width:])
	}
	x.setDirty()
	_, err = file.WriteAt(int64(v.persisted*width), bytes)
	x.setDirty() // a sync that began before the write has taken the first one along
	if err != nil {
		return writeFault(err)
	}
	for _, e := range v.tail {
		v.push(e)
	}
	v.tail = nil
	x.view.Store(&v)
	return nil
}

// touch makes the file, without entries, if there is none. Writer only.
func (x *sparseIndex[E]) touch() error {
	if x.file.isOpen() || x.view.Load().persisted > 0 {
		return nil
	}
	if _, err := x.openToWrite(os.O_CREATE | os.O_TRUNC); err != nil {
		return err
	}
	defer x.file.done()
	x.setDirty()
	return nil
}

// keep drops all entries but the leading ones for which match is true, also
// from the file. Recovery calls it, before anybody reads.
func (x *sparseIndex[E]) keep(match func(E) bool) error {
	v := x.view.Load()
	kept := newIndexView[E]()
	block := make([]byte, indexBlockEntries*v.last.width())
	for kept.persisted < v.persisted {
		entries, err := x.read(block, kept.persisted, min(indexBlockEntries, v.persisted-kept.persisted))
		if err != nil {
			return err
		}
		n := prefixOfBytes(entries, match)
		for i := range n {
			kept.push(v.last.unmarshal(entries[i*v.last.width():]))
		}
		if n*v.last.width() < len(entries) {
			break
		}
	}
	if kept.persisted < v.persisted {
		if err := x.truncate(int64(kept.persisted * v.last.width())); err != nil {
			return err
		}
	}
	x.view.Store(kept)
	return nil
}

// reset empties the index, and its file if there is one.
func (x *sparseIndex[E]) reset() error {
	if err := x.truncate(0); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	x.view.Store(newIndexView[E]())
	return nil
}

func (x *sparseIndex[E]) truncate(size int64) error {
	file, err := x.openToWrite(0)
	if err != nil {
		return err
	}
	defer x.file.done()
	x.setDirty()
	err = file.Truncate(size)
	x.setDirty() // as in persist
	if err != nil {
		return syncFault(err)
	}
	return nil
}

// setDirty says that the file is about to change. The caller uses it; from here
// on it stays open until it is synced.
func (x *sparseIndex[E]) setDirty() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.dirty {
		x.dirty = true
		x.file.useMore()
	}
}

func (x *sparseIndex[E]) isDirty() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.dirty
}

// sync makes durable what the file holds, and tells whether its name is not. The
// caller syncs that; from now on the index counts it as durable. After an error
// the file stays open: it is not tried again.
func (x *sparseIndex[E]) sync() (created bool, err error) {
	x.mu.Lock()
	dirty := x.dirty
	if dirty {
		created, x.created, x.dirty = x.created, false, false
	}
	x.mu.Unlock()
	if !dirty {
		return false, nil
	}
	file := *x.file.file.Load() // open while dirty
	if err := file.Datasync(); err != nil {
		return created, syncFault(err)
	}
	x.file.done()
	return created, nil
}

// close closes the file for good.
func (x *sparseIndex[E]) close() { x.file.close() }
