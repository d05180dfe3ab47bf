package kafka

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/internal/node"
)

// fetchOf returns a Fetch that waits for nothing and asks for all there is.
func fetchOf(f *frontend, partitions ...wantedOf) *kmsg.FetchRequest {
	m := kmsg.NewPtrFetchRequest()
	m.MaxBytes, m.MinBytes, m.SessionEpoch = 1<<30, 1, -1
	for _, w := range partitions {
		var id [16]byte
		if t, err := f.engine.Topic(w.topic); err == nil {
			id = t.ID()
		}
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset, p.PartitionMaxBytes = w.index, w.offset, 1<<20
		if w.maxBytes > 0 {
			p.PartitionMaxBytes = w.maxBytes
		}
		if n := len(m.Topics); n > 0 && m.Topics[n-1].Topic == w.topic {
			m.Topics[n-1].Partitions = append(m.Topics[n-1].Partitions, p)
			continue
		}
		t := kmsg.NewFetchRequestTopic()
		t.Topic, t.TopicID = w.topic, id
		t.Partitions = []kmsg.FetchRequestTopicPartition{p}
		m.Topics = append(m.Topics, t)
	}
	return m
}

// wantedOf is a partition of a Fetch.
type wantedOf struct {
	topic    string
	index    int32
	offset   int64
	maxBytes int32 // 1 MiB if it is 0
}

// fetched returns the answer to m, partition by partition.
func (c *client) fetched(m *kmsg.FetchRequest, version int16) (*kmsg.FetchResponse, []kmsg.FetchResponseTopicPartition) {
	c.t.Helper()
	response := c.ask(m, version).(*kmsg.FetchResponse)
	return response, partitionsOf(response)
}

func partitionsOf(response *kmsg.FetchResponse) (partitions []kmsg.FetchResponseTopicPartition) {
	for _, t := range response.Topics {
		partitions = append(partitions, t.Partitions...)
	}
	return partitions
}

