package layering

import (
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// Source is one Go file of the module.
type Source struct {
	Package string // path of its folder below the module, "." for the root
	Name    string // slash-separated path of the file below the module
	Text    []byte
	Imports []string // import paths, whatever the build tags of the file
}

// Sources reads every Go file of the module at root, in lexical order. It
// skips what the go command skips: testdata, vendor, folders that begin with
// "." or "_", and nested modules.
//
// All reading goes through package os within this process: only then does the
// go command know which files a test looked at, and reruns it when they change.
func Sources(root string) ([]Source, error) {
	var sources []Source
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skipFolder(root, file, d.Name())
		}
		if !strings.HasSuffix(file, ".go") {
			return nil
		}
		s, err := readSource(file, filepath.ToSlash(rel))
		if err != nil {
			return err
		}
		sources = append(sources, s)
		return nil
	})
	return sources, err
}

// skipFolder returns fs.SkipDir for a folder that holds no package of the module.
func skipFolder(root, folder, base string) error {
	if folder == root {
		return nil
	}
	if base == "testdata" || base == "vendor" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return fs.SkipDir
	}
	switch _, err := os.Stat(filepath.Join(folder, "go.mod")); {
	case err == nil:
		return fs.SkipDir
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return nil
}

// readSource reads one file and parses it as far as its imports.
func readSource(file, name string) (Source, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return Source{}, err
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ImportsOnly)
	if err != nil {
		return Source{}, err
	}
	s := Source{Package: path.Dir(name), Name: name, Text: text}
	for _, spec := range parsed.Imports {
		importPath, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return Source{}, fmt.Errorf("%s: import %s: %w", name, spec.Path.Value, err)
		}
		s.Imports = append(s.Imports, importPath)
	}
	return s, nil
}

// FindRoot returns the nearest folder at or above dir that holds a go.mod.
func FindRoot(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("no go.mod in %s or above", dir)
		}
	}
}
