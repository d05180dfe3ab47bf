package dump

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/record"
)

// batch returns a batch with count records at base.
func batch(t *testing.T, base record.Offset, epoch int32, codec record.Codec, count int) []byte {
	t.Helper()
	var b record.Builder
	b.Reset(record.BuilderOptions{BaseOffset: base, Codec: codec})
	for i := range count {
		if err := b.Append(1_700_000_000_000+int64(i), nil, fmt.Appendf(nil, "value %d", int(base)+i)); err != nil {
			t.Fatal(err)
		}
	}
	p, err := b.Build(nil)
	if err != nil {
		t.Fatal(err)
	}
	record.Batch(p).SetLeaderEpoch(epoch)
	return p
}

// write makes a file of that name and returns its path.
func write(t *testing.T, name string, parts ...[]byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, bytes.Join(parts, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// lines returns what Path emits, an item a line, without the File items.
func lines(t *testing.T, path string, options Options) []string {
	t.Helper()
	var got []string
	counted := 0
	problems, err := Path(path, options, func(item Item) error {
		switch item := item.(type) {
		case File:
		case Batch:
			got = append(got, fmt.Sprintf("batch %d: %d..%d", item.Position, item.BaseOffset(), item.LastOffset()))
		case Record:
			got = append(got, fmt.Sprintf("record %d: %s", item.Offset, item.Value))
		case Problem:
			counted++
			where := fmt.Sprint(item.Position)
			if item.Line > 0 {
				where = fmt.Sprintf("line %d", item.Line)
			}
			got = append(got, fmt.Sprintf("problem %s: %s", where, item.Text))
		default:
			got = append(got, fmt.Sprintf("%+v", item))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if problems != counted {
		t.Errorf("%d problems returned, %d emitted", problems, counted)
	}
	return got
}

// want compares lines with what is wanted; a wanted line that ends in "..." is a prefix.
func want(t *testing.T, got []string, wanted ...string) {
	t.Helper()
	equal := slices.EqualFunc(got, wanted, func(g, w string) bool {
		prefix, open := strings.CutSuffix(w, "...")
		return g == w || open && strings.HasPrefix(g, prefix)
	})
	if !equal {
		t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(wanted, "\n  "))
	}
}

const segmentName = "00000000000000000042.log"

// A log is read batch by batch, and around every kind of damage.
func TestLog(t *testing.T) {
	f := func(options Options, parts [][]byte, wanted ...string) {
		t.Helper()
		want(t, lines(t, write(t, segmentName, parts...), options), wanted...)
	}
	a := batch(t, 42, 1, record.CodecNone, 2)
	b := batch(t, 44, 1, record.CodecLZ4, 1)
	c := batch(t, 45, 2, record.CodecNone, 1)
	na, nb := len(a), len(b)
	damaged := slices.Clone(b)
	damaged[len(damaged)-1] ^= 1

	f(Options{}, nil)
	f(Options{}, [][]byte{a, b, c}, "batch 0: 42..43", fmt.Sprintf("batch %d: 44..44", na), fmt.Sprintf("batch %d: 45..45", na+nb))
	f(Options{Records: true}, [][]byte{a, b},
		"batch 0: 42..43", "record 42: value 42", "record 43: value 43",
		fmt.Sprintf("batch %d: 44..44", na), "record 44: value 44")

	// Damage in the middle costs that batch, and its offsets are not missed again.
	f(Options{}, [][]byte{a, damaged, c}, "batch 0: 42..43",
		fmt.Sprintf("problem %d: crc ...", na), fmt.Sprintf("batch %d: 45..45", na+nb))
	f(Options{}, [][]byte{a, c}, "batch 0: 42..43", fmt.Sprintf("batch %d: 45..45", na),
		fmt.Sprintf("problem %d: base offset 45, want 44 (the previous batch ends at 43)", na))
	f(Options{}, [][]byte{a, b, damaged, a}, "batch 0: 42..43", fmt.Sprintf("batch %d: 44..44", na),
		fmt.Sprintf("problem %d: crc ...", na+nb), fmt.Sprintf("batch %d: 42..43", na+2*nb),
		fmt.Sprintf("problem %d: base offset 42, want 45 (the previous batch ends at 44)", na+2*nb))
	// A length that leads nowhere makes the search look at every byte.
	long := slices.Clone(b)
	binary.BigEndian.PutUint32(long[8:], 1<<20)
	f(Options{}, [][]byte{a, long, c}, "batch 0: 42..43",
		fmt.Sprintf("problem %d: batch of 1048588 bytes, but %d remain; %d bytes skipped to the next whole batch", na, nb+len(c), nb),
		fmt.Sprintf("batch %d: 45..45", na+nb))
	// Ends that a crash leaves.
	f(Options{}, [][]byte{a, b[:nb-1]}, "batch 0: 42..43",
		fmt.Sprintf("problem %d: batch of %d bytes, but %d remain; no whole batch in the last %d bytes: a torn tail...", na, nb, nb-1, nb-1))
	f(Options{}, [][]byte{a, b[:20]}, "batch 0: 42..43", fmt.Sprintf("problem %d: 20 bytes remain...", na))
	f(Options{}, [][]byte{a, make([]byte, 300)}, "batch 0: 42..43", fmt.Sprintf("problem %d: batchLength 0...", na))
	// What no crc covers.
	f(Options{}, [][]byte{b}, "batch 0: 44..44", "problem 0: base offset 44, want 42 (as the name of the file says)")
	f(Options{}, [][]byte{a, b, c, batch(t, 46, 1, record.CodecNone, 1)}, "batch 0: 42..43", "batch...", "batch...", "batch...",
		fmt.Sprintf("problem %d: leader epoch 1, want at least 2 as in the previous batch", na+nb+len(c)))
	// Garbage between two batches of a megabyte, so that windows end inside them.
	large := bytes.Repeat([]byte("x"), 1<<20)
	garbage := bytes.Repeat([]byte{0, 0, 2, 0xff}, 5000)
	var builder record.Builder
	builder.Reset(record.BuilderOptions{BaseOffset: 46})
	if err := builder.Append(0, nil, large); err != nil {
		t.Fatal(err)
	}
	d, err := builder.Build(nil)
	if err != nil {
		t.Fatal(err)
	}
	f(Options{}, [][]byte{a, b, c, garbage, d}, "batch 0: 42..43", "batch...", "batch...",
		fmt.Sprintf("problem %d: magic 0, want 2: message formats before Kafka 0.11 are not supported; 20000 bytes skipped...", na+nb+len(c)),
		fmt.Sprintf("batch %d: 46..46", na+nb+len(c)+len(garbage)),
		fmt.Sprintf("problem %d: leader epoch -1...", na+nb+len(c)+len(garbage)))
}

// A length that reaches over whole batches does not hide them: it is believed
// only where nothing whole fills its end. A batch inside a record is none.
func TestDamagedLength(t *testing.T) {
	a := batch(t, 42, 1, record.CodecNone, 1)
	b := batch(t, 43, 1, record.CodecNone, 1)
	c := batch(t, 44, 1, record.CodecNone, 1)
	long := slices.Clone(a)
	binary.BigEndian.PutUint32(long[8:], uint32(len(a)+len(b)-record.Overhead))
	want(t, lines(t, write(t, segmentName, long, b, c), Options{}),
		"problem 0: crc ...",
		fmt.Sprintf("batch %d: 43..43", len(a)), fmt.Sprintf("batch %d: 44..44", len(a)+len(b)))
	want(t, lines(t, write(t, segmentName, long, b), Options{}), "problem 0: crc ...", fmt.Sprintf("batch %d: 43..43", len(a)))

	var builder record.Builder
	builder.Reset(record.BuilderOptions{BaseOffset: 42})
	if err := builder.Append(1, nil, slices.Concat(b, b)); err != nil {
		t.Fatal(err)
	}
	outer, err := builder.Build(nil)
	if err != nil {
		t.Fatal(err)
	}
	outer[30] ^= 1
	want(t, lines(t, write(t, segmentName, outer, b), Options{}), "problem 0: crc ...", fmt.Sprintf("batch %d: 43..43", len(outer)))
}

// One wrong base offset is one problem: what follows is held against what the
// batch should have had. So is a gap.
func TestWrongBaseOffset(t *testing.T) {
	a := batch(t, 42, 1, record.CodecNone, 2)
	b := batch(t, 44, 1, record.CodecNone, 3)
	c := batch(t, 47, 1, record.CodecNone, 1)
	for _, base := range []record.Offset{1, 45, 1 << 40} {
		wrong := slices.Clone(b)
		record.Batch(wrong).SetBaseOffset(base)
		want(t, lines(t, write(t, segmentName, a, wrong, c, batch(t, 48, 1, record.CodecNone, 1)), Options{}),
			"batch 0: 42..43", fmt.Sprintf("batch %d: %d..%d", len(a), base, base+2),
			fmt.Sprintf("problem %d: base offset %d, want 44 (the previous batch ends at 43)", len(a), base),
			fmt.Sprintf("batch %d: 47..47", len(a)+len(b)), "batch ...")
	}
}

// A log that grows while it is read ends where it ended at first, without a problem.
func TestLogGrows(t *testing.T) {
	a, b := batch(t, 42, 1, record.CodecNone, 1), batch(t, 43, 1, record.CodecNone, 1)
	file := write(t, segmentName, a, b[:30])
	grow := func() {
		f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.Write(b[30:]); err != nil {
			t.Fatal(err)
		}
	}
	batches := 0
	problems, err := Path(file, Options{}, func(item Item) error {
		if _, ok := item.(Batch); ok {
			batches++
			grow()
		}
		return nil
	})
	if problems != 0 || err != nil || batches != 1 {
		t.Errorf("%d batches, %d problems, error %v; want 1, 0, none", batches, problems, err)
	}
}

// Records that the batch's crc covers but nobody can read are a problem, and the next batch is read.
func TestBadRecords(t *testing.T) {
	bad := batch(t, 42, 1, record.CodecNone, 1)
	record.Batch(bad).Records()[0] = 0x7f // the length of the record
	record.Batch(bad).SetLogAppendTime(1) // computes the crc again
	got := lines(t, write(t, segmentName, bad, batch(t, 43, 1, record.CodecNone, 1)), Options{Records: true})
	want(t, got, "batch 0: 42..42", "problem 0: ...", fmt.Sprintf("batch %d: 43..43", len(bad)), "record 43: value 43")
}

// Indexes are read entry by entry; what does not rise, padding and half an entry are problems.
func TestIndexes(t *testing.T) {
	f := func(name string, numbers []any, wanted ...string) {
		t.Helper()
		var p []byte
		for _, n := range numbers {
			p, _ = binary.Append(p, binary.BigEndian, n)
		}
		want(t, lines(t, write(t, name, p), Options{}), wanted...)
	}
	u, l := func(n int) uint32 { return uint32(n) }, func(n int) uint64 { return uint64(n) }
	const offsets, times = "00000000000000000042.index", "00000000000000000042.timeindex"

	f(offsets, nil)
	f(offsets, []any{u(0), u(0x10000), u(8), u(0x20000)}, "{Offset:42 Position:65536}", "{Offset:50 Position:131072}")
	f(offsets, []any{u(8), u(100), u(8), u(200), u(9), u(150)}, "{Offset:50 Position:100}",
		"{Offset:50 Position:200}", "problem 8: offset 50 does not rise: 50 before it",
		"{Offset:51 Position:150}", "problem 16: position 150 does not rise: 200 before it")
	f(offsets, []any{u(8), u(100), u(0), u(0), u(0), u(0)}, "{Offset:50 Position:100}", "problem 8: 2 entries of zeros up to the end, want none")
	f(offsets, []any{u(0), u(0)}, "problem 0: 1 entries of zeros up to the end, want none")
	f(offsets, []any{u(8), u(100), u(7)}, "problem 8: 4 bytes remain, want an entry of 8", "{Offset:50 Position:100}")
	f(offsets, []any{u(-1), u(100)}, "{Offset:41 Position:100}", "problem 0: relative offset -1, position 100, want neither negative")
	f("copied.index", []any{u(8), u(100)}, "{Offset:8 Position:100}")
	f(times, []any{l(1000), u(5), l(2000), u(9)}, "{Timestamp:1000 Offset:47}", "{Timestamp:2000 Offset:51}")
	f(times, []any{l(2000), u(5), l(1000), u(9), l(3000), u(9)}, "{Timestamp:2000 Offset:47}",
		"{Timestamp:1000 Offset:51}", "problem 12: timestamp 1000 does not rise: 2000 before it",
		"{Timestamp:3000 Offset:51}", "problem 24: offset 51 does not rise: 51 before it")
}

// Text files are read line by line, bad lines are named, the others still read.
func TestTextFiles(t *testing.T) {
	f := func(name, content string, wanted ...string) {
		t.Helper()
		want(t, lines(t, write(t, name, []byte(content)), Options{}), wanted...)
	}
	const points, epochs = "recovery-point-offset-checkpoint", "leader-epoch-checkpoint"
	f(points, "")
	f(points, "0\n2\norders 9 42\norders 10 7\n", "{Topic:orders Partition:9 Offset:42}", "{Topic:orders Partition:10 Offset:7}")
	f(points, "1\n3\norders 9 x\norders 10 7", `problem line 1: "1", want version 0`, `problem line 2: "3", want 2, the number of lines that follow`,
		`problem line 3: "orders 9 x", want topic, partition and offset with single spaces`, "{Topic:orders Partition:10 Offset:7}",
		`problem line 4: "orders 10 7", want an end of line`)
	f(points, "0\n", "problem line 2: no number of entries")
	f("log-start-offset-checkpoint", "0\n1\na 0 1\n", "{Topic:a Partition:0 Offset:1}")
	f(epochs, "0\n2\n0 0\n3 42\n", "{Epoch:0 Start:0}", "{Epoch:3 Start:42}")
	f(epochs, "0\n2\n3 42\n2 50\n", "{Epoch:3 Start:42}", "{Epoch:2 Start:50}", `problem line 4: "2 50", want an epoch above 3 and a start offset above 42`)
	f("meta.properties", "version=1\ncluster.id=a\nnode.id=0\n", "{Key:version Value:1}", "{Key:cluster.id Value:a}", "{Key:node.id Value:0}")
	f("meta.properties", "version=2\nnode.id=0\n", "{Key:version Value:2}", "{Key:node.id Value:0}", `problem -1: version "2", want 1`, "problem -1: no cluster.id, want one")
	f("meta.properties", `a=\u1`, "problem -1: line 1: ...")
	f("partition.metadata", "version: 0\ntopic_id: S7eq0F2dSkqV7RUfNM8BHQ", "{Key:version Value:0}", "{Key:topic_id Value:S7eq0F2dSkqV7RUfNM8BHQ}")
	f("partition.metadata", "version: 1", `problem line 1: "version: 1", want "version: 0"`, "problem line 2: no line, want topic_id")
	f(".kafka_cleanshutdown", `{}`, `{Key:content Value:"{}"}`)
	f("something.else", "whatever")
}

// frame returns a frame of the metadata log with one record.
func frame(number uint64, kind byte, fields ...any) []byte {
	p := binary.BigEndian.AppendUint64(make([]byte, 4), number)
	p = append(p, kind, 1)
	if kind < 6 { // the others are not of a topic
		p = append(p, make([]byte, 15)...)
		p = append(p, 7)
	}
	for _, field := range fields {
		if s, ok := field.(string); ok {
			p = append(binary.BigEndian.AppendUint16(p, uint16(len(s))), s...)
			continue
		}
		p, _ = binary.Append(p, binary.BigEndian, field)
	}
	binary.BigEndian.PutUint32(p, uint32(len(p)+8-4))
	return binary.BigEndian.AppendUint64(p, xxhash.Sum64(p))
}

// The metadata log is read commit by commit, around a damaged one and up to an unfinished one.
func TestMetadataLog(t *testing.T) {
	header := append([]byte(metadataMagic), 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0)
	header = binary.BigEndian.AppendUint64(header, xxhash.Sum64(header))
	topic := frame(1, 1, int32(3), "orders", uint16(1), "flush.ms", "5")
	config := frame(2, 3, byte(0), "flush.ms", "6")
	remove := frame(3, 4)
	damaged := slices.Clone(config)
	damaged[len(damaged)-1] ^= 1
	at := len(header) + len(topic)

	f := func(parts [][]byte, wanted ...string) {
		t.Helper()
		want(t, lines(t, write(t, "rollway-metadata.log", parts...), Options{}), wanted...)
	}
	const id = "AAAAAAAAAAAAAAAAAAAABw"
	created := "{Position:28 Number:1 Snapshot:false Changes:[{Kind:topic TopicID:" + id + " Name:orders Partitions:3 Configs:[{Key:flush.ms Value:5}] Node: NextProducerID:0}]}"
	f([][]byte{header})
	f([][]byte{header, topic, config, remove}, created,
		fmt.Sprintf("{Position:%d Number:2 Snapshot:false Changes:[{Kind:set config TopicID:"+id+" Name: Partitions:0 Configs:[{Key:flush.ms Value:6}] Node: NextProducerID:0}]}", at),
		"{Position:...")
	f([][]byte{header, topic, frame(2, 6, int64(2000))}, created,
		fmt.Sprintf("{Position:%d Number:2 Snapshot:false Changes:[{Kind:producer ids TopicID: Name: Partitions:0 Configs:[] Node: NextProducerID:2000}]}", at))
	f([][]byte{header, topic, frame(2, 7, int32(-1), byte(0), "log.roll.ms", "5", byte(7), byte(1), int32(3), byte(1), "log.roll.ms", "")}, created,
		fmt.Sprintf("{Position:%d Number:2 Snapshot:false Changes:[{Kind:set node config TopicID: Name: Partitions:0 Configs:[{Key:log.roll.ms Value:5}] Node:all NextProducerID:0} "+
			"{Kind:remove node config TopicID: Name: Partitions:0 Configs:[{Key:log.roll.ms Value:}] Node:3 NextProducerID:0}]}", at))
	f([][]byte{header, topic, damaged, remove}, created, fmt.Sprintf("problem %d: frame checksum ...", at),
		"{Position:...", fmt.Sprintf("problem %d: commit 3, want 2", at+len(damaged)))
	f([][]byte{header, topic, config[:len(config)-1]}, created, fmt.Sprintf("problem %d: frame of ...", at))
	f([][]byte{header, topic, frame(2, 9)}, created, fmt.Sprintf("problem %d: commit 2: record 0: kind 9 version 1, want...", at))
	f([][]byte{[]byte("rollmetb"), header[8:], topic}, `problem 0: magic "rollmetb", want "rollmeta"`, created)
	f([][]byte{header[:10]}, "problem 0: 10 bytes, want a header of 28")
}

// A producer snapshot is read producer by producer, with and without the tail, and around what is wrong with it.
func TestProducerSnapshot(t *testing.T) {
	i16, i32, i64 := binary.BigEndian.AppendUint16, binary.BigEndian.AppendUint32, binary.BigEndian.AppendUint64
	b := func(sequence, offset, delta, timestamp int) []byte {
		return i64(i32(i64(i32(nil, uint32(sequence)), uint64(offset)), uint32(delta)), uint64(timestamp))
	}
	producer := func(id, epoch int, last []byte) []byte {
		return i64(i32(append(i16(i64(nil, uint64(id)), uint16(epoch)), last...), 1<<32-1), 1<<64-1)
	}
	sealed := func(version int, producers int, parts ...[]byte) []byte {
		rest := i32(nil, uint32(producers))
		for _, part := range parts {
			rest = append(rest, part...)
		}
		return append(i32(i16(nil, uint16(version)), crc32.Checksum(rest, crc32.MakeTable(crc32.Castagnoli))), rest...)
	}
	f := func(content []byte, wanted ...string) {
		t.Helper()
		want(t, lines(t, write(t, "00000000000000000042.snapshot", content), Options{}), wanted...)
	}
	one, two := producer(7, 1, b(9, 41, 9, 1000)), producer(8, 0, b(3, 20, 0, 900))
	const (
		last7 = "{ID:7 Epoch:1 Last:{LastSequence:9 LastOffset:41 OffsetDelta:9 Timestamp:1000} CoordinatorEpoch:-1 CurrentTxnFirstOffset:-1 "
		last8 = "{ID:8 Epoch:0 Last:{LastSequence:3 LastOffset:20 OffsetDelta:0 Timestamp:900} CoordinatorEpoch:-1 CurrentTxnFirstOffset:-1 "
		bare  = "AppendedMs:0 Earlier:[]}"
	)
	tail := bytes.Join([][]byte{[]byte("roll\x00\x01"), i64(nil, 5000), {0}, i64(nil, 6000), {1}, b(2, 10, 1, 800)}, nil)
	f(sealed(1, 2, one, two), last7+bare, last8+bare)
	f(sealed(1, 2, one, two, tail), last7+"AppendedMs:5000 Earlier:[]}",
		last8+"AppendedMs:6000 Earlier:[{LastSequence:2 LastOffset:10 OffsetDelta:1 Timestamp:800}]}")
	f(sealed(1, 0))
	damaged := sealed(1, 2, one, two)
	damaged[3] ^= 1
	f(damaged, "problem 2: crc ...", last7+bare, last8+bare)
	f(sealed(2, 2, one, two), "problem 0: version 2, want 1")
	f(damaged[:9], "problem 0: 9 bytes, want a head of 10")
	f(sealed(1, 3, one, two), "problem 6: 3 producers, want at most 2 in 102 bytes")
	f(sealed(1, 2, one, two, []byte("rol")), "problem 102: 3 bytes behind the producers, ...", last7+bare, last8+bare)
	f(sealed(1, 2, one, two, tail[:20]), "problem 102: tail: producer 1 of 2: 5 bytes left, want 9", last7+"AppendedMs:5000 Earlier:[]}", last8+bare)
	f(sealed(1, 2, one, two, tail, []byte{0}), "problem 102: 1 bytes behind the tail, want none", last7+"...", last8+"...")
	f(sealed(1, 2, one, one), last7+bare, last7+bare, "problem 56: producer 7 twice")
	f(sealed(1, 1, producer(7, 1, b(9, 42, 9, 1000))), "{ID:7 ...", "problem 10: producer 7: batch with last sequence 9, last offset 42 ...")
	f(sealed(1, 1, producer(7, 1, b(-1, -1, 4, 1000))), "{ID:7 ...", "problem 10: producer 7: no last batch, but ...")
}

// What the engine writes is read to the end without a problem, also while the engine has it open.
func TestEngineDirectory(t *testing.T) {
	dir := t.TempDir()
	e, err := engine.Open(dir, engine.Options{TopicDefaults: map[string]string{"segment.bytes": "1048576"}})
	if err != nil {
		t.Fatal(err)
	}
	topic, err := e.CreateTopic(engine.TopicSpec{Name: "orders", Partitions: 2, Configs: map[string]string{"flush.messages": "1000"}})
	if err != nil {
		t.Fatal(err)
	}
	const batches = 40
	for i := range batches {
		p, err := topic.Partition(int32(i % 2))
		if err != nil {
			t.Fatal(err)
		}
		value := bytes.Repeat([]byte{byte(i)}, 100_000)
		var b record.Builder
		b.Reset(record.BuilderOptions{Producer: &record.Producer{ID: 5, BaseSequence: int32(i / 2)}})
		if err := b.Append(int64(1000+i), nil, value); err != nil {
			t.Fatal(err)
		}
		built, err := b.Build(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Produce(t.Context(), &engine.AppendRequest{Batches: built, Acks: engine.AcksAll}); err != nil {
			t.Fatal(err)
		}
	}
	check := func(when string, least int) {
		t.Helper()
		kinds := map[Kind]int{}
		items := map[string]int{}
		problems, err := Path(dir, Options{Records: true}, func(item Item) error {
			if f, ok := item.(File); ok {
				kinds[f.Kind]++
			}
			if p, ok := item.(Problem); ok {
				t.Errorf("%s: problem %+v", when, p)
			}
			items[fmt.Sprintf("%T", item)]++
			return nil
		})
		if err != nil || problems != 0 {
			t.Fatalf("%s: %d problems, error %v", when, problems, err)
		}
		if items["dump.Batch"] != batches || items["dump.Record"] != batches || kinds[KindLog] < 4 || kinds[KindOther] != 0 || items["dump.OffsetEntry"] < least || items["dump.Producer"] < least/10 {
			t.Errorf("%s: %v, %v", when, items, kinds)
		}
	}
	check("open", 0)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	check("closed", 10)
}

// A path that is not there is an error, and what emit returns ends the reading.
func TestErrors(t *testing.T) {
	if _, err := Path(filepath.Join(t.TempDir(), "missing"), Options{}, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	if _, err := Path(filepath.Join(t.TempDir(), "missing", "file"), Options{}, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing in missing: %v", err)
	}
	stop := errors.New("stop")
	calls := 0
	a := batch(t, 42, 1, record.CodecNone, 1)
	_, err := Path(write(t, segmentName, a, a), Options{Records: true}, func(Item) error {
		if calls++; calls == 3 {
			return stop
		}
		return nil
	})
	if err != stop || calls != 3 {
		t.Errorf("%d calls, error %v; want 3, %v", calls, err, stop)
	}
}

// No content of any file makes the reader panic, hang or allocate without a bound.
func FuzzPath(f *testing.F) {
	names := []string{segmentName, "00000000000000000042.index", "00000000000000000042.timeindex", "leader-epoch-checkpoint",
		"recovery-point-offset-checkpoint", "rollway-metadata.log", "meta.properties", "partition.metadata",
		"00000000000000000042.snapshot", "rollway-producer-snapshots"}
	f.Add(uint8(0), []byte("\x00\x00\x00\x00\x00\x00\x00\x2a\x00\x00\x00\x57"))
	f.Add(uint8(5), frame(1, 1, int32(3), "orders", uint16(1), "flush.ms", "5"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, kind uint8, content []byte) {
		file := filepath.Join(dir, names[int(kind)%len(names)])
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Path(file, Options{Records: true}, func(Item) error { return nil }); err != nil {
			t.Error(err)
		}
	})
}

// The journal of a directory as a killed server leaves it is read record by
// record; a record that is damaged in front of a whole one is a problem, one at the
// very end is what a crash leaves, and a damaged copy of the header is one of two.
func TestJournal(t *testing.T) {
	e, err := engine.Open(t.TempDir(), engine.Options{Log: slog.New(slog.DiscardHandler), JournalBytes: 1 << 20, BallastBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	topic, err := e.CreateTopic(engine.TopicSpec{Name: "t"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := topic.Partition(0)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(e.Path(), "rollway-journal")
	records := func(content []byte) (found []JournalRecord, problems []Problem) {
		t.Helper()
		file := write(t, "rollway-journal", content)
		if _, err := Path(file, Options{}, func(item Item) error {
			switch i := item.(type) {
			case JournalRecord:
				found = append(found, i)
			case Problem:
				problems = append(problems, i)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return found, problems
	}
	// The journal is made in the background; what comes before is synced itself.
	var content []byte
	var found []JournalRecord
	for n := 0; len(found) < 3; n++ {
		r := &engine.AppendRequest{Batches: batch(t, 0, -1, record.CodecNone, 2), Acks: engine.AcksAll}
		if err := p.Produce(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if content, err = os.ReadFile(name); err == nil {
			var problems []Problem
			if found, problems = records(content); len(problems) > 0 {
				t.Fatalf("problems %v", problems)
			}
		}
	}
	last := found[len(found)-1]
	if e := last.Entries[len(last.Entries)-1]; e.TopicID != topic.ID().String() || e.Bytes == 0 || e.Next != p.Offsets().HighWatermark {
		t.Errorf("last entry %+v, want the batch that ends at %d", e, p.Offsets().HighWatermark)
	}
	harmed := func(at int64) ([]JournalRecord, []Problem) {
		changed := slices.Clone(content)
		changed[at] ^= 1
		return records(changed)
	}
	if got, problems := harmed(last.Position + 50); len(got) != len(found)-1 || len(problems) != 0 {
		t.Errorf("the last record damaged: %d records, problems %v", len(got), problems)
	}
	first := found[0]
	if got, problems := harmed(first.Position + 50); len(got) != 0 || len(problems) != 1 || problems[0].Position != first.Position {
		t.Errorf("the first record damaged: %d records, problems %v", len(got), problems)
	}
	for _, at := range []int64{1, 4096 + 30} {
		if got, problems := harmed(at); len(got) != len(found) || len(problems) != 1 {
			t.Errorf("header damaged at %d: %d records, problems %v", at, len(got), problems)
		}
	}
}

// A quarantine is read range by range, and each way to damage it is a problem.
func TestQuarantine(t *testing.T) {
	build := func(ranges ...[6]uint64) []byte {
		p := append([]byte("rollquar"), 0, 0, 0, 1)
		p = binary.BigEndian.AppendUint32(p, uint32(len(ranges)))
		for _, r := range ranges {
			for _, field := range r {
				p = binary.BigEndian.AppendUint64(p, field)
			}
		}
		return binary.BigEndian.AppendUint64(p, xxhash.Sum64(p))
	}
	f := func(content []byte, wanted ...string) {
		t.Helper()
		want(t, lines(t, write(t, "rollway-quarantine", content), Options{}), wanted...)
	}
	a, b := [6]uint64{0, 5, 7, 100, 220, 0}, [6]uint64{40, 43, 44, 0, 0, 1}
	f(build(), []string{}...)
	f(build(a, b), "{Segment:0 From:5 To:7 Start:100 End:220 Skipped:false}", "{Segment:40 From:43 To:44 Start:0 End:0 Skipped:true}")
	f(build(b, a), "{Segment:40...", "{Segment:0...", "problem 64: offset 5, want it behind the range before, which ends at 44")
	f(build([6]uint64{9, 5, 7, 100, 220, 0}), "{...", "problem 16: offsets 5 to 7 at 100 to 220 of segment 9, want them to rise")
	f(build([6]uint64{0, 5, 7, 100, 220, 2}), "{...", "problem 16: skipped is 2, want 0 or 1")
	damaged := build(a)
	damaged[60] ^= 1
	f(damaged, "problem 64: checksum ...", "{...", "problem 16: skipped is...")
	f(build(a)[:30], "problem 12: 1 ranges in 30 bytes, want 72 bytes")
	f(nil, "problem 0: 0 bytes, want at least 24")
	f([]byte("rollquar\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), "problem 8: version 2, want 1")

	want(t, lines(t, write(t, "rollway-boot", []byte("abc\n")), Options{}), "{Key:boot Value:abc}")
	want(t, lines(t, write(t, "rollway-boot", []byte("abc")), Options{}), `problem line 1: "abc", want an id and an end of line`)
}
