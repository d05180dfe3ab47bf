package vfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func newMem(t *testing.T) *Mem {
	t.Helper()
	m := NewMem("/mem")
	t.Cleanup(func() { m.Close() })
	return m
}

// crashed is CrashClone, closed with the test.
func crashed(t *testing.T, m *Mem, seed uint64, keep Keep) *Mem {
	t.Helper()
	clone := m.CrashClone(seed, keep)
	t.Cleanup(func() { clone.Close() })
	return clone
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// put makes a file hold text, without a sync.
func put(t testing.TB, d FS, name, text string) File {
	t.Helper()
	f, err := d.OpenFile(name, os.O_CREATE|os.O_TRUNC)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	_, err = f.WriteAt(0, []byte(text))
	must(t, err)
	return f
}

// text returns what a file holds, or "-" if there is none of that name.
func text(t testing.TB, d FS, name string) string {
	t.Helper()
	f, err := d.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "-"
	}
	must(t, err)
	defer f.Close()
	size, err := f.Size()
	must(t, err)
	content := make([]byte, size)
	_, err = f.ReadAt(content, 0)
	must(t, err)
	return string(content)
}

// outcomes returns, for 200 crashes, how often look gave which result.
func outcomes(t *testing.T, m *Mem, keep Keep, look func(*Mem) string) map[string]int {
	t.Helper()
	seen := map[string]int{}
	for seed := range uint64(200) {
		clone := m.CrashClone(seed, keep)
		seen[look(clone)]++
		clone.Close()
	}
	return seen
}

// among fails the test unless exactly these results were seen.
func among(t *testing.T, seen map[string]int, want ...string) {
	t.Helper()
	var got []string
	for result := range seen {
		got = append(got, result)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("crashes leave %.300q, want %.300q", got, want)
	}
}

// A tree in memory answers random calls as a directory of the real file system
// does, errors included.
func TestMemAgreesWithOS(t *testing.T) {
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 1))
		trees := [2]FS{openTemp(t), newMem(t)}
		var open [2][]File
		name := func() string {
			names := []string{"a", "b", "d", "d/a", "d/b", "d/e", "d/e/a", "no/a", "a/x", "."}
			return names[random.IntN(len(names))]
		}
		for step := range 300 {
			var what string
			var got [2]string
			op, first, second, at := random.IntN(12), name(), name(), random.Int64N(10_000)
			flag := []int{0, os.O_CREATE, os.O_CREATE | os.O_EXCL, os.O_CREATE | os.O_TRUNC, os.O_TRUNC}[random.IntN(5)]
			data := bytes.Repeat([]byte{byte(step)}, random.IntN(5000))
			which := random.Int()
			for i, d := range trees {
				what, got[i] = agreeing(d, &open[i], op, first, second, at, flag, data, which)
			}
			if got[0] != got[1] {
				t.Fatalf("seed %d, step %d, %s: the file system says %.200q, memory %.200q", seed, step, what, got[0], got[1])
			}
		}
		for i := range open {
			for _, f := range open[i] {
				f.Close()
			}
		}
	}
}

// agreeing makes one call and returns what it was and what came of it.
func agreeing(d FS, open *[]File, op int, first, second string, at int64, flag int, data []byte, which int) (what, result string) {
	var file File
	if len(*open) > 0 {
		file = (*open)[which%len(*open)]
	}
	var err error
	switch op {
	case 0, 1:
		what = fmt.Sprintf("OpenFile(%s, %#x)", first, flag)
		if first == "." {
			return what, "" // O_RDWR on a directory: no program does that
		}
		if file, err = d.OpenFile(first, flag); err == nil {
			*open = append(*open, file)
		}
	case 2:
		if first == "." {
			return "Mkdir .", ""
		}
		what, err = "Mkdir "+first, d.Mkdir(first)
	case 3:
		if first == "." || second == "." || first == second {
			return "Rename .", "" // EBUSY, or the errors of os.Rename for a directory
		}
		what, err = "Rename "+first+" "+second, d.Rename(first, second)
	case 4:
		if first == "." {
			return "Remove .", ""
		}
		what, err = "Remove "+first, d.Remove(first)
	case 5, 6:
		what = "ReadDir " + first
		var entries []fs.DirEntry
		if entries, err = d.ReadDir(first); err == nil {
			for _, e := range entries {
				info, err := e.Info()
				result += fmt.Sprint(e.Name(), " ", e.Type(), " ", e.IsDir() || info.Size() >= 0, info.Mode(), err, "; ")
			}
		}
	case 7:
		what = "Stat " + first
		var info fs.FileInfo
		if info, err = d.Stat(first); err == nil {
			result = fmt.Sprint(info.Mode())
			if !info.IsDir() {
				result = fmt.Sprint(info.Mode(), info.Size())
			}
		}
	default:
		if file == nil {
			return "no file", ""
		}
		switch op {
		case 8, 9:
			var n int64
			n, err = file.WriteAt(at, data)
			what, result = "WriteAt", fmt.Sprint(n)
		case 10:
			what, err = "Truncate", file.Truncate(at)
		case 11:
			content := make([]byte, 20_000)
			var n int
			n, err = file.ReadAt(content, at)
			what, result = "ReadAt", string(content[:n])
		}
	}
	if err == io.EOF {
		return what, result + " EOF"
	}
	if err != nil {
		var errno syscall.Errno
		errors.As(err, &errno)
		return what, errno.Error()
	}
	return what, result
}

