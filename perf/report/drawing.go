package main

import (
	"fmt"
	"html"
	"strings"
)

// drawing is an SVG that is being drawn. Lengths are in pixels of its own; text is
// set in a font of the reader's, so places are left wide.
type drawing struct {
	width, height float64
	title         string
	body          strings.Builder
}

const (
	margin = 12.0 // around all that is drawn
	glyph  = 7.2  // about how wide a character is
)

// align is where a text is held.
type align string

const (
	left   align = "start"
	middle align = "middle"
	right  align = "end"
)

func (d *drawing) text(x, y float64, at align, class, text string) {
	fmt.Fprintf(&d.body, `<text x="%.1f" y="%.1f" text-anchor="%s" class="%s">%s</text>`+"\n", x, y, at, class, html.EscapeString(text))
}

func (d *drawing) line(x1, y1, x2, y2 float64, class string) {
	fmt.Fprintf(&d.body, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="%s"/>`+"\n", x1, y1, x2, y2, class)
}

// bar is a filled rectangle, whose title a pointer shows.
func (d *drawing) bar(x, y, width, height float64, color, title string) {
	fmt.Fprintf(&d.body, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="2" fill="%s"><title>%s</title></rect>`+"\n",
		x, y, max(width, 0.5), height, color, html.EscapeString(title))
}

func (d *drawing) dot(x, y, radius float64, color, title string) {
	fmt.Fprintf(&d.body, `<circle cx="%.1f" cy="%.1f" r="%.1f" fill="%s" class="dot"><title>%s</title></circle>`+"\n",
		x, y, radius, color, html.EscapeString(title))
}

// point is a place in a drawing.
type point struct{ x, y float64 }

func (d *drawing) path(points []point, color, dash string) {
	var path strings.Builder
	for i, p := range points {
		command := "L"
		if i == 0 {
			command = "M"
		}
		fmt.Fprintf(&path, "%s%.1f %.1f", command, p.x, p.y)
	}
	fmt.Fprintf(&d.body, `<path d="%s" fill="none" stroke="%s" stroke-width="2" stroke-dasharray="%s"/>`+"\n", path.String(), color, dash)
}

// String is the drawing to stand in a page of HTML, which has its style.
func (d *drawing) String() string {
	width, height := d.width+2*margin, d.height+2*margin
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="%.0f %.0f %.0f %.0f" width="%.0f" height="%.0f" role="img" aria-label="%s">`+"\n%s</svg>",
		-margin, -margin, width, height, width, height, html.EscapeString(d.title), d.body.String())
}

// file is the drawing as a file of its own.
func (d *drawing) file() string {
	whole := d.String()
	head, rest, _ := strings.Cut(whole, "\n")
	return head + "\n<style>" + drawingStyle + "</style>\n" + fmt.Sprintf(`<rect x="%.0f" y="%.0f" width="100%%" height="100%%" class="paper"/>`, -margin, -margin) + "\n" + rest + "\n"
}

// drawingStyle is of all drawings, by day and by night.
const drawingStyle = `
text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328; }
.head { font-weight: 600; font-size: 15px; }
.small { font-size: 12px; fill: #59636e; }
.value { font-variant-numeric: tabular-nums; }
.grid { stroke: #d1d9e0; stroke-width: 1; }
.axis { stroke: #59636e; stroke-width: 1; }
.whisker { stroke: #1f2328; stroke-width: 1.5; }
.bound { stroke: #1f2328; stroke-width: 2.5; }
.dot { stroke: #1f2328; stroke-width: 0.5; }
.paper { fill: #ffffff; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .small { fill: #9aa5b1; }
  .grid { stroke: #3d444d; }
  .axis { stroke: #9aa5b1; }
  .whisker, .bound, .dot { stroke: #e6edf3; }
  .paper { fill: #0d1117; }
}
`
