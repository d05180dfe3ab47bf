package metrics

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A value is counted in the first bucket whose bound it does not exceed.
func TestHistogram(t *testing.T) {
	h := NewHistogram([]int64{10, 100})
	for _, v := range []int64{-1, 0, 10, 11, 100, 101} {
		h.Observe(v, 1)
	}
	h.Observe(50, 3)
	d := h.Distribution()
	if want := []int64{3, 5, 1}; !slices.Equal(d.Counts, want) || d.Sum != 371 || d.Count() != 9 {
		t.Errorf("counts %v, sum %d, count %d; want %v, 371, 9", d.Counts, d.Sum, d.Count(), want)
	}
}

// Requests are counted by API and code, and what has no name together.
func TestFrontend(t *testing.T) {
	f := NewFrontend(FrontendSpec{
		Name:      "test",
		APIs:      []string{1: "Produce", 3: "Fetch"},
		Codes:     []string{"server_error", "none", "", "gone"},
		FirstCode: -1,
	})
	f.Request(1, 0, time.Millisecond)
	f.Requests(1, 2, 5, time.Microsecond)
	f.Request(1, 1, 0)  // a code without a name
	f.Request(1, 3, 0)  // beyond the last
	f.Request(1, -2, 0) // before the first
	f.Request(1, -1, 0) // the first
	f.Request(2, 0, 0)  // a number without a name
	f.Request(-1, 0, 0) // before the first
	f.Request(4, 2, 0)  // beyond the last
	f.Request(1<<40, 0, 0)

	var got []string
	for _, a := range f.Counted() {
		for _, c := range a.Codes {
			got = append(got, strings.Join([]string{a.API, c.Code, strings.Repeat("x", int(c.Requests))}, " "))
		}
	}
	want := []string{
		"Produce server_error x", "Produce none x", "Produce gone xxxxx", "Produce unknown xxx",
		"Fetch none ",
		"unknown none xxx", "unknown gone x",
	}
	if !slices.Equal(got, want) {
		t.Errorf("counted %q, want %q", got, want)
	}
	took := f.Counted()[0].Took
	if took.Count() != 10 || took.Sum != int64(time.Millisecond+5*time.Microsecond) {
		t.Errorf("%d durations, %d ns; want 10 and 1005000", took.Count(), took.Sum)
	}
}

// The listeners of one protocol count together.
func TestRegistry(t *testing.T) {
	var r Registry
	a, b := r.Frontend(FrontendSpec{Name: "a"}), r.Frontend(FrontendSpec{Name: "b"})
	if a == b || r.Frontend(FrontendSpec{Name: "a"}) != a {
		t.Error("frontends are not told apart by their names")
	}
	if got := r.Frontends(); !slices.Equal(got, []*Frontend{a, b}) || got[1].Name() != "b" {
		t.Errorf("frontends %v", got)
	}
}

// Our tables say what those of a client say, written by others. Kafka itself
// spells acronyms in names as words.
func TestKafkaNames(t *testing.T) {
	known := 0
	for key := range int16(200) {
		want := kmsg.NameForKey(key)
		if want == "Unknown" {
			want = ""
		}
		got := ""
		if int(key) < len(kafkaAPIs) {
			got = kafkaAPIs[key]
		}
		if !strings.EqualFold(got, want) {
			t.Errorf("API key %d is %q, want %q", key, got, want)
		}
		if got != "" {
			known++
		}
	}
	for code := int16(-1); code < 300; code++ {
		want := "none"
		if code != 0 {
			want = ""
			if e := kerr.TypedErrorForCode(code); e.Code == code {
				want = strings.ToLower(e.Message)
			}
		}
		got := ""
		if i := int(code) - firstKafkaCode; i < len(kafkaCodes) {
			got = kafkaCodes[i]
		}
		if got != want {
			t.Errorf("code %d is %q, want %q", code, got, want)
		}
	}
	if known < 80 {
		t.Errorf("%d API keys were compared", known)
	}
	f := NewFrontend(KafkaSpec([]int16{0, 18}))
	f.Request(18, 35, 0)
	f.Request(1, 0, 0)
	got := f.Counted()
	if len(got) != 3 || got[0].API != "Produce" || got[1].Codes[1] != (CodeRequests{"unsupported_version", 1}) || got[2].API != Unknown {
		t.Errorf("counted %+v", got)
	}
}

// Counting allocates nothing.
func TestAllocations(t *testing.T) {
	f := NewFrontend(KafkaSpec([]int16{0}))
	if n := testing.AllocsPerRun(100, func() { f.Request(0, 0, time.Millisecond) }); n != 0 {
		t.Errorf("%v allocations per request", n)
	}
}

// What the hooks of one request cost, with both readings of the clock.
func BenchmarkRequest(b *testing.B) {
	f := NewFrontend(KafkaSpec([]int16{0, 1}))
	b.Run("count", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			f.Request(0, 0, 300*time.Microsecond)
		}
	})
	b.Run("clock and count", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			start := time.Now()
			f.Request(0, 0, time.Since(start))
		}
	})
	b.Run("count, parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				f.Request(0, 0, 300*time.Microsecond)
			}
		})
	})
}
