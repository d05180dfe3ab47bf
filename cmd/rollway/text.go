package main

import (
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// table is rows of text with the columns aligned, under a heading.
type table struct {
	rows [][]string
	// right tells which columns are numbers, which stand at the right.
	right []bool
}

// newTable returns a table with these headings; one that begins with ">" is
// over numbers.
func newTable(headings ...string) *table {
	t := &table{}
	for i, h := range headings {
		name, right := strings.CutPrefix(h, ">")
		headings[i] = name
		t.right = append(t.right, right)
	}
	t.add(headings...)
	return t
}

// add appends a row of as many cells as there are headings.
func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// write writes the table. No line ends in a space.
func (t *table) write(w io.Writer) error {
	widths := make([]int, len(t.right))
	for _, row := range t.rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range t.rows {
		var line strings.Builder
		for i, cell := range row {
			if i > 0 {
				line.WriteString("  ")
			}
			padding := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if t.right[i] {
				line.WriteString(padding + cell)
			} else {
				line.WriteString(cell + padding)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " "))
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeJSON writes v as one indented document.
func writeJSON(w io.Writer, v any) error {
	p, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(p, '\n'))
	return err
}

// number writes an integer; -1, which stands for unknown, as a dash.
func number[T ~int32 | ~int64](n T) string {
	if n == -1 {
		return "-"
	}
	return strconv.FormatInt(int64(n), 10)
}

// timestamp writes milliseconds since 1970 as RFC 3339 in UTC; -1, which
// stands for none, as a dash, and what is no year of four digits as a number.
func timestamp(ms int64) string {
	t := time.UnixMilli(ms).UTC()
	switch {
	case ms == -1:
		return "-"
	case t.Year() < 0 || t.Year() > 9999:
		return strconv.FormatInt(ms, 10)
	}
	return t.Format("2006-01-02T15:04:05.000Z")
}

// excerpt writes bytes as a quoted string with escapes, at most limit of them,
// and null as the word; limit 0 is no limit.
func excerpt(p []byte, limit int) string {
	switch {
	case p == nil:
		return "null"
	case limit > 0 && len(p) > limit:
		return strconv.Quote(string(p[:limit])) + "... (" + strconv.Itoa(len(p)) + " bytes)"
	}
	return strconv.Quote(string(p))
}
