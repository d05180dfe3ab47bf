package result

import (
	"regexp"
	"testing"
)

// Every figure has a name of its own, that says its unit, and a title.
func TestFigures(t *testing.T) {
	name := regexp.MustCompile(`^[a-z0-9]+(_[a-z0-9]+)*$`)
	suffix := map[string]string{
		"MiB/s": "_mib_s", "/s": "_s", "s/GiB": "_s_gib", "us": "_us_req", "ms": "_ms", "/MiB": "_mib", "MiB": "_mib",
		"KiB": "_kib", "cores": "_cores", "s": "_s", "%": "_percent", "x": "", "": "",
	}
	seen := map[string]bool{}
	for _, f := range Figures {
		ends, ok := suffix[f.Unit]
		if !ok || !regexp.MustCompile(ends+"$").MatchString(f.Name) {
			t.Errorf("figure %s: unit %q, want a name that ends in one that this test knows", f.Name, f.Unit)
		}
		if seen[f.Name] || !name.MatchString(f.Name) || f.Title == "" {
			t.Errorf("figure %+v: want a name of its own and a title", f)
		}
		seen[f.Name] = true
		if got, ok := Named(f.Name); !ok || got != f {
			t.Errorf("figure named %s = %+v, %v; want it", f.Name, got, ok)
		}
	}
	if _, ok := Named("speed"); ok {
		t.Error("there is a figure speed, want none")
	}
}
