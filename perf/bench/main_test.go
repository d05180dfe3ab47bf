package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rollway/rollway/internal/golden"
)

// TestMain makes this program a server process when it is told to be one.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == serverArgument {
		if err := runServer(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	// A server process built with -race would sleep for a second at its end.
	os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	os.Exit(m.Run())
}

// Flags are read, and each that is out of range is named.
func TestParseOptions(t *testing.T) {
	t.Setenv("TMPDIR", "/tmp")
	f := func(args string, change func(*options), wantErr string) {
		t.Helper()
		got, err := parseOptions(strings.Fields(args), new(bytes.Buffer))
		if wantErr != "" {
			if err == nil || !strings.Contains(err.Error(), wantErr) {
				t.Errorf("%q: %v, want %q", args, err, wantErr)
			}
			return
		}
		want := options{rounds: 5, bytes: 1 << 30, time: time.Second, only: []string{"fetch", "produce", "durable", "commit", "kafka"}, congestion: "cubic", dir: "/d"}
		change(&want)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q = %+v, %v; want %+v", args, got, err, want)
		}
	}
	f("-dir /d", func(o *options) {}, "")
	f("-dir /d -rounds 3 -bytes 256MiB -time 2s", func(o *options) { o.rounds, o.bytes, o.time = 3, 256<<20, 2*time.Second }, "")
	f("-dir /d -only durable,fetch -congestion reno", func(o *options) { o.only, o.congestion = []string{"durable", "fetch"}, "reno" }, "")
	f("-dir /d -markdown m -profile p", func(o *options) { o.markdown, o.profile = "m", "p" }, "")

	f("-rounds 0", nil, "-rounds 0, want 1 to 1000")
	f("-bytes 12", nil, `-bytes: "12", want a number and a unit`)
	f("-bytes MiB", nil, `-bytes: "MiB"`)
	f("-bytes 1MiBGiB", nil, `-bytes: "1MiBGiB"`)
	f("-bytes 0MiB", nil, "-bytes: 0 bytes, want 1 MiB to 1792 MiB")
	f("-bytes 2GiB", nil, "-bytes: 2 GiB, want 1 MiB to 1792 MiB")
	f("-bytes -1MiB", nil, "-bytes: -1048576 bytes")
	f("-time 1ms", nil, "-time 1ms, want 10ms to 1m0s")
	f("-only fetch,speed", nil, `-only: "speed", want some of fetch, produce, durable, commit`)
	f("-fast", nil, "flag provided but not defined: -fast; see -help")
	f("fetch", nil, `argument "fetch", want flags only; see -help`)
}

// The help is what it was.
func TestHelp(t *testing.T) {
	var out bytes.Buffer
	if _, err := parseOptions([]string{"--help"}, &out); err == nil {
		t.Error("--help was taken for a run")
	}
	golden.Check(t, "help", out.Bytes())
}

// A whole run measures every contestant of every suite, writes the page again
// and again between its marks, and leaves nothing behind.
func TestRun(t *testing.T) {
	o := smallRun(t)
	o.only = []string{"fetch", "produce", "durable"}
	o.markdown = filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(o.markdown, []byte("# Before\n"+marks.Begin()+"\nold figures\n"+marks.End()+"\nAfter\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(t.Context(), o, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"TCP, client     reno\n", "TCP, servers    reno; reno, notsent_lowat 262144\n",
		"fetch 1 MiB, 1 request in flight\n", "fetch 64 KiB, 8 requests in flight\n", "rollway splice ",
		"produce 64 KiB batches, page cache, 4 connections\n", "durable produce, 64 producers, 64 partitions\n", " of 7 targets met\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %q:\n%s", want, out.String())
		}
	}
	page, err := os.ReadFile(o.markdown)
	if err != nil {
		t.Fatal(err)
	}
	if p := string(page); !strings.HasPrefix(p, "# Before\n"+marks.Begin()) || !strings.HasSuffix(p, marks.End()+"\nAfter\n") ||
		strings.Contains(p, "old figures") || !strings.Contains(p, "### Durable produce, 64 producers, 1 partition\n") {
		t.Errorf("page:\n%s", p)
	}
	checkNothingLeft(t, o.dir)
}

// The commit suite measures what it says, here for the smallest of its cases.
func TestCommitSuite(t *testing.T) {
	all := commitCases
	t.Cleanup(func() { commitCases = all })
	commitCases = []commitCase{{producers: 4, partitions: 6, batchBytes: 1 << 10, leastRate: 1}}
	o := smallRun(t)
	o.only = []string{"commit"}
	var out bytes.Buffer
	if err := run(t.Context(), o, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"commit, 4 producers, 1 KiB, 6 partitions\n", "fdatasync per batch ", "durable beside page cache\n", " of 3 targets met\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %q:\n%s", want, out.String())
		}
	}
	checkNothingLeft(t, o.dir)
}

// The kafka suite measures the same batches over both protocols.
func TestKafkaSuite(t *testing.T) {
	o := smallRun(t)
	o.only = []string{"kafka"}
	var out bytes.Buffer
	if err := run(t.Context(), o, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"kafka fetch 1 MiB, 8 requests in flight\n", "kafka fetch 64 KiB, 1 request in flight\n",
		"kafka produce 64 KiB batches, page cache, 4 connections\n", "  native ", "  kafka ", " of 4 targets met\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %q:\n%s", want, out.String())
		}
	}
	checkNothingLeft(t, o.dir)
}

// A run that is interrupted stops its servers and removes its files.
func TestRunInterrupted(t *testing.T) {
	o := smallRun(t)
	o.rounds = 1000
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := run(ctx, o, new(bytes.Buffer)); err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("interrupted run ended with %v", err)
	}
	checkNothingLeft(t, o.dir)
}

// A run that cannot be says why.
func TestRunRefused(t *testing.T) {
	f := func(change func(*options), want string) {
		t.Helper()
		o := smallRun(t)
		change(&o)
		err := run(t.Context(), o, new(bytes.Buffer))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("run ended with %v, want %q", err, want)
		}
	}
	f(func(o *options) { o.dir = "/missing" }, "/missing: no such file")
	f(func(o *options) { o.congestion = "teleport" }, "teleport")
	f(func(o *options) { o.profile = "/missing" }, "/missing/")
	f(func(o *options) { o.markdown = "main.go" }, "main.go: no lines "+marks.Begin())
}

// smallRun returns options for a run that takes no time and measures nothing
// of use.
func smallRun(t *testing.T) options {
	t.Helper()
	o, err := parseOptions([]string{"-rounds", "1", "-bytes", "1MiB", "-time", "10ms", "-congestion", "reno", "-dir", t.TempDir()}, new(bytes.Buffer))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// checkNothingLeft fails the test if a file or a process is left of a run.
func checkNothingLeft(t *testing.T, dir string) {
	t.Helper()
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("left in the directory: %v, %v", entries, err)
	}
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range lists {
		// A thread may have ended since.
		if children, err := os.ReadFile(list); err == nil && len(bytes.TrimSpace(children)) > 0 {
			t.Errorf("left running: processes %s", children)
		}
	}
}
