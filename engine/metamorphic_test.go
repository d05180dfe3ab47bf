package engine

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/engine/topicconfig"
	"github.com/rollway/rollway/engine/vfs"
	"github.com/rollway/rollway/zerocopy"
)

// The same operations give the same bytes, whichever way they leave and however
// the log is kept: by sendfile, splice or copied, in segments of one batch or of
// many, indexes dense or sparse, flushed at once or late, on a disk or in memory.
// What leaves is held against a plain slice, and the slices of all variants
// against each other.
func TestMetamorphic(t *testing.T) {
	seed := envNumber(t, "ROLLWAY_METAMORPHIC_SEED", uint64(time.Now().UnixNano()))
	rounds := envNumber(t, "ROLLWAY_METAMORPHIC_ROUNDS", 1)
	for round := range rounds {
		seed := seed + round
		var first []byte
		for i, v := range variants(seed) {
			name := fmt.Sprintf("%d/%d %+v", seed, i, v)
			if !t.Run(strings.ReplaceAll(name, " ", ","), func(t *testing.T) {
				log := v.run(t, seed)
				if i == 0 {
					first = log
				} else if !bytes.Equal(log, first) {
					t.Errorf("a log of %d bytes that is not that of the first variant, %d bytes", len(log), len(first))
				}
			}) {
				t.Fatalf("replay with: ROLLWAY_METAMORPHIC_SEED=%d ROLLWAY_METAMORPHIC_ROUNDS=1 go test ./engine -run 'TestMetamorphic$'", seed)
			}
		}
	}
}

// variant is one choice of what must make no difference.
type variant struct {
	path          zerocopy.Path
	memory        bool // the file system
	segmentBytes  int64
	indexInterval int
	flushMessages int
}

// variants has each value of each choice at least once.
func variants(seed uint64) []variant {
	random := rand.New(rand.NewPCG(seed, 3))
	var all []variant
	for i, path := range []zerocopy.Path{zerocopy.SendFile, zerocopy.Splice, zerocopy.Copy, zerocopy.Auto, zerocopy.SendFile, zerocopy.Splice} {
		all = append(all, variant{
			path:          path,
			memory:        i%2 == 1,
			segmentBytes:  []int64{1, 3000, 20_000, 1 << 30}[(i+random.IntN(2))%4],
			indexInterval: []int{0, 700, 100_000}[(i+random.IntN(2))%3],
			flushMessages: []int{1, 50}[(i/2+random.IntN(2))%2],
		})
	}
	return all
}

// metamorph is a partition beside a slice of its bytes.
type metamorph struct {
	t       *testing.T
	variant variant
	fs      vfs.FS
	engine  *Engine
	p       *Partition
	out     *socket

	log    []byte   // what the partition holds
	starts []int    // where its batches start in log
	bases  []Offset // their base offsets
}

// run carries out the operations of the seed and returns the log.
func (v variant) run(t *testing.T, seed uint64) []byte {
	m := &metamorph{t: t, variant: v, out: newSocket(t, v.path)}
	if v.memory {
		mem := vfs.NewMem(t.TempDir())
		t.Cleanup(func() { mem.Close() })
		m.fs = mem
	} else {
		m.fs = traceDir(t, t.TempDir()).FS
	}
	m.engine = openEngine(t, "", onFS(m.fs))
	m.p = createTopic(t, m.engine, "t",
		"index.interval.bytes", fmt.Sprint(v.indexInterval), "flush.messages", fmt.Sprint(v.flushMessages))
	m.tune()
	random := rand.New(rand.NewPCG(seed, 4))
	now := int64(1000)
	for range 120 {
		// All random numbers are drawn here, so that every variant gets the same.
		op, where, maxBytes := random.IntN(20), random.Float64(), int64(1+random.IntN(9000))
		switch {
		case op < 9:
			m.append(random, &now)
		case op < 13:
			m.fetch(where, maxBytes)
		case op < 16:
			m.stream(where, maxBytes)
		case op < 17:
			if _, err := m.engine.checkpoint(false); err != nil {
				t.Fatal(err)
			}
		case op < 18:
			m.restart(m.engine.Close)
		case op < 19:
			m.restart(func() error { crash(t, m.engine); return nil })
		default:
			m.byTime(where)
		}
	}
	m.fetch(0, 5000)
	m.stream(0, 5000)
	if err := m.engine.Close(); err != nil {
		t.Fatal(err)
	}
	return m.log
}

// tune makes segments as small as the variant wants them.
func (m *metamorph) tune() {
	tune(m.p, func(c *topicconfig.Config) {
		c.SegmentBytes = max(m.variant.segmentBytes, 6000) // what a request may have
		if m.variant.segmentBytes == 1 {
			c.SegmentMs = -1 // a segment for each append
		}
	})
}

