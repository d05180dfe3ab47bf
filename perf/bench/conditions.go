package main

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/rollway/rollway/perf/host"
)

// conditions are what the figures hold under. before is the usage when the run
// began.
func (b *bench) conditions(begin time.Time, before host.Usage) ([]condition, error) {
	m, err := host.Describe(b.dir)
	if err != nil {
		return nil, err
	}
	after, err := host.UsageNow()
	if err != nil {
		return nil, err
	}
	others, stolen := after.Since(before)
	cores := "one core for all"
	if b.server >= 0 {
		cores = fmt.Sprintf("server on core %d (GOMAXPROCS %d), client on core %d", b.server, b.ends.procs, b.client)
	}
	return []condition{
		{"command", commandLine(os.Args[1:])},
		{"commit", commit()},
		{"when", fmt.Sprintf("%s, took %s", begin.UTC().Format("2006-01-02 15:04 UTC"), time.Since(begin).Round(time.Second))},
		{"kernel", m.Kernel},
		{"cpu", m.CPU},
		{"cores", cores},
		{"noise", fmt.Sprintf("%.1f %% of all cores' time used by others, %.1f %% stolen", others*100, stolen*100)},
		{"memory", m.Memory},
		{"go", m.Go},
		{"data directory", m.FileSystem},
		{"TCP, client", strings.Join(slices.Sorted(maps.Keys(b.ends.client)), "; ")},
		{"TCP, servers", strings.Join(slices.Sorted(maps.Keys(b.ends.server)), "; ")},
		{"memory state", "fetch: warm, every contestant's pages in the cache and clean; " +
			"produce: warm, the files' pages were in the cache before they were written; durable: new files"},
		{"durability", "fetch and produce: page cache only (flush.messages=" + pageCacheMode[0].Value + "); durable and commit: durable before each answer"},
		{"figures", fmt.Sprintf("median of %s after one uncounted, contestants in turn; "+
			"spread is lowest - highest; ratios are medians of each round's ratio", plural(b.options.rounds, "round"))},
	}, nil
}

// commandLine is how the program was started.
func commandLine(args []string) string {
	return strings.Join(append([]string{"go run ./perf/bench"}, args...), " ")
}

// commit names what was measured.
func commit() string {
	git := func(args ...string) (string, error) {
		c := exec.Command("git", args...)
		c.Env = append(os.Environ(), "GIT_OPTIONAL_LOCKS=0") // it only looks
		out, err := c.Output()
		return strings.TrimSpace(string(out)), err
	}
	head, err := git("rev-parse", "--short=12", "HEAD")
	if err != nil {
		return "unknown (not in a git checkout)"
	}
	if changes, err := git("status", "--porcelain"); err != nil || changes != "" {
		head += " and changes that are not committed"
	}
	return head
}
