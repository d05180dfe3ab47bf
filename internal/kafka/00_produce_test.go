package kafka

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/internal/node"
)

// pageCache are the configs of a topic whose appends are acknowledged at once.
var pageCache = map[string]string{"flush.messages": "9223372036854775807"}

// createTopicWith is createTopic with configs, and returns partition 0.
func createTopicWith(t testing.TB, f *frontend, name string, configs map[string]string) *engine.Partition {
	t.Helper()
	topic, err := f.engine.CreateTopic(engine.TopicSpec{Name: name, Partitions: 1, Configs: configs})
	if err != nil {
		t.Fatal(err)
	}
	return topic.Partitions()[0]
}

// produceTo returns a Produce to one partition.
func produceTo(f *frontend, topic string, partition int32, acks int16, records []byte) *kmsg.ProduceRequest {
	m := kmsg.NewPtrProduceRequest()
	m.Acks, m.TimeoutMillis = acks, 30_000
	addProduce(f, m, topic, partition, records)
	return m
}

// addProduce adds a partition to m, in a topic of its own.
func addProduce(f *frontend, m *kmsg.ProduceRequest, topic string, partition int32, records []byte) {
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic = topic
	if t, err := f.engine.Topic(topic); err == nil {
		rt.TopicID = t.ID()
	}
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Partition, rp.Records = partition, records
	rt.Partitions = append(rt.Partitions, rp)
	m.Topics = append(m.Topics, rt)
}

// produced returns the answers for the partitions of m, one per topic.
func (c *client) produced(m *kmsg.ProduceRequest, version int16) (answers []kmsg.ProduceResponseTopicPartition) {
	c.t.Helper()
	response := c.ask(m, version).(*kmsg.ProduceResponse)
	if len(response.Topics) != len(m.Topics) {
		c.t.Fatalf("version %d: %d topics, want %d", version, len(response.Topics), len(m.Topics))
	}
	for i, t := range response.Topics {
		if version < 13 && t.Topic != m.Topics[i].Topic || version >= 13 && t.TopicID != m.Topics[i].TopicID {
			c.t.Fatalf("version %d: topic %d is %q %x", version, i, t.Topic, t.TopicID)
		}
		answers = append(answers, t.Partitions...)
	}
	return answers
}

// Batches are appended as they are but for offset and leader epoch, in every
// version, to several partitions of several topics.
func TestProduce(t *testing.T) {
	f := openFrontend(t, node.Options{})
	a, b := createTopic(t, f, "a", 2), createTopic(t, f, "b", 1)
	c := dial(t, f)
	batch := batchOf(t, "x", "y")
	next := int64(0)
	for version := int16(3); version <= 13; version++ {
		for _, acks := range []int16{-1, 1} {
			m := produceTo(f, "a", 1, acks, batch)
			addProduce(f, m, "b", 0, batch)
			for i, p := range c.produced(m, version) {
				if p.Partition != int32(1-i) || p.ErrorCode != 0 || p.BaseOffset != next || p.LogAppendTime != -1 || version >= 5 && p.LogStartOffset != 0 {
					t.Errorf("version %d: %+v, want base offset %d", version, p, next)
				}
			}
			next += 2
		}
	}
	want := batch
	for _, p := range []*engine.Partition{a.Partitions()[1], b.Partitions()[0]} {
		log := logOf(t, p)
		for offset := engine.Offset(0); len(log) > 0; offset += 2 {
			want.SetBaseOffset(offset)
			want.SetLeaderEpoch(p.LeaderEpoch())
			if !bytes.HasPrefix(log, want) {
				t.Fatalf("%s: another batch at offset %d", p, offset)
			}
			log = log[len(want):]
		}
	}
	if end := a.Partitions()[0].Offsets().LogEnd; end != 0 {
		t.Errorf("a-0, which got nothing, ends at %d", end)
	}
}

