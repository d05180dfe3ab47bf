package host

import (
	"fmt"
	"strconv"
	"strings"
)

// cpuInfo is what /proc/cpuinfo says.
type cpuInfo struct {
	model   string
	cores   int
	virtual bool // under a hypervisor
}

func (c cpuInfo) String() string {
	text := fmt.Sprintf("%s, %d cores", c.model, c.cores)
	if c.virtual {
		text += ", virtual"
	}
	return text
}

// parseCPUInfo reads /proc/cpuinfo of x86, where a model has a name, and of
// arm64, where it has numbers.
func parseCPUInfo(text string) cpuInfo {
	var c cpuInfo
	var implementer, part string
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		switch key {
		case "processor":
			c.cores++
		case "model name":
			c.model = value
		case "CPU implementer":
			implementer = value
		case "CPU part":
			part = value
		case "flags":
			c.virtual = strings.Contains(" "+value+" ", " hypervisor ")
		}
	}
	switch {
	case c.model != "":
	case implementer != "":
		c.model = "CPU implementer " + implementer + " part " + part
	default:
		c.model = "unknown CPU"
	}
	return c
}

// parseMemInfo returns a field of /proc/meminfo in bytes, 0 when it is missing.
func parseMemInfo(text, field string) int64 {
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, field+":")
		if !ok {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
		if err != nil {
			return 0
		}
		return kib << 10
	}
	return 0
}

// parseCPUTicks returns from /proc/stat how many ticks all cores together were
// busy, idle and stolen by the hypervisor since boot (proc_stat(5)).
func parseCPUTicks(text string) (busy, idle, stolen int64, err error) {
	line, _, _ := strings.Cut(text, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, 0, 0, fmt.Errorf("/proc/stat: first line %q, want cpu and at least 8 numbers", line)
	}
	var n [8]int64 // user nice system idle iowait irq softirq steal; guest is in user
	for i := range n {
		if n[i], err = strconv.ParseInt(fields[i+1], 10, 64); err != nil {
			return 0, 0, 0, fmt.Errorf("/proc/stat: %w", err)
		}
	}
	return n[0] + n[1] + n[2] + n[5] + n[6], n[3] + n[4], n[7], nil
}

// Mount is one line of /proc/self/mountinfo (proc_pid_mountinfo(5)).
type Mount struct {
	Point   string // where
	Type    string // of file system
	Source  string // device or the like
	Options string // of the mount, then of the file system
}

func (m Mount) String() string { return m.Type + " on " + m.Source + " (" + m.Options + ")" }

// findMount returns the mount that holds path, which is absolute and has no
// symbolic links: the one with the longest mount point, of equal ones the last,
// which covers the others.
func findMount(mountinfo, path string) (best Mount, ok bool) {
	for line := range strings.Lines(mountinfo) {
		// 36 35 98:0 /root /mount/point rw,noatime master:1 - ext4 /dev/sda rw,errors=continue
		before, after, found := strings.Cut(strings.TrimSpace(line), " - ")
		head, tail := strings.Fields(before), strings.Fields(after)
		if !found || len(head) < 6 || len(tail) < 2 {
			continue
		}
		point := unescapeMount(head[4])
		if point != "/" && path != point && !strings.HasPrefix(path, point+"/") {
			continue
		}
		if len(point) < len(best.Point) {
			continue
		}
		best, ok = Mount{Point: point, Type: tail[0], Source: unescapeMount(tail[1]), Options: head[5]}, true
		if len(tail) > 2 {
			best.Options = joinOptions(head[5], tail[2])
		}
	}
	return best, ok
}

// joinOptions joins two lists and drops from the second what the first has.
func joinOptions(first, second string) string {
	out := strings.Split(first, ",")
	for _, o := range strings.Split(second, ",") {
		if !strings.Contains(","+first+",", ","+o+",") {
			out = append(out, o)
		}
	}
	return strings.Join(out, ",")
}

// unescapeMount undoes the octal escapes of space, tab, newline and backslash.
func unescapeMount(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
