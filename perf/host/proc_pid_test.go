package host

import (
	"maps"
	"testing"
	"time"
)

// Fields are found by their whole name, with and without a unit.
func TestParseField(t *testing.T) {
	const text = "Name:\tjava\nvoluntary_ctxt_switches:\t150\nnonvoluntary_ctxt_switches:\t545\nRss:      123 kB\nEmpty:\n"
	f := func(field string, want int64) {
		t.Helper()
		if got := parseField(text, field); got != want {
			t.Errorf("field %s = %d, want %d", field, got, want)
		}
	}
	f("voluntary_ctxt_switches", 150)
	f("nonvoluntary_ctxt_switches", 545)
	f("Rss", 123)
	f("Name", 0)
	f("Empty", 0)
	f("Missing", 0)
	if got, want := parseSwitches(text), (switches{150, 545}); got != want {
		t.Errorf("switches %+v, want %+v", got, want)
	}
}

// User time is field 14, whatever the program is called.
func TestParseUserTime(t *testing.T) {
	f := func(text string, want time.Duration, ok bool) {
		t.Helper()
		if got, err := parseUserTime(text); got != want || (err == nil) != ok {
			t.Errorf("user time of %q = %v, %v; want %v", text, got, err, want)
		}
	}
	f("42 (cat) S 1 42 42 0 -1 4194304 100 0 0 0 250 7 0 0 20 0 1 0", 2500*time.Millisecond, true)
	f("42 (a) b) (c) S 1 42 42 0 -1 4194304 100 0 0 0 3 7 0", 30*time.Millisecond, true)
	f("42 (cat) S 1 42", 0, false)
	f("42 (cat) S 1 42 42 0 -1 4194304 100 0 0 0 x 7", 0, false)
	f("", 0, false)
}

// A device is found by both of its numbers; sectors have 512 bytes.
func TestParseDiskStats(t *testing.T) {
	const text = " 254       0 vda 10 0 80 5 20 0 4096 9 0 1 2 0 0 0 0 0 0\n 254      16 vdb 10 0 80 5 20 0 8 9 0 1 2\n   7       0 loop0\n"
	f := func(major, minor uint32, want int64, ok bool) {
		t.Helper()
		if got, found := parseDiskStats(text, major, minor); got != want || found != ok {
			t.Errorf("device %d:%d = %d, %v; want %d, %v", major, minor, got, found, want, ok)
		}
	}
	f(254, 0, 2<<20, true)
	f(254, 16, 4096, true)
	f(254, 1, 0, false)
	f(7, 0, 0, false)
}

// Calls are read with and without errors beside them; what is no table is refused.
func TestParseStrace(t *testing.T) {
	const table = `% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 61.54    0.000112           2        50         3 read
 38.46    0.000070          10         7           write
------ ----------- ----------- --------- --------- ----------------
100.00    0.000182           3        57         3 total
`
	got, err := parseStrace(table)
	if want := map[string]int64{"read": 50, "write": 7}; err != nil || !maps.Equal(got, want) {
		t.Errorf("calls %v, %v; want %v", got, err, want)
	}
	if got, err := parseStrace(""); err != nil || len(got) != 0 {
		t.Errorf("calls of a process that made none: %v, %v; want none", got, err)
	}
	for _, text := range []string{"strace: no\n", "------ -\n 1 2 3 many read\n------ -\n"} {
		if got, err := parseStrace(text); err == nil {
			t.Errorf("calls of %q = %v, want an error", text, got)
		}
	}
}
