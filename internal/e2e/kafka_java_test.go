package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rollway/rollway/internal/compat"
	"github.com/rollway/rollway/internal/needs"
)

// javaTools are Apache Kafka's clients and command-line tools, and a server for
// them.
type javaTools struct{ *server }

// javaLogLevel has slf4j-simple print warnings and errors, and nothing less, to
// standard error.
const javaLogLevel = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"

// startJavaTools starts a server, or skips the test where there are no jars.
// What comes of the test is reported as that of what is run. It runs beside
// others: most of what it takes is the start of programs.
func startJavaTools(t *testing.T, what string, args ...string) *javaTools {
	t.Helper()
	needsKafka(t, what)
	return &javaTools{startServer(t, filepath.Join(t.TempDir(), "data"), append([]string{"--kafka", "127.0.0.1:0"}, args...)...)}
}

// needsKafka is startJavaTools for a test that starts its servers itself.
func needsKafka(t *testing.T, what string) {
	t.Helper()
	if kafkaLib == "" {
		t.Skip("needs Apache Kafka's jars in ROLLWAY_KAFKA_LIB: run make compat-java")
	}
	compat.Report(t, javaSuite(t, what))
	t.Parallel()
}

// javaSuite is what results of Apache Kafka's programs belong to.
func javaSuite(t *testing.T, what string) compat.Suite {
	t.Helper()
	jars, _ := filepath.Glob(filepath.Join(kafkaLib, "kafka-clients-*.jar"))
	if len(jars) != 1 {
		t.Fatalf("%d jars of kafka-clients in %s, want one", len(jars), kafkaLib)
	}
	version := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(jars[0]), "kafka-clients-"), ".jar")
	return compat.Suite{Client: "Apache Kafka (Java)", Version: version, What: what}
}

// javaWarnings are lines of a log that warn of something, and of a program that
// failed.
var javaWarnings = regexp.MustCompile(`(?m)^.*(?:\] (?:WARN|ERROR) |Exception).*$`)

// run runs the program with the main class against the server. It must succeed
// and warn of nothing. It returns its standard output.
func (j *javaTools) run(t *testing.T, stdin, main string, args ...string) string {
	t.Helper()
	return j.start(t, stdin, main, append([]string{"--bootstrap-server", j.kafka}, args...)...)
}

// runCommand is run for programs whose first argument is a command.
func (j *javaTools) runCommand(t *testing.T, main, command string, args ...string) string {
	t.Helper()
	return j.start(t, "", main, append([]string{command, "--bootstrap-server", j.kafka}, args...)...)
}

// start runs the program with all its arguments.
func (j *javaTools) start(t *testing.T, stdin, main string, args ...string) string {
	t.Helper()
	stdout, stderr, err := tryJava(t, stdin, main, args...)
	if said := stdout + stderr; err != nil || javaWarnings.MatchString(said) {
		t.Errorf("%s %s: %v\n%s", main, strings.Join(args, " "), err, said)
	}
	return stdout
}

// runRefused is run for what is refused: it returns all that the program prints,
// which says so. Not every program has an exit code for it.
func (j *javaTools) runRefused(t *testing.T, main string, args ...string) string {
	t.Helper()
	stdout, stderr, _ := tryJava(t, "", main, append([]string{"--bootstrap-server", j.kafka}, args...)...)
	return stdout + stderr
}

// javaLimit is for how long a program may run, and what one is waited for.
const javaLimit = 4 * time.Minute

// tryJava runs the program with the main class.
func tryJava(t *testing.T, stdin, main string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), javaLimit)
	defer cancel()
	cmd := javaCommand(ctx, t, main, args...)
	var out, log bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &log
	err = cmd.Run()
	return out.String(), log.String(), err
}

// javaCommand is the program with the main class, not yet started.
func javaCommand(ctx context.Context, t *testing.T, main string, args ...string) *exec.Cmd {
	t.Helper()
	// Programs that run for seconds start faster with the first compiler alone.
	line := []string{
		"-Xmx256m", "-XX:TieredStopAtLevel=1", javaLogLevel,
		"-cp", filepath.Join(kafkaLib, "*"), main,
	}
	return exec.CommandContext(ctx, needs.Tool(t, "java"), append(line, args...)...)
}

