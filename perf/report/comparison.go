package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/rollway/rollway/perf/contestant"
	"github.com/rollway/rollway/perf/result"
	"github.com/rollway/rollway/perf/sample"
)

// comparison is what several runs have to tell.
type comparison struct {
	runs      []result.Run // that any of the workloads is from, the earliest first
	workloads []*workload
}

// workload is one, from the run that measured it last.
type workload struct {
	result.Workload
	run      *result.Run
	subjects []*subject // those that were measured, or could not be
}

// subject is a contestant in a workload.
type subject struct {
	result.Contestant
	figures   map[string]rounds
	cold      map[string]float64                 // of the first seconds after a start
	latencies map[string]*hdrhistogram.Histogram // all counted rounds together, microseconds
	skipped   string
	errors    []string
}

// rounds are the values of one figure by round.
type rounds map[int]float64

// series are the values in the order of rounds.
func (r rounds) series() sample.Series {
	var s sample.Series
	for _, round := range r.numbers() {
		s = append(s, r[round])
	}
	return s
}

func (r rounds) numbers() []int {
	var all []int
	for round := range r {
		all = append(all, round)
	}
	slices.Sort(all)
	return all
}

// over returns r divided by base in the rounds that both have, whose median is NaN
// if there are none.
func (r rounds) over(base rounds) sample.Series {
	var s sample.Series
	for _, round := range r.numbers() {
		if b, ok := base[round]; ok && b != 0 {
			s = append(s, r[round]/b)
		}
	}
	return s
}

// readAll reads the files.
func readAll(paths []string) (comparison, error) {
	var parts []part
	for _, path := range paths {
		run, measures, err := result.ReadFile(path)
		if err != nil {
			return comparison{}, err
		}
		parts = append(parts, part{run, measures})
	}
	slices.SortStableFunc(parts, func(a, b part) int { return a.run.Began.Compare(b.run.Began) })
	return compare(parts)
}

// part is one file.
type part struct {
	run      result.Run
	measures []result.Measure
}

// compare sums parts up, the earliest first. A workload that several have is that
// of the last one that measured it.
func compare(parts []part) (c comparison, err error) {
	for i := range parts {
		p := &parts[i]
		for _, w := range p.run.Workloads {
			summed, err := sumUp(&p.run, w, p.measures)
			if err != nil {
				return c, fmt.Errorf("run %s, workload %s: %w", p.run.ID, w.Name, err)
			}
			if len(summed.subjects) == 0 {
				continue
			}
			c.workloads = append(slices.DeleteFunc(c.workloads, func(o *workload) bool { return o.Name == w.Name }), summed)
		}
		c.runs = append(c.runs, p.run)
	}
	c.runs = slices.DeleteFunc(c.runs, func(r result.Run) bool {
		return !slices.ContainsFunc(c.workloads, func(w *workload) bool { return w.run.ID == r.ID })
	})
	slices.SortStableFunc(c.workloads, func(a, b *workload) int { return cmp.Compare(a.section(), b.section()) })
	return c, nil
}

// section is what stands before the first dash of the name, such as "a" or "x".
func (w *workload) section() string {
	section, _, _ := strings.Cut(w.Name, "-")
	return section
}

// sumUp gathers the measures of one workload.
func sumUp(run *result.Run, w result.Workload, measures []result.Measure) (*workload, error) {
	out := &workload{Workload: w, run: run}
	for _, c := range run.Contestants {
		s := &subject{Contestant: c, figures: map[string]rounds{}, latencies: map[string]*hdrhistogram.Histogram{}}
		measured := false
		for _, m := range measures {
			if m.Workload != w.Name || m.Contestant != c.Name {
				continue
			}
			measured = true
			if err := s.add(m); err != nil {
				return nil, fmt.Errorf("%s: %w", c.Name, err)
			}
		}
		if measured {
			out.subjects = append(out.subjects, s)
		}
	}
	return out, nil
}

// add takes a measure into account.
func (s *subject) add(m result.Measure) error {
	switch {
	case m.Error != "":
		s.errors = append(s.errors, m.Error)
		return nil
	case m.Skipped != "":
		s.skipped = m.Skipped
		return nil
	}
	switch m.Phase {
	case result.Cold:
		s.cold = m.Figures
		return nil
	case result.WarmUp:
		return nil
	}
	for name, v := range m.Figures {
		if s.figures[name] == nil {
			s.figures[name] = rounds{}
		}
		s.figures[name][m.Round] = v
	}
	for kind, text := range m.Latencies {
		h, err := hdrhistogram.Decode([]byte(text))
		if err != nil {
			return fmt.Errorf("round %d: latencies of %s: %w", m.Round, kind, err)
		}
		if all := s.latencies[kind]; all != nil {
			all.Merge(h)
		} else {
			s.latencies[kind] = h
		}
	}
	return nil
}

// find returns the workload of that name, nil if it was not measured.
func (c comparison) find(name string) *workload {
	for _, w := range c.workloads {
		if w.Name == name {
			return w
		}
	}
	return nil
}

// find returns the contestant of that name, nil if it has no figures.
func (w *workload) find(name string) *subject {
	for _, s := range w.subjects {
		if s.Name == name && len(s.figures) > 0 {
			return s
		}
	}
	return nil
}

// figure returns the rounds of one figure, nil if it was not measured.
func (c comparison) figure(workload, subject, figure string) rounds {
	if w := c.find(workload); w != nil {
		if s := w.find(subject); s != nil {
			return s.figures[figure]
		}
	}
	return nil
}

// kind is what a contestant is to the reader.
type kind int

const (
	ours kind = iota // rollway
	peer             // another broker
	bare             // the mechanism alone
)

func kindOf(name string) kind {
	switch {
	case name == contestant.RollwayNative || name == contestant.RollwayKafka:
		return ours
	case strings.HasPrefix(name, "bare-") || strings.HasPrefix(name, "iperf3"):
		return bare
	}
	return peer
}

// base returns whom the others are held against: Kafka, or else the first bare
// mechanism; nil if there is neither.
func (w *workload) base() *subject {
	for _, name := range []string{contestant.Kafka, contestant.KafkaFsync} {
		if s := w.find(name); s != nil {
			return s
		}
	}
	for _, s := range w.subjects {
		if kindOf(s.Name) == bare && len(s.figures) > 0 {
			return s
		}
	}
	return nil
}

// shown are the figures of the workload that any contestant has.
func (w *workload) shown() []result.Figure {
	var all []result.Figure
	for _, name := range w.Main {
		f, known := result.Named(name)
		if known && slices.ContainsFunc(w.subjects, func(s *subject) bool { return len(s.figures[name]) > 0 }) {
			all = append(all, f)
		}
	}
	return all
}
