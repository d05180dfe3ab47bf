package doctor

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/rollway/rollway/engine"
)

const (
	// wantOpenFiles is room for 10,000 connections and, with a log and two
	// indexes each, for some 18,000 partitions.
	wantOpenFiles = 65_536
	// leastOpenFiles is the limit that many shells and containers set: enough
	// for a trial only.
	leastOpenFiles = 1024
	// wantPipeBytes is the default of fs.pipe-max-size.
	wantPipeBytes = 1 << 20
	// leastFreeBytes is one segment of the default size.
	leastFreeBytes = 1 << 30
)

// Judge says of each fact how it is and what to do about it. The order is
// fixed; names are unique.
func Judge(f Facts) []Finding {
	findings := []Finding{
		judgeKernel(f.Kernel),
		judgeDirectory(f.Data),
		judgeFileSystem(f.Data),
		judgeFree(f.Data),
		judgeOpenFiles(f.OpenFiles),
		judgeDirty(f.Dirty),
		judgeCongestion(f.Congestion),
		judgeClock(f.ClockSource),
		judgePath("sendfile", f.SendFile, "fetches go from the file to the socket without a copy",
			"take another file system for the data; until then fetches are copied"),
		judgePath("splice", f.Splice, "--fetch-path splice works", "leave --fetch-path at auto"),
		judgePipe(f.Pipe),
		judgeOptional("cachestat", f.CacheStat, "cold ranges can be told from cached ones", "Linux 6.5"),
		judgeOptional("RWF_DONTCACHE", f.DontCache, "cold reads can leave the page cache as it is", "Linux 6.14, on ext4, xfs or btrfs"),
		judgeIOUring(f.IOUring, f.IOUringDisabled),
	}
	return append(findings, judgeDurability(f.Data)...)
}

// judgeKernel wants 5.15.
func judgeKernel(release string) Finding {
	f := Finding{OK, "kernel", release, ""}
	major, minor, ok := kernelVersion(release)
	switch {
	case !ok:
		f.Status, f.Remedy = Warn, "compare it with 5.15, the oldest that is supported"
	case major < 5 || major == 5 && minor < 15:
		f.Status, f.Remedy = Fail, "upgrade to Linux 5.15 or later"
	}
	return f
}

// kernelVersion reads the first two numbers of a release, such as 6.18.5-arch1.
func kernelVersion(release string) (major, minor int, ok bool) {
	first, rest, _ := strings.Cut(release, ".")
	second := rest
	if end := strings.IndexFunc(rest, func(c rune) bool { return c < '0' || c > '9' }); end >= 0 {
		second = rest[:end]
	}
	major, err1 := strconv.Atoi(first)
	minor, err2 := strconv.Atoi(second)
	return major, minor, err1 == nil && err2 == nil
}

func judgeDirectory(d Data) Finding {
	switch {
	case d.Err != nil:
		return Finding{Fail, "data directory", d.Err.Error(), "take a directory that this user may write to, by --data"}
	case !d.Exists:
		return Finding{OK, "data directory", d.Path + " does not exist; the first start makes it", ""}
	}
	return Finding{OK, "data directory", d.Path, ""}
}

func judgeFileSystem(d Data) Finding {
	f := Finding{OK, "file system", d.Space.Type, ""}
	switch d.Space.Type {
	case "ext4", "xfs":
	case "":
		f.Status, f.Found, f.Remedy = Warn, "unknown", "look at the data directory above"
	case "tmpfs":
		f.Status, f.Remedy = Warn, "everything in it is gone after a reboot: take ext4 or xfs on a disk"
	case "overlayfs":
		f.Status, f.Remedy = Warn, "a container's own layer is slow and goes with the container: mount a volume"
	case "nfs", "fuse":
		f.Status, f.Remedy = Warn, "what a sync and a lock promise depends on a server behind it: take ext4 or xfs on a local disk"
	default:
		f.Status, f.Remedy = Warn, "it is not tested here: ext4 and xfs are"
	}
	return f
}

func judgeFree(d Data) Finding {
	free, total := d.Space.Available, d.Space.Total
	f := Finding{OK, "free space", fmt.Sprintf("%s of %s", size(free), size(total)), ""}
	switch {
	case total == 0:
		f.Status, f.Found, f.Remedy = Warn, "unknown", "look at the data directory above"
	case free < engine.DefaultMinFreeBytes(total):
		f.Status, f.Remedy = Fail, fmt.Sprintf("nothing is appended below %s, unless --min-free says otherwise: make room", size(engine.DefaultMinFreeBytes(total)))
	case free < leastFreeBytes:
		f.Status, f.Remedy = Warn, "that is less than one segment of the default size: make room, or set segment.bytes lower"
	case free < total/10:
		f.Status, f.Remedy = Warn, "less than a tenth is free: make room"
	}
	return f
}

func judgeOpenFiles(limit uint64) Finding {
	f := Finding{OK, "open files", strconv.FormatUint(limit, 10), ""}
	switch {
	case limit <= leastOpenFiles:
		f.Status, f.Remedy = Fail, fmt.Sprintf("half is for segments and indexes, of which busy partitions need three each, the rest for connections: raise the hard limit to %d, by LimitNOFILE= of systemd or ulimit -Hn", wantOpenFiles)
	case limit < wantOpenFiles:
		f.Status, f.Remedy = Warn, fmt.Sprintf("half is for segments and indexes, the rest for connections: raise the hard limit to %d, by LimitNOFILE= of systemd or ulimit -Hn", wantOpenFiles)
	}
	return f
}

