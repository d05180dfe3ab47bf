package engine

import (
	"errors"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/rollway/rollway/internal/golden"
)

var checkpointExample = offsetCheckpoint{
	{"orders", 10}:  7,
	{"orders", 9}:   42,
	{"a.b-c_D", 0}:  math.MaxInt64,
	{"orders-x", 0}: 0,
}

// The files are Kafka's, and come back as they went.
func TestCheckpointGolden(t *testing.T) {
	fs := openDir(t)
	if err := checkpointExample.write(fs, recoveryPointFile); err != nil {
		t.Fatal(err)
	}
	content := getFile(t, fs, "recovery-point-offset-checkpoint")
	golden.Check(t, "recovery-point-offset-checkpoint", []byte(content))
	shownIn(t, "checkpoints.md", content)
	got, err := readOffsetCheckpoint(fs, recoveryPointFile)
	if err != nil || !maps.Equal(got, checkpointExample) {
		t.Errorf("read %v, %v; want %v", got, err, checkpointExample)
	}

	epochs := epochsOf(t, "0@0 3@42 4@1000")
	if err := fs.Mkdir("orders-0"); err != nil {
		t.Fatal(err)
	}
	if err := epochs.write(fs, "orders-0"); err != nil {
		t.Fatal(err)
	}
	content = getFile(t, fs, "orders-0/leader-epoch-checkpoint")
	golden.Check(t, "leader-epoch-checkpoint", []byte(content))
	shownIn(t, "checkpoints.md", content)
	back, err := readLeaderEpochs(fs, "orders-0")
	if err != nil || !slices.Equal(back.entries, epochs.entries) {
		t.Errorf("read %q, %v; want %q", back.text(), err, epochs.text())
	}
}

// Kafka's empty file holds no entries. Nor does a missing one, but that the
// epochs are missing is told: they can be found in the log.
func TestCheckpointMissing(t *testing.T) {
	fs := openDir(t)
	f := func() {
		t.Helper()
		c, err := readOffsetCheckpoint(fs, logStartOffsetFile)
		if err != nil || c == nil || len(c) != 0 {
			t.Errorf("read %v, %v; want nothing", c, err)
		}
	}
	f()
	putFile(t, fs, logStartOffsetFile, "")
	f()

	_, err := readLeaderEpochs(fs, ".")
	matchError(t, err, os.ErrNotExist, leaderEpochFile)
	putFile(t, fs, leaderEpochFile, "")
	if l, err := readLeaderEpochs(fs, "."); err != nil || len(l.entries) != 0 {
		t.Errorf("read %q, %v; want nothing", l.text(), err)
	}
}

// Each deviation from the format names file, line, what is there and what should be.
func TestParseOffsetCheckpoint(t *testing.T) {
	f := func(content, want string) {
		t.Helper()
		_, err := parseOffsetCheckpoint("the-file", []byte(content))
		if want == "" {
			if err != nil {
				t.Errorf("%q: %v", content, err)
			}
			return
		}
		matchError(t, err, ErrBadCheckpoint, "the-file: "+want)
	}
	f("0\n0\n", "")
	f("0\n2\nb 1 2\na 0 1\n", "") // Kafka does not sort
	f("0", `line 1: "0", want an end of line`)
	f("0\n", `line 2: "", want the number of entries`)
	f("\n", `line 1: "", want version 0`)
	f("x\n0\n", `line 1: "x", want version 0`)
	f("1\n0\n", `line 1: "1", want version 0: engine: unknown format version`)
	f("0\n-1\n", `line 2: "-1", want 0, the number of lines that follow`)
	f("0\n99999999999999999999\n", `line 2: "99999999999999999999", want 0`)
	f("0\n1\n", `line 2: "1", want 0`)
	f("0\n0\na 0 1\n", `line 2: "0", want 1`)
	f("0\n1\na 0 1", `line 3: "a 0 1", want an end of line`)
	f("0\n1\na 0\n", `line 3: "a 0", want topic, partition and offset`)
	f("0\n1\na 0 1 2\n", `line 3: "a 0 1 2"`)
	f("0\n1\na  0 1\n", `line 3: "a  0 1"`)
	f("0\n1\na 0 -1\n", `line 3: "a 0 -1"`)
	f("0\n1\na -1 0\n", `line 3: "a -1 0"`)
	f("0\n1\na 0 01\n", `line 3: "a 0 01"`)
	f("0\n1\na 2147483648 0\n", `line 3`)
	f("0\n1\na 0 9223372036854775808\n", `line 3`)
	f("0\n1\n/ 0 1\n", `line 3: "/ 0 1"`)
	f("0\n1\na 0 1\r\n", `line 3: "a 0 1\r"`)
	f("0\n2\na 0 1\n\n", `line 4: ""`)
	f("0\n2\na 0 1\na 0 2\n", `line 4: "a 0 2", want each partition once`)
	f("0\n1\n"+strings.Repeat("x", 300)+"\n", `line 3: "`+strings.Repeat("x", 80)+`"...`)

	if _, err := parseOffsetCheckpoint("f", []byte("1\n0\n")); !errors.Is(err, ErrUnknownVersion) {
		t.Errorf("version 1: %v, want %v", err, ErrUnknownVersion)
	}
}

func TestParseLeaderEpochs(t *testing.T) {
	f := func(content, want string) {
		t.Helper()
		_, err := parseLeaderEpochs("the-file", []byte(content))
		if want == "" {
			if err != nil {
				t.Errorf("%q: %v", content, err)
			}
			return
		}
		matchError(t, err, ErrBadCheckpoint, "the-file: "+want)
	}
	f("0\n0\n", "")
	f("0\n2\n0 0\n2147483647 9223372036854775807\n", "")
	f("1\n0\n", `line 1: "1", want version 0: engine: unknown format version`)
	f("0\n1\n0\n", `line 3: "0", want epoch and start offset`)
	f("0\n1\n0 1 2\n", `line 3: "0 1 2"`)
	f("0\n1\n-1 0\n", `line 3: "-1 0"`)
	f("0\n1\n2147483648 0\n", `line 3`)
	f("0\n2\n1 5\n1 6\n", `line 4: "1 6", want an epoch above 1 and a start offset above 5`)
	f("0\n2\n1 5\n2 5\n", `line 4: "2 5", want an epoch above 1 and a start offset above 5`)
}

// No content makes a parser panic; what is accepted is the same after one more turn.
func FuzzParseCheckpoint(f *testing.F) {
	f.Add(checkpointExample.encode())
	f.Add([]byte("0\n2\n0 0\n3 42\n"))
	f.Add([]byte("0\n0\n"))
	f.Add([]byte("0\n9999999\na 0 0\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		if c, err := parseOffsetCheckpoint("f", content); err == nil {
			again, err := parseOffsetCheckpoint("f", c.encode())
			if err != nil || !maps.Equal(again, c) {
				t.Errorf("%v becomes %v, %v", c, again, err)
			}
		} else if !errors.Is(err, ErrBadCheckpoint) {
			t.Error(err)
		}
		if l, err := parseLeaderEpochs("f", content); err == nil {
			if len(content) > 0 && string(l.encode()) != string(content) {
				t.Errorf("%q becomes %q", content, l.encode())
			}
		} else if !errors.Is(err, ErrBadCheckpoint) {
			t.Error(err)
		}
	})
}
