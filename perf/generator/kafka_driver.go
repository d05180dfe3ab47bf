package generator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// kafkaDriver is Kafka's protocol, by franz-go.
type kafkaDriver struct {
	workload Workload
	shared   []kgo.Opt // of all clients
	admin    *kgo.Client
	timeout  time.Duration
}

// clientID is what servers and their logs call us.
const clientID = "rollway-bench"

func newKafkaDriver(ctx context.Context, w Workload, addrs string, o Options) (*kafkaDriver, error) {
	d := &kafkaDriver{
		workload: w, timeout: o.Timeout,
		shared: []kgo.Opt{
			kgo.SeedBrokers(strings.Split(addrs, ",")...), kgo.ClientID(clientID), kgo.RetryTimeout(o.Timeout),
			kgo.MetadataMinAge(100 * time.Millisecond), // a topic that was just made is looked for again soon
		},
	}
	var err error
	if d.admin, err = kgo.NewClient(d.shared...); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	if err := d.ping(ctx, strings.Split(addrs, ",")); err != nil {
		d.admin.Close()
		return nil, &UnreachableError{Target: Target{Kafka: addrs}, Err: err}
	}
	return d, nil
}

// ping asks any broker. franz-go dials again and again when nobody listens, so that is
// found out first.
func (d *kafkaDriver) ping(ctx context.Context, addrs []string) error {
	var errs []error
	for _, addr := range addrs {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err == nil {
			conn.Close()
			return d.admin.Ping(ctx)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (d *kafkaDriver) close() { d.admin.Close() }

func (d *kafkaDriver) createTopic(ctx context.Context, topic string) error {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = topic, int32(d.workload.PartitionsPerTopic), int16(d.workload.ReplicationFactor)
	for name, value := range d.workload.TopicConfigs {
		t.Configs = append(t.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: name, Value: &value})
	}
	m := kmsg.NewPtrCreateTopicsRequest()
	m.TimeoutMillis = int32(d.timeout.Milliseconds())
	m.Topics = append(m.Topics, t)
	answer, err := m.RequestWith(ctx, d.admin)
	if err != nil {
		return fmt.Errorf("create topic %s: %w", topic, err)
	}
	for _, t := range answer.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return fmt.Errorf("create topic %s: %w%s", topic, err, detail(t.ErrorMessage))
		}
	}
	return d.awaitLeaders(ctx, topic)
}

// detail is what a broker adds to an error.
func detail(message *string) string {
	if message == nil || *message == "" {
		return ""
	}
	return " (" + *message + ")"
}

// awaitLeaders waits until each partition has one: a broker may answer before it knows
// what it has made.
func (d *kafkaDriver) awaitLeaders(ctx context.Context, topic string) error {
	for {
		m := kmsg.NewPtrMetadataRequest()
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &topic
		m.Topics = append(m.Topics, t)
		answer, err := m.RequestWith(ctx, d.admin)
		if err != nil {
			return fmt.Errorf("metadata of %s: %w", topic, err)
		}
		led := 0
		for _, t := range answer.Topics {
			for _, p := range t.Partitions {
				if p.Leader >= 0 && p.ErrorCode == 0 {
					led++
				}
			}
		}
		if led == d.workload.PartitionsPerTopic {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("topic %s: %d of %d partitions have a leader: %w", topic, led, d.workload.PartitionsPerTopic, context.Cause(ctx))
		}
	}
}

func (d *kafkaDriver) deleteTopic(ctx context.Context, topic string) error {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	m := kmsg.NewPtrDeleteTopicsRequest()
	m.TimeoutMillis = int32(d.timeout.Milliseconds())
	m.TopicNames = []string{topic} // up to version 5
	t := kmsg.NewDeleteTopicsRequestTopic()
	t.Topic = &topic
	m.Topics = append(m.Topics, t)
	answer, err := m.RequestWith(ctx, d.admin)
	if err != nil {
		return fmt.Errorf("delete topic %s: %w", topic, err)
	}
	for _, t := range answer.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return fmt.Errorf("delete topic %s: %w%s", topic, err, detail(t.ErrorMessage))
		}
	}
	return nil
}

func (d *kafkaDriver) ends(ctx context.Context, topic string) ([]int64, error) {
	const latest = -1
	m := kmsg.NewPtrListOffsetsRequest()
	m.ReplicaID = -1
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = topic
	for p := range d.workload.PartitionsPerTopic {
		q := kmsg.NewListOffsetsRequestTopicPartition()
		q.Partition, q.Timestamp = int32(p), latest
		t.Partitions = append(t.Partitions, q)
	}
	m.Topics = append(m.Topics, t)
	answer, err := m.RequestWith(ctx, d.admin)
	if err != nil {
		return nil, fmt.Errorf("offsets of %s: %w", topic, err)
	}
	ends := make([]int64, d.workload.PartitionsPerTopic)
	for _, t := range answer.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return nil, fmt.Errorf("offsets of %s-%d: %w", topic, p.Partition, err)
			}
			if p.Partition >= 0 && int(p.Partition) < len(ends) {
				ends[p.Partition] = p.Offset
			}
		}
	}
	return ends, nil
}

