package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rollway/rollway/perf/contestant"
	"github.com/rollway/rollway/perf/result"
)

// workload is a job with sizes, and who does it.
type workload struct {
	result.Workload
	job         job
	contestants []string
	durable     bool          // what is acknowledged is synced, by who can
	counted     time.Duration // length of the counted part
	around      time.Duration // about what a turn takes beside it
	warms       bool          // its servers are warmed up for it
	traced      bool          // its system calls are counted
}

// letter is the row of the plan that w belongs to, "a" to "l".
func (w *workload) letter() string {
	letter, _, _ := strings.Cut(w.Name, "-")
	return letter
}

// section is shared by workloads that can share servers.
func (w *workload) section() string {
	if w.durable {
		return w.letter() + " durable"
	}
	return w.letter()
}

// Contestants by what they are for.
var (
	logs    = []string{contestant.RollwayNative, contestant.RollwayKafka, contestant.Kafka}
	few     = append(slices.Clone(logs), contestant.BareSink, contestant.BareURingSink)      // connections that produce
	many    = append(slices.Clone(logs), contestant.BareEpollSink, contestant.BareURingSink) // the same
	syncing = []string{
		contestant.RollwayNative, contestant.RollwayKafka, contestant.KafkaFsync,
		contestant.BareFdatasync, contestant.BareJournal,
	}
	durableLogs = syncing[:3]
)

// onJVM tells whether a contestant needs a JVM's warm-up.
func onJVM(name string) bool { return name == contestant.Kafka || name == contestant.KafkaFsync }

// Figures that tables show of each kind of workload, the first one above all.
var (
	produceMain = []string{"produce_mib_s", "cpu_s_gib", "cpu_user_s_gib", "produce_p99_ms", "syscalls_mib", "rss_mib", "disk_written_mib", "client_cores"}
	requestMain = []string{"produce_req_s", "cpu_us_req", "cpu_user_us_req", "produce_p50_ms", "produce_p99_ms", "syscalls_req", "rss_mib", "client_cores"}
	consumeMain = []string{"consume_mib_s", "cpu_s_gib", "cpu_user_s_gib", "syscalls_mib", "rss_mib", "client_cores"}
	latencyMain = []string{"e2e_p50_ms", "e2e_p99_ms", "e2e_p999_ms", "e2e_max_ms", "produce_p99_ms", "cpu_us_req", "offered_req_s", "client_cores"}
)

// workloads returns all that a profile chooses, in the order of the plan. extra are
// contestants that take part only when they are asked for.
func workloads(p profile, extra []string) []*workload {
	var all []*workload
	add := func(w *workload) { all = append(all, w) }
	for _, w := range produceWorkloads(p) {
		add(w)
	}
	add(p.openLoop(openLoop{rate: 20_000, partitions: 4, producers: 4, recordBytes: 1 << 10},
		"d", "produce at a fixed rate while consumers tail",
		"20,000 records of 1 KiB a second over 4 partitions, 4 producers, each record consumed once, no linger", logs, false))
	for _, w := range consumeWorkloads(p) {
		add(w)
	}
	for _, readers := range []int{8, 16} {
		add(&workload{
			Workload: result.Workload{
				Name: fmt.Sprintf("g-%d", readers), Title: fmt.Sprintf("fan out 50 MiB/s to %s", plural(readers, "consumer")),
				Note: "batches of 64 KiB at a fixed rate; consumers wait at the end of the log and discard what they get",
				Main: []string{"consume_mib_s", "cpu_s_gib", "cpu_user_s_gib", "backlog_records", "switches_voluntary_req", "client_cores"}, Rounds: p.openRounds,
			},
			job: fanOut{readers: readers, bytesPerSecond: 50 << 20}, contestants: logs,
			counted: p.open, around: 2500 * time.Millisecond, warms: true,
		})
	}
	for _, w := range durableWorkloads(p) {
		add(w)
	}
	for _, w := range latencyWorkloads(p) {
		add(w)
	}
	for _, n := range []int{1, 100, 1000, 5000, 10000} {
		rounds := p.openRounds
		if n == 10000 {
			rounds = 1 // in which Kafka starts three times, for a minute and more
		}
		add(&workload{
			Workload: result.Workload{
				Name: fmt.Sprintf("j-%d", n), Title: "a topic of " + plural(n, "partition"),
				Note: "a server's whole life: start, create, produce batches of 1 KiB over all partitions, stop, start, kill -9, start",
				Main: []string{"create_ms", "restart_ms", "recovery_ms", "rss_idle_mib", "rss_mib", "cpu_us_req", "ready_ms", "first_produce_ms"}, Rounds: rounds,
			},
			job: partitions{count: n}, contestants: logs, counted: p.counted, around: 12*time.Second + time.Duration(n)*10*time.Millisecond,
		})
	}
	for _, n := range []int{1, 1000, 5000} {
		add(&workload{
			Workload: result.Workload{
				Name: fmt.Sprintf("k-%d", n), Title: plural(n, "connection") + ", idle and active",
				Note: "first nobody asks for anything, then each has one batch of 1 KiB in flight, over 64 partitions",
				Main: []string{"produce_req_s", "cpu_us_req", "produce_p99_ms", "rss_connection_kib", "cpu_idle_percent", "connect_ms", "client_cores"}, Rounds: p.openRounds,
			},
			job: connections{count: n}, contestants: logs, counted: p.counted, around: 4 * time.Second, warms: true,
		})
	}
	add(&workload{
		Workload: result.Workload{
			Name: "f", Title: "catch up from disk while others tail",
			Note: fmt.Sprintf("%d GiB of backlog, the server in a memory group of 2 GiB, one consumer reads it while 5,000 records of 1 KiB a second go end to end", p.backlogBytes>>30),
			Main: []string{"e2e_p50_ms", "e2e_p99_ms", "e2e_p999_ms", "consume_mib_s", "cpu_s_gib", "page_cache_mib", "client_cores"}, Rounds: p.openRounds,
		},
		job: cold{backlogBytes: p.backlogBytes, memoryBytes: 2 << 30, rate: 5000}, contestants: logs, counted: 2 * p.open, around: time.Minute,
	})
	add(&workload{
		Workload: result.Workload{
			Name: "l", Title: fmt.Sprintf("recovery after kill -9 with %d GiB", p.backlogBytes>>30),
			Note: "8 partitions are filled with batches of 1 MiB, then the server is killed and started again",
			Main: []string{"recovery_ms", "produce_mib_s", "page_cache_mib"}, Rounds: p.openRounds,
		},
		job: recovery{bytes: p.backlogBytes, partitions: 8}, contestants: logs, around: time.Minute,
	})
	return choose(all, p, extra)
}