// Answers have the bytes of the logs, in the order of the request, in every
// version, and what is wrong with one partition is no matter of the others.
func TestFetch(t *testing.T) {
	f := openFrontend(t, node.Options{})
	a, b := createTopic(t, f, "a", 2), createTopic(t, f, "b", 1)
	long := strings.Repeat("x", 20_000) // one that leaves by sendfile
	logA0 := appendAll(t, a.Partitions()[0], batchOf(t, "1", "2"), batchOf(t, long))
	appendAll(t, a.Partitions()[1], batchOf(t, "3"))
	logB := appendAll(t, b.Partitions()[0], batchOf(t, long), batchOf(t, "4", "5", "6"))
	first := len(batchOf(t, "1", "2"))
	c := dial(t, f)
	for version := int16(4); version <= 17; version++ {
		m := fetchOf(f, wantedOf{topic: "b", offset: 1}, wantedOf{topic: "a", index: 1, offset: 1}, wantedOf{topic: "a", offset: 1},
			wantedOf{topic: "none"}, wantedOf{topic: "a", index: 7}, wantedOf{topic: "b", offset: 99})
		m.MaxWaitMillis = 60_000 // is not waited for
		response, got := c.fetched(m, version)
		if len(got) != 6 || len(response.Topics) != 5 || response.ErrorCode != 0 || response.SessionID != 0 {
			t.Fatalf("version %d: %d partitions of %d topics: %+v", version, len(got), len(response.Topics), response)
		}
		unknown := codeUnknownTopicOrPartition
		if version >= 13 {
			unknown = codeUnknownTopicID
		}
		for i, want := range []struct {
			topic string
			index int32
			code  code
			high  int64
			bytes []byte
		}{
			{"b", 0, codeNone, 4, logB[len(logB)-len(batchOf(t, "4", "5", "6")):]},
			{"a", 1, codeNone, 1, nil},
			{"a", 0, codeNone, 3, logA0}, // from the batch that holds the offset on
			{"none", 0, unknown, -1, nil},
			{"a", 7, codeUnknownTopicOrPartition, -1, nil},
			{"b", 0, codeOffsetOutOfRange, 4, nil},
		} {
			p := got[i]
			if p.Partition != want.index || code(p.ErrorCode) != want.code || p.HighWatermark != want.high || p.LastStableOffset != want.high || !bytes.Equal(p.RecordBatches, want.bytes) {
				t.Errorf("version %d, %s-%d: partition %d, error %d, high watermark %d, %d bytes, want error %d, %d, %d bytes",
					version, want.topic, want.index, p.Partition, p.ErrorCode, p.HighWatermark, len(p.RecordBatches), want.code, want.high, len(want.bytes))
			}
			if p.RecordBatches == nil || p.AbortedTransactions != nil || p.PreferredReadReplica != -1 {
				t.Errorf("version %d, %s-%d: %+v", version, want.topic, want.index, p)
			}
			if logStart := min(want.high, 0); version >= 5 && p.LogStartOffset != logStart {
				t.Errorf("version %d, %s-%d: log start %d, want %d", version, want.topic, want.index, p.LogStartOffset, logStart)
			}
		}
		if top := response.Topics[1]; version < 13 && top.Topic != "a" || version >= 13 && top.TopicID != a.ID() {
			t.Errorf("version %d: topic %q %x, want a", version, top.Topic, top.TopicID)
		}
	}
	// What was cut at the index is whole, batch by batch.
	for offset, want := range map[int64][]byte{0: logA0, 2: logA0[first:], 3: nil} {
		if _, got := c.fetched(fetchOf(f, wantedOf{topic: "a", offset: offset}), 12); !bytes.Equal(got[0].RecordBatches, want) {
			t.Errorf("from %d: %d bytes, want %d", offset, len(got[0].RecordBatches), len(want))
		}
	}
	if sent := f.node.Counters().Snapshot(); sent.SendFile.Bytes < 14*20_000 {
		t.Errorf("%+v, want the long batches sent by sendfile", sent)
	}
}

// The first batch comes whole whatever the limits, later ones obey them: that of
// their partition and what is left of that of the answer.
func TestFetchLimits(t *testing.T) {
	f := openFrontend(t, node.Options{})
	topic := createTopic(t, f, "t", 4)
	batch := batchOf(t, strings.Repeat("x", 1000))
	size := len(batch)
	for _, p := range topic.Partitions()[1:] {
		appendAll(t, p, batch, batch, batch)
	}
	c := dial(t, f)
	check := func(name string, maxBytes, partitionMaxBytes int, want ...int) {
		t.Helper()
		for _, version := range []int16{4, 12, 17} {
			m := fetchOf(f)
			for i := range 4 {
				m2 := fetchOf(f, wantedOf{topic: "t", index: int32(i)})
				m2.Topics[0].Partitions[0].PartitionMaxBytes = int32(partitionMaxBytes)
				m.Topics = append(m.Topics, m2.Topics...)
			}
			m.MaxBytes = int32(maxBytes)
			m.MaxWaitMillis, m.MinBytes = 60_000, int32(maxBytes)+1 // never more than there can be
			_, got := c.fetched(m, version)
			for i, p := range got {
				if len(p.RecordBatches) != want[i] || p.ErrorCode != 0 || i > 0 && p.HighWatermark != 3 {
					t.Errorf("%s, version %d, partition %d: %d bytes, error %d, want %d bytes", name, version, i, len(p.RecordBatches), p.ErrorCode, want[i])
				}
			}
		}
	}
	check("one byte", 1, 1, 0, size, 0, 0)
	check("nothing", 0, 0, 0, size, 0, 0)
	check("one byte of a partition", 1<<20, 1, 0, size, 0, 0)
	check("a batch of a partition", 1<<20, size, 0, size, size, size)
	check("two and a bit", 2*size+100, size, 0, size, size, 0)
	check("one answer", 4*size, 1<<20, 0, 3*size, size, 0)
}

