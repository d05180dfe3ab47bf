package node

import (
	"errors"
	"io"
	"log/slog"
	"math"
	"strings"
	"testing"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/netloop"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// The defaults are those that the options document, and a closed node is closed.
func TestOpen(t *testing.T) {
	n, err := Open(Options{DataDir: t.TempDir(), Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := n.Limits(), (Limits{MaxFrameBytes: 16 << 20, InFlightBytes: 64 << 20}); got != want {
		t.Errorf("limits %+v, want %+v", got, want)
	}
	if got, want := n.ConnectionLimits(), (netloop.ConnectionLimits{Open: min(10_000, roomForConnections(engine.DefaultMaxOpenFiles())), PerIP: 1_000}); got != want {
		t.Errorf("connection limits %+v, want %+v", got, want)
	}
	if got := n.Budget().Limit(); got != 256<<20 {
		t.Errorf("budget of %d bytes", got)
	}
	if n.Version() != "devel" || n.Log() != quiet || n.Counters() == nil {
		t.Errorf("version %q, log %v, counters %v", n.Version(), n.Log(), n.Counters())
	}
	if err := n.Engine().WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("second close: %v", err)
	}
}

// Defaults follow what was set, and what is out of range is refused by name.
func TestOptions(t *testing.T) {
	good := func(o Options, maxFrame int, inFlight int64) {
		t.Helper()
		o.DataDir = "x"
		got, err := o.withDefaults()
		if err != nil {
			t.Errorf("%+v: %v", o, err)
		}
		if got.MaxFrameBytes != maxFrame || got.InFlightBytes != inFlight {
			t.Errorf("%+v: max frame %d, in flight %d, want %d and %d", o, got.MaxFrameBytes, got.InFlightBytes, maxFrame, inFlight)
		}
	}
	bad := func(o Options, text string) {
		t.Helper()
		if _, err := o.withDefaults(); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%+v: error %v, want %q in it", o, err, text)
		}
	}
	good(Options{}, 16<<20, 64<<20)
	good(Options{ReceiveBytes: 1 << 20}, 1<<19-64, 64<<20)
	good(Options{ReceiveBytes: 15 << 20}, 4<<20-64, 64<<20)
	good(Options{MaxFrameBytes: 100 << 20}, 100<<20, 100<<20)
	good(Options{MaxFrameBytes: 64 << 10, InFlightBytes: 64 << 10}, 64<<10, 64<<10)

	bad(Options{}, "DataDir is empty")
	bad(Options{DataDir: "x", ReceiveBytes: 1000}, "ReceiveBytes is 1000")
	bad(Options{DataDir: "x", MaxFrameBytes: 1000}, "MaxFrameBytes is 1000, want 65536 to 134217664")
	bad(Options{DataDir: "x", MaxFrameBytes: 128 << 20}, "MaxFrameBytes is 134217728")
	bad(Options{DataDir: "x", InFlightBytes: 1 << 20}, "InFlightBytes is 1048576, want 16777216")
	bad(Options{DataDir: "x", MaxConnections: -1}, "MaxConnections is -1")
	bad(Options{DataDir: "x", MaxConnectionsPerIP: -1}, "MaxConnectionsPerIP is -1")
	bad(Options{DataDir: "x", Version: strings.Repeat("x", 256)}, "at most 255 bytes")
	bad(Options{DataDir: "x", Version: "\xff"}, "UTF-8")
}

// Connections get what the limit of open files leaves beside the segments, and a
// few in any case.
func TestConnectionsBesideOpenFiles(t *testing.T) {
	f := func(limit uint64, openFiles, want int) {
		t.Helper()
		if got := connectionsBeside(limit, openFiles); got != want {
			t.Errorf("limit %d, %d files: %d connections, want %d", limit, openFiles, got, want)
		}
	}
	f(1024, 512, 432)
	f(128, 64, 16)
	f(64, 32, 16)
	f(20_000, 10_000, 9920)
	f(math.MaxUint64, 32<<10, 1<<30-32<<10-80)
}

// What is shared is made once for each key.
func TestShared(t *testing.T) {
	type one struct{}
	type other struct{}
	n := new(Node)
	made := 0
	get := func(key any) any {
		return n.Shared(key, func() any {
			made++
			return &made
		})
	}
	if get(one{}) != get(one{}) || get(other{}) == nil || made != 2 {
		t.Errorf("made %d times for two keys, want twice", made)
	}
}
