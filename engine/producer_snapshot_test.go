package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/rollway/rollway/internal/golden"
)

// snapshotExample has a producer with two batches, one that wrote a single batch
// long ago, and one of which only a control batch is left.
func snapshotExample() *producerTable {
	t := newProducerTable()
	t.put(&producerState{id: 3, epoch: 1, timestamp: 1_600_000_000_000, appendedMs: 1_700_000_000_000, coordinatorEpoch: 5, txnFirstOffset: -1})
	s := &producerState{id: 2000, epoch: 0, appendedMs: 1_700_000_001_000, coordinatorEpoch: -1, txnFirstOffset: -1}
	s.add(producerBatch{lastSequence: 9, delta: 9, lastOffset: 41, timestamp: 1_600_000_000_500})
	t.put(s)
	s = &producerState{id: 1000, epoch: 2, appendedMs: 1_700_000_002_000, coordinatorEpoch: -1, txnFirstOffset: -1}
	s.add(producerBatch{lastSequence: 1<<31 - 1, delta: 0, lastOffset: 42, timestamp: 1_600_000_001_000})
	s.add(producerBatch{lastSequence: 2, delta: 2, lastOffset: 45, timestamp: 1_600_000_002_000})
	t.put(s)
	return t
}

// Snapshots have the format of docs/format/producer-snapshot.md, which shows the golden file.
func TestProducerSnapshotFormat(t *testing.T) {
	content := snapshotExample().encode()
	f := func(n int, name string) golden.Field { return golden.Field{Len: n, Name: name} }
	fields := []golden.Field{f(2, "version 1"), f(4, "crc of bytes 6..end"), f(4, "3 producers")}
	for _, p := range []struct{ id, epoch, sequence, offset, delta, coordinator string }{
		{"producer 3", "epoch 1", "no batch is known", "likewise", "likewise", "coordinator epoch 5"},
		{"producer 2000", "epoch 0", "last sequence 9", "last offset 41", "offset delta 9: 10 records", "no coordinator epoch"},
		{"producer 1000", "epoch 2", "last sequence 2", "last offset 45", "offset delta 2: 3 records", "no coordinator epoch"},
	} {
		fields = append(fields, f(8, p.id), f(2, p.epoch), f(4, p.sequence), f(8, p.offset), f(4, p.delta),
			f(8, "timestamp"), f(4, p.coordinator), f(8, "no open transaction"))
	}
	fields = append(fields, f(4, `magic "roll": the tail`), f(2, "tail version 1"),
		f(8, "producer 3: last append"), f(1, "no earlier batch"),
		f(8, "producer 2000: last append"), f(1, "no earlier batch"),
		f(8, "producer 1000: last append"), f(1, "1 earlier batch"),
		f(4, "last sequence 2^31-1"), f(8, "last offset 42"), f(4, "offset delta 0: 1 record"), f(8, "timestamp"))
	dump := golden.Hex(content, fields...)
	golden.Check(t, "producer-snapshot", dump)
	doc, err := os.ReadFile("../docs/format/producer-snapshot.md")
	if err != nil || !bytes.Contains(doc, bytes.TrimSpace(dump)) {
		t.Errorf("docs/format/producer-snapshot.md does not show testdata/producer-snapshot.golden: %v", err)
	}
	back, err := parseProducerSnapshot(content, 46, 0)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, snapshotExample()) {
		t.Errorf("read back %+v", back)
	}
}

// A snapshot that a Kafka wrote has no tail: one batch of each producer is known, and it counts as appended now.
func TestProducerSnapshotOfKafka(t *testing.T) {
	content := snapshotExample().encode()
	content = sealSnapshot(content[:snapshotHeaderSize+3*snapshotProducer])
	table, err := parseProducerSnapshot(content, 46, 77)
	if err != nil {
		t.Fatal(err)
	}
	s := table.byID[1000]
	if last, _ := s.last(); s.count != 1 || last.lastSequence != 2 || last.lastOffset != 45 || s.appendedMs != 77 || len(table.byID) != 3 {
		t.Errorf("%+v", s)
	}
}

// sealSnapshot puts the right crc into a changed snapshot.
func sealSnapshot(p []byte) []byte {
	binary.BigEndian.PutUint32(p[2:], crc32.Checksum(p[snapshotCRCFrom:], castagnoli))
	return p
}