// wants fails the test unless text has a match of each pattern, where a space
// stands for any white space.
func wants(t *testing.T, text string, patterns ...string) {
	t.Helper()
	for _, p := range patterns {
		if !regexp.MustCompile(strings.ReplaceAll(p, " ", `\s+`)).MatchString(text) {
			t.Errorf("no match of %q in\n%s", p, text)
		}
	}
}

const (
	consoleProducer = "org.apache.kafka.tools.ConsoleProducer"
	consoleConsumer = "org.apache.kafka.tools.consumer.ConsoleConsumer"
	topicCommand    = "org.apache.kafka.tools.TopicCommand"
	configCommand   = "kafka.admin.ConfigCommand"
	getOffsetShell  = "org.apache.kafka.tools.GetOffsetShell"
)

// The console producer, idempotent as it is by default, produces with every
// codec what the console consumer consumes from a partition.
func TestKafkaConsole(t *testing.T) {
	j := startJavaTools(t, "console producer and consumer")
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		topic := "console-" + codec
		if codec != "none" { // that one is created by being asked for
			j.server.run(nil, "topic", "create", topic)
		}
		var stdin, want strings.Builder
		for i := range 200 {
			line := fmt.Sprintf("line %d %s", i, strings.Repeat("x", i))
			fmt.Fprintf(&stdin, "%s\n", line)
			fmt.Fprintf(&want, "Offset:%d\t%s\n", i, line)
		}
		j.run(t, stdin.String(), consoleProducer, "--topic", topic, "--compression-codec", codec)
		got := j.run(t, "", consoleConsumer, "--topic", topic, "--partition", "0", "--offset", "earliest",
			"--max-messages", "200", "--formatter-property", "print.offset=true")
		if got != want.String() {
			t.Errorf("%s: %d bytes came out, want %d", codec, len(got), want.Len())
		}
	}
	got := j.run(t, "", consoleConsumer, "--topic", "console-lz4", "--partition", "0", "--offset", "198", "--max-messages", "2",
		"--isolation-level", "read_committed", "--formatter-property", "print.offset=true", "--formatter-property", "print.value=false")
	if got != "Offset:198\nOffset:199\n" {
		t.Errorf("from offset 198: %q", got)
	}
}

// What measures producers, and what verifies them, is answered to all it sends.
func TestKafkaProducers(t *testing.T) {
	j := startJavaTools(t, "ProducerPerformance, VerifiableProducer")
	j.server.run(nil, "topic", "create", "performance", "--partitions", "3")
	got := j.run(t, "", "org.apache.kafka.tools.ProducerPerformance", "--topic", "performance", "--num-records", "50000",
		"--record-size", "200", "--throughput", "-1", "--command-property", "compression.type=lz4")
	wants(t, got, `(?m)^50000 records sent, `)
	j.server.run(nil, "topic", "create", "verifiable")
	got = j.run(t, "", "org.apache.kafka.tools.VerifiableProducer", "--topic", "verifiable", "--max-messages", "500", "--acks", "-1")
	wants(t, got, `"name":"tool_data".*"sent":500,"acked":500`, `"value":"499","offset":499,"topic":"verifiable","partition":0`)
	if end := j.latest("verifiable"); end != 500 {
		t.Errorf("the log ends at %d, want 500", end)
	}
}

