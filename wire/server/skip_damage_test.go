package server

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/internal/node"
	"github.com/rollway/rollway/wire"
)

// damagedLog returns a server whose t-0 holds n batches of one record each, and
// the bytes of its log. In those that are named a bit of a record has changed
// after a clean stop: nobody knows of it.
func damagedLog(t *testing.T, n int, bad ...int) (f *frontend, log []byte) {
	t.Helper()
	dir := t.TempDir()
	first := openNode(t, func(o *node.Options) { o.DataDir = dir })
	topic, err := first.Engine().CreateTopic(specOf("t", 2))
	if err != nil {
		t.Fatal(err)
	}
	var batches []byte
	for i := range n {
		batches = append(batches, batchOf(t, fmt.Sprintf("value %06d", i))...)
	}
	log = fill(t, topic.Partitions()[0], batches)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	for _, i := range bad {
		log[i*len(log)/n+record.HeaderSize+8] ^= 1
	}
	if err := os.WriteFile(filepath.Join(dir, "t-0", "00000000000000000000.log"), log, 0o600); err != nil {
		t.Fatal(err)
	}
	return openFrontend(t, Options{}, func(o *node.Options) { o.DataDir, o.MaxFrameBytes = dir, 64<<10 }), log
}

// skipped checks that the next frame is a DamageSkipped with these ranges.
func (m *memory) skipped(id uint32, want ...wire.DamagedRange) {
	m.t.Helper()
	d := must(wire.ParseDamageSkipped(m.answer(id, wire.KindDamageSkipped)))(m.t)
	if len(d.Ranges) != len(want) || len(want) > 0 && !reflect.DeepEqual(d.Ranges, want) {
		m.t.Fatalf("request %d: %+v, want %+v", id, d.Ranges, want)
	}
}

// Damage is found where a reader says that there is some; from then on readers
// are told, until they are let past it; what was skipped before is told apart.
func TestSkipDamage(t *testing.T) {
	f, log := damagedLog(t, 9, 3, 6, 7)
	size := len(log) / 9
	m := greeted(t, f)
	damage := func(offset int64, dryRun bool) *wire.SkipDamage {
		return &wire.SkipDamage{Topic: []byte("t"), Offset: offset, DryRun: dryRun}
	}
	m.ask(1, damage(wire.AllDamage, true))
	m.skipped(1)
	m.ask(2, damage(wire.AllDamage, false))
	m.skipped(2)
	m.ask(3, damage(2, true))
	if text := m.refused(3, wire.CodeOffsetOutOfRange); !strings.Contains(text, "t-0 has no damage at 2") {
		t.Errorf("text %q", text)
	}
	three, six := wire.DamagedRange{From: 3, To: 4}, wire.DamagedRange{From: 6, To: 8}
	m.ask(4, damage(7, true))
	m.skipped(4, six)
	m.ask(5, damage(wire.AllDamage, true))
	m.skipped(5, three, six)

	// A dry run lets nobody past.
	told := func(id uint32, offset int64, want string) {
		t.Helper()
		if text := m.refused(id, wire.CodeCorruptBatch); !strings.Contains(text, want) || !strings.Contains(text, "rollway partition skip") {
			t.Errorf("offset %d: text %q, want %q and the command in it", offset, text, want)
		}
	}
	m.ask(6, &wire.Fetch{Topic: []byte("t"), Offset: 3, MaxBytes: 1})
	told(6, 3, "offsets 3 to 3 are damaged")
	m.ask(7, &wire.Subscribe{Topic: []byte("t"), Offset: 7, MaxBytes: 1, Credit: 1})
	told(7, 7, "offsets 6 to 7 are damaged")
	m.ask(8, &wire.Subscribe{Topic: []byte("t"), Offset: 1, MaxBytes: 1 << 20, Credit: 1 << 20})
	if d := m.data(8); !bytes.Equal(d.Batches, log[size:3*size]) {
		t.Errorf("%d bytes up to the damage, want %d", len(d.Batches), 2*size)
	}
	told(8, 3, "offsets 3 to 3 are damaged")

	// What one request has skipped, the next one of the pipeline passes.
	p := damage(3, false).AppendTo(nil, 9)
	p = (&wire.Fetch{Topic: []byte("t"), Offset: 3, MaxBytes: 1}).AppendTo(p, 10)
	m.Receive(p)
	m.skipped(9, three)
	if d := m.data(10); !bytes.Equal(d.Batches, log[4*size:5*size]) {
		t.Errorf("%d bytes at 3, want the batch behind", len(d.Batches))
	}
	m.ask(11, damage(3, false))
	three.Skipped = true
	m.skipped(11, three)
	m.ask(12, damage(wire.AllDamage, false))
	m.skipped(12, three, six)
	six.Skipped = true
	m.ask(13, damage(wire.AllDamage, true))
	m.skipped(13, three, six)

	m.ask(14, &wire.Subscribe{Topic: []byte("t"), MaxBytes: 1 << 20, Credit: 1 << 20})
	want := append(append(bytes.Clone(log[:3*size]), log[4*size:6*size]...), log[8*size:]...)
	var got []byte
	for len(got) < len(want) {
		got = append(got, m.data(14).Batches...)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes of the stream, want the %d without the damage", len(got), len(want))
	}
	m.quiet()
}

// What cannot be skipped is refused with a reason; nothing is skipped that the
// answer could not tell.
func TestSkipDamageRefused(t *testing.T) {
	const pairs = 4000
	var bad []int
	for i := range pairs {
		bad = append(bad, 2*i)
	}
	f, _ := damagedLog(t, 2*pairs, bad...)
	m := greeted(t, f)
	check := func(topic string, partition int32, offset int64, code wire.Code, text string) {
		t.Helper()
		for _, dryRun := range []bool{true, false} {
			m.ask(1, &wire.SkipDamage{Topic: []byte(topic), Partition: partition, Offset: offset, DryRun: dryRun})
			if got := m.refused(1, code); !strings.Contains(got, text) {
				t.Errorf("text %q, want %q in it", got, text)
			}
		}
	}
	check("none", 0, 0, wire.CodeUnknownTopic, `"none"`)
	check("t", 2, 0, wire.CodeUnknownPartition, "t has partitions 0 to 1, asked for 2")
	check("t", 0, 2*pairs, wire.CodeOffsetOutOfRange, "t-0 has no damage")
	check("t", 0, 2*pairs+1, wire.CodeOffsetOutOfRange, "t-0 has offsets 0 to 8000")
	check("t", 0, 1, wire.CodeOffsetOutOfRange, "t-0 has no damage at 1")
	check("t", 0, wire.AllDamage, wire.CodeMessageTooLarge, "t-0 has 4000 damaged ranges, an answer holds at most 3854; name one by its offset")
	m.ask(2, &wire.SkipDamage{Topic: []byte("t"), Offset: 10})
	m.skipped(2, wire.DamagedRange{From: 10, To: 11})
}
