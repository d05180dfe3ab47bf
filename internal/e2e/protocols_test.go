package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/wire"
)

// protocol is one of the two, spoken frame by frame: what a test does by either.
type protocol interface {
	// newProducer returns a producer id and its epoch.
	newProducer() (id int64, epoch int16)
	// produce sends a batch to the first partition of the topic, and returns its
	// base offset or why it was refused.
	produce(topic string, batch []byte) (baseOffset int64, refused refusal)
	// fetch returns the bytes of the first partition's log from an offset on.
	fetch(topic string, offset int64) []byte
}

// refusal is why a batch was refused, by either protocol; "" if it was not.
type refusal string

const (
	outOfOrder   refusal = "out of order sequence"
	invalidEpoch refusal = "invalid producer epoch"
	corrupt      refusal = "corrupt batch"
	tooLarge     refusal = "message too large"
)

// kafkaProtocol is a connection by the Kafka protocol.
type kafkaProtocol struct{ *kafkaConn }

func (k kafkaProtocol) newProducer() (id int64, epoch int16) {
	k.t.Helper()
	answer := k.ask(kmsg.NewPtrInitProducerIDRequest(), 4).(*kmsg.InitProducerIDResponse)
	if answer.ErrorCode != 0 {
		k.t.Fatalf("InitProducerId: error %d", answer.ErrorCode)
	}
	return answer.ProducerID, answer.ProducerEpoch
}

func (k kafkaProtocol) produce(topic string, batch []byte) (int64, refusal) {
	k.t.Helper()
	p := k.ask(produceTo(topic, batch), 9).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
	// The codes of kafka.apache.org/protocol#protocol_error_codes.
	refusals := map[int16]refusal{0: "", 2: corrupt, 10: tooLarge, 45: outOfOrder, 47: invalidEpoch}
	refused, known := refusals[p.ErrorCode]
	if !known {
		k.t.Fatalf("Produce: %+v", p)
	}
	return p.BaseOffset, refused
}

func (k kafkaProtocol) fetch(topic string, offset int64) []byte {
	k.t.Helper()
	m := longPoll(topic, 0)
	m.Topics[0].Partitions[0].FetchOffset = offset
	p := k.ask(m, 12).(*kmsg.FetchResponse).Topics[0].Partitions[0]
	if p.ErrorCode != 0 {
		k.t.Fatalf("Fetch: error %d", p.ErrorCode)
	}
	return p.RecordBatches
}

// nativeProtocol is a connection by the native one.
type nativeProtocol struct {
	*peer
	t *testing.T
}

func (n nativeProtocol) newProducer() (id int64, epoch int16) {
	n.t.Helper()
	f, err := n.call((&wire.InitProducer{ProducerID: wire.NoProducer, Epoch: wire.NoProducer}).AppendTo(nil, 2))
	if err != nil {
		n.t.Fatal(err)
	}
	assigned, err := wire.ParseProducerAssigned(f)
	if err != nil {
		n.t.Fatal(err)
	}
	return assigned.ProducerID, assigned.Epoch
}

func (n nativeProtocol) produce(topic string, batch []byte) (int64, refusal) {
	n.t.Helper()
	f, err := n.call((&wire.Produce{Topic: []byte(topic), Acks: wire.AcksAll, Batches: batch}).AppendTo(nil, 3))
	if e := (*wire.Error)(nil); errors.As(err, &e) {
		refusals := map[wire.Code]refusal{
			wire.CodeCorruptBatch: corrupt, wire.CodeMessageTooLarge: tooLarge,
			wire.CodeOutOfOrderSequence: outOfOrder, wire.CodeInvalidProducerEpoch: invalidEpoch,
		}
		if refused := refusals[e.Code]; refused != "" {
			return -1, refused
		}
	}
	if err != nil {
		n.t.Fatal(err)
	}
	produced, err := wire.ParseProduced(f)
	if err != nil {
		n.t.Fatal(err)
	}
	return produced.BaseOffset, ""
}

func (n nativeProtocol) fetch(topic string, offset int64) []byte {
	n.t.Helper()
	f, err := n.call((&wire.Fetch{Topic: []byte(topic), Offset: offset, MaxBytes: 1 << 20}).AppendTo(nil, 4))
	if err != nil {
		n.t.Fatal(err)
	}
	data, err := wire.ParseData(f)
	if err != nil {
		n.t.Fatal(err)
	}
	return bytes.Clone(data.Batches)
}

// dialProtocols connects by both.
func dialProtocols(t *testing.T, s *server) (kafka, native protocol) {
	t.Helper()
	p, err := dialPeer(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.conn.Close() })
	return kafkaProtocol{dialKafka(t, s)}, nativeProtocol{p, t}
}

