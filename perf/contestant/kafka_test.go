package contestant

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rollway/rollway/perf/load"
)

// kafkaOptions are those of tests with a broker, which are asked for: a start
// takes seconds.
func kafkaOptions(t *testing.T) Options {
	t.Helper()
	if os.Getenv("ROLLWAY_LAB_KAFKA") == "" {
		t.Skip("starts Apache Kafka, whose jars scripts/kafka fetch fetches: set ROLLWAY_LAB_KAFKA=1")
	}
	return Options{}
}

// Kafka is formatted, started, filled and started again over its data, synced and
// not.
func TestKafka(t *testing.T) {
	o := kafkaOptions(t)
	for _, name := range []string{Kafka, KafkaFsync} {
		t.Run(name, func(t *testing.T) { checkServer(t, name, o) })
	}
}

// A broker that was there before is used and never ended, and topics on it are as
// the name says.
func TestKafkaEndpoint(t *testing.T) {
	broker := start(t, Kafka, kafkaOptions(t), Setup{Dir: t.TempDir()})
	o := Options{KafkaEndpoint: broker.Target().Addr.String(), KafkaPID: broker.PID()}
	s := start(t, KafkaFsync, o, Setup{})
	if s.PID() != broker.PID() || s.Ready() != 0 || s.First() != 0 {
		t.Errorf("process %d, ready after %v, first batch after %v; want the broker's %d and no times", s.PID(), s.Ready(), s.First(), broker.PID())
	}
	if err := s.CreateTopic(t.Context(), "filled", 1, nil); err != nil {
		t.Fatal(err)
	}
	if got := describeConfig(t, s.(*kafkaServer).admin, "filled", "flush.messages"); got != "1" {
		t.Errorf("flush.messages %s, want 1", got)
	}
	checkFill(t, s, "filled")
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("stop: %v", err)
	}
	if err := s.Kill(); err == nil {
		t.Error("kill a broker that was there before: no error")
	}
	if _, err := load.NewConsumer(t.Context(), broker.Target(), load.Log{Topic: "filled"}); err != nil {
		t.Errorf("connect to the broker after the stop: %v", err)
	}
}

// A machine without Java or without the jars is told from one where something
// went wrong, and what to do about it is said.
func TestKafkaUnavailable(t *testing.T) {
	f := func(what, want string) {
		t.Helper()
		c, err := New(Kafka, Options{KafkaLib: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Start(t.Context(), Setup{Dir: t.TempDir()}); !IsUnavailable(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want it unavailable: %s", what, err, want)
		}
	}
	t.Setenv("JAVA_HOME", "")
	t.Setenv("PATH", t.TempDir())
	f("no Java", "install Java")
	java := filepath.Join(t.TempDir(), "bin", "java")
	if err := os.MkdirAll(filepath.Dir(java), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(java, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("JAVA_HOME", filepath.Dir(filepath.Dir(java)))
	f("no jars", "scripts/kafka fetch")

	if _, err := New(Kafka, Options{KafkaEndpoint: "localhost"}); err == nil {
		t.Error("an endpoint without a port: no error")
	}
	if c, err := New(Kafka, Options{KafkaEndpoint: "127.0.0.1:1"}); err != nil {
		t.Error(err)
	} else if _, err := c.Start(t.Context(), Setup{}); err == nil || IsUnavailable(err) {
		t.Errorf("an endpoint where nobody listens: %v, want an error", err)
	}
}

// The version that is started is the one that is fetched.
func TestKafkaVersion(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", kafkaPOM))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`<kafka\.version>(.*)</kafka\.version>`).FindSubmatch(text)
	if m == nil || string(m[1]) != KafkaVersion {
		t.Errorf("%s has kafka.version %q, want %s", kafkaPOM, m, KafkaVersion)
	}
}

// The broker's address is found in the properties that were written, and only
// what is not shipped counts as a difference.
func TestKafkaProperties(t *testing.T) {
	dir := t.TempDir()
	ports, err := FreePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	if ports[0] == ports[1] {
		t.Errorf("free ports %v, want two", ports)
	}
	all := append(append([]property(nil), shippedProperties...), ownProperties(ports[0], ports[1], `/data\logs`)...)
	path := filepath.Join(dir, propertiesFile)
	if err := os.WriteFile(path, []byte(formatProperties(all)), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := readListener(path); err != nil || got != ports[0] {
		t.Errorf("listener %v, %v; want %v", got, err, ports[0])
	}
	own, err := KafkaInstall{}.settings(dir)
	if err != nil || !strings.Contains(own, `log.dirs=/data\\logs`) || strings.Contains(own, "log.segment.bytes") {
		t.Errorf("own settings %s, %v; want log.dirs and not log.segment.bytes", own, err)
	}
	if err := os.WriteFile(path, []byte("listeners=SSL://x:1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := readListener(path); err == nil {
		t.Error("properties of somebody else: no error")
	}
}