// kafka-topics creates, lists, describes, extends and deletes topics.
func TestKafkaTopics(t *testing.T) {
	j := startJavaTools(t, "kafka-topics")
	wants(t, j.run(t, "", topicCommand, "--create", "--topic", "made", "--partitions", "2", "--replication-factor", "1", "--config", "retention.ms=3600000"),
		`Created topic made\.`)
	j.run(t, "", topicCommand, "--create", "--topic", "made", "--if-not-exists")
	j.run(t, "", topicCommand, "--create", "--topic", "by-default")
	if got := j.run(t, "", topicCommand, "--list"); got != "by-default\nmade\n" {
		t.Errorf("list: %q", got)
	}
	wants(t, j.run(t, "", topicCommand, "--describe", "--topic", "made"),
		`Topic: made TopicId: \S{22} PartitionCount: 2 ReplicationFactor: 1 Configs: .*retention\.ms=3600000`,
		`Topic: made Partition: 1 Leader: 0 Replicas: 0 Isr: 0`)
	j.run(t, "", topicCommand, "--alter", "--topic", "made", "--partitions", "5")
	wants(t, j.run(t, "", topicCommand, "--describe"), `Topic: made .* PartitionCount: 5`, `Topic: by-default .* PartitionCount: 1`)
	for _, flag := range []string{"--under-replicated-partitions", "--unavailable-partitions", "--under-min-isr-partitions"} {
		if got := j.run(t, "", topicCommand, "--describe", flag); got != "" {
			t.Errorf("%s: %s", flag, got)
		}
	}
	j.run(t, "", topicCommand, "--delete", "--topic", "made")
	if got := j.run(t, "", topicCommand, "--list"); got != "by-default\n" {
		t.Errorf("list after the deletion: %q", got)
	}
}

// kafka-configs describes and alters configs of topics, of the broker, and of
// all brokers.
func TestKafkaConfigs(t *testing.T) {
	j := startJavaTools(t, "kafka-configs")
	j.server.run(nil, "topic", "create", "configured")
	topic := []string{"--entity-type", "topics", "--entity-name", "configured"}
	config := func(entity []string, args ...string) string {
		t.Helper()
		return j.run(t, "", configCommand, append(entity[:len(entity):len(entity)], args...)...)
	}
	wants(t, config(topic, "--alter", "--add-config", "retention.bytes=1000000,retention.ms=7200000"), `Completed updating config for topic configured\.`)
	wants(t, config(topic, "--describe"), `retention\.bytes=1000000 sensitive=false synonyms=\{DYNAMIC_TOPIC_CONFIG:retention\.bytes=1000000`, `retention\.ms=7200000 `)
	config(topic, "--alter", "--delete-config", "retention.bytes")
	if got := config(topic, "--describe"); strings.Contains(got, "retention.bytes") {
		t.Errorf("after the deletion of retention.bytes: %s", got)
	}
	wants(t, config(topic, "--describe", "--all"), `cleanup\.policy=delete sensitive=false synonyms=\{DEFAULT_CONFIG:log\.cleanup\.policy=delete\}`, `retention\.ms=7200000 `)

	broker := []string{"--entity-type", "brokers", "--entity-name", "0"}
	wants(t, config(broker, "--describe", "--all"), `log\.segment\.bytes=1073741824 `, `socket\.request\.max\.bytes=\d+ `, `advertised\.listeners=`)
	wants(t, config(broker, "--alter", "--add-config", "log.retention.ms=1000000000"), `Completed updating config for broker 0\.`)
	wants(t, config(broker, "--describe"), `log\.retention\.ms=1000000000 sensitive=false synonyms=\{DYNAMIC_BROKER_CONFIG:log\.retention\.ms=1000000000`)
	config(broker, "--alter", "--delete-config", "log.retention.ms")
	all := []string{"--entity-type", "brokers", "--entity-default"}
	config(all, "--alter", "--add-config", "log.retention.ms=2000000000")
	wants(t, config(all, "--describe"), `log\.retention\.ms=2000000000 sensitive=false synonyms=\{DYNAMIC_DEFAULT_BROKER_CONFIG:log\.retention\.ms=2000000000`)
}

