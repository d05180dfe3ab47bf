package verify

import (
	"fmt"

	"github.com/rollway/rollway/engine/record"
)

// Severity says what a Finding means.
type Severity string

// The severities.
const (
	// Problem: bytes are not those that were written, or files contradict each
	// other, or one that must be there is missing.
	Problem Severity = "problem"
	// Note: worth knowing, and nothing that is wrong: a file that is not ours, or
	// what the next start will put right by itself.
	Note Severity = "note"
)

// Finding is one thing that an operator should know.
type Finding struct {
	Severity Severity      `json:"severity"`
	Path     string        `json:"path"`           // the file or directory
	Position int64         `json:"position"`       // byte in it where it begins, -1: the file as a whole
	Line     int           `json:"line,omitempty"` // of a text file, from 1
	Offset   record.Offset `json:"offset"`         // the first record that is concerned, -1: none or unknown
	Text     string        `json:"text"`           // what was found and what was wanted

	foreign bool // the name is ours, and what has it is no regular file
}

// String is the finding as one line.
func (f Finding) String() string {
	where := f.Path
	if f.Line > 0 {
		where += fmt.Sprintf(": line %d", f.Line)
	}
	if f.Position >= 0 {
		where += fmt.Sprintf(": at position %d", f.Position)
	}
	if f.Offset >= 0 {
		where += fmt.Sprintf(": offset %d", f.Offset)
	}
	return where + ": " + f.Text
}

// whole is a finding about a file as a whole.
func whole(severity Severity, path, format string, args ...any) Finding {
	return Finding{Severity: severity, Path: path, Position: -1, Offset: -1, Text: fmt.Sprintf(format, args...)}
}

// Summary is what a check has read and found.
type Summary struct {
	// Live: a server has the directory open; Clean: the last one stopped cleanly.
	Live       bool  `json:"live"`
	Clean      bool  `json:"clean"`
	Topics     int   `json:"topics"`
	Partitions int   `json:"partitions"`
	Segments   int64 `json:"segments"`
	Batches    int64 `json:"batches"` // whole ones
	Bytes      int64 `json:"bytes"`   // of .log files
	Problems   int64 `json:"problems"`
	Notes      int64 `json:"notes"`
}
