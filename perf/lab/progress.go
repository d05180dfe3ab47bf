package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rollway/rollway/perf/result"
	"github.com/rollway/rollway/perf/sample"
)

// progress tells what is going on and how long it will take: on a terminal in one
// line that changes, else in a line for each round of a workload. What a workload
// has found is said in a line of its own in both.
type progress struct {
	out      io.Writer
	terminal bool
	shown    bool

	steps, over int
	left        time.Duration // by estimates
	estimated   time.Duration // of what this process has done
	took        time.Duration // it
	last        string        // plain: what the last line was about
}

// newProgress returns one for the steps that are left of all.
func newProgress(out *os.File, steps int, left []step) *progress {
	_, err := unix.IoctlGetTermios(int(out.Fd()), unix.TCGETS)
	p := &progress{out: out, terminal: err == nil, steps: steps, over: steps - len(left)}
	for _, s := range left {
		p.left += s.estimate
	}
	return p
}

// remaining is the estimate of what is left, corrected by how the estimates of what
// is over have turned out.
func (p *progress) remaining() time.Duration {
	const enough = 10 * time.Second // of estimates, to judge them by
	if p.estimated < enough {
		return p.left
	}
	return time.Duration(float64(p.left) * float64(p.took) / float64(p.estimated))
}

// begin shows whose turn it is.
func (p *progress) begin(s step) {
	when := "round " + fmt.Sprintf("%d of %d", s.round, s.workload.Rounds)
	switch s.phase {
	case result.Cold:
		when = "first seconds"
	case result.WarmUp:
		when = "warms up"
	case result.Syscalls:
		when = "system calls"
	}
	left := p.remaining().Round(time.Second)
	if p.terminal {
		p.shown = true
		fmt.Fprintf(p.out, "\r\x1b[K[%d/%d, %v left] %s: %s: %s", p.over+1, p.steps, left, s.workload.Name, s.contestant, when)
		return
	}
	if about := s.workload.Name + ": " + when; about != p.last {
		p.last = about
		fmt.Fprintf(p.out, "[%d/%d, %v left] %s\n", p.over+1, p.steps, left, about)
	}
}

// end notes that a step is over and how long it took.
func (p *progress) end(s step, took time.Duration) {
	p.estimated, p.took = p.estimated+s.estimate, p.took+took
	p.skip(s)
}

// skip notes that a step needs not to be done.
func (p *progress) skip(s step) {
	p.over++
	p.left -= s.estimate
}

// say prints a line.
func (p *progress) say(format string, args ...any) {
	p.clear()
	fmt.Fprintf(p.out, format+"\n", args...)
}

// clear clears the line of a terminal.
func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
	p.shown = false
}

// finished says what a workload has found: the medians of the figure that it is
// about. Of one that was not measured it says nothing.
func (p *progress) finished(w *workload, measures []result.Measure) {
	figure, ok := result.Named(w.Main[0])
	if !ok {
		return
	}
	var parts []string
	for _, name := range w.contestants {
		var values sample.Series
		for _, m := range measures {
			if v, ok := m.Figures[figure.Name]; ok && m.Workload == w.Name && m.Contestant == name && m.Phase == result.Counted {
				values = append(values, v)
			}
		}
		if len(values) > 0 {
			parts = append(parts, fmt.Sprintf("%s %.4g", name, values.Median()))
		}
	}
	if len(parts) > 0 {
		p.say("%-14s %s, %s: %s", w.Name, figure.Title, figure.Unit, strings.Join(parts, "; "))
	}
}
