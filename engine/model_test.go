package engine

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/engine/topicconfig"
)

var modelSeed = flag.Uint64("model.seed", 0, "run TestModel with this seed only")

// modelTime is for how long TestModel tries seeds: 2 s, or what
// ROLLWAY_MODEL_SECONDS says.
func modelTime(t testing.TB) time.Duration {
	text := os.Getenv("ROLLWAY_MODEL_SECONDS")
	if text == "" {
		return 2 * time.Second
	}
	seconds, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("ROLLWAY_MODEL_SECONDS: %v", err)
	}
	return time.Duration(seconds) * time.Second
}

// Whatever is done to a partition, in whatever order, with segments of one
// record or of many and indexes dense or sparse, durable or not, with files that
// stay open or are closed all the time: it holds what a plain slice holds.
func TestModel(t *testing.T) {
	if *modelSeed != 0 {
		runModel(t, *modelSeed)
		return
	}
	end := time.Now().Add(modelTime(t))
	seed := uint64(time.Now().UnixNano())
	for runs := 0; time.Now().Before(end) || runs == 0; runs++ {
		if seed++; !t.Run(fmt.Sprint(seed), func(t *testing.T) { runModel(t, seed) }) {
			t.Fatalf("replay with: go test ./engine -run 'TestModel$' -model.seed=%d", seed)
		}
	}
}

// modelRecord is what the model knows of a record.
type modelRecord struct {
	value     string
	timestamp int64
	batch     Offset // the first of its batch
}

// model is a partition beside a slice that must agree with it.
type model struct {
	t       *testing.T
	random  *rand.Rand
	fs      *tracedFS
	bound   func(*Options)
	engine  *Engine
	p       *Partition
	records []modelRecord
	now     int64
	clock   clock // shows the highest now so far

	start Offset // of the log
	gone  []byte // the segments that were deleted, joined

	// A sequential reader, from 0 on.
	cursor Cursor
	read   Offset
	// A stream, begun at sought when sought bytes had gone before; both readers
	// last over no restart.
	next        Cursor
	streamed    []byte
	sought      Offset
	soughtBytes int
}

func runModel(t *testing.T, seed uint64) {
	m := &model{t: t, random: rand.New(rand.NewPCG(seed, seed)), fs: traceDir(t, t.TempDir()), now: 1000}
	m.fs.noSync = m.random.IntN(4) > 0
	m.clock.ms.Store(m.now)
	m.bound = openFiles([]int{0, leastOpenFiles}[m.random.IntN(2)])
	m.engine = openEngine(t, "", onFS(m.fs), m.clock.use, m.bound)
	m.p = createTopic(t, m.engine, "t",
		"index.interval.bytes", fmt.Sprint(m.random.IntN(1500)),
		"flush.messages", fmt.Sprint(1+m.random.IntN(2)*m.random.IntN(20)))
	m.tune()
	operations := []struct {
		weight int
		run    func()
	}{
		{30, m.append}, {15, m.fetch}, {15, m.goOn}, {15, m.stream}, {6, m.byTime},
		{4, m.alter}, {2, m.checkpoint}, {3, m.noSpace}, {3, m.restart}, {3, m.crash}, {1, m.compare},
		{3, m.retain}, {2, m.deleteRecords},
	}
	total := 0
	for _, o := range operations {
		total += o.weight
	}
	for range 150 {
		n := m.random.IntN(total)
		for _, o := range operations {
			if n -= o.weight; n < 0 {
				o.run()
				break
			}
		}
	}
	m.compare()
	if err := m.engine.Close(); err != nil {
		t.Fatal(err)
	}
	if names := m.fs.leaked(); len(names) > 0 {
		t.Errorf("files left open: %v", names)
	}
}

// tune makes segments small enough that there are several.
func (m *model) tune() {
	tune(m.p, func(c *topicconfig.Config) {
		c.SegmentBytes = int64(4000 + m.random.IntN(8000))
		c.SegmentMs = int64(100 + m.random.IntN(5000))
		c.SegmentIndexBytes = int64(timeEntryWidth * (1 + m.random.IntN(50)))
		c.RetentionMs = int64(m.random.IntN(30_000))
		c.RetentionBytes = int64(m.random.IntN(60_000))
	})
}

func (m *model) batch(first Offset) ([]byte, []modelRecord) {
	var b record.Builder
	b.Reset(record.BuilderOptions{Codec: record.Codec(m.random.IntN(5))})
	var records []modelRecord
	for range 1 + m.random.IntN(4) {
		m.now = max(0, m.now+int64(m.random.IntN(60))-15)
		v := fmt.Sprintf("%d %s", m.random.Uint64(), strings.Repeat("x", m.random.IntN(250)))
		if err := b.Append(m.now, nil, []byte(v)); err != nil {
			m.t.Fatal(err)
		}
		records = append(records, modelRecord{v, m.now, first})
	}
	m.clock.ms.Store(max(m.clock.now(), m.now))
	out, err := b.Build(nil)
	if err != nil {
		m.t.Fatal(err)
	}
	return out, records
}

