package engine

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/rollway/rollway/engine/vfs"
)

// hookedFS asks hook before each call that changes something. op is "create",
// "write", "truncate", "datasync", "rename", "remove" or "syncdir"; an error of
// hook is the error of the call. A write that fails has written its first half.
type hookedFS struct {
	vfs.FS
	hook   func(op, name string) error
	noSync bool // syncs only pretend, for tests that reopen a thousand times
}

type hookedFile struct {
	vfs.File
	fs   *hookedFS
	name string
}

func (h *hookedFS) OpenFile(name string, flag int) (vfs.File, error) {
	if flag != 0 {
		if err := h.hook("create", name); err != nil {
			return nil, err
		}
	}
	f, err := h.FS.OpenFile(name, flag)
	if err != nil {
		return nil, err
	}
	return &hookedFile{File: f, fs: h, name: name}, nil
}

func (h *hookedFS) Rename(oldName, newName string) error {
	if err := h.hook("rename", newName); err != nil {
		return err
	}
	return h.FS.Rename(oldName, newName)
}

func (h *hookedFS) Remove(name string) error {
	if err := h.hook("remove", name); err != nil {
		return err
	}
	return h.FS.Remove(name)
}

func (h *hookedFS) SyncDir(name string) error {
	if err := h.hook("syncdir", name); err != nil {
		return err
	}
	if h.noSync {
		return nil
	}
	return h.FS.SyncDir(name)
}

func (f *hookedFile) WriteAt(off int64, bufs ...[]byte) (int64, error) {
	if err := f.fs.hook("write", f.name); err != nil {
		n, _ := f.File.WriteAt(off, bufs[0][:len(bufs[0])/2])
		return n, err
	}
	return f.File.WriteAt(off, bufs...)
}

func (f *hookedFile) Truncate(size int64) error {
	if err := f.fs.hook("truncate", f.name); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f *hookedFile) Datasync() error {
	if err := f.fs.hook("datasync", f.name); err != nil {
		return err
	}
	if f.fs.noSync {
		return nil
	}
	return f.File.Datasync()
}

// openDir returns the file system of an empty directory.
func openDir(t testing.TB) vfs.FS {
	t.Helper()
	dir, err := vfs.OpenOS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	return dir
}

// putFile makes the file name hold content.
func putFile(t testing.TB, fs vfs.FS, name, content string) {
	t.Helper()
	if err := writeFile(fs, name, []byte(content)); err != nil {
		t.Fatal(err)
	}
}

// getFile returns the content of the file name, "" when there is none.
func getFile(t testing.TB, fs vfs.FS, name string) string {
	t.Helper()
	content, err := readFileBounded(fs, name, 1<<30)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(content)
}

// matchError fails the test unless err matches target and its text holds want.
func matchError(t testing.TB, err, target error, want string) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("error %v, want one that is %v", err, target)
	} else if !strings.Contains(err.Error(), want) {
		t.Errorf("error %q, want it to say %q", err, want)
	}
}

// shownIn fails the test unless the page of docs/format shows text.
func shownIn(t testing.TB, page, text string) {
	t.Helper()
	content, err := os.ReadFile("../docs/format/" + page)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(content), "```text\n"+strings.TrimSuffix(text, "\n")+"\n```") {
		t.Errorf("docs/format/%s does not show:\n%s", page, text)
	}
}

// Whatever step goes wrong, the file is the old or the new one, whole, and only
// a failed write or sync is final.
func TestWriteFileAtomic(t *testing.T) {
	f := func(op string, fault error, wantContent string, wantFinal bool) {
		t.Helper()
		fs := &hookedFS{FS: openDir(t), hook: func(string, string) error { return nil }}
		if err := fs.Mkdir("d"); err != nil {
			t.Fatal(err)
		}
		putFile(t, fs, "d/x.tmp", "left behind by a crash, longer than what comes")
		putFile(t, fs, "d/x", "old")
		var ops []string
		fs.hook = func(got, name string) error {
			ops = append(ops, got+" "+name)
			if got == op {
				return fault
			}
			return nil
		}
		err := writeFileAtomic(fs, "d", "x", []byte("new content"))
		if (err != nil) != (fault != nil) || fault != nil && !errors.Is(err, fault) || errors.Is(err, ErrStorageFailed) != wantFinal {
			t.Errorf("%s %v: error %v, want final %v", op, fault, err, wantFinal)
		}
		if got := getFile(t, fs, "d/x"); got != wantContent {
			t.Errorf("%s %v: file holds %q, want %q", op, fault, got, wantContent)
		}
		if fault == nil {
			want := "create d/x.tmp, write d/x.tmp, datasync d/x.tmp, rename d/x, syncdir d"
			if got := strings.Join(ops, ", "); got != want {
				t.Errorf("calls %s, want %s", got, want)
			}
		} else if got := getFile(t, fs, "d/x.tmp"); got != "" && op != "create" {
			t.Errorf("%s %v: temporary file holds %q, want none", op, fault, got)
		}
	}
	f("", nil, "new content", false)
	f("create", syscall.EMFILE, "old", false)
	f("write", syscall.ENOSPC, "old", false)
	f("write", syscall.EDQUOT, "old", false)
	f("write", syscall.EIO, "old", true)
	f("datasync", syscall.EIO, "old", true)
	f("datasync", syscall.ENOSPC, "old", true)
	f("rename", syscall.EIO, "old", false)
	f("syncdir", syscall.EIO, "new content", true)
}

// A file above the limit is refused, one at the limit is read whole.
func TestReadFileBounded(t *testing.T) {
	fs := openDir(t)
	putFile(t, fs, "x", "12345678")
	if got, err := readFileBounded(fs, "x", 8); string(got) != "12345678" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	if _, err := readFileBounded(fs, "x", 7); err == nil || !strings.Contains(err.Error(), "8 bytes, want at most 7") {
		t.Errorf("error %v, want the size and the limit", err)
	}
	if _, err := readFileBounded(fs, "y", 7); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want %v", err, os.ErrNotExist)
	}
	if err := fs.Mkdir("dir"); err != nil {
		t.Fatal(err)
	}
	if _, err := readFileBounded(fs, "dir", 1<<20); !errors.Is(err, syscall.EISDIR) {
		t.Errorf("a directory: error %v, want %v", err, syscall.EISDIR)
	}
}