// batchOf is a batch of count records of an idempotent producer.
func batchOf(t *testing.T, codec record.Codec, producer record.Producer, count int) []byte {
	t.Helper()
	var b record.Builder
	b.Reset(record.BuilderOptions{Codec: codec, Producer: &producer})
	for i := range count {
		if err := b.Append(1_700_000_000_000+int64(i), []byte("key"), fmt.Appendf(nil, "%d-%d %s", producer.BaseSequence, i, strings.Repeat("x", 50))); err != nil {
			t.Fatal(err)
		}
	}
	batch, err := b.Build(nil)
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

// What is produced by one protocol is fetched by the other: the same offsets and
// bytes, those that were sent but for the offset and leader epoch that the
// server writes into them.
func TestProtocolsShareLogs(t *testing.T) {
	s := startServer(t, t.TempDir(), "--kafka", "127.0.0.1:0")
	s.run(nil, "topic", "create", "shared")
	kafka, native := dialProtocols(t, s)
	protocols := []protocol{kafka, native}
	var sent [][]byte
	next := int64(0)
	for codec := record.CodecNone; codec.Known(); codec++ {
		for i, p := range protocols {
			id, epoch := p.newProducer()
			batch := batchOf(t, codec, record.Producer{ID: id, Epoch: epoch}, i+2)
			offset, refused := p.produce("shared", bytes.Clone(batch))
			if refused != "" || offset != next {
				t.Fatalf("%v: base offset %d, %s, want %d", codec, offset, refused, next)
			}
			sent = append(sent, batch)
			next += int64(i + 2)
		}
	}
	byKafka, byNative := kafka.fetch("shared", 0), native.fetch("shared", 0)
	if !bytes.Equal(byKafka, byNative) {
		t.Fatalf("%d and %d bytes are fetched, and differ from byte %d on", len(byKafka), len(byNative), commonPrefix(byKafka, byNative))
	}
	for i, rest := 0, byKafka; len(rest) > 0; i++ {
		b, after, err := record.Next(rest)
		if err != nil {
			t.Fatal(err)
		}
		from := int64(b.BaseOffset())
		want := record.Batch(sent[i])
		want.SetBaseOffset(b.BaseOffset())
		want.SetLeaderEpoch(b.LeaderEpoch())
		if !bytes.Equal(b, want) {
			t.Errorf("batch %d at offset %d: %d bytes are fetched, %d were sent; they differ from byte %d on", i, from, len(b), len(want), commonPrefix(b, want))
		}
		for _, p := range protocols {
			if got := p.fetch("shared", from); !bytes.Equal(got, rest) {
				t.Errorf("from offset %d: %d bytes, want %d", from, len(got), len(rest))
			}
		}
		rest = after
	}
}

// A producer is judged the same by whichever protocol its batches come, also
// after kill -9: what it sends again is answered with its first offset, a gap
// and an old epoch are refused, and no id is given twice.
func TestProtocolsShareProducers(t *testing.T) {
	data := t.TempDir()
	s := startServer(t, data, "--kafka", "127.0.0.1:0")
	s.run(nil, "topic", "create", "shared", "--config", "max.message.bytes=100000")
	kafka, native := dialProtocols(t, s)
	idOfKafka, epochOfKafka := kafka.newProducer()
	idOfNative, epochOfNative := native.newProducer()
	if idOfKafka == idOfNative {
		t.Fatalf("both protocols gave the producer id %d", idOfKafka)
	}
	end := int64(0)
	f := func(p protocol, producer record.Producer, want int64, wantRefused refusal) {
		t.Helper()
		offset, refused := p.produce("shared", batchOf(t, record.CodecNone, producer, 3))
		if refused != wantRefused || refused == "" && offset != want {
			t.Errorf("%T: offset %d, %q, want %d, %q", p, offset, refused, want, wantRefused)
		}
		if refused == "" {
			end = max(end, offset+3)
		}
	}
	for _, given := range []record.Producer{{ID: idOfKafka, Epoch: epochOfKafka}, {ID: idOfNative, Epoch: epochOfNative}} {
		start := end
		at := func(epoch int16, sequence int32) record.Producer {
			return record.Producer{ID: given.ID, Epoch: given.Epoch + epoch, BaseSequence: sequence}
		}
		for range 2 { // the second time as duplicates
			f(kafka, at(0, 0), start, "")
			f(native, at(0, 3), start+3, "")
			f(kafka, at(0, 6), start+6, "")
		}
		for _, p := range []protocol{kafka, native} {
			f(p, at(0, 0), start, "")
			f(p, at(0, 3), start+3, "")
			f(p, at(0, 12), 0, outOfOrder)
		}
	}
	newer := record.Producer{ID: idOfKafka, Epoch: epochOfKafka + 1}
	f(native, newer, end, "")
	for _, p := range []protocol{kafka, native} {
		f(p, newer, end-3, "")
		f(p, record.Producer{ID: idOfKafka, Epoch: epochOfKafka, BaseSequence: 9}, 0, invalidEpoch)
	}
	damaged := batchOf(t, record.CodecNone, newer, 3)
	damaged[len(damaged)-1]++
	for _, p := range []protocol{kafka, native} {
		if _, refused := p.produce("shared", bytes.Clone(damaged)); refused != corrupt {
			t.Errorf("%T: a damaged batch: %q", p, refused)
		}
		large := batchOf(t, record.CodecNone, newer, 2000)
		if _, refused := p.produce("shared", large); refused != tooLarge {
			t.Errorf("%T: a large batch: %q", p, refused)
		}
	}

	s.kill()
	s = startServer(t, data, "--kafka", "127.0.0.1:0")
	s.latest("shared") // waits until it is recovered
	kafka, native = dialProtocols(t, s)
	for _, p := range []protocol{kafka, native} {
		f(p, newer, end-3, "")
		f(p, record.Producer{ID: idOfNative, Epoch: epochOfNative, BaseSequence: 6}, end-6, "")
		f(p, record.Producer{ID: idOfNative, Epoch: epochOfNative, BaseSequence: 100}, 0, outOfOrder)
		if id, _ := p.newProducer(); slices.Contains([]int64{idOfKafka, idOfNative}, id) {
			t.Errorf("%T: the producer id %d is given again", p, id)
		}
	}
	if got := s.latest("shared"); got != end {
		t.Errorf("the log ends at %d, want %d", got, end)
	}
}