// append sends up to four requests of up to three batches, some of them bad.
func (m *model) append() {
	var requests []*AppendRequest
	for range 1 + m.random.IntN(4) {
		r := &AppendRequest{Acks: AcksAll}
		if m.random.IntN(10) == 0 {
			r.Batches = []byte("garbage")
			requests = append(requests, r)
			continue
		}
		r.BaseOffset = Offset(len(m.records))
		for range 1 + m.random.IntN(2) {
			bytes, records := m.batch(Offset(len(m.records)))
			r.Batches = append(r.Batches, bytes...)
			m.records = append(m.records, records...)
		}
		requests = append(requests, r)
	}
	var want []Offset
	for _, r := range requests {
		want = append(want, r.BaseOffset)
	}
	m.appendAll(requests)
	for i, r := range requests {
		if bad := string(r.Batches) == "garbage"; bad != (r.Err != nil) || !bad && r.BaseOffset != want[i] {
			m.t.Fatalf("request %d: offset %d, %v, want %d", i, r.BaseOffset, r.Err, want[i])
		}
	}
	if err := m.p.AwaitHighWatermark(context.Background(), Offset(len(m.records))); err != nil {
		m.t.Fatal(err)
	}
}

// appendAll appends the requests, again those for which there was no descriptor:
// they are the last.
func (m *model) appendAll(requests []*AppendRequest) {
	soon(func() error {
		m.p.Append(requests...)
		for i, r := range requests {
			if errors.Is(r.Err, ErrTooManyOpenFiles) {
				requests = requests[i:]
				return r.Err
			}
		}
		return nil
	})
}

// check compares the records of whole batches that were fetched at off, and
// returns the offset behind them.
func (m *model) check(s *Slice, off Offset) Offset {
	m.t.Helper()
	batches, err := s.ReadAll(nil)
	length := s.Len
	s.Close()
	if err != nil {
		m.t.Fatal(err)
	}
	if int(off) == len(m.records) {
		if length != 0 {
			m.t.Fatalf("%d bytes at the end", length)
		}
		return off
	}
	if len(batches) == 0 {
		m.t.Fatalf("fetch at %d of %d: no whole batch in %d bytes", off, len(m.records), length)
	}
	next := m.records[off].batch
	for len(batches) > 0 {
		var b record.Batch
		if b, batches, err = record.Next(batches); err == nil {
			err = b.Verify()
		}
		if err != nil || b.BaseOffset() != next {
			m.t.Fatalf("fetch at %d: batch at %d, want %d: %v", off, b.BaseOffset(), next, err)
		}
		raw, err := b.Decompress(nil, 1<<20)
		if err != nil {
			m.t.Fatal(err)
		}
		for it := b.Iterate(raw); it.Next(); next++ {
			got, want := it.Record(), m.records[next]
			if got.Offset != next || string(got.Value) != want.value || got.Timestamp != want.timestamp {
				m.t.Fatalf("record %d is %d %q at %d, want %+v", next, got.Offset, got.Value, got.Timestamp, want)
			}
		}
	}
	return next
}

