package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/vfs"
	"github.com/rollway/rollway/internal/node"
)

// readyz returns the answer of /readyz.
func readyz(t *testing.T, s *Server) (code int, r Readiness) {
	t.Helper()
	code, body := get(t, s, "/readyz")
	if err := json.Unmarshal([]byte(body), &r); err != nil || len(r.Directories) != 1 {
		t.Fatalf("status %d: %q: %v", code, body, err)
	}
	return code, r
}

// A node is ready when its directory is recovered, and says before that how far it
// is; it is alive all the time.
func TestRecovering(t *testing.T) {
	dir := t.TempDir()
	n := ready(t, openNode(t, func(o *node.Options) { o.DataDir = dir }))
	createTopic(t, n, "logs")
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	gate := &gatedFS{FS: must(vfs.OpenOS(dir))(t), op: vfs.OpReadDir, gate: make(chan struct{})}
	gate.closed.Store(true)
	n = openNode(t, func(o *node.Options) { o.Engine.FS = gate })
	s := serve(t, n, Options{})
	code, r := readyz(t, s)
	want := DirectoryReadiness{Path: n.Engine().Path(), Status: statusRecovering, Partitions: PartitionReadiness{Total: 1, Recovering: 1}}
	if code != http.StatusServiceUnavailable || r.Status != statusRecovering || r.Directories[0] != want {
		t.Errorf("while it recovers: status %d, %+v, want 503, %+v", code, r, want)
	}
	if code, body := get(t, s, "/healthz"); code != http.StatusOK || body != `{"status":"ok"}`+"\n" {
		t.Errorf("health: status %d, %q", code, body)
	}
	wants(t, scrape(t, s), map[string]float64{`rollway_recovered`: 0, `rollway_partitions{state="recovering"}`: 1})
	close(gate.gate)
	ready(t, n)
	code, r = readyz(t, s)
	want.Status, want.Partitions.Recovering = statusReady, 0
	if code != http.StatusOK || r.Status != statusReady || r.Directories[0] != want {
		t.Errorf("recovered: status %d, %+v, want 200, %+v", code, r, want)
	}
	s.Drain()
	if code, r = readyz(t, s); code != http.StatusServiceUnavailable || r.Status != statusStopping {
		t.Errorf("draining: status %d, %+v", code, r)
	}
}

// A node whose disk has failed is not ready, and says why.
func TestStorageFailed(t *testing.T) {
	failing := vfs.NewFailing(must(vfs.OpenOS(t.TempDir()))(t))
	n := ready(t, openNode(t, func(o *node.Options) { o.Engine.FS = failing }))
	p := createTopic(t, n, "logs")
	s := serve(t, n, Options{})
	failing.Arm(vfs.Fault{Op: vfs.OpDatasync, Suffix: ".log", N: 1, Err: syscall.EIO})
	var r engine.AppendRequest
	r.Acks, r.Batches = engine.AcksAll, batchOf(t, 3)
	if err := p.Produce(context.Background(), &r); err == nil {
		t.Fatal("a batch was acknowledged that was not synced")
	}
	code, got := readyz(t, s)
	if code != http.StatusServiceUnavailable || got.Status != statusFailed || !strings.Contains(got.Directories[0].StorageFailure, "input/output error") {
		t.Errorf("status %d, %+v, want 503 and the error", code, got)
	}
	if code, _ := get(t, s, "/healthz"); code != http.StatusOK {
		t.Errorf("health: status %d", code)
	}
	wants(t, scrape(t, s), map[string]float64{"rollway_storage_failed": 1, "rollway_high_watermark_lag_records": 3})
}

// A disk that is fuller than its floor refuses appends, which is no failure.
func TestRefusing(t *testing.T) {
	n := ready(t, openNode(t, func(o *node.Options) { o.Engine.MinFreeBytes = 1 << 60 }))
	s := serve(t, n, Options{})
	code, r := readyz(t, s)
	if code != http.StatusOK || !strings.Contains(r.Directories[0].Refusing, "--min-free") {
		t.Errorf("status %d, %+v", code, r)
	}
	wants(t, scrape(t, s), map[string]float64{"rollway_appends_refusing": 1, "rollway_disk_floor_bytes": 1 << 60})
}

