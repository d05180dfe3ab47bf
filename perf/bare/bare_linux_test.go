package bare

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/internal/needs"
	"github.com/rollway/rollway/iouring"
	"github.com/rollway/rollway/wire"
	"github.com/rollway/rollway/zerocopy"
)

const congestion = "reno" // always there

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
	for _, way := range []string{"sendfile", "splice", "copy", "loop"} {
		fetcher := &Fetcher{File: file, Size: int64(len(content))}
		var conn *net.TCPConn
		if way == "loop" {
			conn = dialLoop(t, fetcher, "")
		} else {
			if fetcher.Path, err = zerocopy.ParsePath(way); err != nil {
				t.Fatal(err)
			}
			conn = dial(t, fetcher, "")
		}
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
				t.Errorf("%s: answer %d has %d bytes, %v; want %d from %d", way, i, len(m.Batches), err, a.want, a.offset)
			}
		}
	}
}

// A sink answers each batch with where it lies, in the file of its partition.
func TestSink(t *testing.T) {
	dir := t.TempDir()
	sink := newSink(t, SinkOptions{Dir: dir, Partitions: 2, Sync: true})
	produceAll(t, dir, dial(t, sink, ""), dial(t, sink, ""))
	if n := sink.Syncs(); n < 2 || n > 12 {
		t.Errorf("%d syncs of 12 batches on 2 connections, want 2 to 12", n)
	}
}

// So does a sink on a loop, whether it syncs nothing, its files or a journal.
func TestLoopSink(t *testing.T) {
	testLoopSink(t, func(sink *LoopSink) server {
		l, err := ListenLoop(sink, congestion)
		if err != nil {
			t.Fatal(err)
		}
		return l
	})
}

// So does one on a ring, with buffers that hold many frames, and with few that
// hold no whole one.
func TestRingSink(t *testing.T) {
	for _, o := range []RingOptions{{}, {Buffers: 4, BufferBytes: 50}} {
		testLoopSink(t, func(sink *LoopSink) server { return listenRing(t, sink, o) })
	}
}

