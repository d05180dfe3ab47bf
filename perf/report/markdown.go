package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/rollway/rollway/perf/page"
	"github.com/rollway/rollway/perf/result"
	"github.com/rollway/rollway/perf/sample"
)

// marks are those between which BENCHMARKS.md has what was measured.
const marks = page.Marks("lab")

// markdown is all of it.
func markdown(c comparison) string {
	var b strings.Builder
	writeWarnings(&b, c)
	writeVerdicts(&b, judge(c))
	writeLosses(&b, "Where another broker is ahead", "another broker", losses(c, peer))
	writeLosses(&b, "Where the bare mechanism is ahead", "a bare mechanism", losses(c, bare))
	for _, w := range c.workloads {
		writeWorkload(&b, w)
	}
	for _, r := range c.runs {
		writeConditions(&b, r)
	}
	return b.String()
}

// writeWarnings begins with what a reader must know before the figures.
func writeWarnings(b *strings.Builder, c comparison) {
	for _, text := range c.warnings() {
		fmt.Fprintf(b, "> **Beware**: %s\n\n", text)
	}
}

// warnings are conditions that a reader must know before the figures.
func (c comparison) warnings() (all []string) {
	for _, r := range c.runs {
		for _, condition := range r.Conditions {
			if condition.Warning {
				all = append(all, fmt.Sprintf("%s of run %s: %s", nameOf(r, condition), r.ID, condition.Text))
			}
		}
	}
	return all
}

// nameOf is the condition's name with whose it is.
func nameOf(r result.Run, c result.Condition) string {
	if c.Contestant == "" {
		return c.Name
	}
	return titleOf(r, c.Contestant) + ", " + c.Name
}

func writeVerdicts(b *strings.Builder, all []verdict) {
	met, missed, open := 0, 0, 0
	t := newGrid("target", "is", "want", "")
	for _, v := range all {
		switch {
		case !v.measured():
			open++
		case v.met():
			met++
		default:
			missed++
		}
		t.add(v.what, times(v.value), v.want(), v.word())
	}
	fmt.Fprintf(b, "### Targets\n\n%d met, %d missed, %d not measured. A ratio is the median of each round's ratio; rollway over Kafka is measured by Kafka's protocol, by\nthe same client.\n\n%s\n",
		met, missed, open, t)
}

func writeLosses(b *strings.Builder, title, who string, all []loss) {
	fmt.Fprintf(b, "### %s\n\n", title)
	if len(all) == 0 {
		fmt.Fprintf(b, "Nowhere in what was measured.\n\n")
		return
	}
	t := newGrid("workload", "figure", "rollway", "is", who, "is", "times worse")
	for _, l := range all {
		t.add(l.workload.Name+": "+l.workload.Title, l.figure.Title, l.ours.Title, withUnit(l.ours, l.figure), l.theirs.Title, withUnit(l.theirs, l.figure), times(l.factor))
	}
	fmt.Fprintf(b, "%s\n", t)
}

// withUnit is a median.
func withUnit(s *subject, f result.Figure) string {
	return strings.TrimSpace(page.Digits(s.figures[f.Name].series().Median()) + " " + f.Unit)
}

// writeWorkload writes the table of one: the figures that it is about, and of the
// first two how many times those of the base they are.
func writeWorkload(b *strings.Builder, w *workload) {
	fmt.Fprintf(b, "### %s: %s\n\n", w.Name, w.Title)
	if w.Note != "" {
		fmt.Fprintf(b, "%s.\n\n", upper(w.Note))
	}
	base, shown := w.base(), w.shown()
	columns := []string{"contestant"}
	for i, f := range shown {
		columns = append(columns, heading(f))
		if i < 2 && base != nil {
			columns = append(columns, "x "+base.Title)
		}
	}
	t := newGrid(columns...)
	for _, s := range w.subjects {
		if len(s.figures) == 0 {
			continue
		}
		cells := []string{s.Title}
		for i, f := range shown {
			cells = append(cells, spread(s.figures[f.Name].series()))
			if i < 2 && base != nil {
				cells = append(cells, times(s.figures[f.Name].over(base.figures[f.Name]).Median()))
			}
		}
		t.add(cells...)
	}
	if len(t.rows) > 0 {
		fmt.Fprintf(b, "%s\n", t)
	}
	for _, line := range w.notes() {
		fmt.Fprintf(b, "- %s\n", line)
	}
	b.WriteString("\n")
}

// notes are what the table does not show.
func (w *workload) notes() []string {
	var lines []string
	for _, s := range w.subjects {
		if v, ok := s.cold[w.Main[0]]; ok {
			if f, known := result.Named(w.Main[0]); known && kindOf(s.Name) == peer {
				lines = append(lines, fmt.Sprintf("%s, the first seconds after its start: %s %s %s", s.Title, f.Title, page.Digits(v), f.Unit))
			}
		}
		if s.skipped != "" {
			lines = append(lines, fmt.Sprintf("%s: skipped, %s", s.Title, s.skipped))
		}
		for _, e := range slices.Compact(slices.Clone(s.errors)) {
			lines = append(lines, fmt.Sprintf("**%s FAILED**: %s", s.Title, e))
		}
	}
	return lines
}

// heading is a figure's column.
func heading(f result.Figure) string {
	if f.Unit == "" {
		return f.Title
	}
	return f.Title + ", " + f.Unit
}

func writeConditions(b *strings.Builder, r result.Run) {
	fmt.Fprintf(b, "### Conditions of run %s\n\n", r.ID)
	t := newGrid("condition", "")
	t.add("begun", r.Began.UTC().Format("2006-01-02 15:04 UTC"))
	for _, c := range r.Conditions {
		t.add(nameOf(r, c), c.Text)
	}
	fmt.Fprintf(b, "%s\n", t)
}

func titleOf(r result.Run, contestant string) string {
	for _, c := range r.Contestants {
		if c.Name == contestant {
			return c.Title
		}
	}
	return contestant
}

func upper(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// grid is a table of Markdown.
type grid struct {
	columns []string
	rows    [][]string
}

func newGrid(columns ...string) *grid { return &grid{columns: columns} }

func (g *grid) add(cells ...string) { g.rows = append(g.rows, cells) }

// String has numbers to the right.
func (g *grid) String() string {
	var b strings.Builder
	row := func(cells []string) {
		for _, cell := range cells {
			b.WriteString("| " + strings.ReplaceAll(strings.ReplaceAll(cell, "\n", " "), "|", `\|`) + " ")
		}
		b.WriteString("|\n")
	}
	row(g.columns)
	for i := range g.columns {
		if g.numeric(i) {
			b.WriteString("|---:")
		} else {
			b.WriteString("|---")
		}
	}
	b.WriteString("|\n")
	for _, cells := range g.rows {
		row(cells)
	}
	return b.String()
}

// numeric tells whether all cells of a column begin with a digit, or are empty.
func (g *grid) numeric(column int) bool {
	for _, cells := range g.rows {
		if cell := cells[column]; cell != "-" && (cell == "" || cell[0] < '0' || cell[0] > '9') {
			return false
		}
	}
	return column > 0 && len(g.rows) > 0
}

// best returns the most of a series, for scales; 0 of none.
func best(all ...sample.Series) float64 {
	most := 0.0
	for _, s := range all {
		if _, highest := s.Spread(); !math.IsNaN(highest) {
			most = max(most, highest)
		}
	}
	return most
}