// choose keeps what the profile has, and adds the extra contestants where they can
// take part.
func choose(all []*workload, p profile, extra []string) []*workload {
	return slices.DeleteFunc(all, func(w *workload) bool {
		w.contestants = slices.DeleteFunc(slices.Clone(w.contestants), func(name string) bool { return !p.admits(name) })
		for _, name := range extra {
			if !slices.Contains(w.contestants, name) && w.takes(name) {
				w.contestants = append(w.contestants, name)
			}
		}
		return !p.chooses(w) || len(w.contestants) == 0
	})
}

// takes tells whether a contestant that is there by flag only can do the work: one
// with a client of its own produces and consumes at full speed, and one that keeps
// all in memory does no more than that.
func (w *workload) takes(name string) bool {
	switch w.job.(type) {
	case produce:
		return name != contestant.KFake || !w.durable
	case consume:
		return true
	}
	return false
}

// produceShape is a workload of producers at full speed.
type produceShape struct {
	name, title, note string
	job               produce
	main              []string
}

// shapes are (a) to (c). The windows of (a) and (b) keep a MiB and more in flight,
// so that the server never waits for the client.
var shapes = []produceShape{
	{"a-16k", "100 B records in batches of 16 KiB", "1 connection, 64 batches in flight",
		produce{connections: 1, partitions: 1, window: 64, batchBytes: 16 << 10, valueBytes: 100}, produceMain},
	{"a-1m", "100 B records in batches of 1 MiB", "1 connection, 4 batches in flight",
		produce{connections: 1, partitions: 1, window: 4, batchBytes: 1 << 20, valueBytes: 100}, produceMain},
	{"b", "1 KiB records in batches of 64 KiB", "4 connections, a partition each, 8 batches in flight on each",
		produce{connections: 4, partitions: 4, window: 8, batchBytes: 64 << 10, valueBytes: 1000}, produceMain},
	{"c-64", "64 producers of 1 KiB batches", "one batch in flight each, over 64 partitions",
		produce{connections: 64, partitions: 64, window: 1, batchBytes: 1 << 10, valueBytes: 1000}, requestMain},
	{"c-512", "512 producers of 1 KiB batches", "one batch in flight each, over 64 partitions",
		produce{connections: 512, partitions: 64, window: 1, batchBytes: 1 << 10, valueBytes: 1000}, requestMain},
}

