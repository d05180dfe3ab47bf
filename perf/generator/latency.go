package generator

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// highestMicros is the longest latency that a histogram holds; what takes longer is
// counted as this.
const highestMicros = int64(time.Hour / time.Microsecond)

// newHistogram returns a histogram of microseconds with three digits.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, highestMicros, 3)
}

// latencies collects latencies of one kind from all workers or consumers: of the
// period under way and of all. It may be used concurrently.
type latencies struct {
	mu     sync.Mutex
	period *hdrhistogram.Histogram // since the last take. +checklocks:mu
	total  *hdrhistogram.Histogram // without period. +checklocks:mu
}

func newLatencies() *latencies {
	return &latencies{period: newHistogram(), total: newHistogram()}
}

// record adds a latency. A negative one, which a clock may make of a message that
// came before it was due by a moment, is 0.
func (l *latencies) record(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.add(d)
}

// since adds the latencies of those messages, by when they were due, that the window
// holds.
func (l *latencies) since(now int64, w *window, dues []int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, due := range dues {
		if w.holds(due) {
			l.add(time.Duration(now - due))
		}
	}
}

// +checklocks:l.mu
func (l *latencies) add(d time.Duration) {
	l.period.RecordValue(min(max(d.Microseconds(), 0), highestMicros)) // is in range, so it returns nil
}

// take ends the period: it returns what was recorded in it.
func (l *latencies) take() *hdrhistogram.Histogram {
	l.mu.Lock()
	defer l.mu.Unlock()
	taken := l.period
	l.total.Merge(taken)
	l.period = newHistogram()
	return taken
}

// all returns what was recorded in all.
func (l *latencies) all() *hdrhistogram.Histogram {
	l.take()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total.Clone()
}
