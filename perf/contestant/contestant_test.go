package contestant

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/perf/load"
)

// program is the built rollway.
var program string

// TestMain makes this program a bare server when it is told to be one.
func TestMain(m *testing.M) {
	if handled, err := ServeChild(os.Args[1:]); handled {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "rollway-contestant-")
		if err == nil {
			defer os.RemoveAll(dir)
			program, err = Build(context.Background(), dir)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// start starts a contestant by its name; it is killed when the test ends, unless
// it was stopped.
func start(t *testing.T, name string, o Options, s Setup) Server {
	t.Helper()
	c, err := New(name, o)
	if err != nil {
		t.Fatal(err)
	}
	if c.Name() != name {
		t.Errorf("name %q, want %q", c.Name(), name)
	}
	server, err := c.Start(t.Context(), s)
	if IsUnavailable(err) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Kill() })
	return server
}

// testBatch is one of 16 KiB.
func testBatch(t *testing.T) (f Filling) {
	t.Helper()
	b, err := load.Batch(16 << 10)
	if err != nil {
		t.Fatal(err)
	}
	return Filling{Batch: b, Bytes: 1<<20 + 1} // not whole batches: rounded down
}

// otherBatch is the same number of bytes and records as testBatch, in batches of
// half the length.
func otherBatch(t *testing.T) Filling {
	t.Helper()
	b, err := load.Batch(8 << 10)
	if err != nil {
		t.Fatal(err)
	}
	return Filling{Batch: b, Bytes: 1 << 20}
}

// checkFill fills a topic of a server and reads it back.
func checkFill(t *testing.T, s Server, topic string) {
	t.Helper()
	f := testBatch(t)
	for range 2 { // what is there is not produced again
		log, err := s.Fill(t.Context(), topic, f)
		if err != nil {
			t.Fatal(err)
		}
		if log.Bytes != 1<<20 || log.BatchBytes != 16<<10 {
			t.Fatalf("filled log %+v, want 1 MiB in batches of 16 KiB", log)
		}
		c, err := load.NewConsumer(t.Context(), s.Target(), log)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.Check(1 << 20); err != nil {
			t.Errorf("fetch of all of %s: %v", topic, err)
		}
		if n, _, err := c.Run(load.FetchRun{Bytes: 2 << 20, MaxBytes: 64 << 10, Depth: 4}); err != nil || n != 2<<20 {
			t.Errorf("fetch of %s: %d bytes, %v; want 2 MiB", topic, n, err)
		}
	}
}

// checkReadBack reads a filled topic by the clients that check every batch, and that
// wait at its end, which gets another batch meanwhile.
func checkReadBack(t *testing.T, s Server, topic string) {
	t.Helper()
	f := testBatch(t)
	var batches int64
	end, err := load.ReadBack(t.Context(), s.Target(), load.Partition{Topic: topic}, func(b record.Batch) error {
		batches++
		if b.Size() != f.Batch.Size() || b.CRC() != f.Batch.CRC() {
			return fmt.Errorf("%d bytes, crc %08x", b.Size(), b.CRC())
		}
		return nil
	})
	if err != nil || batches != 64 || end != batches*int64(f.Batch.Count()) {
		t.Errorf("%d batches, high watermark %d, %v; want 64 of %d records", batches, end, err, f.Batch.Count())
	}
	if end, err := load.ReadBack(t.Context(), s.Target(), load.Partition{Topic: topic, Number: 1}, nil); err != nil || end != 0 {
		t.Errorf("high watermark of an empty partition %d, %v; want 0", end, err)
	}

	if err := s.CreateTopic(t.Context(), "tailed", 1, nil); err != nil {
		t.Fatal(err)
	}
	tailer, err := load.NewTailer(t.Context(), s.Target(), load.Log{Topic: "tailed", BatchBytes: f.Batch.Size(), Step: int64(f.Batch.Count())})
	if err != nil {
		t.Fatal(err)
	}
	defer tailer.Close()
	tailed := make(chan error, 1)
	go func() { tailed <- tailer.Run(f.Bytes/2, 64<<10) }()
	if _, err := s.Fill(t.Context(), "tailed", f); err != nil {
		t.Fatal(err)
	}
	if err := <-tailed; err != nil || tailer.Bytes() < f.Bytes/2 {
		t.Errorf("%d bytes read at the end of the log, %v; want half of a MiB", tailer.Bytes(), err)
	}
}

