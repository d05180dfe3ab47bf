package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollway/rollway/internal/needs"
)

// kafkaLib is the directory of Apache Kafka's jars, which `make compat-java`
// fetches. Tests that need them are skipped without it.
var kafkaLib = os.Getenv("ROLLWAY_KAFKA_LIB")

// kafkaComplaints is what Kafka's DumpLogSegments says when it does not like a
// file (its source, release 4.3.1), and what Java says when it fails.
var kafkaComplaints = regexp.MustCompile(`(?i)isvalid: false|invalid bytes|mismatch|non-consecutive|followed by|out of order|not found in|index offset:|indexed offset:|index timestamp:|ignoring unknown|exception|error|corrupt`)

// dumpLogSegments runs Kafka's tool over files and calls each with every line
// but those that name a file.
func dumpLogSegments(t *testing.T, files []string, each func(line string), flags ...string) {
	t.Helper()
	args := append([]string{"-Xmx512m", javaLogLevel, "-cp", filepath.Join(kafkaLib, "*"), "org.apache.kafka.tools.DumpLogSegments", "--files", strings.Join(files, ",")}, flags...)
	cmd := exec.Command(needs.Tool(t, "java"), args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReaderSize(stdout, 1<<20)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			if err != io.EOF {
				t.Error(err)
			}
			break
		}
		if line = strings.TrimSuffix(line, "\n"); !strings.HasPrefix(line, "Dumping ") {
			each(line)
		}
	}
	err = cmd.Wait()
	if complaints := withoutFirstOffsets(stderr.String()); err != nil || complaints != "" {
		t.Errorf("DumpLogSegments %v: %v\n%s", flags, err, complaints)
	}
}

// firstOffset is what DumpLogSegments of 4.3.1 says of every segment that does not
// begin with offset 0, also of Kafka's own: it compares the first record with -1.
var firstOffset = regexp.MustCompile(`(?m)^Non-consecutive offsets in .*/0*(\d+)\.log\n  -1 is followed by (\d+)\n`)

// withoutFirstOffsets leaves that out, where the offset is the one that the file is
// named by.
func withoutFirstOffsets(complaints string) string {
	return firstOffset.ReplaceAllStringFunc(complaints, func(s string) string {
		if m := firstOffset.FindStringSubmatch(s); m[1] == m[2] {
			return ""
		}
		return s
	})
}

// kafkaRecord is a line of DumpLogSegments about a record, with what it holds.
var kafkaRecord = regexp.MustCompile(`^\| offset: (\d+) CreateTime: (\d+) keySize: -?\d+ valueSize: (\d+) sequence: -?\d+ headerKeys: \[\](?: payload: (.*))?$`)

// Apache Kafka's own tool reads what the program wrote without a complaint:
// logs with their records in every codec, offset and time indexes, producer
// snapshots; of logs that were rolled, killed and recovered, and extended.
func TestKafkaReadsFiles(t *testing.T) {
	needsKafka(t, "DumpLogSegments")
	data := filepath.Join(t.TempDir(), "data")
	s := startServer(t, data)
	codecs := []string{"none", "gzip", "snappy", "lz4", "zstd"}
	s.run(nil, "topic", "create", "rolled", "--partitions", "2", "--config", "segment.bytes=1048576", "--config", "index.interval.bytes=1000")
	s.run(nil, "topic", "create", "killed", "--config", "segment.bytes=1048576", "--config", "index.interval.bytes=0")
	s.run(nil, "topic", "create", "small")
	s.run(nil, "topic", "create", "empty")
	for i, codec := range codecs {
		s.run(numberedLines(codec, 16000), "produce", "rolled", "--compression", codec, "--batch-bytes", "3KiB")
		s.run(numberedLines(codec, 5), "produce", "small", "--compression", codec, "--linger", fmt.Sprintf("%dms", i))
	}
	for i, codec := range codecs { // each round ends with a kill in the middle of it
		produced := make(chan error, 1)
		go func() {
			_, err := s.try(&endlessLines{label: codec}, "produce", "killed", "--compression", codec, "--batch-bytes", "2KiB", "--retry-for", "100ms")
			produced <- err
		}()
		for from := s.latest("killed"); s.latest("killed") < from+3000; {
			time.Sleep(10 * time.Millisecond)
			select {
			case err := <-produced:
				t.Fatalf("produce ended: %v", err)
			default:
			}
		}
		s.kill()
		<-produced
		if i == 0 {
			// As the kill left it, before anything is recovered.
			checkByKafka(t, copyOf(t, data), "killed-0", nil)
		}
		s = startServer(t, data)
	}
	want := map[string]string{}
	for _, dir := range []string{"rolled-0", "rolled-1", "killed-0", "small-0"} {
		topic, partition, _ := strings.Cut(dir, "-")
		want[dir] = string(s.run(nil, "consume", topic, "--partition", partition, "--format", `%o %T %S %v\n`))
	}
	s.stop()
	if out, err := exec.Command(program, "check", data).CombinedOutput(); err != nil {
		t.Errorf("check: %v\n%s", err, out)
	}
	copied := copyOf(t, data)
	for dir, records := range want {
		checkByKafka(t, copied, dir, strings.SplitAfter(strings.TrimSuffix(records, "\n"), "\n"))
	}
	if n := len(glob(t, data, "rolled-*/*.log")); n < 4 {
		t.Errorf("%d segments, want several", n)
	}
}

