package admin

import (
	"github.com/prometheus/client_golang/prometheus"
)

// kind is what a family is to Prometheus.
type kind string

const (
	counter   kind = "counter"
	gauge     kind = "gauge"
	histogram kind = "histogram"
)

// family is one metric family: what its series mean is said in the text, which is
// what Prometheus shows and what stands in docs/metrics.md.
type family struct {
	name   string
	kind   kind
	labels []string
	text   string
	desc   *prometheus.Desc
}

// group is a part of the page: families that are about one thing.
type group struct {
	title    string
	text     string
	families []*family
}

// prefix is that of all our families.
const prefix = "rollway_"

// newFamily returns a family; its name is given without the prefix.
func newFamily(name string, k kind, text string, labels ...string) *family {
	return &family{
		name:   prefix + name,
		kind:   k,
		labels: labels,
		text:   text,
		desc:   prometheus.NewDesc(prefix+name, text, labels, nil),
	}
}

// metric is one series of the family. Its labels are in the order of the family's.
func (f *family) metric(value float64, labels ...string) prometheus.Metric {
	t := prometheus.GaugeValue
	if f.kind == counter {
		t = prometheus.CounterValue
	}
	return prometheus.MustNewConstMetric(f.desc, t, value, labels...)
}

// distribution is one series of a histogram, from buckets that count what fell into
// them alone. Bounds and sum are in units of which one is scale of the family's.
func (f *family) distribution(bounds, counts []int64, sum int64, scale float64, labels ...string) prometheus.Metric {
	buckets := make(map[float64]uint64, len(bounds))
	total := uint64(0)
	for i, n := range counts {
		total += uint64(n)
		if i < len(bounds) {
			buckets[float64(bounds[i])*scale] = total
		}
	}
	return prometheus.MustNewConstHistogram(f.desc, total, float64(sum)*scale, buckets, labels...)
}

func flag(set bool) float64 {
	if set {
		return 1
	}
	return 0
}