// kafka-get-offsets finds the ends and every special time.
func TestKafkaGetOffsets(t *testing.T) {
	j := startJavaTools(t, "kafka-get-offsets")
	j.server.run(nil, "topic", "create", "offsets", "--partitions", "2")
	j.server.run(strings.NewReader("a\nb\nc\n"), "produce", "offsets", "--partition", "0")
	f := func(time, want string) {
		t.Helper()
		if got := j.run(t, "", getOffsetShell, "--topic", "offsets", "--time", time); got != want {
			t.Errorf("--time %s: %q, want %q", time, got, want)
		}
	}
	first, second := "offsets:0:0\noffsets:1:0\n", "offsets:0:3\noffsets:1:0\n"
	f("earliest", first)
	f("latest", second)
	f("-1", second)
	f("-2", first)
	f("earliest-local", first)
	// Apache's prints nothing of a partition where there is none.
	f("latest-tiered", "")
	f("earliest-pending-upload", "")
	f("1700000000000", "offsets:0:0\n")
	f(strconv.FormatInt(time.Now().Add(time.Hour).UnixMilli(), 10), "")
	got := j.run(t, "", getOffsetShell, "--topic", "offsets", "--time", "max-timestamp")
	wants(t, got, `^offsets:0:[012]\n$`) // the first of those that came in the same millisecond
}

// kafka-log-dirs, kafka-delete-records and kafka-broker-api-versions.
func TestKafkaBroker(t *testing.T) {
	j := startJavaTools(t, "kafka-log-dirs, kafka-delete-records, kafka-broker-api-versions")
	j.server.run(nil, "topic", "create", "records")
	j.server.run(strings.NewReader("a\nb\nc\n"), "produce", "records")
	wants(t, j.run(t, "", "org.apache.kafka.tools.LogDirsCommand", "--describe", "--topic-list", "records"),
		`"partition":"records-0","size":[1-9]\d*,"offsetLag":0,"isFuture":false`, `"error":null,"logDir":"/`)

	file := filepath.Join(t.TempDir(), "offsets.json")
	offsets, err := json.Marshal(map[string]any{"version": 1, "partitions": []any{map[string]any{"topic": "records", "partition": 0, "offset": 2}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, offsets, 0o600); err != nil {
		t.Fatal(err)
	}
	wants(t, j.run(t, "", "org.apache.kafka.tools.DeleteRecordsCommand", "--offset-json-file", file), `partition: records-0 low_watermark: 2`)
	if got := string(j.server.run(nil, "consume", "records")); got != "c\n" {
		t.Errorf("left are %q", got)
	}

	wants(t, j.run(t, "", "org.apache.kafka.tools.BrokerApiVersionsCommand"),
		`(?m)^\S+ \(id: 0 rack: null isFenced: false\) -> \(`, `Produce\(0\): 0 to 13 \[usable: 13\]`, `Fetch\(1\): 4 to 17 \[usable: 17\]`,
		`Metadata\(3\): 0 to 13 \[usable: 13\]`, `ApiVersions\(18\): 0 to 4 \[usable: 4\]`, `InitProducerId\(22\): 0 to 5 \[usable: 5\]`)
}

// What tools for clusters ask for is answered as by a cluster of one node that is
// in order.
func TestKafkaCluster(t *testing.T) {
	j := startJavaTools(t, "kafka-leader-election, kafka-reassign-partitions, kafka-cluster")
	j.server.run(nil, "topic", "create", "led", "--partitions", "2")
	wants(t, j.run(t, "", "org.apache.kafka.tools.LeaderElectionCommand", "--election-type", "preferred", "--topic", "led", "--partition", "1"),
		`Valid replica already elected for partitions led-1`)
	j.run(t, "", "org.apache.kafka.tools.LeaderElectionCommand", "--election-type", "preferred", "--all-topic-partitions")
	wants(t, j.run(t, "", "org.apache.kafka.tools.reassign.ReassignPartitionsCommand", "--list"), `No partition reassignments found\.`)
	wants(t, j.runCommand(t, "org.apache.kafka.tools.ClusterTool", "cluster-id"), `^Cluster ID: \S{22}\n$`)
	wants(t, j.runCommand(t, "org.apache.kafka.tools.ClusterTool", "list-endpoints"), `(?m)^0 127\.0\.0\.1 \d+ null unfenced broker`)
}
