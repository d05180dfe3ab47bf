package broker

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rollway/rollway/wire"
)

// scrape returns what a path of the broker's HTTP listener answers.
func scrape(t *testing.T, b *Broker, path string) string {
	t.Helper()
	r, err := http.Get("http://" + b.HTTPAddr().String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v: %s", path, r.Status, err, body)
	}
	return string(body)
}

// await scrapes until each series has its value: what is counted behind a system
// call may be so after the client has read.
func await(t *testing.T, b *Broker, want map[string]int) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		text, missing := scrape(t, b, "/metrics"), ""
		for series, value := range want {
			if line := fmt.Sprintf("\n%s %d\n", series, value); !strings.Contains(text, line) {
				got := regexp.MustCompile(regexp.QuoteMeta(series) + " .*").FindString(text)
				missing += fmt.Sprintf("%s, want %d\n", got, value)
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after 10 s:\n%s", missing)
		}
		time.Sleep(time.Millisecond)
	}
}

// What clients do over the native protocol is what a scrape shows.
func TestMetrics(t *testing.T) {
	b := open(t, Options{DataDir: t.TempDir()})
	if err := b.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := dial(t, b)
	c.ask(&wire.CreateTopic{Topic: "logs", Partitions: 1}, wire.KindDone)
	large := strings.Repeat("x", 100<<10) // beyond what is sent by copying
	c.produce("logs", "one", "two", large)
	if got := c.fetch("logs", 0); len(got) != 3 {
		t.Fatalf("%d records", len(got))
	}
	c.ask(&wire.Fetch{Topic: []byte("logs"), Offset: 77, MaxBytes: 1}, wire.KindError)
	size := len(batchOf(t, "one", "two", large))

	bad, err := net.Dial("tcp", b.WireAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer bad.Close()
	if _, err := io.WriteString(bad, strings.Repeat("GET / HTTP/1.1\r\n", 8)); err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, bad) // until it is closed
	bad.Close()

	await(t, b, map[string]int{
		`rollway_requests_total{api="Hello",error="none",frontend="wire"}`:                1,
		`rollway_requests_total{api="CreateTopic",error="none",frontend="wire"}`:          1,
		`rollway_requests_total{api="Produce",error="none",frontend="wire"}`:              1,
		`rollway_requests_total{api="Fetch",error="none",frontend="wire"}`:                1,
		`rollway_requests_total{api="Fetch",error="offset_out_of_range",frontend="wire"}`: 1,
		`rollway_request_duration_seconds_count{api="Fetch",frontend="wire"}`:             2,
		`rollway_sent_bytes_total{path="sendfile"}`:                                       size,
		`rollway_sent_bytes_total{path="splice"}`:                                         0,
		`rollway_topic_appended_bytes_total{topic="logs"}`:                                size,
		`rollway_topic_appended_records_total{topic="logs"}`:                              3,
		`rollway_topic_fetched_bytes_total{topic="logs"}`:                                 size,
		`rollway_connections_accepted_total{listener="wire"}`:                             2,
		`rollway_connections_malformed_total{listener="wire"}`:                            1,
		`rollway_connections_open{listener="wire"}`:                                       1,
		`rollway_connections_open{listener="kafka"}`:                                      0,
		`rollway_high_watermark_lag_records`:                                              0,
		`rollway_commits_total`:                                                           1,
		`rollway_recovered`:                                                               1,
		`rollway_storage_failed`:                                                          0,
	})
	if text := scrape(t, b, "/readyz"); !strings.Contains(text, `"status":"ready"`) || !strings.Contains(text, `"total":1`) {
		t.Errorf("ready: %s", text)
	}
	if err := b.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r, err := http.Get("http://" + b.HTTPAddr().String()); err == nil {
		r.Body.Close()
		t.Error("something is served after the end")
	}
}

// Several Kafka listeners have series of their own.
func TestListenerNames(t *testing.T) {
	b := open(t, Options{DataDir: t.TempDir(), Kafka: "A://127.0.0.1:0,B://127.0.0.1:0"})
	await(t, b, map[string]int{
		`rollway_connections_open{listener="kafka-a"}`: 0,
		`rollway_connections_open{listener="kafka-b"}`: 0,
	})
}
