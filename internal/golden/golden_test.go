package golden

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// recorder is a testing.TB that keeps what a check says instead of failing.
type recorder struct {
	testing.TB
	said strings.Builder
}

func (r *recorder) Helper()                           {}
func (r *recorder) Errorf(format string, args ...any) { fmt.Fprintf(&r.said, format, args...) }
func (r *recorder) Fatal(args ...any)                 { fmt.Fprint(&r.said, args...) }
func (r *recorder) Logf(string, ...any)               {}

// setUpdate sets -update for the rest of the test.
func setUpdate(t *testing.T, value string) {
	t.Helper()
	old := flag.Lookup(updateFlag).Value.String()
	if err := flag.Set(updateFlag, value); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { flag.Set(updateFlag, old) })
}

// A golden file is compared byte for byte; each failure says what to do next.
func TestCheck(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("testdata", 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("testdata/page.golden", []byte("one\ntwo\nthree\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	setUpdate(t, "false")
	f := func(name, got string, want ...string) {
		t.Helper()
		r := &recorder{TB: t}
		Check(r, name, []byte(got))
		if len(want) == 0 && r.said.Len() > 0 {
			t.Errorf("Check(%s, %q) said %q, want nothing", name, got, r.said.String())
		}
		for _, w := range want {
			if !strings.Contains(r.said.String(), w) {
				t.Errorf("Check(%s, %q) said %q, want %q", name, got, r.said.String(), w)
			}
		}
	}

	f("page", "one\ntwo\nthree\n")
	f("page", "one\n2\nthree\n", "make golden", "line 2:\n  one\n- two\n+ 2\n  three\n")
	f("page", "one\ntwo\n", "line 3:\n  two\n- three\n")
	f("page", "one\ntwo\nthree\nfour\n", "line 4:\n  three\n+ four\n")
	f("page", "one\ntwo\nthree", "- three\n+ three\\ no newline at the end\n")
	f("page", "one\ntwo\r\nthree\n", "- two\n+ two\\r\n")
	f("page", "", "line 1:\n- one\n- two\n- three\n")
	f("page", strings.Repeat("x\n", 100), "+ ... 60 more lines\n")
	f("missing", "one\n", filepath.Join("testdata", "missing.golden"), "make golden")
}

// With -update the file holds what the test produced, and the check then passes without it.
func TestUpdate(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, text := range []string{"first\n", "second\n"} {
		setUpdate(t, "true")
		Check(t, "deep/er", []byte(text))
		setUpdate(t, "false")
		Check(t, "deep/er", []byte(text))
	}
}

// A dump names each field, wraps long ones, and shows what is missing or left over.
func TestHex(t *testing.T) {
	f := func(p string, want string, fields ...Field) {
		t.Helper()
		if got := string(Hex([]byte(p), fields...)); got != want {
			t.Errorf("Hex(%q):\n%s\nwant:\n%s", p, got, want)
		}
	}

	f("", "")
	f("\x00\x01\x02", ""+
		"     0  00 01                                            head\n"+
		"     2  02                                               tail\n",
		Field{2, "head"}, Field{1, "tail"})
	f("0123456789abcdefXY", ""+
		"     0  30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66  long\n"+
		"    16  58 59\n",
		Field{18, "long"})
	f("\x07A\xffB", ""+
		"     0  07                                               kind\n"+
		"     1                                                   nothing\n"+
		"     1  41 ff 42                                         |A.B|\n",
		Field{1, "kind"}, Field{0, "nothing"})
	f("\x07", ""+
		"     0  07                                               kind (3 of 4 bytes are missing)\n"+
		"     1                                                   next (2 of 2 bytes are missing)\n",
		Field{4, "kind"}, Field{2, "next"})
}