// listenRing starts a loop on a ring, or skips the test.
func listenRing(t testing.TB, sink *LoopSink, o RingOptions) *RingLoop {
	t.Helper()
	l, err := ListenRing(sink, congestion, o)
	if errors.Is(err, iouring.ErrUnavailable) {
		needs.Feature(t, "io_uring", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func testLoopSink(t *testing.T, listen func(*LoopSink) server) {
	t.Helper()
	f := func(o LoopSinkOptions, leastSyncs, mostSyncs int64) {
		t.Helper()
		o.Dir, o.Partitions = t.TempDir(), 2
		sink := newLoopSink(t, o)
		l := listen(sink)
		produceAll(t, o.Dir, connect(t, l, ""), connectMore(t, l))
		if n := sink.Syncs(); n < leastSyncs || n > mostSyncs {
			t.Errorf("%+v: %d syncs of 12 batches on 2 connections, want %d to %d", o, n, leastSyncs, mostSyncs)
		}
	}
	f(LoopSinkOptions{}, 0, 0)
	f(LoopSinkOptions{Sync: true}, 2, 12)
	f(LoopSinkOptions{JournalBytes: leastJournal}, 2, 12+2) // its half is full once, and both files are synced
}

// A peer that reads late gets all of a long answer from a fetcher on a loop.
func TestLoopFetcherBlocked(t *testing.T) {
	const size = 32 << 20 // more than net.ipv4.tcp_wmem and tcp_rmem let sockets keep
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	if err := file.Truncate(size); err != nil {
		t.Fatal(err)
	}
	conn := dialLoop(t, &Fetcher{File: file, Size: size}, "")
	var requests []byte
	for i := range 4 {
		m := wire.Fetch{Topic: []byte("t"), Offset: int64(i) * size / 4, MaxBytes: size / 4}
		requests = m.AppendTo(requests, uint32(i+1))
	}
	if _, err := conn.Write(requests); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		f := readFrame(t, conn)
		m, err := wire.ParseData(f)
		if err != nil || f.RequestID != uint32(i+1) || !bytes.Equal(m.Batches, make([]byte, size/4)) {
			t.Errorf("answer %d to request %d with %d bytes, %v", i, f.RequestID, len(m.Batches), err)
		}
	}
}

// A peer that sends more than its socket takes answers to gets all of them, in
// order, once it reads.
func TestLoopSinkBlocked(t *testing.T) {
	sink := newLoopSink(t, LoopSinkOptions{Dir: t.TempDir(), Partitions: 1})
	l, err := ListenLoop(sink, congestion)
	if err != nil {
		t.Fatal(err)
	}
	produceMuch(t, l, l.listener)
}

// So does one of a ring, which receives nothing more from it meanwhile.
func TestRingSinkBlocked(t *testing.T) {
	sink := newLoopSink(t, LoopSinkOptions{Dir: t.TempDir(), Partitions: 1})
	l := listenRing(t, sink, RingOptions{})
	produceMuch(t, l, l.listener)
}

// produceMuch sends batches in one go and reads all answers.
func produceMuch(t *testing.T, s server, listener int) {
	const count = 20_000 // answers of 1 MB
	// What is accepted inherits it.
	if err := unix.SetsockoptInt(listener, unix.SOL_SOCKET, unix.SO_SNDBUF, 16<<10); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, s, "")
	if err := conn.SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	var b record.Builder
	if err := b.Append(0, nil, nil); err != nil {
		t.Fatal(err)
	}
	batch, err := b.Build(nil)
	if err != nil {
		t.Fatal(err)
	}
	var requests []byte
	for i := range count {
		m := wire.Produce{Topic: []byte("t"), Acks: wire.AcksAll, Batches: batch}
		requests = m.AppendTo(requests, uint32(i+1))
	}
	go conn.Write(requests)
	for i := range count {
		f := readFrame(t, conn)
		m, err := wire.ParseProduced(f)
		if err != nil || f.RequestID != uint32(i+1) || m.BaseOffset != int64(i*len(batch)) {
			t.Fatalf("answer %d: %+v to %d, %v", i, m, f.RequestID, err)
		}
	}
}

// produceAll sends small and large batches to a partition for each connection,
// and checks the answers and the files.
func produceAll(t *testing.T, dir string, conns ...*net.TCPConn) {
	t.Helper()
	var small, large record.Builder
	if err := small.Append(0, nil, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := large.Append(0, nil, make([]byte, 300_000)); err != nil {
		t.Fatal(err)
	}
	for partition, conn := range conns {
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
}

// What a server cannot take ends the connection and is what Close returns.
func TestRefusals(t *testing.T) {
	f := func(h Handler, request []byte, want string) {
		t.Helper()
		wantRefused(t, dial(t, h, want), request)
	}
	onLoop := func(h LoopHandler, request []byte, want string) {
		t.Helper()
		wantRefused(t, dialLoop(t, h, want), request)
	}
	sink := newSink(t, SinkOptions{Dir: t.TempDir(), Partitions: 1})
	f(sink, produce(1, make([]byte, 100)), "partition 1, want one below 1")
	f(sink, produce(0, make([]byte, 10)), "batch of 10 bytes, want at least 61")
	f(sink, produce(0, make([]byte, 100)), "batch crc 00000000, want ")
	f(sink, produce(0, make([]byte, receiveBytes)), "frame of more than 1064960 bytes")
	f(sink, make([]byte, 100), "bad head check")
	f(&Fetcher{}, produce(0, make([]byte, 100)), "Produce")

	refusedBySink(t, func(sink *LoopSink, want string) *net.TCPConn { return dialLoop(t, sink, want) })
	onLoop(&Fetcher{}, produce(0, make([]byte, 100)), "Produce")
	onLoop(&Fetcher{}, produce(0, make([]byte, requestBytes)), "frame of more than 4096 bytes")

	if _, err := NewSink(SinkOptions{Dir: "/missing", Partitions: 1}); err == nil {
		t.Error("sink in a missing directory: no error")
	}
	if _, err := Listen(sink, "teleport"); err == nil {
		t.Error("listener with congestion control teleport: no error")
	}
	if _, err := ListenLoop(&Fetcher{}, "teleport"); err == nil {
		t.Error("loop with congestion control teleport: no error")
	}
	if _, err := ListenLoop(&Fetcher{Path: zerocopy.Copy}, congestion); err == nil {
		t.Error("loop with a fetcher that copies: no error")
	}
	for _, o := range []LoopSinkOptions{
		{Dir: "/missing", Partitions: 1},
		{Dir: t.TempDir(), Partitions: 1, Sync: true, JournalBytes: leastJournal},
		{Dir: t.TempDir(), Partitions: 1, JournalBytes: leastJournal - 1},
	} {
		if _, err := NewLoopSink(o); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
}

// A ring refuses what a loop does.
func TestRingRefusals(t *testing.T) {
	refusedBySink(t, func(sink *LoopSink, want string) *net.TCPConn {
		return connect(t, listenRing(t, sink, RingOptions{}), want)
	})
	sink := newLoopSink(t, LoopSinkOptions{Dir: t.TempDir(), Partitions: 1})
	if _, err := ListenRing(sink, "teleport", RingOptions{}); err == nil {
		t.Error("ring with congestion control teleport: no error")
	}
	if _, err := ListenRing(sink, congestion, RingOptions{Buffers: 3}); err == nil {
		t.Error("ring with 3 buffers: no error")
	}
}

// refusedBySink sends a new sink for each what it cannot take.
func refusedBySink(t *testing.T, dial func(sink *LoopSink, want string) *net.TCPConn) {
	t.Helper()
	f := func(request []byte, want string) {
		t.Helper()
		wantRefused(t, dial(newLoopSink(t, LoopSinkOptions{Dir: t.TempDir(), Partitions: 1}), want), request)
	}
	f(produce(1, make([]byte, 100)), "partition 1, want one below 1")
	f(produce(0, make([]byte, receiveBytes)), "payload bytes, want at most 1064944")
	f(make([]byte, 100), "bad head check")
}

// wantRefused sends a request that must have no answer.
func wantRefused(t *testing.T, conn *net.TCPConn, request []byte) {
	t.Helper()
	conn.Write(request)
	conn.CloseWrite()
	if p, err := io.ReadAll(conn); len(p) > 0 {
		t.Errorf("answer of %d bytes, %v; want none", len(p), err)
	}
}

// produce returns the frame of a Produce.
func produce(partition int32, batch []byte) []byte {
	m := wire.Produce{Topic: []byte("t"), Partition: partition, Acks: wire.AcksAll, Batches: batch}
	return m.AppendTo(nil, 1)
}

// server is any of the servers.
type server interface {
	Addr() netip.AddrPort
	Close() error
}

// connect connects to a server, which must end with an error that contains
// want, or with none if that is empty.
func connect(t *testing.T, s server, want string) *net.TCPConn {
	t.Helper()
	t.Cleanup(func() {
		err := s.Close()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("server ended with %v, want %q", err, want)
		}
	})
	return connectMore(t, s)
}

// connectMore connects to a server that was connected to.
func connectMore(t *testing.T, s server) *net.TCPConn {
	t.Helper()
	conn, err := net.DialTCP("tcp4", nil, net.TCPAddrFromAddrPort(s.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// dial connects to a new Server.
func dial(t *testing.T, h Handler, want string) *net.TCPConn {
	t.Helper()
	s, err := Listen(h, congestion)
	if err != nil {
		t.Fatal(err)
	}
	return connect(t, s, want)
}

// dialLoop connects to a new Loop.
func dialLoop(t *testing.T, h LoopHandler, want string) *net.TCPConn {
	t.Helper()
	l, err := ListenLoop(h, congestion)
	if err != nil {
		t.Fatal(err)
	}
	return connect(t, l, want)
}

// newLoopSink returns a sink that outlives the loops of the test.
func newLoopSink(t *testing.T, o LoopSinkOptions) *LoopSink {
	t.Helper()
	s, err := NewLoopSink(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
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
