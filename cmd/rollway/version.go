package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/rollway/rollway/wire"
)

// versionInfo is what the program knows of how it was built.
type versionInfo struct {
	Version  string `json:"version"`            // of the module, "devel" if it was not built as one
	Revision string `json:"revision,omitempty"` // of the repository, with "+dirty" when files were changed
	Go       string `json:"go"`
	Platform string `json:"platform"`
	Protocol int    `json:"protocol"` // version of the native protocol
}

func (p *program) newVersion() *cobra.Command {
	var json bool
	cmd := &cobra.Command{
		Use:               "version",
		Short:             "Print the version",
		Args:              arguments(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			v := buildVersion()
			if json {
				return writeJSON(p.stdout, v)
			}
			revision := ""
			if v.Revision != "" {
				revision = ", revision " + v.Revision
			}
			_, err := fmt.Fprintf(p.stdout, "rollway %s%s, protocol %d, %s %s\n", v.Version, revision, v.Protocol, v.Go, v.Platform)
			return err
		},
	}
	cmd.Flags().BoolVar(&json, "json", false, "print JSON")
	return cmd
}

func buildVersion() versionInfo {
	v := versionInfo{Version: "devel", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Protocol: wire.Version}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if m := info.Main.Version; m != "" && m != "(devel)" {
		v.Version = m
	}
	dirty := ""
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.modified":
			if s.Value == "true" {
				dirty = "+dirty"
			}
		}
	}
	if v.Revision != "" {
		v.Revision += dirty
	}
	return v
}
