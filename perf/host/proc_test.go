package host

import (
	"strings"
	"testing"
)

// Model, cores and hypervisor are found on x86 and on arm64.
func TestParseCPUInfo(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if got := parseCPUInfo(text).String(); got != want {
			t.Errorf("cpuinfo %q = %q, want %q", text, got, want)
		}
	}
	core := "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R) Processor\nflags\t\t: fpu hypervisor lahf_lm\n\n"
	f(core+core, "Intel(R) Xeon(R) Processor, 2 cores, virtual")
	f(strings.Replace(core, "hypervisor ", "", 1), "Intel(R) Xeon(R) Processor, 1 cores")
	f("processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n", "CPU implementer 0x41 part 0xd0c, 1 cores")
	f("", "unknown CPU, 0 cores")
}

// A field is found by its whole name and comes in bytes.
func TestParseMemInfo(t *testing.T) {
	f := func(field string, want int64) {
		t.Helper()
		const text = "MemTotal:       24684084 kB\nMemFree:        100 kB\nMemAvailable:   x kB\n"
		if got := parseMemInfo(text, field); got != want {
			t.Errorf("%s = %d, want %d", field, got, want)
		}
	}
	f("MemTotal", 24684084<<10)
	f("MemFree", 100<<10)
	f("Mem", 0)
	f("MemAvailable", 0)
	f("Dirty", 0)
}

// The first line of /proc/stat is summed up; anything else is an error.
func TestParseCPUTicks(t *testing.T) {
	busy, idle, stolen, err := parseCPUTicks("cpu  1 2 4 8 16 32 64 128 7 7\ncpu0 9 9\n")
	if err != nil || busy != 1+2+4+32+64 || idle != 8+16 || stolen != 128 {
		t.Errorf("ticks = %d, %d, %d, %v; want 103, 24, 128", busy, idle, stolen, err)
	}
	for _, bad := range []string{"", "cpu 1 2 3\n", "intr 1 2 3 4 5 6 7 8\n", "cpu 1 2 3 4 5 6 7 x\n"} {
		if _, _, _, err := parseCPUTicks(bad); err == nil {
			t.Errorf("ticks of %q: no error", bad)
		}
	}
}

// A path lies in the mount with the longest point, and in the last of those
// that cover one another.
func TestFindMount(t *testing.T) {
	const info = `27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
22 27 0:21 / /proc rw - proc proc rw
30 27 0:30 / /data rw,noatime - xfs /dev/vdb rw,inode64
31 30 0:31 / /data/my\040logs rw - tmpfs tmpfs rw,size=1k
32 27 0:32 / /data rw,nosuid - btrfs /dev/vdc rw
half a line
`
	f := func(path, want string) {
		t.Helper()
		m, ok := findMount(info, path)
		if got := m.Point + " " + m.String(); !ok || got != want {
			t.Errorf("mount of %s = %q, %v; want %q", path, got, ok, want)
		}
	}
	f("/", "/ ext4 on /dev/vda (rw,relatime,discard)")
	f("/tmp/x", "/ ext4 on /dev/vda (rw,relatime,discard)")
	f("/procedure", "/ ext4 on /dev/vda (rw,relatime,discard)")
	f("/data", "/data btrfs on /dev/vdc (rw,nosuid)")
	f("/data/a", "/data btrfs on /dev/vdc (rw,nosuid)")
	f("/data/my logs/a", "/data/my logs tmpfs on tmpfs (rw,size=1k)")
	if m, ok := findMount("22 27 0:21 / /proc rw - proc proc rw\n", "/tmp"); ok {
		t.Errorf("mount of /tmp = %v, want none", m)
	}
}
