package layering

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The module keeps its own rules.
func TestModule(t *testing.T) {
	root, err := FindRoot(".")
	if err != nil {
		t.Fatal(err)
	}
	sources, err := Sources(root)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(sources, func(s Source) bool { return s.Name == "internal/layering/layering_test.go" }) {
		t.Fatalf("%d sources read in %s, and this test is not among them", len(sources), root)
	}
	for _, s := range sources {
		for _, err := range CheckImports(s.Package, s.Imports) {
			t.Errorf("%s: %v", s.Name, err)
		}
		for _, err := range CheckFileCalls(s.Package, s.Name, s.Text) {
			t.Error(err)
		}
	}
}

// No package is listed twice, where its layer would depend on the order of the table.
func TestTable(t *testing.T) {
	seen := map[string]int{}
	for layer, entries := range layers {
		for _, e := range entries {
			if before, twice := seen[e]; twice {
				t.Errorf("%s is in layers %d and %d", e, before, layer)
			}
			seen[e] = layer
			pkg := strings.TrimSuffix(e, "/...")
			if got, unit, ok := layerOf(pkg); !ok || got != layer || unit != e {
				t.Errorf("layerOf(%s) = %d, %q, %v; want %d, %q", pkg, got, unit, ok, layer, e)
			}
		}
	}
}

// Each way to break the layers is an error, and what is allowed is none.
func TestCheckImports(t *testing.T) {
	f := func(pkg string, imports []string, want ...string) {
		t.Helper()
		for i, path := range imports {
			imports[i] = strings.Replace(path, "@", Module, 1)
		}
		matchErrors(t, fmt.Sprintf("CheckImports(%s, %v)", pkg, imports), CheckImports(pkg, imports), want)
	}

	// Allowed.
	f("engine", []string{"@/engine/record", "@/engine/vfs", "@/zerocopy", "@/internal/invariant", "os", "golang.org/x/sys/unix"})
	f("engine", []string{"@/engine"}) // the external test of engine
	f("cmd/rollway", []string{"@/broker", "@/perf/generator", "@/wire/client"})
	f("perf/bench", []string{"@/perf", "@/perf/generator", "@/broker"})
	f("internal/e2e", []string{"@/broker", "@/internal/needs"})
	f("examples/embed", []string{"@/engine", "@/engine/record", "@/zerocopy", "@/wire/client", "@/broker", "net"})
	f("internal/golden", []string{"testing", Module + "er/other"})

	// Upwards and sideways.
	f("engine/record", []string{"@/engine"}, "engine/record (layer 1) imports engine (layer 2), want a lower layer")
	f("engine/record", []string{"@/engine/vfs"}, "engine/record (layer 1) imports engine/vfs (layer 1)")
	f("engine", []string{"@/internal/netloop"}, "engine (layer 2) imports internal/netloop (layer 2)")
	f("internal/golden", []string{"@/internal/needs"}, "layer 0")
	f("wire/server", []string{"@/internal/kafka", "@/internal/admin"}, "internal/kafka", "internal/admin")
	f("perf/bench", []string{"@/cmd/rollway"}, "perf/bench (layer 7) imports cmd/rollway (layer 7)")
	f("internal/e2e", []string{"@/perf"}, "internal/e2e (layer 7) imports perf (layer 7)")

	// Unknown.
	f("internal/helpers", []string{"os"}, "package internal/helpers is in no layer")
	f(".", nil, "package . is in no layer")
	f("engine", []string{"@/internal/helpers"}, "imports internal/helpers, which is in no layer")
	f("engine", []string{"@"}, "imports ., which is in no layer")
	f("enginex", nil, "package enginex is in no layer")

	// Outsiders see what the public sees.
	f("examples/embed", []string{"@/internal/node"}, "examples/embed imports internal/node, want public packages only")
	f("tools/release", []string{"@/wire/server"}, "tools/release imports wire/server")
	f("engine", []string{"@/examples/embed"}, "imports examples/embed, which is in no layer")
}

// The engine calls the file system through the seam only, however the package is named.
func TestCheckFileCalls(t *testing.T) {
	f := func(pkg, name, src string, want ...string) {
		t.Helper()
		matchErrors(t, fmt.Sprintf("CheckFileCalls(%s, %s, %q)", pkg, name, src), CheckFileCalls(pkg, name, []byte(src)), want)
	}
	const open = "package p\nimport \"os\"\nfunc f() { os.Open(\"x\") }\n"

	f("engine", "log.go", open, "log.go:3:12: os.Open, want the call to go through engine/vfs")
	f("engine/record", "batch.go", open, "batch.go:3:12")
	f("engine", "log.go", "package p\nimport file \"os\"\nvar f = file.Rename\n", "file.Rename")
	f("engine", "log.go", "package p\nimport . \"os\"\n", "dot import of os")
	f("engine", "log_linux.go", "package p\nimport \"golang.org/x/sys/unix\"\nfunc f() { unix.Fdatasync(3); unix.Unlink(\"x\") }\n", "unix.Fdatasync", "unix.Unlink")
	f("engine", "log.go", "package p\nimport \"path/filepath\"\nvar f = filepath.Glob\n", "filepath.Glob")
	f("engine", "log.go", "package p\nfunc {", "expected")

	f("engine", "log_test.go", open)
	f("engine/vfs", "os.go", open)
	f("zerocopy", "sendfile_linux.go", open)
	f("engine", "log.go", "package p\nimport \"os\"\nfunc f(file *os.File) error { return os.ErrNotExist }\n")
	f("engine", "log.go", "package p\nimport \"path/filepath\"\nvar f = filepath.Join\n")
}

// Sources reads what the go command would build, under any build tags, and nothing else.
func TestSources(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":          "module m\n",
		"a/a.go":          "package a\nimport \"fmt\"\nfunc f() { this is not parsed",
		"a/a_test.go":     "package a_test\nimport _ \"testing\"\n",
		"a/tag.go":        "//go:build never\n\npackage a\nimport x \"os\"\n",
		"a/testdata/t.go": "not go",
		"b/_old/o.go":     "not go",
		"b/.hidden/h.go":  "not go",
		"b/readme.md":     "not go",
		"nested/go.mod":   "module n\n",
		"nested/n.go":     "not go",
		"vendor/v/v.go":   "not go",
	} {
		file := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	sources, err := Sources(root)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range sources {
		got = append(got, fmt.Sprint(s.Package, " ", s.Name, " ", s.Imports))
	}
	want := []string{"a a/a.go [fmt]", "a a/a_test.go [testing]", "a a/tag.go [os]"}
	if !slices.Equal(got, want) {
		t.Errorf("Sources read %q, want %q", got, want)
	}
	if found, err := FindRoot(filepath.Join(root, "a", "testdata")); err != nil || found != root {
		t.Errorf("FindRoot = %q, %v; want %q", found, err, root)
	}
}

// matchErrors fails the test unless each error holds the wanted text of its place.
func matchErrors(t *testing.T, what string, errs []error, want []string) {
	t.Helper()
	if len(errs) != len(want) {
		t.Errorf("%s gave %q, want %q", what, errs, want)
		return
	}
	for i, err := range errs {
		if !strings.Contains(err.Error(), want[i]) {
			t.Errorf("%s gave %q, want %q", what, err, want[i])
		}
	}
}
