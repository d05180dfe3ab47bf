package clients

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rollway/rollway/internal/compat"
	"github.com/rollway/rollway/internal/needs"
)

// kcatComplaints is what librdkafka logs, with -d all, of a broker that it is
// not content with: codecs that it does without (rdkafka_msgset_writer.c),
// features that are missing (rdkafka_feature.c), answers that it cannot read
// (rdkafka_buf.h), and whatever it logs as a warning or worse.
var kcatComplaints = regexp.MustCompile(`(?i)does not support compression|not supported by broker|\|PROTO(?:ERR|UFLOW)\||protocol parse failure|bad message format|^%[0-4]\|`)

// kcatExcepted are features that librdkafka 2.0.2 looks for in vain, also in
// Apache Kafka 4.3, since their versions 0 to 3 of Fetch are gone.
var kcatExcepted = regexp.MustCompile(` Feature (?:MsgVer1|ThrottleTime): `)

// kcatFeatures are those that it has to find.
var kcatFeatures = []string{"MsgVer2", "ApiVersion", "BrokerGroupCoordinator", "BrokerBalancedConsumer", "LZ4", "OffsetTime", "IdempotentProducer", "ZSTD"}

// kcatVersion asks the program for its version and its library's.
func kcatVersion(t *testing.T, path string) string {
	t.Helper()
	m := regexp.MustCompile(`Version (\S+) .*librdkafka (\S+)`).FindStringSubmatch(output(t, exec.Command(path, "-V")))
	if m == nil {
		t.Fatal("kcat -V does not say its version")
	}
	return fmt.Sprintf("%s, librdkafka %s", m[1], m[2])
}

// kcat runs kcat with every log line of librdkafka, which must not complain,
// and returns what it prints.
func kcat(t *testing.T, s *server, what, stdin string, args ...string) string {
	t.Helper()
	path := needs.Tool(t, "kcat")
	compat.Report(t, compat.Suite{Client: "kcat", Version: kcatVersion(t, path), What: what})
	ctx, cancel := context.WithTimeout(t.Context(), hang)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, append([]string{"-b", s.kafka, "-d", "all"}, args...)...)
	var stdout, stderr strings.Builder
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	err := cmd.Run()
	for line := range strings.Lines(stderr.String()) {
		if kcatComplaints.MatchString(line) && !kcatExcepted.MatchString(line) {
			t.Errorf("kcat %s: %s", strings.Join(args, " "), line)
		}
	}
	if err != nil {
		t.Fatalf("kcat %s: %v\n%s", strings.Join(args, " "), err, tail(stderr.String(), 4000))
	}
	for _, f := range kcatFeatures {
		if !strings.Contains(stderr.String(), ": Enabling feature "+f+"\n") {
			t.Errorf("kcat %s has not found the feature %s", strings.Join(args, " "), f)
		}
	}
	return stdout.String()
}

// tail returns the last bytes of s.
func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// kcat produces with every codec, compressed as it was told to, and consumes
// it, as our own client does.
func TestKcatProduceConsume(t *testing.T) {
	s := startServer(t)
	f := func(codec, property string) {
		t.Run(codec+"/"+property, func(t *testing.T) {
			topic, values := createTopic(t, s, 1), texts(codec, 100)
			stdin := strings.Join(values, "\n") + "\n"
			kcat(t, s, "produce and consume", stdin, "-P", "-t", topic, "-p", "0", "-z", codec, "-X", property)
			got := kcat(t, s, "produce and consume", "", "-C", "-t", topic, "-p", "0", "-o", "beginning", "-e", "-f", `%o %s\n`)
			var want strings.Builder
			for i, v := range values {
				fmt.Fprintf(&want, "%d %s\n", i, v)
			}
			if got != want.String() {
				t.Errorf("%d bytes came out, want %d", len(got), want.Len())
			}
			if s.wire != "" && s.rollway(t, "", "consume", topic, "--format", `%o %v\n`) != want.String() {
				t.Error("the native protocol has other records")
			}
			if stored := storedCodec(t, s, topic); stored != codec {
				t.Errorf("the batch has the codec %s", stored)
			}
		})
	}
	for _, codec := range codecs {
		f(codec, "enable.idempotence=true")
	}
	f("none", "acks=all")
	f("none", "acks=1")
	f("snappy", "acks=0")
}

