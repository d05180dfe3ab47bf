package clients

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rollway/rollway/internal/compat"
)

// franzGo has franz-go's results reported as those of what is run.
func franzGo(t *testing.T, what string) {
	compat.Report(t, compat.Suite{Client: "franz-go", Version: moduleVersion(t, "github.com/twmb/franz-go"), What: what})
}

// newFranzGo returns a client that ends with the test.
func newFranzGo(t *testing.T, s *server, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(s.kafka)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// createTopic makes a topic of its own for the test.
func createTopic(t *testing.T, s *server, partitions int32) (name string) {
	t.Helper()
	name = unique(t)
	adm := kadm.NewClient(newFranzGo(t, s))
	if _, err := adm.CreateTopic(limit(t), partitions, 1, nil, name); err != nil {
		t.Fatal(err)
	}
	return name
}

// consumeFranzGo reads n records of partition 0 from an offset on.
func consumeFranzGo(t *testing.T, s *server, topic string, from kgo.Offset, n int) (got []consumed) {
	t.Helper()
	cl := newFranzGo(t, s, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: from}}))
	ctx := limit(t)
	for len(got) < n {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("after %d records: %v", len(got), err)
		}
		fetches.EachRecord(func(r *kgo.Record) { got = append(got, consumed{r.Offset, string(r.Value)}) })
	}
	return got
}

// franz-go produces with every codec and every acks, idempotent where it may,
// and consumes what it has produced at the offsets it was told.
func TestFranzGoProduce(t *testing.T) {
	s := startServer(t)
	compressions := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	ways := []struct {
		name string
		opts []kgo.Opt
	}{
		{"idempotent", []kgo.Opt{kgo.RequiredAcks(kgo.AllISRAcks())}},
		{"all", []kgo.Opt{kgo.RequiredAcks(kgo.AllISRAcks()), kgo.DisableIdempotentWrite()}},
		{"leader", []kgo.Opt{kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite()}},
		{"no_acks", []kgo.Opt{kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite()}},
	}
	for _, codec := range codecs {
		for _, way := range ways {
			t.Run(codec+"/"+way.name, func(t *testing.T) {
				franzGo(t, "produce and consume")
				topic := createTopic(t, s, 1)
				cl := newFranzGo(t, s, append(way.opts, kgo.ProducerBatchCompression(compressions[codec]), kgo.ProducerBatchMaxBytes(4<<10))...)
				values := texts(codec, 200)
				var records []*kgo.Record
				for _, v := range values {
					records = append(records, &kgo.Record{Topic: topic, Value: []byte(v)})
				}
				results := cl.ProduceSync(limit(t), records...)
				if err := results.FirstErr(); err != nil {
					t.Fatal(err)
				}
				for i, r := range results {
					if way.name != "no_acks" && r.Record.Offset != int64(i) {
						t.Errorf("record %d has offset %d", i, r.Record.Offset)
					}
				}
				checkConsumed(t, consumeFranzGo(t, s, topic, kgo.NewOffset().AtStart(), len(values)), values, 0)
				checkConsumed(t, consumeFranzGo(t, s, topic, kgo.NewOffset().At(150), 50), values[150:], 150)
			})
		}
	}
}

// franz-go keeps keys, headers, nulls and timestamps, by any number of
// partitions.
func TestFranzGoRecords(t *testing.T) {
	franzGo(t, "produce and consume")
	s := startServer(t)
	topic := createTopic(t, s, 3)
	cl := newFranzGo(t, s, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ConsumeTopics(topic))
	at := time.UnixMilli(1_700_000_000_000)
	ctx := limit(t)
	want := map[int32]*kgo.Record{
		0: {Key: []byte("k"), Value: nil},
		1: {Key: nil, Value: []byte{}},
		2: {Key: []byte{}, Value: []byte("v"), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("1")}, {Key: "h", Value: nil}}},
	}
	for p, r := range want {
		r.Topic, r.Partition, r.Timestamp = topic, p, at
		if err := cl.ProduceSync(ctx, r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	for n := 0; n < len(want); {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(got *kgo.Record) {
			n++
			r := want[got.Partition]
			same := len(got.Headers) == len(r.Headers) && got.Timestamp.Equal(at) && (got.Key == nil) == (r.Key == nil) && (got.Value == nil) == (r.Value == nil)
			if !same || string(got.Key) != string(r.Key) || string(got.Value) != string(r.Value) {
				t.Errorf("partition %d: %+v, want %+v", got.Partition, got, r)
			}
		})
	}
}

