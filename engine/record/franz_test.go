package record

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var kgoCodecs = map[Codec]kgo.CompressionCodec{
	CodecNone: kgo.NoCompression(), CodecGzip: kgo.GzipCompression(), CodecSnappy: kgo.SnappyCompression(),
	CodecLZ4: kgo.Lz4Compression(), CodecZstd: kgo.ZstdCompression(),
}

// random returns n records drawn from seed, at offsets from base.
func random(seed uint64, n int, base Offset) []rec {
	rng := rand.New(rand.NewPCG(seed, 7))
	blob := func(most int) []byte {
		if rng.IntN(5) == 0 {
			return nil
		}
		p := make([]byte, rng.IntN(most))
		for i := range p {
			p[i] = byte('a' + rng.IntN(6))
		}
		return p
	}
	recs := make([]rec, n)
	for i := range recs {
		recs[i] = rec{Timestamp: 1_600_000_000_000 + rng.Int64N(1<<40), Offset: base + Offset(i), Key: blob(40), Value: blob(400)}
		for range rng.IntN(3) {
			key := blob(10)
			if key == nil {
				key = []byte{}
			}
			recs[i].Headers = append(recs[i].Headers, Header{Key: key, Value: blob(20)})
		}
	}
	return recs
}

// encodeKmsg encodes recs with franz-go's types and compressor.
func encodeKmsg(t testing.TB, codec Codec, base Offset, recs []rec) Batch {
	t.Helper()
	var records []byte
	maxTimestamp := recs[0].Timestamp
	for i, r := range recs {
		k := kmsg.Record{TimestampDelta64: r.Timestamp - recs[0].Timestamp, OffsetDelta: int32(i), Key: r.Key, Value: r.Value}
		for _, h := range r.Headers {
			k.Headers = append(k.Headers, kmsg.Header{Key: string(h.Key), Value: h.Value})
		}
		k.Length = int32(len(k.AppendTo(nil)) - 1) // a length of 0 takes one byte
		records = k.AppendTo(records)
		maxTimestamp = max(maxTimestamp, r.Timestamp)
	}
	if codec != CodecNone {
		c, err := kgo.DefaultCompressor(kgoCodecs[codec])
		if err != nil {
			t.Fatal(err)
		}
		packed, used := c.Compress(new(bytes.Buffer), records)
		if int(used) != int(codec) {
			t.Fatalf("franz-go compressed with codec %d, want %d", used, codec)
		}
		records = packed
	}
	k := kmsg.RecordBatch{
		FirstOffset: int64(base), PartitionLeaderEpoch: -1, Magic: 2, Attributes: int16(codec),
		LastOffsetDelta: int32(len(recs) - 1), FirstTimestamp: recs[0].Timestamp, MaxTimestamp: maxTimestamp,
		ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: int32(len(recs)), Records: records,
		Length: int32(len(records) + 49),
	}
	p := k.AppendTo(nil)
	binary.BigEndian.PutUint32(p[17:], crc32.Checksum(p[21:], crc32.MakeTable(crc32.Castagnoli)))
	return p
}

// What franz-go encodes and compresses, this package verifies and reads.
func TestReadFranzGo(t *testing.T) {
	for _, codec := range allCodecs {
		for seed := range uint64(20) {
			n := 1 + int(seed*seed)*3
			recs := random(seed, n, 1<<35)
			b := encodeKmsg(t, codec, 1<<35, recs)
			if err := b.VerifyProduced(); err != nil {
				t.Fatalf("%s, seed %d: %v", codec, seed, err)
			}
			got, err := readAll(b)
			if err != nil || !reflect.DeepEqual(got, recs) {
				t.Fatalf("%s, seed %d: records differ, or %v", codec, seed, err)
			}
		}
	}
}

// What this package builds, franz-go's consumer reads, and its types decode
// to the same fields.
func TestFranzGoReads(t *testing.T) {
	for _, codec := range allCodecs {
		var log []byte // several batches, one after the other, as a fetch returns them
		var want []rec
		for seed := range uint64(20) {
			base := Offset(len(want))
			recs := random(seed, 1+int(seed*seed)*3, base)
			b := build(t, BuilderOptions{Codec: codec, BaseOffset: base, Producer: &Producer{ID: 8, Epoch: 2, BaseSequence: int32(base)}}, recs...)
			b.SetLeaderEpoch(3)
			if seed%5 == 4 {
				b.SetLogAppendTime(1_800_000_000_000)
				for i := range recs {
					recs[i].Timestamp = 1_800_000_000_000
				}
			}
			checkKmsg(t, b)
			log, want = append(log, b...), append(want, recs...)
		}
		response := kmsg.NewFetchResponseTopicPartition()
		response.RecordBatches = log
		response.HighWatermark = int64(len(want))
		got, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{Topic: "t"}, &response, kgo.DefaultDecompressor(), nil)
		if got.Err != nil || next != int64(len(want)) || len(got.Records) != len(want) {
			t.Fatalf("%s: %d records, next offset %d, %v, want %d records", codec, len(got.Records), next, got.Err, len(want))
		}
		for i, k := range got.Records {
			r := rec{Timestamp: k.Timestamp.UnixMilli(), Offset: Offset(k.Offset), Key: k.Key, Value: k.Value}
			for _, h := range k.Headers {
				r.Headers = append(r.Headers, Header{[]byte(h.Key), h.Value})
			}
			if !reflect.DeepEqual(r, want[i]) {
				t.Fatalf("%s: record %d is %v, want %v", codec, i, r, want[i])
			}
			if k.ProducerID != 8 || k.ProducerEpoch != 2 || k.LeaderEpoch != 3 {
				t.Fatalf("%s: record %d has producer %d, epoch %d, leader epoch %d", codec, i, k.ProducerID, k.ProducerEpoch, k.LeaderEpoch)
			}
		}
	}
}

// checkKmsg compares the accessors with kmsg's fields, and kmsg's encoding
// with the bytes.
func checkKmsg(t *testing.T, b Batch) {
	t.Helper()
	var k kmsg.RecordBatch
	if err := k.ReadFrom(b); err != nil {
		t.Fatal(err)
	}
	want := kmsg.RecordBatch{
		FirstOffset: int64(b.BaseOffset()), Length: b.Length(), PartitionLeaderEpoch: b.LeaderEpoch(), Magic: b.Magic(),
		CRC: int32(b.CRC()), Attributes: int16(b.Attributes()), LastOffsetDelta: b.LastOffsetDelta(),
		FirstTimestamp: b.BaseTimestamp(), MaxTimestamp: b.MaxTimestamp(), ProducerID: b.ProducerID(),
		ProducerEpoch: b.ProducerEpoch(), FirstSequence: b.BaseSequence(), NumRecords: b.Count(), Records: b.Records(),
	}
	if !reflect.DeepEqual(k, want) {
		t.Errorf("kmsg reads %+v, accessors %+v", k, want)
	}
	if !bytes.Equal(k.AppendTo(nil), b) {
		t.Error("kmsg encodes the same fields to other bytes")
	}
}

// Without compression there is one encoding: the bytes are franz-go's.
func TestSameBytesAsFranzGo(t *testing.T) {
	for seed := range uint64(50) {
		recs := random(seed, 1+int(seed)*7, 77)
		ours, theirs := build(t, BuilderOptions{BaseOffset: 77}, recs...), encodeKmsg(t, CodecNone, 77, recs)
		if !bytes.Equal(ours, theirs) {
			t.Fatalf("seed %d: %x, franz-go %x", seed, ours, theirs)
		}
	}
}