// An answer may end in a batch, never in its first, and goes on where that began.
func TestFetchSequence(t *testing.T) {
	f := openFrontend(t, node.Options{})
	p := createTopicWith(t, f, "t", map[string]string{"segment.bytes": "1048576"})
	var batches []record.Batch
	for i := range 60 {
		batches = append(batches, batchOf(t, strings.Repeat("x", 100_000*(i%3)), "y"))
	}
	log := appendAll(t, p, batches...)
	c := dial(t, f)
	for _, limit := range []int32{1, 150_000, 10 << 20} {
		var got []byte
		for offset := int64(0); offset < int64(p.Offsets().HighWatermark); {
			_, partitions := c.fetched(fetchOf(f, wantedOf{topic: "t", offset: offset, maxBytes: limit}), 11)
			rest := partitions[0].RecordBatches
			for whole := 0; ; whole++ {
				b, after, err := record.Next(rest)
				if err != nil {
					if whole == 0 {
						t.Fatalf("limit %d, offset %d: no whole batch in %d bytes", limit, offset, len(rest))
					}
					break
				}
				got, offset, rest = append(got, b...), int64(b.NextOffset()), after
			}
		}
		if !bytes.Equal(got, log) {
			t.Errorf("limit %d: %d bytes, want the log's %d", limit, len(got), len(log))
		}
	}
}

// Who has another leader in mind is told, and so is a reader of what is not of
// this log.
func TestFetchEpochs(t *testing.T) {
	f := openFrontend(t, node.Options{})
	p := createTopic(t, f, "t", 1).Partitions()[0]
	log := appendAll(t, p, batchOf(t, "x"), batchOf(t, "y"))
	now := p.LeaderEpoch()
	c := dial(t, f)
	check := func(name string, change func(p *kmsg.FetchRequestTopicPartition), want code, bytes int, diverges bool) {
		t.Helper()
		m := fetchOf(f, wantedOf{topic: "t"})
		m.MaxWaitMillis, m.MinBytes = 60_000, 1<<20
		change(&m.Topics[0].Partitions[0])
		if want == codeNone && !diverges {
			m.MinBytes = 1
		}
		for version := int16(12); version <= 17; version++ {
			_, got := c.fetched(m, version)
			if code(got[0].ErrorCode) != want || len(got[0].RecordBatches) != bytes || (got[0].DivergingEpoch.EndOffset >= 0) != diverges {
				t.Errorf("%s, version %d: %+v, want error %d, %d bytes", name, version, got[0], want, bytes)
			}
			if diverges && (got[0].DivergingEpoch.Epoch != now || got[0].DivergingEpoch.EndOffset != 2) {
				t.Errorf("%s, version %d: diverging %+v, want epoch %d, end 2", name, version, got[0].DivergingEpoch, now)
			}
		}
	}
	check("this epoch", func(p *kmsg.FetchRequestTopicPartition) { p.CurrentLeaderEpoch = now }, codeNone, len(log), false)
	check("a later epoch", func(p *kmsg.FetchRequestTopicPartition) { p.CurrentLeaderEpoch = now + 1 }, codeUnknownLeaderEpoch, 0, false)
	check("read in this epoch", func(p *kmsg.FetchRequestTopicPartition) { p.LastFetchedEpoch = now }, codeNone, len(log), false)
	check("read what is not there", func(p *kmsg.FetchRequestTopicPartition) { p.LastFetchedEpoch, p.FetchOffset = now, 7 }, codeNone, 0, true)
	check("read in a later epoch", func(p *kmsg.FetchRequestTopicPartition) { p.LastFetchedEpoch = now + 1 }, codeOffsetOutOfRange, 0, false)
}

