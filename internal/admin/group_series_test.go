package admin

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollway/rollway/internal/coord"
	"github.com/rollway/rollway/internal/node"
)

// commit commits an offset in partition 0 of a topic for a group, durably.
func commit(t testing.TB, n *node.Node, group, topic string, offset int64) {
	t.Helper()
	await(t, func() *coord.Pending[coord.Code] {
		return n.Groups().Commit(&coord.CommitRequest{Group: group, Generation: -1, Topics: []coord.CommitTopic{
			{Topic: topic, Partitions: []coord.CommitPartition{{Offset: offset, LeaderEpoch: -1}}},
		}}, time.Now())
	})
}

// await asks until the groups are loaded, and waits for the answer.
func await(t testing.TB, ask func() *coord.Pending[coord.Code]) {
	t.Helper()
	for range 20_000 {
		woken := make(chan struct{}, 1)
		pending := ask()
		if _, done := pending.Poll(func() { woken <- struct{}{} }); !done {
			<-woken
		}
		switch code, _ := pending.Poll(func() {}); code {
		case coord.None:
			return
		case coord.CoordinatorLoadInProgress:
			time.Sleep(time.Millisecond)
		default:
			t.Fatalf("answered %v", code)
		}
	}
	t.Fatal("groups are not loaded after 20 s")
}

// A scrape shows how far each group is behind in what it has committed, in records and in seconds, and what groups there are.
func TestGroupMetrics(t *testing.T) {
	n := ready(t, openNode(t))
	p := createTopic(t, n, "logs")
	produce(t, p, 3) // from 1970
	produce(t, p, 2)
	commit(t, n, "a", "logs", 4)
	commit(t, n, "b", "logs", 5)
	commit(t, n, "other", "logs", 0)
	createTopic(t, n, "none")
	commit(t, n, "gone", "logs", 5)
	commit(t, n, "gone", "none", 0)
	gone, err := n.Engine().Topic("none")
	if err != nil {
		t.Fatal(err)
	}
	if err := n.DeleteTopic(gone); err != nil {
		t.Fatal(err)
	}
	s := serve(t, n, Options{})
	got := scrape(t, s)
	lag := func(what, group string) string {
		return fmt.Sprintf("rollway_group_lag_%s{group=%q,partition=\"0\",topic=\"logs\"}", what, group)
	}
	wants(t, got, map[string]float64{
		`rollway_groups{state="Empty"}`:           4,
		`rollway_groups{state="Stable"}`:          0,
		`rollway_group_members`:                   0,
		lag("records", "a"):                       1,
		lag("records", "b"):                       0,
		lag("seconds", "b"):                       0,
		lag("records", "other"):                   5,
		`rollway_group_partitions_without_series`: 0,
	})
	for _, group := range []string{"a", "other"} {
		if age := got[lag("seconds", group)]; age < 1.7e9 {
			t.Errorf("a record of 1970 is %v s old for group %s", age, group)
		}
	}
	for series := range got {
		if strings.Contains(series, `topic="none"`) {
			t.Errorf("%s is shown, of a topic that is not there", series)
		}
	}
}

// So many partitions of groups have series of their own and keep them for as long as something is committed; the records of
// the others are summed up, and so are those of a group whose id is no label.
func TestGroupSeries(t *testing.T) {
	n := ready(t, openNode(t))
	produce(t, createTopic(t, n, "logs"), 8)
	s := serve(t, n, Options{GroupPartitions: 2})
	check := func(want string) {
		t.Helper()
		var got []string
		for series, value := range scrape(t, s) {
			if labels, ok := strings.CutPrefix(series, `rollway_group_lag_records{group="`); ok {
				group, rest, _ := strings.Cut(labels, `"`)
				if strings.Contains(rest, `partition=""`) || !strings.Contains(rest, "partition") {
					group = "~" + group
				}
				got = append(got, fmt.Sprint(group, " ", value))
			}
			if series == "rollway_group_partitions_without_series" {
				got = append(got, fmt.Sprint("~~folded ", value))
			}
		}
		slices.Sort(got)
		if text := strings.Join(got, ", "); text != want {
			t.Errorf("series %s, want %s", text, want)
		}
	}
	remove := func(group string) {
		t.Helper()
		await(t, func() *coord.Pending[coord.Code] { return n.Groups().DeleteGroup(group, time.Now()) })
	}
	check("~~folded 0")
	commit(t, n, "b", "logs", 7)
	commit(t, n, "\xff", "logs", 4)
	check("b 1, ~other 4, ~~folded 1")
	commit(t, n, "c", "logs", 6)
	commit(t, n, "other", "logs", 0)
	check("b 1, c 2, ~other 12, ~~folded 2")
	commit(t, n, "a", "logs", 5) // comes first by name, but not in time
	check("b 1, c 2, ~other 15, ~~folded 3")
	remove("b")
	check("a 3, c 2, ~other 12, ~~folded 2")
	remove("other")
	remove("\xff")
	check("a 3, c 2, ~~folded 0")
}

// What a scrape of 10,000 partitions of groups costs, each of which is behind.
func BenchmarkScrapeGroups(b *testing.B) {
	n := ready(b, openNode(b))
	const topics, groups = 10, 1000
	for i := range topics {
		p := createTopic(b, n, fmt.Sprint("topic-", i))
		for range 100 {
			produce(b, p, 10)
		}
	}
	for i := range groups {
		for j := range topics {
			commit(b, n, fmt.Sprint("group-", i), fmt.Sprint("topic-", j), int64(i))
		}
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