func (m *model) fetchAt(off Offset, c *Cursor) Slice {
	m.t.Helper()
	maxBytes := int64(1 + m.random.IntN(6000))
	var s Slice
	err := soon(func() (err error) {
		s, err = m.p.Fetch(FetchRequest{Offset: off, MaxBytes: maxBytes, Cursor: c})
		return err
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return s
}

// fetch reads somewhere; what is deleted is refused.
func (m *model) fetch() {
	off := Offset(m.random.IntN(len(m.records) + 1))
	if off < m.start {
		if _, err := m.p.Fetch(FetchRequest{Offset: off, MaxBytes: 1}); !errors.Is(err, ErrOffsetOutOfRange) {
			m.t.Fatalf("fetch at %d, below the start %d: %v", off, m.start, err)
		}
		return
	}
	s := m.fetchAt(off, nil)
	m.check(&s, off)
}

// goOn has the sequential reader read on.
func (m *model) goOn() {
	if m.read < m.start {
		if _, err := m.p.Fetch(FetchRequest{Offset: m.read, MaxBytes: 1, Cursor: &m.cursor}); !errors.Is(err, ErrOffsetOutOfRange) {
			m.t.Fatalf("fetch on at %d, below the start %d: %v", m.read, m.start, err)
		}
		m.read = m.start
	}
	for range 1 + m.random.IntN(5) {
		s := m.fetchAt(m.read, &m.cursor)
		m.read = m.check(&s, m.read)
	}
}

// stream reads on by FetchNext.
func (m *model) stream() {
	for range 1 + m.random.IntN(5) {
		overtaken := m.overtaken()
		var s Slice
		maxBytes := int64(1 + m.random.IntN(4000))
		err := soon(func() (err error) {
			s, err = m.p.FetchNext(&m.next, maxBytes)
			return err
		})
		if overtaken && errors.Is(err, ErrOffsetOutOfRange) {
			m.restream()
			continue
		}
		if err != nil || overtaken {
			m.t.Fatalf("stream, overtaken by the start %v: %d bytes, %v", overtaken, s.Len, err)
		}
		m.streamed = append(m.streamed, sliceBytes(m.t, &s)...)
	}
	if !bytes.HasPrefix(append(slices.Clone(m.gone), logBytes(m.t, m.p)...), m.streamed) {
		m.t.Fatalf("the %d bytes streamed are not the beginning of the log", len(m.streamed))
	}
}

// overtaken tells that the stream is to read on in a batch whose records are all
// deleted, or at one whose first record is.
func (m *model) overtaken() bool {
	if len(m.streamed) == m.soughtBytes {
		return m.sought < m.start
	}
	at, rest := 0, append(slices.Clone(m.gone), logBytes(m.t, m.p)...)
	for {
		b, after, err := record.Next(rest)
		if err != nil {
			m.t.Fatal(err)
		}
		at += len(b)
		rest = after
		if at == len(m.streamed) {
			return b.NextOffset() < m.start
		}
		if at > len(m.streamed) {
			return b.NextOffset() <= m.start
		}
	}
}

// restream begins the stream anew with the batch that holds the first record.
func (m *model) restream() {
	var err error
	if m.next, err = m.p.Seek(m.start); err != nil {
		m.t.Fatal(err)
	}
	whole := append(slices.Clone(m.gone), logBytes(m.t, m.p)...)
	m.streamed = whole[:len(whole)-len(m.fromStart())]
	m.sought, m.soughtBytes = m.start, len(m.streamed)
}

// fromStart returns the bytes of the log from the batch on that holds its first
// record.
func (m *model) fromStart() []byte {
	rest := logBytes(m.t, m.p)
	for len(rest) > 0 {
		b, after, err := record.Next(rest)
		if err != nil {
			m.t.Fatal(err)
		}
		if b.NextOffset() > m.start {
			break
		}
		rest = after
	}
	return rest
}

// retain runs a pass of retention and looks whether what went is what Kafka
// would have had go.
func (m *model) retain() {
	m.clock.ms.Add(int64(m.random.IntN(5000)))
	m.now = m.clock.now()
	want := m.start
	m.deleting(func() {
		config := m.p.log.config()
		list := m.p.log.list()
		rest := int64(0)
		for _, s := range list {
			rest += int64(s.size)
		}
		for i, s := range list {
			end := Offset(len(m.records))
			if i+1 < len(list) {
				end = list[i+1].base
			}
			newest := int64(noTimestamp)
			for _, r := range m.records[s.base:end] {
				newest = max(newest, r.timestamp)
			}
			rest -= int64(s.size)
			if s.size == 0 || end > m.start && rest < config.RetentionBytes && m.now-newest <= config.RetentionMs {
				break
			}
			want = max(want, end)
		}
		m.engine.retain()
	})
	if m.start = m.p.Offsets().LogStart; m.start != want {
		m.t.Fatalf("retention has moved the start to %d, want %d", m.start, want)
	}
}

// deleteRecords deletes up to somewhere, mostly not far on.
func (m *model) deleteRecords() {
	before := min(m.start+Offset(m.random.IntN(60)), Offset(len(m.records)))
	if m.random.IntN(10) == 0 {
		before = ToHighWatermark
	}
	m.deleting(func() {
		got, err := m.p.DeleteRecords(before)
		if before == ToHighWatermark {
			before = Offset(len(m.records))
		}
		if got != before || err != nil {
			m.t.Fatalf("delete records below %d: %d, %v", before, got, err)
		}
	})
	m.start = before
}

// deleting runs f, which may delete segments, and keeps their bytes.
func (m *model) deleting(f func()) {
	before := map[Offset][]byte{}
	for _, name := range m.files("*.log") {
		content, err := os.ReadFile(name)
		if err != nil {
			m.t.Fatal(err)
		}
		base, _ := parseSegmentFileName(filepath.Base(name))
		before[base] = content
	}
	f()
	for _, name := range m.files("*.log") {
		base, _ := parseSegmentFileName(filepath.Base(name))
		delete(before, base)
	}
	for _, base := range slices.Sorted(maps.Keys(before)) {
		m.gone = append(m.gone, before[base]...)
	}
}

func (m *model) byTime() {
	timestamp := max(0, m.now-int64(m.random.IntN(3000))+100)
	want := slices.IndexFunc(m.records[m.start:], func(r modelRecord) bool { return r.timestamp >= timestamp })
	if want >= 0 {
		want += int(m.start)
	}
	var got FoundOffset
	err := soon(func() (err error) {
		got, err = m.p.OffsetByTime(timestamp)
		return err
	})
	if got.Offset != Offset(want) || err != nil {
		m.t.Fatalf("offset by time %d is %+v, %v, want %d", timestamp, got, err, want)
	}
	newest := int64(noTimestamp)
	for _, r := range m.records[m.start:] {
		newest = max(newest, r.timestamp)
	}
	err = soon(func() (err error) {
		got, err = m.p.OffsetOfMaxTimestamp()
		return err
	})
	if got.Timestamp != newest || err != nil {
		m.t.Fatalf("newest record %+v, %v, want %d", got, err, newest)
	}
}

// alter changes what users can, and through tune what they cannot.
func (m *model) alter() {
	if _, err := m.engine.AlterTopic("t", TopicChange{Set: map[string]string{
		"index.interval.bytes": fmt.Sprint(m.random.IntN(1500)),
		"flush.messages":       fmt.Sprint(1 + m.random.IntN(2)*m.random.IntN(20)),
	}}); err != nil {
		m.t.Fatal(err)
	}
	m.tune()
}

func (m *model) checkpoint() {
	if _, err := m.engine.checkpoint(false); err != nil {
		m.t.Fatal(err)
	}
}

func (m *model) restart() {
	if err := m.engine.Close(); err != nil {
		m.t.Fatal(err)
	}
	m.open()
}

// crash has the process die in the middle of an append, or lose an index.
func (m *model) crash() {
	crash(m.t, m.engine)
	if logs := m.files("*.log"); len(logs) > 0 && m.random.IntN(2) == 0 {
		tail, _ := m.batch(Offset(len(m.records)))
		record.Batch(tail).SetBaseOffset(Offset(len(m.records)))
		edit(m.t, func(p []byte) []byte { return append(p, tail[:m.random.IntN(len(tail))]...) }, logs[len(logs)-1])
	}
	if indexes := m.files("*index"); len(indexes) > 0 && m.random.IntN(2) == 0 {
		if err := os.Remove(indexes[m.random.IntN(len(indexes))]); err != nil {
			m.t.Fatal(err)
		}
	}
	m.open()
}

func (m *model) files(pattern string) []string {
	names, err := filepath.Glob(filepath.Join(m.fs.Path(), "t-0", pattern))
	if err != nil {
		m.t.Fatal(err)
	}
	return names
}

// noSpace appends to a full disk: in vain, and nothing else changes.
func (m *model) noSpace() {
	m.fs.hook(func(c call) error {
		if c.op == "write" {
			return syscall.ENOSPC
		}
		return nil
	})
	var requests []*AppendRequest
	now := m.now
	for range 1 + m.random.IntN(3) {
		batch, _ := m.batch(0)
		requests = append(requests, &AppendRequest{Batches: batch})
	}
	m.now = now
	m.appendAll(requests)
	m.fs.hook(nil)
	for i, r := range requests {
		if !errors.Is(r.Err, ErrNoSpace) {
			m.t.Fatalf("request %d to a full disk: %v", i, r.Err)
		}
	}
	if o := m.p.Offsets(); int(o.LogEnd) != len(m.records) {
		m.t.Fatalf("offsets %+v after an append to a full disk, want %d", o, len(m.records))
	}
}

func (m *model) open() {
	m.engine = openEngine(m.t, "", onFS(m.fs), m.clock.use, m.bound)
	m.p = partition(m.t, m.engine, "t")
	m.tune()
	m.cursor = Cursor{}
	if o := m.p.Offsets(); o.LogStart != m.start || int(o.HighWatermark) != len(m.records) || o.Flushed != o.HighWatermark {
		m.t.Fatalf("offsets %+v after a restart, want %d to %d", o, m.start, len(m.records))
	}
	m.restream()
}

// compare reads the whole partition in both ways.
func (m *model) compare() {
	var cursor Cursor
	for off := m.start; int(off) < len(m.records); {
		s := m.fetchAt(off, &cursor)
		off = m.check(&s, off)
	}
	if got := stream(m.t, m.p, m.start, int64(1+m.random.IntN(4000))); !bytes.Equal(got, m.fromStart()) {
		m.t.Fatalf("%d bytes streamed that are not the log", len(got))
	}
}
