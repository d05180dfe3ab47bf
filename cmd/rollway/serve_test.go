package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/rollway/rollway/internal/brokerconfig"
	"github.com/rollway/rollway/wire"
)

// A flag wins over its variable, that over the file, which holds what a Kafka's does; every value says where it comes from.
func TestPrintConfig(t *testing.T) {
	t.Setenv("ROLLWAY_PARTITIONS", "5")
	t.Setenv("ROLLWAY_FRAME_TIMEOUT", "5s")
	t.Setenv("ROLLWAY_TOPIC_DEFAULT", "segment.bytes=1048576 segment.ms=1000")
	t.Setenv("ROLLWAY_SERVICE_HOST", "10.0.0.1")
	tr := &transcript{t: t}
	tr.run("", "serve", "--print-config")
	tr.run("", "serve", "--print-config", "--config", "testdata/server.properties", "--frame-timeout", "7s", "--data", "/srv/log", "--topic-default", "segment.ms=2000")
	tr.check("print_config")
}

// What Kafka knows and means nothing here, and variables that are none, are named once in the log.
func TestIgnoredSettings(t *testing.T) {
	t.Setenv("ROLLWAY_SERVICE_HOST", "10.0.0.1")
	file := filepath.Join(t.TempDir(), "server.properties")
	if err := os.WriteFile(file, []byte("num.io.threads=8\nssl.keystore.location=x\nnum.io.threads=9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startServer(t, t.TempDir(), "--config", file, "--log-format", "json")
	s.stop(t)
	for _, want := range []string{`"names":["num.io.threads","ssl.keystore.location"]`, `"names":["ROLLWAY_SERVICE_HOST"]`} {
		if n := strings.Count(s.log.String(), want); n != 1 {
			t.Errorf("%d lines with %s, want 1, in\n%s", n, want, s.log.String())
		}
	}
}

// Values of Kafka's settings become ours.
func TestKafkaSettings(t *testing.T) {
	f := func(line, want string) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "p")
		if err := os.WriteFile(file, []byte(line+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		code, stdout, stderr := execute(t.Context(), "", "serve", "--print-config", "--config", file)
		fields := regexp.MustCompile(`(?m) +`).ReplaceAllString(stdout, " ")
		if code != exitOK || !strings.Contains(fields, want+" ") {
			t.Errorf("%s: exit code %d, %s, want %q in\n%s", line, code, stderr, want, fields)
		}
	}
	f("log.dir = /a b", "data /a b")
	f("broker.id=3", "node-id 3")
	f("max.connections=2147483647", "max-connections 1048576")
	f("max.connections.per.ip=10", "max-connections-per-ip 10")
	f("socket.send.buffer.bytes=-1", "send-buffer 0")
	f("connections.max.idle.ms=-1", "idle-timeout -1ms")
	f("producer.id.expiration.ms=3600000", "producer-id-expiration 1h0m0s")
	f("log.flush.offset.checkpoint.interval.ms=60000", "checkpoint-interval 1m0s")
	f("log.retention.hours=-1", "topic retention.ms -1")
	f("log.retention.minutes=2", "topic retention.ms 120000")
	f("log.retention.bytes=7", "topic retention.bytes 7")
	f("log.retention.check.interval.ms=1000", "retention-interval 1s")
	f("log.segment.delete.delay.ms=8", "topic file.delete.delay.ms 8")
	f("log.message.timestamp.before.max.ms=9", "topic message.timestamp.before.max.ms 9")
	f("log.message.timestamp.after.max.ms=10", "topic message.timestamp.after.max.ms 10")
	f("log.cleanup.policy=delete", "topic cleanup.policy delete")
	f("log.roll.hours=1", "topic segment.ms 3600000")
	f("log.retention.ms=5\nlog.retention.hours=1", "topic retention.ms 5")
	f("min.insync.replicas=2", "topic min.insync.replicas 2")
	f("exit-on-storage-error=false", "exit-on-storage-error false")
	f("auto.create.topics.enable=FALSE", "auto-create-topics false")
	f("default.replication.factor=3", "default-replication-factor 3")
	f("rollway.accept.any.replication.factor=true", "accept-any-replication-factor true")
	f("fetch.max.bytes = 4096", "broker fetch.max.bytes 4096")
	f("delete.topic.enable=false", "broker delete.topic.enable false")
	f("max.incremental.fetch.session.cache.slots=5", "broker max.incremental.fetch.session.cache.slots 5")
	f("offsets.topic.replication.factor=1", "broker offsets.topic.replication.factor 1")
}

// Each broker setting that has an effect can stand in a file, with the default that its documentation states, and has it:
// no line of the log says otherwise.
func TestEveryBrokerSetting(t *testing.T) {
	for _, k := range brokerconfig.Keys() {
		if k.InForce && hasNoEffect(k.Name) {
			t.Errorf("%s has an effect, and a misspelt name of its family would be taken to have none", k.Name)
		}
		if !k.InForce || k.NoDefault {
			continue
		}
		file := filepath.Join(t.TempDir(), "p")
		if err := os.WriteFile(file, []byte(k.Name+"="+k.Default+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		o := &serveOptions{}
		cmd := &cobra.Command{}
		o.addFlags(cmd)
		if err := cmd.Flags().Set("config", file); err != nil {
			t.Fatal(err)
		}
		s, err := resolve(cmd.Flags(), nil)
		if err != nil || len(s.notes) > 0 {
			t.Errorf("%s=%s: %v, notes %v", k.Name, k.Default, err, s.notes)
			continue
		}
		if err := o.complete(s); err != nil {
			t.Errorf("%s=%s: %v", k.Name, k.Default, err)
		}
		if kafka, ok := kafkaSettings[k.Name]; ok && kafka.flag != "max-connections" && kafka.flag != "kafka" {
			// The documented default is that of the flag.
			if f := cmd.Flags().Lookup(kafka.flag); f.Value.String() != f.DefValue {
				t.Errorf("%s=%s makes --%s %s, and its default is %s", k.Name, k.Default, kafka.flag, f.Value, f.DefValue)
			}
		}
	}
}

// Settings by Kafka's names reach the broker as they stand in the file, but for those of topics that a flag overrides.
func TestBrokerSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "p")
	content := "log.retention.hours=1\nlog.retention.minutes=2\nlog.roll.hours=3\nfetch.max.bytes=4096\nauto.create.topics.enable=false\nnum.io.threads=5\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	o := &serveOptions{}
	cmd := &cobra.Command{}
	o.addFlags(cmd)
	if err := cmd.ParseFlags([]string{"--config", file, "--topic-default", "segment.ms=7", "--topic-default", "flush.ms=8", "--default-replication-factor", "2"}); err != nil {
		t.Fatal(err)
	}
	s, err := resolve(cmd.Flags(), o.topicDefaults)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.complete(s); err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{
		"log.retention.hours": "1", "log.retention.minutes": "2", "fetch.max.bytes": "4096", "auto.create.topics.enable": "false",
		"num.io.threads": "5", "default.replication.factor": "2",
	}
	if !maps.Equal(o.Settings, settings) || !maps.Equal(o.Engine.TopicDefaults, map[string]string{"segment.ms": "7", "flush.ms": "8"}) {
		t.Errorf("settings %v, topic defaults %v", o.Settings, o.Engine.TopicDefaults)
	}
}

// listing returns names and contents of all files below dir.
func listing(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if name := entry.Name(); strings.HasPrefix(name, "rollway-journal") || name == "rollway-ballast" {
			return nil // large, and no data that a command could change
		}
		content, err := os.ReadFile(path)
		list = append(list, path+": "+string(content))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// Each wrong input is one line that says what was found and what to do, an exit code of its kind, and leaves the data as they were.
func TestBadInput(t *testing.T) {
	data := t.TempDir()
	s := startServer(t, data)
	mustExecute(t, "", "topic", "create", "lines", "--config", "max.message.bytes=1000", "--addr", s.addr)
	mustExecute(t, "one\n", "produce", "lines", "--addr", s.addr)
	before := listing(t, data)

	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	write := func(name, content string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("file", "x")
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := free.Addr().String()
	free.Close()

	tr := &transcript{t: t}
	tr.mask(regexp.QuoteMeta(dir), "DIR")
	tr.mask(regexp.QuoteMeta(data), "DATA")
	tr.mask(regexp.QuoteMeta(s.addr), "ADDR")
	tr.mask(regexp.QuoteMeta(nobody), "NOBODY")
	f := func(args ...string) {
		t.Helper()
		tr.run("", args...)
	}
	client := func(stdin string, args ...string) {
		t.Helper()
		tr.run(stdin, append(args, "--addr", s.addr)...)
	}
	config := func(content string) {
		t.Helper()
		tr.out.WriteString("# " + strings.ReplaceAll(content, "\n", "\n# ") + "\n")
		tr.run("", "serve", "--config", write("p", content))
	}

	// Commands, flags and arguments.
	f("srve")
	f("topic", "creat")
	f("--flag")
	f("serve", "--dta", "x")
	f("serve", "-x")
	f("serve", "now")
	f("partition", "skp")
	f("topic", "create")
	f("topic", "create", "a", "b")
	f("consume", "lines", "--max", "many")
	f("consume", "lines", "--max", "-1")
	f("consume", "lines", "--from", "yesterday")
	f("consume", "lines", "--format", "%q")
	f("consume", "lines", "--partition", "-2")
	f("offsets", "lines", "--time", "now")
	f("produce", "lines", "--acks", "2")
	f("produce", "lines", "--compression", "lzma")
	f("produce", "lines", "--batch-bytes", "0")
	f("produce", "lines", "--partition", "-2")
	f("topic", "create", "a", "--config", "retention")
	f("topic", "create", "a", "--config", "retention.sm=5")
	f("topic", "create", "a", "--config", "retention.ms=five")
	f("topic", "create", "a", "--partitions", "0")
	f("topic", "alter", "a")
	f("topic", "alter", "a", "--reset", "retention.sm")
	f("topic", "create", "a", "--config", "cleanup.policy=compact")
	f("topic", "delete-records", "a")
	f("topic", "delete-records", "a", "--before", "1")
	f("topic", "delete-records", "a", "--before", "-1", "--partition", "0")
	f("topic", "delete-records", "a", "--before", "1", "--partition", "-1")
	f("topic", "delete-records", "a", "--before", "1", "--partition", "0", "--all")

	// Settings.
	f("serve", "--fetch-path", "teleport")
	f("serve", "--log-level", "loud")
	f("serve", "--log-format", "xml")
	f("serve", "--max-frame", "16MB")
	f("serve", "--http", "9193")
	f("serve", "--topic-default", "segment.byte=1")
	f("serve", "--config", filepath.Join(dir, "missing"))
	config("log.dirs=/a,/b")
	config("log.segment.byte=1048576")
	config("segment.bytes=1048576")
	config("log.segment.bytes=1")
	config("log.retention.hours=many")
	config("log.retention.hours=9223372036854775807")
	config("num.partitions=x")
	config("connections.max.idle.ms=x")
	config("auto.create.topics.enable=1")
	config("fetch.max.bytes=1000")
	config("fetch.max.byte=4096")
	config("rollway.accept.any.replication.factr=true")
	f("serve", "--default-replication-factor", "0")
	config("exit-on-storage-eror=true")
	config("a=\\u12")

	// Servers that cannot start.
	f("serve", "--data", data, "--wire", "127.0.0.1:0", "--kafka", "off", "--http", "off")
	f("serve", "--data", filepath.Join(dir, "new"), "--wire", s.addr, "--kafka", "off", "--http", "off")
	f("serve", "--data", file, "--wire", "127.0.0.1:0", "--kafka", "off", "--http", "off")
	f("serve", "--data", filepath.Join(file, "below"), "--wire", "127.0.0.1:0", "--kafka", "off", "--http", "off")
	f("serve", "--data", filepath.Join(dir, "new"), "--wire", "0.0.0.0:0", "--kafka", "off", "--http", "off")
	f("serve", "--data", filepath.Join(dir, "new"), "--wire", "off", "--kafka", "off", "--http", "0.0.0.0:0")
	f("serve", "--data", filepath.Join(dir, "new"), "--wire", "nowhere", "--kafka", "off", "--http", "off")
	f("serve", "--data", data, "--wire", "127.0.0.1:0", "--kafka", "off", "--http", "off", "--max-frame", "1GiB")
	if _, err := os.Stat(filepath.Join(dir, "new")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a server that could not listen left a directory behind: %v", err)
	}

	// Servers and topics that are not there.
	f("topic", "list", "--addr", nobody)
	client("", "produce", "nope")
	client("", "consume", "nope")
	client("", "offsets", "nope")
	client("", "topic", "describe", "nope")
	client("", "topic", "alter", "nope", "--partitions", "2")
	client("", "topic", "delete", "nope")
	client("", "topic", "create", "lines")
	client("", "topic", "create", "no spaces")
	client("", "topic", "alter", "lines", "--partitions", "1")
	client("", "consume", "lines", "--partition", "1")
	client("", "consume", "lines", "--from", "2")
	client("x\n", "produce", "lines", "--partition", "1")
	client("", "produce", "lines", filepath.Join(dir, "missing"))
	client("", "produce", "lines", dir)
	client("two\n"+strings.Repeat("x", 950)+"\nfour\n", "produce", "lines", "--partition", "0", "--acks", "all")
	f("dump", filepath.Join(dir, "missing"))
	tr.check("bad_input")

	// The line before the one that was too long was taken; nothing else has changed anything.
	after := listing(t, data)
	changed := slices.DeleteFunc(after, func(entry string) bool { return slices.Contains(before, entry) })
	if len(changed) != 1 || !strings.HasPrefix(changed[0], filepath.Join(data, "lines-0", "00000000000000000000.log")) {
		t.Errorf("changed files: %q", changed)
	}
}

// A directory that nobody may write to, also not root, is one clear error.
func TestUnwritableDirectory(t *testing.T) {
	code, _, stderr := execute(t.Context(), "", "serve", "--data", "/sys/rollway-data", "--wire", "127.0.0.1:0", "--kafka", "off", "--http", "off")
	if code != exitFailure || !strings.Contains(stderr, "take a directory that this user may write to by --data") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

// What a server counts can be looked at while it runs, and only then.
func TestHTTP(t *testing.T) {
	s := startServer(t, t.TempDir(), "--http", "127.0.0.1:0")
	get := func(path, want string) {
		t.Helper()
		resp, err := http.Get("http://" + s.http + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%s: %s, %.500s, %v; want %q", path, resp.Status, body, err, want)
		}
	}
	get("/metrics", "rollway_build_info")
	get("/healthz", "ok")
	get("/debug/pprof/cmdline", "")
	s.stop(t)
	if resp, err := http.Get("http://" + s.http); err == nil {
		resp.Body.Close()
		t.Error("something is served after the end")
	}
}

// runMain makes the test binary the program.
const runMain = "ROLLWAY_TEST_RUN_MAIN"

func init() {
	if os.Getenv(runMain) != "" {
		os.Unsetenv(runMain)
		main()
	}
}

// process is a server in a process of its own.
type process struct {
	*exec.Cmd
	addr    string
	log     *bufio.Reader
	logPipe io.Closer
}

// startProcess starts a server and returns when it is ready.
func startProcess(t *testing.T, dir string, flags ...string) process {
	t.Helper()
	cmd := exec.Command(os.Args[0], append([]string{"serve", "--data", dir, "--wire", "127.0.0.1:0", "--kafka", "off", "--http", "off"}, flags...)...)
	cmd.Env = append(os.Environ(), runMain+"=1")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	_, addr, _ := strings.Cut(strings.TrimSpace(line), "wire=")
	return process{cmd, addr, bufio.NewReader(log), log}
}

// await reads the log up to a line with text.
func (p process) await(t *testing.T, text string) {
	t.Helper()
	for {
		line, err := p.log.ReadString('\n')
		if err != nil {
			t.Fatalf("no line with %q in the log: %v", text, err)
		}
		if strings.Contains(line, text) {
			return
		}
	}
}

// A signal stops a real process cleanly, with the marker, even when nobody reads its log any more.
func TestSignals(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		dir := t.TempDir()
		p := startProcess(t, dir)
		mustExecute(t, "", "topic", "create", "lines", "--addr", p.addr)
		mustExecute(t, "one\n", "produce", "lines", "--addr", p.addr)
		p.logPipe.Close()
		p.Process.Signal(sig)
		if err := p.Wait(); err != nil {
			t.Errorf("%v: %v", sig, err)
		}
		if _, err := os.Stat(filepath.Join(dir, ".kafka_cleanshutdown")); err != nil {
			t.Errorf("%v: %v", sig, err)
		}
	}
}

// A second signal ends a server at once that waits for a client which takes nothing.
func TestSecondSignal(t *testing.T) {
	p := startProcess(t, t.TempDir(), "--shutdown-timeout", "1h")
	mustExecute(t, "", "topic", "create", "lines", "--addr", p.addr)
	mustExecute(t, strings.Repeat(strings.Repeat("x", 100_000)+"\n", 80), "produce", "lines", "--addr", p.addr)
	conn, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	requests := (&wire.Hello{MinVersion: wire.Version, MaxVersion: wire.Version, Software: "test", SoftwareVersion: "1"}).AppendTo(nil, 1)
	for i := range 8 {
		fetch := wire.Fetch{Topic: []byte("lines"), MaxBytes: 8 << 20}
		requests = fetch.AppendTo(requests, uint32(i+2))
	}
	if _, err := conn.Write(requests); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil { // it has begun to answer
		t.Fatal(err)
	}
	p.Process.Signal(syscall.SIGTERM)
	p.await(t, "server stops")
	p.Process.Signal(syscall.SIGINT)
	if p.Wait(); p.ProcessState.ExitCode() != 130 {
		t.Errorf("%v, want exit status 130", p.ProcessState)
	}
}

// When a write fails the server says so and exits with 1, or, where that is not wanted, goes on serving what is visible; the
// next start recovers it.
func TestStorageError(t *testing.T) {
	f := func(exits bool) {
		t.Helper()
		dir := t.TempDir()
		p := startProcess(t, dir, fmt.Sprintf("--exit-on-storage-error=%t", exits), "--ballast=-1", "--journal-bytes=-1")
		mustExecute(t, "", "topic", "create", "lines", "--addr", p.addr)
		mustExecute(t, "one\n", "produce", "lines", "--addr", p.addr)
		// Writes beyond this size fail with EFBIG (setrlimit(2)), for root too.
		limit := unix.Rlimit{Cur: 1 << 20, Max: 1 << 20}
		if err := unix.Prlimit(p.Process.Pid, unix.RLIMIT_FSIZE, &limit, nil); err != nil {
			t.Fatal(err)
		}
		code, _, stderr := execute(t.Context(), strings.Repeat(strings.Repeat("x", 10_000)+"\n", 200), "produce", "lines", "--addr", p.addr, "--retry-for", "300ms")
		if code == exitOK || !strings.Contains(stderr, "records were acknowledged") {
			t.Errorf("produce: exit code %d, %s", code, stderr)
		}
		p.await(t, "data directory has stopped")
		if exits {
			p.await(t, "file too large; nothing was acknowledged after it: look for the cause in the kernel's log")
			if p.Wait(); p.ProcessState.ExitCode() != exitFailure {
				t.Errorf("%v, want exit status 1", p.ProcessState)
			}
		} else {
			if got := mustExecute(t, "", "consume", "lines", "--max", "1", "--addr", p.addr); got != "one\n" {
				t.Errorf("consume: %q, want one line", got)
			}
			p.Process.Kill()
			p.Wait()
		}
		s := startServer(t, dir)
		if got := mustExecute(t, "", "consume", "lines", "--max", "1", "--addr", s.addr); got != "one\n" {
			t.Errorf("after a restart: %q, want one line", got)
		}
	}
	f(true)
	f(false)
}

// A server.properties of a Kafka starts a server.
func TestPastedProperties(t *testing.T) {
	dir := t.TempDir()
	s := startServer(t, dir, "--config", "testdata/server.properties")
	mustExecute(t, "", "topic", "create", "lines", "--addr", s.addr)
	if got := mustExecute(t, "", "offsets", "lines", "--addr", s.addr); strings.Count(got, "\n") != 1+3 {
		t.Errorf("%s\nwant three partitions", got)
	}
}