// Each codec is stored as it came; zstd is for versions that know it.
func TestProduceCompressed(t *testing.T) {
	f := openFrontend(t, node.Options{})
	p := createTopicWith(t, f, "t", nil)
	c := dial(t, f)
	var log []byte
	for codec := record.Codec(0); codec.Known(); codec++ {
		batch := buildBatch(t, record.BuilderOptions{Codec: codec}, strings.Repeat("x", 1000))
		want := codeNone
		if codec == record.CodecZstd {
			want = codeUnsupportedCompression
		}
		for version, want := range map[int16]code{6: want, 7: codeNone} {
			got := c.produced(produceTo(f, "t", 0, -1, batch), version)[0]
			if code(got.ErrorCode) != want {
				t.Errorf("codec %v, version %d: error %d, want %d", codec, version, got.ErrorCode, want)
			}
			if want == codeNone {
				batch.SetBaseOffset(engine.Offset(got.BaseOffset))
				batch.SetLeaderEpoch(p.LeaderEpoch())
				log = append(log, batch...)
			}
		}
	}
	if got := logOf(t, p); !bytes.Equal(got, log) {
		t.Errorf("the log has %d bytes, want %d", len(got), len(log))
	}
}

// What is wrong costs the partition that it is in, and is answered by the code
// that says whether to try again, with a text that names size, limit and place.
func TestProduceRefused(t *testing.T) {
	f := openFrontend(t, node.Options{})
	createTopicWith(t, f, "t", map[string]string{"max.message.bytes": "1000"})
	createTopicWith(t, f, "large", map[string]string{"max.message.bytes": "100000000"})
	createTopicWith(t, f, "isr", map[string]string{"min.insync.replicas": "2"})
	createTopicWith(t, f, "fresh", map[string]string{"message.timestamp.after.max.ms": "1000"})
	createTopic(t, f, "good", 1)
	c := dial(t, f)
	good := batchOf(t, "x")
	next := int64(0)
	check := func(name, topic string, records []byte, want code, text string) {
		t.Helper()
		for version := int16(3); version <= 12; version++ {
			m := produceTo(f, topic, 0, -1, records)
			addProduce(f, m, "good", 0, good)
			answers := c.produced(m, version)
			if p := answers[1]; p.ErrorCode != 0 || p.BaseOffset != next {
				t.Errorf("%s: the good partition: %+v", name, p)
			}
			next++
			p := answers[0]
			if code(p.ErrorCode) != want || p.BaseOffset != -1 || p.LogAppendTime != -1 {
				t.Errorf("%s, version %d: %+v, want error %d", name, version, p, want)
			}
			if version >= 8 && (p.ErrorMessage == nil || !strings.Contains(*p.ErrorMessage, text)) {
				t.Errorf("%s: text %q, want %q in it", name, deref(p.ErrorMessage), text)
			}
		}
	}
	edit := func(change func(b record.Batch)) []byte {
		b := batchOf(t, "x")
		change(b)
		return b
	}
	// With a crc that is right again.
	sealed := func(change func(b record.Batch)) []byte {
		return edit(func(b record.Batch) {
			change(b)
			b.SetProducer(record.Producer{ID: -1, Epoch: -1, BaseSequence: -1})
		})
	}
	attribute := func(bit uint16) []byte {
		return sealed(func(b record.Batch) { binary.BigEndian.PutUint16(b[21:], bit) })
	}
	check("unknown topic", "none", good, codeUnknownTopicOrPartition, `"none"`)
	check("no records", "t", nil, codeInvalidRecord, "t-0: no batch")
	check("two batches", "t", append(bytes.Clone(good), good...), codeInvalidRecord, "t-0")
	check("bytes behind", "t", append(bytes.Clone(good), 1), codeInvalidRecord, "t-0: 1 bytes behind")
	check("cut", "t", good[:len(good)-1], codeInvalidRecord, "t-0")
	check("old magic", "t", edit(func(b record.Batch) { b[16] = 1 }), codeInvalidRecord, "magic 1")
	check("crc", "t", edit(func(b record.Batch) { b[len(b)-1] ^= 1 }), codeCorruptMessage, "crc")
	check("control", "t", attribute(1<<5), codeInvalidRecord, "control")
	check("transactional", "t", attribute(1<<4), codeTransactionalIDAuthorizationFailed, "t-0")
	check("delta", "t", sealed(func(b record.Batch) { binary.BigEndian.PutUint32(b[23:], 7) }), codeInvalidRecord, "t-0")
	check("no sequence", "t", edit(func(b record.Batch) { b.SetProducer(record.Producer{ID: 7, Epoch: 0, BaseSequence: -1}) }), codeInvalidRecord, "sequence -1")
	check("too large", "t", batchOf(t, strings.Repeat("x", 1000)), codeMessageTooLarge, "t-0: batch of 1070 bytes, max.message.bytes is 1000")
	check("replicas", "isr", good, codeNotEnoughReplicas, "isr-0")

	m := produceTo(f, "t", 7, -1, good)
	if p := c.produced(m, 9)[0]; p.Partition != 7 || code(p.ErrorCode) != codeUnknownTopicOrPartition {
		t.Errorf("unknown partition: %+v", p)
	}
	m = produceTo(f, "none", 0, -1, good)
	m.Topics[0].TopicID = [16]byte{1}
	if p := c.produced(m, 13)[0]; code(p.ErrorCode) != codeUnknownTopicID {
		t.Errorf("unknown id: %+v", p)
	}
	m = produceTo(f, "t", 0, 2, good)
	if p := c.produced(m, 9)[0]; code(p.ErrorCode) != codeInvalidRequiredAcks || !strings.Contains(*p.ErrorMessage, "2, want") {
		t.Errorf("acks 2: %+v", p)
	}
	m = produceTo(f, "t", 0, -1, good)
	m.TransactionID = kmsg.StringPtr("tx")
	if p := c.produced(m, 9)[0]; code(p.ErrorCode) != codeInvalidRequest || !strings.Contains(*p.ErrorMessage, `"tx"`) {
		t.Errorf("transactional id: %+v", p)
	}
	huge := batchOf(t, strings.Repeat("x", f.maxBatch))
	if p := c.produced(produceTo(f, "large", 0, -1, huge), 9)[0]; code(p.ErrorCode) != codeMessageTooLarge || !strings.Contains(*p.ErrorMessage, fmt.Sprint(f.maxBatch)) {
		t.Errorf("batch that no frame could carry: %+v", p)
	}

	// Of several records those are named that are at fault.
	var b record.Builder
	b.Reset(record.BuilderOptions{Codec: record.CodecGzip})
	for i := range 4 {
		b.Append(time.Now().Add(time.Duration(i%2)*time.Hour).UnixMilli(), nil, []byte("x"))
	}
	mixed, err := b.Build(nil)
	if err != nil {
		t.Fatal(err)
	}
	p := c.produced(produceTo(f, "fresh", 0, -1, mixed), 9)[0]
	if code(p.ErrorCode) != codeInvalidTimestamp || len(p.ErrorRecords) != 2 || p.ErrorRecords[0].RelativeOffset != 1 || p.ErrorRecords[1].RelativeOffset != 3 ||
		!strings.Contains(*p.ErrorRecords[0].ErrorMessage, "message.timestamp.after.max.ms is 1000") {
		t.Errorf("two of four records are early: %+v", p)
	}
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// The append time is answered, and is that of the batch.
func TestProduceLogAppendTime(t *testing.T) {
	f := openFrontend(t, node.Options{})
	p := createTopicWith(t, f, "t", map[string]string{"message.timestamp.type": "LogAppendTime"})
	got := dial(t, f).produced(produceTo(f, "t", 0, -1, batchOf(t, "x")), 9)[0]
	b := record.Batch(logOf(t, p))
	if err := b.Verify(); err != nil || got.LogAppendTime != b.MaxTimestamp() || !b.Attributes().LogAppendTime() || got.LogAppendTime < 1e12 {
		t.Errorf("append time %d, the batch has %d, error %v", got.LogAppendTime, b.MaxTimestamp(), err)
	}
}

// Pipelined requests are appended and answered in order, also when another
// request comes between them, which finds what was produced before it.
func TestProducePipelined(t *testing.T) {
	f := openFrontend(t, node.Options{})
	createTopic(t, f, "t", 3)
	p, err := f.engine.Partition([]byte("t"), 0)
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, f)
	const count = 600 // more than a group
	var sent []kmsg.Request
	var frames []byte
	latest := kmsg.NewPtrListOffsetsRequest()
	rp := kmsg.NewListOffsetsRequestTopicPartition()
	rp.Timestamp = -1
	latest.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "t", Partitions: []kmsg.ListOffsetsRequestTopicPartition{rp}}}
	for i := range count {
		m := produceTo(f, "t", 0, int16(1-2*(i%2)), batchOf(t, fmt.Sprint(i)))
		addProduce(f, m, "t", int32(1+i%2), batchOf(t, fmt.Sprint(i)))
		frames = append(frames, frameOf(m, 9, int32(len(sent)+1))...)
		sent = append(sent, m)
		if i%100 == 50 {
			frames = append(frames, frameOf(latest, 6, int32(len(sent)+1))...)
			sent = append(sent, latest)
		}
	}
	go c.Write(frames)
	next := int64(0)
	for i, m := range sent {
		c.sent = int32(i + 1)
		switch answer := c.receive(m).(type) {
		case *kmsg.ProduceResponse:
			if got := answer.Topics[0].Partitions[0]; got.ErrorCode != 0 || got.BaseOffset != next {
				t.Fatalf("request %d: %+v, want base offset %d", i, got, next)
			}
			if got := answer.Topics[1].Partitions[0]; got.ErrorCode != 0 || got.BaseOffset != next/2 {
				t.Fatalf("request %d: %+v, want base offset %d", i, got, next/2)
			}
			next++
		case *kmsg.ListOffsetsResponse:
			if got := answer.Topics[0].Partitions[0].Offset; got != next {
				t.Fatalf("request %d: the log ends at %d, want %d", i, got, next)
			}
		}
	}
	log := logOf(t, p)
	for i := range count {
		b, rest, err := record.Next(log)
		if err != nil || !bytes.Contains(b, []byte(fmt.Sprint(i))) {
			t.Fatalf("batch %d: %v", i, err)
		}
		log = rest
	}
}

