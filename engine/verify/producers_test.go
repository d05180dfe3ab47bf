package verify

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/record"
)

// Producer snapshots and their list are right as the engine writes them, and what is wrong with one is found.
func TestProducerSnapshots(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	e := openEngine(t, dir)
	p := createTopic(t, e, "t", "4096")
	for i := range int32(3) {
		var b record.Builder
		b.Reset(record.BuilderOptions{Producer: &record.Producer{ID: 7, Epoch: 1, BaseSequence: i}})
		if err := b.Append(1_700_000_000_000, nil, []byte("v")); err != nil {
			t.Fatal(err)
		}
		batch, err := b.Build(nil)
		if err == nil {
			err = p.Produce(t.Context(), &engine.AppendRequest{Batches: batch, Acks: engine.AcksAll})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	closeEngine(t, e)
	if problems, notes, _ := check(t, dir); len(problems)+len(notes) > 0 {
		t.Errorf("%v, %v, want nothing", problems, notes)
	}
	f := func(want string, elem ...string) {
		t.Helper()
		file := filepath.Join(append([]string{dir}, elem...)...)
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		content[len(content)-1] ^= 1
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		problems, _, _ := check(t, dir)
		if len(problems) == 0 || problems[0].Path != file || !strings.Contains(problems[0].Text, want) {
			t.Errorf("%v, want %q of %s", problems, want, file)
		}
		content[len(content)-1] ^= 1
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f("crc", "t-0", "00000000000000000003.snapshot")
	f("want topic, partition and offset", snapshotListFile)
}
