package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rollway/rollway/perf/contestant"
	"github.com/rollway/rollway/perf/host"
)

// run is what a tool did, by its own account where it has one.
type run struct {
	bytes   int64 // of batches, as the lab counts them
	records int64 // that it produced
	elapsed time.Duration
	cpu     time.Duration // of the tool, from its start to its end
	lasted  time.Duration // from its start to its end
}

// cores is how many the tool kept busy.
func (r run) cores() float64 { return r.cpu.Seconds() / r.lasted.Seconds() }

// outside is a program of others.
type outside struct {
	program string
	args    []string
	cores   []int
	stdout  *os.File // nil: kept
}

// do runs it to its end and returns what it printed.
func (o outside) do(ctx context.Context) (text string, r run, err error) {
	cmd := exec.CommandContext(ctx, o.program, o.args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if o.stdout != nil {
		cmd.Stdout = o.stdout
	}
	began := time.Now()
	if err = host.PinnedTo(o.cores, cmd.Start); err == nil {
		err = cmd.Wait()
	}
	r.lasted = time.Since(began)
	if err != nil {
		return "", r, fmt.Errorf("%s: %w: %s%s", strings.Join(append([]string{o.program}, o.args...), " "), err, out.String(), complaints.String())
	}
	r.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return out.String(), r, nil
}

// javaTool is a program of Kafka's tools jar. It runs for seconds: the better compiler
// and the collector with threads of its own would take more than they give.
func javaTool(i contestant.KafkaInstall, cores []int, class string, args ...string) outside {
	flags := []string{"-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:+PerfDisableSharedMem", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", filepath.Join(i.Lib, "*"), "org.apache.kafka.tools." + class}
	return outside{program: i.Java, args: append(flags, args...), cores: cores}
}

// produced is the last line of ProducerPerformance.
var produced = regexp.MustCompile(`(?m)^(\d+) records sent, ([0-9.]+) records/sec \(`)

// parseProducerPerformance returns how long it took, by its own clock, which begins
// when the JVM has come up.
func parseProducerPerformance(text string, records int64) (time.Duration, error) {
	all := produced.FindAllStringSubmatch(text, -1)
	if all == nil {
		return 0, fmt.Errorf("ProducerPerformance said %q, want a line of records sent", text)
	}
	last := all[len(all)-1]
	sent, _ := strconv.ParseInt(last[1], 10, 64)
	rate, err := strconv.ParseFloat(last[2], 64)
	if err != nil || sent != records || rate <= 0 {
		return 0, fmt.Errorf("ProducerPerformance said %q, want %d records and a rate", last[0], records)
	}
	return time.Duration(float64(sent) / rate * float64(time.Second)), nil
}

// parseConsumerPerformance returns how long it fetched, by its own clock, without
// what it took to join a group.
func parseConsumerPerformance(text string, records int64) (time.Duration, error) {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	fields, err := csv.NewReader(strings.NewReader(lines[len(lines)-1])).Read()
	// start, end, MB, MB/s, records, records/s, rebalance ms, fetch ms, fetch MB/s, fetch records/s
	if err != nil || len(fields) != 10 {
		return 0, fmt.Errorf("ConsumerPerformance said %q, want a line of 10 fields", text)
	}
	got, err := strconv.ParseInt(strings.TrimSpace(fields[4]), 10, 64)
	ms, err2 := strconv.ParseInt(strings.TrimSpace(fields[7]), 10, 64)
	if err != nil || err2 != nil || got < records || ms <= 0 {
		return 0, errors.Join(fmt.Errorf("ConsumerPerformance said %q, want %d records and a time", text, records), err, err2)
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// parseIPerf returns what iperf3 sent, from its JSON.
func parseIPerf(text string) (r run, err error) {
	var all struct {
		Error string
		End   struct {
			Sum struct {
				Bytes   int64
				Seconds float64
			} `json:"sum_sent"`
		}
	}
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		return r, fmt.Errorf("iperf3 said %.200q: %w", text, err)
	}
	if all.Error != "" || all.End.Sum.Bytes <= 0 || all.End.Sum.Seconds <= 0 {
		return r, fmt.Errorf("iperf3: %d bytes in %g s, error %q; want some", all.End.Sum.Bytes, all.End.Sum.Seconds, all.Error)
	}
	return run{bytes: all.End.Sum.Bytes, elapsed: time.Duration(all.End.Sum.Seconds * float64(time.Second))}, nil
}
