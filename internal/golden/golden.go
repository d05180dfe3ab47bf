package golden

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// updateFlag is the test flag that makes Check rewrite golden files. A test
// package may register a flag of that name for itself; then both obey it.
const updateFlag = "update"

func init() {
	if flag.Lookup(updateFlag) == nil {
		flag.Bool(updateFlag, false, "rewrite golden files with what the tests produce")
	}
}

// Updating tells whether the test binary runs with -update. Call it after the
// flags are parsed, that is, from within a test.
func Updating() bool {
	f := flag.Lookup(updateFlag)
	return f != nil && f.Value.String() == "true"
}

// Check compares got with the file testdata/<name>.golden of the calling
// package and marks t failed, with the lines that differ, when they are not
// the same bytes or the file is missing. With -update it writes the file
// instead. A name with slashes is a path below testdata.
func Check(t testing.TB, name string, got []byte) {
	t.Helper()
	CheckFile(t, filepath.Join("testdata", filepath.FromSlash(name)+".golden"), got)
}

// CheckFile does what Check does with the file at path, relative to the folder
// of the calling package. It is for generated files that live outside
// testdata, such as pages of docs.
func CheckFile(t testing.TB, path string, got []byte) {
	t.Helper()
	want, err := os.ReadFile(path)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		t.Fatal(err)
	case err == nil && bytes.Equal(got, want):
		return
	case Updating():
		update(t, path, got)
	case err != nil:
		t.Errorf("%s: no such golden file; write it with: make golden", path)
	default:
		t.Errorf("%s differs from what the test produced (- file, + test); if the new text is right, run: make golden\n%s", path, diff(want, got))
	}
}

// update writes the file and its folder.
func update(t testing.TB, path string, got []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, got, 0o666); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: written", path)
}

// diff shows the lines between the first and the last difference, at most
// maxLines of each side, with one line of context around them.
func diff(want, got []byte) string {
	const maxLines = 40
	w, g := splitLines(want), splitLines(got)
	head := 0
	for head < len(w) && head < len(g) && w[head] == g[head] {
		head++
	}
	tail := 0
	for tail < len(w)-head && tail < len(g)-head && w[len(w)-1-tail] == g[len(g)-1-tail] {
		tail++
	}

	var b strings.Builder
	show := func(mark string, lines []string) {
		for i, line := range lines {
			if i == maxLines {
				fmt.Fprintf(&b, "%s ... %d more lines\n", mark, len(lines)-maxLines)
				return
			}
			fmt.Fprintf(&b, "%s %s\n", mark, line)
		}
	}
	fmt.Fprintf(&b, "line %d:\n", head+1)
	show(" ", w[max(0, head-1):head])
	show("-", w[head:len(w)-tail])
	show("+", g[head:len(g)-tail])
	show(" ", w[len(w)-tail:min(len(w), len(w)-tail+1)])
	return b.String()
}

// splitLines cuts text after each newline; the newline itself is shown as
// nothing, except where it is missing at the end of the text or follows a
// carriage return.
func splitLines(text []byte) []string {
	var lines []string
	for line := range bytes.Lines(text) {
		s, ended := strings.CutSuffix(string(line), "\n")
		if !ended {
			s += `\ no newline at the end`
		}
		lines = append(lines, strings.ReplaceAll(s, "\r", `\r`))
	}
	return lines
}
