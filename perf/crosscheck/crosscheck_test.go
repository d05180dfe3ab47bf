package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rollway/rollway/perf/contestant"
	"github.com/rollway/rollway/perf/result"
)

// TestMain makes this program a bare server when it is told to be one.
func TestMain(m *testing.M) {
	if handled, err := contestant.ServeChild(os.Args[1:]); handled {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// Every tool is run over a little with both servers, and what they saw is printed
// and written.
func TestCrosscheck(t *testing.T) {
	if os.Getenv("ROLLWAY_LAB_KAFKA") == "" {
		t.Skip("starts Apache Kafka, whose jars scripts/kafka fetch fetches: set ROLLWAY_LAB_KAFKA=1")
	}
	file := filepath.Join(t.TempDir(), "crosscheck.jsonl")
	o, err := parseOptions([]string{"-rounds", "1", "-mib", "512", "-dir", t.TempDir(), "-write", file}, os.Stdout)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := o.run(t.Context(), &out, t.Output()); err != nil {
		t.Fatal(err)
	}
	t.Log(out.String())
	for _, want := range []string{"\n  lab ", "\n  ProducerPerformance ", "\n  lab as ProducerPerformance ", "\n  ConsumerPerformance ", "CPU s/GiB of Kafka"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report has no %q", want)
		}
	}
	run, measures, err := result.ReadFile(file)
	if err != nil || len(run.Workloads) < 6 || len(measures) < 12 {
		t.Errorf("file of %d workloads, %d measures, %v; want 6 and 12 at least", len(run.Workloads), len(measures), err)
	}
}

// What Kafka's tools and iperf3 print is read, and what they print when it went
// wrong is an error.
func TestParse(t *testing.T) {
	const producer = "300000 records sent, 60000.0 records/sec (57.22 MB/sec), 1.0 ms avg latency, 9.0 ms max latency.\n" +
		"524288 records sent, 65536.0 records/sec (62.50 MB/sec), 12.20 ms avg latency, 412.00 ms max latency, 3 ms 50th, 60 ms 95th, 300 ms 99th, 410 ms 99.9th.\n"
	f := func(what string, got time.Duration, err error, want time.Duration) {
		t.Helper()
		if (err == nil) != (want > 0) || got != want {
			t.Errorf("%s: %v, %v; want %v", what, got, err, want)
		}
	}
	took, err := parseProducerPerformance(producer, 524288)
	f("ProducerPerformance", took, err, 8*time.Second)
	took, err = parseProducerPerformance(producer, 524289)
	f("ProducerPerformance that sent too little", took, err, 0)
	took, err = parseProducerPerformance("org.apache.kafka.common.errors.TimeoutException", 1)
	f("ProducerPerformance that failed", took, err, 0)

	const consumer = "2026-01-02 03:04:05:000, 2026-01-02 03:04:09:000, 500.0000, 125.0000, 524288, 131072.0000, 3500, 500, 1000.0000, 1048576.0000\n"
	took, err = parseConsumerPerformance(consumer, 524288)
	f("ConsumerPerformance", took, err, 500*time.Millisecond)
	took, err = parseConsumerPerformance(consumer, 524289)
	f("ConsumerPerformance that got too little", took, err, 0)
	took, err = parseConsumerPerformance("WARNING: Exiting before consuming the expected number of records\n", 1)
	f("ConsumerPerformance that failed", took, err, 0)

	r, err := parseIPerf(`{"start":{},"end":{"sum_sent":{"start":0,"seconds":0.25,"bytes":1073741824}}}`)
	f("iperf3", r.elapsed, err, 250*time.Millisecond)
	r, err = parseIPerf(`{"error":"unable to connect to server: Connection refused"}`)
	f("iperf3 that failed", r.elapsed, err, 0)
	r, err = parseIPerf("")
	f("iperf3 that said nothing", r.elapsed, err, 0)
}

// What a turn of little has seen is taken off one of more, but the tool's own CPU is
// whole.
func TestSetUp(t *testing.T) {
	whole := sight{run: run{bytes: 9 << 20, elapsed: 5 * time.Second, cpu: time.Second, lasted: 6 * time.Second}, cpu: 3 * time.Second, batches: 144}
	setUp := sight{run: run{bytes: 1 << 20, elapsed: time.Second, cpu: time.Second / 2, lasted: 2 * time.Second}, cpu: time.Second, batches: 16}
	want := sight{run: run{bytes: 8 << 20, elapsed: 4 * time.Second, cpu: time.Second, lasted: 6 * time.Second}, cpu: 2 * time.Second, batches: 128}
	if got := whole.less(setUp); got != want {
		t.Errorf("%+v less %+v: %+v, want %+v", whole, setUp, got, want)
	}
}

// A tool that sees what the lab's client sees at its pace agrees, one that sees another
// ratio or CPU differs, and one that was busy itself is said to be the limit.
func TestVerdicts(t *testing.T) {
	w := workload{name: "produce", title: "produce", rate: "produce_mib_s", bursts: []int{1}, tools: []tool{{name: "alike"}, {name: "slow"}}}
	c := &crosscheck{seen: map[key][]sight{}}
	see := func(tool, subject string, mibPerSecond float64, cpu, toolCPU time.Duration) {
		seen := sight{run: run{bytes: 1 << 30, elapsed: time.Duration(1024 / mibPerSecond * float64(time.Second)), cpu: toolCPU, lasted: time.Second}, cpu: cpu}
		if err := c.note(w, tool, subject, 1, seen); err != nil {
			t.Fatal(err)
		}
	}
	see(labTool, contestant.RollwayKafka, 2000, time.Second/2, 0)
	see(labTool, contestant.Kafka, 200, 4*time.Second, 0)
	see(asTool("alike", 1), contestant.RollwayKafka, 800, time.Second, 0)
	see(asTool("alike", 1), contestant.Kafka, 200, 4*time.Second, 0)
	see("alike", contestant.RollwayKafka, 700, 1100*time.Millisecond, time.Second/2)
	see("alike", contestant.Kafka, 190, 4*time.Second, time.Second/2)
	see(asTool("slow", 1), contestant.RollwayKafka, 600, time.Second, 0)
	see(asTool("slow", 1), contestant.Kafka, 150, 4*time.Second, 0)
	see("slow", contestant.RollwayKafka, 200, time.Second, time.Second)
	see("slow", contestant.Kafka, 190, 5*time.Second, time.Second)
	text := c.table(w)
	for _, want := range []string{
		"alike: ratio of throughput agrees: 0.92x", "alike: CPU s/GiB of rollway agrees: 1.10x", "alike: CPU s/GiB of Kafka agrees: 1.00x",
		"alike: ratio of CPU s/GiB agrees: 1.10x", "slow: ratio of CPU s/GiB agrees: 0.80x",
		"slow: ratio of throughput DIFFERS: 0.26x that of lab as slow, want within 25 %; the tool is the limit, with 1.00 cores busy",
		"slow: CPU s/GiB of Kafka DIFFERS: 1.25x",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("table without %q:\n%s", want, text)
		}
	}
	if got := verdict("x", labTool, math.NaN(), 1); !strings.Contains(got, "DIFFERS") {
		t.Errorf("verdict on no figure: %s, want that it differs", got)
	}
}

