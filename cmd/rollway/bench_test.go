package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rollway/rollway/broker"
	"github.com/rollway/rollway/perf/generator"
)

// startBenched starts a server with both protocols in this process.
func startBenched(t *testing.T) (native, kafka string) {
	t.Helper()
	b, err := broker.Open(broker.Options{
		DataDir: t.TempDir(), Wire: "127.0.0.1:0", Kafka: "127.0.0.1:0", HTTP: broker.Off, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b.WireAddr().String(), b.KafkaAddrs()[0].String()
}

// maskBench replaces what differs between runs of bench.
func maskBench(tr *transcript, native, kafka string) {
	tr.mask(native, "NATIVE")
	tr.mask(kafka, "KAFKA")
	tr.mask(`rollway-bench-\d{8}-\d{6}-[0-9a-f]{4}`, "rollway-bench-TIME-NNNN")
	tr.mask(` +\d+(\.\d+)? ms`, " N ms")
	tr.mask(`(published|consumed) .*`, "$1 N N N/s")
	tr.mask(`LATENCY +MEAN.*`, "LATENCY MEAN P50 P95 P99 P99.9 P99.99 MAX")
	tr.mask(` +>?MESSAGES +MESSAGES/S +BYTES/S`, " MESSAGES MESSAGES/S BYTES/S")
	tr.mask(`(end to end|publish) +N ms`, "$1 N ms")
	tr.mask(`\d+ messages acknowledged, \d+ received`, "N messages acknowledged, N received")
	tr.mask(`backlog of \d+ messages built in [\d.]+ s, drained in [\d.]+ s at \d+ messages/s`, "backlog of N messages built in N s, drained in N s at N messages/s")
	tr.mask(`\d+ of \d+ messages were acknowledged`, "N of N messages were acknowledged")
	tr.mask(`, \ds left`, ", N s left")
}

// What bench prints, over both protocols: settings, rates, latencies and what was verified; its topics are gone at the end unless they are to be kept, and others are as they were.
func TestBench(t *testing.T) {
	native, kafka := startBenched(t)
	mustExecute(t, "", "topic", "create", "mine", "--addr", native)
	dir := t.TempDir()
	workload := filepath.Join(dir, "small.yaml")
	if err := os.WriteFile(workload, []byte("topics: 2\npartitionsPerTopic: 2\nmessageSize: 100\nproducersPerTopic: 2\nsubscriptionsPerTopic: 2\n"+
		"consumerPerSubscription: 2\nproducerRate: 1000\nwarmupDurationSeconds: 0\ntestDurationMinutes: 0\ntestDurationSeconds: 0.2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tr := &transcript{t: t}
	maskBench(tr, native, kafka)
	tr.mask(dir, "DIR")
	tr.run("", "bench", "--addr", native, "--duration", "150ms", "--warmup", "50ms", "--in-flight", "20", "--message-size", "100")
	tr.run("", "bench", "--kafka", kafka, "--quiet", "--duration", "150ms", "--warmup", "0s", "--rate", "500", "--acks", "1", "--compression", "lz4", "--keys", "random", "--partitions", "3")
	tr.run("", "bench", "--addr", native, "--quiet", "--workload", workload, "--compression", "zstd", "--json", filepath.Join(dir, "result.json"))
	tr.run("", "bench", "--addr", native, "--quiet", "--duration", "50ms", "--warmup", "0s", "--in-flight", "20", "--backlog", "200KiB")
	tr.run("", "bench", "--addr", native, "--quiet", "--duration", "50ms", "--warmup", "0s", "--rate", "100", "--consumers", "0", "--keep")
	tr.check("bench")

	if names := mustExecute(t, "", "topic", "list", "--addr", native); strings.Count(names, "rollway-bench-") != 1 || !strings.Contains(names, "mine") {
		t.Errorf("topics: %s", names)
	}
	var result struct {
		Workload, Driver string
		PublishRate      []float64
		Verification     struct{ Acknowledged, Received, Lost int64 }
	}
	p, err := os.ReadFile(filepath.Join(dir, "result.json"))
	if err == nil {
		err = json.Unmarshal(p, &result)
	}
	if v := result.Verification; err != nil || result.Workload != "small" || result.Driver != "rollway" || len(result.PublishRate) != 1 || v.Received != 2*v.Acknowledged || v.Lost != 0 {
		t.Errorf("%v, %+v", err, result)
	}
	stdout := mustExecute(t, "", "bench", "--addr", native, "--quiet", "--duration", "20ms", "--warmup", "0s", "--in-flight", "1", "--json", "-")
	if err := json.Unmarshal([]byte(stdout), &result); err != nil {
		t.Errorf("--json -: %v: %s", err, stdout)
	}
}

// What is wrong with the command line is found before anything is done.
func TestBenchBadInput(t *testing.T) {
	dir := t.TempDir()
	workload := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(workload, []byte("topics: 1\nproducerPerTopic: 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tr := &transcript{t: t}
	tr.mask(dir, "DIR")
	for _, args := range [][]string{
		{"--rate", "fast"}, {"--rate", "-1"}, {"--rate", "0"}, {"--message-size", "10"}, {"--partitions", "0"}, {"--acks", "2"},
		{"--compression", "zip"}, {"--keys", "some"}, {"--topic-config", "retention.ms"}, {"--duration", "0s"}, {"--consumers", "0", "--backlog", "1GiB"},
		{"--workload", workload}, {"--workload", filepath.Join(dir, "none.yaml")}, {"--kafka", "a:1", "--addr", "b:2"}, {"topic"}, {"--message", "1"},
		{"--kafka", "127.0.0.1:1"}, {"--addr", "127.0.0.1:1"},
	} {
		tr.run("", append([]string{"bench"}, args...)...)
	}
	tr.check("bench_bad_input")
}

// A bench that is interrupted says what it has measured, deletes its topics and exits as signals have it.
func TestBenchInterrupt(t *testing.T) {
	native, _ := startBenched(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	r, w := io.Pipe()
	go func() {
		// "test" is the phase that follows the warm-up.
		read := make([]byte, 1<<10)
		var seen []byte
		for !bytes.Contains(seen, []byte("\ntest")) {
			n, err := r.Read(read)
			if err != nil {
				return
			}
			seen = append(seen, read[:n]...)
		}
		cancel(signalError{syscall.SIGINT})
		io.Copy(io.Discard, r)
	}()
	var stdout lockedBuffer
	code := run(ctx, []string{"bench", "--addr", native, "--duration", "1h", "--warmup", "10ms", "--in-flight", "50"}, nil, &stdout, w)
	w.Close()
	if text := stdout.String(); code != 130 || !strings.Contains(text, "\nverified: ") || !strings.Contains(text, " 0 lost, 0 corrupt") {
		t.Errorf("exit code %d:\n%s", code, text)
	}
	if names := mustExecute(t, "", "topic", "list", "--addr", native); strings.Contains(names, "rollway-bench-") {
		t.Errorf("topics are left: %s", names)
	}
}

// The line of a terminal has what there is to say, and nothing of what is not there.
func TestBenchLine(t *testing.T) {
	f := func(p generator.Progress, want string) {
		t.Helper()
		if got := benchLine(p); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	p := generator.Progress{Phase: generator.WarmUp, Left: 4900 * time.Millisecond, MessageSize: 1024, PublishRate: 2048, ConsumeRate: 1999.6}
	f(p, "warm-up, 5s left: published 2048/s (2.0 MiB/s), consumed 2000/s, errors 0")
	p.Phase, p.Left, p.Backlog, p.Found, p.PublishErrors = generator.Test, -1, 7, 1, 2
	p.PublishP50, p.PublishP99, p.EndToEndP50, p.EndToEndP99 = 51*time.Microsecond, 12*time.Millisecond, time.Millisecond, 2*time.Second
	f(p, "test: published 2048/s (2.0 MiB/s), consumed 2000/s, publish p50 0.05 ms p99 12.0 ms, end to end p50 1.00 ms p99 2000 ms, backlog 7, errors 3")
}

// flip stands in front of addr and flips a bit in the first of the bytes that go to
// clients which are 40 zeros.
func flip(t *testing.T, addr string) (proxy string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	var once sync.Once
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", addr)
			if err != nil {
				client.Close()
				return
			}
			go func() {
				io.Copy(server, client)
				server.Close()
			}()
			go func() {
				defer client.Close()
				buffer := make([]byte, 64<<10)
				for {
					n, err := server.Read(buffer)
					if at := bytes.Index(buffer[:n], make([]byte, 40)); at >= 0 {
						once.Do(func() { buffer[at+20] ^= 1 })
					}
					client.Write(buffer[:n])
					if err != nil {
						return
					}
				}
			}()
		}
	}()
	return listener.Addr().String()
}

// A message that comes back with another bit ends the command with 1, and it says which.
func TestBenchCorrupt(t *testing.T) {
	native, _ := startBenched(t)
	code, stdout, stderr := execute(t.Context(), "", "bench", "--addr", flip(t, native), "--quiet", "--duration", "1h", "--random-ratio", "0", "--in-flight", "50")
	if code != exitFailure || !strings.Contains(stderr, "1 corrupt; first: corrupt: rollway-bench-") || !strings.Contains(stderr, "crc") {
		t.Errorf("exit code %d: %s\n%s", code, stderr, stdout)
	}
	if names := mustExecute(t, "", "topic", "list", "--addr", native); strings.Contains(names, "rollway-bench-") {
		t.Errorf("topics are left: %s", names)
	}
}
