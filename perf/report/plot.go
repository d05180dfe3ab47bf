package main

import (
	"fmt"
	"math"
	"strings"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/rollway/rollway/perf/page"
	"github.com/rollway/rollway/perf/result"
	"github.com/rollway/rollway/perf/sample"
)

// palette are colours that are told apart also by who does not see red or green
// (Okabe and Ito, "Color Universal Design", 2008), and greys for what is no
// broker.
var palette = map[string]string{
	native: "#d55e00", kafkaP: "#e69f00", kafka: "#0072b2", synced: "#0072b2",
	"nats": "#009e73", "kfake": "#cc79a7",
}

const (
	grey     = "#8c959f"
	otherHue = "#56b4e9"
)

func colorOf(name string) string {
	if color, ok := palette[name]; ok {
		return color
	}
	if kindOf(name) == bare {
		return grey
	}
	return otherHue
}

// plotWidth is that of all plots.
const plotWidth = 760.0

// barPlot draws one figure of a workload: the median of each contestant, from the
// lowest to the highest round, and every round. nil if nobody has it.
func barPlot(w *workload, f result.Figure) *drawing {
	const row, head, valueWidth = 24.0, 50.0, 80.0
	var subjects []*subject
	var all []sample.Series
	labels := 0
	for _, s := range w.subjects {
		if series := s.figures[f.Name].series(); len(series) > 0 {
			subjects, all = append(subjects, s), append(all, series)
			labels = max(labels, len([]rune(s.Title)))
		}
	}
	most := best(all...)
	if len(subjects) == 0 || most == 0 {
		return nil
	}
	d := &drawing{width: plotWidth, height: head + row*float64(len(subjects)) + 8, title: w.Title + ": " + f.Title}
	d.text(0, 18, left, "head", heading(f))
	d.text(0, 36, left, "small", w.Name+": "+w.Title+direction(f))
	begin := float64(labels)*glyph + 14
	scale := (plotWidth - begin - valueWidth) / most
	for i, s := range subjects {
		y := head + row*float64(i)
		series := all[i]
		lowest, highest := series.Spread()
		d.text(begin-8, y+16, right, "", s.Title)
		d.bar(begin, y+3, series.Median()*scale, row-6, colorOf(s.Name), fmt.Sprintf("%s: %s %s", s.Title, spread(series), f.Unit))
		d.line(begin+lowest*scale, y+row/2, begin+highest*scale, y+row/2, "whisker")
		for _, v := range series {
			d.dot(begin+v*scale, y+row/2, 2.2, "#ffffff", fmt.Sprintf("%s %s", page.Digits(v), f.Unit))
		}
		d.text(begin+max(highest, series.Median())*scale+8, y+16, left, "value", page.Digits(series.Median()))
	}
	d.line(begin, head, begin, d.height-8, "axis")
	return d
}

// direction says which way is better.
func direction(f result.Figure) string {
	switch f.Better {
	case result.Higher:
		return " (more is better)"
	case result.Lower:
		return " (less is better)"
	}
	return ""
}

