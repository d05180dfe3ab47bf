package main

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/rollway/rollway/perf/contestant"
	"github.com/rollway/rollway/perf/result"
	"github.com/rollway/rollway/perf/sample"
)

// What a tool of others may differ by from the lab's own clients.
const (
	mayDifferRatio = 0.25 // in the ratio of rollway to Kafka
	mayDifferCPU   = 0.15 // in a server's CPU for a GiB
	// busyCores is how many cores a tool that is the limit keeps busy at least, of
	// one that it has.
	busyCores = 0.85
)

// series are the figures of a tool and a server, by rounds.
type series struct {
	rate    sample.Series // MiB/s
	cpu     sample.Series // s/GiB, of the server
	cores   sample.Series // that the tool kept busy
	waits   sample.Series // of the server, for a MiB
	stolen  sample.Series // percent
	batches sample.Series // KiB, as the server got them
}

// of returns the figures of a tool and a server.
func (c *crosscheck) of(w workload, tool, subject string) (s series) {
	for _, seen := range c.seen[key{w.name, tool, subject}] {
		f := seen.figures(w)
		s.rate, s.cpu = append(s.rate, f[w.rate]), append(s.cpu, f["cpu_s_gib"])
		s.cores = append(s.cores, seen.cores())
		s.waits = append(s.waits, seen.waitsPerMiB())
		s.stolen = append(s.stolen, 100*seen.stolen)
		s.batches = append(s.batches, float64(seen.bytes)/float64(max(1, seen.batches))/(1<<10))
	}
	return s
}

// figures are those of package result.
func (s sight) figures(w workload) map[string]float64 {
	f := map[string]float64{
		w.rate:      float64(s.bytes) / (1 << 20) / s.elapsed.Seconds(),
		"cpu_s_gib": s.cpu.Seconds() / (float64(s.bytes) / (1 << 30)),
		"elapsed_s": s.elapsed.Seconds(),
	}
	if s.waits > 0 {
		f["switches_voluntary_mib"], f["stolen_percent"] = s.waitsPerMiB(), 100*s.stolen
	}
	return f
}

// waitsPerMiB is how often the server's threads have waited for a MiB.
func (s sight) waitsPerMiB() float64 { return float64(s.waits) / (float64(s.bytes) / (1 << 20)) }

// resultName is the workload's in a file of results: each tool's is one of its own.
func resultName(w workload, tool string) string {
	return "x-" + w.name + "-" + strings.ToLower(strings.NewReplacer(",", "", " ", "-").Replace(tool))
}

// note keeps what was seen, and writes it.
func (c *crosscheck) note(w workload, tool, subject string, round int, seen sight) error {
	k := key{w.name, tool, subject}
	c.seen[k] = append(c.seen[k], seen)
	if c.writer == nil {
		return nil
	}
	return c.writer.Measure(result.Measure{
		Workload: resultName(w, tool), Contestant: subject, Round: round, At: time.Now(), Figures: seen.figures(w),
	})
}

// description is the first line of a file of results.
func (c *crosscheck) description() result.Run {
	now := time.Now()
	r := result.Run{
		ID: "crosscheck-" + now.UTC().Format("20060102-150405"), Profile: "crosscheck", Began: now, Commit: c.options.commit,
		Command: fmt.Sprintf("scripts/crosscheck --rounds %d --mib %d", c.options.rounds, c.options.mib),
		Contestants: []result.Contestant{
			{Name: contestant.RollwayKafka, Title: contestant.Title(contestant.RollwayKafka)}, {Name: contestant.Kafka, Title: contestant.Title(contestant.Kafka)},
		},
		Conditions: []result.Condition{
			{Name: "cores", Text: fmt.Sprintf("servers on %v, tools on %v", c.serverCores, c.toolCores)},
			{Name: "congestion control", Text: congestion()},
		},
	}
	add := func(w workload, tools ...string) {
		for _, name := range tools {
			r.Workloads = append(r.Workloads, result.Workload{
				Name: resultName(w, name), Title: w.title + ", by " + name, Main: []string{w.rate, "cpu_s_gib"}, Rounds: c.options.rounds,
			})
		}
	}
	for _, w := range c.workloads() {
		add(w, w.rows()...)
	}
	if c.iperf != "" {
		for _, name := range []string{contestant.RollwayNative, contestant.BareSendFile} {
			r.Contestants = append(r.Contestants, result.Contestant{Name: name, Title: contestant.Title(name)})
		}
		r.Contestants = append(r.Contestants, result.Contestant{Name: iperfName, Title: iperfName})
		for _, t := range c.readers() {
			add(sendFileWorkload, t.name)
		}
	}
	return r
}

