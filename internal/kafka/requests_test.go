package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/internal/node"
)

// Each request is counted once, by its key and by the first error of its
// answer, also one that is not answered.
func TestCounted(t *testing.T) {
	f := openFrontend(t, node.Options{})
	createTopic(t, f, "t", 1)
	c := dial(t, f)
	batch := batchOf(t, "x")
	count := func(api, code string) int64 {
		for _, a := range f.requests.Counted() {
			if a.API != api {
				continue
			}
			for _, n := range a.Codes {
				if n.Code == code {
					return n.Requests
				}
			}
		}
		return 0
	}
	check := func(api, code string, want int64) {
		t.Helper()
		if got := count(api, code); got != want {
			t.Errorf("%s with %s: counted %d, want %d", api, code, got, want)
		}
	}
	c.produced(produceTo(f, "t", 0, -1, batch), 9)
	m := produceTo(f, "none", 0, -1, batch)
	addProduce(f, m, "t", 0, batch)
	c.produced(m, 9)
	c.send(produceTo(f, "t", 0, 0, batch), 9)
	c.fetched(fetchOf(f, wantedOf{topic: "t"}), 11)
	c.fetched(fetchOf(f, wantedOf{topic: "t"}, wantedOf{topic: "none"}), 11)
	c.fetched(fetchOf(f, wantedOf{topic: "t", offset: 99}), 11)
	c.ask(kmsg.NewPtrMetadataRequest(), 9)
	create := kmsg.NewPtrCreateTopicsRequest()
	for _, name := range []string{"new", "t"} {
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 1, 1
		create.Topics = append(create.Topics, topic)
	}
	create.TimeoutMillis = 1000
	c.ask(create, 5)

	check("Produce", "none", 2)
	check("Produce", "unknown_topic_or_partition", 1)
	check("Fetch", "none", 1)
	check("Fetch", "unknown_topic_or_partition", 1)
	check("Fetch", "offset_out_of_range", 1)
	check("Metadata", "none", 1)
	check("CreateTopics", "topic_already_exists", 1)
	check("CreateTopics", "none", 0)
}

// The first error of an answer is found wherever the answer has it.
func TestFirstError(t *testing.T) {
	f := func(m kmsg.Response, want code) {
		t.Helper()
		if got := firstError(m); got != want {
			t.Errorf("%T: %d, want %d", m, got, want)
		}
	}
	f(&kmsg.DescribeClusterResponse{}, codeNone)
	f(&kmsg.DescribeClusterResponse{ErrorCode: 5}, 5)
	topics := make([]kmsg.MetadataResponseTopic, 3)
	topics[1].Partitions = make([]kmsg.MetadataResponseTopicPartition, 3)
	topics[1].Partitions[2].ErrorCode = 7
	f(&kmsg.MetadataResponse{Topics: topics}, 7)
	topics[0].ErrorCode = 3
	f(&kmsg.MetadataResponse{Topics: topics}, 3)
	f(&kmsg.ListPartitionReassignmentsResponse{}, codeNone)
}
