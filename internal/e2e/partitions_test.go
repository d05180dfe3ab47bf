package e2e

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/wire"
)

// A server with many partitions of one batch each starts, reads and rests within
// these bounds. ROLLWAY_PARTITIONS is how many, ROLLWAY_IDLE how long it rests;
// the figures are those of docs/measurements.md, and are judged from 10,000 partitions
// on: `make partitions`.
func TestManyPartitions(t *testing.T) {
	partitions := int(envInt(t, "ROLLWAY_PARTITIONS", 300))
	idle := time.Duration(envInt(t, "ROLLWAY_IDLE_MS", 200)) * time.Millisecond
	data := t.TempDir()
	conditions(t, data)

	s := startServer(t, data)
	began := time.Now()
	s.run(nil, "topic", "create", "t", "--partitions", strconv.Itoa(partitions))
	t.Logf("create %d partitions: %.2f s", partitions, time.Since(began).Seconds())
	began = time.Now()
	fillPartitions(t, s, "t", partitions, 64<<10, 1)
	t.Logf("one batch of 64 KiB to each: %.2f s", time.Since(began).Seconds())
	t.Logf("RSS afterwards: %.1f MiB", rss(t, s.pid))
	began = time.Now()
	s.stop()
	t.Logf("clean stop: %.2f s", time.Since(began).Seconds())

	bytes := logsSize(t, data)
	began = time.Now()
	s = startServer(t, data)
	s.awaitRecovered(t)
	took := time.Since(began)
	read := readBytes(t, s.pid)
	t.Logf("clean start: %.2f s, reading %d bytes, %.2f %% of %d", took.Seconds(), read, 100*float64(read)/float64(bytes), bytes)
	before := cpuTime(t, s.pid)
	time.Sleep(idle)
	used := cpuTime(t, s.pid) - before
	memory := rss(t, s.pid)
	t.Logf("idle for %v: %v of CPU (%.2f %%), RSS %.1f MiB", idle, used, 100*used.Seconds()/idle.Seconds(), memory)
	if partitions >= 10_000 {
		limit(t, "clean start, s", took.Seconds(), 2)
		limit(t, "bytes read, %", 100*float64(read)/float64(bytes), 1)
		limit(t, "RSS, MiB", memory, 120)
		limit(t, "idle CPU, %", 100*used.Seconds()/idle.Seconds(), 0.05)
	}
	began = time.Now()
	s.stop()
	t.Logf("clean stop without a change: %.2f s", time.Since(began).Seconds())
}

// A server that is killed with unsynced bytes, since its topic is synced by
// flush.ms alone, checks them before it serves. ROLLWAY_TAIL_MIB is how many; from
// 1 GiB on the time for them is judged.
func TestUncleanStart(t *testing.T) {
	const partitions = 8
	tail := envInt(t, "ROLLWAY_TAIL_MIB", 32)
	data := t.TempDir()
	conditions(t, data)
	s := startServer(t, data)
	s.run(nil, "topic", "create", "t", "--partitions", strconv.Itoa(partitions),
		"--config", "flush.messages=9223372036854775807", "--config", "flush.ms=3600000")
	fillPartitions(t, s, "t", partitions, 64<<10, int(tail)*16/partitions)
	s.kill()
	began := time.Now()
	s = startServer(t, data)
	s.awaitRecovered(t)
	took := time.Since(began)
	t.Logf("unclean start over %d MiB of unsynced tail: %.2f s, %.2f s/GiB", tail, took.Seconds(), took.Seconds()*1024/float64(tail))
	if tail >= 1024 {
		limit(t, "unclean start, s/GiB", took.Seconds()*1024/float64(tail), 1.5)
	}
	s.stop()
}

func limit(t *testing.T, what string, got, most float64) {
	t.Helper()
	if got >= most {
		t.Errorf("%s: %.2f, want less than %v", what, got, most)
	}
}

// conditions logs where a figure comes from.
func conditions(t *testing.T, dir string) {
	var name unix.Utsname
	var st unix.Statfs_t
	if unix.Uname(&name) == nil && unix.Statfs(dir, &st) == nil {
		t.Logf("Linux %s, file system %#x, %s", unix.ByteSliceToString(name.Release[:]), st.Type, program)
	}
}

// fillPartitions produces batches of so many bytes, each, to every partition, over
// four connections with up to 16 requests in flight.
func fillPartitions(t *testing.T, s *server, topic string, partitions, size, each int) {
	t.Helper()
	var b record.Builder
	b.Reset(record.BuilderOptions{})
	if err := b.Append(time.Now().UnixMilli(), nil, bytes.Repeat([]byte("x"), size-100)); err != nil {
		t.Fatal(err)
	}
	batch, err := b.Build(nil)
	if err != nil {
		t.Fatal(err)
	}
	var producing sync.WaitGroup
	for n := range 4 {
		producing.Go(func() {
			p, err := dialPeer(s.addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer p.conn.Close()
			window := make(chan struct{}, 16)
			go func() {
				for range each {
					for i := n; i < partitions; i += 4 {
						m := wire.Produce{Topic: []byte(topic), Partition: int32(i), Acks: wire.AcksAll, Batches: batch}
						window <- struct{}{}
						if _, err := p.conn.Write(m.AppendTo(nil, 7)); err != nil {
							return // so does the reader below
						}
					}
				}
			}()
			for range each * ((partitions - n + 3) / 4) {
				if _, err := p.read(); err != nil {
					t.Errorf("produce: %v", err)
					return
				}
				<-window
			}
		})
	}
	producing.Wait()
}

// awaitRecovered waits until the server has said that all partitions are there.
func (s *server) awaitRecovered(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(startLimit); !strings.Contains(s.stderr.String(), "partitions recovered"); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("partitions were not recovered after %v; stderr:\n%s", startLimit, s.stderr)
		}
	}
}

// logsSize sums the .log files below dir.
func logsSize(t *testing.T, dir string) (bytes int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil && strings.HasSuffix(entry.Name(), ".log") {
			bytes += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

// procField returns the number behind name in a file of /proc.
func procField(t *testing.T, pid int, file, name string) int64 {
	t.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(content)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no %s in %s of %d", name, file, pid)
	return 0
}

// rss is the resident memory of a process in MiB.
func rss(t *testing.T, pid int) float64 { return float64(procField(t, pid, "status", "VmRSS")) / 1024 }

// readBytes is what a process has read by any call, cached or not.
func readBytes(t *testing.T, pid int) int64 { return procField(t, pid, "io", "rchar") }

// cpuTime is what a process has used, to 10 ms.
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(content), ") ")
	fields := strings.Fields(rest) // the first is field 3 of proc_pid_stat(5)
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	if err1 != nil || err2 != nil {
		t.Fatalf("stat of %d: %q", pid, content)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}