// judgeDirty warns when writers may dirty so much before they are held back
// that a sync then waits for seconds.
func judgeDirty(d Dirty) Finding {
	f := Finding{OK, "dirty pages", fmt.Sprintf("written back from %s on, writers wait from %s on",
		dirtyLimit(d.BackgroundBytes, d.BackgroundRatio), dirtyLimit(d.Bytes, d.Ratio)), ""}
	switch {
	case d.Ratio < 0 || d.BackgroundRatio < 0:
		f.Status, f.Found, f.Remedy = Warn, "unknown", "mount /proc"
	case d.Bytes == 0 && d.Ratio > 40 || d.BackgroundBytes == 0 && d.BackgroundRatio > 20:
		f.Status, f.Remedy = Warn, "a sync may wait behind that much: sysctl vm.dirty_background_ratio=5 vm.dirty_ratio=20"
	}
	return f
}

func dirtyLimit(bytes, ratio int64) string {
	if bytes > 0 {
		return size(bytes)
	}
	return fmt.Sprintf("%d %% of memory", ratio)
}

func judgeCongestion(c Congestion) Finding {
	f := Finding{OK, "congestion control", fmt.Sprintf("%s, available: %s", c.Default, strings.Join(c.Available, " ")), ""}
	switch {
	case c.Default == "":
		f.Status, f.Found, f.Remedy = Warn, "unknown", "mount /proc"
	case strings.HasPrefix(c.Default, "bbr") && slices.Contains(c.Available, "cubic"):
		f.Status, f.Remedy = Warn, "it paces what sendfile could send faster, on loopback to a sixth: serve --congestion cubic for clients nearby"
	case strings.HasPrefix(c.Default, "bbr"):
		f.Status, f.Remedy = Warn, "it paces what sendfile could send faster, on loopback to a sixth: modprobe tcp_cubic, then serve --congestion cubic for clients nearby"
	}
	return f
}

// judgeClock knows the sources that cost a system call each time.
func judgeClock(source string) Finding {
	f := Finding{OK, "clock source", source, ""}
	switch source {
	case "":
		f.Status, f.Found, f.Remedy = Warn, "unknown", "mount /sys"
	case "hpet", "acpi_pm", "refined-jiffies", "jiffies", "xen":
		f.Status, f.Remedy = Warn, "reading the time is a system call with it: see /sys/devices/system/clocksource/clocksource0/available_clocksource for tsc or the hypervisor's own"
	}
	return f
}

// judgePath is for a way from files to sockets.
func judgePath(name string, err error, good, remedy string) Finding {
	if err != nil {
		return Finding{Warn, name, err.Error(), remedy}
	}
	return Finding{OK, name, good, ""}
}

func judgePipe(p Pipe) Finding {
	f := Finding{OK, "pipe size", size(int64(p.Granted)), ""}
	switch {
	case p.Err != nil:
		f.Status, f.Found, f.Remedy = Warn, p.Err.Error(), "leave --fetch-path at auto"
	case p.Granted >= wantPipeBytes:
	case p.MaxBytes >= 0 && p.MaxBytes < wantPipeBytes:
		f.Status, f.Remedy = Warn, fmt.Sprintf("--fetch-path splice is slower with it: sysctl fs.pipe-max-size=%d", wantPipeBytes)
	default:
		f.Status, f.Remedy = Warn, fmt.Sprintf("--fetch-path splice is slower with it; this user's pipes have used up fs.pipe-user-pages-soft, which is %d pages", p.UserPages)
	}
	return f
}

// judgeOptional is for what newer kernels add: its absence is no fault.
func judgeOptional(name string, err error, good, since string) Finding {
	if err != nil {
		return Finding{OK, name, fmt.Sprintf("not here (%v); it comes with %s, nothing depends on it", err, since), ""}
	}
	return Finding{OK, name, good, ""}
}

// judgeIOUring says who forbids it, if anybody does. Connections are served
// through the poller of the Go runtime, so its absence is no fault.
func judgeIOUring(err error, disabled int64) Finding {
	f := Finding{OK, "io_uring", "allowed; connections are served by epoll", ""}
	if err == nil {
		return f
	}
	cause := err.Error()
	switch {
	case disabled == 2:
		cause = "forbidden by sysctl kernel.io_uring_disabled=2"
	case disabled == 1:
		cause = "for members of kernel.io_uring_group only, by sysctl kernel.io_uring_disabled=1"
	case errors.Is(err, syscall.EPERM):
		cause = "forbidden, likely by a container's seccomp profile"
	case errors.Is(err, syscall.ENOSYS):
		cause = "unknown to this kernel"
	}
	f.Found = cause + "; connections are served by epoll, nothing depends on it"
	return f
}

// judgeDurability names the topics that gave up what the others are promised.
func judgeDurability(d Data) []Finding {
	const name = "durability"
	switch {
	case !d.Exists || d.Err != nil:
		return nil
	case d.TopicsErr != nil:
		return []Finding{{Warn, name, d.TopicsErr.Error(), "rollway dump " + d.Path}}
	case len(d.Topics) == 0:
		return []Finding{{OK, name, "all topics show a record when it is durable", ""}}
	}
	var found []Finding
	for _, t := range d.Topics {
		found = append(found, Finding{Warn, name + " of " + t.Name, "flush.messages=" + t.FlushMessages + ": records are shown before they are durable, and a power cut may take the last ones",
			"rollway topic alter " + t.Name + " --reset flush.messages"})
	}
	return found
}

// size writes bytes for people, in binary units.
func size(bytes int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	n, unit := float64(bytes), 0
	for n >= 1024 && unit < len(units)-1 {
		n /= 1024
		unit++
	}
	if unit == 0 || n == float64(int64(n)) {
		return fmt.Sprintf("%.0f %s", n, units[unit])
	}
	return fmt.Sprintf("%.1f %s", n, units[unit])
}
