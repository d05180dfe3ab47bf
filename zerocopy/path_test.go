package zerocopy

import (
	"flag"
	"io"
	"testing"
)

// Every path has a name that reads back, and a wrong one is told the choices.
func TestParsePath(t *testing.T) {
	f := func(s string, want Path, wantErr string) {
		t.Helper()
		p, err := ParsePath(s)
		if p != want || text(err) != wantErr {
			t.Errorf("ParsePath(%q) = %v, %v, want %v, %q", s, p, err, want, wantErr)
		}
		if err == nil && p.String() != s {
			t.Errorf("ParsePath(%q).String() = %q", s, p)
		}
	}
	f("auto", Auto, "")
	f("sendfile", SendFile, "")
	f("splice", Splice, "")
	f("copy", Copy, "")
	f("", Auto, `fetch path "", want auto, sendfile, splice or copy`)
	f("Auto", Auto, `fetch path "Auto", want auto, sendfile, splice or copy`)
	f("mmap", Auto, `fetch path "mmap", want auto, sendfile, splice or copy`)
}

// A Path is a flag's value, and a bad text leaves it as it was.
func TestPathIsAFlag(t *testing.T) {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	var p Path
	flags.TextVar(&p, "fetch-path", Auto, "")
	if err := flags.Parse([]string{"-fetch-path", "splice"}); err != nil || p != Splice {
		t.Errorf("path %v, %v, want splice, nil", p, err)
	}
	if err := flags.Parse([]string{"-fetch-path", "mmap"}); err == nil || p != Splice {
		t.Errorf("path %v, %v, want splice and an error", p, err)
	}
	if got := Path(7).String(); got != "Path(7)" {
		t.Errorf("Path(7).String() = %q", got)
	}
	if _, err := Path(7).MarshalText(); err == nil {
		t.Error("Path(7).MarshalText(): nil, want an error")
	}
}