// kafkaSender is a client that only produces.
type kafkaSender struct {
	client *kgo.Client
	topic  string
	value  sync.Pool // of *kafkaRecord
	tell   func(partition int32, sequence int64, dues []int64, err error)
	dues   [1]int64
}

// kafkaRecord is a record with the memory of its value, used again.
type kafkaRecord struct {
	record kgo.Record
	key    [keyBytes]byte
	value  []byte
}

func (d *kafkaDriver) newSender(_ context.Context, topic string, delivered func(int32, int64, []int64, error)) (sender, error) {
	w := d.workload
	options := append([]kgo.Opt{
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytes(int32(w.BatchBytes)), kgo.ProducerLinger(w.linger()),
		kgo.ProducerBatchCompression(kafkaCodec(w.Compression)),
		kgo.MaxBufferedRecords(w.inFlight() + 1), // the worker's room is the bound
		kgo.RecordDeliveryTimeout(d.timeout),
	}, d.shared...)
	switch w.Acks {
	case "all":
		options = append(options, kgo.RequiredAcks(kgo.AllISRAcks()))
	case "1":
		options = append(options, kgo.RequiredAcks(kgo.LeaderAck()))
	case "0":
		options = append(options, kgo.RequiredAcks(kgo.NoAck()))
	}
	if !w.Idempotence {
		options = append(options, kgo.DisableIdempotentWrite())
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return nil, err
	}
	s := &kafkaSender{client: client, topic: topic, tell: delivered}
	s.value.New = func() any { return new(kafkaRecord) }
	return s, nil
}

// kafkaCodec returns the codec of a name that Workload.Validate knows.
func kafkaCodec(name string) kgo.CompressionCodec {
	switch name {
	case "gzip":
		return kgo.GzipCompression()
	case "snappy":
		return kgo.SnappyCompression()
	case "lz4":
		return kgo.Lz4Compression()
	case "zstd":
		return kgo.ZstdCompression()
	}
	return kgo.NoCompression()
}

func (s *kafkaSender) send(ctx context.Context, m *message, key, value []byte) error {
	r := s.value.Get().(*kafkaRecord)
	r.value = append(r.value[:0], value...)
	r.record = kgo.Record{Topic: s.topic, Partition: m.partition, Value: r.value}
	if key != nil {
		copy(r.key[:], key)
		r.record.Key = r.key[:]
	}
	// ctx is not the record's: what was taken is delivered even if ctx ends.
	s.client.Produce(context.WithoutCancel(ctx), &r.record, func(_ *kgo.Record, err error) {
		// Promises are called one after another (kgo.Client.Produce).
		m := peekMessage(r.value)
		s.dues[0] = m.due
		s.value.Put(r)
		s.tell(m.partition, m.sequence, s.dues[:], err)
	})
	return nil
}

func (s *kafkaSender) flush(ctx context.Context) error { return s.client.Flush(ctx) }

func (s *kafkaSender) close() { s.client.Close() }

// kafkaReceiver is a client that only consumes, and from partitions that it was given:
// no group is made, so that there is nothing to wait for and nothing to delete.
type kafkaReceiver struct {
	client *kgo.Client
	next   map[int32]int64 // by partition: offset behind what was taken
}

func (d *kafkaDriver) newReceiver(_ context.Context, topic string, partitions []int32) (receiver, error) {
	from := map[int32]kgo.Offset{}
	for _, p := range partitions {
		from[p] = kgo.NewOffset().AtStart()
	}
	bytes := int32(d.workload.FetchMaxBytes)
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}),
		kgo.FetchMaxBytes(bytes), kgo.FetchMaxPartitionBytes(bytes),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // an offset that is gone is a loss
	}, d.shared...)...)
	if err != nil {
		return nil, err
	}
	return &kafkaReceiver{client: client, next: map[int32]int64{}}, nil
}

func (r *kafkaReceiver) receive(ctx context.Context, take func(int32, int64, []byte)) (err error) {
	fetches := r.client.PollFetches(ctx)
	fetches.EachRecord(func(m *kgo.Record) {
		take(m.Partition, m.Offset, m.Value)
		r.next[m.Partition] = m.Offset + 1
	})
	fetches.EachError(func(topic string, partition int32, e error) {
		if err == nil {
			err = r.judge(topic, partition, e)
		}
	})
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return err
}

// judge says what an error of a fetch means.
func (r *kafkaReceiver) judge(topic string, partition int32, err error) error {
	var lost *kgo.ErrDataLoss
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, kerr.CorruptMessage), strings.Contains(err.Error(), "crc"), strings.Contains(err.Error(), "decompress"):
		// franz-go has no type for what it finds wrong with a batch.
		return &corruptError{fmt.Errorf("%s-%d: batch at offset %d: %w", topic, partition, r.next[partition], err)}
	case kerr.IsRetriable(err) && !errors.As(err, &lost):
		return nil
	}
	return fmt.Errorf("fetch from %s-%d at %d: %w", topic, partition, r.next[partition], err)
}

func (r *kafkaReceiver) close() { r.client.Close() }
