package generator

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/broker"
)

// startBroker starts a broker and returns both of its addresses.
func startBroker(t *testing.T) (kafka, native Target) {
	t.Helper()
	b, err := broker.Open(broker.Options{
		DataDir: t.TempDir(), Wire: "127.0.0.1:0", Kafka: "127.0.0.1:0", HTTP: broker.Off,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	if err := b.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return Target{Kafka: b.KafkaAddrs()[0].String()}, Target{Native: b.WireAddr().String()}
}

// short returns a workload of some hundred milliseconds that has everything several
// times: topics, partitions, producers, subscriptions, consumers.
func short() Workload {
	w := DefaultWorkload()
	w.Name, w.Topics, w.PartitionsPerTopic, w.ProducersPerTopic, w.SubscriptionsPerTopic, w.ConsumerPerSubscription = "short", 2, 3, 2, 2, 2
	w.MessageSize, w.BatchBytes, w.LingerMs = 100, 4096, 1
	w.TestDurationMinutes, w.TestDurationSeconds, w.WarmupDurationSeconds = 0, 0.15, 0.03
	return w
}

// topicNames returns the topics of a broker, by Kafka's protocol.
func topicNames(t *testing.T, kafka Target) []string {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(kafka.Kafka))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	m := kmsg.NewPtrMetadataRequest()
	answer, err := m.RequestWith(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, topic := range answer.Topics {
		names = append(names, *topic.Topic)
	}
	return names
}

// Over both protocols, in an open and a closed loop, with keys and codecs, all messages arrive and the topics are gone afterwards.
func TestRun(t *testing.T) {
	kafka, native := startBroker(t)
	f := func(name string, target Target, change func(w *Workload)) {
		t.Run(name, func(t *testing.T) {
			w := short()
			change(&w)
			r, err := Run(t.Context(), w, target, Options{})
			if err != nil {
				t.Fatal(err)
			}
			v := r.Verification
			if v.Sent == 0 || v.Sent != v.Acknowledged || v.Received != v.Sent*int64(w.subscriptions()) || v.Incomplete != "" || len(v.Findings) > 0 {
				t.Errorf("%+v", v)
			}
			if w.ProducerRate > 0 {
				// What is due in the time of the test is measured, neither more nor less.
				due := int64(w.ProducerRate * w.TestDuration().Seconds())
				if n := r.Publish.TotalCount(); n < due-1 || n > due+int64(w.Topics*w.ProducersPerTopic) {
					t.Errorf("%d messages measured, want %d", n, due)
				}
				if n := r.PublishDelay.TotalCount(); n != r.Publish.TotalCount() {
					t.Errorf("%d delays, want %d", n, r.Publish.TotalCount())
				}
			}
			if got, want := r.EndToEnd.TotalCount(), r.Publish.TotalCount()*int64(w.subscriptions()); got != want {
				t.Errorf("%d end-to-end latencies, want %d", got, want)
			}
			if names := topicNames(t, kafka); len(names) > 0 {
				t.Errorf("topics left: %q", names)
			}
		})
	}
	for name, target := range map[string]Target{"kafka": kafka, "native": native} {
		f(name+"/open", target, func(w *Workload) { w.ProducerRate = 2000 })
		f(name+"/closed", target, func(w *Workload) { w.MaxInFlightMessages = 50 })
		f(name+"/keys", target, func(w *Workload) { w.KeyDistributor, w.ProducerRate, w.Compression = keyRoundRobin, 1000, "zstd" })
		f(name+"/acks", target, func(w *Workload) {
			w.Acks, w.Idempotence, w.ProducerRate, w.Compression = "1", false, 1000, "lz4"
			w.UseRandomizedPayloads, w.RandomizedPayloadPoolSize, w.RandomBytesRatio = true, 10, 0.3
		})
		f(name+"/no acks", target, func(w *Workload) { w.Acks, w.Idempotence, w.ProducerRate = "0", false, 1000 })
		f(name+"/backlog", target, func(w *Workload) {
			w.ConsumerBacklogSizeGB, w.MaxInFlightMessages = 2000.0*100/(1<<30), 100
		})
		f(name+"/no consumers", target, func(w *Workload) { w.SubscriptionsPerTopic, w.MaxInFlightMessages = 0, 10 })
	}
}

// What a run is told of progress adds up, and comes by its phases in order.
func TestProgress(t *testing.T) {
	_, native := startBroker(t)
	w := short()
	w.ConsumerBacklogSizeGB, w.MaxInFlightMessages = 2000.0*100/(1<<30), 100
	var phases []string
	var published int64
	r, err := Run(t.Context(), w, native, Options{ProgressInterval: 20e6, Progress: func(p Progress) {
		if n := len(phases); n == 0 || phases[n-1] != string(p.Phase) {
			phases = append(phases, string(p.Phase))
		}
		published += p.Published
	}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(phases, ", "), "set-up, warm-up, build backlog, drain backlog, test, verify, tear-down"; got != want {
		t.Errorf("phases %s, want %s", got, want)
	}
	if published != r.Verification.Acknowledged {
		t.Errorf("progress of %d messages, want %d", published, r.Verification.Acknowledged)
	}
	if r.Backlog == nil || r.Backlog.Messages < 2000 || r.Backlog.Received == 0 {
		t.Errorf("backlog %+v", r.Backlog)
	}
}

// A run that is interrupted returns what it has measured and verified, and deletes its topics.
func TestInterrupt(t *testing.T) {
	kafka, native := startBroker(t)
	for _, target := range []Target{kafka, native} {
		w := short()
		w.TestDurationSeconds = 3600
		w.MaxInFlightMessages = 50
		stop := errors.New("stopped by a test")
		ctx, cancel := context.WithCancelCause(t.Context())
		r, err := Run(ctx, w, target, Options{ProgressInterval: 10e6, Progress: func(p Progress) {
			if p.Phase == Test && p.Published > 0 {
				cancel(stop)
			}
		}})
		if !errors.Is(err, stop) {
			t.Fatalf("%v: %v, want %v", target, err, stop)
		}
		v := r.Verification
		if r.Published == 0 || v.Lost > 0 || v.Incomplete != "" || v.Received != v.Acknowledged*2 {
			t.Errorf("%v: %d published, %+v", target, r.Published, v)
		}
		if names := topicNames(t, kafka); len(names) > 0 {
			t.Errorf("topics left: %q", names)
		}
	}
}

// Options.Keep leaves the topics, with the messages in them; others are never touched.
func TestKeep(t *testing.T) {
	kafka, native := startBroker(t)
	w := short()
	w.ProducerRate = 100
	r, err := Run(t.Context(), w, native, Options{Keep: true, TopicPrefix: "kept"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), w, kafka, Options{}); err != nil {
		t.Fatal(err)
	}
	if names := topicNames(t, kafka); len(names) != 2 || strings.Join(names, " ") != strings.Join(r.Topics, " ") || !strings.HasPrefix(names[0], "kept-") {
		t.Errorf("topics %q, want %q", names, r.Topics)
	}
}

// A server that is started again in the middle of a run shows in its latencies, over both protocols, and loses nothing.
func TestRestart(t *testing.T) {
	options := broker.Options{
		DataDir: t.TempDir(), Wire: "127.0.0.1:0", Kafka: "127.0.0.1:0", HTTP: broker.Off,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	b, err := broker.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { b.Close() }()
	options.Wire, options.Kafka = b.WireAddr().String(), b.KafkaAddrs()[0].String()
	for _, target := range []Target{{Native: options.Wire}, {Kafka: options.Kafka}} {
		w := short()
		w.ProducerRate, w.TestDurationSeconds = 1000, 0.6
		const down = 100 * time.Millisecond
		restarted := false
		r, err := Run(t.Context(), w, target, Options{ProgressInterval: 10e6, Progress: func(p Progress) {
			if p.Phase != Test || p.Published == 0 || restarted {
				return
			}
			restarted = true
			b.Close()
			time.Sleep(down)
			if b, err = broker.Open(options); err != nil {
				t.Error(err)
			}
		}})
		if err != nil || !restarted {
			t.Errorf("%v: restarted %v, %v", target, restarted, err)
			continue
		}
		if v := r.Verification; v.Lost > 0 || v.Duplicated > 0 || v.Received != 2*v.Acknowledged || v.Acknowledged != v.Sent {
			t.Errorf("%v: %+v", target, v)
		}
		if max := quantile(r.Publish, 100); max < down {
			t.Errorf("%v: max %v, want at least the %v that the server was down", target, max, down)
		}
	}
}

// Where nobody listens that is said at once, and what a server refuses is said in its words.
func TestRefusedTarget(t *testing.T) {
	kafka, native := startBroker(t)
	for _, target := range []Target{{Kafka: "127.0.0.1:1"}, {Native: "127.0.0.1:1"}} {
		var unreachable *UnreachableError
		if r, err := Run(t.Context(), short(), target, Options{}); !errors.As(err, &unreachable) || r != nil {
			t.Errorf("%v: %v", target, err)
		}
	}
	for _, target := range []Target{kafka, native} {
		w := short()
		w.TopicConfigs = map[string]string{"retention.ms": "many"}
		if _, err := Run(t.Context(), w, target, Options{}); err == nil || !strings.Contains(err.Error(), "retention.ms") {
			t.Errorf("%v: %v", target, err)
		}
	}
	if _, err := Run(t.Context(), short(), Target{}, Options{}); err == nil {
		t.Error("a run without a target")
	}
}
