package generator

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// A workload of OpenMessaging Benchmark is read with its meaning, and what it leaves out is as there or the default.
func TestParseWorkload(t *testing.T) {
	got, err := ParseWorkload([]byte(`
# comment
name: 1 topic / 16 partitions / 1Kb

topics: 2
partitionsPerTopic: 16
keyDistributor: "KEY_ROUND_ROBIN"
messageSize: 2048
useRandomizedPayloads: true
randomBytesRatio: 0.5
randomizedPayloadPoolSize: 1000
subscriptionsPerTopic: 3
consumerPerSubscription: 4
producersPerTopic: 5
producerRate: 50000
consumerBacklogSizeGB: 2
backlogDrainRatio: 0.75
testDurationMinutes: 15
lingerMs: 0.5
topicConfigs: {flush.messages: 1}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := DefaultWorkload()
	want.Name, want.Topics, want.PartitionsPerTopic, want.KeyDistributor, want.MessageSize = "1 topic / 16 partitions / 1Kb", 2, 16, keyRoundRobin, 2048
	want.UseRandomizedPayloads, want.RandomBytesRatio, want.RandomizedPayloadPoolSize = true, 0.5, 1000
	want.SubscriptionsPerTopic, want.ConsumerPerSubscription, want.ProducersPerTopic, want.ProducerRate = 3, 4, 5, 50000
	want.ConsumerBacklogSizeGB, want.BacklogDrainRatio, want.TestDurationMinutes, want.WarmupDurationMinutes = 2, 0.75, 15, 1
	want.LingerMs, want.TopicConfigs = 0.5, map[string]string{"flush.messages": "1"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	if got.TestDuration() != 15*time.Minute || got.WarmupDuration() != time.Minute || got.backlogBytes() != 2<<30 {
		t.Errorf("test %v, warm-up %v, backlog %d", got.TestDuration(), got.WarmupDuration(), got.backlogBytes())
	}
	if got, err = ParseWorkload([]byte("warmupDurationSeconds: 5")); err != nil || got.WarmupDuration() != 5*time.Second {
		t.Errorf("warm-up of %v, %v; want 5 s", got.WarmupDuration(), err)
	}
}

// What is wrong with a workload is said with line, key and what is wanted, for an unknown key with the nearest one.
func TestBadWorkload(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if _, err := ParseWorkload([]byte(text)); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	f("", "no keys, want a workload")
	f("- topics", "line 1: no keys, want a workload")
	f("topics: 1\n---\ntopics: 2", "more than one document, want one workload")
	f("topics: 1\n\ntopics: 2", "line 3: topics again, want each key once")
	f("topics: 1\nproducerPerTopic: 2", "line 2: unknown key producerPerTopic, did you mean producersPerTopic?")
	f("consumersPerSubscription: 2", "line 1: unknown key consumersPerSubscription, did you mean consumerPerSubscription?")
	f("topics: many", `line 1: topics: "many", want a whole number`)
	f("topics: 1.5", `line 1: topics: "1.5", want a whole number`)
	f("producerRate: fast", `line 1: producerRate: "fast", want a number`)
	f("idempotence: perhaps", `line 1: idempotence: "perhaps", want true or false`)
	f("topicConfigs: 3", `line 1: topicConfigs: "3", want names with values`)
	f("topics: 0", "topics: 0, want at least 1")
	f("messageSize: 20", "messageSize: 20, want at least 32")
	f("messageSize: 2000000000", "messageSize: 2000000000, want at most 1073741823")
	f("producerRate: .nan", "producerRate: NaN, want at least 0")
	f("producerRate: .inf", "producerRate: +Inf, want at least 0")
	f("randomBytesRatio: 1.5", "randomBytesRatio: 1.5, want 0 to 1")
	f("useRandomizedPayloads: true\nrandomizedPayloadPoolSize: 0", "randomizedPayloadPoolSize: 0, want 1 to 100000")
	f("backlogDrainRatio: 0", "backlogDrainRatio: 0, want more than 0, up to 1")
	f("testDurationMinutes: 0", "testDurationMinutes, testDurationSeconds: 0 in all, want more")
	f("acks: 2", `acks: "2", want all, 1 or 0`)
	f("acks: 1", "idempotence: true with acks: 1, want idempotence: false or acks: all")
	f("compression: zip", `compression: codec "zip", want one of none, gzip, snappy, lz4, zstd`)
	f("keyDistributor: KEY", `keyDistributor: "KEY", want NO_KEY, KEY_ROUND_ROBIN or RANDOM_NANO`)
	f("consumerBacklogSizeGB: 1\nsubscriptionsPerTopic: 0", "consumerBacklogSizeGB: set without consumers, want a subscription and a consumer at least")
}

// A file without a name has that of the file, and its payload is found beside it.
func TestLoadWorkload(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "mine.yaml")
	if err := os.WriteFile(path, []byte("payloadFile: payload.data\nmessageSize: 100\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "payload.data"), []byte(strings.Repeat("x", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := LoadWorkload(path)
	if err != nil || w.Name != "mine" {
		t.Fatalf("name %q, %v", w.Name, err)
	}
	p, err := newPayloads(w)
	if err != nil || string(p.body(3)) != strings.Repeat("x", 100) {
		t.Fatalf("payload %v, %v", p, err)
	}
	w.MessageSize = 101
	if _, err := newPayloads(w); err == nil || !strings.Contains(err.Error(), "100 bytes, want the messageSize, 101") {
		t.Errorf("payload of another size: %v", err)
	}
	if err := os.WriteFile(path, []byte("topcs: 1"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadWorkload(path); err == nil || err.Error() != path+": line 1: unknown key topcs, did you mean topics?" {
		t.Errorf("%v", err)
	}
}

// Bodies are random as far as the ratio says, zero behind, and the same in every run.
func TestRandomPayloads(t *testing.T) {
	w := DefaultWorkload()
	w.UseRandomizedPayloads, w.RandomizedPayloadPoolSize, w.RandomBytesRatio, w.MessageSize = true, 3, 0.25, 400
	p, err := newPayloads(w)
	if err != nil {
		t.Fatal(err)
	}
	again, err := newPayloads(w)
	if err != nil {
		t.Fatal(err)
	}
	for i := range int64(3) {
		body := string(p.body(i))
		if zeros := strings.Repeat("\x00", 300); !strings.HasSuffix(body, zeros) || strings.Count(body[:100], "\x00") > 10 {
			t.Errorf("body %d: %x", i, body)
		}
		if body != string(again.body(i+3)) || body == string(p.body(i+1)) {
			t.Errorf("body %d is not of its own and the same each time", i)
		}
	}
}

// The workloads that come with the lab are good ones, each with a name of its own, and in an open loop.
func TestShippedWorkloads(t *testing.T) {
	paths, err := filepath.Glob("../workloads/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("%d workloads, %v", len(paths), err)
	}
	names := map[string]string{}
	for _, path := range paths {
		w, err := LoadWorkload(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if names[w.Name] != "" || w.ProducerRate == 0 {
			t.Errorf("%s: name %q, rate %v; want a name that %q has not, and a rate", path, w.Name, w.ProducerRate, names[w.Name])
		}
		names[w.Name] = path
	}
}
