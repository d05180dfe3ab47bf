package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/wire"
)

// Frames that are cut, too long, garbage or damaged end their own connection
// with one Error and one log line; a neighbour goes on undisturbed, and the data
// stays what it was.
func TestBadFrames(t *testing.T) {
	data := t.TempDir()
	s := startServer(t, data)
	s.run(nil, "topic", "create", "logs")
	s.run(strings.NewReader("one\ntwo\nthree\n"), "produce", "logs")
	before := snapshot(t, data)
	neighbour, err := dialPeer(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer neighbour.conn.Close()

	hello := (&wire.Hello{MinVersion: 1, MaxVersion: 1, Software: "e2e", SoftwareVersion: "1"}).AppendTo(nil, 1)
	fetch := (&wire.Fetch{Topic: []byte("logs"), MaxBytes: 1 << 20}).AppendTo(nil, 2)
	check := func(name string, want wire.Code, frames ...[]byte) {
		t.Helper()
		said := s.stderr.String()
		got := answerOf(t, s.addr, bytes.Join(frames, nil))
		if got != want {
			t.Errorf("%s: answered %v, want %v", name, got, want)
		}
		if n := newWarnings(s, said); n != 1 {
			t.Errorf("%s: %d lines were logged, want 1:\n%s", name, n, s.stderr.String()[len(said):])
		}
		neighbour.fetchAll(t)
	}
	check("no hello", wire.CodeInvalidRequest, fetch)
	check("another program", wire.CodeBadHeadCheck, []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
	check("version 2 only", wire.CodeUnsupportedVersion, (&wire.Hello{MinVersion: 2, MaxVersion: 2, Software: "e2e", SoftwareVersion: "2"}).AppendTo(nil, 1))
	check("damaged length", wire.CodeBadHeadCheck, hello, flipped(fetch, 3))
	check("unknown kind", wire.CodeUnknownKind, hello, wire.AppendHead(nil, wire.Head{Kind: 99, RequestID: 2}))
	check("unknown flag", wire.CodeUnknownFlags, hello, wire.AppendHead(nil, wire.Head{Kind: wire.KindListTopics, Flags: 0x40, RequestID: 2}))
	check("frame too large", wire.CodeFrameTooLarge, hello, wire.AppendHead(nil, wire.Head{Kind: wire.KindProduce, RequestID: 2, Length: 1 << 31}))
	check("trailing byte", wire.CodeInvalidRequest, hello, lengthened(fetch))
	check("truncated payload", wire.CodeInvalidRequest, hello, shortened(fetch))

	random := rand.New(rand.NewPCG(1, 2))
	for i := range 200 {
		mutate(t, s.addr, hello, fetch, random, i)
	}
	neighbour.fetchAll(t)
	if after := snapshot(t, data); after != before {
		t.Errorf("the log files changed from\n%s\nto\n%s", before, after)
	}
	s.stop()
}

// answerOf sends bytes and returns the code of the Error that the server sends
// before it closes the connection; 0 if it closes without one.
func answerOf(t *testing.T, addr string, sent []byte) wire.Code {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := conn.Write(sent); err != nil {
		t.Fatal(err)
	}
	received, err := io.ReadAll(conn)
	if err != nil {
		t.Fatalf("the connection was not closed: %v", err)
	}
	var code wire.Code
	for len(received) > 0 {
		f, rest, err := wire.Split(received, 0)
		if err != nil {
			t.Fatal(err)
		}
		if f.Kind == wire.KindError {
			refused, err := wire.ParseError(f)
			if err != nil {
				t.Fatal(err)
			}
			code = refused.Code
		}
		received = rest
	}
	return code
}

// newWarnings counts the lines that the server has logged since; the last
// connection's may still be on its way.
func newWarnings(s *server, since string) int {
	for limit := time.Now().Add(10 * time.Second); time.Now().Before(limit); time.Sleep(time.Millisecond) {
		if n := strings.Count(s.stderr.String()[len(since):], "\n"); n > 0 {
			return n
		}
	}
	return 0
}

// mutate sends a fetch with a few random bytes changed, or cut, and expects
// nothing but an end or an answer.
func mutate(t *testing.T, addr string, hello, fetch []byte, random *rand.Rand, i int) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatalf("mutation %d: the server is gone: %v", i, err)
	}
	defer conn.Close()
	frame := bytes.Clone(fetch)
	for range 1 + random.IntN(4) {
		frame[random.IntN(len(frame))] ^= byte(1 + random.IntN(255))
	}
	if random.IntN(3) == 0 {
		frame = frame[:random.IntN(len(frame))]
	}
	conn.Write(append(bytes.Clone(hello), frame...))
	conn.(*net.TCPConn).CloseWrite()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("mutation %d: the connection stays open", i)
	}
}

// fetchAll expects the three records, in order.
func (p *peer) fetchAll(t *testing.T) {
	t.Helper()
	m := wire.Fetch{Topic: []byte("logs"), MaxBytes: 1 << 20}
	if _, err := p.conn.Write(m.AppendTo(nil, 3)); err != nil {
		t.Fatal(err)
	}
	f, err := p.read()
	if err != nil {
		t.Fatalf("the neighbour was disturbed: %v", err)
	}
	data, err := wire.ParseData(f)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	for rest := data.Batches; len(rest) > 0; {
		var b record.Batch
		if b, rest, err = record.Next(rest); err != nil {
			t.Fatal(err)
		}
		it := b.Iterate(b.Records())
		for it.Next() {
			values = append(values, string(it.Record().Value))
		}
	}
	if got := strings.Join(values, " "); got != "one two three" {
		t.Fatalf("the neighbour got %q", got)
	}
}

// snapshot is the names and contents of the log files.
func snapshot(t *testing.T, data string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(data, "*", "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&all, "%s %x\n", file, content)
	}
	return all.String()
}

func flipped(frame []byte, at int) []byte {
	frame = bytes.Clone(frame)
	frame[at] ^= 1
	return frame
}

// lengthened is the frame with one more byte in its payload, and shortened with
// one less; the heads say so and are right.
func lengthened(frame []byte) []byte { return resized(frame, append(bytes.Clone(frame), 0)) }
func shortened(frame []byte) []byte  { return resized(frame, bytes.Clone(frame[:len(frame)-1])) }

func resized(original, frame []byte) []byte {
	h, err := wire.ParseHead(original)
	if err != nil {
		panic(err)
	}
	h.Length = uint32(len(frame) - wire.HeadSize)
	return append(wire.AppendHead(nil, h), frame[wire.HeadSize:]...)
}
