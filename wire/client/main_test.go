package client

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/wire"
)

// TestMain fails if a goroutine of this package outlives the tests.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if left := leaked(); left != "" {
			fmt.Fprintf(os.Stderr, "goroutines left:\n%s\n", left)
			code = 1
		}
	}
	os.Exit(code)
}

// leaked returns the stacks of goroutines that this package has started and
// that do not end within 5 s.
func leaked() string {
	for range 500 {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		if !strings.Contains(string(stacks), "created by github.com/rollway/rollway/wire/client") {
			return ""
		}
		time.Sleep(10 * time.Millisecond)
	}
	stacks := make([]byte, 1<<20)
	return string(stacks[:runtime.Stack(stacks, true)])
}

// welcomeOf is what the fake server says unless a test wants something else.
var welcomeOf = wire.Welcome{
	Version: wire.Version, Software: "fake", SoftwareVersion: "1", ClusterID: "c",
	MaxFrame: wire.DefaultMaxFrame, MaxInFlight: wire.DefaultMaxInFlight, MaxCredit: wire.DefaultMaxCredit,
}

// fake is the server's side of one connection, driven by the script of a test.
// Its methods end the script, and fail the test, when something is not as
// expected.
type fake struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
}

// serve runs script for the one connection that the returned client is. The
// test waits for the script to end; the client is closed before.
func serve(t testing.TB, script func(s *fake)) *Client {
	t.Helper()
	return serveWith(t, welcomeOf, Options{}, script)
}

func serveWith(t testing.TB, welcome wire.Welcome, options Options, script func(s *fake)) *Client {
	t.Helper()
	addr := listen(t, func(s *fake) {
		f := s.expect(wire.KindHello)
		s.send(&welcome, f.RequestID)
		script(s)
	})
	c, err := Dial(t.Context(), addr, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// listen runs script for the first connection to the address it returns.
func listen(t testing.TB, script func(s *fake)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Add(1)
	go func() {
		defer running.Done()
		conn, err := l.Accept()
		if err != nil {
			return // the test is over
		}
		defer conn.Close()
		script(&fake{t: t, conn: conn, in: bufio.NewReader(conn)})
	}()
	t.Cleanup(func() {
		l.Close()
		running.Wait()
	})
	return l.Addr().String()
}

// fail ends the script.
func (s *fake) fail(format string, args ...any) {
	s.t.Helper()
	s.t.Errorf("fake server: "+format, args...)
	s.conn.Close()
	runtime.Goexit()
}

// next reads a frame; ok is false at the end of the connection.
func (s *fake) next() (f wire.Frame, ok bool) {
	s.t.Helper()
	head := make([]byte, wire.HeadSize)
	if _, err := io.ReadFull(s.in, head); err != nil {
		return wire.Frame{}, false
	}
	h, err := wire.ParseHead(head)
	if err != nil {
		s.fail("%v", err)
	}
	f = wire.Frame{Head: h, Payload: make([]byte, h.Length)}
	if _, err := io.ReadFull(s.in, f.Payload); err != nil {
		return wire.Frame{}, false
	}
	return f, true
}

// expect reads a frame of one kind.
func (s *fake) expect(kind wire.Kind) wire.Frame {
	s.t.Helper()
	f, ok := s.next()
	if !ok || f.Kind != kind {
		s.fail("received %s (%t), want %s", f.Kind, ok, kind)
	}
	return f
}

// produce reads a Produce and returns the records in it as "key=value".
func (s *fake) produce() (f wire.Frame, m wire.Produce, records []string) {
	s.t.Helper()
	f = s.expect(wire.KindProduce)
	m, err := wire.ParseProduce(f)
	if err != nil {
		s.fail("%v", err)
	}
	for rest := m.Batches; len(rest) > 0; {
		b, after, err := record.Next(rest)
		if err == nil {
			err = b.VerifyProduced()
		}
		var raw []byte
		if err == nil {
			raw, err = b.Decompress(nil, 1<<24)
		}
		if err != nil {
			s.fail("%v", err)
		}
		it := b.Iterate(raw)
		for it.Next() {
			records = append(records, fmt.Sprintf("%s=%s", it.Record().Key, it.Record().Value))
		}
		if it.Err() != nil {
			s.fail("%v", it.Err())
		}
		rest = after
	}
	return f, m, records
}

// send answers with m.
func (s *fake) send(m interface{ AppendTo([]byte, uint32) []byte }, id uint32) {
	s.t.Helper()
	s.raw(m.AppendTo(nil, id))
}

// raw sends bytes.
func (s *fake) raw(p []byte) {
	s.t.Helper()
	if _, err := s.conn.Write(p); err != nil {
		s.fail("%v", err)
	}
}

// data sends a Data of batches.
func (s *fake) data(id uint32, partition int32, batches []byte) {
	s.t.Helper()
	s.send(&wire.Data{Partition: partition, Offsets: wire.Offsets{HighWatermark: 1 << 40, LastStable: 1 << 40}, Batches: batches}, id)
}

// end waits until the client has closed the connection.
func (s *fake) end() {
	for {
		if _, ok := s.next(); !ok {
			return
		}
	}
}

// reset closes the connection with a reset.
func (s *fake) reset() {
	s.conn.(*net.TCPConn).SetLinger(0)
	s.conn.Close()
}

// batch returns a batch at an offset with the given values.
func batch(t testing.TB, codec record.Codec, base int64, values ...string) []byte {
	t.Helper()
	var b record.Builder
	b.Reset(record.BuilderOptions{Codec: codec, BaseOffset: record.Offset(base)})
	for i, v := range values {
		if err := b.Append(int64(1000+i), nil, []byte(v)); err != nil {
			t.Fatal(err)
		}
	}
	p, err := b.Build(nil)
	if err != nil {
		t.Fatal(err)
	}
	record.Batch(p).SetLeaderEpoch(0)
	return p
}

// values returns "offset:value" of all records.
func values(t testing.TB, b *Batches) (list []string) {
	t.Helper()
	for r, err := range b.Records() {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprintf("%d:%s", r.Offset, r.Value))
	}
	return list
}

// wantError checks the text of an error.
func wantError(t testing.TB, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("error %v, want one with %q", err, text)
	}
}

// wantCode checks that err is an Error of the server.
func wantCode(t testing.TB, err error, code wire.Code) {
	t.Helper()
	var e *wire.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("error %v, want code %d (%s)", err, code, code)
	}
}

// eventually waits until the condition holds, and fails the test after 10 s.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 10 s", what)
		}
	}
}

// longAgo is a context that has ended.
func longAgo() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// headFor returns a valid head for a payload that the test makes up.
func headFor(kind wire.Kind, flags uint8, id uint32, payload []byte) []byte {
	return append(wire.AppendHead(nil, wire.Head{Length: uint32(len(payload)), Kind: kind, Flags: flags, RequestID: id}), payload...)
}

// damaged returns p with one bit of the byte at i changed.
func damaged(p []byte, i int) []byte {
	p = append([]byte(nil), p...)
	p[i] ^= 1
	return p
}

// withLength returns a batch whose header says another length.
func withLength(p []byte, length uint32) []byte {
	p = append([]byte(nil), p...)
	binary.BigEndian.PutUint32(p[8:], length)
	return p
}