// Appends of requests in a row to one partition are one write.
func TestProduceGroups(t *testing.T) {
	f := openFrontend(t, node.Options{})
	createTopic(t, f, "t", 2)
	g := new(produceGroup)
	g.last = map[*engine.Partition]int{}
	var requests []*engine.AppendRequest
	var partitions []*engine.Partition
	for i := range 2*maxGroup + 5 {
		p, err := f.engine.Partition([]byte("t"), int32(i%2))
		if err != nil {
			t.Fatal(err)
		}
		r := &engine.AppendRequest{Batches: batchOf(t, "x"), Acks: engine.AcksAll}
		requests, partitions = append(requests, r), append(partitions, p)
		g.add(p, r)
	}
	g.appendAll()
	for i, r := range requests {
		if r.Err != nil || r.BaseOffset != engine.Offset(i/2) {
			t.Fatalf("append %d to %s: base offset %d, error %v, want %d", i, partitions[i], r.BaseOffset, r.Err, i/2)
		}
	}
}

// A retry of an idempotent producer has the offset of the first time; a gap is
// refused, and so is an epoch that is over.
func TestProduceIdempotent(t *testing.T) {
	f := openFrontend(t, node.Options{})
	createTopic(t, f, "t", 1)
	c := dial(t, f)
	check := func(epoch int16, sequence int32, offset int64, want code) {
		t.Helper()
		b := batchOf(t, "x", "y")
		b.SetProducer(record.Producer{ID: 5, Epoch: epoch, BaseSequence: sequence})
		if got := c.produced(produceTo(f, "t", 0, -1, b), 9)[0]; got.BaseOffset != offset || code(got.ErrorCode) != want {
			t.Errorf("epoch %d, sequence %d: %+v, want offset %d, error %d", epoch, sequence, got, offset, want)
		}
	}
	check(1, 5, 0, codeNone) // nothing is known of it
	check(1, 7, 2, codeNone)
	check(1, 5, 0, codeNone)
	check(1, 10, -1, codeOutOfOrderSequence)
	check(0, 9, -1, codeInvalidProducerEpoch)
	check(2, 0, 4, codeNone)
}

