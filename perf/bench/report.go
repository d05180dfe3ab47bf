package main

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/rollway/rollway/perf/page"
	"github.com/rollway/rollway/perf/sample"
)

// results are all that a run has to tell.
type results struct {
	conditions []condition
	tables     []table
}

// condition is one line of what figures hold under.
type condition struct{ name, text string }

// table is one comparison.
type table struct {
	title   string
	note    string   // what is the same for all contestants
	columns []string // the first is the contestant
	rows    [][]string
	targets []target
	remarks []string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// target is a bound that a figure is held against.
type target struct {
	what  string
	value float64
	bound float64
	least bool // the bound is the least that will do, else the most
}

func atMost(what string, value, bound float64) target { return target{what, value, bound, false} }

func atLeast(what string, value, bound float64) target { return target{what, value, bound, true} }

func (t target) met() bool {
	if t.least {
		return t.value >= t.bound
	}
	return t.value <= t.bound
}

func (t target) String() string {
	verdict, sign := "MISSED", "<="
	if t.met() {
		verdict = "met"
	}
	if t.least {
		sign = ">="
	}
	return fmt.Sprintf("target %s: %s: %.2fx, want %s %.2fx", verdict, t.what, t.value, sign, t.bound)
}

// missed returns how many targets were not met, of how many.
func (r results) missed() (missed, all int) {
	for _, t := range r.tables {
		for _, target := range t.targets {
			all++
			if !target.met() {
				missed++
			}
		}
	}
	return missed, all
}

// number shows the median of a series.
func number(s sample.Series) string { return page.Digits(s.Median()) }

// spread shows the lowest and the highest of its values.
func spread(s sample.Series) string {
	lowest, highest := s.Spread()
	return page.Digits(lowest) + " - " + page.Digits(highest)
}

// String is for a terminal.
func (r results) String() string {
	var b strings.Builder
	width := 0
	for _, c := range r.conditions {
		width = max(width, len(c.name))
	}
	for _, c := range r.conditions {
		fmt.Fprintf(&b, "%-*s  %s\n", width, c.name, c.text)
	}
	for _, t := range r.tables {
		fmt.Fprintf(&b, "\n%s\n%s\n\n", t.title, t.note)
		widths := t.widths()
		for _, cells := range append([][]string{t.columns}, t.rows...) {
			b.WriteString(strings.TrimRight(" "+alignedRow(cells, widths, " "), " ") + "\n")
		}
		for _, line := range t.lines() {
			fmt.Fprintf(&b, "  %s\n", line)
		}
	}
	if missed, all := r.missed(); all > 0 {
		fmt.Fprintf(&b, "\n%d of %d targets met\n", all-missed, all)
	}
	return b.String()
}

// markdown is for docs/measurements.md.
func (r results) markdown() string {
	var b strings.Builder
	b.WriteString("| condition | |\n|---|---|\n")
	for _, c := range r.conditions {
		fmt.Fprintf(&b, "| %s | %s |\n", c.name, strings.ReplaceAll(c.text, "|", `\|`))
	}
	for _, t := range r.tables {
		fmt.Fprintf(&b, "\n### %s%s\n\n%s.\n\n", strings.ToUpper(t.title[:1]), t.title[1:], t.note)
		widths := t.widths()
		fmt.Fprintf(&b, "|%s|\n|", alignedRow(t.columns, widths, "|"))
		for i, width := range widths {
			if i == 0 {
				b.WriteString(strings.Repeat("-", width+2) + "|")
			} else {
				b.WriteString(strings.Repeat("-", width+1) + ":|")
			}
		}
		b.WriteByte('\n')
		for _, cells := range t.rows {
			fmt.Fprintf(&b, "|%s|\n", alignedRow(cells, widths, "|"))
		}
		if lines := t.lines(); len(lines) > 0 {
			b.WriteByte('\n')
			for _, line := range lines {
				fmt.Fprintf(&b, "- %s\n", line)
			}
		}
	}
	return b.String()
}

// lines are the targets and remarks.
func (t *table) lines() []string {
	var lines []string
	for _, target := range t.targets {
		lines = append(lines, target.String())
	}
	return append(lines, t.remarks...)
}

// widths returns the width of each column.
func (t *table) widths() []int {
	widths := make([]int, len(t.columns))
	for _, cells := range append([][]string{t.columns}, t.rows...) {
		for i, cell := range cells {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	return widths
}

// alignedRow joins cells: the first to the left of its column, the others,
// which are numbers, to the right.
func alignedRow(cells []string, widths []int, separator string) string {
	padded := make([]string, len(cells))
	for i, cell := range cells {
		fill := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
		if i == 0 {
			padded[i] = " " + cell + fill + " "
		} else {
			padded[i] = " " + fill + cell + " "
		}
	}
	return strings.Join(padded, separator)
}

// marks are those between which docs/measurements.md has what a run has printed.
const marks = page.Marks("bench")

// bytesText shows a round number of bytes.
func bytesText(n int64) string {
	for _, unit := range []struct {
		shift int
		name  string
	}{{30, "GiB"}, {20, "MiB"}, {10, "KiB"}} {
		if n >= 1<<unit.shift && n%(1<<unit.shift) == 0 {
			return fmt.Sprintf("%d %s", n>>unit.shift, unit.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}

// plural counts things.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