// checkByKafka has Kafka's tool look at every file of a partition. want are the
// records, as consume printed them, unless it is nil.
func checkByKafka(t *testing.T, data, dir string, want []string) {
	t.Helper()
	complain := func(line string) {
		if kafkaComplaints.MatchString(line) {
			t.Errorf("%s: Kafka says: %.300s", dir, line)
		}
	}
	var got []string
	dumpLogSegments(t, glob(t, data, dir+"/*.log"), func(line string) {
		r := kafkaRecord.FindStringSubmatch(line)
		if r == nil {
			complain(line)
			return
		}
		got = append(got, fmt.Sprintf("%s %s %s %s\n", r[1], r[2], r[3], r[4]))
	}, "--deep-iteration", "--print-data-log")
	for i := range want {
		want[i] = strings.TrimSuffix(want[i], "\n") + "\n"
	}
	if want != nil && !slices.Equal(got, want) {
		t.Errorf("%s: Kafka reads %d records, want the %d that consume prints", dir, len(got), len(want))
	}
	for _, suffix := range []string{"index", "timeindex"} {
		files := glob(t, data, dir+"/*."+suffix)
		if len(files) == 0 {
			continue // too few batches for an entry
		}
		dumpLogSegments(t, files, complain, "--verify-index-only")
		passed := 0
		dumpLogSegments(t, files, func(line string) {
			complain(line)
			// Kafka does not check an empty one: its own are so too, where all of a
			// log is within one index interval.
			empty, isEmpty := strings.CutSuffix(line, " is empty.")
			if strings.HasSuffix(line, "passed sanity check.") || isEmpty && sizeOf(t, empty) == 0 {
				passed++
			}
		}, "--index-sanity-check")
		if passed != len(files) {
			t.Errorf("%s: %d of %d files .%s passed Kafka's sanity check", dir, passed, len(files), suffix)
		}
		entries := 0
		dumpLogSegments(t, files, func(line string) { complain(line); entries++ })
		if entries == 0 {
			t.Errorf("%s: no entries in %d files .%s", dir, len(files), suffix)
		}
	}
	if snapshots := glob(t, data, dir+"/*.snapshot"); len(snapshots) > 0 {
		producers := 0
		dumpLogSegments(t, snapshots, func(line string) {
			complain(line)
			if strings.HasPrefix(line, "producerId: ") {
				producers++
			}
		})
		t.Logf("%s: Kafka reads %d producers in %d snapshots", dir, producers, len(snapshots))
	}
	t.Logf("%s: Kafka reads %d records in %d segments", dir, len(got), len(glob(t, data, dir+"/*.log")))
}

func sizeOf(t *testing.T, name string) int64 {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func glob(t *testing.T, data, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(data, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// copyOf copies a data directory: the tool maps indexes, and may not touch ours.
func copyOf(t *testing.T, data string) string {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(copied, os.DirFS(data)); err != nil {
		t.Fatal(err)
	}
	return copied
}

// numberedLines returns lines of different lengths.
func numberedLines(label string, n int) io.Reader {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "%s line %d %s\n", label, i, strings.Repeat("x", i*i%199))
	}
	return &b
}

// endlessLines are lines that never end.
type endlessLines struct {
	label string
	n     int
	rest  []byte
}

// Read implements io.Reader.
func (l *endlessLines) Read(p []byte) (int, error) {
	if len(l.rest) == 0 {
		l.rest = fmt.Appendf(nil, "%s line %d %s\n", l.label, l.n, strings.Repeat("y", l.n*l.n%199))
		l.n++
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

// latest is the end of partition 0 of a topic as the server tells it.
func (s *server) latest(topic string) int64 {
	s.t.Helper()
	var rows []struct{ Latest int64 }
	if err := json.Unmarshal(s.run(nil, "offsets", topic, "--json"), &rows); err != nil || len(rows) == 0 {
		s.t.Fatalf("offsets of %s: %v, %v", topic, rows, err)
	}
	return rows[0].Latest
}
