package compat

import (
	"os"
	"path/filepath"
	"testing"
)

// A result is one line for each test that has ended, and what the test came to.
func TestReport(t *testing.T) {
	file = filepath.Join(t.TempDir(), "results")
	defer func() { file = "" }()
	s := Suite{Client: "kcat", Version: "1", What: "list"}
	t.Run("passes", func(t *testing.T) { Report(t, s) })
	t.Run("skips", func(t *testing.T) { Report(t, s); t.SkipNow() })
	if err := add(Result{Suite: s, Test: "x", Outcome: Failed}); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"client":"kcat","version":"1","what":"list","test":"TestReport/passes","outcome":"passed"}
{"client":"kcat","version":"1","what":"list","test":"TestReport/skips","outcome":"skipped"}
{"client":"kcat","version":"1","what":"list","test":"x","outcome":"failed"}
`
	if string(got) != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}
