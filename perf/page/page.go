// Package page has what the programs share that write figures into pages: how a
// number is shown, and the marks in a page between which they write.
package page

import (
	"fmt"
	"math"
	"strings"
)

// Digits shows three digits of v, or all before the point, and very small ones by their
// power of ten; "-" of what is no number.
func Digits(v float64) string {
	switch abs := math.Abs(v); {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "-"
	case abs >= 99.95:
		return fmt.Sprintf("%.0f", v)
	case abs >= 9.995:
		return fmt.Sprintf("%.1f", v)
	case abs >= 0.9995:
		return fmt.Sprintf("%.2f", v)
	case abs > 0 && abs < 0.001:
		return fmt.Sprintf("%.1e", v)
	}
	return fmt.Sprintf("%.3f", v)
}

// Marks name the lines of a page between which one program writes.
type Marks string

// Begin is the line before what is written.
func (m Marks) Begin() string { return "<!-- " + string(m) + ":begin -->" }

// End is the line behind it.
func (m Marks) End() string { return "<!-- " + string(m) + ":end -->" }

// Insert puts text between the marks of page; a blank page gets them with it.
func (m Marks) Insert(page, text string) (string, error) {
	text = m.Begin() + "\n\n" + text + "\n" + m.End()
	before, rest, begins := strings.Cut(page, m.Begin())
	_, after, ends := strings.Cut(rest, m.End())
	switch {
	case begins && ends:
		return before + text + after, nil
	case strings.TrimSpace(page) == "":
		return text + "\n", nil
	}
	return "", fmt.Errorf("no lines %s and %s in this order, want them around what is to be replaced", m.Begin(), m.End())
}
