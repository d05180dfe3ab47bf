package generator

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Result is what a run has measured and found. MarshalJSON (result_json.go) writes it
// with OpenMessaging Benchmark's keys.
type Result struct {
	Workload Workload
	Driver   string // "kafka" or "rollway"
	Target   Target
	Topics   []string // that were made for it

	Began   time.Time     // when the measuring began
	Elapsed time.Duration // how long it took: at least TestDuration

	// What was done while it was measured. Received counts each subscription.
	Published, PublishErrors, Received int64

	// Unsent were due by the schedule of an open loop, and the server was so far
	// behind that they never left. Publish and PublishDelay have them with the age
	// that they had at the end.
	Unsent int64

	// Latencies in microseconds of the messages that were due while it was measured.
	// PublishDelay is how late they were sent.
	Publish, PublishDelay, EndToEnd *hdrhistogram.Histogram

	Periods []Period
	Backlog *Backlog // nil unless the workload has one

	// Verification covers all messages, those of the warm-up too.
	Verification Verification
}

// Period is a part of the measured time, in turn.
type Period struct {
	Elapsed                            time.Duration
	Published, PublishErrors, Received int64
	Backlog                            int64 // messages acknowledged and not received, at its end
	Publish, PublishDelay, EndToEnd    Summary
}

// Summary is what is kept of the latencies of a period, in microseconds.
type Summary struct {
	Count     int64
	Mean      float64
	Max       int64
	Quantiles [len(quantiles)]int64 // at those of the results
}

func summarize(h *hdrhistogram.Histogram) Summary {
	s := Summary{Count: h.TotalCount(), Mean: h.Mean(), Max: h.Max()}
	for i, q := range quantiles {
		s.Quantiles[i] = h.ValueAtPercentile(q.percentile)
	}
	return s
}

// merge adds what other is of: of quantiles it keeps the higher one, which is a bound
// for that of both together.
func (s *Summary) merge(other *Summary) {
	if count := s.Count + other.Count; count > 0 {
		s.Mean = (s.Mean*float64(s.Count) + other.Mean*float64(other.Count)) / float64(count)
		s.Count = count
	}
	s.Max = max(s.Max, other.Max)
	for i := range s.Quantiles {
		s.Quantiles[i] = max(s.Quantiles[i], other.Quantiles[i])
	}
}

// Backlog is how a backlog was built and drained.
type Backlog struct {
	Messages     int64 // when consumers went on
	Build, Drain time.Duration
	Received     int64 // while it was drained
}

// PublishRate returns the messages that were acknowledged in a second.
func (r *Result) PublishRate() float64 { return perSecond(r.Published, r.Elapsed) }

// ConsumeRate returns the messages that were received in a second, each subscription
// counted.
func (r *Result) ConsumeRate() float64 { return perSecond(r.Received, r.Elapsed) }

func perSecond(n int64, elapsed time.Duration) float64 {
	if elapsed <= 0 {
		return 0
	}
	return float64(n) / elapsed.Seconds()
}

// Merge adds what another generator has measured of the same workload at the same
// time: counts are added, histograms merged, and periods too, as far as both have them.
func (r *Result) Merge(other *Result) error {
	if r.Driver != other.Driver || r.Workload.Name != other.Workload.Name {
		return fmt.Errorf("merge %s of %s with %s of %s, want the same workload and driver",
			r.Workload.Name, r.Driver, other.Workload.Name, other.Driver)
	}
	if other.Began.Before(r.Began) {
		r.Began = other.Began
	}
	r.Elapsed = max(r.Elapsed, other.Elapsed)
	r.Published += other.Published
	r.PublishErrors += other.PublishErrors
	r.Received += other.Received
	r.Unsent += other.Unsent
	r.Publish.Merge(other.Publish)
	r.PublishDelay.Merge(other.PublishDelay)
	r.EndToEnd.Merge(other.EndToEnd)
	r.Periods = r.Periods[:min(len(r.Periods), len(other.Periods))]
	for i := range r.Periods {
		r.Periods[i].merge(&other.Periods[i])
	}
	r.Backlog = r.Backlog.merge(other.Backlog)
	r.Verification.merge(&other.Verification)
	return nil
}

func (p *Period) merge(other *Period) {
	p.Elapsed = max(p.Elapsed, other.Elapsed)
	p.Published += other.Published
	p.PublishErrors += other.PublishErrors
	p.Received += other.Received
	p.Backlog += other.Backlog
	p.Publish.merge(&other.Publish)
	p.PublishDelay.merge(&other.PublishDelay)
	p.EndToEnd.merge(&other.EndToEnd)
}

// merge returns both, the slower of their times.
func (b *Backlog) merge(other *Backlog) *Backlog {
	if b == nil || other == nil {
		return b
	}
	return &Backlog{
		Messages: b.Messages + other.Messages, Received: b.Received + other.Received,
		Build: max(b.Build, other.Build), Drain: max(b.Drain, other.Drain),
	}
}

// Histograms returns the latencies, in microseconds, in HdrHistogram's V2 compressed
// encoding as base64, by the names that package result has for them.
func (r *Result) Histograms() (map[string]string, error) {
	encoded := map[string]string{}
	for name, h := range map[string]*hdrhistogram.Histogram{"produce": r.Publish, "e2e": r.EndToEnd} {
		if h.TotalCount() == 0 {
			continue
		}
		text, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
		if err != nil {
			return nil, fmt.Errorf("histogram %s: %w", name, err)
		}
		encoded[name] = string(text)
	}
	return encoded, nil
}
