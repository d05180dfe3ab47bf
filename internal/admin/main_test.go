package admin

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/engine/vfs"
	"github.com/rollway/rollway/internal/node"
)

// openNode opens a node in a directory of the test, which is closed with it.
func openNode(t testing.TB, change ...func(*node.Options)) *node.Node {
	t.Helper()
	o := node.Options{DataDir: t.TempDir(), Version: "1.2.3", Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	for _, c := range change {
		c(&o)
	}
	n, err := node.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// ready waits for the node's engine.
func ready(t testing.TB, n *node.Node) *node.Node {
	t.Helper()
	if err := n.Engine().WaitReady(context.Background()); err != nil {
		t.Fatal(err)
	}
	return n
}

// serve serves n on a free port and closes the Server with the test.
func serve(t testing.TB, n *node.Node, o Options) *Server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
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

// client is one that keeps no connection open.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}

// get returns the answer to a GET.
func get(t testing.TB, s *Server, path string) (code int, body string) {
	t.Helper()
	r, err := client.Get("http://" + s.Addr().String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	p, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(p)
}

// scrape returns the values of /metrics by series, as they are written there.
func scrape(t testing.TB, s *Server) map[string]float64 {
	t.Helper()
	code, body := get(t, s, "/metrics")
	if code != http.StatusOK {
		t.Fatalf("status %d: %s", code, body)
	}
	series := map[string]float64{}
	for lines := bufio.NewScanner(strings.NewReader(body)); lines.Scan(); {
		line := lines.Text()
		if strings.HasPrefix(line, "#") {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		series[line[:at]] = value
	}
	return series
}

// wants checks values of series.
func wants(t testing.TB, got map[string]float64, want map[string]float64) {
	t.Helper()
	for series, value := range want {
		if v, there := got[series]; !there || v != value {
			t.Errorf("%s is %v (there: %t), want %v", series, v, there, value)
		}
	}
}

// createTopic makes a topic and returns its partition 0.
func createTopic(t testing.TB, n *node.Node, name string) *engine.Partition {
	t.Helper()
	topic, err := n.Engine().CreateTopic(engine.TopicSpec{Name: name, Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	return topic.Partitions()[0]
}

// batchOf builds a batch of so many records.
func batchOf(t testing.TB, records int) []byte {
	t.Helper()
	var b record.Builder
	b.Reset(record.BuilderOptions{})
	for i := range records {
		if err := b.Append(1000, nil, fmt.Appendf(nil, "value %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	batch, err := b.Build(nil)
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

// produce appends a batch of so many records, and returns its bytes.
func produce(t testing.TB, p *engine.Partition, records int) int {
	t.Helper()
	batch := batchOf(t, records)
	if err := p.Produce(context.Background(), &engine.AppendRequest{Batches: batch, Acks: engine.AcksAll}); err != nil {
		t.Fatal(err)
	}
	return len(batch)
}

// must returns v, or ends the test with err.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// gatedFS holds up what recovers partitions, or syncs files, from when it is
// closed until its gate is.
type gatedFS struct {
	vfs.FS
	op     vfs.Op // OpReadDir or OpDatasync
	closed atomic.Bool
	gate   chan struct{}
}

func (g *gatedFS) wait(op vfs.Op) {
	if op == g.op && g.closed.Load() {
		<-g.gate
	}
}

func (g *gatedFS) ReadDir(name string) ([]fs.DirEntry, error) {
	if name != "." {
		g.wait(vfs.OpReadDir)
	}
	return g.FS.ReadDir(name)
}

func (g *gatedFS) OpenFile(name string, flag int) (vfs.File, error) {
	f, err := g.FS.OpenFile(name, flag)
	if err != nil {
		return nil, err
	}
	return &gatedFile{f, g}, nil
}

type gatedFile struct {
	vfs.File
	fs *gatedFS
}

func (f *gatedFile) Datasync() error {
	f.fs.wait(vfs.OpDatasync)
	return f.File.Datasync()
}