// No name leads out of the tree, and errors carry the whole path.
func TestMemNamesStayInside(t *testing.T) {
	m := newMem(t)
	for _, name := range []string{"../a", "/a", "a/../../b", ""} {
		_, err := m.OpenFile(name, os.O_CREATE)
		_, statErr := m.Stat(name)
		if err == nil || statErr == nil || m.Mkdir(name) == nil || m.Remove(name) == nil || m.Rename(name, "x") == nil {
			t.Errorf("%q: accepted: %v, %v", name, err, statErr)
		}
	}
	if _, err := m.Open("d/missing"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "/mem/d/missing") {
		t.Errorf("missing file: %v", err)
	}
}

// The kernel sends a file of a Mem to a pipe by sendfile and by splice, and what
// splice brings into one is a write like any other: a Datasync makes it durable.
func TestMemKernelMovesBytes(t *testing.T) {
	m := newMem(t)
	content := strings.Repeat("0123456789", 1000)
	source := put(t, m, "source", content)
	var pipe [2]int
	must(t, unix.Pipe2(pipe[:], unix.O_CLOEXEC))
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	drain := func() string {
		t.Helper()
		got := make([]byte, 20_000)
		n, err := unix.Read(pipe[0], got)
		must(t, err)
		return string(got[:n])
	}
	at := int64(100)
	n, err := unix.Sendfile(pipe[1], int(source.OS().Fd()), &at, 5000)
	must(t, err)
	if got := drain(); n != 5000 || got != content[100:5100] {
		t.Fatalf("sendfile moved %d bytes", n)
	}
	at = 4096
	moved, err := unix.Splice(int(source.OS().Fd()), &at, pipe[1], nil, 3000, 0)
	must(t, err)
	target := put(t, m, "target", "head ")
	at = 5
	moved, err = unix.Splice(pipe[0], nil, int(target.OS().Fd()), &at, int(moved), 0)
	must(t, err)
	want := "head " + content[4096:4096+moved]
	if info, err := m.Stat("target"); err != nil || info.Size() != int64(len(want)) {
		t.Fatalf("stat after splice: %v, %v", info, err)
	}
	must(t, errors.Join(m.SyncDir("."), target.Datasync()))
	if got := text(t, crashed(t, m, 1, KeepSynced), "target"); got != want {
		t.Fatalf("after a crash the file holds %d bytes, want %d", len(got), len(want))
	}
}

// Of two holders of one tree only one has the lock, until it lets go.
func TestMemLockExcludes(t *testing.T) {
	m := newMem(t)
	held, err := m.Lock(".lock")
	must(t, err)
	if _, err := m.Lock(".lock"); !errors.Is(err, ErrLocked) {
		t.Fatalf("second lock: %v", err)
	}
	if f, err := crashed(t, m, 1, KeepAll).Lock(".lock"); err != nil {
		t.Fatalf("lock after a crash: %v", err)
	} else {
		f.Close()
	}
	must(t, held.Close())
	again, err := m.Lock(".lock")
	must(t, err)
	must(t, again.Close())
}

// A write to a full tree is short and ENOSPC, a growing truncation ENOSPC, and
// removing gives the space back, once nobody has the file open.
func TestMemCapacity(t *testing.T) {
	m := newMem(t)
	m.SetCapacity(1000)
	f := put(t, m, "a", strings.Repeat("a", 900))
	space := func(available int64) {
		t.Helper()
		if s, err := m.Space(); err != nil || s.Total != 1000 || s.Available != available || s.Type != "mem" {
			t.Fatalf("space %+v, %v, want %d available", s, err, available)
		}
	}
	space(100)
	if n, err := f.WriteAt(850, make([]byte, 151)); n != 150 || !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("write beyond the capacity: %d, %v", n, err)
	}
	space(0)
	if n, err := f.WriteAt(10, []byte("in place")); n != 8 || err != nil {
		t.Fatalf("write in place: %d, %v", n, err)
	}
	if err := f.Truncate(1001); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("growing truncation: %v", err)
	}
	must(t, f.Truncate(500))
	space(500)
	must(t, m.Remove("a"))
	space(500)
	must(t, f.Close())
	space(1000)
	m.SetCapacity(10)
	if n, err := put(t, m, "b", "0123456789").WriteAt(10, []byte("x")); n != 0 || !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("write to a full tree: %d, %v", n, err)
	}
}

// memfds counts this process's descriptors of memfds.
func memfds(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	count := 0
	for _, e := range entries {
		if target, err := os.Readlink(filepath.Join("/proc/self/fd", e.Name())); err == nil && strings.HasPrefix(target, "/memfd:") {
			count++
		}
	}
	return count
}

// A tree has a descriptor for each file that was opened and one for each open
// File, no more; removed and closed files have none, a closed tree has none.
func TestMemDescriptors(t *testing.T) {
	before := memfds(t)
	has := func(want int) {
		t.Helper()
		if got := memfds(t) - before; got != want {
			t.Fatalf("%d memfds are open, want %d", got, want)
		}
	}
	m := NewMem("/mem")
	var files []File
	for i := range 10 {
		f, err := m.OpenFile(fmt.Sprint(i), os.O_CREATE)
		must(t, err)
		files = append(files, f)
	}
	has(20)
	clone := m.CrashClone(1, KeepAll)
	has(20)
	_ = text(t, clone, "3")
	has(21)
	must(t, clone.Close())
	for i, f := range files[:5] {
		must(t, f.Close())
		must(t, m.Remove(fmt.Sprint(i)))
	}
	must(t, m.Remove("5"))
	must(t, m.Rename("6", "7"))
	has(10)
	must(t, m.Close())
	if err := m.Close(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("second close: %v", err)
	}
	if _, err := m.Open("8"); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("open after close: %v", err)
	}
	if _, err := files[9].WriteAt(0, []byte("still open")); err != nil {
		t.Errorf("write to an open file of a closed tree: %v", err)
	}
	for _, f := range files[5:] {
		must(t, f.Close())
	}
	has(0)
}
