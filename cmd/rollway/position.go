package main

import (
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"fmt"

	"github.com/rollway/rollway/internal/nearest"
)

// position is a flag value: where to begin in a partition.
type position struct {
	text string
	kind positionKind
	n    int64 // offset, or ms since 1970
}

type positionKind uint8

const (
	atEarliest positionKind = iota
	atLatest
	atOffset
	atTime
)

var _ pflag.Value = (*position)(nil)

// Set implements pflag.Value.
func (p *position) Set(text string) error {
	switch {
	case text == "earliest":
		*p = position{text: text, kind: atEarliest}
		return nil
	case text == "latest":
		*p = position{text: text, kind: atLatest}
		return nil
	case strings.HasPrefix(text, "@"):
		ms, err := parseTime(text)
		if err == nil {
			*p = position{text, atTime, ms}
		}
		return err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return fmt.Errorf("%q, want earliest, latest, an offset or @TIME (RFC 3339, or milliseconds since 1970)", nearest.Shorten(text))
	}
	*p = position{text, atOffset, n}
	return nil
}

// String implements pflag.Value.
func (p *position) String() string {
	if p.text == "" {
		return "earliest"
	}
	return p.text
}

// Type implements pflag.Value.
func (p *position) Type() string { return "position" }

// parseTime reads @ and a time: RFC 3339 or milliseconds since 1970. It returns
// the milliseconds, rounded up, so that no earlier record is found by it.
func parseTime(text string) (ms int64, err error) {
	value := strings.TrimPrefix(text, "@")
	if n, err := strconv.ParseInt(value, 10, 64); err == nil && n >= 0 {
		return n, nil
	}
	t, err := time.Parse(time.RFC3339, value)
	if err != nil || t.UnixMilli() < 0 {
		return 0, fmt.Errorf("%q, want @TIME, as @2026-01-31T12:00:00Z or @1769860800000", nearest.Shorten(text))
	}
	ms = t.UnixMilli()
	if t.After(time.UnixMilli(ms)) {
		ms++
	}
	return ms, nil
}
