package host

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// switches are the context switches of a thread: because it waits, and because
// another one is to run.
type switches struct{ voluntary, involuntary int64 }

// parseSwitches reads /proc/PID/task/TID/status.
func parseSwitches(text string) switches {
	return switches{
		voluntary:   parseField(text, "voluntary_ctxt_switches"),
		involuntary: parseField(text, "nonvoluntary_ctxt_switches"),
	}
}

// parseField returns the number behind "field:" in a file of such lines, without
// its unit; 0 when it is missing.
func parseField(text, field string) int64 {
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, field+":")
		if !ok {
			continue
		}
		words := strings.Fields(rest)
		if len(words) == 0 {
			return 0
		}
		n, err := strconv.ParseInt(words[0], 10, 64)
		if err != nil {
			return 0
		}
		return n
	}
	return 0
}

// parseUserTime returns from /proc/PID/stat the time that all threads, those that
// have ended too, were in user mode (proc_pid_stat(5), field 14).
func parseUserTime(text string) (time.Duration, error) {
	// The second field is a name in parentheses, which may have any.
	_, rest, ok := cutLast(text, ")")
	words := strings.Fields(rest)
	const at = 14 - 3 // the first word is field 3
	if !ok || len(words) <= at {
		return 0, fmt.Errorf("%.100q, want a name in parentheses and at least 12 fields behind it", text)
	}
	ticks, err := strconv.ParseInt(words[at], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("field 14: %w", err)
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond, nil
}

// ticksPerSecond is USER_HZ, fixed for all of Linux's interfaces.
const ticksPerSecond = 100

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// sectorBytes is the unit of /proc/diskstats, whatever the disk's own is.
const sectorBytes = 512

// parseDiskStats returns how many bytes were written to a device since boot
// (/proc/diskstats of proc(5)); false when it is not listed.
func parseDiskStats(text string, major, minor uint32) (written int64, ok bool) {
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 10 || words[0] != strconv.Itoa(int(major)) || words[1] != strconv.Itoa(int(minor)) {
			continue
		}
		n, err := strconv.ParseInt(words[9], 10, 64)
		return n * sectorBytes, err == nil
	}
	return 0, false
}

// parseStrace reads what `strace -c` has written and returns the calls by name.
//
//	% time     seconds  usecs/call     calls    errors syscall
//	------ ----------- ----------- --------- --------- ----------------
//	 61.54    0.000112           2        50         3 read
//	 38.46    0.000070          10         7           write
//	------ ----------- ----------- --------- --------- ----------------
//	100.00    0.000182           3        57         3 total
func parseStrace(text string) (map[string]int64, error) {
	calls := map[string]int64{}
	rule := 0
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "------") {
			rule++
			continue
		}
		words := strings.Fields(line)
		if rule != 1 || len(words) < 5 {
			continue
		}
		n, err := strconv.ParseInt(words[3], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("strace -c: line %q, want a number of calls as the fourth word", strings.TrimSpace(line))
		}
		calls[words[len(words)-1]] = n
	}
	if rule != 2 && strings.TrimSpace(text) != "" {
		return nil, fmt.Errorf("strace -c: %.200q, want a table", text)
	}
	return calls, nil
}