func produceWorkloads(p profile) []*workload {
	var all []*workload
	for _, s := range shapes {
		contestants := few
		if s.job.connections > 4 {
			contestants = many // a loop is the roof of them
		}
		all = append(all, s.workload(p, s.name, "produce "+s.title, contestants, false))
	}
	return all
}

// consumeWorkloads are (e). A loop for each connection is the roof of few of them,
// an event loop that of many.
func consumeWorkloads(p profile) []*workload {
	var all []*workload
	add := func(connections, maxBytes int, bare ...string) {
		size := strings.ToLower(strings.ReplaceAll(strings.TrimSuffix(sizeText(maxBytes), "iB"), " ", ""))
		all = append(all, &workload{
			Workload: result.Workload{
				Name: fmt.Sprintf("e-%s-%d", size, connections), Title: fmt.Sprintf("catch up from page cache, %s, answers of %s", plural(connections, "consumer"), sizeText(maxBytes)),
				Note: "a log of 256 MiB in batches of 64 KiB, read over and over, 2 requests in flight on a connection; the client discards what it gets", Main: consumeMain, Rounds: p.rounds,
			},
			job: consume{connections: connections, maxBytes: maxBytes}, contestants: append(slices.Clone(logs), bare...),
			counted: p.counted, around: 500 * time.Millisecond, warms: true, traced: true,
		})
	}
	add(1, 1<<20, contestant.BareSendFile, contestant.BareCopy, contestant.BareSplice)
	add(8, 1<<20, contestant.BareSendFile)
	add(16, 1<<20, contestant.BareSendFile, contestant.BareEpoll)
	add(64, 1<<20, contestant.BareSendFile, contestant.BareEpoll)
	add(1, 64<<10, contestant.BareSendFile)
	add(8, 64<<10, contestant.BareSendFile)
	add(64, 64<<10, contestant.BareSendFile, contestant.BareEpoll)
	return all
}

// durableWorkloads are (h): (a) to (c) again, and all small producers on one
// partition.
func durableWorkloads(p profile) []*workload {
	var all []*workload
	for _, s := range shapes {
		all = append(all, s.workload(p, "h-"+s.name, "durable: produce "+s.title, syncing, true))
	}
	one := shapes[3]
	one.job.partitions, one.note = 1, "one batch in flight each, all on one partition"
	return append(all, one.workload(p, "h-c-64-1", "durable: produce "+one.title, syncing, true))
}

func (s produceShape) workload(p profile, name, title string, contestants []string, durable bool) *workload {
	s.job.maxBytes = p.produceBytes
	return &workload{
		Workload: result.Workload{Name: name, Title: title, Note: s.note + ", acks=all", Main: s.main, Rounds: p.rounds},
		job:      s.job, contestants: contestants, durable: durable,
		counted: p.counted, around: 1200 * time.Millisecond, warms: true, traced: true,
	}
}

// latencyWorkloads are (i): first the highest rate of each, then shares of the
// weakest one's, and rates that are the same on all machines.
func latencyWorkloads(p profile) []*workload {
	load := openLoop{partitions: 4, producers: 4, recordBytes: 1 << 10}
	const note = "records of 1 KiB over 4 partitions, 4 producers, no linger, each record consumed once"
	highest := p.openLoop(load, maximumName, "end to end, as fast as records are acknowledged", note, logs, false)
	highest.Main = []string{"produce_records_s", "cpu_us_req", "e2e_p50_ms", "e2e_p99_ms", "client_cores"}
	all := []*workload{highest}
	for _, percent := range []int{10, 50, 80} {
		load.percent = percent
		all = append(all, p.openLoop(load, fmt.Sprintf("i-%d", percent), fmt.Sprintf("end to end at %d %% of the weakest contestant's highest rate", percent), note, logs, false))
	}
	load.percent, load.rate = 0, 1000
	all = append(all, p.openLoop(load, "i-1000", "end to end at 1,000 records a second", note, logs, false))
	return append(all, p.openLoop(load, "i-1000-durable", "durable: end to end at 1,000 records a second", note, durableLogs, true))
}

// maximumName is the workload whose figures say what the shares are of.
const maximumName = "i-max"

func (p profile) openLoop(o openLoop, name, title, note string, contestants []string, durable bool) *workload {
	return &workload{
		Workload: result.Workload{Name: name, Title: title, Note: note, Main: latencyMain, Rounds: p.openRounds},
		job:      o, contestants: contestants, durable: durable, counted: p.open, around: 2500 * time.Millisecond, warms: true,
	}
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func sizeText(bytes int) string {
	if bytes >= 1<<20 {
		return fmt.Sprintf("%d MiB", bytes>>20)
	}
	return fmt.Sprintf("%d KiB", bytes>>10)
}
