package faultlab

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A mounted disk is as small as asked for, is filled to the last byte, has room
// again, and is gone after the test with what was in it.
func TestMount(t *testing.T) {
	for _, kind := range []string{"tmpfs", "ext4"} {
		var path string
		t.Run(kind, func(t *testing.T) {
			d := Mount(t, kind, 16<<20)
			path = d.Path
			if n := d.Available(); n < 8<<20 || n > 16<<20 {
				t.Errorf("%d bytes available", n)
			}
			d.Leave(1 << 20)
			if n := d.Available(); n < 512<<10 || n > 1<<20 {
				t.Errorf("%d bytes available, want about 1 MiB", n)
			}
			d.Leave(0)
			if err := os.WriteFile(filepath.Join(d.Path, "x"), make([]byte, 100<<10), 0o600); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("write to the full disk: %v", err)
			}
			d.Free()
			if err := os.WriteFile(filepath.Join(d.Path, "x"), make([]byte, 100<<10), 0o600); err != nil {
				t.Error(err)
			}
		})
		if path == "" {
			continue // skipped
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s after the test: %v", path, err)
		}
	}
}

// A thin disk takes a write that it has no room for, fails its sync, and is
// whole again once it is mended.
func TestMountThin(t *testing.T) {
	d := MountThin(t, 64<<20, 16<<20)
	name := filepath.Join(d.Path, "x")
	if err := os.WriteFile(name, make([]byte, 4<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, synced := range []string{name, d.Path} {
		f, err := os.Open(synced)
		if err == nil {
			err = errors.Join(f.Sync(), f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Create(filepath.Join(d.Path, "y"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(bytes.Repeat([]byte("y"), 32<<20))
	if synced := f.Sync(); err != nil || synced == nil {
		t.Errorf("write %v, sync %v; want the sync alone to fail", err, synced)
	}
	f.Close()
	d.Mend(128 << 20)
	if content, err := os.ReadFile(name); err != nil || len(content) != 4<<20 {
		t.Errorf("%d bytes, %v after it was mended", len(content), err)
	}
}

// Who writes to a frozen disk waits until it is thawed.
func TestFreeze(t *testing.T) {
	d := Mount(t, "ext4", 16<<20)
	name := filepath.Join(d.Path, "x")
	if err := os.WriteFile(name, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.Freeze()
	written := make(chan error, 1)
	go func() { written <- os.WriteFile(name, []byte("after"), 0o600) }()
	select {
	case err := <-written:
		t.Errorf("a write to the frozen disk returned %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	d.Thaw()
	if err := <-written; err != nil {
		t.Error(err)
	}
}

// An injected error fails the chosen call and no other, and is in the trace; an
// injected signal ends the program.
func TestInjection(t *testing.T) {
	trace := filepath.Join(t.TempDir(), "trace")
	run := func(i Injection) (string, error) {
		t.Helper()
		line := i.Strace(t, trace)
		out, err := exec.Command(line[0], append(line[1:], "sh", "-c", "cd /; cd /usr; cd /; echo done")...).CombinedOutput()
		return string(out), err
	}
	out, err := run(Injection{Calls: []string{"chdir"}, Error: "EIO", N: 2})
	if err != nil || !strings.Contains(out, "usr") || !strings.Contains(out, "done") {
		t.Errorf("%v: %s, want a complaint about /usr", err, out)
	}
	log, _ := os.ReadFile(trace)
	if n := strings.Count(string(log), "chdir("); n != 3 {
		t.Errorf("%d calls in the trace, want 3:\n%s", n, log)
	}
	if n := strings.Count(string(log), "EIO (Input/output error) (INJECTED)"); n != 1 {
		t.Errorf("%d errors in the trace, want 1:\n%s", n, log)
	}
	if out, err = run(Injection{Calls: []string{"chdir", "?rename"}, Signal: "SIGKILL", N: 3}); err == nil || strings.Contains(out, "done") {
		t.Errorf("%v: %s, want a kill before the end", err, out)
	}
}
