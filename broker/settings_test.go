package broker

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollway/rollway/engine/topicconfig"
	"github.com/rollway/rollway/internal/brokerconfig"
)

// Settings by Kafka's names are as good as the fields that they stand for, which win; and what holds is described, with
// the ports that were picked.
func TestSettings(t *testing.T) {
	f := func(o Options, want map[string]string) *Broker {
		t.Helper()
		o.DataDir = t.TempDir()
		b := open(t, o)
		entries := b.node.DescribeSettings()
		for name, value := range want {
			e := entries[slices.IndexFunc(entries, func(e brokerconfig.Entry) bool { return e.Name == name })]
			if e.Value != value || (e.Source == topicconfig.FromDefault) != (value == e.Default) {
				t.Errorf("%s is %q from %v, want %q", name, e.Value, e.Source, value)
			}
		}
		return b
	}
	b := f(Options{Settings: map[string]string{
		"connections.max.idle.ms": "5000", "socket.send.buffer.bytes": "65536", "num.partitions": "2", "auto.create.topics.enable": "false",
		"advertised.listeners": "PLAINTEXT://logs.example.org:19092",
	}}, map[string]string{
		"connections.max.idle.ms": "5000", "socket.send.buffer.bytes": "65536", "num.partitions": "2",
		"advertised.listeners": "PLAINTEXT://logs.example.org:19092",
	})
	if b.node.Settings().AutoCreateTopics() {
		t.Error("topics are created when they are asked for")
	}
	b = f(Options{IdleTimeout: time.Minute, SendBuffer: 4096, Settings: map[string]string{"connections.max.idle.ms": "5000", "socket.send.buffer.bytes": "65536"}},
		map[string]string{"connections.max.idle.ms": "60000", "socket.send.buffer.bytes": "4096"})
	entries := b.node.DescribeSettings()
	listeners := entries[slices.IndexFunc(entries, func(e brokerconfig.Entry) bool { return e.Name == "listeners" })]
	if want := "PLAINTEXT://" + b.KafkaAddrs()[0].String(); listeners.Value != want {
		t.Errorf("listeners is %s, want %s", listeners.Value, want)
	}
	f(Options{IdleTimeout: 10 * time.Minute}, map[string]string{"connections.max.idle.ms": "600000", "socket.send.buffer.bytes": "-1"})
	f(Options{Settings: map[string]string{"connections.max.idle.ms": "-7", "socket.send.buffer.bytes": "-1"}},
		map[string]string{"connections.max.idle.ms": "-1"})

	if o, err := (Options{Settings: map[string]string{"listeners": "A://127.0.0.1:1,B://127.0.0.1:2"}}).withSettings(); err != nil || o.Kafka != "A://127.0.0.1:1,B://127.0.0.1:2" {
		t.Errorf("kafka at %s, %v", o.Kafka, err)
	}
	for name, text := range map[string]string{"num.partition": `did you mean "num.partitions"?`, "connections.max.idle.ms": "want a 64-bit integer", "listeners": "kafka listener"} {
		o := Options{DataDir: t.TempDir(), Settings: map[string]string{name: "x"}}
		if _, err := Open(o); err == nil || !strings.Contains(err.Error(), text) || o.Validate() == nil {
			t.Errorf("%s=x: %v, %v, want %q", name, err, o.Validate(), text)
		}
	}
}