// checkGone makes sure that a server's process is not there.
func checkGone(t *testing.T, s Server) {
	t.Helper()
	if err := unix.Kill(s.PID(), 0); err != unix.ESRCH {
		t.Errorf("signal to process %d, which was ended: %v, want ESRCH", s.PID(), err)
	}
}

// coresOf returns the cores that a process may use.
func coresOf(t *testing.T, pid int) (cores []int) {
	t.Helper()
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(pid, &set); err != nil {
		t.Fatal(err)
	}
	for core := range 1024 {
		if set.IsSet(core) {
			cores = append(cores, core)
		}
	}
	return cores
}

// checkServer starts a contestant with a log, fills topics, and starts it again
// over its data, after a stop and after SIGKILL.
func checkServer(t *testing.T, name string, o Options) {
	dir := filepath.Join(t.TempDir(), "data")
	s := start(t, name, o, Setup{Dir: dir})
	if s.Ready() <= 0 || s.First() < s.Ready() || !strings.HasPrefix(s.DataDir(), dir) || len(s.Conditions()) == 0 {
		t.Errorf("ready after %v, first batch after %v, data in %s, conditions %v; want all of them", s.Ready(), s.First(), s.DataDir(), s.Conditions())
	}
	for _, c := range s.Conditions() {
		t.Logf("%s: %s", c.Name, c.Text)
	}
	t.Logf("ready after %v, first batch after %v", s.Ready(), s.First())
	if err := s.CreateTopic(t.Context(), "filled", 2, map[string]string{"segment.bytes": "1048576"}); err != nil {
		t.Fatal(err)
	}
	checkFill(t, s, "filled")
	checkVerify(t, s, "filled", 2)
	checkReadBack(t, s, "filled")
	checkTopics(t, s)
	checkStop(t, s)

	expect := []Topic{{"filled", 2}}
	s = start(t, name, o, Setup{Dir: dir, Expect: expect})
	checkFill(t, s, "filled")
	if err := s.Kill(); err != nil {
		t.Errorf("kill: %v", err)
	}
	checkGone(t, s)
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("stop after kill: %v", err)
	}

	s = start(t, name, o, Setup{Dir: dir, Expect: expect})
	checkFill(t, s, "filled")
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("stop: %v", err)
	}
}

// rollway is started, filled and started again, by both protocols.
func TestRollway(t *testing.T) {
	for _, name := range []string{RollwayNative, RollwayKafka} {
		t.Run(name, func(t *testing.T) { checkServer(t, name, Options{Program: program}) })
	}
}

// A question longer than what a server takes before a valid request is answered.
func TestLongQuestion(t *testing.T) {
	s := start(t, RollwayKafka, Options{Program: program}, Setup{Dir: t.TempDir()})
	const partitions = 2000
	r, err := s.(*kafkaServer).admin.ask(t.Context(), endsRequest([]Topic{{Name: "absent", Partitions: partitions}}))
	if err != nil {
		t.Fatal(err)
	}
	if topics := r.(*kmsg.ListOffsetsResponse).Topics; len(topics) != 1 || len(topics[0].Partitions) != partitions {
		t.Errorf("an answer of %d topics, want 1 with %d partitions", len(topics), partitions)
	}
}

