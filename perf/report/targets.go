package main

import (
	"fmt"
	"math"

	"github.com/rollway/rollway/perf/contestant"
	"github.com/rollway/rollway/perf/page"
)

// target is a bound on what one contestant's figure is, times another one's in the
// same workload.
type target struct {
	what             string
	workload, figure string
	subject, over    string
	bound            float64
	least            bool // the bound is the least that will do, else the most
}

const (
	native = contestant.RollwayNative
	kafkaP = contestant.RollwayKafka // by Kafka's protocol, as Kafka is measured
	kafka  = contestant.Kafka
	synced = contestant.KafkaFsync
)

// targets are what rollway is to reach, against the bare mechanism by its own
// protocol, which that speaks, and against Kafka by Kafka's.
var targets = []target{
	{"fetch 1 MiB, CPU over a bare sendfile loop", "e-1m-1", "cpu_s_gib", native, contestant.BareSendFile, 1.10, false},
	{"fetch 1 MiB, throughput over iperf3 -Z", "x-sendfile-lab", "consume_mib_s", kafkaP, "iperf3 -Z", 0.95, true},
	{"fetch 64 KiB, 64 connections, throughput over a bare epoll loop", "e-64k-64", "consume_mib_s", native, contestant.BareEpoll, 0.90, true},
	{"produce 64 KiB batches, CPU over receive, crc and pwritev", "b", "cpu_s_gib", native, contestant.BareSink, 1.15, false},
	{"64 producers of 1 KiB, requests over a bare ring loop", "c-64", "produce_req_s", native, contestant.BareURingSink, 0.75, true},

	{"fetch 1 MiB, 1 connection, CPU over Kafka", "e-1m-1", "cpu_s_gib", kafkaP, kafka, 0.5, false},
	{"fetch 1 MiB, 1 connection, throughput over Kafka", "e-1m-1", "consume_mib_s", kafkaP, kafka, 2, true},
	{"fetch 1 MiB, 16 connections, CPU over Kafka", "e-1m-16", "cpu_s_gib", kafkaP, kafka, 0.75, false},
	{"fetch 64 KiB, 64 connections, CPU over Kafka", "e-64k-64", "cpu_s_gib", kafkaP, kafka, 0.4, false},
	{"fan-out to 8 readers, CPU over Kafka", "g-8", "cpu_s_gib", kafkaP, kafka, 0.3, false},
	{"produce 64 KiB batches, user CPU over Kafka", "b", "cpu_user_s_gib", kafkaP, kafka, 0.15, false},
	{"produce 64 KiB batches, throughput over Kafka", "b", "produce_mib_s", kafkaP, kafka, 1.6, true},
	{"64 small producers, CPU a request over Kafka", "c-64", "cpu_us_req", kafkaP, kafka, 0.4, false},
	{"64 small producers, requests over Kafka", "c-64", "produce_req_s", kafkaP, kafka, 2, true},
	{"sync before ack, 64 producers, 1 partition, requests over Kafka", "h-c-64-1", "produce_req_s", kafkaP, synced, 10, true},
	{"sync before ack, 64 producers, 1 partition, p99 over Kafka", "h-c-64-1", "produce_p99_ms", kafkaP, synced, 0.25, false},
	{"sync before ack, 64 producers, 64 partitions, requests over Kafka", "h-c-64", "produce_req_s", kafkaP, synced, 6, true},
	{"sync before ack, 64 producers, 64 partitions, p99 over Kafka", "h-c-64", "produce_p99_ms", kafkaP, synced, 0.25, false},
	{"end to end at 1,000/s, p99 over Kafka", "i-1000", "e2e_p99_ms", kafkaP, kafka, 0.6, false},
	{"end to end at 1,000/s with sync, p99 over Kafka", "i-1000-durable", "e2e_p99_ms", kafkaP, synced, 0.3, false},
	{"end to end at 5,000/s while a cold backlog is read, p99 over Kafka", "f", "e2e_p99_ms", kafkaP, kafka, 0.3, false},
	{"start to first acknowledged produce, over Kafka", "j-1", "first_produce_ms", kafkaP, kafka, 1.0 / 50, false},
	{"RSS idle, over Kafka", "j-1", "rss_idle_mib", kafkaP, kafka, 1.0 / 20, false},
	{"RSS after load, over Kafka", "b", "rss_mib", kafkaP, kafka, 1.0 / 8, false},
	{"restart with 5,000 partitions, over Kafka", "j-5000", "restart_ms", kafkaP, kafka, 1.0 / 20, false},
	{"start after kill -9 with 5,000 partitions, over Kafka", "j-5000", "recovery_ms", kafkaP, kafka, 1.0 / 20, false},
}

// verdict is what came of a target.
type verdict struct {
	target
	value float64 // NaN when it was not measured
}

func (v verdict) measured() bool { return !math.IsNaN(v.value) }

func (v verdict) met() bool {
	if v.least {
		return v.value >= v.bound
	}
	return v.value <= v.bound
}

// word is how it is printed.
func (v verdict) word() string {
	switch {
	case !v.measured():
		return "not measured"
	case v.met():
		return "met"
	}
	return "MISSED"
}

// want is the bound as it is printed.
func (v verdict) want() string {
	if v.least {
		return fmt.Sprintf(">= %sx", page.Digits(v.bound))
	}
	return fmt.Sprintf("<= %sx", page.Digits(v.bound))
}

// judge holds the figures against all targets.
func judge(c comparison) []verdict {
	var all []verdict
	for _, t := range targets {
		all = append(all, verdict{t, t.value(c)})
	}
	return all
}

// value is the median ratio; NaN when one of both is missing.
func (t target) value(c comparison) float64 {
	return c.figure(t.workload, t.subject, t.figure).over(c.figure(t.workload, t.over, t.figure)).Median()
}
