package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/internal/doctor"
)

// dumpDir makes a data directory whose content is the same each time but for
// random ids, and returns it.
func dumpDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	e, err := engine.Open(dir, engine.Options{JournalBytes: -1, BallastBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	topic, err := e.CreateTopic(engine.TopicSpec{Name: "orders", Configs: map[string]string{"flush.messages": "100", "index.interval.bytes": "0"}})
	if err != nil {
		t.Fatal(err)
	}
	partition, err := topic.Partition(0)
	if err != nil {
		t.Fatal(err)
	}
	produce := func(options record.BuilderOptions, add func(b *record.Builder) error) {
		t.Helper()
		var b record.Builder
		b.Reset(options)
		if err := add(&b); err != nil {
			t.Fatal(err)
		}
		batch, err := b.Build(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := partition.Produce(t.Context(), &engine.AppendRequest{Batches: batch, Acks: engine.AcksAll}); err != nil {
			t.Fatal(err)
		}
	}
	const at = 1_700_000_000_000
	produce(record.BuilderOptions{}, func(b *record.Builder) error {
		if err := b.Append(at, nil, []byte("a line")); err != nil {
			return err
		}
		return b.Append(at+5, []byte("key"), []byte("tab\t, \xff and é"), record.Header{Key: []byte("host"), Value: []byte("web1")}, record.Header{Key: []byte("none")})
	})
	produce(record.BuilderOptions{Codec: record.CodecSnappy, Producer: &record.Producer{ID: 9, Epoch: 1, BaseSequence: 7}}, func(b *record.Builder) error {
		return b.Append(at+10, []byte{}, nil)
	})
	if _, err := e.AlterTopic("orders", engine.TopicChange{Set: map[string]string{"segment.bytes": "1048576"}, Reset: []string{"flush.messages"}, Partitions: 2}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.InitProducerID(engine.NoProducerID); err != nil {
		t.Fatal(err)
	}
	if err := e.AlterNodeConfigs(engine.NodeConfigChange{AllNodes: true, Set: map[string]string{"log.roll.ms": "5"}}); err != nil {
		t.Fatal(err)
	}
	if err := e.AlterNodeConfigs(engine.NodeConfigChange{Set: map[string]string{"log.roll.ms": "6"}, Reset: []string{"log.roll.ms"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.CreateTopic(engine.TopicSpec{Name: "gone", Configs: map[string]string{"file.delete.delay.ms": "0"}}); err != nil {
		t.Fatal(err)
	}
	if err := e.DeleteTopic("gone"); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// What dump prints of a whole directory, of single files, of damage, as text and as JSON.
func TestDump(t *testing.T) {
	dir := dumpDir(t)
	log := filepath.Join(dir, "orders-0", "00000000000000000000.log")
	tr := &transcript{t: t}
	tr.mask(regexp.QuoteMeta(filepath.Dir(dir)), "DIR")
	tr.mask(`(id |id=|"topic_id":"|"value":")[A-Za-z0-9_-]{22}\b`, "${1}"+idMask)
	tr.mask(`(id |id=|"topic_id":"|"value":")[A-Za-z0-9_-]{21}-`, "${1}"+idMask)
	tr.mask(`"appended":\d+`, `"appended":NOW`)

	tr.mask(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`, "BOOT-ID")
	tr.run("", "dump", dir, "--records")
	tr.run("", "dump", dir, "--records", "--json")
	tr.run("", "dump", log, "--records", "--max-bytes", "3")
	tr.run("", "dump", log, "--records", "--max-bytes", "3", "--json")

	content, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	content[70] ^= 1
	if err := os.WriteFile(log, append(content, "garbage"...), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "orders-0", "leader-epoch-checkpoint"), []byte("0\n1\nx\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tr.run("", "dump", filepath.Join(dir, "orders-0"))
	tr.run("", "dump", log, "--json")
	tr.check("dump")
}

// What check prints of a whole directory and of damage, as text and as JSON, and
// what it refuses.
func TestCheck(t *testing.T) {
	dir := dumpDir(t)
	tr := &transcript{t: t}
	tr.mask(regexp.QuoteMeta(filepath.Dir(dir)), "DIR")
	tr.mask(`topic id [A-Za-z0-9_-]{22}`, "topic id "+idMask)
	tr.mask(`checked in [^;]*;`, "checked in TIME;")
	tr.run("", "check", dir)
	tr.run("", "check", dir, "--json")

	log := filepath.Join(dir, "orders-0", "00000000000000000000.log")
	content, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	content[70] ^= 1
	if err := os.WriteFile(log, append(content, "garbage"...), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "orders-0", "leader-epoch-checkpoint"), []byte("0\n1\nx\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "orders-1", "partition.metadata")); err != nil {
		t.Fatal(err)
	}
	tr.run("", "check", dir)
	tr.run("", "check", dir, "--json")
	tr.run("", "check", filepath.Join(dir, "orders-0"))
	tr.run("", "check", filepath.Join(dir, "missing"))
	tr.run("", "check", dir, "--width", "0")
	tr.check("check")
}

// What repair prints of a directory with damage of each sort, before and while it is
// mended, and of one that has none.
func TestRepair(t *testing.T) {
	dir := dumpDir(t)
	tr := &transcript{t: t}
	tr.mask(regexp.QuoteMeta(filepath.Dir(dir)), "DIR")
	tr.mask(`topic id [A-Za-z0-9_-]{22}`, "topic id "+idMask)
	tr.mask(`checked in [^;]*;`, "checked in TIME;")
	tr.run("", "repair", dir)
	log := filepath.Join(dir, "orders-0", "00000000000000000000.log")
	content, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	content[70] ^= 1
	if err := os.WriteFile(log, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "orders-0", "leader-epoch-checkpoint"), []byte("0\n1\nx\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "orders-1", "partition.metadata")); err != nil {
		t.Fatal(err)
	}
	tr.run("", "repair", dir, "--dry-run")
	tr.run("", "repair", dir, "--dry-run", "--json")
	tr.run("", "repair", dir)
	tr.run("", "repair", filepath.Join(dir, "missing"))
	s := startServer(t, dir)
	tr.run("", "repair", dir)
	s.stop(t)
	tr.check("repair")
}

// The progress line of check.
func TestCheckProgress(t *testing.T) {
	for _, c := range []struct {
		done, total int64
		want        string
	}{
		{0, 0, "100% of 0 B checked, 0 B/s"},
		{512 << 20, 2 << 30, " 25% of 2.0 GiB checked, 256.0 MiB/s"},
		{3 << 30, 2 << 30, "100% of 2.0 GiB checked, 1.5 GiB/s"}, // it has grown
	} {
		if got := checkProgress(c.done, c.total, 2*time.Second); got != c.want {
			t.Errorf("%d of %d: %q, want %q", c.done, c.total, got, c.want)
		}
	}
}

// What doctor prints, and that a failed check is its exit code.
func TestDoctor(t *testing.T) {
	var out lockedBuffer
	p := &program{stdout: output{&out}}
	findings := []doctor.Finding{
		{Status: doctor.OK, Name: "kernel", Found: "6.18.5"},
		{Status: doctor.Warn, Name: "congestion control", Found: "bbr", Remedy: "serve --congestion cubic"},
	}
	if err := p.report(findings, false); err != nil {
		t.Error(err)
	}
	if err := p.report(findings, true); err != nil {
		t.Error(err)
	}
	if err := p.report(append(findings, doctor.Finding{Status: doctor.Fail, Name: "data directory", Found: "a file", Remedy: "take another"}), false); err == nil {
		t.Error("no error of a failed check")
	}
	tr := &transcript{t: t}
	tr.out.WriteString(out.String())
	tr.check("doctor")

	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr := execute(t.Context(), "", "doctor", "--data", file); code != exitFailure || stdout == "" || stderr == "" {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
	if code, stdout, _ := execute(t.Context(), "", "doctor", "--data", t.TempDir(), "--json"); code > exitFailure || stdout == "" {
		t.Errorf("exit code %d, %q", code, stdout)
	}
}
