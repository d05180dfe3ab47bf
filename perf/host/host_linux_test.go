package host

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The CPU clock of a process counts what it does, at least as exactly as
// getrusage, and there is none of a process that is not there.
func TestCPUTime(t *testing.T) {
	before, err := CPUTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		t.Fatal(err)
	}
	after, err := CPUTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	used := r.Utime.Nano() + r.Stime.Nano()
	// getrusage rounds both parts down to microseconds, and may lag behind the
	// clock by what other threads did since their last tick.
	const tick = 10e6
	if before <= 0 || after <= before || used < before.Nanoseconds()-tick || used > after.Nanoseconds()+tick {
		t.Errorf("CPU clock %v, then rusage %d ns, then CPU clock %v; want about the same, rising", before, used, after)
	}
	if _, err := CPUTime(1 << 22); err == nil { // beyond PID_MAX_LIMIT
		t.Error("CPU clock of process 4194304: no error")
	}
}

// A function that is pinned sees one core, and the thread has its cores back
// afterwards.
func TestPinned(t *testing.T) {
	cores, err := Cores()
	if err != nil {
		t.Fatal(err)
	}
	for _, core := range cores {
		var inside []int
		err := Pinned(core, func() (err error) {
			inside, err = Cores()
			return err
		})
		if err != nil || !slices.Equal(inside, []int{core}) {
			t.Errorf("pinned to core %d: cores %v, %v", core, inside, err)
		}
	}
	for _, some := range [][]int{nil, cores} {
		var inside []int
		err := PinnedTo(some, func() (err error) {
			inside, err = Cores()
			return err
		})
		if err != nil || !slices.Equal(inside, cores) {
			t.Errorf("pinned to cores %v: cores %v, %v; want %v", some, inside, err, cores)
		}
	}
	if after, err := Cores(); err != nil || !slices.Equal(after, cores) {
		t.Errorf("cores afterwards %v, %v; want %v", after, err, cores)
	}
	if err := Pinned(1023, func() error { return nil }); err == nil {
		t.Error("pinned to core 1023: no error")
	}
}

// This machine can be described, and a directory that is not there cannot.
func TestDescribe(t *testing.T) {
	m, err := Describe(t.TempDir())
	if err != nil || m.Kernel == "" || m.CPU == "" || m.Memory == "" || m.FileSystem == "" || m.Go == "" {
		t.Errorf("description %+v, %v; want every field", m, err)
	}
	if _, err := Describe(t.TempDir() + "/missing"); err == nil {
		t.Error("description of a missing directory: no error")
	}
}

// The options of a connection are read on our own side of it by the address of
// the other side.
func TestPeerTCP(t *testing.T) {
	ln, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.DialTCP("tcp4", nil, ln.Addr().(*net.TCPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := ln.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	raw, err := server.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		err = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, "reno")
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.SetNoDelay(false); err != nil {
		t.Fatal(err)
	}

	got, err := PeerTCP(client.LocalAddr().(*net.TCPAddr).AddrPort())
	if want := (TCP{Congestion: "reno"}); err != nil || got != want {
		t.Errorf("server's side = %v, %v; want %v", got, err, want)
	}
	if got, err := PeerTCP(netip.MustParseAddrPort("192.0.2.1:1")); err == nil {
		t.Errorf("a peer that is not there = %v, want an error", got)
	}
}

// Usage of all cores since a moment is split into our own, others' and stolen shares.
func TestUsageSince(t *testing.T) {
	began := time.Now()
	before := Usage{at: began, busy: 1000, idle: 5000, stolen: 10, own: 2e9}
	after := Usage{at: began.Add(2 * time.Second), busy: 1400, idle: 5500, stolen: 110, own: 5e9}
	if own := after.Own(before); own != 1.5 {
		t.Errorf("3 s of our own in 2 s: %v cores, want 1.5", own)
	}
	if others, stolen := after.Since(before); others != 0.1 || stolen != 0.1 {
		t.Errorf("others %v, stolen %v; want 0.1 of 1,000 ticks each", others, stolen)
	}
	if others, stolen := before.Since(before); others != 0 || stolen != 0 {
		t.Errorf("no time: others %v, stolen %v; want 0", others, stolen)
	}
	if u, err := UsageNow(); err != nil || u.own <= 0 || u.idle <= 0 {
		t.Errorf("usage now %+v, %v; want some", u, err)
	}
}
