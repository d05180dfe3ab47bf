package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/rollway/rollway/perf/host"
	"github.com/rollway/rollway/perf/result"
	"github.com/rollway/rollway/perf/sample"
)

// machineConditions are what the figures hold under, but for what contestants say
// of themselves and for the noise.
func (l *lab) machineConditions(network string, warning bool) ([]result.Condition, error) {
	m, err := host.Describe(l.dir)
	if err != nil {
		return nil, err
	}
	return []result.Condition{
		{Name: "kernel", Text: m.Kernel},
		{Name: "cpu", Text: m.CPU},
		{Name: "cores", Text: l.cores.String() + "; the same for all contestants"},
		{Name: "memory", Text: m.Memory},
		{Name: "data directory", Text: m.FileSystem},
		{Name: "go", Text: m.Go},
		{Name: "network", Text: network, Warning: warning},
		{Name: "memory state", Text: "produce goes into new files; what was written before a turn is on the disk, and memory for the turn's pages was touched right before it; " +
			"catch-up reads are of cached, clean pages but in f, whose server is in a memory group and whose backlog was dropped from the cache"},
		{Name: "durability", Text: "page cache before acknowledging in all workloads but h and those with durable in their name: there everybody syncs before"},
		{Name: effortCondition, Text: l.profile.effort.String()},
		{Name: "clients", Text: "acks=all, no compression, no idempotence in the raw clients (a-c, e, g, h, j, k), idempotence in the generator's (d, f, i); batches as they were sent are read back from each server"},
		{Name: "figures", Text: "medians over rounds, contestants in turn; each workload's warm-up and the first seconds after a start are measured apart; system calls are counted in a turn of their own"},
	}, nil
}

// effortCondition is the name of what says how thoroughly a run measures.
const effortCondition = "effort"

const (
	// noisyShare of all cores' time, used by others or stolen, makes a run noisy.
	noisyShare = 0.03
	// noisySpread is the spread, highest over lowest, of a figure that ought to be the
	// same in all rounds.
	noisySpread = 1.25
)

// noise is how quiet the machine was in the turns of the run, by all processes that
// carried it out.
func (l *lab) noise() (result.Condition, error) {
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return result.Condition{}, err
	}
	others, stolen := l.disturbed()
	wide, all := l.spreads()
	c := result.Condition{
		Name: "noise", Warning: others > noisyShare || stolen > noisyShare || 3*wide > all,
		Text: fmt.Sprintf("%.1f %% of all cores' time used by others, %.1f %% stolen; load %s; CPU a request or GiB varied by more than %.0f %% between rounds in %d of %d rows",
			others*100, stolen*100, strings.Join(strings.Fields(string(load))[:3], " "), (noisySpread-1)*100, wide, all),
	}
	return c, nil
}

// disturbed is the share of all cores' time that others used or that was stolen in the
// counted part of a turn.
func (t taken) disturbed() float64 {
	return (t.figures["others_percent"] + t.figures["stolen_percent"]) / 100
}

// disturbed are the shares of all cores' time that others used and that was stolen,
// over the counted parts of all turns.
func (l *lab) disturbed() (others, stolen float64) {
	var seconds float64
	for _, m := range l.measures {
		elapsed := m.Figures["elapsed_s"]
		seconds += elapsed
		others += elapsed * m.Figures["others_percent"] / 100
		stolen += elapsed * m.Figures["stolen_percent"] / 100
	}
	if seconds == 0 {
		return 0, 0
	}
	return others / seconds, stolen / seconds
}

// spreads counts the rows, a contestant in a workload, in which the CPU that was
// used for the same work varied much.
func (l *lab) spreads() (wide, all int) {
	rows := map[[2]string]sample.Series{}
	for _, m := range l.measures {
		if cpu, ok := m.Figures["cpu_us_req"]; ok && m.Phase == result.Counted {
			key := [2]string{m.Workload, m.Contestant}
			rows[key] = append(rows[key], cpu)
		}
	}
	for _, s := range rows {
		if len(s) < 2 {
			continue
		}
		all++
		if low, high := s.Spread(); high > noisySpread*low {
			wide++
		}
	}
	return wide, all
}

// commit names what is measured.
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
	// Results of other runs are no change of what is measured.
	if changes, err := git("status", "--porcelain", "--", ".", ":!perf/results", ":!BENCHMARKS.md"); err != nil || changes != "" {
		head += " and changes that are not committed"
	}
	return head
}

// newRunID names a run by its beginning and profile.
func newRunID(began time.Time, profile string) string {
	return began.UTC().Format("20060102-150405") + "-" + profile
}
