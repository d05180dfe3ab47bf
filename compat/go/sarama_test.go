package clients

import (
	"slices"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/rollway/rollway/internal/compat"
)

// inSarama has sarama's results reported as those of what is run.
func inSarama(t *testing.T, what string) {
	compat.Report(t, compat.Suite{Client: "sarama", Version: moduleVersion(t, "github.com/IBM/sarama"), What: what})
}

// saramaConfig returns a config that speaks what a broker of that version does.
func saramaConfig(version sarama.KafkaVersion) *sarama.Config {
	config := sarama.NewConfig()
	config.Version = version
	config.Producer.Return.Successes = true
	config.Consumer.Return.Errors = true
	config.Consumer.MaxWaitTime = 50 * time.Millisecond // a consumer that is closed waits for its last fetch
	return config
}

// consumeSarama reads n records of partition 0 from an offset on.
func consumeSarama(t *testing.T, s *server, config *sarama.Config, topic string, from int64, n int) (got []consumed) {
	t.Helper()
	consumer, err := sarama.NewConsumer([]string{s.kafka}, config)
	if err != nil {
		t.Fatal(err)
	}
	defer consumer.Close()
	partition, err := consumer.ConsumePartition(topic, 0, from)
	if err != nil {
		t.Fatal(err)
	}
	defer partition.Close()
	ctx := limit(t)
	for len(got) < n {
		select {
		case m := <-partition.Messages():
			got = append(got, consumed{m.Offset, string(m.Value)})
		case err := <-partition.Errors():
			t.Fatal(err)
		case <-ctx.Done():
			t.Fatalf("after %d records: %v", len(got), ctx.Err())
		}
	}
	return got
}

// sarama produces, by its two producers, with every codec, as clients of the
// oldest and the newest broker do, and consumes what it has produced.
func TestSaramaProduce(t *testing.T) {
	s := startServer(t)
	versions := map[string]sarama.KafkaVersion{"oldest": sarama.V2_1_0_0, "default": sarama.NewConfig().Version, "newest": sarama.MaxVersion}
	codec := map[string]sarama.CompressionCodec{
		"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
		"lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
	}
	for name, version := range versions {
		for _, codecName := range codecs {
			config := saramaConfig(version)
			config.Producer.Compression = codec[codecName]
			t.Run(name+"/"+codecName+"/sync", func(t *testing.T) {
				inSarama(t, "produce and consume")
				topic, values := createTopic(t, s, 1), texts(codecName, 100)
				produceSarama(t, s, config, topic, values)
				checkConsumed(t, consumeSarama(t, s, config, topic, sarama.OffsetOldest, len(values)), values, 0)
				checkConsumed(t, consumeSarama(t, s, config, topic, 60, 40), values[60:], 60)
			})
			idempotent := *config
			idempotent.Producer.Idempotent = true
			idempotent.Producer.RequiredAcks = sarama.WaitForAll
			idempotent.Net.MaxOpenRequests = 1
			t.Run(name+"/"+codecName+"/async_idempotent", func(t *testing.T) {
				inSarama(t, "produce and consume")
				topic, values := createTopic(t, s, 1), texts(codecName, 100)
				produceSaramaAsync(t, s, &idempotent, topic, values)
				checkConsumed(t, consumeSarama(t, s, &idempotent, topic, sarama.OffsetOldest, len(values)), values, 0)
			})
		}
	}
}

// produceSarama sends values by one call.
func produceSarama(t *testing.T, s *server, config *sarama.Config, topic string, values []string) {
	t.Helper()
	p, err := sarama.NewSyncProducer([]string{s.kafka}, config)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var messages []*sarama.ProducerMessage
	for _, v := range values {
		messages = append(messages, &sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(v)})
	}
	if err := p.SendMessages(messages); err != nil {
		t.Fatal(err)
	}
	for i, m := range messages {
		if m.Offset != int64(i) {
			t.Errorf("record %d has offset %d", i, m.Offset)
		}
	}
}

// produceSaramaAsync sends values by the producer that does not wait.
func produceSaramaAsync(t *testing.T, s *server, config *sarama.Config, topic string, values []string) {
	t.Helper()
	p, err := sarama.NewAsyncProducer([]string{s.kafka}, config)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for _, v := range values {
			p.Input() <- &sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(v)}
		}
		p.AsyncClose()
	}()
	n := 0
	for range p.Successes() {
		n++
	}
	for err := range p.Errors() {
		t.Error(err)
	}
	if n != len(values) {
		t.Fatalf("%d of %d were produced", n, len(values))
	}
}

