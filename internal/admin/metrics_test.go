package admin

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/vfs"
	"github.com/rollway/rollway/internal/golden"
	"github.com/rollway/rollway/internal/metrics"
	"github.com/rollway/rollway/internal/netloop"
	"github.com/rollway/rollway/internal/node"
)

// wireListener is a listener with figures that differ from one another.
var wireListener = Listener{"wire", func() netloop.Stats {
	return netloop.Stats{Connections: 1, Accepted: 12, Refused: 3, Malformed: 4, Failed: 5, Received: 6000, Sent: 7000}
}}

// What a node counts is what a scrape shows.
func TestMetrics(t *testing.T) {
	n := ready(t, openNode(t))
	f := n.Metrics().Frontend(metrics.FrontendSpec{Name: "wire", APIs: []string{1: "Produce"}, Codes: []string{"none", "gone"}})
	f.Requests(1, 0, 3, 2*time.Millisecond)
	f.Request(1, 1, time.Second)
	f.Request(7, 0, 0)
	p := createTopic(t, n, "logs")
	bytes := produce(t, p, 5)
	p.CountFetched(1234)

	s := serve(t, n, Options{Listeners: []Listener{wireListener}})
	got := scrape(t, s)
	wants(t, got, map[string]float64{
		`rollway_requests_total{api="Produce",error="none",frontend="wire"}`:                 3,
		`rollway_requests_total{api="Produce",error="gone",frontend="wire"}`:                 1,
		`rollway_requests_total{api="unknown",error="none",frontend="wire"}`:                 1,
		`rollway_request_duration_seconds_count{api="Produce",frontend="wire"}`:              4,
		`rollway_request_duration_seconds_sum{api="Produce",frontend="wire"}`:                1.006,
		`rollway_request_duration_seconds_bucket{api="Produce",frontend="wire",le="0.001"}`:  0,
		`rollway_request_duration_seconds_bucket{api="Produce",frontend="wire",le="0.0025"}`: 3,
		`rollway_request_duration_seconds_bucket{api="Produce",frontend="wire",le="1"}`:      4,
		`rollway_request_duration_seconds_bucket{api="Produce",frontend="wire",le="+Inf"}`:   4,
		`rollway_connections_open{listener="wire"}`:                                          1,
		`rollway_connections_accepted_total{listener="wire"}`:                                12,
		`rollway_connections_refused_total{listener="wire"}`:                                 3,
		`rollway_connections_malformed_total{listener="wire"}`:                               4,
		`rollway_connections_failed_total{listener="wire"}`:                                  5,
		`rollway_received_bytes_total{listener="wire"}`:                                      6000,
		`rollway_connections_open{listener="http"}`:                                          1,
		`rollway_connections_accepted_total{listener="http"}`:                                1,
		`rollway_receive_budget_used_bytes`:                                                  0,
		`rollway_receive_budget_limit_bytes`:                                                 256 << 20,
		`rollway_commits_total`:                                                              1,
		`rollway_commit_size_bytes_sum`:                                                      float64(bytes),
		`rollway_commit_size_bytes_count`:                                                    1,
		`rollway_fsyncs_total{kind="log"}`:                                                   1,
		`rollway_high_watermark_lag_records`:                                                 0,
		`rollway_recovered`:                                                                  1,
		`rollway_storage_failed`:                                                             0,
		`rollway_topics`:                                                                     1,
		`rollway_partitions{state="ready"}`:                                                  1,
		`rollway_partitions{state="failed"}`:                                                 0,
		`rollway_topic_appended_bytes_total{topic="logs"}`:                                   float64(bytes),
		`rollway_topic_appended_records_total{topic="logs"}`:                                 5,
		`rollway_topic_fetched_bytes_total{topic="logs"}`:                                    1234,
		`rollway_topics_without_series`:                                                      0,
		`rollway_disk_floor_bytes`:                                                           float64(must(n.Engine().Space())(t).MinFree),
		`rollway_open_files_limit`:                                                           float64(n.Engine().Stats().MaxOpenFiles),
	})
	if got[`rollway_received_bytes_total{listener="http"}`] < 50 {
		t.Error("the request of the scrape was not counted")
	}
	for series, value := range got {
		if math.IsNaN(value) && strings.HasPrefix(series, prefix) {
			t.Errorf("%s is not a number", series)
		}
	}
}

// Every family that is shown is linted and documented, and every family that is
// documented is shown.
func TestFamilies(t *testing.T) {
	n := ready(t, openNode(t))
	f := n.Metrics().Frontend(metrics.FrontendSpec{Name: "wire", APIs: []string{"Produce"}, Codes: []string{"none"}})
	f.Request(0, 0, 0)
	produce(t, createTopic(t, n, "logs"), 1)
	commit(t, n, "readers", "logs", 0)
	c := &collector{node: n, listeners: []Listener{wireListener}, http: &listener{}, topics: newTopicSeries(10), lags: newGroupSeries(10)}
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c)

	problems, err := testutil.GatherAndLint(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	shown, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var documented, gathered []string
	for _, g := range groups {
		for _, f := range g.families {
			documented = append(documented, f.name)
		}
	}
	for _, f := range shown {
		gathered = append(gathered, f.GetName())
	}
	slices.Sort(documented)
	if !slices.Equal(documented, gathered) {
		t.Errorf("documented are\n%q, shown\n%q", documented, gathered)
	}
	// What the page says of other families is about those of the client library.
	_, text := get(t, serve(t, n, Options{}), "/metrics")
	for line := range strings.Lines(text) {
		name, isType := strings.CutPrefix(line, "# TYPE ")
		if isType && !strings.HasPrefix(name, prefix) && !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") {
			t.Errorf("family %s is not documented", strings.TrimSpace(name))
		}
	}
}