// What a snapshot cannot hold is refused, each with what was found and wanted; no flipped bit goes unnoticed.
func TestBadProducerSnapshots(t *testing.T) {
	f := func(want string, change func(p []byte) []byte) {
		t.Helper()
		_, err := parseProducerSnapshot(change(snapshotExample().encode()), 46, 0)
		if !errors.Is(err, errBadSnapshot) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	cut := func(n int) func(p []byte) []byte { return func(p []byte) []byte { return p[:n] } }
	put := func(at int, bytes ...byte) func(p []byte) []byte {
		return func(p []byte) []byte { copy(p[at:], bytes); return sealSnapshot(p) }
	}
	const first, tail = snapshotHeaderSize, snapshotHeaderSize + 3*snapshotProducer
	f("0 bytes left, want 2", cut(0))
	f("3 bytes left, want 4", cut(9))
	f("crc", cut(60))
	f("crc", func(p []byte) []byte { return append(p, 0) })
	f("version 2, want 1; a newer program wrote it", put(0, 0, 2))
	f("4294967295 producers in ", put(6, 255, 255, 255, 255))
	f("producer -1 epoch 1", put(first, 255, 255, 255, 255, 255, 255, 255, 255))
	f("producer 3 epoch -1", put(first+8, 255, 255))
	f("producer 3: sequence 7 and offset delta 0 without a batch", put(first+10, 0, 0, 0, 7))
	f("producer 3 twice", put(first+snapshotProducer, 0, 0, 0, 0, 0, 0, 0, 3))
	f("last offset 47", put(tail-snapshotProducer+14, 0, 0, 0, 0, 0, 0, 0, 47))
	f("offset delta 255", put(tail-snapshotProducer+22, 0, 0, 0, 255))
	f("last sequence -2", put(tail-snapshotProducer+10, 255, 255, 255, 254))
	f(`magic "rolx"`, put(tail+3, 'x'))
	f("tail version 2", put(tail+5, 2))
	f("producer 3: 1 earlier batches", put(tail+14, 1))
	f("producer 1000: 5 earlier batches", put(tail+6+9+9+8, 5))
	f("batch up to offset 43 before the one from 43 on", put(tail+6+9+9+9+4, 0, 0, 0, 0, 0, 0, 0, 43))
	f("1 bytes behind the tail", func(p []byte) []byte { return sealSnapshot(append(p, 0)) })
	f("bytes left", func(p []byte) []byte { return sealSnapshot(p[:len(p)-1]) })

	whole := snapshotExample().encode()
	for bit := range 8 * len(whole) {
		p := bytes.Clone(whole)
		p[bit/8] ^= 1 << (bit % 8)
		if _, err := parseProducerSnapshot(p, 46, 0); !errors.Is(err, errBadSnapshot) {
			t.Errorf("bit %d flipped: %v", bit, err)
		}
	}
	if _, err := parseProducerSnapshot(whole, 45, 0); !errors.Is(err, errBadSnapshot) {
		t.Errorf("a batch at the snapshot's own offset: %v", err)
	}
}

// The decoder takes any bytes without a panic, and what it accepts is encoded to the same bytes.
func FuzzProducerSnapshot(f *testing.F) {
	f.Add(snapshotExample().encode())
	f.Add(newProducerTable().encode())
	f.Add(sealSnapshot(snapshotExample().encode()[:snapshotHeaderSize+3*snapshotProducer]))
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) >= snapshotHeaderSize {
			p = sealSnapshot(bytes.Clone(p)) // or nothing would get behind the crc
		}
		table, err := parseProducerSnapshot(p, 1<<40, 5)
		if err != nil {
			if table != nil && !errors.Is(err, errBadSnapshot) {
				t.Fatalf("%v", err)
			}
			return
		}
		out := table.encode()
		if end := snapshotHeaderSize + len(table.byID)*snapshotProducer; len(p) == end {
			// A file of Kafka's: ours begins with the same producers.
			if !bytes.Equal(out[snapshotCRCFrom:end], p[snapshotCRCFrom:]) {
				t.Fatalf("producers %x, want %x", out[snapshotCRCFrom:end], p[snapshotCRCFrom:])
			}
		} else if !bytes.Equal(out, p) {
			t.Fatalf("encoded to %x, want %x", out, p)
		}
	})
}
