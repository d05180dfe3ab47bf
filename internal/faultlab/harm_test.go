package faultlab

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Each harm changes a file of each kind, and nothing else.
func TestHarms(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	// Long enough to have a place for each version.
	before := []byte("version: 0 version=1 and more than twenty bytes")
	for _, kind := range FileKinds {
		for _, h := range Harms {
			dir := t.TempDir()
			path, other := filepath.Join(dir, "x"+kind), filepath.Join(dir, "other")
			for _, name := range []string{path, other} {
				if err := os.WriteFile(name, before, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := h.Do(random, kind, path); err != nil {
				t.Errorf("%s %s: %v", kind, h.Name, err)
				continue
			}
			info, err := os.Lstat(path)
			after, _ := os.ReadFile(path)
			if err == nil && info.Mode().IsRegular() && bytes.Equal(after, before) {
				t.Errorf("%s %s: the file is what it was", kind, h.Name)
			}
			if after, _ := os.ReadFile(other); !bytes.Equal(after, before) {
				t.Errorf("%s %s: another file has changed", kind, h.Name)
			}
		}
	}
}

// A log is gone if a byte below its durable end is, unless it stands aside or is
// what it was before it was harmed.
func TestLogsGone(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := func(want ...string) {
		t.Helper()
		now, err := ReadLogs(dir)
		if err != nil {
			t.Fatal(err)
		}
		harmed, original := Logs{"a.log": []byte("abXdtail")}, Logs{"a.log": []byte("abcd")}
		if gone := harmed.Gone(now, original); !slices.Equal(gone, want) {
			t.Errorf("%v of %q are gone, want %v", gone, now, want)
		}
	}
	f("a.log")
	write("a.log", "abXd") // as harmed, its tail cut off
	f()
	write("a.log", "abcd") // mended
	f()
	write("a.log", "abYd")
	f("a.log")
	write("a.log", "abX")
	f("a.log")
	write("a.log.aside", "abXdta")
	f()
}
