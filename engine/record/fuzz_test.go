package record

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"testing"
)

// fuzzLimit bounds what a fuzz target decompresses.
const fuzzLimit = 1 << 20

// small is a sample whose records are short: the fuzzer gets further with small
// inputs.
func small(base Offset) []rec {
	recs := sample(5, base)
	for i := range recs {
		recs[i].Value = recs[i].Value[:min(len(recs[i].Value), 12)]
	}
	return recs
}

// addBatches seeds a corpus with batches of every codec and some damage.
func addBatches(f *testing.F) {
	for _, codec := range allCodecs {
		b := build(f, BuilderOptions{Codec: codec, BaseOffset: 5}, small(5)...)
		f.Add([]byte(b))
		f.Add([]byte(b[:len(b)-3]))
		f.Add([]byte(append(slices.Clone(b), b...)))
	}
	f.Add(make([]byte, 100))
}

// kindOf checks that err has exactly one kind.
func kindOf(t *testing.T, err error) {
	t.Helper()
	if err != nil && errors.Is(err, ErrCorrupt) == errors.Is(err, ErrInvalid) {
		t.Errorf("%v is of both kinds or of none", err)
	}
}

// No bytes make Next, PeekSize or Verify panic; Next's parts are its input;
// a batch that verifies still does after its patches, and what a producer may
// send may be stored.
func FuzzVerify(f *testing.F) {
	addBatches(f)
	f.Fuzz(func(t *testing.T, p []byte) {
		kindOf(t, Batch(p).Verify())
		kindOf(t, Batch(p).VerifyProduced())
		_, err := PeekSize(p)
		kindOf(t, err)
		b, rest, err := Next(slices.Clone(p))
		if err != nil {
			kindOf(t, err)
			if b != nil || !bytes.Equal(rest, p) {
				t.Errorf("Next returns %d and %d bytes with %v", len(b), len(rest), err)
			}
			return
		}
		if !bytes.Equal(slices.Concat(b, rest), p) || b.Size() != int64(len(b)) {
			t.Errorf("Next cuts %d bytes into %d and %d", len(p), len(b), len(rest))
		}
		b.setCRC() // else nearly no input comes further
		verified, produced := b.Verify(), b.VerifyProduced()
		kindOf(t, verified)
		kindOf(t, produced)
		if produced == nil {
			b.SetBaseOffset(7)
			b.SetLeaderEpoch(1)
			b.SetLogAppendTime(5)
			if err := b.Verify(); err != nil {
				t.Errorf("after the patches: %v", err)
			}
		}
	})
}

// No bytes make the iterators panic or leave their memory, and they end.
func FuzzIterate(f *testing.F) {
	for _, codec := range allCodecs {
		b := build(f, BuilderOptions{Codec: codec}, small(0)...)
		records, err := b.Decompress(nil, fuzzLimit)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(b[:HeaderSize]), records)
	}
	f.Fuzz(func(t *testing.T, head, records []byte) {
		if len(head) < HeaderSize {
			return
		}
		b := Batch(head)
		size, n := 0, 0
		it := b.Iterate(records)
		for it.Next() {
			n++
			r := it.Record()
			size += len(r.Key) + len(r.Value)
			headers := 0
			for h := r.Headers(); h.Next(); headers++ {
				size += len(h.Header().Key) + len(h.Header().Value)
			}
			if headers != r.HeaderCount() {
				t.Fatalf("record %d: %d headers, HeaderCount %d", n, headers, r.HeaderCount())
			}
		}
		kindOf(t, it.Err())
		if size > len(records) || n*minRecordSize > len(records) {
			t.Errorf("%d records with %d bytes of content in %d bytes", n, size, len(records))
		}
		if it.Err() == nil && n != int(b.Count()) {
			t.Errorf("%d records without an error, count %d", n, b.Count())
		}
	})
}

// No bytes make a codec panic or exceed its limit, and what decompresses
// survives compression by every codec.
func FuzzDecompress(f *testing.F) {
	text := bytes.Repeat([]byte("the quick brown fox "), 5)
	for _, codec := range allCodecs {
		packed := mustCompress(f, codec, text)
		f.Add(uint8(codec), packed, uint32(len(text)))
		f.Add(uint8(codec), packed, uint32(len(text)-1))
	}
	f.Add(uint8(CodecZstd), zstdRuns(3), uint32(fuzzLimit))
	f.Fuzz(func(t *testing.T, codec uint8, src []byte, limit uint32) {
		most := int(limit % fuzzLimit)
		out, err := Decompress([]byte("kept"), Codec(codec), src, most)
		if string(out[:4]) != "kept" || err != nil && len(out) != 4 {
			t.Fatalf("dst became %d bytes with %v", len(out), err)
		}
		kindOf(t, err)
		if err != nil {
			return
		}
		if len(out)-4 > most {
			t.Fatalf("%d bytes, limit %d", len(out)-4, most)
		}
		for _, codec := range allCodecs {
			back, err := Decompress(nil, codec, mustCompress(t, codec, out), len(out))
			if err != nil || !bytes.Equal(back, out) {
				t.Fatalf("%s: %d bytes, %v, want %d", codec, len(back), err, len(out))
			}
		}
	})
}

// encode(decode(x)) == x for every batch x without compression that verifies
// and can be read, unless it spends more bytes on a varint than it must; then
// the encoding is shorter and reads the same. With compression the records
// stay the same.
func FuzzRoundTrip(f *testing.F) {
	addBatches(f)
	f.Fuzz(func(t *testing.T, p []byte) {
		b, _, err := Next(slices.Clone(p))
		if err != nil {
			return
		}
		b.setCRC()
		if b.Verify() != nil {
			return
		}
		records, err := b.Decompress(nil, fuzzLimit)
		if err != nil {
			return
		}
		var again []byte
		it := b.Iterate(records)
		for it.Next() {
			again = encodeAgain(again, b, it.Record())
		}
		if it.Err() != nil {
			return
		}
		if len(again) > len(records) || len(again) == len(records) && !bytes.Equal(again, records) {
			t.Fatalf("%x encodes to %x", records, again)
		}
		for _, codec := range allCodecs {
			packed, err := Recompress(nil, b, codec, fuzzLimit)
			if err != nil {
				t.Fatalf("%s: %v", codec, err)
			}
			if err := Batch(packed).Verify(); err != nil {
				t.Fatalf("%s: %v", codec, err)
			}
			want, err1 := readAll(b)
			got, err2 := readAll(packed)
			if err1 != nil || err2 != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("%s: records differ, or %v, %v", codec, err1, err2)
			}
			if codec == CodecNone && b.Codec() == CodecNone && !bytes.Equal(packed, b) {
				t.Fatalf("%x becomes %x", []byte(b), packed)
			}
		}
	})
}

// encodeAgain appends r, a record of b, as appendRecord does, with r's own
// attributes.
func encodeAgain(dst []byte, b Batch, r *Record) []byte {
	var headers []Header
	for h := r.Headers(); h.Next(); {
		headers = append(headers, h.Header())
	}
	timeDelta := r.Timestamp - b.BaseTimestamp()
	if b.Attributes().LogAppendTime() {
		timeDelta = 0 // the record's own is not visible; the encoding is only shorter then
	}
	delta := int32(r.Offset - b.BaseOffset())
	body := bodySize(timeDelta, delta, r.Key, r.Value, headers)
	at := len(dst) + varintLen(int64(body))
	dst = appendRecord(dst, body, timeDelta, delta, r.Key, r.Value, headers)
	dst[at] = byte(r.Attributes)
	return dst
}