// A topic with more partitions than one request may ask for has them all.
func TestManyPartitions(t *testing.T) {
	a := start(t, RollwayKafka, Options{Program: program}, Setup{Dir: t.TempDir()}).(*kafkaServer).admin
	const partitions = 8
	if err := a.createInSteps(t.Context(), Topic{"many", partitions}, nil, false, 3); err != nil {
		t.Fatal(err)
	}
	if err := a.served(t.Context(), []Topic{{"many", partitions}}); err != nil {
		t.Error(err)
	}
	r, err := a.ask(t.Context(), endsRequest([]Topic{{"many", partitions + 1}}))
	if err != nil {
		t.Fatal(err)
	}
	if rest, err := refusedEnds(r.(*kmsg.ListOffsetsResponse)); !errors.Is(err, kerr.UnknownTopicOrPartition) || len(rest) != 1 || len(rest[0].Partitions) != 1 {
		t.Errorf("partitions that have no end: %v, %v; want the one behind the last", rest, err)
	}
}

// Topics of rollway are synced or not as the set-up says, whatever it has for a
// default, unless they are created with something else.
func TestRollwayDurability(t *testing.T) {
	f := func(s Setup, configs map[string]string, want string) {
		t.Helper()
		s.Dir = t.TempDir()
		server := start(t, RollwayKafka, Options{Program: program}, s).(*kafkaServer)
		if err := server.CreateTopic(t.Context(), "t", 1, configs); err != nil {
			t.Fatal(err)
		}
		if got := describeConfig(t, server.admin, "t", "flush.messages"); got != want {
			t.Errorf("set-up %+v, configs %v: flush.messages %s, want %s", s, configs, got, want)
		}
		if got := server.TopicConfigs()["flush.messages"]; configs == nil && !s.Durable && got != want {
			t.Errorf("set-up %+v: topics of others get flush.messages %q, want %s", s, got, want)
		}
	}
	f(Setup{Durable: true}, nil, "1")
	f(Setup{}, nil, "9223372036854775807")
	f(Setup{}, map[string]string{"flush.messages": "1"}, "1")
}

// What a program says that does not become ready is in the error, and it is gone.
func TestStartFails(t *testing.T) {
	f := func(script, want string) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "program")
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		c, err := New(RollwayNative, Options{Program: path})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Start(t.Context(), Setup{Dir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("start of %q: %v, want %q in it", script, err, want)
		}
	}
	f("echo the disk is on fire >&2; exit 3", "the disk is on fire")
	f("echo hello; exec sleep 1000", `it said "hello\n"`)
	f("echo ready wire=here kafka=there; exec sleep 1000", "here")
	f("echo ready wire=127.0.0.1:1 kafka=127.0.0.1:1; exit 3", "exit status 3")

	if _, err := New(RollwayNative, Options{}); err == nil {
		t.Error("rollway without a program: no error")
	}
	if _, err := New("pulsar", Options{}); err == nil || !strings.Contains(err.Error(), RollwayKafka) {
		t.Errorf("a contestant that there is not: %v, want those that there are", err)
	}
}

// A start ends with its context, and leaves no process.
func TestStartCancelled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nexec sleep 1000\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	c, err := New(RollwayNative, Options{Program: path})
	if err != nil {
		t.Fatal(err)
	}
	enough := errors.New("enough")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Millisecond, enough)
	defer cancel()
	if _, err := c.Start(ctx, Setup{Dir: t.TempDir()}); !errors.Is(err, enough) {
		t.Errorf("start whose context has ended: %v, want %v", err, enough)
	}
}

// A process that takes no notice of SIGTERM is killed, and one that ended by
// itself is an error.
func TestStop(t *testing.T) {
	said, words := io.Pipe()
	stubborn, err := startProcess(command{program: "/bin/sh", args: []string{"-c", "trap '' TERM; echo deaf; while :; do sleep 0.01; done"}, stdout: words})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := said.Read(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := stubborn.stop(ctx); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("stop of a process that is deaf to SIGTERM: %v, want it killed", err)
	}
	left, err := startProcess(command{program: "/bin/sh", args: []string{"-c", "echo enough; exit 0"}})
	if err != nil {
		t.Fatal(err)
	}
	<-left.ended
	if err := left.stop(t.Context()); err == nil || !strings.Contains(err.Error(), "enough") {
		t.Errorf("stop of a process that has left: %v, want its words", err)
	}
}