// Where the server is the limit, what a tool gets out of it is held against the lab's
// client at full speed, since that as the tool gets no more.
func TestServerLimits(t *testing.T) {
	w := workload{name: "durable", title: "durable", rate: "produce_mib_s", serverLimits: true, bursts: []int{1}, tools: []tool{{name: "tool"}}}
	c := &crosscheck{seen: map[key][]sight{}}
	for _, s := range []struct {
		tool, subject string
		mibPerSecond  float64
	}{
		{labTool, contestant.RollwayKafka, 8}, {labTool, contestant.Kafka, 4},
		{"tool", contestant.RollwayKafka, 6}, {"tool", contestant.Kafka, 4},
		{asTool("tool", 1), contestant.RollwayKafka, 6}, {asTool("tool", 1), contestant.Kafka, 4},
	} {
		seen := sight{run: run{bytes: 1 << 30, elapsed: time.Duration(1024 / s.mibPerSecond * float64(time.Second)), lasted: time.Second}, cpu: time.Second}
		if err := c.note(w, s.tool, s.subject, 1, seen); err != nil {
			t.Fatal(err)
		}
	}
	if text := c.table(w); !strings.Contains(text, "tool: ratio of throughput agrees: 0.75x that of lab,") {
		t.Errorf("table without 0.75x that of lab:\n%s", text)
	}
}

// What was not looked at is no figure: of iperf3 nobody counts waits, nor what was stolen.
func TestFigures(t *testing.T) {
	w := workload{rate: "consume_mib_s"}
	seen := sight{run: run{bytes: 1 << 30, elapsed: time.Second}, cpu: time.Second}
	if f := seen.figures(w); len(f) != 3 || f["consume_mib_s"] != 1024 || f["cpu_s_gib"] != 1 {
		t.Errorf("figures of iperf3 are %v, want throughput, CPU and time", f)
	}
	seen.waits, seen.stolen = 2048, 0.01
	if f := seen.figures(w); len(f) != 5 || f["switches_voluntary_mib"] != 2 || f["stolen_percent"] != 1 {
		t.Errorf("figures of a server are %v, want its waits and what was stolen, too", f)
	}
}

// A tool is held against the lab's client in the bursts that have the server wait as often.
func TestLikest(t *testing.T) {
	w := workload{name: "produce", rate: "produce_mib_s", bursts: []int{1, 2, 4}, tools: []tool{{name: "tool"}}}
	c := &crosscheck{seen: map[key][]sight{}}
	see := func(tool string, waits ...int64) {
		for round, n := range waits {
			if err := c.note(w, tool, contestant.RollwayKafka, round+1, sight{run: run{bytes: 1 << 20}, waits: n}); err != nil {
				t.Fatal(err)
			}
		}
	}
	see("tool", 100, 110, 300)
	see(asTool("tool", 1), 210, 200, 350)
	see(asTool("tool", 2), 130, 120, 30)
	see(asTool("tool", 4), 60, 70, 300)
	if got := c.likest(w, "tool", contestant.RollwayKafka); got != "lab as tool, bursts of 2" {
		t.Errorf("the likest is %q, want bursts of 2", got)
	}
}

// Flags that there are not, and amounts that are none, are refused.
func TestOptions(t *testing.T) {
	for _, args := range [][]string{{"-fast"}, {"now"}, {"-rounds", "0"}, {"-mib", "511"}, {"-pace", "1"}} {
		if _, err := parseOptions(args, os.Stdout); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
	var out strings.Builder
	if _, err := parseOptions([]string{"-h"}, &out); err == nil || !strings.Contains(out.String(), "-rounds") {
		t.Errorf("help: %v, %q; want the flags", err, out.String())
	}
}
