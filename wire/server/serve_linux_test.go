package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollway/rollway/internal/netloop"
	"github.com/rollway/rollway/internal/node"
	"github.com/rollway/rollway/wire"
	"github.com/rollway/rollway/zerocopy"
)

// serve serves the node on loopback until the test ends.
func serve(t testing.TB, n *node.Node, o Options) *node.Listener {
	t.Helper()
	ln, err := netloop.Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Serve(ln, n, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// peer is a client with a socket.
type peer struct {
	t    testing.TB
	conn net.Conn
	got  []byte // received and not looked at
}

// dial returns a client that has had its Welcome.
func dial(t testing.TB, s *node.Listener) *peer {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	c := &peer{t: t, conn: conn}
	c.send(hello().AppendTo(nil, 1))
	c.next(wire.KindWelcome)
	return c
}

func (c *peer) send(p []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(p); err != nil {
		c.t.Fatal(err)
	}
}

// receive returns the next frame, or why there is none.
func (c *peer) receive() (wire.Frame, error) {
	buffer := make([]byte, 64<<10)
	for {
		f, rest, err := wire.Split(c.got, wire.MaxFrameCap)
		if err == nil {
			c.got = rest
			return f, nil
		}
		if err != wire.ErrIncomplete {
			return f, err
		}
		n, err := c.conn.Read(buffer)
		if err != nil {
			return f, err
		}
		c.got = append(c.got, buffer[:n]...)
	}
}

func (c *peer) next(kind wire.Kind) wire.Frame {
	c.t.Helper()
	f, err := c.receive()
	if err != nil || f.Kind != kind {
		c.t.Fatalf("%s, %v; want %s", describe(f), err, kind)
	}
	return f
}

// A Fetch of 64 KiB leaves by sendfile, or by the way that was chosen, one of 1
// KiB is copied; the bytes are those of the log on every path, and so are those
// of a subscription.
func TestPaths(t *testing.T) {
	n := openNode(t)
	f, err := newFrontend(n, Options{})
	if err != nil {
		t.Fatal(err)
	}
	large := createTopic(t, f, "large", nil)
	small := createTopic(t, f, "small", nil)
	largeLog := fill(t, large, batchOf(t, strings.Repeat("x", 64<<10)), batchOf(t, strings.Repeat("y", 64<<10)))
	smallLog := fill(t, small, batchOf(t, strings.Repeat("z", 1<<10)))

	check := func(path zerocopy.Path, way func(zerocopy.Snapshot) zerocopy.Count, smallWay func(zerocopy.Snapshot) zerocopy.Count) {
		t.Helper()
		s := serve(t, n, Options{Path: path})
		c := dial(t, s)
		measure := func(topic string, log []byte, subscribe bool, way func(zerocopy.Snapshot) zerocopy.Count) {
			t.Helper()
			before := way(n.Counters().Snapshot())
			var got []byte
			if subscribe {
				c.send((&wire.Subscribe{Topic: []byte(topic), MaxBytes: 64 << 10, Credit: 1 << 20}).AppendTo(nil, 3))
				for len(got) < len(log) {
					got = append(got, must(wire.ParseData(c.next(wire.KindData)))(t).Batches...)
				}
				c.send((&wire.Unsubscribe{}).AppendTo(nil, 3))
				c.next(wire.KindData)
			} else {
				c.send((&wire.Fetch{Topic: []byte(topic), MaxBytes: 1 << 20}).AppendTo(nil, 2))
				got = must(wire.ParseData(c.next(wire.KindData)))(t).Batches
			}
			if !bytes.Equal(got, log) {
				t.Errorf("path %v, %s: %d bytes that are not the log's %d", path, topic, len(got), len(log))
			}
			if subscribe && path == zerocopy.Auto {
				return // pieces of any size, each by its own way
			}
			// An answer is here before the connection has counted it.
			c.send((&wire.ListTopics{}).AppendTo(nil, 4))
			c.next(wire.KindTopicList)
			if after := way(n.Counters().Snapshot()); after.Bytes-before.Bytes != int64(len(log)) {
				t.Errorf("path %v, %s: %d bytes went the way of the path, want %d", path, topic, after.Bytes-before.Bytes, len(log))
			}
		}
		measure("large", largeLog, false, way)
		measure("small", smallLog, false, smallWay)
		measure("large", largeLog, true, way)
	}
	sendFile := func(s zerocopy.Snapshot) zerocopy.Count { return s.SendFile }
	splice := func(s zerocopy.Snapshot) zerocopy.Count { return s.Splice }
	copied := func(s zerocopy.Snapshot) zerocopy.Count { return s.Copy }
	check(zerocopy.Auto, sendFile, copied)
	check(zerocopy.SendFile, sendFile, sendFile)
	check(zerocopy.Splice, splice, splice)
	check(zerocopy.Copy, copied, copied)
}

// Requests that have to wait for an answer before them, for their order or for
// the bytes in flight, go on by themselves under the real driver.
func TestHold(t *testing.T) {
	n := openNode(t, func(o *node.Options) { o.MaxFrameBytes, o.InFlightBytes = 64<<10, 64<<10 })
	c := dial(t, serve(t, n, Options{}))
	var p []byte
	const rounds, produces = 5, 40
	for round := range uint32(rounds) {
		topic := string('a' + rune(round))
		p = (&wire.CreateTopic{Topic: topic, Partitions: 1}).AppendTo(p, 1)
		for id := range uint32(produces) {
			p = produceTo(topic, 0, wire.AcksAll, batchOf(t, strings.Repeat("x", 10<<10))).AppendTo(p, 10+id)
		}
		p = (&wire.ListOffsets{Topic: []byte(topic), Query: wire.QueryMaxTimestamp}).AppendTo(p, 2)
	}
	go c.conn.Write(p)
	for range rounds {
		c.next(wire.KindDone)
		for id := range uint32(produces) {
			f := c.next(wire.KindProduced)
			if m := must(wire.ParseProduced(f))(t); f.RequestID != 10+id || m.BaseOffset != int64(id) {
				t.Fatalf("%s at %d, want request %d at %d", describe(f), m.BaseOffset, 10+id, id)
			}
		}
		c.next(wire.KindOffsetFound)
	}
}

// A malformed frame costs its connection one Error and the log one line, and
// nobody else notices; so does a Hello that never comes to its end.
func TestMalformedConnection(t *testing.T) {
	var log logBuffer
	n := openNode(t, func(o *node.Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	s := serve(t, n, Options{FrameTimeout: 50 * time.Millisecond})
	other := dial(t, s)
	before := log.String()

	c := dial(t, s)
	c.send([]byte("this is not a frame of the protocol"))
	f := c.next(wire.KindError)
	if f.RequestID != 0 {
		t.Errorf("%s, want one about the connection", describe(f))
	}
	if f, err := c.receive(); err != io.EOF {
		t.Errorf("%s, %v after the Error, want the end", describe(f), err)
	}
	c.conn.Close()

	half, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close()
	if _, err := half.Write(hello().AppendTo(nil, 1)[:20]); err != nil {
		t.Fatal(err)
	}
	if n, err := half.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("%d bytes, %v for half a Hello, want the end", n, err)
	}

	other.send((&wire.ListTopics{}).AppendTo(nil, 2))
	other.next(wire.KindTopicList)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	lines := strings.TrimPrefix(log.String(), before)
	if strings.Count(lines, "\n") != 2 || !strings.Contains(lines, "malformed frame") || !strings.Contains(lines, "half received") {
		t.Errorf("log:\n%s\nwant one line for each of the two", lines)
	}
}

// Shutdown answers what waits for the disk and for records, and tells
// subscriptions or ends them.
func TestShutdown(t *testing.T) {
	n := openNode(t)
	if _, err := n.Engine().CreateTopic(specOf("t", 1)); err != nil {
		t.Fatal(err)
	}
	s := serve(t, n, Options{})
	c := dial(t, s)
	var p []byte
	for id := uint32(10); id < 20; id++ {
		p = produceTo("t", 0, wire.AcksAll, batchOf(t, "x")).AppendTo(p, id)
	}
	p = (&wire.Fetch{Topic: []byte("t"), Offset: 10, MinBytes: 1, MaxBytes: 1000, MaxWaitMs: 3_600_000}).AppendTo(p, 20)
	c.send(p)
	subscriber := dial(t, s)
	subscriber.send((&wire.Subscribe{Topic: []byte("t"), Offset: 0, MaxBytes: 1000, Credit: 0}).AppendTo(nil, 3))
	subscriber.next(wire.KindData)
	c.next(wire.KindProduced) // all of them were received

	done := make(chan error)
	go func() { done <- s.Shutdown(context.Background()) }()
	for range 9 {
		c.next(wire.KindProduced)
	}
	if e := must(wire.ParseError(c.next(wire.KindError)))(t); e.Code != wire.CodeServerClosing {
		t.Errorf("long poll ended with %v", e)
	}
	if f, err := c.receive(); err != io.EOF {
		t.Errorf("%s, %v after the answers, want the end", describe(f), err)
	}
	c.conn.Close()
	subscriber.conn.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := s.Stats().Connections; got != 0 {
		t.Errorf("%d connections after Shutdown", got)
	}
}

// Options out of range are refused by name, and the listener is closed.
func TestServeOptions(t *testing.T) {
	n := openNode(t)
	check := func(o Options, text string) {
		t.Helper()
		ln, err := netloop.Listen(context.Background(), "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Serve(ln, n, o); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("error %v, want %q in it", err, text)
		}
		if err := ln.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the listener is open")
		}
	}
	check(Options{MaxSubscriptions: -1}, "MaxSubscriptions is -1")
	check(Options{MaxCredit: -1}, "MaxCredit is -1")
	check(Options{IdleTimeout: 100 * 24 * time.Hour}, "IdleTimeout in ms")
	check(Options{Congestion: "no such algorithm"}, "no such algorithm")
	check(Options{StallTimeout: -1}, "StallTimeout")
}

// logBuffer keeps what was logged.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
