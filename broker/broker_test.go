package broker

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/engine/vfs"
	"github.com/rollway/rollway/wire"
	"github.com/rollway/rollway/zerocopy"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// open opens a broker on a free port, and closes it with the test.
func open(t *testing.T, o Options) *Broker {
	t.Helper()
	if o.Wire == "" {
		o.Wire = "127.0.0.1:0"
	}
	if o.Kafka == "" {
		o.Kafka = "127.0.0.1:0"
	}
	if o.HTTP == "" {
		o.HTTP = "127.0.0.1:0"
	}
	o.Log = quiet
	b, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// client speaks the native protocol in raw frames.
type client struct {
	t    *testing.T
	conn net.Conn
	got  []byte
	last uint32
}

func dial(t *testing.T, b *Broker) *client {
	t.Helper()
	conn, err := net.Dial("tcp", b.WireAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	c := &client{t: t, conn: conn}
	c.ask(&wire.Hello{MinVersion: 1, MaxVersion: 1, Software: "test", SoftwareVersion: "1"}, wire.KindWelcome)
	return c
}

// ask sends a request and returns its answer, of this kind.
func (c *client) ask(request interface {
	AppendTo([]byte, uint32) []byte
}, kind wire.Kind) wire.Frame {
	c.t.Helper()
	c.last++
	if _, err := c.conn.Write(request.AppendTo(nil, c.last)); err != nil {
		c.t.Fatal(err)
	}
	buffer := make([]byte, 64<<10)
	for {
		f, rest, err := wire.Split(c.got, 0)
		if err == wire.ErrIncomplete {
			n, err := c.conn.Read(buffer)
			if err != nil {
				c.t.Fatal(err)
			}
			c.got = append(c.got, buffer[:n]...)
			continue
		}
		if err != nil || f.Kind != kind || f.RequestID != c.last {
			c.t.Fatalf("%s of request %d with %q, %v; want %s of %d", f.Kind, f.RequestID, f.Payload, err, kind, c.last)
		}
		c.got = rest
		return f
	}
}

func (c *client) produce(topic string, values ...string) {
	c.t.Helper()
	c.ask(&wire.Produce{Topic: []byte(topic), Acks: wire.AcksAll, Batches: batchOf(c.t, values...)}, wire.KindProduced)
}

// fetch returns the values of a topic from an offset on.
func (c *client) fetch(topic string, offset int64) (values []string) {
	c.t.Helper()
	d, err := wire.ParseData(c.ask(&wire.Fetch{Topic: []byte(topic), Offset: offset, MaxBytes: 1 << 20}, wire.KindData))
	if err != nil {
		c.t.Fatal(err)
	}
	for rest := d.Batches; len(rest) > 0; {
		var b record.Batch
		if b, rest, err = record.Next(rest); err != nil {
			c.t.Fatal(err)
		}
		if err := b.Verify(); err != nil {
			c.t.Fatal(err)
		}
		raw, err := b.Decompress(nil, 1<<20)
		if err != nil {
			c.t.Fatal(err)
		}
		for it := b.Iterate(raw); it.Next(); {
			values = append(values, string(it.Record().Value))
		}
	}
	return values
}

func batchOf(t *testing.T, values ...string) []byte {
	t.Helper()
	var b record.Builder
	b.Reset(record.BuilderOptions{})
	for _, v := range values {
		if err := b.Append(time.Now().UnixMilli(), nil, []byte(v)); err != nil {
			t.Fatal(err)
		}
	}
	p, err := b.Build(nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A broker inside this process takes and gives records over TCP, shares its
// engine with the process, and has everything after a restart.
func TestEmbedded(t *testing.T) {
	dir := t.TempDir()
	b := open(t, Options{DataDir: dir})
	c := dial(t, b)
	c.ask(&wire.CreateTopic{Topic: "logs", Partitions: 1}, wire.KindDone)
	c.produce("logs", "over", "the wire")
	p, err := b.Engine().Partition([]byte("logs"), 0)
	if err != nil {
		t.Fatal(err)
	}
	r := engine.AppendRequest{Batches: batchOf(t, "by the process"), Acks: engine.AcksAll}
	if err := p.Produce(t.Context(), &r); err != nil {
		t.Fatal(err)
	}
	want := "over, the wire, by the process"
	if got := strings.Join(c.fetch("logs", 0), ", "); got != want {
		t.Errorf("fetched %q, want %q", got, want)
	}
	if b.Version() == "" {
		t.Error("no version")
	}
	if err := b.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Counted behind the system call, when the client may have read already.
	if sent := b.Sent(); sent.Copy.Bytes == 0 {
		t.Errorf("nothing was counted: %+v", sent)
	}
	if _, err := os.Stat(filepath.Join(dir, ".kafka_cleanshutdown")); err != nil {
		t.Errorf("no marker of a clean shutdown: %v", err)
	}

	b = open(t, Options{DataDir: dir})
	if err := b.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(dial(t, b).fetch("logs", 0), ", "); got != want {
		t.Errorf("after a restart fetched %q, want %q", got, want)
	}
	for range 2 {
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// What cannot be started is refused with a reason, nothing runs, and the data
// directory is as it was.
func TestOpenRefused(t *testing.T) {
	running := open(t, Options{DataDir: t.TempDir()})
	check := func(o Options, texts ...string) {
		t.Helper()
		if o.Wire == "" {
			o.Wire = "127.0.0.1:0"
		}
		if o.HTTP == "" {
			o.HTTP = Off
		}
		o.Log = quiet
		fresh := o.DataDir == ""
		if fresh {
			o.DataDir = filepath.Join(t.TempDir(), "data")
		}
		o.Kafka = Off // which has its port by default, as HTTP has
		b, err := Open(o)
		if err == nil {
			b.Close()
			t.Fatalf("opened, want an error with %q", texts)
		}
		for _, text := range texts {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("error %q, want %q in it", err, text)
			}
		}
		if _, err := os.Stat(filepath.Join(o.DataDir, "meta.properties")); fresh && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the data directory was made (%v)", err)
		}
	}
	check(Options{Wire: "0.0.0.0:0"}, "not on loopback", "no authentication", "--allow-anonymous")
	check(Options{Wire: ":0"}, "not on loopback")
	check(Options{Wire: "[::]:0"}, "not on loopback")
	check(Options{HTTP: "0.0.0.0:0"}, "http listener 0.0.0.0:0 is not on loopback", "which topics there are", "--allow-anonymous")
	check(Options{HTTP: running.HTTPAddr().String()}, "address already in use")
	check(Options{Wire: "nonsense"}, "wire listener nonsense")
	check(Options{Wire: "127.0.0.1:99999"}, "99999")
	check(Options{Wire: running.WireAddr().String()}, "address already in use")
	check(Options{DataDir: running.Engine().Path()}, "stop the other server")
	check(Options{MaxFrameBytes: 1}, "MaxFrameBytes is 1")
	check(Options{Engine: engine.Options{NodeID: -1}}, "NodeID is -1")

	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	check(Options{DataDir: file}, file)
	if _, err := Open(Options{Wire: Off, Kafka: Off, HTTP: Off}); err == nil || !strings.Contains(err.Error(), "DataDir") {
		t.Errorf("error %v without a directory", err)
	}
	// Refused by the listener, after the engine was opened: it is closed again.
	dir := t.TempDir()
	check(Options{DataDir: dir, MaxSubscriptions: -1}, "MaxSubscriptions")
	check(Options{DataDir: dir, Congestion: "none such"}, "none such")
	open(t, Options{DataDir: dir})
}

// Without a listener there is an engine; with AllowAnonymous any address will do.
func TestListeners(t *testing.T) {
	b := open(t, Options{DataDir: t.TempDir(), Wire: Off, HTTP: Off})
	if b.WireAddr() != nil || b.HTTPAddr() != nil {
		t.Errorf("listens on %v and %v", b.WireAddr(), b.HTTPAddr())
	}
	if err := b.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	b = open(t, Options{DataDir: t.TempDir(), Wire: "0.0.0.0:0", AllowAnonymous: true, FetchPath: zerocopy.Splice})
	if port := b.WireAddr().(*net.TCPAddr).Port; port == 0 {
		t.Error("no port was picked")
	}
}

// gateFS holds the recovery of partitions up.
type gateFS struct {
	vfs.FS
	gate chan struct{}
}

func (g *gateFS) ReadDir(name string) ([]fs.DirEntry, error) {
	if name != "." {
		<-g.gate
	}
	return g.FS.ReadDir(name)
}

// The port is open before recovery ends, and Ready waits for that.
func TestReady(t *testing.T) {
	dir := t.TempDir()
	b := open(t, Options{DataDir: dir})
	dial(t, b).ask(&wire.CreateTopic{Topic: "logs", Partitions: 1}, wire.KindDone)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	real, err := vfs.OpenOS(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { real.Close() })
	gate := &gateFS{real, make(chan struct{})}
	b = open(t, Options{Engine: engine.Options{FS: gate}})
	c := dial(t, b)
	f := c.ask(&wire.Fetch{Topic: []byte("logs"), MaxBytes: 1}, wire.KindError)
	if e, err := wire.ParseError(f); err != nil || e.Code != wire.CodeNotReady {
		t.Errorf("%v, %v; want not ready", e, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Ready(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("ready: %v", err)
	}
	close(gate.gate)
	if err := b.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.produce("logs", "x")
}

// Shutdown that runs out of time cuts connections off, says so, and closes the
// engine cleanly all the same.
func TestShutdownTimeout(t *testing.T) {
	dir := t.TempDir()
	b := open(t, Options{DataDir: dir})
	c := dial(t, b)
	c.ask(&wire.CreateTopic{Topic: "logs", Partitions: 1}, wire.KindDone)
	c.produce("logs", strings.Repeat("x", 1<<20-200))
	// Answers that the peer does not read.
	var p []byte
	for id := range uint32(64) {
		p = (&wire.Fetch{Topic: []byte("logs"), MaxBytes: 1 << 20}).AppendTo(p, 100+id)
	}
	if _, err := c.conn.Write(p); err != nil {
		t.Fatal(err)
	}
	if _, err := c.conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := b.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("shutdown: %v, want that it ran out of time", err)
	}
	if _, err := os.Stat(filepath.Join(dir, ".kafka_cleanshutdown")); err != nil {
		t.Errorf("no marker of a clean shutdown: %v", err)
	}
}
