package layering

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strconv"
	"strings"
)

// fileCalls lists, by import path, the functions that open, name, list, write
// or sync files. What works on an open *os.File is not in it: the engine holds
// such files, for sendfile needs them, but it gets them from engine/vfs.
var fileCalls = map[string][]string{
	"os": {
		"Chmod", "Chown", "Chtimes", "CopyFS", "Create", "CreateTemp", "DirFS", "Lchown", "Link", "Lstat", "Mkdir",
		"MkdirAll", "MkdirTemp", "Open", "OpenFile", "OpenInRoot", "OpenRoot", "ReadDir", "ReadFile", "Readlink",
		"Remove", "RemoveAll", "Rename", "Stat", "Symlink", "Truncate", "WriteFile",
	},
	"path/filepath":         {"EvalSymlinks", "Glob", "Walk", "WalkDir"},
	"syscall":               unixFileCalls,
	"golang.org/x/sys/unix": unixFileCalls,
}

// unixFileCalls are those of fileCalls that syscall and unix share.
var unixFileCalls = []string{
	"Creat", "Fallocate", "Fdatasync", "Fsync", "Ftruncate", "Link", "Linkat", "Lstat", "Mkdir", "Mkdirat", "Open",
	"Openat", "Openat2", "Pwrite", "Pwritev", "Pwritev2", "Rename", "Renameat", "Renameat2", "Rmdir", "Stat",
	"Symlink", "Sync", "SyncFileRange", "Syncfs", "Truncate", "Unlink", "Unlinkat", "Write", "Writev",
}

// CheckFileCalls returns an error for each use of a function of fileCalls in
// the Go source src of the package at pkg, a path below Module. It applies to
// engine and the packages below it, except engine/vfs, which is where those
// calls belong, and except test files. The errors name the file as name does.
func CheckFileCalls(pkg, name string, src []byte) []error {
	if _, ok := find([]string{"engine/..."}, pkg); !ok || pkg == "engine/vfs" || strings.HasSuffix(name, "_test.go") {
		return nil
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, src, parser.SkipObjectResolution)
	if err != nil {
		return []error{err}
	}
	watched := map[string][]string{} // by the name the file gives the package
	var errs []error
	for _, spec := range file.Imports {
		importPath, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return []error{err}
		}
		calls, ok := fileCalls[importPath]
		switch {
		case !ok:
		case spec.Name == nil:
			watched[path.Base(importPath)] = calls
		case spec.Name.Name == ".":
			errs = append(errs, fmt.Errorf("%v: dot import of %s, want a name to check calls by", fset.Position(spec.Pos()), importPath))
		default:
			watched[spec.Name.Name] = calls
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && slices.Contains(watched[x.Name], sel.Sel.Name) {
			errs = append(errs, fmt.Errorf("%v: %s.%s, want the call to go through engine/vfs", fset.Position(sel.Pos()), x.Name, sel.Sel.Name))
		}
		return true
	})
	return errs
}
