package layering

import (
	"fmt"
	"strings"
)

// Module is the import path of the module whose packages the table lists.
const Module = "github.com/rollway/rollway"

// layers lists every package of the module, ground floor first, by its path
// below Module. An entry that ends in "/..." stands for the package and all
// below it, which are one unit and may import one another.
var layers = [][]string{
	0: {"internal/compat", "internal/invariant", "internal/golden", "internal/needs", "internal/properties", "internal/nearest", "internal/mutant", "internal/layering"},
	1: {"engine/record", "engine/topicconfig", "engine/vfs", "iouring", "zerocopy", "wire", "internal/metrics", "internal/faultlab"},
	2: {"engine", "internal/netloop", "internal/brokerconfig"},
	3: {"engine/dump", "engine/verify", "wire/client", "internal/coord", "internal/auth"},
	4: {"internal/node", "internal/doctor"},
	5: {"wire/server", "internal/kafka", "internal/admin", "internal/gateway"},
	6: {"broker"},
	7: {"perf/...", "cmd/rollway", "internal/e2e/..."},
}

// public lists what a program outside the module may import; in the module,
// folders of outsiders may import nothing else.
var public = []string{"engine", "engine/...", "iouring", "zerocopy", "wire", "wire/client", "broker"}

// outsiders are the folders that are in no layer.
var outsiders = []string{"examples/...", "tools/..."}

// sideways lists the imports within one layer that are allowed: the bench
// command of the program runs the generator of the lab, and the check of a data
// directory reads its files with the decoders of dump.
var sideways = map[string]string{"cmd/rollway": "perf/...", "engine/verify": "engine/dump"}

// CheckImports returns an error for each import that the package at pkg, a
// path below Module, may not have, and one if pkg is in no layer. Imports are
// full import paths, those of the package's tests included; what lies outside
// the module is not looked at.
func CheckImports(pkg string, imports []string) []error {
	if _, ok := find(outsiders, pkg); ok {
		return checkOutsider(pkg, imports)
	}
	own, ownUnit, ok := layerOf(pkg)
	if !ok {
		return []error{fmt.Errorf("package %s is in no layer; enter it in the table of internal/layering", pkg)}
	}
	var errs []error
	for _, path := range imports {
		dep, inside := inModule(path)
		if !inside {
			continue
		}
		layer, unit, known := layerOf(dep)
		switch {
		case unit == ownUnit && known: // an external test imports its package, a unit itself
		case !known:
			errs = append(errs, fmt.Errorf("%s (layer %d) imports %s, which is in no layer", pkg, own, dep))
		case layer >= own && sideways[pkg] != unit:
			errs = append(errs, fmt.Errorf("%s (layer %d) imports %s (layer %d), want a lower layer", pkg, own, dep, layer))
		}
	}
	return errs
}

// checkOutsider is CheckImports for a package that is in no layer.
func checkOutsider(pkg string, imports []string) []error {
	var errs []error
	for _, path := range imports {
		dep, inside := inModule(path)
		if !inside || dep == pkg {
			continue
		}
		if _, ok := find(public, dep); !ok {
			errs = append(errs, fmt.Errorf("%s imports %s, want public packages only (%s)", pkg, dep, strings.Join(public, ", ")))
		}
	}
	return errs
}

// layerOf returns the layer of the package at pkg and the entry of the table
// that lists it.
func layerOf(pkg string) (layer int, unit string, ok bool) {
	for i, entries := range layers {
		if unit, ok := find(entries, pkg); ok {
			return i, unit, true
		}
	}
	return 0, "", false
}

// find returns the entry that stands for pkg.
func find(entries []string, pkg string) (string, bool) {
	for _, e := range entries {
		root, subtree := strings.CutSuffix(e, "/...")
		if pkg == root || subtree && strings.HasPrefix(pkg, root+"/") {
			return e, true
		}
	}
	return "", false
}

// inModule returns path without Module in front, if it is in the module.
func inModule(path string) (string, bool) {
	if path == Module {
		return ".", true
	}
	return strings.CutPrefix(path, Module+"/")
}
