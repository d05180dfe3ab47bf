package properties

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// Properties are read as java.util.Properties.load reads them.
func TestParse(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		wantMap := make(map[string]string)
		for i := 0; i < len(want); i += 2 {
			wantMap[want[i]] = want[i+1]
		}
		got, err := Parse(text)
		if err != nil || !maps.Equal(Map(got), wantMap) {
			t.Errorf("%q: %v, %v; want %q", text, got, err, wantMap)
		}
	}
	f("")
	f("# a\n! b\n  # c\n\n \t\n")
	f("# continued \\\nk=v", "k", "v")
	f("k=v", "k", "v")
	f("k = v ", "k", "v ")
	f("k:v\rl v\r\nm\tv\n", "k", "v", "l", "v", "m", "v")
	f("k\nl=\n", "k", "", "l", "")
	f("k==v\nl:=v\nm  :  = v", "k", "=v", "l", "=v", "m", "= v")
	f("k=1\nk=2", "k", "2")
	f(`k\=\:\ \#=\!v\=`, "k=: #", "!v=")
	f(`k=a\tb\nc\rd\fe\zf\\`, "k", "a\tb\nc\rd\fezf\\")
	f(`k=\u00e9\u20AC\uD83D\uDE00`, "k", "é€😀")
	f("k=\xe9\\n\\\xe9", "k", "é\né")
	f("k=a\\\n   b\\\n\tc", "k", "abc")
	f("k=a\\\\\nb=c", "k", `a\`, "b", "c")
	f("k=a\\\n# no comment", "k", "a# no comment")
	f("k=a\\", "k", "a")
	f("=v", "", "v")

	for _, text := range []string{`k=\u`, `k=\u12`, `k=\u12x4`, `\u+123=v`} {
		if got, err := Parse("\n" + text); err == nil || !strings.HasPrefix(err.Error(), "line 2: ") {
			t.Errorf("%q: %v, error %v, want one of line 2", text, got, err)
		}
	}
}

// Properties keep their order and know where they begin, behind comments and continued lines too.
func TestLines(t *testing.T) {
	got, err := Parse("# one\r\nb=2\r\n\na=1\\\n  1\nb=3")
	want := []Property{{"b", "2", 2}, {"a", "11", 4}, {"b", "3", 6}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}

// No text makes the parser panic, and any value comes back as it went.
func FuzzParse(f *testing.F) {
	f.Add("version=1\ncluster.id= \\u00e9\\\n x\nnode.id=0\n")
	f.Fuzz(func(t *testing.T, text string) {
		Parse(text)
		if !utf8.ValidString(text) {
			return
		}
		list, err := Parse("k=" + Escape(text))
		if err != nil || len(list) != 1 || list[0].Value != text {
			t.Errorf("%q becomes %v, %v", text, list, err)
		}
	})
}
