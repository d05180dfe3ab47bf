package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/rollway/rollway/internal/golden"
	"github.com/rollway/rollway/perf/contestant"
	"github.com/rollway/rollway/perf/result"
)

// latencies is a histogram of microseconds as a Measure has it.
func latencies(t testing.TB, values ...int64) string {
	t.Helper()
	h := hdrhistogram.New(1, 3_600_000_000, 3)
	for _, v := range values {
		h.RecordValue(v)
	}
	text, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// example are two runs: of the second one b counts, of the first what only it has.
func example(t testing.TB) comparison {
	t.Helper()
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	contestants := []result.Contestant{
		{Name: native, Title: "rollway"}, {Name: kafkaP, Title: "rollway, Kafka's protocol"}, {Name: kafka, Title: "Apache Kafka"},
		{Name: contestant.BareSink, Title: "bare sink"},
	}
	b := result.Workload{Name: "b", Title: "produce 64 KiB", Note: "4 connections", Main: []string{"produce_mib_s", "cpu_s_gib", "threads", "rss_mib"}, Rounds: 2}
	e := result.Workload{Name: "e-1m-1", Title: "fetch 1 MiB", Main: []string{"consume_mib_s"}, Rounds: 1}
	measure := func(w result.Workload, who string, round int, values ...float64) result.Measure {
		m := result.Measure{Workload: w.Name, Contestant: who, Round: round, Figures: map[string]float64{}}
		for i, v := range values {
			m.Figures[w.Main[i]] = v
		}
		return m
	}
	withLatencies := measure(b, kafkaP, 2, 300, 0.5)
	withLatencies.Latencies = map[string]string{"produce": latencies(t, 900, 1000, 1100, 5000)}
	cold := measure(b, kafka, 0, 40)
	cold.Phase = result.Cold
	warm := measure(b, kafka, 1, 1e6)
	warm.Phase = result.WarmUp
	c, err := compare([]part{
		{result.Run{ID: "one", Began: began, Contestants: contestants, Workloads: []result.Workload{b, e}, Conditions: []result.Condition{{Name: "kernel", Text: "Linux"}}},
			[]result.Measure{measure(b, kafka, 1, 1), measure(e, kafkaP, 1, 4000), measure(e, kafka, 1, 1000)}},
		{result.Run{
			ID: "two", Began: began.Add(time.Hour), Contestants: contestants, Workloads: []result.Workload{b}, Command: "make lab",
			Conditions: []result.Condition{{Name: "noise", Text: "80 % | others", Warning: true}, {Name: "heap", Text: "1g", Contestant: kafka}},
		}, []result.Measure{
			cold, warm,
			measure(b, kafkaP, 1, 200, 0.6, 9, 20), withLatencies,
			measure(b, kafka, 1, 100, 6, 80, 800), measure(b, kafka, 2, 120, 5, 80, 700),
			measure(b, contestant.BareSink, 1, 400, 0.5), measure(b, contestant.BareSink, 2, 310, 0.5),
			{Workload: "b", Contestant: native, Error: "lost 3 records of 10"},
			{Workload: "b", Contestant: "unknown", Figures: map[string]float64{"produce_mib_s": 7}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The page has medians with their spread, ratios by round, what failed, what is
// lost and the conditions of every run that a workload is from.
func TestMarkdown(t *testing.T) {
	golden.Check(t, "markdown", []byte(markdown(example(t))))
}

// The page with plots is whole and names nothing to be fetched.
func TestHTML(t *testing.T) {
	var b bytes.Buffer
	if err := writeHTML(&b, example(t)); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, want := range []string{"80 % | others", "lost 3 records of 10", "produce latency, ms", "MISSED", "id=\"e-1m-1\"", "Linux", "</html>"} {
		if !strings.Contains(text, want) {
			t.Errorf("page without %q", want)
		}
	}
	for _, outside := range []string{"<script", "src=", "<link", "@import", "url("} {
		if strings.Contains(text, outside) {
			t.Errorf("page with %q, want one that needs nothing beside itself", outside)
		}
	}
}

// Drawings are well-formed, alike from one run to the next, and lie within their
// own bounds as far as their places are numbers.
func TestDrawings(t *testing.T) {
	c := example(t)
	b := c.find("b")
	f, _ := result.Named("produce_mib_s")
	for name, draw := range map[string]func() *drawing{
		"bars": func() *drawing { return barPlot(b, f) }, "latencies": func() *drawing { return latencyPlot(b, "produce", "produce latency") },
		"targets": func() *drawing { return targetPlot("over Kafka", judge(c), peer) },
	} {
		d := draw()
		if d == nil {
			t.Errorf("%s: nothing drawn", name)
			continue
		}
		if again := draw(); again.file() != d.file() {
			t.Errorf("%s: two drawings of the same differ", name)
		}
		decoder := xml.NewDecoder(strings.NewReader(d.file()))
		for {
			if _, err := decoder.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if strings.Contains(d.file(), "NaN") || strings.Contains(d.file(), "Inf") {
			t.Errorf("%s: a place that is no number", name)
		}
		golden.Check(t, name+".svg", []byte(d.file()))
	}
	if barPlot(b, result.Figure{Name: "nobody"}) != nil || latencyPlot(b, "e2e", "") != nil || targetPlot("", nil, peer) != nil {
		t.Error("a drawing of nothing, want none")
	}
}

// A target names a figure and contestants that there are, so that none stays
// unmeasured for its spelling.
func TestTargets(t *testing.T) {
	for _, target := range targets {
		if _, ok := result.Named(target.figure); !ok {
			t.Errorf("%s: no figure %s", target.what, target.figure)
		}
		for _, name := range []string{target.subject, target.over} {
			if _, err := contestant.New(name, contestant.Options{Program: "x"}); err != nil && !contestant.IsUnavailable(err) && name != "iperf3 -Z" {
				t.Errorf("%s: %v", target.what, err)
			}
		}
		if !(target.bound > 0) {
			t.Errorf("%s: bound %v", target.what, target.bound)
		}
	}
	c := example(t)
	value := func(workload, figure, subject, over string) float64 {
		return target{workload: workload, figure: figure, subject: subject, over: over}.value(c)
	}
	f := func(got, want float64) {
		t.Helper()
		if got != want && !(math.IsNaN(got) && math.IsNaN(want)) {
			t.Errorf("ratio %v, want %v", got, want)
		}
	}
	f(value("b", "produce_mib_s", kafkaP, kafka), (2+2.5)/2)
	f(value("b", "produce_mib_s", native, kafka), math.NaN())
	f(value("c", "produce_mib_s", kafkaP, kafka), math.NaN())
	if v := (verdict{target{bound: 2, least: true}, 2}); !v.met() || v.word() != "met" || v.want() != ">= 2.00x" {
		t.Errorf("2 of at least 2: %s, want %s", v.word(), v.want())
	}
	if v := (verdict{target{bound: 0.02}, 0.021}); v.met() || v.word() != "MISSED" || v.want() != "<= 0.020x" {
		t.Errorf("0.021 of at most 0.02: %s, want %s", v.word(), v.want())
	}
}

// The page is written between its marks and nowhere else; files without measures,
// broken ones and pages without marks are refused by name.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "one.jsonl")
	w, err := result.Create(path, result.Run{ID: "one", Contestants: []result.Contestant{{Name: kafka, Title: "Kafka"}}, Workloads: []result.Workload{{Name: "b", Title: "produce", Main: []string{"produce_mib_s"}}}})
	if err != nil {
		t.Fatal(err)
	}
	page := filepath.Join(dir, "page.md")
	f := func(want string, o options) {
		t.Helper()
		err := run(o)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%+v: %v, want %q", o, err, want)
		}
	}
	f("no measures in 1 files", options{markdown: page, results: []string{path}})
	if err := errors.Join(w.Measure(result.Measure{Workload: "b", Contestant: kafka, Round: 1, Figures: map[string]float64{"produce_mib_s": 3}}), w.Close()); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(page, []byte("before\n"), 0o600)
	f("page.md: no lines "+marks.Begin(), options{markdown: page, results: []string{path}})
	os.WriteFile(page, []byte("before\n"+marks.Begin()+"\nold\n"+marks.End()+"\nafter\n"), 0o600)
	f("", options{markdown: page, html: filepath.Join(dir, "page.html"), svg: filepath.Join(dir, "img"), results: []string{path}})
	text, err := os.ReadFile(page)
	if err != nil || !strings.HasPrefix(string(text), "before\n"+marks.Begin()+"\n") || !strings.HasSuffix(string(text), marks.End()+"\nafter\n") || !strings.Contains(string(text), "| Kafka | 3.00 |") {
		t.Errorf("page %q, %v", text, err)
	}
	f("missing.jsonl", options{markdown: page, results: []string{filepath.Join(dir, "missing.jsonl")}})
	bad := filepath.Join(dir, "bad.jsonl")
	os.WriteFile(bad, []byte("{}\n"), 0o600)
	f("bad.jsonl: line 1: want a run", options{markdown: page, results: []string{bad}})
}
