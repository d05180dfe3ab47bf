package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// corpusBytes is how large each log is made by repeating it.
const corpusBytes = 8 << 20

// corpus returns the logs to feed in, by name: real ones from the directory
// that ROLLWAY_LOGHUB names, by default shared/data/loghub beside the checkout,
// or generated ones if it is not there.
func corpus(t *testing.T) map[string][]byte {
	t.Helper()
	dir := os.Getenv("ROLLWAY_LOGHUB")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data", "loghub")
	}
	logs := map[string][]byte{}
	files, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		logs[filepath.Base(file)] = repeat(content)
	}
	if len(logs) == 0 {
		t.Logf("no logs in %s: lines are generated", dir)
		logs["generated.log"] = repeat(generatedLog())
	}
	return logs
}

// repeat repeats a log to corpusBytes. A last line without a newline stays so,
// at the end of the whole.
func repeat(log []byte) []byte {
	piece := log
	if !bytes.HasSuffix(piece, []byte("\n")) {
		piece = append(piece[:len(piece):len(piece)], '\n')
	}
	n := corpusBytes/len(piece) + 1
	out := bytes.Repeat(piece, n)
	if len(piece) != len(log) {
		out = out[:len(out)-1]
	}
	return out
}

// generatedLog has what logs have: lines of all lengths, empty ones, carriage
// returns, bytes that are no UTF-8, and no newline at the end.
func generatedLog() []byte {
	var b bytes.Buffer
	for i := range 2000 {
		fmt.Fprintf(&b, "2026-01-01T00:00:%02d node-%d service[%d]: ", i%60, i%7, i)
		b.Write(bytes.Repeat([]byte{byte('a' + i%26)}, i*i%777))
		switch i % 50 {
		case 0:
			b.WriteString("\n\n")
		case 1:
			b.WriteString("\r\n")
		case 2:
			b.WriteString("\xff\xfe\x00\n")
		default:
			b.WriteString("\n")
		}
	}
	b.WriteString("the last line has no newline")
	return b.Bytes()
}

// roundTrip is one log in one topic.
type roundTrip struct {
	name       string
	log        []byte
	topic      string
	partitions int
	codec      string
}

// What is produced comes out byte for byte, after kill -9 right behind the last
// acknowledgement and after a clean restart, for every codec and for one and
// many partitions.
func TestRoundTrip(t *testing.T) {
	var trips []roundTrip
	for name, log := range corpus(t) {
		for _, codec := range []string{"none", "lz4", "zstd"} {
			for _, partitions := range []int{1, 8} {
				topic := fmt.Sprintf("%s-%s-%d", name, codec, partitions)
				trips = append(trips, roundTrip{name, log, topic, partitions, codec})
			}
		}
	}
	data := t.TempDir()
	s := startServer(t, data)
	for i, trip := range trips {
		s.run(nil, "topic", "create", trip.topic, "--partitions", strconv.Itoa(trip.partitions), "--config", "segment.bytes=1048576")
		s.run(bytes.NewReader(trip.log), "produce", trip.topic, "--compression", trip.codec)
		if i == 0 { // once while the server is the one that wrote it
			trip.check(t, s)
		}
	}
	s.kill()
	s = startServer(t, data)
	for _, trip := range trips {
		trip.check(t, s)
	}
	s.stop()
	s = startServer(t, data)
	for _, trip := range trips {
		trip.check(t, s)
	}
	s.stop()
}

// check consumes the topic and holds it against the log.
func (trip *roundTrip) check(t *testing.T, s *server) {
	t.Helper()
	want := trip.log
	if !bytes.HasSuffix(want, []byte("\n")) {
		want = append(want[:len(want):len(want)], '\n')
	}
	if trip.partitions == 1 {
		got := s.run(nil, "consume", trip.topic)
		if !bytes.Equal(got, want) {
			t.Fatalf("%s: %d bytes came out, %d went in; they differ from byte %d on", trip.topic, len(got), len(want), commonPrefix(got, want))
		}
		return
	}
	left := map[string]int{}
	for line := range bytes.Lines(want) {
		left[string(line)]++
	}
	for p := range trip.partitions {
		got := s.run(nil, "consume", trip.topic, "--partition", strconv.Itoa(p))
		rest := want
		for line := range bytes.Lines(got) {
			left[string(line)]--
			if rest = after(rest, line); rest == nil {
				t.Fatalf("%s-%d is no subsequence of the log: line %.80q is out of order", trip.topic, p, line)
			}
		}
	}
	for line, n := range left {
		if n != 0 {
			t.Fatalf("%s: line %.80q came out %d times too few", trip.topic, line, n)
		}
	}
}

// after returns what follows the first line of log that equals line; nil if
// there is none.
func after(log, line []byte) []byte {
	for len(log) > 0 {
		end := bytes.IndexByte(log, '\n') + 1
		if bytes.Equal(log[:end], line) {
			return log[end:]
		}
		log = log[end:]
	}
	return nil
}

func commonPrefix(a, b []byte) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}
