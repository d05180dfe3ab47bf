package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rollway/rollway/perf/generator"
	"github.com/rollway/rollway/perf/host"
	"github.com/rollway/rollway/perf/result"
	"github.com/rollway/rollway/perf/sample"
)

// openLoop is the load generator's work: records one by one, by a schedule that
// waits for nobody, and consumers of them. It verifies every record.
type openLoop struct {
	rate        float64 // records a second; 0: as fast as they are acknowledged
	percent     int     // of the weakest contestant's highest rate; 0: not
	partitions  int
	producers   int
	recordBytes int
}

// openWarmUp is how long the generator goes before it counts: it has connected by
// then, and its consumers have caught up. Those of a topic that Kafka has just made begin
// a second after it, and what was due meanwhile would be their p99.
const openWarmUp = 2 * time.Second

// mostRecords are about as many a second as one core of clients has sent.
const mostRecords = 400_000

func (o openLoop) do(ctx context.Context, s *subject, counted time.Duration) (out taken, err error) {
	rate := o.rate
	if o.percent > 0 {
		highest, err := s.lab.weakestMaximum()
		if err != nil {
			return out, err
		}
		rate = highest * float64(o.percent) / 100
	}
	if err := errors.Join(s.settleDisk(), host.FreshMemory(o.written(rate, counted))); err != nil {
		return out, err
	}
	m := meter{subject: s}
	r, err := generator.Run(ctx, o.workload(s, rate, counted), s.endpoint(), generator.Options{Progress: m.at})
	if err = errors.Join(err, m.err); err != nil {
		return out, err
	}
	return generated(r, m.use, rate)
}

// written is about how many bytes a turn writes, some more rather than less.
func (o openLoop) written(rate float64, counted time.Duration) int64 {
	if rate == 0 {
		rate = mostRecords
	}
	return max(1<<20, int64(min(rate, mostRecords)*(openWarmUp+counted).Seconds())*int64(o.recordBytes))
}

// workload is what the generator is to do with a server.
func (o openLoop) workload(s *subject, rate float64, counted time.Duration) generator.Workload {
	w := generator.DefaultWorkload()
	w.Name, w.PartitionsPerTopic, w.ProducersPerTopic, w.ConsumerPerSubscription = "lab", o.partitions, o.producers, 1
	w.MessageSize, w.ProducerRate, w.LingerMs = o.recordBytes, rate, 0
	w.TestDurationMinutes, w.TestDurationSeconds, w.WarmupDurationSeconds = 0, counted.Seconds(), openWarmUp.Seconds()
	w.TopicConfigs = s.topicConfigs()
	return w
}

// meter looks at the server when the generator begins to count, and when it ends.
type meter struct {
	subject *subject
	begin   func() // called when it begins; may be nil
	before  snapshot
	began   bool
	use     use
	ended   bool
	err     error
}

// at is generator.Options.Progress.
func (m *meter) at(p generator.Progress) {
	switch {
	case p.Phase == generator.Test && !m.began:
		m.began = true
		m.before, m.err = m.subject.look()
		if m.begin != nil {
			m.begin()
		}
	case p.Phase == generator.Verify && m.began && !m.ended && m.err == nil:
		m.ended = true
		m.use, m.err = m.subject.since(m.before)
	}
}

// generated turns the generator's result into figures.
func generated(r *generator.Result, u use, rate float64) (out taken, err error) {
	if r.Verification.Incomplete != "" {
		return out, fmt.Errorf("not verified: %s", r.Verification.Incomplete)
	}
	size := float64(r.Workload.MessageSize)
	out.figures = u.figures(work{
		requests: float64(r.Published), records: float64(r.Published),
		produced: float64(r.Published) * size, consumed: float64(r.Received) * size, elapsed: r.Elapsed,
	})
	// A request of the generator's clients has as many records as happen to be there.
	delete(out.figures, "produce_req_s")
	set(out.figures, "offered_req_s", rate)
	out.figures["consume_records_s"] = r.ConsumeRate()
	out.figures["backlog_records"] = float64(r.Unsent)
	if n := len(r.Periods); n > 0 {
		out.figures["backlog_records"] += float64(r.Periods[n-1].Backlog)
	}
	out.addLatencies("produce", r.Publish)
	out.addLatencies("e2e", r.EndToEnd)
	return out, nil
}

// weakestMaximum returns the lowest of the highest rates, in records a second, that
// the contestants have reached in rounds that count.
func (l *lab) weakestMaximum() (float64, error) {
	rates := map[string]sample.Series{}
	for _, m := range l.measures {
		if rate, ok := m.Figures["produce_records_s"]; ok && m.Workload == maximumName && m.Phase == result.Counted {
			rates[m.Contestant] = append(rates[m.Contestant], rate)
		}
	}
	var lowest sample.Series
	for _, s := range rates {
		lowest = append(lowest, s.Median())
	}
	if len(lowest) == 0 {
		return 0, fmt.Errorf("no contestant's highest rate is known, want measures of %s", maximumName)
	}
	low, _ := lowest.Spread()
	return low, nil
}