// The page of the documentation says what the families say.
func TestPage(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Metrics\n\n" +
		"<!-- written by `make golden` from internal/admin; do not edit -->\n\n" +
		"`http://127.0.0.1:9193/metrics` (`--http`) gives these families in Prometheus' text format. Counters count since the\n" +
		"server was started; all is read when it is asked for. Bounds of histograms are inclusive.\n")
	for _, g := range groups {
		fmt.Fprintf(&b, "\n## %s\n\n", g.title)
		if g.text != "" {
			fmt.Fprintf(&b, "%s\n\n", g.text)
		}
		b.WriteString("| family | type | labels | what it tells |\n|---|---|---|---|\n")
		for _, f := range g.families {
			labels := "`" + strings.Join(f.labels, "`, `") + "`"
			if len(f.labels) == 0 {
				labels = ""
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.name, f.kind, labels, f.text)
		}
	}
	golden.CheckFile(t, "../../docs/metrics.md", []byte(b.String()))
}

// So many topics have series of their own and keep them for as long as they exist;
// the sum of the others never falls, not when one of them is deleted, and a topic
// that is called like the sum is in it.
func TestTopicSeries(t *testing.T) {
	n := ready(t, openNode(t))
	e := n.Engine()
	for i, name := range []string{"b", "c", "d", otherTopics} {
		createTopic(t, n, name).CountFetched(int64(1) << i)
	}
	s := serve(t, n, Options{Topics: 2})
	check := func(want string) {
		t.Helper()
		var got []string
		for series, value := range scrape(t, s) {
			if topic, ok := strings.CutPrefix(series, `rollway_topic_fetched_bytes_total{topic="`); ok {
				got = append(got, fmt.Sprint(strings.TrimSuffix(topic, `"}`), " ", value))
			}
			if series == "rollway_topics_without_series" {
				got = append(got, fmt.Sprint("~folded ", value))
			}
		}
		slices.Sort(got)
		if text := strings.Join(got, ", "); text != want {
			t.Errorf("series %s, want %s", text, want)
		}
	}
	remove := func(name string) {
		t.Helper()
		if err := e.DeleteTopic(name); err != nil {
			t.Fatal(err)
		}
	}
	check("b 1, c 2, other 12, ~folded 2")
	createTopic(t, n, "a").CountFetched(16) // comes first by name, but not in time
	check("b 1, c 2, other 28, ~folded 3")
	remove("d")
	check("b 1, c 2, other 28, ~folded 2")
	remove("b")
	createTopic(t, n, "b").CountFetched(32)
	check("b 32, c 2, other 28, ~folded 2")
	for _, name := range []string{"a", otherTopics} {
		remove(name)
	}
	check("b 32, c 2, other 28, ~folded 0")
}

// The lag is of records that were appended and not committed, and it says at once
// when commits are stuck: a scrape does not wait for them.
func TestLag(t *testing.T) {
	gate := &gatedFS{FS: must(vfs.OpenOS(t.TempDir()))(t), op: vfs.OpDatasync, gate: make(chan struct{})}
	n := ready(t, openNode(t, func(o *node.Options) { o.Engine.FS = gate }))
	topic := must(n.Engine().CreateTopic(engine.TopicSpec{Name: "logs", Partitions: 2}))(t)
	for _, p := range topic.Partitions() {
		produce(t, p, 1) // the first append syncs the leader epoch by itself
	}
	s := serve(t, n, Options{})

	gate.closed.Store(true)
	var producers sync.WaitGroup
	for i, p := range topic.Partitions() {
		producers.Go(func() { produce(t, p, 2+i) })
	}
	appended := func() (sum engine.Offset) {
		for _, p := range topic.Partitions() {
			sum += p.Offsets().LogEnd
		}
		return sum
	}
	for deadline := time.Now().Add(time.Minute); appended() < 7 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	wants(t, scrape(t, s), map[string]float64{"rollway_high_watermark_lag_records": 5, "rollway_high_watermark_lag_max_records": 3})
	close(gate.gate)
	producers.Wait()
	wants(t, scrape(t, s), map[string]float64{"rollway_high_watermark_lag_records": 0, "rollway_high_watermark_lag_max_records": 0})
}

// What a scrape of 1,000 topics costs.
func BenchmarkScrape(b *testing.B) {
	n := ready(b, openNode(b))
	for i := range 1000 {
		createTopic(b, n, fmt.Sprint("topic-", i))
	}
	c := &collector{node: n, listeners: []Listener{wireListener}, http: &listener{}, topics: newTopicSeries(DefaultTopics), lags: newGroupSeries(DefaultGroupPartitions)}
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Gather(); err != nil {
			b.Fatal(err)
		}
	}
}
