package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func main() {
	o, err := parseOptions(os.Args[1:], os.Stderr)
	if err == flag.ErrHelp {
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "report: %v\n", err)
		os.Exit(2)
	}
	if err := run(o); err != nil {
		fmt.Fprintf(os.Stderr, "report: %v\n", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	markdown, html, svg string
	results             []string
}

const help = `Turns what the lab has measured into pages. A workload that several files have is
that of the run that began last; every run has its own conditions.

Usage: go run ./perf/report [flags] [files]

Without files it reads all of perf/results.

`

// parseOptions reads the flags; help and complaints go to out.
func parseOptions(args []string, out io.Writer) (o options, err error) {
	f := flag.NewFlagSet("report", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&o.markdown, "markdown", "", "`file` to write the tables to, such as BENCHMARKS.md: between its lines\n"+marks.Begin()+" and "+marks.End())
	f.StringVar(&o.html, "html", "", "`file` to write the page with plots to")
	f.StringVar(&o.svg, "svg", "", "`directory` to write the drawings of the README to")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(out, help)
			f.SetOutput(out)
			f.PrintDefaults()
			return o, flag.ErrHelp
		}
		return o, fmt.Errorf("%w; see -help", err)
	}
	if o.markdown == "" && o.html == "" && o.svg == "" {
		return o, errors.New("nothing to write, want some of -markdown, -html and -svg; see -help")
	}
	if o.results = f.Args(); len(o.results) == 0 {
		if o.results, err = filepath.Glob("perf/results/*.jsonl"); err != nil {
			return o, err
		}
	}
	if len(o.results) == 0 {
		return o, errors.New("no files in perf/results, want what make lab writes there")
	}
	return o, nil
}

// run writes what was asked for.
func run(o options) error {
	c, err := readAll(o.results)
	if err != nil {
		return err
	}
	if len(c.workloads) == 0 {
		return fmt.Errorf("no measures in %d files, want some", len(o.results))
	}
	if o.markdown != "" {
		if err := writeMarkdown(o.markdown, c); err != nil {
			return err
		}
	}
	if o.html != "" {
		var b bytes.Buffer
		if err := writeHTML(&b, c); err != nil {
			return err
		}
		if err := os.WriteFile(o.html, b.Bytes(), 0o644); err != nil {
			return err
		}
	}
	if o.svg != "" {
		return writeDrawings(o.svg, c)
	}
	return nil
}

// writeMarkdown puts the tables into the page.
func writeMarkdown(path string, c comparison) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	whole, err := marks.Insert(string(page), markdown(c))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, []byte(whole), 0o644)
}

// writeDrawings writes the drawings of the README: the targets over Kafka, and the
// latencies of records that are synced before they are acknowledged.
func writeDrawings(dir string, c comparison) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	drawings := map[string]*drawing{"kafka.svg": targetPlots(judge(c))[0]}
	if w := c.find("i-1000-durable"); w != nil {
		drawings["latency.svg"] = latencyPlot(w, "e2e", "end-to-end latency, synced before acknowledged")
	}
	for name, d := range drawings {
		if d == nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(d.file()), 0o644); err != nil {
			return err
		}
	}
	return nil
}
