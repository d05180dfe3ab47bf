package kafka

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/internal/netloop"
	"github.com/rollway/rollway/internal/node"
)

// amplified is how much of a kind a request asks for, up to a frame of 1 MiB.
type amplified struct {
	name    string
	version int16
	// build returns a request for n of them.
	build func(n int) kmsg.Request
}

// amplifiers are requests whose answers are large for their size.
var amplifiers = []amplified{
	{"CreateTopics, only validated", 7, func(n int) kmsg.Request {
		m := kmsg.NewPtrCreateTopicsRequest()
		m.ValidateOnly = true
		for i := range n {
			m.Topics = append(m.Topics, newTopic(fmt.Sprintf("%x", i), 1, 1))
		}
		return m
	}},
	{"CreateTopics, refused", 7, func(n int) kmsg.Request {
		m := kmsg.NewPtrCreateTopicsRequest()
		for i := range n {
			m.Topics = append(m.Topics, newTopic(fmt.Sprintf("/%x", i), 1, 1))
		}
		return m
	}},
	{"CreateTopics, long names", 7, func(n int) kmsg.Request {
		m := kmsg.NewPtrCreateTopicsRequest()
		for i := range n / 100 {
			m.Topics = append(m.Topics, newTopic(fmt.Sprint(i, strings.Repeat("\x00", 1000)), 1, 1))
		}
		return m
	}},
	{"DeleteTopics, unknown", 5, func(n int) kmsg.Request {
		m := kmsg.NewPtrDeleteTopicsRequest()
		for i := range n {
			m.TopicNames = append(m.TopicNames, fmt.Sprintf("%x", i))
		}
		return m
	}},
	{"CreatePartitions, unknown", 3, func(n int) kmsg.Request {
		m := kmsg.NewPtrCreatePartitionsRequest()
		for i := range n {
			m.Topics = append(m.Topics, kmsg.CreatePartitionsRequestTopic{Topic: fmt.Sprintf("%x", i), Count: 3})
		}
		return m
	}},
	{"ElectLeaders, one partition many times", 2, func(n int) kmsg.Request {
		m := kmsg.NewPtrElectLeadersRequest()
		m.Topics = []kmsg.ElectLeadersRequestTopic{{Topic: "t", Partitions: make([]int32, n)}}
		return m
	}},
	{"DescribeLogDirs, one partition many times", 4, func(n int) kmsg.Request {
		m := kmsg.NewPtrDescribeLogDirsRequest()
		m.Topics = []kmsg.DescribeLogDirsRequestTopic{{Topic: "t", Partitions: make([]int32, n)}}
		return m
	}},
	{"DeleteRecords, one partition many times", 2, func(n int) kmsg.Request {
		m := kmsg.NewPtrDeleteRecordsRequest()
		m.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: "v", Partitions: make([]kmsg.DeleteRecordsRequestTopicPartition, n)}}
		return m
	}},
	{"FindCoordinator, of transactions", 4, func(n int) kmsg.Request {
		m := kmsg.NewPtrFindCoordinatorRequest()
		m.CoordinatorType, m.CoordinatorKeys = transactionCoordinator, make([]string, n)
		return m
	}},
	{"OffsetCommit, one partition many times", 9, func(n int) kmsg.Request {
		m := kmsg.NewPtrOffsetCommitRequest()
		m.Group, m.Generation = "g", -1
		m.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "t", Partitions: make([]kmsg.OffsetCommitRequestTopicPartition, n)}}
		return m
	}},
	{"OffsetFetch, one offset with much metadata many times", 9, func(n int) kmsg.Request {
		m := kmsg.NewPtrOffsetFetchRequest()
		for range n / 100 {
			g := kmsg.OffsetFetchRequestGroup{Group: "large", Topics: []kmsg.OffsetFetchRequestGroupTopic{{Topic: "t", Partitions: make([]int32, 99)}}}
			m.Groups = append(m.Groups, g)
		}
		return m
	}},
	{"OffsetFetch, all of one group many times", 8, func(n int) kmsg.Request {
		m := kmsg.NewPtrOffsetFetchRequest()
		for range n {
			m.Groups = append(m.Groups, kmsg.OffsetFetchRequestGroup{Group: "large"})
		}
		return m
	}},
	{"OffsetFetch, unknown topics", 2, func(n int) kmsg.Request {
		m := kmsg.NewPtrOffsetFetchRequest()
		for i := range n {
			m.Topics = append(m.Topics, kmsg.OffsetFetchRequestTopic{Topic: fmt.Sprintf("%x", i), Partitions: []int32{0}})
		}
		return m
	}},
	{"DescribeGroups, unknown", 6, func(n int) kmsg.Request {
		m := kmsg.NewPtrDescribeGroupsRequest()
		for i := range n {
			m.Groups = append(m.Groups, fmt.Sprintf("%x", i))
		}
		return m
	}},
	{"DeleteGroups, unknown", 2, func(n int) kmsg.Request {
		m := kmsg.NewPtrDeleteGroupsRequest()
		for i := range n {
			m.Groups = append(m.Groups, fmt.Sprintf("%x", i))
		}
		return m
	}},
	{"DescribeConfigs, one topic many times", 4, func(n int) kmsg.Request {
		m := kmsg.NewPtrDescribeConfigsRequest()
		m.IncludeSynonyms, m.IncludeDocumentation = true, true
		for range n {
			m.Resources = append(m.Resources, kmsg.DescribeConfigsRequestResource{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "t"})
		}
		return m
	}},
	{"DescribeConfigs, two topics in turn", 1, func(n int) kmsg.Request {
		m := kmsg.NewPtrDescribeConfigsRequest()
		for i := range n {
			m.Resources = append(m.Resources, kmsg.DescribeConfigsRequestResource{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: []string{"t", "u"}[i%2]})
		}
		return m
	}},
	{"DescribeConfigs, many keys", 4, func(n int) kmsg.Request {
		m := kmsg.NewPtrDescribeConfigsRequest()
		d := kmsg.DescribeConfigsRequestResource{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "t"}
		for range n {
			d.ConfigNames = append(d.ConfigNames, "segment.ms")
		}
		m.Resources = append(m.Resources, d)
		return m
	}},
	{"AlterConfigs, unknown topics", 2, func(n int) kmsg.Request {
		m := kmsg.NewPtrAlterConfigsRequest()
		for i := range n {
			m.Resources = append(m.Resources, kmsg.AlterConfigsRequestResource{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: fmt.Sprintf("%x", i)})
		}
		return m
	}},
	{"IncrementalAlterConfigs, unknown keys", 1, func(n int) kmsg.Request {
		m := kmsg.NewPtrIncrementalAlterConfigsRequest()
		value := ""
		for i := range n {
			m.Resources = append(m.Resources, kmsg.IncrementalAlterConfigsRequestResource{
				ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: fmt.Sprintf("%x", i),
				Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: "x", Value: &value}},
			})
		}
		return m
	}},
	{"Produce, a long transactional id", 9, func(n int) kmsg.Request {
		m := kmsg.NewPtrProduceRequest()
		m.Acks, m.TransactionID = 1, kmsg.StringPtr(strings.Repeat("x", maxTextLen))
		m.Topics = []kmsg.ProduceRequestTopic{{Topic: "t", Partitions: make([]kmsg.ProduceRequestTopicPartition, n)}}
		return m
	}},
	{"Produce, a topic with a long name", 9, func(n int) kmsg.Request {
		m := kmsg.NewPtrProduceRequest()
		m.Acks = 1
		m.Topics = []kmsg.ProduceRequestTopic{{Topic: strings.Repeat("\x00", maxTextLen), Partitions: make([]kmsg.ProduceRequestTopicPartition, n)}}
		return m
	}},
	{"Produce, batches that inflate", 9, func(n int) kmsg.Request {
		m := kmsg.NewPtrProduceRequest()
		m.Acks = 1
		m.Topics = []kmsg.ProduceRequestTopic{{Topic: "t", Partitions: make([]kmsg.ProduceRequestTopicPartition, n)}}
		for i := range m.Topics[0].Partitions {
			m.Topics[0].Partitions[i].Records = bomb()
		}
		return m
	}},
	{"Fetch, a topic with a long name", 12, func(n int) kmsg.Request {
		m := kmsg.NewPtrFetchRequest()
		m.Topics = []kmsg.FetchRequestTopic{{Topic: strings.Repeat("\x00", maxTopicNameBytes), Partitions: make([]kmsg.FetchRequestTopicPartition, n)}}
		return m
	}},
	{"ListOffsets, a topic with a long name", 6, func(n int) kmsg.Request {
		m := kmsg.NewPtrListOffsetsRequest()
		m.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: strings.Repeat("\x00", maxTextLen), Partitions: make([]kmsg.ListOffsetsRequestTopicPartition, n)}}
		for i := range m.Topics[0].Partitions {
			m.Topics[0].Partitions[i].Partition = int32(i)
		}
		return m
	}},
	{"OffsetForLeaderEpoch, a topic with a long name", 4, func(n int) kmsg.Request {
		m := kmsg.NewPtrOffsetForLeaderEpochRequest()
		m.Topics = []kmsg.OffsetForLeaderEpochRequestTopic{{Topic: strings.Repeat("\x00", maxTextLen), Partitions: make([]kmsg.OffsetForLeaderEpochRequestTopicPartition, n)}}
		return m
	}},
	{"DeleteRecords, a topic with a long name", 2, func(n int) kmsg.Request {
		m := kmsg.NewPtrDeleteRecordsRequest()
		m.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: strings.Repeat("\x00", maxTextLen), Partitions: make([]kmsg.DeleteRecordsRequestTopicPartition, n)}}
		return m
	}},
	{"DescribeTopicPartitions, unknown", 0, func(n int) kmsg.Request {
		m := kmsg.NewPtrDescribeTopicPartitionsRequest()
		for i := range n {
			m.Topics = append(m.Topics, kmsg.DescribeTopicPartitionsRequestTopic{Topic: fmt.Sprintf("%x", i)})
		}
		return m
	}},
}