// With acks 0 nothing is answered; what goes wrong closes the connection.
func TestProduceUnanswered(t *testing.T) {
	f := openFrontend(t, node.Options{})
	p := createTopicWith(t, f, "t", nil)
	c := dial(t, f)
	c.send(produceTo(f, "t", 0, 0, batchOf(t, "x")), 9)
	got := c.produced(produceTo(f, "t", 0, -1, batchOf(t, "x")), 9)[0] // the first answer
	if got.BaseOffset != 1 {
		t.Errorf("%+v, want offset 1", got)
	}
	bad := batchOf(t, "x")
	bad[len(bad)-1] ^= 1
	c.send(produceTo(f, "t", 0, 0, bad), 9)
	if !c.closed() {
		t.Error("the connection was not closed")
	}
	if end := p.Offsets().LogEnd; end != 2 {
		t.Errorf("the log ends at %d, want 2", end)
	}
}

// A client that leaves no time is answered as by Kafka, where on one node there is
// nothing to wait for behind the append: when the batch is durable, whatever its
// acks.
func TestProduceWithoutTime(t *testing.T) {
	f := openFrontend(t, node.Options{})
	p := createTopicWith(t, f, "t", nil)
	c := dial(t, f)
	offset := int64(0)
	for _, acks := range []int16{-1, 1} {
		for _, timeout := range []int32{0, -1, math.MinInt32} {
			m := produceTo(f, "t", 0, acks, batchOf(t, "x"))
			m.TimeoutMillis = timeout
			got := c.produced(m, 9)[0]
			if got.ErrorCode != 0 || got.BaseOffset != offset || int64(p.Offsets().HighWatermark) <= offset {
				t.Errorf("acks %d, timeout %d: %+v, high watermark %d; want offset %d, durable", acks, timeout, got, p.Offsets().HighWatermark, offset)
			}
			offset++
		}
	}
}

