package e2e

import (
	"encoding/binary"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"

	"github.com/rollway/rollway/engine/record"
)

// Many Kafka clients that wait for records cost no CPU and little memory, as
// many as ROLLWAY_CONNECTIONS are accepted and used, and frames that are left
// half sent cost little more than what was sent of them. The bounds are judged
// from 1,000 connections on: `make connections`.
func TestKafkaConnections(t *testing.T) {
	connections := int(envInt(t, "ROLLWAY_CONNECTIONS", 100))
	idle := time.Duration(envInt(t, "ROLLWAY_IDLE_MS", 200)) * time.Millisecond
	roomForDescriptors(t, connections)
	data := t.TempDir()
	conditions(t, data)
	s := startServer(t, data, "--kafka", "127.0.0.1:0", "--max-connections", strconv.Itoa(connections+100), "--max-open-files", "200")
	s.run(nil, "topic", "create", "t")
	polls := min(connections, 1000)
	judged := polls >= 1000

	// Readers that wait.
	before := rss(t, s.pid)
	var waiting []*kafkaConn
	m := longPoll("t", time.Minute)
	for range polls {
		c := dialKafka(t, s)
		c.send(m, 11)
		waiting = append(waiting, c)
	}
	if judged {
		time.Sleep(3 * time.Second) // for what a new data directory makes in the background
	}
	cpu := cpuTime(t, s.pid)
	time.Sleep(idle)
	used := cpuTime(t, s.pid) - cpu
	each := (rss(t, s.pid) - before) * 1024 / float64(polls)
	t.Logf("%d long polls for %v: %v of CPU (%.2f %%), %.1f KiB of RSS each", polls, idle, used, 100*used.Seconds()/idle.Seconds(), each)
	if judged {
		limit(t, "idle CPU, %", 100*used.Seconds()/idle.Seconds(), 0.05)
		limit(t, "RSS of a long poll, KiB", each, 16)
	}

	// One batch ends all waits.
	batch := oneBatch(t, "hello")
	producer := dialKafka(t, s)
	if answer := producer.ask(produceTo("t", batch), 7).(*kmsg.ProduceResponse); answer.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatalf("produce: %+v", answer)
	}
	for i, c := range waiting {
		if p := c.receive(m).(*kmsg.FetchResponse).Topics[0].Partitions[0]; p.ErrorCode != 0 || len(p.RecordBatches) != len(batch) {
			t.Fatalf("long poll %d: error %d, %d bytes, want %d", i, p.ErrorCode, len(p.RecordBatches), len(batch))
		}
	}

	// More connections, each of which is used.
	fetch := longPoll("t", 0)
	for len(waiting) < connections {
		waiting = append(waiting, dialKafka(t, s))
	}
	for i, c := range waiting {
		if p := c.ask(fetch, 11).(*kmsg.FetchResponse).Topics[0].Partitions[0]; p.ErrorCode != 0 || len(p.RecordBatches) != len(batch) {
			t.Fatalf("connection %d: error %d, %d bytes", i, p.ErrorCode, len(p.RecordBatches))
		}
	}
	t.Logf("%d connections open and used: RSS %.1f MiB", len(waiting), rss(t, s.pid))
	for _, c := range waiting {
		c.Close()
	}

	// Frames of 15 KiB that are left half sent, by clients that have said
	// nothing valid.
	before = rss(t, s.pid)
	half := binary.BigEndian.AppendUint32(nil, 15<<10)
	half = append(half, make([]byte, 8<<10)...)
	copy(half[4:], kmsg.NewRequestFormatter().AppendRequest(nil, fetch, 1)[4:])
	for range polls {
		if _, err := dialKafka(t, s).Write(half); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(100 * time.Millisecond)
	grown := rss(t, s.pid) - before
	t.Logf("%d frames of 15 KiB half sent: RSS grew by %.1f MiB", polls, grown)
	if judged {
		limit(t, "RSS of half-sent frames, MiB", grown, 64)
	}
	if answer := producer.ask(produceTo("t", batch), 7).(*kmsg.ProduceResponse); answer.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Errorf("produce beside half-sent frames: %+v", answer)
	}
	producer.Close()
	s.stop()
}

// longPoll is a Fetch of the first partition of a topic from its start on.
func longPoll(topic string, wait time.Duration) *kmsg.FetchRequest {
	m := kmsg.NewPtrFetchRequest()
	m.MaxWaitMillis, m.MinBytes, m.MaxBytes = int32(wait.Milliseconds()), 1, 1<<20
	p := kmsg.NewFetchRequestTopicPartition()
	p.PartitionMaxBytes = 1 << 20
	m.Topics = []kmsg.FetchRequestTopic{{Topic: topic, Partitions: []kmsg.FetchRequestTopicPartition{p}}}
	return m
}

// produceTo is a Produce of one batch to the first partition of a topic.
func produceTo(topic string, batch []byte) *kmsg.ProduceRequest {
	m := kmsg.NewPtrProduceRequest()
	m.Acks, m.TimeoutMillis = -1, 30_000
	m.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, Partitions: []kmsg.ProduceRequestTopicPartition{{Records: batch}}}}
	return m
}

// oneBatch is a batch of one record.
func oneBatch(t *testing.T, value string) []byte {
	t.Helper()
	var b record.Builder
	b.Reset(record.BuilderOptions{})
	if err := b.Append(time.Now().UnixMilli(), nil, []byte(value)); err != nil {
		t.Fatal(err)
	}
	batch, err := b.Build(nil)
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

// roomForDescriptors raises the limit of this process, which the server
// inherits, to what so many connections take, or skips the test.
func roomForDescriptors(t *testing.T, connections int) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	need := uint64(2*connections + 1000)
	if limit.Cur >= need {
		return
	}
	limit.Cur = need
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Skipf("needs %d descriptors, the limit is %d: %v", need, limit.Max, err)
	}
}