// bomb is a batch of about 4 KiB whose records are 4 MiB, and older than a topic
// takes them.
var bomb = sync.OnceValue(func() record.Batch {
	var b record.Builder
	b.Reset(record.BuilderOptions{Codec: record.CodecGzip})
	if err := b.Append(0, nil, make([]byte, 4<<20-100)); err != nil {
		panic(err)
	}
	batch, err := b.Build(nil)
	if err != nil {
		panic(err)
	}
	return batch
})

// A request of up to 1 MiB is answered by at most 4 MiB, or refused: however
// much it asks for, the largest answer that any number of things has is bounded,
// and so is what was allocated for it.
func TestAmplification(t *testing.T) {
	f := openFrontend(t, node.Options{})
	awaitGroups(f)
	createTopic(t, f, "t", 1)
	createTopic(t, f, "u", 1)
	old := engine.TopicChange{Set: map[string]string{"message.timestamp.before.max.ms": "1"}}
	if _, err := f.engine.AlterTopic("t", old); err != nil {
		t.Fatal(err)
	}
	large := newGroupClient(dial(t, f), "large")
	large.generation = -1
	metadata := strings.Repeat("x", 4096)
	if got := large.commit(9, "t", 0, 1, &metadata); got != codeNone {
		t.Fatalf("commit: error %d", got)
	}
	for _, a := range amplifiers {
		most, mostAllocated, mostFrame := 0, uint64(0), 0
		for n := 150; n <= 1<<20; n *= 2 {
			frame := frameOf(a.build(n), a.version, 1)
			if len(frame) > 1<<20 {
				break
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			answer := answerOf(t, f, frame)
			runtime.ReadMemStats(&after)
			if answer == nil {
				break // it asks for more than it may, and so does whatever is larger
			}
			most, mostFrame = max(most, len(answer)), len(frame)
			mostAllocated = max(mostAllocated, after.TotalAlloc-before.TotalAlloc)
		}
		t.Logf("%s: frame of %d bytes, answer of %d, %d allocated", a.name, mostFrame, most, mostAllocated)
		if most == 0 || most > 4<<20 {
			t.Errorf("%s: an answer of %d bytes, want 1 to %d", a.name, most, 4<<20)
		}
		// Garbage on the way counts, too: buffers that grew, texts of errors.
		if mostAllocated > 64<<20 {
			t.Errorf("%s: %d bytes were allocated for one request, want at most %d", a.name, mostAllocated, 64<<20)
		}
	}
}

// answerOf returns the answer to a frame on a connection that had a valid one
// before, nil if it ended the connection.
func answerOf(t testing.TB, f *frontend, frame []byte) []byte {
	t.Helper()
	session := newSession(f, peer)
	session.valid = true
	s := netloop.NewStepper(session)
	defer s.Close()
	s.Receive(frame)
	for s.Err == nil && len(s.Sent) == 0 {
		if !s.Wait(time.After(time.Minute)) {
			t.Fatal("no answer")
		}
	}
	return s.Sent
}
