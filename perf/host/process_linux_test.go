package host

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rollway/rollway/internal/needs"
)

// What a process uses is seen from outside: CPU in user mode, waits, threads and
// bytes for the disk.
func TestProcess(t *testing.T) {
	before, err := ProcessNow(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var r unix.Rusage
	for { // until user mode has had three ticks
		unix.Getrusage(unix.RUSAGE_SELF, &r)
		if time.Duration(r.Utime.Nano())-before.user > 3*time.Second/ticksPerSecond {
			break
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Millisecond) // waits once
	after, err := ProcessNow(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	u := after.Since(before)
	if u.User < 2*time.Second/ticksPerSecond || u.CPU < u.User || u.Threads < 2 || u.Voluntary < 1 || u.Elapsed < time.Millisecond {
		t.Errorf("use %+v, want at least two ticks in user mode, two threads and a wait", u)
	}
	if mount, err := MountOf(dir); err == nil && mount.Type != "tmpfs" && u.Written < 1<<20 {
		t.Errorf("%d bytes written on %v, want at least 1 MiB", u.Written, mount)
	}
	if _, err := ProcessNow(1 << 22); err == nil {
		t.Error("use of a process that is not there: no error")
	}
}

// The memory of a process grows by what it touches.
func TestMemoryOf(t *testing.T) {
	before, err := MemoryOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	const size = 64 << 20
	p, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANONYMOUS|unix.MAP_PRIVATE|unix.MAP_POPULATE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(p)
	after, err := MemoryOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if got := after.Resident - before.Resident; got < size/2 { // the runtime may give memory back meanwhile
		t.Errorf("resident memory grew by %d bytes, want about %d", got, size)
	}
	if after.Proportional <= 0 || after.Proportional > after.Resident {
		t.Errorf("memory %+v, want PSS in RSS", after)
	}
}

// Files are in the page cache after they were written, and gone from it when they
// were evicted, by cachestat and by mincore.
func TestPageCache(t *testing.T) {
	dir := t.TempDir()
	if mount, err := MountOf(dir); err != nil || mount.Type == "tmpfs" {
		t.Skipf("%v on %v: what is in memory cannot be evicted", err, mount)
	}
	if err := os.Mkdir(filepath.Join(dir, "below"), 0o755); err != nil {
		t.Fatal(err)
	}
	const size = 3<<20 + 5
	path := filepath.Join(dir, "below", "file")
	if err := os.WriteFile(path, make([]byte, size), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := PageCache(dir); err != nil || got != size {
		t.Errorf("page cache %d, %v; want all %d bytes", got, err, size)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := residentBytes(int(f.Fd()), size); err != nil || got != size {
		t.Errorf("resident by mincore %d, %v; want all %d bytes", got, err, size)
	}
	if err := Evict(dir); err != nil {
		t.Fatal(err)
	}
	if got, err := PageCache(dir); err != nil || got > size/10 {
		t.Errorf("page cache after eviction %d, %v; want none", got, err)
	}
	if got, err := residentBytes(int(f.Fd()), size); err != nil || got > size/10 {
		t.Errorf("resident after eviction %d, %v; want none", got, err)
	}
}

// The disk of a directory has had bytes written to it, and what has no disk says so.
func TestDiskWritten(t *testing.T) {
	if _, ok, err := DiskWritten("/proc"); err != nil || ok {
		t.Errorf("disk of /proc: %v, %v; want none", ok, err)
	}
	dir := t.TempDir()
	before, ok, err := DiskWritten(dir)
	if err != nil || !ok {
		t.Skipf("disk of %s: %v, %v", dir, ok, err)
	}
	f, err := os.Create(filepath.Join(dir, "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.Write(make([]byte, 1<<20))
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if after, _, err := DiskWritten(dir); err != nil || after-before < 1<<20 {
		t.Errorf("disk had %d, then %d bytes written, %v; want 1 MiB more", before, after, err)
	}
}

// strace counts the calls that a process makes while a function runs, and is gone
// afterwards.
func TestSyscalls(t *testing.T) {
	needs.Tool(t, "strace")
	cat := exec.Command("cat")
	in, err := cat.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cat.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cat.Start(); err != nil {
		t.Fatal(err)
	}
	defer cat.Wait()
	defer in.Close()
	const lines = 20
	calls, err := Syscalls(cat.Process.Pid, func() error {
		line := []byte("line\n")
		for range lines {
			if _, err := in.Write(line); err != nil {
				return err
			}
			got := make([]byte, len(line))
			if _, err := io.ReadFull(out, got); err != nil || !bytes.Equal(got, line) {
				return errors.Join(err, errors.New("cat said something else"))
			}
		}
		return nil
	})
	if err != nil {
		t.Skipf("may not trace here: %v", err)
	}
	// cat was in its first read already, and is in one more at the end; strace may be gone
	// before the last write has returned.
	if calls["read"] < lines-1 || calls["read"] > lines+1 || calls["write"] < lines-1 || calls["write"] > lines || calls["total"] != 0 {
		t.Errorf("calls %v, want %d of read and write each", calls, lines)
	}
	failed := errors.New("failed")
	if _, err := Syscalls(cat.Process.Pid, func() error { return failed }); !errors.Is(err, failed) {
		t.Errorf("calls while a function fails: %v, want its error", err)
	}
}

// A memory group bounds the page cache that its processes bring in, and can be
// removed when they have ended.
func TestMemoryGroup(t *testing.T) {
	const bound = 16 << 20
	g, err := NewMemoryGroup("rollway-host-test", bound)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer g.Remove()
	dir := t.TempDir()
	if mount, err := MountOf(dir); err != nil || mount.Type == "tmpfs" {
		t.Skipf("%v on %v: there is no page cache of it", err, mount)
	}
	// The shell waits until it is in the group, then writes 64 MiB, which stay where
	// they may.
	shell := exec.Command("sh", "-c", "read line; head -c 67108864 /dev/zero > "+filepath.Join(dir, "file"))
	in, err := shell.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	err = g.Add(shell.Process.Pid)
	io.WriteString(in, "go\n")
	if err := errors.Join(err, shell.Wait()); err != nil {
		t.Fatal(err)
	}
	if got, err := PageCache(dir); err != nil || got > bound {
		t.Errorf("page cache %d, %v; want at most the bound %d", got, err, bound)
	}
	if err := errors.Join(g.Remove(), g.Remove(), RemoveMemoryGroup("rollway-host-test")); err != nil {
		t.Errorf("remove twice: %v", err)
	}
	if _, err := os.Stat(g.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("group after its removal: %v, want none", err)
	}
}

// Both ends of a connection are listed with their algorithm, whoever owns them.
func TestConnections(t *testing.T) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp4", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	raw, err := server.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		err = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, "reno")
	})
	if err != nil {
		t.Fatal(err)
	}
	all, err := Connections()
	if err != nil {
		t.Fatal(err)
	}
	var ends []string
	for _, c := range all {
		if port := ln.Addr().(*net.TCPAddr).AddrPort(); c.Local == port || c.Peer == port {
			ends = append(ends, c.Congestion)
		}
		if c.Local == server.LocalAddr().(*net.TCPAddr).AddrPort() && c.Congestion != "reno" {
			t.Errorf("server's end %+v, want reno", c)
		}
	}
	if len(ends) != 2 {
		t.Errorf("ends with %q, want two", ends)
	}
}