// sarama finds offsets by time, and the ends.
func TestSaramaOffsets(t *testing.T) {
	inSarama(t, "list offsets")
	s := startServer(t)
	config := saramaConfig(sarama.MaxVersion)
	topic := createTopic(t, s, 1)
	begin := time.UnixMilli(1_700_000_000_000)
	p, err := sarama.NewSyncProducer([]string{s.kafka}, config)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var messages []*sarama.ProducerMessage
	for i := range 20 {
		messages = append(messages, &sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder("x"), Timestamp: begin.Add(time.Duration(i) * time.Second)})
	}
	if err := p.SendMessages(messages); err != nil {
		t.Fatal(err)
	}
	cl, err := sarama.NewClient([]string{s.kafka}, config)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	f := func(at, want int64) {
		t.Helper()
		if got, err := cl.GetOffset(topic, 0, at); err != nil || got != want {
			t.Errorf("offset at %d: %d, %v, want %d", at, got, err, want)
		}
	}
	f(sarama.OffsetOldest, 0)
	f(sarama.OffsetNewest, 20)
	f(begin.UnixMilli()+4500, 5)
	f(begin.UnixMilli()+1_000_000, -1)
}

// sarama's cluster admin creates, describes, alters, extends, empties and
// deletes topics, and describes the broker.
func TestSaramaAdmin(t *testing.T) {
	inSarama(t, "administer topics, records and brokers")
	s := startServer(t)
	config := saramaConfig(sarama.MaxVersion)
	topic := unique(t)
	admin, err := sarama.NewClusterAdmin([]string{s.kafka}, config)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	hour, day := "3600000", "86400000"
	must(admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 2, ReplicationFactor: 1, ConfigEntries: map[string]*string{"retention.ms": &hour}}, false))
	topics, err := admin.ListTopics()
	must(err)
	if d := topics[topic]; d.NumPartitions != 2 || d.ConfigEntries["retention.ms"] == nil || *d.ConfigEntries["retention.ms"] != hour {
		t.Errorf("%+v", d)
	}
	must(admin.IncrementalAlterConfig(sarama.TopicResource, topic, map[string]sarama.IncrementalAlterConfigsEntry{
		"retention.ms": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &day},
	}, false))
	checkSaramaConfig(t, admin, topic, "retention.ms", day)
	must(admin.AlterConfig(sarama.TopicResource, topic, map[string]*string{"retention.ms": &hour}, false))
	checkSaramaConfig(t, admin, topic, "retention.ms", hour)
	must(admin.CreatePartitions(topic, 3, nil, false))
	described, err := admin.DescribeTopics([]string{topic})
	must(err)
	if len(described) != 1 || len(described[0].Partitions) != 3 {
		t.Errorf("%+v", described)
	}
	produceSarama(t, s, config, topic, []string{"only"})
	must(admin.DeleteRecords(topic, map[int32]int64{0: 0, 1: 0, 2: 0}))
	brokers, controller, err := admin.DescribeCluster()
	must(err)
	if len(brokers) != 1 || controller != brokers[0].ID() {
		t.Errorf("brokers %v, controller %d", brokers, controller)
	}
	dirs, err := admin.DescribeLogDirs([]int32{controller})
	must(err)
	if len(dirs[controller]) == 0 || !slices.ContainsFunc(dirs[controller][0].Topics, func(d sarama.DescribeLogDirsResponseTopic) bool { return d.Topic == topic }) {
		t.Errorf("log dirs %+v", dirs)
	}
	if _, err := admin.ListPartitionReassignments(topic, []int32{0}); err != nil {
		t.Errorf("reassignments: %v", err)
	}
	must(admin.DeleteTopic(topic))
}

func checkSaramaConfig(t *testing.T, admin sarama.ClusterAdmin, topic, key, want string) {
	t.Helper()
	resource := sarama.ConfigResource{Type: sarama.TopicResource, Name: topic, ConfigNames: []string{key}}
	results, err := admin.DescribeConfigs([]*sarama.ConfigResource{&resource}, sarama.DescribeConfigsOptions{})
	if err != nil || len(results) != 1 || len(results[0].Configs) != 1 {
		t.Fatalf("%s: %+v, %v", key, results, err)
	}
	if c := results[0].Configs[0]; c.Name != key || c.Value != want {
		t.Errorf("%s: %+v, want %s", key, c, want)
	}
}
