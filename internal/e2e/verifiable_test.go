package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	verifiableConsumer = "org.apache.kafka.tools.VerifiableConsumer"
	verifiableProducer = "org.apache.kafka.tools.VerifiableProducer"
)

// verifiable is one of Apache Kafka's programs that tell all that happens to
// them, while it runs.
type verifiable struct {
	cmd    *exec.Cmd
	stderr syncBuffer
	ended  chan struct{} // closed when it has ended, and all it said was read

	mu     sync.Mutex
	events []verifiableEvent // +checklocks:mu
	killOn string            // +checklocks:mu — the name of an event, "" for none
}

// verifiableEvent is a line of it. Events have those fields that their Name has.
type verifiableEvent struct {
	Timestamp  int64 // ms
	Name       string
	Partitions []verifiablePartition
	Offsets    []verifiablePartition // of offsets_committed
	Success    bool                  // of offsets_committed
	Error      string
	verifiablePartition
}

// verifiablePartition is what an event says of a partition.
type verifiablePartition struct {
	Topic                       string
	Partition                   int
	Count, MinOffset, MaxOffset int64 // of records_consumed
	Offset                      int64 // of offsets_committed and producer_send_success
}

// startVerifiable starts a program against the server. It is killed with the
// test.
func (j *javaTools) startVerifiable(t *testing.T, main string, args ...string) *verifiable {
	t.Helper()
	v := &verifiable{ended: make(chan struct{})}
	v.cmd = javaCommand(context.WithoutCancel(t.Context()), t, main, append([]string{"--bootstrap-server", j.kafka}, args...)...)
	v.cmd.Stderr = &v.stderr
	stdout, err := v.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := v.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.kill)
	go func() {
		defer close(v.ended)
		v.read(stdout)
		v.cmd.Wait()
	}()
	return v
}

// startConsumer starts a consumer that hears soon of a rebalance.
func (j *javaTools) startConsumer(t *testing.T, topic, group string, args ...string) *verifiable {
	t.Helper()
	file := filepath.Join(t.TempDir(), "consumer.properties")
	if err := os.WriteFile(file, []byte("heartbeat.interval.ms=300\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return j.startVerifiable(t, verifiableConsumer, append([]string{"--topic", topic, "--group-id", group, "--command-config", file}, args...)...)
}

// read notes the events until there are no more. A last line that was cut is none.
func (v *verifiable) read(stdout io.Reader) {
	lines := bufio.NewReader(stdout)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var e verifiableEvent
		if err := json.Unmarshal(line, &e); err != nil {
			e = verifiableEvent{Name: "not JSON", Error: string(line)}
		}
		v.mu.Lock()
		v.events = append(v.events, e)
		if e.Name == v.killOn {
			v.cmd.Process.Kill()
		}
		v.mu.Unlock()
	}
}

// kill ends it with SIGKILL.
func (v *verifiable) kill() {
	v.cmd.Process.Kill()
	<-v.ended
}

// killAt ends it with SIGKILL as soon as it tells of the next event of a name.
func (v *verifiable) killAt(t *testing.T, name string) {
	t.Helper()
	v.mu.Lock()
	v.killOn = name
	v.mu.Unlock()
	select {
	case <-v.ended:
	case <-time.After(javaLimit):
		t.Fatalf("no %s within %v", name, javaLimit)
	}
}

// stop ends it with SIGTERM. It must have had nothing to warn of.
func (v *verifiable) stop(t *testing.T) {
	t.Helper()
	v.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-v.ended:
	case <-time.After(javaLimit):
		t.Fatalf("it does not end within %v", javaLimit)
	}
	// Java's exit code for a signal.
	if code := v.cmd.ProcessState.ExitCode(); code != 128+int(syscall.SIGTERM) || v.count("shutdown_complete") != 1 {
		t.Errorf("it ended with exit code %d:\n%s", code, v.stderr.String())
	}
	v.checkQuiet(t)
}

// checkQuiet fails the test if it has warned of anything.
func (v *verifiable) checkQuiet(t *testing.T) {
	t.Helper()
	if said := v.stderr.String(); javaWarnings.MatchString(said) || v.count("not JSON") > 0 {
		t.Errorf("it says\n%s", said)
	}
}

// all returns what it has told until now.
func (v *verifiable) all() []verifiableEvent {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clip(v.events)
}

// count returns how many events of a name there were.
func (v *verifiable) count(name string) (n int) {
	for _, e := range v.all() {
		if e.Name == name {
			n++
		}
	}
	return n
}

// owned returns the partitions that a consumer has, sorted.
func (v *verifiable) owned() []int {
	owned := map[int]bool{}
	for _, e := range v.all() {
		for _, p := range e.Partitions {
			switch e.Name {
			case "partitions_assigned":
				owned[p.Partition] = true
			case "partitions_revoked":
				delete(owned, p.Partition)
			}
		}
	}
	return slices.Sorted(maps.Keys(owned))
}

// ends returns how far a consumer has come in each partition: behind the last
// record that it has consumed there.
func (v *verifiable) ends() map[int]int64 {
	ends := map[int]int64{}
	for _, e := range v.all() {
		if e.Name == "records_consumed" {
			for _, p := range e.Partitions {
				ends[p.Partition] = p.MaxOffset + 1
			}
		}
	}
	return ends
}
