package main

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
)

// A broker is started and stopped by hand, once of each, and one that does not run
// cannot be stopped.
func TestStartStop(t *testing.T) {
	if os.Getenv("ROLLWAY_LAB_KAFKA") == "" {
		t.Skip("starts Apache Kafka, whose jars scripts/kafka fetch fetches: set ROLLWAY_LAB_KAFKA=1")
	}
	dir := t.TempDir()
	command := func(name string) (string, error) {
		var out strings.Builder
		err := run(t.Context(), []string{name, "-dir", dir}, &out)
		return out.String(), err
	}
	if _, err := command("stop"); err == nil {
		t.Error("stop of none: no error")
	}
	t.Cleanup(func() { command("stop") }) // of what a failure left
	for range 2 {                         // over the same data
		out, err := command("start")
		if err != nil {
			t.Fatal(err)
		}
		t.Log(out)
		if !regexp.MustCompile(`(?m)^endpoint 127\.0\.0\.1:\d+\npid \d+\nready after \d+ ms\nheap -Xms1g -Xmx1g$`).MatchString(out) {
			t.Errorf("start said %q, want endpoint, process and heap", out)
		}
		if _, err := command("start"); err == nil || !strings.Contains(err.Error(), "runs already") {
			t.Errorf("start of a second one: %v, want it refused", err)
		}
		if out, err := command("stop"); err != nil || !strings.Contains(out, "has ended") {
			t.Errorf("stop: %q, %v", out, err)
		}
	}
	if _, err := command("stop"); err == nil {
		t.Error("stop of one that has ended: no error")
	}
}

// Commands and flags that there are not are refused, and help says which there are.
func TestUsage(t *testing.T) {
	f := func(want string, args ...string) {
		t.Helper()
		var out strings.Builder
		err := run(t.Context(), args, &out)
		if err == flag.ErrHelp {
			if want != "" || !strings.Contains(out.String(), "stop") || !strings.Contains(out.String(), "-heap") {
				t.Errorf("%q: help %q, want an error with %q, or all commands and flags", args, out.String(), want)
			}
			return
		}
		if err == nil || want == "" || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
	}
	f("")
	f("", "-h")
	f("", "start", "-h")
	f("want fetch", "restart")
	f("-host", "start", "-host", "x")
	f("argument", "stop", "now")
}