// Damage that is known is told to who reads it, and to nobody else.
func TestFetchDamage(t *testing.T) {
	dir := t.TempDir()
	open := func() *node.Node {
		o := node.Options{DataDir: dir, Log: quiet}
		o.Engine.JournalBytes = 1 << 20
		n, err := node.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Engine().WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		return n
	}
	n := open()
	topic, err := n.Engine().CreateTopic(engine.TopicSpec{Name: "t", Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	log := appendAll(t, topic.Partitions()[0], batchOf(t, "a"), batchOf(t, "b"), batchOf(t, "c"))
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	size := len(log) / 3
	log[2*size-1] ^= 1
	if err := os.WriteFile(filepath.Join(dir, "t-0", "00000000000000000000.log"), log, 0o600); err != nil {
		t.Fatal(err)
	}
	n = open()
	t.Cleanup(func() { n.Close() })
	f := newFrontend(n, tcpAddr, Options{})
	p, err := f.engine.Partition([]byte("t"), 0)
	if err != nil {
		t.Fatal(err)
	}
	if ranges, err := p.DamageAt(1); err != nil || len(ranges) != 1 {
		t.Fatalf("damage %v, error %v", ranges, err)
	}
	c := dial(t, f)
	for offset, want := range []code{codeNone, codeCorruptMessage, codeNone} {
		m := fetchOf(f, wantedOf{topic: "t", offset: int64(offset)})
		m.MaxWaitMillis = 60_000
		_, got := c.fetched(m, 12)
		if bytes := len(got[0].RecordBatches); code(got[0].ErrorCode) != want || (bytes == size) != (want == codeNone) {
			t.Errorf("offset %d: error %d, %d bytes, want error %d", offset, got[0].ErrorCode, bytes, want)
		}
	}
}

// poll is a Fetch that waits, outside of a driver.
type poll struct {
	t       *testing.T
	session *session
	out     *outProbe
	request *kmsg.FetchRequest
	fetch   *fetch
	woken   chan struct{}
}

func newPoll(t *testing.T, f *frontend, m *kmsg.FetchRequest, version int16) *poll {
	t.Helper()
	p := &poll{t: t, session: newSession(f, peer), out: newOutProbe(), request: m, woken: make(chan struct{}, 100)}
	p.out.receive(t, p.session, frameOf(m, version, 1))
	p.fetch = p.out.deferred(t).(*fetch)
	if p.out.Room() > 0 || !p.session.waits {
		t.Error("the next request would not wait")
	}
	p.out.Reset()
	if p.polled() {
		t.Fatal("answered, want a wait")
	}
	return p
}

func (p *poll) polled() bool {
	return p.fetch.Poll(&p.out.Out, func() {
		select {
		case p.woken <- struct{}{}:
		default:
		}
	})
}

// wakes polls again after a wake and tells whether that answered.
func (p *poll) wakes() bool {
	p.t.Helper()
	select {
	case <-p.woken:
	case <-time.After(time.Minute):
		p.t.Fatal("no wake")
	}
	return p.polled()
}

// answer returns what was answered, without the batches.
func (p *poll) answer() (beside int64) {
	p.t.Helper()
	for i := range p.out.Items() {
		body, _ := p.out.Item(i)
		beside += body.Len
		body.Close()
	}
	if len(p.out.Buf) == 0 || p.session.waits || p.session.inFlight != 0 {
		p.t.Errorf("%d bytes of answer, waits %v, %d bytes in flight", len(p.out.Buf), p.session.waits, p.session.inFlight)
	}
	return beside
}

// A Fetch waits until there is enough in all of its partitions together, looks
// only at those that have moved, and is answered at once when one of them errs.
func TestFetchWaits(t *testing.T) {
	f := openFrontend(t, node.Options{})
	topic := createTopic(t, f, "t", 3)
	createTopic(t, f, "doomed", 1)
	batch := batchOf(t, "x")
	wanted := []wantedOf{{topic: "t"}, {topic: "t", index: 1}, {topic: "t", index: 2}, {topic: "doomed"}}
	m := fetchOf(f, wanted...)
	m.MaxWaitMillis, m.MinBytes = 3_600_000, int32(2*len(batch))
	p := newPoll(t, f, m, 12)
	appendAll(t, topic.Partitions()[1], batch)
	if p.wakes() {
		t.Fatal("answered with half of what is to be waited for")
	}
	for i, q := range p.fetch.reads.partitions {
		if q.isQuiet() != (i != 1) || !q.wait.Armed() {
			t.Errorf("partition %d: quiet %v, armed %v", i, q.isQuiet(), q.wait.Armed())
		}
	}
	if p.polled() {
		t.Fatal("answered without a wake")
	}
	appendAll(t, topic.Partitions()[2], batch)
	if !p.wakes() {
		t.Fatal("not answered, and all is there")
	}
	if got := p.answer(); got != int64(2*len(batch)) {
		t.Errorf("%d bytes, want %d", got, 2*len(batch))
	}

	m.MinBytes = 1 << 20
	p = newPoll(t, f, m, 12)
	if err := f.engine.DeleteTopic("doomed"); err != nil {
		t.Fatal(err)
	}
	if !p.wakes() {
		t.Fatal("not answered, and a topic was deleted")
	}
	if got := p.answer(); got != int64(2*len(batch)) {
		t.Errorf("%d bytes, want %d", got, 2*len(batch))
	}

	m = fetchOf(f, wanted[:3]...)
	m.MaxWaitMillis, m.MinBytes = 3_600_000, 1<<20
	p = newPoll(t, f, m, 12)
	p.fetch.deadline = time.Now()
	if !p.polled() || p.answer() != int64(2*len(batch)) {
		t.Error("not answered with what there is when the time is over")
	}
	p = newPoll(t, f, m, 12)
	p.fetch.Cancel()
	if p.session.waits || p.session.inFlight != 0 || f.Closing.Waiting() != 0 {
		t.Error("a cancelled wait holds something")
	}
	p = newPoll(t, f, m, 12)
	f.Closing.Begin()
	if !p.wakes() || p.answer() != int64(2*len(batch)) {
		t.Error("not answered when the server stops")
	}
}

// Over a connection: a wait ends with the append, what comes behind it waits, and
// the time is kept.
func TestFetchLongPoll(t *testing.T) {
	f := openFrontend(t, node.Options{})
	p := createTopic(t, f, "t", 1).Partitions()[0]
	c := dial(t, f)
	m := fetchOf(f, wantedOf{topic: "t"})
	m.MaxWaitMillis = 60_000
	c.send(m, 12)
	c.send(produceTo(f, "t", 0, -1, batchOf(t, "later")), 9)
	log := appendAll(t, p, batchOf(t, "x"))
	c.sent--
	if got := partitionsOf(c.receive(m).(*kmsg.FetchResponse)); !bytes.Equal(got[0].RecordBatches, log) {
		t.Errorf("%d bytes, want those of the append", len(got[0].RecordBatches))
	}
	c.sent++
	produce := produceTo(f, "t", 0, -1, nil)
	produce.Version = 9
	if got := c.receive(produce).(*kmsg.ProduceResponse).Topics[0].Partitions[0]; got.BaseOffset != 1 {
		t.Errorf("the Produce behind: %+v, want offset 1", got)
	}
	m = fetchOf(f, wantedOf{topic: "t", offset: 2})
	m.MaxWaitMillis = 20
	start := time.Now()
	if _, got := c.fetched(m, 12); len(got) != 1 || len(got[0].RecordBatches) != 0 || got[0].HighWatermark != 2 {
		t.Errorf("after the time: %+v", got)
	}
	if took := time.Since(start); took < 20*time.Millisecond {
		t.Errorf("answered after %v, want 20 ms", took)
	}
}

// Many partitions, of which some have little and some much, are put together as
// another implementation takes them apart.
func TestFetchManyPartitions(t *testing.T) {
	f := openFrontend(t, node.Options{})
	var wanted []wantedOf
	logs := map[string][]byte{}
	for i := range 5 {
		name := fmt.Sprint("topic-", i)
		topic := createTopic(t, f, name, 7)
		for j, p := range topic.Partitions() {
			wanted = append(wanted, wantedOf{topic: name, index: int32(j)})
			if (i+j)%3 > 0 {
				logs[p.String()] = appendAll(t, p, batchOf(t, strings.Repeat("x", 1+(i+j)%3*(i+j)%5*9000)))
			}
		}
	}
	c := dial(t, f)
	for _, version := range []int16{4, 11, 12, 13, 17} {
		response, got := c.fetched(fetchOf(f, wanted...), version)
		if len(response.Topics) != 5 || len(got) != len(wanted) {
			t.Fatalf("version %d: %d topics, %d partitions", version, len(response.Topics), len(got))
		}
		for i, p := range got {
			name := fmt.Sprint(wanted[i].topic, "-", p.Partition)
			if p.Partition != wanted[i].index || !bytes.Equal(p.RecordBatches, logs[name]) {
				t.Errorf("version %d, %s: %d bytes, want %d", version, name, len(p.RecordBatches), len(logs[name]))
			}
		}
	}
}

// Pipelined requests are answered one behind the other, by bytes that lie in
// files as by others.
func TestFetchPipelined(t *testing.T) {
	f := openFrontend(t, node.Options{})
	p := createTopicWith(t, f, "t", pageCache)
	var log []byte
	for range 20 {
		log = appendAll(t, p, batchOf(t, strings.Repeat("x", 64<<10)))
	}
	size := len(log) / 20
	c := dial(t, f)
	const count = 40
	var frames []byte
	requests := make([]*kmsg.FetchRequest, count)
	for i := range requests {
		requests[i] = fetchOf(f, wantedOf{topic: "t", offset: int64(i % 20), maxBytes: int32(size * (1 + i%2*15))})
		frames = append(frames, frameOf(requests[i], 12, int32(i+1))...)
	}
	go c.Write(frames)
	for i, m := range requests {
		c.sent = int32(i + 1)
		got := partitionsOf(c.receive(m).(*kmsg.FetchResponse))
		from := i % 20 * size
		if want := log[from:min(len(log), from+size*(1+i%2*15))]; !bytes.Equal(got[0].RecordBatches, want) {
			t.Fatalf("request %d: %d bytes, want %d", i, len(got[0].RecordBatches), len(want))
		}
	}
}

// However long a Fetch is to wait, it waits for no longer than a connection may be
// idle: nobody would notice that its client is gone.
func TestFetchWaitIsBounded(t *testing.T) {
	f := openFrontend(t, node.Options{})
	createTopic(t, f, "t", 1)
	f.longestWait = 50 * time.Millisecond
	c := dial(t, f)
	m := fetchOf(f, wantedOf{topic: "t"})
	m.MaxWaitMillis = math.MaxInt32
	if response, _ := c.fetched(m, 12); response.ErrorCode != 0 {
		t.Errorf("%+v", response)
	}
}

// However many bytes a client and the settings allow, the length of an answer is
// one that its frame can carry.
func TestFetchSizeIsBounded(t *testing.T) {
	f := openFrontend(t, node.Options{Settings: map[string]string{"fetch.max.bytes": "2147483647"}})
	m := fetchOf(f)
	m.MaxBytes = math.MaxInt32
	var asked fetch
	m.SetVersion(4)
	r := newReader(m.AppendTo(nil), false)
	if err := asked.read(&r, 4); err != nil {
		t.Fatal(err)
	}
	asked.session = newSession(f, peer)
	asked.open()
	if asked.maxBytes > maxFetchBytes {
		t.Errorf("%d bytes, want at most %d", asked.maxBytes, maxFetchBytes)
	}
}
