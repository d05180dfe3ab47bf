package clients

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/rollway/rollway/internal/compat"
)

// inKafkaGo has kafka-go's results reported as those of what is run.
func inKafkaGo(t *testing.T, what string) {
	compat.Report(t, compat.Suite{Client: "segmentio/kafka-go", Version: moduleVersion(t, "github.com/segmentio/kafka-go"), What: what})
}

var kafkaGoCodecs = map[string]kafka.Compression{
	"gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd,
}

// kafka-go's Writer produces with every codec and every acks, and its Reader
// consumes a partition from offsets and ends.
func TestKafkaGoWriterReader(t *testing.T) {
	s := startServer(t)
	for _, codec := range codecs {
		for _, acks := range []kafka.RequiredAcks{kafka.RequireAll, kafka.RequireOne, kafka.RequireNone} {
			t.Run(codec+"/"+acks.String(), func(t *testing.T) {
				inKafkaGo(t, "write and read")
				topic, values := createTopic(t, s, 1), texts(codec, 100)
				transport := &kafka.Transport{} // the shared one remembers for seconds which topics there are
				defer transport.CloseIdleConnections()
				w := &kafka.Writer{
					Addr: kafka.TCP(s.kafka), Topic: topic, RequiredAcks: acks, Compression: kafkaGoCodecs[codec],
					BatchTimeout: time.Millisecond, Transport: transport,
				}
				defer w.Close()
				var messages []kafka.Message
				for _, v := range values {
					messages = append(messages, kafka.Message{Value: []byte(v)})
				}
				if err := w.WriteMessages(limit(t), messages...); err != nil {
					t.Fatal(err)
				}
				checkConsumed(t, readKafkaGo(t, s, topic, kafka.FirstOffset, len(values)), values, 0)
				checkConsumed(t, readKafkaGo(t, s, topic, 70, 30), values[70:], 70)
			})
		}
	}
}

// readKafkaGo reads n records of partition 0 from an offset on.
func readKafkaGo(t *testing.T, s *server, topic string, from int64, n int) (got []consumed) {
	t.Helper()
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{s.kafka}, Topic: topic, MaxWait: 100 * time.Millisecond})
	defer r.Close()
	if err := r.SetOffset(from); err != nil {
		t.Fatal(err)
	}
	ctx := limit(t)
	for len(got) < n {
		m, err := r.ReadMessage(ctx)
		if err != nil {
			t.Fatalf("after %d records: %v", len(got), err)
		}
		got = append(got, consumed{m.Offset, string(m.Value)})
	}
	return got
}

// kafka-go's Conn, which speaks old versions of the protocol, writes, seeks,
// reads, and finds offsets by time.
func TestKafkaGoConn(t *testing.T) {
	s := startServer(t)
	for _, codec := range codecs {
		t.Run(codec, func(t *testing.T) {
			inKafkaGo(t, "connection")
			topic, values := createTopic(t, s, 1), texts(codec, 50)
			conn, err := kafka.DialLeader(limit(t), "tcp", s.kafka, topic, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(hang))
			begin := time.UnixMilli(1_700_000_000_000)
			var messages []kafka.Message
			for i, v := range values {
				messages = append(messages, kafka.Message{Value: []byte(v), Time: begin.Add(time.Duration(i) * time.Second)})
			}
			if codec == "none" {
				_, err = conn.WriteMessages(messages...)
			} else {
				_, err = conn.WriteCompressedMessages(kafkaGoCodecs[codec].Codec(), messages...)
			}
			if err != nil {
				t.Fatal(err)
			}
			if first, last, err := conn.ReadOffsets(); err != nil || first != 0 || last != 50 {
				t.Errorf("offsets %d to %d, %v", first, last, err)
			}
			if at, err := conn.ReadOffset(begin.Add(7500 * time.Millisecond)); err != nil || at != 8 {
				t.Errorf("offset by time %d, %v, want 8", at, err)
			}
			if _, err := conn.Seek(20, kafka.SeekAbsolute); err != nil {
				t.Fatal(err)
			}
			batch := conn.ReadBatch(1, 1<<20)
			var got []consumed
			for {
				m, err := batch.ReadMessage()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, consumed{m.Offset, string(m.Value)})
			}
			if err := batch.Close(); err != nil {
				t.Error(err)
			}
			checkConsumed(t, got, values[20:], 20)
		})
	}
}

// kafka-go's Client creates, describes, alters, extends and deletes topics.
func TestKafkaGoClient(t *testing.T) {
	inKafkaGo(t, "administer topics")
	s := startServer(t)
	cl := &kafka.Client{Addr: kafka.TCP(s.kafka)}
	ctx, topic := limit(t), unique(t)
	created, err := cl.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{
		{Topic: topic, NumPartitions: 2, ReplicationFactor: 1, ConfigEntries: []kafka.ConfigEntry{{ConfigName: "retention.ms", ConfigValue: "3600000"}}},
	}})
	if err != nil || created.Errors[topic] != nil {
		t.Fatal(err, created)
	}
	altered, err := cl.IncrementalAlterConfigs(ctx, &kafka.IncrementalAlterConfigsRequest{Resources: []kafka.IncrementalAlterConfigsRequestResource{
		{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, Configs: []kafka.IncrementalAlterConfigsRequestConfig{
			{Name: "retention.bytes", Value: "1000000", ConfigOperation: kafka.ConfigOperationSet},
		}},
	}})
	if err != nil || altered.Resources[0].Error != nil {
		t.Fatal(err, altered)
	}
	f := func(key, want string) {
		t.Helper()
		described, err := cl.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{
			{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, ConfigNames: []string{key}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		if r := described.Resources[0]; r.Error != nil || len(r.ConfigEntries) != 1 || r.ConfigEntries[0].ConfigValue != want {
			t.Errorf("%s: %+v, want %s", key, r, want)
		}
	}
	f("retention.ms", "3600000")
	f("retention.bytes", "1000000")
	extended, err := cl.CreatePartitions(ctx, &kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{{Name: topic, Count: 3}}})
	if err != nil || extended.Errors[topic] != nil {
		t.Fatal(err, extended)
	}
	fresh := &kafka.Transport{} // the other one remembers for seconds how many there were
	defer fresh.CloseIdleConnections()
	metadata, err := (&kafka.Client{Addr: cl.Addr, Transport: fresh}).Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil || metadata.Topics[0].Error != nil || len(metadata.Topics[0].Partitions) != 3 {
		t.Fatal(err, metadata)
	}
	produced, err := cl.Produce(ctx, &kafka.ProduceRequest{
		Topic: topic, Partition: 1, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes([]byte("v"))}),
	})
	if err != nil || produced.Error != nil || produced.BaseOffset != 0 {
		t.Fatal(err, produced)
	}
	fetched, err := cl.Fetch(ctx, &kafka.FetchRequest{Topic: topic, Partition: 1, Offset: 0, MinBytes: 1, MaxBytes: 1 << 20, MaxWait: time.Second})
	if err != nil || fetched.Error != nil || fetched.HighWatermark != 1 {
		t.Fatal(err, fetched)
	}
	listed, err := cl.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: {kafka.FirstOffsetOf(1), kafka.LastOffsetOf(1)}}})
	if err != nil || listed.Topics[topic][0].FirstOffset != 0 || listed.Topics[topic][0].LastOffset != 1 {
		t.Fatal(err, listed)
	}
	deleted, err := cl.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	if err != nil || deleted.Errors[topic] != nil {
		t.Fatal(err, deleted)
	}
}
