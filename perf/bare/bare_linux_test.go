package bare

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/wire"
	"github.com/rollway/rollway/zerocopy"
)

// Each way sends the bytes that were asked for, behind one another, also when
// the requests come in pieces and the file ends within one.
func TestFetcher(t *testing.T) {
	content := make([]byte, 1<<20)
	for i := range content {
		content[i] = byte(rand.Uint32())
	}
	name := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(name, content, 0o666); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	asked := []struct{ offset, maxBytes, want int }{
		{0, 1, 1}, {0, 1 << 20, 1 << 20}, {5, 300_000, 300_000}, {1<<20 - 10, 100, 10}, {1 << 20, 100, 0}, {2 << 20, 100, 0},
	}
	for _, path := range []zerocopy.Path{zerocopy.SendFile, zerocopy.Splice, zerocopy.Copy} {
		conn := dial(t, &Fetcher{File: file, Size: int64(len(content)), Path: path}, "")
		hello := wire.Hello{MinVersion: 1, MaxVersion: 1, Software: "test", SoftwareVersion: "1"}
		requests := hello.AppendTo(nil, 1)
		for i, a := range asked {
			m := wire.Fetch{Topic: []byte("t"), Offset: int64(a.offset), MaxBytes: int32(a.maxBytes)}
			requests = m.AppendTo(requests, uint32(i+2))
		}
		go func() {
			conn.Write(requests[:len(requests)-7])
			conn.Write(requests[len(requests)-7:])
		}()
		if _, err := wire.ParseWelcome(readFrame(t, conn)); err != nil {
			t.Error(err)
		}
		for i, a := range asked {
			m, err := wire.ParseData(readFrame(t, conn))
			from := min(a.offset, len(content))
			if err != nil || !bytes.Equal(m.Batches, content[from:from+a.want]) {
				t.Errorf("%v: answer %d has %d bytes, %v; want %d from %d", path, i, len(m.Batches), err, a.want, a.offset)
			}
		}
	}
}

// A sink answers each batch with where it lies, in the file of its partition.
func TestSink(t *testing.T) {
	dir := t.TempDir()
	sink := newSink(t, SinkOptions{Dir: dir, Partitions: 2, Sync: true})
	var small, large record.Builder
	if err := small.Append(0, nil, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := large.Append(0, nil, make([]byte, 300_000)); err != nil {
		t.Fatal(err)
	}
	for partition := range 2 {
		conn := dial(t, sink, "")
		var want, requests []byte
		var ends []int64
		for i, b := range []*record.Builder{&small, &large, &large, &large, &large, &small} {
			batch, err := b.Build(nil)
			if err != nil {
				t.Fatal(err)
			}
			m := wire.Produce{Topic: []byte("t"), Partition: int32(partition), Acks: wire.AcksAll, Batches: batch}
			requests = m.AppendTo(requests, uint32(i+1))
			want = append(want, batch...)
			ends = append(ends, int64(len(want)))
		}
		go conn.Write(requests)
		at := int64(0)
		for i, end := range ends {
			m, err := wire.ParseProduced(readFrame(t, conn))
			if err != nil || m.BaseOffset != at || m.NextOffset != end {
				t.Errorf("answer %d: %+v, %v; want %d to %d", i, m, err, at, end)
			}
			at = end
		}
		if got, err := os.ReadFile(SinkFile(dir, partition)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("file of partition %d has %d bytes, %v; want the %d that were sent", partition, len(got), err, len(want))
		}
	}
	if n := sink.Syncs(); n < 2 || n > 12 {
		t.Errorf("%d syncs of 12 batches on 2 connections, want 2 to 12", n)
	}
}

// What a server cannot take ends the connection and is what Close returns.
func TestRefusals(t *testing.T) {
	f := func(h Handler, request []byte, want string) {
		t.Helper()
		conn := dial(t, h, want)
		conn.Write(request)
		conn.CloseWrite()
		if p, err := io.ReadAll(conn); len(p) > 0 {
			t.Errorf("answer of %d bytes, %v; want none", len(p), err)
		}
	}
	produce := func(partition int32, batch []byte) []byte {
		m := wire.Produce{Topic: []byte("t"), Partition: partition, Acks: wire.AcksAll, Batches: batch}
		return m.AppendTo(nil, 1)
	}
	sink := newSink(t, SinkOptions{Dir: t.TempDir(), Partitions: 1})
	f(sink, produce(1, make([]byte, 100)), "partition 1, want one below 1")
	f(sink, produce(0, make([]byte, 10)), "batch of 10 bytes, want at least 61")
	f(sink, produce(0, make([]byte, 100)), "batch crc 00000000, want ")
	f(sink, produce(0, make([]byte, receiveBytes)), "frame of more than 1048576 bytes")
	f(sink, make([]byte, 100), "bad head check")
	f(&Fetcher{}, produce(0, make([]byte, 100)), "Produce")

	if _, err := NewSink(SinkOptions{Dir: "/missing", Partitions: 1}); err == nil {
		t.Error("sink in a missing directory: no error")
	}
	if _, err := Listen(sink, "teleport"); err == nil {
		t.Error("listener with congestion control teleport: no error")
	}
}

// dial connects to a new server, which must end with an error that contains
// want, or with none if that is empty.
func dial(t *testing.T, h Handler, want string) *net.TCPConn {
	t.Helper()
	s, err := Listen(h, "reno")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.DialTCP("tcp4", nil, net.TCPAddrFromAddrPort(s.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		err := s.Close()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("server ended with %v, want %q", err, want)
		}
	})
	return conn
}

// newSink returns a sink that outlives the servers of the test.
func newSink(t *testing.T, o SinkOptions) *Sink {
	t.Helper()
	s, err := NewSink(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// readFrame reads one frame.
func readFrame(t *testing.T, conn net.Conn) wire.Frame {
	t.Helper()
	p := make([]byte, wire.HeadSize)
	if _, err := io.ReadFull(conn, p); err != nil {
		t.Fatal(err)
	}
	h, err := wire.ParseHead(p)
	if err != nil {
		t.Fatal(err)
	}
	f := wire.Frame{Head: h, Payload: make([]byte, h.Length)}
	if _, err := io.ReadFull(conn, f.Payload); err != nil {
		t.Fatal(err)
	}
	return f
}