// kcat consumes what our own client has produced by the native protocol.
func TestKcatReadsNative(t *testing.T) {
	s := startServer(t)
	if s.wire == "" {
		t.Skip("needs our server")
	}
	for _, codec := range codecs {
		topic, values := createTopic(t, s, 1), texts(codec, 100)
		lines := strings.Join(values, "\n") + "\n"
		s.rollway(t, lines, "produce", topic, "--compression", codec)
		got := kcat(t, s, "consume what came by the native protocol", "", "-C", "-t", topic, "-p", "0", "-o", "beginning", "-e")
		if got != lines {
			t.Errorf("%s: %d bytes came out, want %d", codec, len(got), len(lines))
		}
	}
}

// storedCodec tells how the first batch of partition 0 is compressed.
func storedCodec(t *testing.T, s *server, topic string) string {
	t.Helper()
	cl := newFranzGo(t, s, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))
	fetches := cl.PollFetches(limit(t))
	if err := fetches.Err(); err != nil {
		t.Fatal(err)
	}
	return codecs[fetches.Records()[0].Attrs.CompressionType()]
}

// kcat lists brokers, topics and partitions, and creates a topic by producing
// to it.
func TestKcatList(t *testing.T) {
	s := startServer(t)
	topic := createTopic(t, s, 3)
	made := unique(t) + "-made"
	kcat(t, s, "list", "x\n", "-P", "-t", made)
	for _, args := range [][]string{{"-L"}, {"-L", "-t", topic}, {"-L", "-J"}} {
		got := kcat(t, s, "list", "", args...)
		want := []string{fmt.Sprintf("topic %q with 3 partitions", topic), fmt.Sprintf("topic %q with 1 partitions", made), " 1 brokers:"}
		if len(args) == 3 {
			want[1] = want[2]
		}
		if args[len(args)-1] == "-J" {
			want = []string{fmt.Sprintf(`{"topic":%q,"partitions":[{"partition":0,"leader":`, topic), s.kafka}
		}
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("kcat %v lacks %s:\n%s", args, w, got)
			}
		}
	}
}

// kcat finds offsets by time and the ends, and consumes from and up to times
// and ends.
func TestKcatOffsets(t *testing.T) {
	s := startServer(t)
	topic := createTopic(t, s, 1)
	cl := newFranzGo(t, s)
	const begin = 1_700_000_000_000
	var records []*kgo.Record
	for i := range 30 {
		records = append(records, &kgo.Record{Topic: topic, Value: []byte(strconv.Itoa(i)), Timestamp: time.UnixMilli(begin + int64(i)*1000)})
	}
	if err := cl.ProduceSync(limit(t), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	query := func(at, want string) {
		t.Helper()
		got := kcat(t, s, "offsets by time", "", "-Q", "-t", topic+":0:"+at)
		if !strings.HasSuffix(strings.TrimSpace(got), " offset "+want) {
			t.Errorf("-Q %s: %s, want %s", at, got, want)
		}
	}
	query("-1", "30")
	query("-2", "0")
	query(strconv.Itoa(begin+9500), "10")
	query(strconv.Itoa(begin+29001), "-1")
	consume := func(want string, args ...string) {
		t.Helper()
		got := kcat(t, s, "offsets by time", "", append([]string{"-C", "-t", topic, "-p", "0", "-e", "-f", "%s "}, args...)...)
		if got != want {
			t.Errorf("%v: %s, want %s", args, got, want)
		}
	}
	consume("27 28 29 ", "-o", fmt.Sprintf("s@%d", begin+26500))
	consume("5 6 7 ", "-o", fmt.Sprintf("s@%d", begin+5000), "-o", fmt.Sprintf("e@%d", begin+8000))
	consume("28 29 ", "-o", "-2")
	consume("29 ", "-o", "29")
	consume("0 1 2 ", "-o", "beginning", "-c", "3")
}
