package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// progress shows on a terminal how far a command has come: one line that is
// written over, at most five times a second. Elsewhere it shows nothing. It may
// be used concurrently.
type progress struct {
	w     io.Writer // nil: nothing is shown
	start time.Time

	mu    sync.Mutex
	shown time.Time // +checklocks:mu
	width int       // characters of the line that stands there. +checklocks:mu
	ended bool      // +checklocks:mu
}

const progressInterval = 200 * time.Millisecond

// newProgress shows on stderr if that is a terminal.
func newProgress(stderr io.Writer) *progress {
	p := &progress{start: time.Now()}
	if isTerminal(stderr) {
		p.w = stderr
	}
	return p
}

// update shows what was sent so far, if it is time to.
func (p *progress) update(records, bytes int64) {
	p.updateLine(func(took time.Duration) string { return progressLine(records, bytes, took) })
}

// updateLine shows a line, if it is time to; took is since the beginning.
func (p *progress) updateLine(line func(took time.Duration) string) {
	if p.w == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.ended || now.Sub(p.shown) < progressInterval {
		return
	}
	p.shown = now
	p.show(line(now.Sub(p.start)))
}

// end leaves a last line.
func (p *progress) end(records, bytes int64) {
	if p.w == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.show(progressLine(records, bytes, time.Since(p.start)))
	fmt.Fprintln(p.w)
}

// clear removes the line, so that something else can be printed there.
func (p *progress) clear() {
	if p.w == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.width > 0 {
		p.show("")
		fmt.Fprint(p.w, "\r")
	}
}

// +checklocks:p.mu
func (p *progress) show(line string) {
	fmt.Fprintf(p.w, "\r%-*s", p.width, line)
	p.width = len(line)
}

func progressLine(records, bytes int64, took time.Duration) string {
	seconds := max(took.Seconds(), 1e-3)
	return fmt.Sprintf("%d records, %s, %.0f records/s, %s/s",
		records, humanBytes(bytes), float64(records)/seconds, humanBytes(int64(float64(bytes)/seconds)))
}
