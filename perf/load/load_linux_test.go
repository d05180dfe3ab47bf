package load

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/perf/bare"
	"github.com/rollway/rollway/perf/host"
	"github.com/rollway/rollway/zerocopy"
)

const congestion = "reno" // always there

// Batches have exactly the size that was asked for, and are valid.
func TestBatch(t *testing.T) {
	f := func(size int, records int32) {
		t.Helper()
		b, err := Batch(size)
		if err != nil {
			t.Error(err)
			return
		}
		if err := b.Verify(); err != nil || b.Size() != int64(size) || b.Count() != records {
			t.Errorf("batch of %d bytes, %d records, %v; want %d bytes, %d records", b.Size(), b.Count(), err, size, records)
		}
	}
	f(100, 1)
	f(1<<10, 1)
	f(4<<10, 3)
	f(64<<10, 64)
	f(1<<20, 1038)
	if b, err := BatchOf(16<<10, 100); err != nil || b.Verify() != nil || b.Size() != 16<<10 || b.Count() < 145 || b.Count() > 150 {
		t.Errorf("16 KiB of 100 B records: %d in %d bytes, %v; want about 148", b.Count(), b.Size(), err)
	}
	if b, err := Batch(record.HeaderSize); err == nil {
		t.Errorf("batch of a header's size has %d bytes, want an error", len(b))
	}
}

