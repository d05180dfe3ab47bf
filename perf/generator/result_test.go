package generator

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/rollway/rollway/internal/golden"
)

// sampleResult has latencies of 1 to 1000 ms, each factor times.
func sampleResult(factor int64) *Result {
	r := &Result{
		Workload: DefaultWorkload(), Driver: "kafka", Target: Target{Kafka: "127.0.0.1:9092"}, Topics: []string{"rollway-bench-0"},
		Began: time.Unix(1700000000, 0), Elapsed: 20 * time.Second, Published: 1000 * factor, Received: 900 * factor,
		Publish: newHistogram(), PublishDelay: newHistogram(), EndToEnd: newHistogram(),
		Backlog:      &Backlog{Messages: 500, Build: time.Second, Drain: 2 * time.Second, Received: 3000},
		Verification: Verification{Sent: 1000 * factor, Acknowledged: 1000 * factor, Received: 1000 * factor},
	}
	for ms := int64(1); ms <= 1000; ms++ {
		r.Publish.RecordValues(ms*1000, factor)
		r.PublishDelay.RecordValues(ms, factor)
		r.EndToEnd.RecordValues(2*ms*1000, factor)
	}
	for range 2 {
		r.Periods = append(r.Periods, Period{
			Elapsed: 10 * time.Second, Published: 500 * factor, Received: 450 * factor, Backlog: 100,
			Publish: summarize(r.Publish), PublishDelay: summarize(r.PublishDelay), EndToEnd: summarize(r.EndToEnd),
		})
	}
	return r
}

// The result has OpenMessaging Benchmark's keys in its units, and ours: the golden file has them all.
func TestResultJSON(t *testing.T) {
	p, err := json.Marshal(sampleResult(1))
	if err != nil {
		t.Fatal(err)
	}
	var keys map[string]any
	if err := json.Unmarshal(p, &keys); err != nil {
		t.Fatal(err)
	}
	for key, value := range keys {
		if m, ok := value.(map[string]any); ok && strings.HasSuffix(key, "Quantiles") {
			keys[key] = m["50"] // of some dozens
		}
	}
	for _, h := range keys["histograms"].(map[string]any) {
		decoded, err := hdrhistogram.Decode([]byte(h.(string)))
		if err != nil || decoded.TotalCount() != 1000 {
			t.Errorf("histogram %v: %v", h, err)
		}
	}
	delete(keys, "histograms") // how they are compressed is not ours
	text, err := json.MarshalIndent(keys, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "result.json", append(text, '\n'))
}

// Results of several generators make one: counts add up, percentiles are those of all messages.
func TestMerge(t *testing.T) {
	r, other := sampleResult(1), sampleResult(3)
	other.Publish = newHistogram()
	other.Publish.RecordValues(5_000_000, 3000)
	other.Verification.Lost = 2
	other.Verification.Findings = slices.Repeat([]string{"lost"}, maxFindings+5)
	if err := r.Merge(other); err != nil {
		t.Fatal(err)
	}
	if r.Published != 4000 || r.Received != 3600 || r.Publish.TotalCount() != 4000 || r.Backlog.Messages != 1000 || r.Verification.Lost != 2 {
		t.Errorf("%+v", r)
	}
	if p50 := r.Publish.ValueAtPercentile(50) / 1000; p50 < 4990 || p50 > 5010 {
		t.Errorf("p50 %d ms, want 5,000", p50)
	}
	if len(r.Periods) != 2 || r.Periods[0].Published != 2000 || r.Periods[0].Publish.Count != 4000 || len(r.Verification.Findings) != maxFindings {
		t.Errorf("%+v", r.Periods)
	}
	other.Driver = "rollway"
	if err := r.Merge(other); err == nil {
		t.Error("results of two drivers are merged")
	}
}

// Latencies out of range are counted at the end of it, and periods add up to the whole.
func TestLatencies(t *testing.T) {
	l := newLatencies()
	l.record(-time.Second)
	l.record(100 * time.Hour)
	first := l.take()
	w := newWindow()
	w.from.Store(10)
	w.to.Store(20)
	l.since(5_000_020, w, []int64{9, 10, 19, 20})
	second, all := l.take(), l.all()
	if first.TotalCount() != 2 || first.Min() != 0 || first.Max() < highestMicros || second.TotalCount() != 2 || all.TotalCount() != 4 {
		t.Errorf("%d from %d to %d us, %d, %d in all", first.TotalCount(), first.Min(), first.Max(), second.TotalCount(), all.TotalCount())
	}
	if got := second.Max(); got < 4999 || got > 5003 {
		t.Errorf("%d us, want 5,000", got)
	}
}