// What there is can be looked at, and nothing else asked for.
func TestRoutes(t *testing.T) {
	s := serve(t, ready(t, openNode(t)), Options{})
	f := func(path string, want int, text string) {
		t.Helper()
		if code, body := get(t, s, path); code != want || !strings.Contains(body, text) {
			t.Errorf("%s: status %d, %.200q, want %d and %q", path, code, body, want, text)
		}
	}
	f("/", http.StatusOK, "/metrics")
	f("/nothing", http.StatusNotFound, "")
	f("/debug/pprof/", http.StatusOK, "goroutine")
	f("/debug/pprof/goroutine?debug=1", http.StatusOK, "goroutine profile")
	r, err := client.Post("http://"+s.Addr().String()+"/readyz", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: status %d", r.StatusCode)
	}
	request := must(http.NewRequest("GET", "http://"+s.Addr().String()+"/", nil))(t)
	request.Header.Set("X-Long", strings.Repeat("x", 4*maxHeadBytes))
	if r, err = client.Do(request); err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a head of %d bytes: status %d", 4*maxHeadBytes, r.StatusCode)
	}
}

// Profiles are for processes of this machine that ask at a loopback address.
func TestProfilesAreLocal(t *testing.T) {
	s := serve(t, openNode(t), Options{})
	f := func(local, remote, host string, want int) {
		t.Helper()
		r := httptest.NewRequest("GET", "/debug/pprof/cmdline", nil)
		r.RemoteAddr, r.Host = remote, host
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, must(net.ResolveTCPAddr("tcp", local))(t)))
		w := httptest.NewRecorder()
		s.profiles().ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("from %s at %s for %s: status %d, want %d", remote, local, host, w.Code, want)
		}
	}
	const loopback, far, own = "127.0.0.1:9193", "10.0.0.9:4000", "10.0.0.1:9193"
	f(loopback, "127.0.0.1:4000", "127.0.0.1:9193", http.StatusOK)
	f("[::1]:9193", "[::1]:4000", "[::1]:9193", http.StatusOK)
	f(loopback, "[::ffff:127.0.0.1]:4000", "localhost:9193", http.StatusOK)
	f(loopback, "127.0.0.1:4000", "localhost", http.StatusOK)
	f(own, far, own, http.StatusForbidden)
	f(own, own, own, http.StatusForbidden)                                   // of this machine, over its network
	f(loopback, "127.0.0.1:4000", "evil.example:9193", http.StatusForbidden) // a web page whose name was made to resolve to us
	f(loopback, far, "127.0.0.1:9193", http.StatusForbidden)
	f(loopback, "127.0.0.1:4000", "", http.StatusForbidden)
}

// Connections beyond the bound are closed at once and counted; one that ends makes
// room for another.
func TestConnectionsAreBounded(t *testing.T) {
	s := serve(t, openNode(t), Options{})
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(time.Minute))
		return c
	}
	asks := func(c net.Conn) error {
		if _, err := io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return err
		}
		r, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return err
		}
		defer r.Body.Close()
		_, err = io.Copy(io.Discard, r.Body)
		return err
	}
	var open []net.Conn
	for range MaxConnections {
		c := dial()
		if err := asks(c); err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	if err := asks(dial()); err == nil {
		t.Errorf("connection %d was answered, want it closed", MaxConnections+1)
	}
	if l := s.listener; l.count() != MaxConnections || l.accepted.Load() != MaxConnections || l.refused.Load() != 1 {
		t.Errorf("%d open, %d accepted, %d refused", l.count(), l.accepted.Load(), l.refused.Load())
	}
	open[0].Close()
	for deadline := time.Now().Add(time.Minute); s.listener.count() == MaxConnections && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if err := asks(dial()); err != nil {
		t.Errorf("after another has ended: %v", err)
	}
}

// Shutdown ends idle connections, and those that are answered for too long; nothing
// is listened on then.
func TestShutdown(t *testing.T) {
	s := serve(t, openNode(t), Options{})
	answered := make(chan error, 1)
	go func() { // longer than anybody waits
		r, err := client.Get(fmt.Sprintf("http://%s/debug/pprof/profile?seconds=300", s.Addr()))
		if err == nil {
			_, err = io.Copy(io.Discard, r.Body)
			r.Body.Close()
		}
		answered <- err
	}()
	for deadline := time.Now().Add(time.Minute); s.listener.count() == 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if err := <-answered; err == nil {
		t.Error("a profile of 300 s was answered")
	}
	if c, err := net.Dial("tcp", s.Addr().String()); err == nil {
		c.Close()
		t.Error("somebody still listens")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