// franz-go finds offsets by time, and the ends.
func TestFranzGoListOffsets(t *testing.T) {
	franzGo(t, "list offsets")
	s := startServer(t)
	topic := createTopic(t, s, 1)
	cl := newFranzGo(t, s)
	ctx := limit(t)
	const begin, step = 1_700_000_000_000, 1000
	var records []*kgo.Record
	for i := range 50 {
		records = append(records, &kgo.Record{Topic: topic, Value: []byte("x"), Timestamp: time.UnixMilli(begin + int64(i)*step)})
	}
	if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	adm := kadm.NewClient(cl)
	f := func(list func() (kadm.ListedOffsets, error), offset, timestamp int64) {
		t.Helper()
		listed, err := list()
		if err != nil {
			t.Fatal(err)
		}
		got, ok := listed.Lookup(topic, 0)
		if !ok || got.Err != nil || got.Offset != offset || got.Timestamp != timestamp {
			t.Errorf("%+v, want offset %d, timestamp %d", got, offset, timestamp)
		}
	}
	after := func(ms int64) func() (kadm.ListedOffsets, error) {
		return func() (kadm.ListedOffsets, error) { return adm.ListOffsetsAfterMilli(ctx, ms, topic) }
	}
	f(func() (kadm.ListedOffsets, error) { return adm.ListStartOffsets(ctx, topic) }, 0, -1)
	f(func() (kadm.ListedOffsets, error) { return adm.ListEndOffsets(ctx, topic) }, 50, -1)
	f(func() (kadm.ListedOffsets, error) { return adm.ListMaxTimestampOffsets(ctx, topic) }, 49, begin+49*step)
	f(after(begin-1), 0, begin)
	f(after(begin+20*step), 20, begin+20*step)
	f(after(begin+20*step+1), 21, begin+21*step)
	f(after(begin+49*step+1), 50, -1) // the client takes the end where nothing is as late
}

// franz-go's admin client creates, describes, alters, extends and deletes topics.
func TestFranzGoAdmin(t *testing.T) {
	franzGo(t, "administer topics")
	s := startServer(t)
	adm := kadm.NewClient(newFranzGo(t, s))
	ctx := limit(t)
	topic := unique(t)
	retention := "3600000"
	created, err := adm.CreateTopic(ctx, 2, 1, map[string]*string{"retention.ms": &retention}, topic)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := adm.CreateTopic(ctx, 1, 1, nil, topic); !errors.Is(err, kerr.TopicAlreadyExists) {
		t.Errorf("created twice: %v", err)
	}
	metadata, err := adm.Metadata(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	if d := metadata.Topics[topic]; len(d.Partitions) != 2 || d.ID != created.ID || len(metadata.Brokers) != 1 || metadata.Cluster == "" {
		t.Errorf("%+v", metadata)
	}
	checkConfig(ctx, t, adm, topic, "retention.ms", retention)
	seven := "7200000"
	altered, err := adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: &seven}}, topic)
	if err != nil || altered[0].Err != nil {
		t.Fatal(err, altered)
	}
	checkConfig(ctx, t, adm, topic, "retention.ms", seven)
	if extended, err := adm.UpdatePartitions(ctx, 5, topic); err != nil || extended.Error() != nil {
		t.Fatal(err, extended)
	}
	if deleted, err := adm.DeleteTopics(ctx, topic); err != nil || deleted.Error() != nil {
		t.Fatal(err, deleted)
	}
	topics, err := adm.ListTopics(ctx)
	if err != nil || topics.Has(topic) {
		t.Errorf("after the deletion: %v, %v", topics.Names(), err)
	}
}

func checkConfig(ctx context.Context, t *testing.T, adm *kadm.Client, topic, key, want string) {
	t.Helper()
	described, err := adm.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range described[0].Configs {
		if c.Key == key {
			if c.MaybeValue() != want || c.Source.String() != "DYNAMIC_TOPIC_CONFIG" {
				t.Errorf("%s = %s (%v), want %s", key, c.MaybeValue(), c.Source, want)
			}
			return
		}
	}
	t.Errorf("no %s among %d configs", key, len(described[0].Configs))
}

// franz-go's admin client deletes records, describes brokers' configs and log
// directories, and finds the end of an epoch.
func TestFranzGoBrokers(t *testing.T) {
	franzGo(t, "administer brokers and records")
	s := startServer(t)
	topic := createTopic(t, s, 1)
	cl := newFranzGo(t, s)
	adm := kadm.NewClient(cl)
	ctx := limit(t)
	for range 10 {
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("x")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	var offsets kadm.Offsets
	offsets.AddOffset(topic, 0, 4, -1)
	if deleted, err := adm.DeleteRecords(ctx, offsets); err != nil || deleted[topic][0].Err != nil || deleted[topic][0].LowWatermark != 4 {
		t.Fatal(err, deleted)
	}
	start, err := adm.ListStartOffsets(ctx, topic)
	if got, _ := start.Lookup(topic, 0); err != nil || got.Offset != 4 {
		t.Errorf("start %+v, %v", got, err)
	}
	brokers, err := adm.ListBrokers(ctx)
	if err != nil || len(brokers) != 1 {
		t.Fatal(err, brokers)
	}
	configs, err := adm.DescribeBrokerConfigs(ctx, brokers[0].NodeID)
	if err != nil || configs[0].Err != nil || len(configs[0].Configs) < 50 {
		t.Errorf("configs: %v, %+v", err, configs)
	}
	dirs, err := adm.DescribeAllLogDirs(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := dirs[brokers[0].NodeID].LookupPartition(topic, 0); !ok || got.Size == 0 {
		t.Errorf("log dirs: %+v", dirs)
	}
	epoch := metadataEpoch(ctx, t, adm, topic)
	ends, err := adm.OffsetForLeaderEpoch(ctx, kadm.OffsetForLeaderEpochRequest{topic: {0: epoch}})
	if got := ends[topic][0]; err != nil || got.Err != nil || got.EndOffset != 10 || got.LeaderEpoch != epoch {
		t.Errorf("end of epoch %d: %+v, %v", epoch, got, err)
	}
}

func metadataEpoch(ctx context.Context, t *testing.T, adm *kadm.Client, topic string) int32 {
	t.Helper()
	m, err := adm.Metadata(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	return m.Topics[topic].Partitions[0].LeaderEpoch
}