func (m *metamorph) append(random *rand.Rand, now *int64) {
	r := &AppendRequest{Acks: AcksAll}
	for range 1 + random.IntN(3) {
		var values []string
		for range 1 + random.IntN(3) {
			values = append(values, fmt.Sprint(random.Uint64(), strings.Repeat("x", random.IntN(500))))
		}
		*now += 10
		r.Batches = append(r.Batches, batchOf(m.t, *now, values...)...)
	}
	if err := m.p.Produce(context.Background(), r); err != nil {
		m.t.Fatal(err)
	}
	for rest := r.Batches; len(rest) > 0; {
		b, after, err := record.Next(rest)
		if err != nil {
			m.t.Fatal(err)
		}
		m.starts, m.bases = append(m.starts, len(m.log)), append(m.bases, b.BaseOffset())
		m.log = append(m.log, b...)
		rest = after
	}
}

// place returns a batch that lies at this fraction of the log, and false if
// there is none.
func (m *metamorph) place(where float64) (batch int, ok bool) {
	return int(where * float64(len(m.starts))), len(m.starts) > 0
}

// fetch sends everything from a batch on, in fetches of whole batches.
func (m *metamorph) fetch(where float64, maxBytes int64) {
	m.t.Helper()
	batch, ok := m.place(where)
	if !ok {
		return
	}
	var cursor Cursor
	var got []byte
	for off := m.bases[batch]; ; {
		s, err := m.p.Fetch(FetchRequest{Offset: off, MaxBytes: maxBytes, Cursor: &cursor})
		if err != nil {
			m.t.Fatal(err)
		}
		if s.Len == 0 {
			break
		}
		for sent := m.out.send(&s); len(sent) > 0; {
			b, rest, err := record.Next(sent)
			if err != nil {
				break // cut at the end of the slice; the next fetch starts with it
			}
			got = append(got, b...)
			off = b.NextOffset()
			sent = rest
		}
	}
	if want := m.log[m.starts[batch]:]; !bytes.Equal(got, want) {
		m.t.Fatalf("fetches of %d bytes from offset %d gave %d bytes that are not the %d of the log", maxBytes, m.bases[batch], len(got), len(want))
	}
}

// stream sends everything from a batch on, as it comes.
func (m *metamorph) stream(where float64, maxBytes int64) {
	m.t.Helper()
	batch, ok := m.place(where)
	if !ok {
		return
	}
	cursor, err := m.p.Seek(m.bases[batch])
	var got []byte
	for err == nil {
		var s Slice
		if s, err = m.p.FetchNext(&cursor, maxBytes); err == nil && s.Len == 0 {
			break
		} else if err == nil {
			got = append(got, m.out.send(&s)...)
		}
	}
	if want := m.log[m.starts[batch]:]; err != nil || !bytes.Equal(got, want) {
		m.t.Fatalf("a stream by %d bytes from offset %d gave %d bytes that are not the %d of the log: %v", maxBytes, m.bases[batch], len(got), len(want), err)
	}
}

// byTime finds a batch by the timestamp of its first record.
func (m *metamorph) byTime(where float64) {
	m.t.Helper()
	batch, ok := m.place(where)
	if !ok {
		return
	}
	b, _, err := record.Next(m.log[m.starts[batch]:])
	if err != nil {
		m.t.Fatal(err)
	}
	if found, err := m.p.OffsetByTime(b.BaseTimestamp()); err != nil || found.Offset != b.BaseOffset() {
		m.t.Fatalf("%d ms is found at offset %d, %v, want %d", b.BaseTimestamp(), found.Offset, err, b.BaseOffset())
	}
}

func (m *metamorph) restart(stop func() error) {
	m.t.Helper()
	if err := stop(); err != nil {
		m.t.Fatal(err)
	}
	m.engine = openEngine(m.t, "", onFS(m.fs))
	m.p = partition(m.t, m.engine, "t")
	m.tune()
}

// socket sends slices over a connection and returns what arrives.
type socket struct {
	t        *testing.T
	sender   *zerocopy.Sender
	far      net.Conn
	received []byte
}

func newSocket(t *testing.T, path zerocopy.Path) *socket {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	near, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close() })
	far, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	counters := new(zerocopy.Counters)
	t.Cleanup(func() {
		if n := counters.Snapshot().Fallbacks; n > 0 {
			t.Errorf("%d transfers did not go by %v", n, path)
		}
	})
	options := zerocopy.Options{Path: path, Counters: counters}
	if path == zerocopy.Splice {
		if options.Pipes, err = zerocopy.NewPipePool(zerocopy.PipePoolOptions{}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(options.Pipes.Close)
	}
	sender, err := zerocopy.NewSender(near.(*net.TCPConn), options)
	if err != nil {
		t.Fatal(err)
	}
	return &socket{t: t, sender: sender, far: far}
}

// send sends a slice and closes it. What it returns is valid until the next call.
func (c *socket) send(s *Slice) []byte {
	c.t.Helper()
	defer s.Close()
	arrived := make(chan error, 1)
	c.received = append(c.received[:0], make([]byte, s.Len)...)
	go func() {
		_, err := io.ReadFull(c.far, c.received)
		arrived <- err
	}()
	if _, err := c.sender.Send(nil, &s.Range); err != nil {
		c.t.Fatal(err)
	}
	if err := <-arrived; err != nil {
		c.t.Fatal(err)
	}
	return c.received
}
