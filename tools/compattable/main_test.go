package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The page has a row for each suite and one for all, counts each test once, and
// names what did not pass.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	page := filepath.Join(dir, "page.md")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := run(dir, page); err == nil || !strings.Contains(err.Error(), "no results") {
		t.Errorf("without results: %v", err)
	}
	write("b.jsonl", `{"client":"kcat","version":"1.7.1","what":"list","test":"TestList","outcome":"passed"}
{"client":"kcat","version":"1.7.1","what":"list","test":"TestList","outcome":"failed"}
{"client":"kcat","version":"1.7.1","what":"list","test":"TestQuery","outcome":"passed"}
`)
	write("a.jsonl", `{"client":"kcat","version":"1.7.1","what":"consume","test":"TestConsume","outcome":"skipped"}
{"client":"sarama","version":"1","what":"list","test":"TestList","outcome":"passed"}
`)
	if err := run(dir, page); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	want := head + `| kcat | 1.7.1 | consume | 0 | 0 | 1 |
| kcat | 1.7.1 | list | 1 | 1 | 0 |
| sarama | 1 | list | 1 | 0 | 0 |
| all | | | 2 | 1 | 1 |

## What failed

- kcat 1.7.1, list: TestList

## What was skipped

- kcat 1.7.1, consume: TestConsume
`
	if string(got) != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	write("c.jsonl", `{"outcome":"perhaps"}`)
	if err := run(dir, page); err == nil || !strings.Contains(err.Error(), `c.jsonl: line 1: outcome "perhaps"`) {
		t.Errorf("an unknown outcome: %v", err)
	}
}
