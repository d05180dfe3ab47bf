package main

import (
	"io"
	"log/slog"
)

// newLogger returns the logger that --log-level and --log-format ask for.
func (o *serveOptions) newLogger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: o.logLevel}
	if o.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
