package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// getHTTP returns the answer of a server's HTTP listener.
func getHTTP(t *testing.T, url string) (code int, body string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	p, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(p)
}

// The built program shows what its commands have done, over a restart after a kill
// too: then counters begin anew, and it is ready again when it has recovered.
func TestMetrics(t *testing.T) {
	dir := t.TempDir()
	s := startServer(t, dir, "--http", "127.0.0.1:0")
	url := "http://" + s.http
	s.run(nil, "topic", "create", "logs", "--partitions", "3")
	const lines = 1000
	s.run(strings.NewReader(strings.Repeat("a line of a log\n", lines)), "produce", "logs")
	if got := strings.Count(string(s.run(nil, "consume", "logs")), "\n"); got != lines {
		t.Fatalf("%d lines were consumed, want %d", got, lines)
	}
	_, text := getHTTP(t, url+"/metrics")
	f := func(series string, positive bool) {
		t.Helper()
		m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` ([0-9.e+]+)$`).FindStringSubmatch(text)
		if m == nil || (m[1] != "0") != positive {
			t.Errorf("%s: %q, want a value, above 0: %t", series, m, positive)
		}
	}
	if want := fmt.Sprintf("\nrollway_topic_appended_records_total{topic=\"logs\"} %d\n", lines); !strings.Contains(text, want) {
		t.Errorf("not%sin\n%s", want, text)
	}
	f(`rollway_requests_total{api="CreateTopic",error="none",frontend="wire"}`, true)
	f(`rollway_requests_total{api="Produce",error="none",frontend="wire"}`, true)
	f(`rollway_requests_total{api="Subscribe",error="none",frontend="wire"}`, true)
	f(`rollway_topic_fetched_bytes_total{topic="logs"}`, true)
	f(`rollway_commits_total`, true)
	f(`rollway_fsyncs_total{kind="directory"}`, true)
	f(`rollway_connections_malformed_total{listener="wire"}`, false)
	f(`rollway_storage_failed`, false)
	f(`process_resident_memory_bytes`, true)
	f(`go_goroutines`, true)

	s.kill()
	s = startServer(t, dir, "--http", "127.0.0.1:0")
	url = "http://" + s.http
	var ready struct {
		Status      string
		Directories []struct {
			Path       string
			Partitions struct{ Total, Recovering int }
		}
	}
	for deadline := time.Now().Add(startLimit); ; time.Sleep(time.Millisecond) {
		code, body := getHTTP(t, url+"/readyz")
		if err := json.Unmarshal([]byte(body), &ready); err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		if code == http.StatusOK {
			break
		}
		if code != http.StatusServiceUnavailable || ready.Status != "recovering" || time.Now().After(deadline) {
			t.Fatalf("status %d: %s", code, body)
		}
	}
	if d := ready.Directories; ready.Status != "ready" || len(d) != 1 || d[0].Partitions.Total != 3 || d[0].Partitions.Recovering != 0 {
		t.Errorf("%+v", ready)
	}
	_, text = getHTTP(t, url+"/metrics")
	f(`rollway_topic_appended_records_total{topic="logs"}`, false)
	f(`rollway_recovered`, true)
	s.stop()
}