// rows are whose figures a workload has: the lab's client at full speed, and each tool
// with the lab's client as that tool.
func (w workload) rows() []string {
	names := []string{labTool}
	for _, t := range w.tools {
		names = append(names, t.name)
		for _, burst := range w.bursts {
			names = append(names, asTool(t.name, burst))
		}
	}
	return names
}

// likest is the lab's client that was most like a tool with a server: in the bursts with
// which it had that wait as often for as much. How a tool's batches come together depends
// on how soon they are answered.
func (c *crosscheck) likest(w workload, tool, subject string) string {
	waits := c.of(w, tool, subject).waits
	apart := func(burst int) float64 {
		return math.Abs(math.Log(c.of(w, asTool(tool, burst), subject).waits.Over(waits).Median()))
	}
	return asTool(tool, slices.MinFunc(w.bursts, func(a, b int) int { return cmp.Compare(apart(a), apart(b)) }))
}

// congestion is the congestion control of connections that do not choose one.
func congestion() string {
	text, err := os.ReadFile("/proc/sys/net/ipv4/tcp_congestion_control")
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text))
}

// table is a workload's: what each tool saw of both servers, and how that differs
// from what the lab's client saw as that tool.
func (c *crosscheck) table(w workload) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s\n", w.title)
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	head := "  tool\trollway MiB/s\tKafka MiB/s\tratio\trollway CPU s/GiB\tKafka CPU s/GiB\tratio\ttool's cores\twaits/MiB\tstolen %"
	if w.produces {
		head += "\tbatches KiB"
	}
	fmt.Fprintln(t, head)
	for _, name := range w.rows() {
		r, k := c.of(w, name, contestant.RollwayKafka), c.of(w, name, contestant.Kafka)
		fmt.Fprintf(t, "  %s\t%.0f\t%.0f\t%.2f\t%.3f\t%.3f\t%.2f\t%.2f, %.2f\t%.1f, %.1f\t%.1f, %.1f", name, r.rate.Median(), k.rate.Median(), r.rate.Over(k.rate).Median(),
			r.cpu.Median(), k.cpu.Median(), r.cpu.Over(k.cpu).Median(), r.cores.Median(), k.cores.Median(),
			r.waits.Median(), k.waits.Median(), r.stolen.Median(), k.stolen.Median())
		if w.produces {
			fmt.Fprintf(t, "\t%.1f, %.1f", r.batches.Median(), k.batches.Median())
		}
		fmt.Fprintln(t)
	}
	t.Flush() // into a strings.Builder
	for _, tool := range w.tools {
		for _, v := range c.verdicts(w, tool.name) {
			fmt.Fprintf(&b, "  %s\n", v)
		}
	}
	return b.String()
}

// verdicts hold a tool against the lab's client as that tool, turn by turn: each server
// for itself, and then the two.
func (c *crosscheck) verdicts(w workload, tool string) []string {
	r, k := c.of(w, tool, contestant.RollwayKafka), c.of(w, tool, contestant.Kafka)
	like, likeKafka := c.likest(w, tool, contestant.RollwayKafka), c.likest(w, tool, contestant.Kafka)
	ours, theirs := c.of(w, like, contestant.RollwayKafka), c.of(w, likeKafka, contestant.Kafka)
	cpuOurs, cpuTheirs := r.cpu.Over(ours.cpu).Median(), k.cpu.Over(theirs.cpu).Median()
	limit, both := limit(r, k), like
	if likeKafka != like {
		both += " and " + likeKafka
	}
	as := both
	if w.serverLimits {
		ours, theirs = c.of(w, labTool, contestant.RollwayKafka), c.of(w, labTool, contestant.Kafka)
		as = labTool
	}
	return []string{
		verdict(tool+": ratio of throughput", as, r.rate.Over(ours.rate).Median()/k.rate.Over(theirs.rate).Median(), mayDifferRatio) + limit,
		verdict(tool+": ratio of CPU s/GiB", both, cpuOurs/cpuTheirs, mayDifferRatio),
		verdict(tool+": CPU s/GiB of rollway", like, cpuOurs, mayDifferCPU),
		verdict(tool+": CPU s/GiB of Kafka", likeKafka, cpuTheirs, mayDifferCPU),
	}
}

// limit tells when not the servers were what limited a tool that saw them as r and k.
func limit(r, k series) string {
	if busy := max(r.cores.Median(), k.cores.Median()); busy >= busyCores {
		return fmt.Sprintf("; the tool is the limit, with %.2f cores busy", busy)
	}
	return ""
}

// verdict tells whether a figure of a tool, over that of the lab's client, is within
// bounds.
func verdict(what, than string, over, mayDiffer float64) string {
	word := "agrees"
	if !(math.Abs(over-1) <= mayDiffer) { // NaN differs
		word = "DIFFERS"
	}
	return fmt.Sprintf("%s %s: %.2fx that of %s, want within %.0f %%", what, word, over, than, mayDiffer*100)
}
