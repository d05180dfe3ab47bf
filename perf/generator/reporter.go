package generator

import (
	"context"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// periodLength is that of OpenMessaging Benchmark's results.
const periodLength = 10 * time.Second

// reporter waits through the phases, tells how far the run is, and makes the periods of
// the result meanwhile. It is for the goroutine of the run.
type reporter struct {
	run    *runner
	phase  Phase
	told   int64 // when Progress was called last
	before counts

	period   *Period // nil unless something is measured
	since    int64   // when it began
	begun    counts  // then
	measured *measuredCounts
	publish  *hdrhistogram.Histogram
	delay    *hdrhistogram.Histogram
	endToEnd *hdrhistogram.Histogram
}

// counts are those of a meter at one moment.
type counts struct{ published, publishErrors, received int64 }

// measuredCounts are what was counted when the measuring began, and when.
type measuredCounts struct {
	counts
	at int64
}

func newReporter(r *runner) *reporter { return &reporter{run: r, told: r.clock.now()} }

func (m *meter) counts() counts {
	return counts{m.published.Load(), m.publishErrors.Load(), m.received.Load()}
}

// enter tells of a new phase.
func (p *reporter) enter(phase Phase, left time.Duration) {
	p.phase = phase
	p.tell(p.run.clock.now(), left)
}

// until waits through a phase that ends at a moment.
func (p *reporter) until(ctx context.Context, phase Phase, end int64) error {
	p.enter(phase, max(0, time.Duration(end-p.run.clock.now())))
	for p.run.clock.now() < end {
		if err := p.run.clock.sleepUntil(ctx, min(end, p.told+int64(p.run.options.ProgressInterval))); err != nil {
			return err
		}
		p.tick(time.Duration(end - p.run.clock.now()))
	}
	return nil
}

// look is how often is looked whether something is over.
const look = 5 * time.Millisecond

// when waits through a phase that ends when over says so.
func (p *reporter) when(ctx context.Context, phase Phase, over func() bool) error {
	p.enter(phase, -1)
	for !over() {
		if err := p.run.clock.sleepUntil(ctx, p.run.clock.now()+int64(look)); err != nil {
			return err
		}
		if p.run.clock.now() >= p.told+int64(p.run.options.ProgressInterval) {
			p.tick(-1)
		}
	}
	return nil
}

// tick tells how far the run is and ends a period whose time is over.
func (p *reporter) tick(left time.Duration) {
	now := p.run.clock.now()
	p.tell(now, max(left, -1))
	if p.period != nil && now-p.since >= int64(periodLength) {
		p.endPeriod(now)
	}
}

// tell calls Progress with what has happened since the last call.
func (p *reporter) tell(now int64, left time.Duration) {
	r := p.run
	publish, delay, endToEnd := r.meter.publish.take(), r.meter.delay.take(), r.meter.endToEnd.take()
	if p.period != nil {
		p.publish.Merge(publish)
		p.delay.Merge(delay)
		p.endToEnd.Merge(endToEnd)
	}
	at, took := r.meter.counts(), time.Duration(now-p.told)
	progress := Progress{
		Phase: p.phase, Elapsed: time.Duration(now - r.began), Left: left, Took: took,
		Published: at.published - p.before.published, Received: at.received - p.before.received,
		PublishRate: perSecond(at.published-p.before.published, took), ConsumeRate: perSecond(at.received-p.before.received, took),
		MessageSize: r.workload.MessageSize,
		PublishP50:  quantile(publish, 50), PublishP99: quantile(publish, 99),
		EndToEndP50: quantile(endToEnd, 50), EndToEndP99: quantile(endToEnd, 99),
		Backlog: r.backlog(), PublishErrors: at.publishErrors,
		Found: r.verifier.corrupt.Load() + r.verifier.duplicated.Load() + r.verifier.outOfOrder.Load(),
	}
	p.told, p.before = now, at
	if r.options.Progress != nil {
		r.options.Progress(progress)
	}
}

// quantile returns a percentile of microseconds.
func quantile(h *hdrhistogram.Histogram, percentile float64) time.Duration {
	return time.Duration(h.ValueAtPercentile(percentile)) * time.Microsecond
}

// beginPeriods begins the measuring.
func (r *runner) beginPeriods() {
	now := r.clock.now()
	r.result = &Result{Workload: r.workload, Driver: r.driverName(), Target: r.target, Topics: r.topics, Began: time.Unix(0, now)}
	r.reporter.measured = &measuredCounts{r.meter.counts(), now}
	r.reporter.beginPeriod(now)
}

// driverName is how results name the protocol.
func (r *runner) driverName() string {
	if r.target.Kafka != "" {
		return "kafka"
	}
	return "rollway"
}

// endPeriods ends the measuring, if it has begun.
func (r *runner) endPeriods() {
	p := r.reporter
	if p.period == nil {
		return
	}
	now := r.clock.now()
	p.tell(now, -1)
	p.endPeriod(now)
	p.period = nil
	at := r.meter.counts()
	r.result.Elapsed = time.Duration(now - p.measured.at)
	r.result.Published = at.published - p.measured.published
	r.result.PublishErrors = at.publishErrors - p.measured.publishErrors
	r.result.Received = at.received - p.measured.received
}

func (p *reporter) beginPeriod(now int64) {
	p.period, p.since, p.begun = new(Period), now, p.run.meter.counts()
	p.publish, p.delay, p.endToEnd = newHistogram(), newHistogram(), newHistogram()
}

// endPeriod adds the period to the result and begins the next.
func (p *reporter) endPeriod(now int64) {
	at := p.run.meter.counts()
	*p.period = Period{
		Elapsed:   time.Duration(now - p.since),
		Published: at.published - p.begun.published, PublishErrors: at.publishErrors - p.begun.publishErrors, Received: at.received - p.begun.received,
		Backlog: p.run.backlog(),
		Publish: summarize(p.publish), PublishDelay: summarize(p.delay), EndToEnd: summarize(p.endToEnd),
	}
	p.run.result.Periods = append(p.run.result.Periods, *p.period)
	p.beginPeriod(now)
}
