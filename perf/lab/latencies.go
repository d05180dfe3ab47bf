package main

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// highestMicros is the longest latency that a histogram holds.
const highestMicros = int64(time.Hour / time.Microsecond)

// histogramOf returns a histogram of microseconds with three digits.
func histogramOf(latencies []time.Duration) *hdrhistogram.Histogram {
	h := hdrhistogram.New(1, highestMicros, 3)
	for _, l := range latencies {
		h.RecordValue(min(max(l.Microseconds(), 0), highestMicros)) // is in range, so it returns nil
	}
	return h
}

// addLatencies adds a histogram of microseconds, whole and as percentiles, as
// figures that begin with kind.
func (t *taken) addLatencies(kind string, h *hdrhistogram.Histogram) {
	if h.TotalCount() == 0 {
		return
	}
	for _, p := range []struct {
		name       string
		percentile float64
	}{{"p50", 50}, {"p99", 99}, {"p999", 99.9}, {"max", 100}} {
		t.figures[fmt.Sprintf("%s_%s_ms", kind, p.name)] = float64(h.ValueAtPercentile(p.percentile)) / 1000
	}
	text, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return // it goes into memory; what fails here is no value of ours
	}
	if t.latencies == nil {
		t.latencies = map[string]string{}
	}
	t.latencies[kind] = string(text)
}