// What is not durable in time is told so, partition by partition. Versions before
// 3 close the connection.
func TestProduceTimeout(t *testing.T) {
	f := openFrontend(t, node.Options{})
	slow := createTopicWith(t, f, "slow", nil)
	createTopicWith(t, f, "fast", pageCache)
	s := newSession(f, peer)
	out := newOutProbe()
	m := produceTo(f, "slow", 0, -1, batchOf(t, "x"))
	addProduce(f, m, "fast", 0, batchOf(t, "x"))
	if err := s.current.read(frameOf(m, 9, 1)[sizeBytes:]); err != nil {
		t.Fatal(err)
	}
	if err := s.produce(&s.current, &out.Out); err != nil {
		t.Fatal(err)
	}
	p := s.group.produces[0]
	s.group.appendAll()
	p.topics[0].partitions[0].request.NextOffset = 1 << 40 // as if its commit took forever
	s.group = nil
	before := time.Now()
	if err := p.settle(&out.Out); err != nil {
		t.Fatal(err)
	}
	d := out.deferred(t)
	if got := p.Deadline(); got.Before(before.Add(30*time.Second)) || got.After(time.Now().Add(30*time.Second)) {
		t.Fatalf("deadline %v, want 30 s after %v, as the request says", got, before)
	}
	if d.Poll(&out.Out, func() {}) {
		t.Fatal("done before its deadline")
	}
	p.deadline = time.Now() // as if that time were over
	if !d.Poll(&out.Out, func() {}) {
		t.Fatal("not done after its deadline")
	}
	answer, _ := readAnswer(t, out.Buf, m, 1)
	slowly, fast := answer.(*kmsg.ProduceResponse).Topics[0].Partitions[0], answer.(*kmsg.ProduceResponse).Topics[1].Partitions[0]
	if code(slowly.ErrorCode) != codeRequestTimedOut || slowly.BaseOffset != -1 || fast.ErrorCode != 0 || fast.BaseOffset != 0 {
		t.Errorf("%+v, %+v", slowly, fast)
	}
	if s.produces != 0 || s.inFlight != 0 {
		t.Errorf("%d produces, %d bytes in flight", s.produces, s.inFlight)
	}
	if err := slow.AwaitHighWatermark(t.Context(), 1); err != nil {
		t.Fatal(err)
	}

	c := dial(t, f)
	c.sent++
	frame := frameOf(m, 3, c.sent)
	frame[7] = 2
	if _, err := c.Write(frame); err != nil {
		t.Fatal(err)
	}
	if !c.closed() {
		t.Error("version 2 did not close the connection")
	}
}
