package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/rollway/rollway/perf/generator"
)

// benchDisplay shows how far a bench is: on a terminal one line that is written over,
// elsewhere a line for each phase.
type benchDisplay struct {
	line  *progress
	w     io.Writer // of lines for each phase; nil: none
	phase generator.Phase
}

func newBenchDisplay(stderr io.Writer, quiet bool) *benchDisplay {
	switch {
	case quiet:
		return &benchDisplay{line: new(progress)}
	case isTerminal(stderr):
		return &benchDisplay{line: newProgress(stderr)}
	}
	return &benchDisplay{line: new(progress), w: stderr}
}

// interval is how often update is to be called: on a terminal, as often as somebody
// can read the figures.
func (d *benchDisplay) interval() time.Duration { return time.Second }

// update shows progress.
func (d *benchDisplay) update(p generator.Progress) {
	if d.w != nil && p.Phase != d.phase {
		fmt.Fprintf(d.w, "%s%s\n", p.Phase, timeLeft(p.Left))
	}
	d.phase = p.Phase
	d.line.updateLine(func(time.Duration) string { return benchLine(p) })
}

// end removes the line: what stands there is old, and the summary follows.
func (d *benchDisplay) end() { d.line.clear() }

// timeLeft says how long a phase still takes, if anybody knows.
func timeLeft(left time.Duration) string {
	if left <= 0 {
		return ""
	}
	return fmt.Sprintf(", %v left", left.Round(time.Second))
}

// benchLine is what a terminal shows of a second.
func benchLine(p generator.Progress) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s: published %.0f/s (%s/s), consumed %.0f/s", p.Phase, timeLeft(p.Left),
		p.PublishRate, humanBytes(int64(p.PublishRate*float64(p.MessageSize))), p.ConsumeRate)
	if p.PublishP50 > 0 {
		fmt.Fprintf(&b, ", publish p50 %s p99 %s", millis(p.PublishP50.Microseconds()), millis(p.PublishP99.Microseconds()))
	}
	if p.EndToEndP50 > 0 {
		fmt.Fprintf(&b, ", end to end p50 %s p99 %s", millis(p.EndToEndP50.Microseconds()), millis(p.EndToEndP99.Microseconds()))
	}
	if p.Backlog > 0 {
		fmt.Fprintf(&b, ", backlog %d", p.Backlog)
	}
	fmt.Fprintf(&b, ", errors %d", p.PublishErrors+p.Found)
	return b.String()
}

// millis writes microseconds as milliseconds, with three digits that count.
func millis(micros int64) string {
	ms := float64(micros) / 1000
	switch {
	case ms >= 100:
		return fmt.Sprintf("%.0f ms", ms)
	case ms >= 10:
		return fmt.Sprintf("%.1f ms", ms)
	}
	return fmt.Sprintf("%.2f ms", ms)
}

// benchSummary is a result for people.
type benchSummary struct {
	*generator.Result
	keep bool
}

// write writes what was done, how fast, how late, and what was found.
func (s benchSummary) write(w io.Writer) error {
	for _, write := range []func(io.Writer) error{s.writeSetting, s.writeRates, s.writeLatencies, s.writeFindings} {
		if err := write(w); err != nil {
			return err
		}
	}
	return nil
}

// writeSetting writes what was asked for.
func (s benchSummary) writeSetting(w io.Writer) error {
	l := s.Workload
	loop := "at full speed"
	if l.ProducerRate > 0 {
		loop = fmt.Sprintf("at %.0f messages/s", l.ProducerRate)
	}
	_, err := fmt.Fprintf(w, `%s at %v: %d B messages %s
topics %d, of each: partitions %d, producers %d, subscriptions %d, consumers %d for one
acks %s, idempotence %s, batches up to %s, linger %v, compression %s

`, l.Name, s.Target, l.MessageSize, loop,
		l.Topics, l.PartitionsPerTopic, l.ProducersPerTopic, l.SubscriptionsPerTopic, l.ConsumerPerSubscription,
		l.Acks, onOff(l.Idempotence), humanBytes(int64(l.BatchBytes)), time.Duration(l.LingerMs*float64(time.Millisecond)), l.Compression)
	return err
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// writeRates writes what was done in the measured time.
func (s benchSummary) writeRates(w io.Writer) error {
	size := float64(s.Workload.MessageSize)
	t := newTable("", ">MESSAGES", ">MESSAGES/S", ">BYTES/S")
	t.add("published", fmt.Sprint(s.Published), fmt.Sprintf("%.0f", s.PublishRate()), humanBytes(int64(s.PublishRate()*size))+"/s")
	t.add("consumed", fmt.Sprint(s.Received), fmt.Sprintf("%.0f", s.ConsumeRate()), humanBytes(int64(s.ConsumeRate()*size))+"/s")
	if err := t.write(w); err != nil {
		return err
	}
	if b := s.Backlog; b != nil {
		rate := float64(b.Received) / max(b.Drain.Seconds(), 1e-3)
		if _, err := fmt.Fprintf(w, "backlog of %d messages built in %.1f s, drained in %.1f s at %.0f messages/s\n", b.Messages, b.Build.Seconds(), b.Drain.Seconds(), rate); err != nil {
			return err
		}
	}
	if s.Unsent > 0 {
		if _, err := fmt.Fprintf(w, "%d messages were due and could not be sent: the server is too slow for this rate\n", s.Unsent); err != nil {
			return err
		}
	}
	return nil
}

// writeLatencies writes percentiles, from when messages were due.
func (s benchSummary) writeLatencies(w io.Writer) error {
	t := newTable("LATENCY", ">MEAN", ">P50", ">P95", ">P99", ">P99.9", ">P99.99", ">MAX")
	for _, l := range []struct {
		name string
		of   *hdrhistogram.Histogram
	}{{"publish", s.Publish}, {"end to end", s.EndToEnd}} {
		if l.of.TotalCount() == 0 {
			continue
		}
		row := []string{l.name, millis(int64(l.of.Mean()))}
		for _, percentile := range []float64{50, 95, 99, 99.9, 99.99, 100} {
			row = append(row, millis(l.of.ValueAtPercentile(percentile)))
		}
		t.add(row...)
	}
	if len(t.rows) == 1 {
		return nil
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	return t.write(w)
}

// writeFindings writes what was verified, and what was found.
func (s benchSummary) writeFindings(w io.Writer) error {
	v := s.Verification
	var b strings.Builder
	b.WriteByte('\n')
	switch {
	case s.Workload.SubscriptionsPerTopic == 0 || s.Workload.ConsumerPerSubscription == 0:
		fmt.Fprintf(&b, "not verified: nobody consumed; %d of %d messages were acknowledged\n", v.Acknowledged, v.Sent)
	case v.Incomplete != "":
		fmt.Fprintf(&b, "not fully verified: %s; %d messages acknowledged, %d received\n", v.Incomplete, v.Acknowledged, v.Received)
	default:
		fmt.Fprintf(&b, "verified: %d messages acknowledged, %d received; %d lost, %d corrupt, %d duplicated, %d out of order, %d redelivered\n",
			v.Acknowledged, v.Received, v.Lost, v.Corrupt, v.Duplicated, v.OutOfOrder, v.Redelivered)
	}
	for _, finding := range v.Findings {
		fmt.Fprintf(&b, "  %s\n", finding)
	}
	if s.keep {
		fmt.Fprintf(&b, "kept: %s\n", strings.Join(s.Topics, ", "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
