package needs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// recorder is a testing.TB that keeps how a test ended.
type recorder struct {
	testing.TB
	end string
}

func (r *recorder) Helper() {}
func (r *recorder) Skipf(format string, args ...any) {
	r.end = "skip: " + fmt.Sprintf(format, args...)
}
func (r *recorder) Fatalf(format string, args ...any) {
	r.end = "fail: " + fmt.Sprintf(format, args...)
	panic(r) // as t.Fatalf, it does not return
}

// A tool that is there is found; one that is not skips the test by name, and fails it in CI.
func TestTool(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	if err := os.WriteFile(filepath.Join(dir, "present"), []byte("#!/bin/sh\n"), 0o777); err != nil {
		t.Fatal(err)
	}
	f := func(ci, tool, wantPath, wantEnd string) {
		t.Helper()
		t.Setenv("CI", ci)
		r := &recorder{TB: t}
		var path string
		func() {
			defer func() { recover() }()
			path = Tool(r, tool)
		}()
		if path != wantPath || !strings.HasPrefix(r.end, wantEnd) || (wantEnd == "") != (r.end == "") {
			t.Errorf("CI=%s: Tool(%s) = %q, ended with %q; want %q, %q", ci, tool, path, r.end, wantPath, wantEnd)
		}
	}

	f("", "present", filepath.Join(dir, "present"), "")
	f("true", "present", filepath.Join(dir, "present"), "")
	f("", "absent", "", "skip: needs absent: ")
	f("false", "absent", "", "skip: needs absent: ")
	f("true", "absent", "", "fail: needs absent: ")
}

// What the kernel grants goes on; what it lacks skips the test, what it forbids
// fails it in CI.
func TestFeature(t *testing.T) {
	f := func(ci string, err error, wantEnd string) {
		t.Helper()
		t.Setenv("CI", ci)
		r := &recorder{TB: t}
		func() {
			defer func() { recover() }()
			Feature(r, "io_uring", err)
		}()
		if !strings.HasPrefix(r.end, wantEnd) || (wantEnd == "") != (r.end == "") {
			t.Errorf("CI=%s: Feature(%v) ended with %q; want %q", ci, err, r.end, wantEnd)
		}
	}

	f("", nil, "")
	f("true", nil, "")
	f("", syscall.EPERM, "skip: needs io_uring: operation not permitted")
	f("true", fmt.Errorf("setup: %w", syscall.EPERM), "fail: needs io_uring: setup: operation not permitted")
	f("", syscall.ENOSYS, "skip: needs io_uring: ")
	f("true", fmt.Errorf("setup: %w", syscall.ENOSYS), "skip: needs io_uring: setup: ")
	f("true", fmt.Errorf("setup: %w", errors.ErrUnsupported), "skip: needs io_uring: setup: ")
}