// A consumer gets every byte of the log from a bare fetcher, each way, with
// one and with many requests in flight, round and round.
func TestConsumer(t *testing.T) {
	batch, err := Batch(4 << 10)
	if err != nil {
		t.Fatal(err)
	}
	file := tempFile(t)
	log := Log{Topic: "t", Bytes: 64 << 12, BatchBytes: 4 << 10, Step: 4 << 10}
	if _, err := file.Write(bytes.Repeat(batch, 64)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []zerocopy.Path{zerocopy.SendFile, zerocopy.Splice, zerocopy.Copy} {
		target := serve(t, &bare.Fetcher{File: file, Size: log.Bytes, Path: path})
		c, err := NewConsumer(t.Context(), target, log)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.Check(1 << 16); err != nil {
			t.Errorf("check: %v", err)
		}
		for _, run := range []FetchRun{
			{Bytes: 10 << 16, MaxBytes: 1 << 16, Depth: 1},
			{Bytes: 1000 << 12, MaxBytes: 1 << 12, Depth: 8},
			{Bytes: 1, MaxBytes: 64 << 12, Depth: 3},
			{Bytes: 10 << 16, MaxBytes: 1 << 16, Depth: 2, Copy: 5000},
			{Bytes: 10 << 16, MaxBytes: 1 << 16, Depth: 1, Copy: 1 << 20},
		} {
			n, elapsed, err := c.Run(run)
			want := max(run.Bytes, int64(run.MaxBytes))
			if err != nil || n != want || elapsed <= 0 {
				t.Errorf("%v: %+v fetched %d bytes in %v, %v; want %d", path, run, n, elapsed, err, want)
			}
		}
		run := FetchRun{Bytes: 1 << 62, MaxBytes: 1 << 16, Depth: 4, Time: time.Millisecond}
		if n, elapsed, err := c.Run(run); err != nil || n <= 0 || n%(1<<16) != 0 || elapsed < run.Time {
			t.Errorf("%v: %+v fetched %d bytes in %v, %v; want whole answers for as long", path, run, n, elapsed, err)
		}
		if tcp, local, err := c.TCP(); err != nil || !local.IsValid() || tcp.Congestion != congestion || !tcp.NoDelay {
			t.Errorf("our side is %v at %v, %v; want %s without Nagle", tcp, local, err, congestion)
		}
		const answers, rate = 5, 1000
		least := (answers - 1) * time.Second / rate
		for _, busy := range []bool{false, true} {
			run := FetchRun{Bytes: answers << 16, MaxBytes: 1 << 16, Depth: 1, Rate: rate, Busy: busy}
			if _, elapsed, err := c.Run(run); err != nil || elapsed < least {
				t.Errorf("%+v took %v, %v; want at least %v", run, elapsed, err, least)
			}
		}
		if _, _, err := c.Run(FetchRun{Bytes: 1, MaxBytes: 5000, Depth: 1}); err == nil {
			t.Error("fetch of 5,000 bytes from batches of 4,096: no error")
		}
	}
}

// An answer of another length than asked for is an error, not a figure.
func TestConsumerShortAnswer(t *testing.T) {
	file := tempFile(t)
	if err := file.Truncate(1 << 12); err != nil {
		t.Fatal(err)
	}
	target := serve(t, &bare.Fetcher{File: file, Size: 1 << 12})
	c, err := NewConsumer(t.Context(), target, Log{Topic: "t", Bytes: 2 << 12, BatchBytes: 1 << 12, Step: 1 << 12})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _, err = c.Run(FetchRun{Bytes: 1, MaxBytes: 2 << 12, Depth: 1})
	if err == nil || !strings.Contains(err.Error(), "with 4096 bytes of batches, want Data to 2 with 8192") {
		t.Errorf("answer that is too short: %v", err)
	}
}

// Producers end with their context, and so does a consumer that waits.
func TestCancel(t *testing.T) {
	file := tempFile(t)
	target := serve(t, &bare.Fetcher{File: file})
	ctx, cancel := context.WithCancel(t.Context())
	c, err := NewConsumer(ctx, target, Log{Topic: "t", Bytes: 1, BatchBytes: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	cancel()
	if _, err := c.nextAnswer(1); err == nil {
		t.Error("an answer after the end of the context, want an error")
	}
	if _, err := NewProducers(ctx, target, ProducerOptions{Connections: 1, Partitions: 1, Window: 1}); err == nil {
		t.Error("producers after the end of the context, want an error")
	}
}

// What producers send is what a bare sink writes, each batch once and in order,
// with every window, and it syncs when it is to.
func TestProducers(t *testing.T) {
	batch, err := Batch(1 << 10)
	if err != nil {
		t.Fatal(err)
	}
	f := func(o ProducerOptions, r ProduceRun, sync bool) {
		t.Helper()
		dir := t.TempDir()
		sink := newSink(t, bare.SinkOptions{Dir: dir, Partitions: o.Partitions, Sync: sync})
		target := serve(t, sink)
		o.Topic, o.Batch = "t", batch
		p, err := NewProducers(t.Context(), target, o)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		got, err := p.Run(r)
		if err != nil {
			t.Fatal(err)
		}
		if got.Batches < 1 || r.Batches > 0 && got.Batches != r.Batches || len(got.Latencies) != int(got.Batches) || got.Elapsed < r.Time {
			t.Errorf("%+v %+v: %d batches, %d latencies, in %v", o, r, got.Batches, len(got.Latencies), got.Elapsed)
		}
		if syncs := sink.Syncs(); sync != (syncs > 0) || syncs > got.Batches {
			t.Errorf("%+v: %d syncs of %d batches, synced: %v", o, syncs, got.Batches, sync)
		}
		var written []byte
		files, err := filepath.Glob(dir + "/bare-*")
		if err != nil || len(files) != o.Partitions {
			t.Errorf("%d files, %v; want %d", len(files), err, o.Partitions)
		}
		for _, name := range files {
			p, err := os.ReadFile(name)
			if err != nil || len(p) == 0 {
				t.Errorf("%s: %d bytes, %v; want some", name, len(p), err)
			}
			written = append(written, p...)
		}
		if want := bytes.Repeat(batch, int(got.Batches)); !bytes.Equal(written, want) {
			t.Errorf("%+v: files have %d bytes, want %d, those that were sent", o, len(written), len(want))
		}
		if tcp, local, err := p.TCP(); err != nil || !local.IsValid() || tcp.Congestion != congestion || !tcp.NoDelay {
			t.Errorf("our side is %v at %v, %v; want %s without Nagle", tcp, local, err, congestion)
		}
	}
	f(ProducerOptions{Partitions: 1, Connections: 1, Window: 1}, ProduceRun{Batches: 10}, true)
	f(ProducerOptions{Partitions: 1, Connections: 8, Window: 1}, ProduceRun{Batches: 100}, true)
	f(ProducerOptions{Partitions: 1, Connections: 1, Window: 7}, ProduceRun{Batches: 100}, false)
	f(ProducerOptions{Partitions: 2, Connections: 3, Window: 64}, ProduceRun{Batches: 5000}, false)
	f(ProducerOptions{Partitions: 1, Connections: 2, Window: 4}, ProduceRun{Time: 10 * time.Millisecond}, false)
	f(ProducerOptions{Partitions: 1, Connections: 1, Window: 2}, ProduceRun{Batches: 10, Rate: 10000, Burst: 4}, false)
}

// At a rate a burst goes out at once, and the next when all of it is due.
func TestProducersBurst(t *testing.T) {
	batch, err := Batch(1 << 10)
	if err != nil {
		t.Fatal(err)
	}
	target := serve(t, newSink(t, bare.SinkOptions{Dir: t.TempDir(), Partitions: 1}))
	p, err := NewProducers(t.Context(), target, ProducerOptions{Topic: "t", Partitions: 1, Connections: 1, Window: 4, Batch: batch})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	// 4 at once, 4 after 4/rate and 1 after 8/rate.
	const rate = 1000
	least := 8 * time.Second / rate
	if got, err := p.Run(ProduceRun{Batches: 9, Rate: rate, Burst: 4}); err != nil || got.Batches != 9 || got.Elapsed < least {
		t.Errorf("9 batches in bursts of 4: %d in %v, %v; want 9 in %v at least", got.Batches, got.Elapsed, err, least)
	}
}

// A sink refuses a damaged batch, and a producer says so.
func TestProducersRefused(t *testing.T) {
	batch, err := Batch(1 << 10)
	if err != nil {
		t.Fatal(err)
	}
	batch[100]++
	sink := newSink(t, bare.SinkOptions{Dir: t.TempDir(), Partitions: 1})
	server, err := bare.Listen(sink, congestion)
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewProducers(t.Context(), Target{Addr: server.Addr(), Congestion: congestion},
		ProducerOptions{Topic: "t", Partitions: 1, Connections: 1, Window: 1, Batch: batch})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, err := p.Run(ProduceRun{Batches: 1}); err == nil {
		t.Error("damaged batch was produced, want an error")
	}
	if err := server.Close(); err == nil || !strings.Contains(err.Error(), "batch crc") {
		t.Errorf("server ended with %v, want the wrong crc", err)
	}
}

// serve starts a bare server that must end without an error.
func serve(t *testing.T, h bare.Handler) Target {
	t.Helper()
	s, err := bare.Listen(h, congestion)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("server: %v", err)
		}
	})
	return Target{Addr: s.Addr(), Congestion: congestion}
}

// tempFile returns an empty file that outlives the servers of the test.
func tempFile(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// newSink returns a sink that outlives the servers of the test.
func newSink(t *testing.T, o bare.SinkOptions) *bare.Sink {
	t.Helper()
	s, err := bare.NewSink(o)
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

// The server's side of a connection shows what it was told to use.
func TestServerSide(t *testing.T) {
	sink := newSink(t, bare.SinkOptions{Dir: t.TempDir(), Partitions: 1})
	p, err := NewProducers(t.Context(), serve(t, sink), ProducerOptions{Partitions: 1, Connections: 1, Window: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	_, local, err := p.TCP()
	if err != nil {
		t.Fatal(err)
	}
	if tcp, err := host.PeerTCP(local); err != nil || tcp.Congestion != congestion || !tcp.NoDelay {
		t.Errorf("server's side is %v, %v; want %s without Nagle", tcp, err, congestion)
	}
}
