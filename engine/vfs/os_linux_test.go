package vfs

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func openTemp(t *testing.T) *OS {
	t.Helper()
	d, err := OpenOS(filepath.Join(t.TempDir(), "a", "b"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// A write of many buffers, empty ones and more than IOV_MAX of them, lands as
// their concatenation at the given position, and reads never pass the end.
func TestWriteAtConcatenates(t *testing.T) {
	d := openTemp(t)
	f, err := d.OpenFile("x", os.O_CREATE)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	write := func(off int64, bufs ...[]byte) {
		t.Helper()
		want := bytes.Join(bufs, nil)
		n, err := f.WriteAt(off, bufs...)
		if err != nil || n != int64(len(want)) {
			t.Fatalf("wrote %d of %d: %v", n, len(want), err)
		}
		got := make([]byte, len(want))
		if _, err := f.ReadAt(got, off); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("read back %d bytes: %v", len(got), err)
		}
	}
	write(0)
	write(0, []byte("one"))
	write(3, []byte{}, []byte("two"), nil, []byte("three"))
	var many [][]byte
	for i := range 3000 {
		many = append(many, []byte{byte(i), byte(i >> 8)})
	}
	write(11, many...)

	size, err := f.Size()
	if err != nil || size != 11+6000 {
		t.Fatalf("size %d, %v", size, err)
	}
	if n, err := f.ReadAt(make([]byte, 10), size-4); n != 4 || err != io.EOF {
		t.Fatalf("read at the end: %d, %v", n, err)
	}
	if err := errors.Join(f.Datasync(), f.StartWriteback(0, 0), f.Truncate(5), d.SyncDir(".")); err != nil {
		t.Fatal(err)
	}
	if size, _ := f.Size(); size != 5 {
		t.Fatalf("size %d after truncate", size)
	}
}

// No name and no symbolic link leads out of the directory, and errors carry the
// whole path.
func TestNamesStayInside(t *testing.T) {
	d := openTemp(t)
	outside := filepath.Join(filepath.Dir(d.Path()), "outside")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(d.Path(), "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"../outside", outside, "link"} {
		if f, err := d.Open(name); err == nil {
			f.Close()
			t.Errorf("%s: opened", name)
		}
		if f, err := d.OpenFile(name, os.O_CREATE); err == nil {
			f.Close()
			t.Errorf("%s: opened for writing", name)
		}
	}
	_, err := d.Open("missing")
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), filepath.Join(d.Path(), "missing")) {
		t.Errorf("missing file: %v", err)
	}
}

func TestDirectoryOperations(t *testing.T) {
	d := openTemp(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(d.Mkdir("t-0"))
	f, err := d.OpenFile("t-0/b", os.O_CREATE|os.O_EXCL)
	must(err)
	f.Close()
	if _, err := d.OpenFile("t-0/b", os.O_CREATE|os.O_EXCL); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("second exclusive create: %v", err)
	}
	must(d.Rename("t-0/b", "t-0/a"))
	must(d.SyncDir("t-0"))
	entries, err := d.ReadDir("t-0")
	must(err)
	if len(entries) != 1 || entries[0].Name() != "a" {
		t.Fatalf("entries %v", entries)
	}
	must(d.Remove("t-0/a"))
	must(d.Remove("t-0"))
	if _, err := d.Stat("t-0"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("stat after remove: %v", err)
	}
	space, err := d.Space()
	must(err)
	if space.Total <= 0 || space.Available <= 0 || space.Type == "" {
		t.Fatalf("space %+v", space)
	}
}

// The lock excludes a second holder in this process and in another one, and
// the traditional record lock that a JVM takes.
func TestLockExcludes(t *testing.T) {
	if dir := os.Getenv("ROLLWAY_TEST_LOCK_DIR"); dir != "" {
		lockFromAnotherProcess(dir)
	}
	d := openTemp(t)
	held, err := d.Lock(".lock")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Lock(".lock"); !errors.Is(err, ErrLocked) {
		t.Fatalf("second lock in this process: %v", err)
	}
	other := func() string {
		cmd := exec.Command(os.Args[0], "-test.run=^TestLockExcludes$")
		cmd.Env = append(os.Environ(), "ROLLWAY_TEST_LOCK_DIR="+d.Path())
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	if locked, err := d.Locked(".lock"); !locked || err != nil {
		t.Fatalf("Locked while held: %v, %v", locked, err)
	}
	if got := other(); got != "locked locked" {
		t.Fatalf("while held, another process saw %q", got)
	}
	held.Close()
	for _, name := range []string{".lock", "missing"} {
		if locked, err := d.Locked(name); locked || err != nil {
			t.Fatalf("Locked(%s) after release: %v, %v", name, locked, err)
		}
	}
	if got := other(); got != "free free" {
		t.Fatalf("after release, another process saw %q", got)
	}
}

// lockFromAnotherProcess prints what the record lock of POSIX and Lock say.
func lockFromAnotherProcess(dir string) {
	say := func(err error) string {
		if err != nil {
			return "locked"
		}
		return "free"
	}
	d, err := OpenExistingOS(dir)
	if err != nil {
		panic(err)
	}
	f, err := d.OpenFile(".lock", 0)
	if err != nil {
		panic(err)
	}
	record := syscall.Flock_t{Type: syscall.F_WRLCK}
	posix := say(syscall.FcntlFlock(f.OS().Fd(), syscall.F_SETLK, &record))
	f.Close() // drops this process's record locks on the file
	_, err = d.Lock(".lock")
	os.Stdout.WriteString(posix + " " + say(err) + "\n")
	os.Exit(0)
}

// ReadUncached returns what ReadAt does, at any position and length, also past
// the end and where the file system cannot leave the page cache alone.
func TestReadUncached(t *testing.T) {
	d := openTemp(t)
	f, err := d.OpenFile("x", os.O_CREATE)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	content := bytes.Repeat([]byte("0123456789"), 2000)
	if _, err := f.WriteAt(0, bytes.Clone(content)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ at, length int }{{0, 20_000}, {1, 4096}, {4095, 2}, {19_990, 10}, {19_990, 11}, {20_000, 1}, {5, 0}} {
		got, want := make([]byte, c.length), make([]byte, c.length)
		n, err := ReadUncached(f, got, int64(c.at))
		wantN, wantErr := f.ReadAt(want, int64(c.at))
		if n != wantN || err != wantErr || !bytes.Equal(got, want) {
			t.Errorf("%d bytes at %d: %d, %v, want %d, %v", c.length, c.at, n, err, wantN, wantErr)
		}
	}
	f.Close()
	if _, err := ReadUncached(f, make([]byte, 1), 0); err == nil {
		t.Error("read of a closed file")
	}
}
