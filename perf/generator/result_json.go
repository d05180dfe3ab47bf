package generator

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// quantiles are those of OpenMessaging Benchmark's results, with how they are called
// there.
var quantiles = [...]struct {
	name       string
	percentile float64
}{
	{"50pct", 50}, {"75pct", 75}, {"95pct", 95}, {"99pct", 99}, {"999pct", 99.9}, {"9999pct", 99.99}, {"99999pct", 99.999},
}

// latencyKind is a latency of the results: its name there, and microseconds in a unit
// of what it is written in.
type latencyKind struct {
	name   string
	micros float64
	of     func(*Period) *Summary
	total  func(*Result) *hdrhistogram.Histogram
}

// latencyKinds are in OpenMessaging Benchmark's units: milliseconds, but for the
// delay, which is in microseconds.
var latencyKinds = []latencyKind{
	{"publishLatency", 1000, func(p *Period) *Summary { return &p.Publish }, func(r *Result) *hdrhistogram.Histogram { return r.Publish }},
	{"publishDelayLatency", 1, func(p *Period) *Summary { return &p.PublishDelay }, func(r *Result) *hdrhistogram.Histogram { return r.PublishDelay }},
	{"endToEndLatency", 1000, func(p *Period) *Summary { return &p.EndToEnd }, func(r *Result) *hdrhistogram.Histogram { return r.EndToEnd }},
}

// MarshalJSON writes the keys of io.openmessaging.benchmark.TestResult, and behind them
// ours: settings (the whole workload), target, began, seconds, published, publishErrors,
// received, unsent, publishMiBPerSecond and consumeMiBPerSecond (of values),
// backlogDrain, verification and histograms.
func (r *Result) MarshalJSON() ([]byte, error) {
	out := map[string]any{
		"workload": r.Workload.Name, "driver": r.Driver, "messageSize": r.Workload.MessageSize,
		"topics": r.Workload.Topics, "partitions": r.Workload.PartitionsPerTopic,
		"producersPerTopic": r.Workload.ProducersPerTopic,
		"consumersPerTopic": r.Workload.ConsumerPerSubscription, // of one subscription, there too

		"settings": r.Workload, "target": r.Target.String(), "began": r.Began.UTC().Format(time.RFC3339Nano), "seconds": r.Elapsed.Seconds(),
		"published": r.Published, "publishErrors": r.PublishErrors, "received": r.Received, "unsent": r.Unsent,
		"publishMiBPerSecond": r.PublishRate() * float64(r.Workload.MessageSize) / (1 << 20),
		"consumeMiBPerSecond": r.ConsumeRate() * float64(r.Workload.MessageSize) / (1 << 20),
		"verification":        r.Verification,
	}
	if r.Backlog != nil {
		out["backlogDrain"] = map[string]any{
			"messages": r.Backlog.Messages, "buildSeconds": r.Backlog.Build.Seconds(), "drainSeconds": r.Backlog.Drain.Seconds(),
			"drainRate": perSecond(r.Backlog.Received, r.Backlog.Drain),
		}
	}
	histograms, err := r.Histograms()
	if err != nil {
		return nil, err
	}
	out["histograms"] = histograms
	r.addPeriods(out)
	r.addTotals(out)
	return json.Marshal(out)
}

// addPeriods adds what is a list with an element for each period.
func (r *Result) addPeriods(out map[string]any) {
	add := func(key string, of func(*Period) any) {
		list := make([]any, len(r.Periods))
		for i := range r.Periods {
			list[i] = of(&r.Periods[i])
		}
		out[key] = list
	}
	add("publishRate", func(p *Period) any { return perSecond(p.Published, p.Elapsed) })
	add("publishErrorRate", func(p *Period) any { return perSecond(p.PublishErrors, p.Elapsed) })
	add("consumeRate", func(p *Period) any { return perSecond(p.Received, p.Elapsed) })
	add("backlog", func(p *Period) any { return p.Backlog })
	for _, k := range latencyKinds {
		add(k.name+"Avg", func(p *Period) any { return k.of(p).Mean / k.micros })
		add(k.name+"Max", func(p *Period) any { return float64(k.of(p).Max) / k.micros })
		for i, q := range quantiles {
			add(k.name+q.name, func(p *Period) any { return float64(k.of(p).Quantiles[i]) / k.micros })
		}
	}
}

// addTotals adds what is one value for all periods.
func (r *Result) addTotals(out map[string]any) {
	for _, k := range latencyKinds {
		h := k.total(r)
		prefix := "aggregated" + string(k.name[0]-'a'+'A') + k.name[1:]
		out[prefix+"Avg"] = h.Mean() / k.micros
		out[prefix+"Max"] = float64(h.Max()) / k.micros
		for _, q := range quantiles {
			out[prefix+q.name] = float64(h.ValueAtPercentile(q.percentile)) / k.micros
		}
		out[prefix+"Quantiles"] = distribution(h, k.micros)
	}
}

// distribution returns the latencies up to each percentile, by the percentile as a
// text, which is what JSON has for keys.
func distribution(h *hdrhistogram.Histogram, micros float64) map[string]float64 {
	// 5 steps each time that the distance to 100 % is halved are what plots need;
	// OpenMessaging Benchmark's 100 make 1,000 keys of some latencies.
	const ticks = 5
	out := map[string]float64{}
	if h.TotalCount() == 0 {
		return out
	}
	for _, b := range h.CumulativeDistributionWithTicks(ticks) {
		out[strconv.FormatFloat(b.Quantile, 'f', -1, 64)] = float64(b.ValueAt) / micros
	}
	return out
}
