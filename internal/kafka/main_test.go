package kafka

import (
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/netloop"
	"github.com/rollway/rollway/internal/node"
)

var (
	quiet   = slog.New(slog.NewTextHandler(io.Discard, nil))
	peer    = netloop.Peer{Remote: netip.MustParseAddrPort("127.0.0.1:50000"), Local: netip.MustParseAddrPort("127.0.0.1:9092")}
	tcpAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9092}
)

// openFrontend returns a frontend over a new data directory that the test's end
// closes; o may be the zero value.
func openFrontend(t testing.TB, o node.Options) *frontend {
	t.Helper()
	o.DataDir = t.TempDir()
	if o.Log == nil {
		o.Log = quiet
	}
	o.Engine.JournalBytes, o.Engine.BallastBytes = 1<<20, -1 // files that each test would have to write
	n, err := node.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	f := newFrontend(n, tcpAddr, Options{})
	t.Cleanup(func() {
		f.Closing.Begin()
		f.Tasks.Wait()
		n.Close()
	})
	if err := n.Engine().WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	return f
}

// createTopic makes a topic of one partition, unless configs or partitions say
// otherwise.
func createTopic(t testing.TB, f *frontend, name string, partitions int32) *engine.Topic {
	t.Helper()
	topic, err := f.engine.CreateTopic(engine.TopicSpec{Name: name, Partitions: partitions})
	if err != nil {
		t.Fatal(err)
	}
	return topic
}

// frameOf returns the frame of a request, with a client id.
func frameOf(m kmsg.Request, version int16, correlation int32) []byte {
	m.SetVersion(version)
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(nil, m, correlation)
}

// client is one connection to a Server.
type client struct {
	net.Conn
	t    testing.TB
	sent int32 // the last correlation id
}

// dial connects to a Server over f that listens on a free port of loopback and
// ends with the test.
func dial(t testing.TB, f *frontend) *client {
	t.Helper()
	return dialTo(t, serve(t, f))
}

// dialTo connects to s until the test ends.
func dialTo(t testing.TB, s *netloop.Server) *client {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute)) // a test that hangs
	return &client{Conn: conn, t: t}
}

func serve(t testing.TB, f *frontend) *netloop.Server {
	t.Helper()
	return serveOn(t, f, listen(t))
}

// serveThere is serve, and has clients told that they find f there.
func serveThere(t testing.TB, f *frontend) *netloop.Server {
	t.Helper()
	ln := listen(t)
	f.advertised = Address{Host: "127.0.0.1", Port: int32(ln.Addr().(*net.TCPAddr).Port)}
	return serveOn(t, f, ln)
}

func listen(t testing.TB) *net.TCPListener {
	t.Helper()
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

func serveOn(t testing.TB, f *frontend, ln *net.TCPListener) *netloop.Server {
	t.Helper()
	s, err := netloop.Serve(ln, func(p netloop.Peer) netloop.Session { return newSession(f, p) }, Options{}.netloop(f.node))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// ask sends a request and returns its answer.
func (c *client) ask(m kmsg.Request, version int16) kmsg.Response {
	c.t.Helper()
	c.send(m, version)
	return c.receive(m)
}

// send sends a request.
func (c *client) send(m kmsg.Request, version int16) {
	c.t.Helper()
	c.sent++
	if _, err := c.Write(frameOf(m, version, c.sent)); err != nil {
		c.t.Fatal(err)
	}
}

// receive reads the answer to m, whose version was set when it was sent.
func (c *client) receive(m kmsg.Request) kmsg.Response {
	c.t.Helper()
	p := make([]byte, 4)
	if _, err := io.ReadFull(c, p); err != nil {
		c.t.Fatalf("answer to %s: %v", kmsg.NameForKey(m.Key()), err)
	}
	p = append(p, make([]byte, binary.BigEndian.Uint32(p))...)
	if _, err := io.ReadFull(c, p[4:]); err != nil {
		c.t.Fatal(err)
	}
	answer, rest := readAnswer(c.t, p, m, c.sent)
	if len(rest) > 0 {
		c.t.Fatalf("%d bytes behind the answer", len(rest))
	}
	return answer
}

// closed tells whether the server has closed the connection.
func (c *client) closed() bool {
	_, err := io.ReadFull(c, make([]byte, 1))
	return err == io.EOF || errors.Is(err, unix.ECONNRESET)
}

// readAnswer takes the first frame off p and decodes it as the answer to m.
func readAnswer(t testing.TB, p []byte, m kmsg.Request, correlation int32) (answer kmsg.Response, rest []byte) {
	t.Helper()
	if len(p) < 8 {
		t.Fatalf("%d bytes of answer, want a frame", len(p))
	}
	size := int(binary.BigEndian.Uint32(p))
	if len(p) < 4+size {
		t.Fatalf("%d bytes of answer, the frame has %d", len(p), 4+size)
	}
	frame, rest := p[4:4+size], p[4+size:]
	if got := int32(binary.BigEndian.Uint32(frame)); got != correlation {
		t.Fatalf("correlation id %d, want %d", got, correlation)
	}
	frame = frame[4:]
	if m.IsFlexible() && m.Key() != 18 {
		if frame[0] != 0 {
			t.Fatalf("%d tagged fields in the header", frame[0])
		}
		frame = frame[1:]
	}
	answer = m.ResponseKind()
	answer.SetVersion(m.GetVersion())
	if err := answer.ReadFrom(frame); err != nil {
		t.Fatalf("answer to key %d version %d: %v", m.Key(), m.GetVersion(), err)
	}
	return answer, rest
}
