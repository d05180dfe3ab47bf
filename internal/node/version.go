package node

import "runtime/debug"

// modulePath is how the module is named where a program lists what it was
// built from.
const modulePath = "github.com/rollway/rollway"

// buildVersion is the version of this module in the running program: its own,
// or that of a dependency when the node is embedded.
func buildVersion() string {
	const unknown = "devel"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return unknown
	}
	module := &info.Main
	for _, d := range info.Deps {
		if d.Path == modulePath {
			module = d
		}
	}
	// go run, go test and builds outside of a checkout have "(devel)".
	if module.Path != modulePath || module.Version == "" || module.Version == "(devel)" || len(module.Version) > 255 {
		return unknown
	}
	return module.Version
}
