package engine

import (
	"errors"
	"os"
	"testing"

	"github.com/rollway/rollway/internal/golden"
)

// The file is Kafka's, and comes back as it went.
func TestPartitionMetadataGolden(t *testing.T) {
	id, err := ParseTopicID("S7eq0F2dSkqV7RUfNM8BHQ")
	if err != nil {
		t.Fatal(err)
	}
	fs := openDir(t)
	if err := fs.Mkdir("orders-0"); err != nil {
		t.Fatal(err)
	}
	if _, err := readPartitionMetadata(fs, "orders-0"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v, want %v", err, os.ErrNotExist)
	}
	if err := writePartitionMetadata(fs, "orders-0", id); err != nil {
		t.Fatal(err)
	}
	content := getFile(t, fs, "orders-0/partition.metadata")
	golden.Check(t, "partition.metadata", []byte(content))
	shownIn(t, "data-directory.md", content)
	if got, err := readPartitionMetadata(fs, "orders-0"); got != id || err != nil {
		t.Errorf("read %s, %v; want %s", got, err, id)
	}
}

// Each deviation from the format names file, line, what is there and what should be.
func TestParsePartitionMetadata(t *testing.T) {
	f := func(content, want string) {
		t.Helper()
		_, err := parsePartitionMetadata("the-file", []byte(content))
		if want == "" {
			if err != nil {
				t.Errorf("%q: %v", content, err)
			}
			return
		}
		matchError(t, err, ErrBadCheckpoint, "the-file: "+want)
	}
	f("version: 0\ntopic_id: S7eq0F2dSkqV7RUfNM8BHQ", "")
	f("version: 0\ntopic_id: S7eq0F2dSkqV7RUfNM8BHQ\n", "")
	f("", `line 1: ""`)
	f("version: 1\ntopic_id: S7eq0F2dSkqV7RUfNM8BHQ", `line 1: "version: 1", want "version: 0": engine: unknown format version`)
	f("version: x\n", `line 1: "version: x"`)
	f("0\ntopic_id: S7eq0F2dSkqV7RUfNM8BHQ", `line 1: "0"`)
	f("version: 0", `line 2: "", want "topic_id: "`)
	f("version: 0\nS7eq0F2dSkqV7RUfNM8BHQ", `line 2: "S7eq0F2dSkqV7RUfNM8BHQ"`)
	f("version: 0\ntopic_id: S7eq0F2dSkqV7RUfNM8BH", `line 2`)
	f("version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA", `line 2`)
	f("version: 0\ntopic_id: S7eq0F2dSkqV7RUfNM8BHQ\n\n", `line 2`)
}

func FuzzParsePartitionMetadata(f *testing.F) {
	f.Add([]byte("version: 0\ntopic_id: S7eq0F2dSkqV7RUfNM8BHQ"))
	f.Add([]byte("version: 0\ntopic_id: S7eq0F2dSkqV7RUfNM8BHQ\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		id, err := parsePartitionMetadata("f", content)
		if err != nil {
			if !errors.Is(err, ErrBadCheckpoint) {
				t.Error(err)
			}
			return
		}
		if got := string(encodePartitionMetadata(id)); got != string(content) && got+"\n" != string(content) {
			t.Errorf("%q becomes %q", content, got)
		}
	})
}
