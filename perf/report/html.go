package main

import (
	_ "embed"
	"html/template"
	"io"
	"strings"
)

//go:embed page.html
var pageText string

var layout = template.Must(template.New("page").Parse(pageText))

// pageData is what the page shows.
type pageData struct {
	Style     template.CSS
	Warnings  []string
	Verdicts  []pageVerdict
	Plots     []template.HTML // of the targets
	Losses    []pageLoss
	Workloads []pageWorkload
	Runs      []pageRun
}

type pageVerdict struct{ What, Is, Want, Word string }

type pageLoss struct{ Workload, Title, Figure, Ours, Is, Theirs, TheirsIs, Factor string }

type pageWorkload struct {
	Name, Title, Note string
	Plots             []template.HTML
	Columns           []string
	Rows              [][]string
	Notes             []string
}

type pageRun struct {
	ID, Began, Command string
	Conditions         [][2]string
}

// writeHTML writes the page, which needs nothing beside itself.
func writeHTML(w io.Writer, c comparison) error {
	data := pageData{Style: template.CSS(drawingStyle), Warnings: c.warnings()}
	verdicts := judge(c)
	for _, v := range verdicts {
		data.Verdicts = append(data.Verdicts, pageVerdict{v.what, times(v.value), v.want(), v.word()})
	}
	data.Plots = inline(targetPlots(verdicts)...)
	for _, l := range append(losses(c, peer), losses(c, bare)...) {
		data.Losses = append(data.Losses, pageLoss{
			l.workload.Name, l.workload.Title, l.figure.Title, l.ours.Title, withUnit(l.ours, l.figure), l.theirs.Title, withUnit(l.theirs, l.figure), times(l.factor),
		})
	}
	for _, wl := range c.workloads {
		data.Workloads = append(data.Workloads, wl.page())
	}
	for _, r := range c.runs {
		one := pageRun{ID: r.ID, Began: r.Began.UTC().Format("2006-01-02 15:04 UTC"), Command: r.Command}
		for _, condition := range r.Conditions {
			one.Conditions = append(one.Conditions, [2]string{nameOf(r, condition), condition.Text})
		}
		data.Runs = append(data.Runs, one)
	}
	return layout.Execute(w, data)
}

// page is one workload of the page: plots of the first two figures and of the
// latencies, and all figures as a table.
func (w *workload) page() pageWorkload {
	p := pageWorkload{Name: w.Name, Title: w.Title, Note: upper(w.Note), Columns: []string{"contestant"}, Notes: w.notes()}
	shown := w.shown()
	for i, f := range shown {
		p.Columns = append(p.Columns, heading(f))
		if i < 2 {
			p.Plots = append(p.Plots, inline(barPlot(w, f))...)
		}
	}
	p.Plots = append(p.Plots, inline(latencyPlot(w, "produce", "produce latency"), latencyPlot(w, "e2e", "end-to-end latency"))...)
	for _, s := range w.subjects {
		if len(s.figures) == 0 {
			continue
		}
		row := []string{s.Title}
		for _, f := range shown {
			row = append(row, spread(s.figures[f.Name].series()))
		}
		p.Rows = append(p.Rows, row)
	}
	for i, note := range p.Notes {
		p.Notes[i] = strings.ReplaceAll(note, "**", "")
	}
	return p
}

// targetPlots are the plots of all targets.
func targetPlots(verdicts []verdict) []*drawing {
	return []*drawing{
		targetPlot("rollway over Apache Kafka, same client and protocol", verdicts, peer),
		targetPlot("rollway over the bare mechanism", verdicts, bare),
	}
}

// inline are those that were drawn. They escape what they are given.
func inline(drawings ...*drawing) []template.HTML {
	var all []template.HTML
	for _, d := range drawings {
		if d != nil {
			all = append(all, template.HTML(d.String()))
		}
	}
	return all
}