// latencyPlot draws how long the slowest share of requests took, on logarithmic
// scales of both: the tail is as wide as the rest. nil if nobody has latencies.
func latencyPlot(w *workload, kind, title string) *drawing {
	const height, head, foot, begin, end = 320.0, 66.0, 34.0, 66.0, 24.0
	type curve struct {
		subject   *subject
		histogram *hdrhistogram.Histogram
	}
	var curves []curve
	most, least, count := 0.0, math.Inf(1), int64(0)
	for _, s := range w.subjects {
		h := s.latencies[kind]
		if h == nil || h.TotalCount() == 0 {
			continue
		}
		curves = append(curves, curve{s, h})
		most = max(most, float64(h.Max())/1000)
		least = min(least, float64(h.ValueAtPercentile(1))/1000)
		count = max(count, h.TotalCount())
	}
	if len(curves) == 0 {
		return nil
	}
	d := &drawing{width: plotWidth, height: height, title: w.Title + ": " + title}
	d.text(0, 18, left, "head", title+", ms")
	d.text(0, 36, left, "small", w.Name+": "+w.Title+" (less is better)")

	decades := math.Max(2, math.Ceil(math.Log10(float64(count))-0.5)) // of the share that is slower
	x := func(slower float64) float64 {
		return begin - math.Log10(slower)/decades*(plotWidth-begin-end)
	}
	low, high := math.Floor(math.Log10(max(least, 0.001))), math.Ceil(math.Log10(most))
	high = max(high, low+1)
	y := func(ms float64) float64 {
		return head + (high-math.Log10(min(max(ms, math.Pow(10, low)), math.Pow(10, high))))/(high-low)*(height-head-foot)
	}
	for e := low; e <= high; e++ {
		v := math.Pow(10, e)
		d.line(begin, y(v), plotWidth-end, y(v), "grid")
		d.text(begin-8, y(v)+4, right, "small", decimal(v))
	}
	for e := 0.0; e <= decades; e++ {
		slower := math.Pow(10, -e)
		d.line(x(slower), head, x(slower), height-foot, "grid")
		d.text(x(slower), height-foot+18, middle, "small", "p"+strings.TrimSuffix(fmt.Sprintf("%.*f", int(max(e-2, 0)), 100*(1-slower)), ".0"))
	}
	at := 0.0
	for _, c := range curves {
		var points []point
		for e := 0.0; e <= decades; e += 0.05 {
			slower := math.Pow(10, -e)
			points = append(points, point{x(slower), y(float64(c.histogram.ValueAtPercentile(100*(1-slower))) / 1000)})
		}
		d.path(points, colorOf(c.subject.Name), dashOf(c.subject.Name))
		d.path([]point{{at, 51}, {at + 22, 51}}, colorOf(c.subject.Name), dashOf(c.subject.Name))
		d.text(at+28, 55, left, "small", c.subject.Title)
		at += 28 + float64(len([]rune(c.subject.Title)))*glyph + 16
	}
	return d
}

// dashOf tells lines apart without colours.
func dashOf(name string) string {
	switch {
	case name == kafkaP:
		return "7 3"
	case kindOf(name) == peer:
		return "2 3"
	}
	return "none"
}

func decimal(v float64) string {
	return strings.TrimRight(strings.TrimRight(fmt.Sprintf("%.3f", v), "0"), ".")
}

// targetPlot draws what is measured of the targets that are over contestants of a
// kind: the ratio, on a logarithmic scale, and the bound. nil if there are none.
func targetPlot(title string, all []verdict, over kind) *drawing {
	const row, head, foot, valueWidth = 24.0, 50.0, 30.0, 150.0
	var shown []verdict
	labels, least, most := 0, 1.0, 1.0
	for _, v := range all {
		if kindOf(v.over) != over || !v.measured() || v.value <= 0 {
			continue
		}
		shown = append(shown, v)
		labels = max(labels, len([]rune(v.label())))
		least, most = min(least, v.value, v.bound), max(most, v.value, v.bound)
	}
	if len(shown) == 0 {
		return nil
	}
	d := &drawing{width: plotWidth + 180, height: head + row*float64(len(shown)) + foot, title: title}
	d.text(0, 18, left, "head", title)
	d.text(0, 36, left, "small", "ratio on a logarithmic scale; the bar is the bound; 1x is as much")
	begin := float64(labels)*glyph + 14
	low, high := math.Log10(least)-0.1, math.Log10(most)+0.1
	x := func(v float64) float64 {
		return begin + (math.Log10(v)-low)/(high-low)*(d.width-begin-valueWidth)
	}
	bottom := d.height - foot
	for e := math.Ceil(low); e <= high; e++ {
		v := math.Pow(10, e)
		d.line(x(v), head, x(v), bottom, "grid")
		d.text(x(v), bottom+16, middle, "small", decimal(v)+"x")
	}
	d.line(x(1), head, x(1), bottom, "axis")
	for i, v := range shown {
		y := head + row*float64(i) + row/2
		color := palette[kafka]
		if !v.met() {
			color = palette[native]
		}
		d.text(begin-8, y+4, right, "", v.label())
		d.path([]point{{x(1), y}, {x(v.value), y}}, color, "none")
		d.line(x(v.bound), y-8, x(v.bound), y+8, "bound")
		d.dot(x(v.value), y, 5, color, v.what)
		d.text(d.width-valueWidth+12, y+4, left, "value", fmt.Sprintf("%s, %s", times(v.value), v.word()))
	}
	return d
}

// label is what is measured, without over whom.
func (t target) label() string {
	what, _, _ := strings.Cut(t.what, " over ")
	return strings.TrimSuffix(what, ",")
}
