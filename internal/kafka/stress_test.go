package kafka

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/internal/netloop"
	"github.com/rollway/rollway/internal/node"
)

// stress is many connections that change topics, write them and read them at
// once.
type stress struct {
	frontend *frontend
	server   *netloop.Server
	rounds   int

	over                    atomic.Bool  // nothing more is written
	produced, fetched, made atomic.Int64 // batches, batches, topics
}

var stressedTopics = []string{"a", "b", "c"}

// Topics come, go and come again, grow, are altered and lose records while others
// write and read them, in fetch sessions and without, waiting and not: whoever
// reads gets whole batches of the topic that was meant, in order, and in the end
// nothing is left of who waited. ROLLWAY_STRESS_ROUNDS makes it longer.
func TestStress(t *testing.T) {
	t.Parallel() // it waits for most of its time
	s := &stress{frontend: openFrontend(t, node.Options{}), rounds: 20}
	if n, err := strconv.Atoi(os.Getenv("ROLLWAY_STRESS_ROUNDS")); err == nil {
		s.rounds = n
	}
	s.server = serve(t, s.frontend)
	for _, name := range stressedTopics {
		createTopic(t, s.frontend, name, 2)
	}
	seed := rand.Uint64()
	var readers, others sync.WaitGroup
	start := func(group *sync.WaitGroup, stream uint64, client func(c *client, rng *rand.Rand)) {
		c := dialTo(t, s.server)
		c.SetDeadline(time.Time{})
		// A client that gives up ends its goroutine, and the test fails.
		group.Go(func() { client(c, rand.New(rand.NewPCG(seed, stream))) })
	}
	for i := range uint64(3) {
		start(&readers, 10+i, s.read)
		start(&others, 20+i, s.produce)
	}
	start(&others, 1, s.admin)
	start(&others, 2, s.alter)
	start(&others, 3, s.leave)
	others.Wait()
	s.over.Store(true)
	readers.Wait()
	if t.Failed() {
		t.Logf("seed %d, which does not say who came first", seed)
	}
	t.Logf("%d batches produced, %d fetched, %d topics made", s.produced.Load(), s.fetched.Load(), s.made.Load())
	if s.produced.Load() == 0 || s.fetched.Load() == 0 || s.made.Load() == 0 {
		t.Error("nothing happened")
	}
	if err := s.server.Shutdown(t.Context()); err != netloop.ErrServerClosed && err != nil {
		t.Error(err)
	}
	if n := s.frontend.Closing.Waiting(); n != 0 {
		t.Errorf("%d fetches wait on", n)
	}
}

// produce writes batches that name the topic that they are for, by its id, as it
// was made then.
func (s *stress) produce(c *client, rng *rand.Rand) {
	for range s.rounds * 4 {
		m := kmsg.NewPtrProduceRequest()
		m.Acks, m.TimeoutMillis = int16(1-2*rng.IntN(2)), 30_000
		for range 1 + rng.IntN(3) {
			topic, err := s.frontend.engine.Topic(stressedTopics[rng.IntN(len(stressedTopics))])
			if err != nil {
				continue
			}
			rt := kmsg.NewProduceRequestTopic()
			rt.TopicID = topic.ID()
			for index := range int32(1 + rng.IntN(2)) {
				rp := kmsg.NewProduceRequestTopicPartition()
				rp.Partition, rp.Records = index, batchOf(c.t, stressValue(rt.TopicID, index), fmt.Sprint(rng.Uint64()))
				rt.Partitions = append(rt.Partitions, rp)
			}
			m.Topics = append(m.Topics, rt)
		}
		for _, topic := range c.ask(m, 13).(*kmsg.ProduceResponse).Topics {
			for _, p := range topic.Partitions {
				switch code(p.ErrorCode) {
				case codeNone:
					s.produced.Add(1)
				case codeUnknownTopicID, codeUnknownTopicOrPartition: // deleted meanwhile
				default:
					c.t.Errorf("produce: error %d %s", p.ErrorCode, unptr(p.ErrorMessage))
				}
			}
		}
	}
}

func unptr(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// stressValue is the first value of a batch for a partition.
func stressValue(id engine.TopicID, index int32) string {
	return fmt.Sprintf("%s-%d", hex.EncodeToString(id[:]), index)
}

// stressedPartition names a partition, and stressedReader is where a reader is in
// it.
type (
	stressedPartition struct {
		id    [16]byte
		index int32
	}
	stressedReader struct {
		asked int64 // the offset that the server was told last
		next  int64
	}
)

// read reads by topic id, some of the time in a fetch session, and starts over
// where the records are gone.
func (s *stress) read(c *client, rng *rand.Rand) {
	at := map[stressedPartition]*stressedReader{}
	session, epoch := int32(0), int32(-1)
	for !s.over.Load() {
		if rng.IntN(8) == 0 { // another session, or none
			session, epoch = 0, int32(rng.IntN(2)-1)
		}
		m := kmsg.NewPtrFetchRequest()
		m.MaxWaitMillis, m.MinBytes, m.MaxBytes = int32(rng.IntN(10)), int32(rng.IntN(500)), int32(1+rng.IntN(2000))
		m.SessionID, m.SessionEpoch = session, epoch
		for _, name := range stressedTopics {
			if topic, err := s.frontend.engine.Topic(name); err == nil {
				rt := kmsg.NewFetchRequestTopic()
				rt.TopicID = topic.ID()
				for index := range int32(2) {
					key := stressedPartition{rt.TopicID, index}
					if at[key] == nil {
						at[key] = new(stressedReader)
					}
					at[key].asked = at[key].next
					p := kmsg.NewFetchRequestTopicPartition()
					p.Partition, p.FetchOffset, p.PartitionMaxBytes = index, at[key].asked, 1000
					rt.Partitions = append(rt.Partitions, p)
				}
				m.Topics = append(m.Topics, rt)
			}
		}
		response := c.ask(m, 17).(*kmsg.FetchResponse)
		session = response.SessionID
		if response.ErrorCode != 0 {
			c.t.Errorf("fetch: error %d", response.ErrorCode)
		}
		if epoch++; session == 0 {
			epoch = -1
		}
		for _, topic := range response.Topics {
			for i := range topic.Partitions {
				key := stressedPartition{topic.TopicID, topic.Partitions[i].Partition}
				s.check(c, key, &topic.Partitions[i], at[key])
			}
		}
	}
}

// check looks at what was fetched from a partition and moves on behind it.
func (s *stress) check(c *client, key stressedPartition, p *kmsg.FetchResponseTopicPartition, at *stressedReader) {
	switch code(p.ErrorCode) {
	case codeNone:
	case codeOffsetOutOfRange:
		at.next = p.LogStartOffset
		return
	case codeUnknownTopicID, codeUnknownTopicOrPartition: // deleted meanwhile
		return
	default:
		c.t.Errorf("fetch: error %d", p.ErrorCode)
		return
	}
	at.next = at.asked // which is less where a session has a topic that is being deleted
	for rest := p.RecordBatches; ; {
		b, next, err := record.Next(rest)
		if err != nil {
			if len(rest) == len(p.RecordBatches) && len(rest) > 0 {
				c.t.Errorf("%d bytes without a whole batch: %v", len(rest), err)
			}
			return // the last one may be cut
		}
		if err := b.Verify(); err != nil {
			c.t.Error(err)
		}
		if int64(b.NextOffset()) <= at.next || int64(b.BaseOffset()) > at.next {
			c.t.Errorf("batch of offsets %d to %d, want the one with %d", b.BaseOffset(), b.LastOffset(), at.next)
		}
		it := b.Iterate(b.Records())
		if !it.Next() || string(it.Record().Value) != stressValue(key.id, key.index) {
			c.t.Errorf("partition %d of topic %x has a batch of %q", key.index, key.id, it.Record().Value)
		}
		at.next = int64(b.NextOffset())
		s.fetched.Add(1)
		rest = next
	}
}

// admin deletes topics and makes them anew.
func (s *stress) admin(c *client, rng *rand.Rand) {
	for range s.rounds / 2 {
		name := stressedTopics[rng.IntN(len(stressedTopics))]
		d := kmsg.NewPtrDeleteTopicsRequest()
		d.TopicNames = []string{name}
		if got := c.ask(d, 5).(*kmsg.DeleteTopicsResponse).Topics[0]; got.ErrorCode != 0 {
			c.t.Errorf("delete: %+v", got)
		}
		m := kmsg.NewPtrCreateTopicsRequest()
		m.Topics = []kmsg.CreateTopicsRequestTopic{newTopic(name, 2, 1)}
		if got := c.ask(m, 7).(*kmsg.CreateTopicsResponse).Topics[0]; got.ErrorCode != 0 {
			c.t.Errorf("create: %d %s", got.ErrorCode, unptr(got.ErrorMessage))
		}
		s.made.Add(1)
		time.Sleep(time.Duration(rng.IntN(20)) * time.Millisecond)
	}
}

// alter changes configs, deletes records, adds partitions and looks at
// everything.
func (s *stress) alter(c *client, rng *rand.Rand) {
	wants := func(what string, got int16, codes ...code) {
		for _, want := range append(codes, codeNone, codeUnknownTopicOrPartition) {
			if code(got) == want {
				return
			}
		}
		c.t.Errorf("%s: error %d", what, got)
	}
	for range s.rounds {
		name := stressedTopics[rng.IntN(len(stressedTopics))]
		switch rng.IntN(5) {
		case 0:
			m := kmsg.NewPtrIncrementalAlterConfigsRequest()
			value := []string{"1", "9223372036854775807"}[rng.IntN(2)]
			m.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: name,
				Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: "flush.messages", Value: &value}}}}
			wants("alter", c.ask(m, 1).(*kmsg.IncrementalAlterConfigsResponse).Resources[0].ErrorCode)
		case 1:
			m := kmsg.NewPtrDeleteRecordsRequest()
			m.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: name, Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Offset: int64(rng.IntN(20) - 1)}}}}
			wants("delete records", c.ask(m, 2).(*kmsg.DeleteRecordsResponse).Topics[0].Partitions[0].ErrorCode, codeOffsetOutOfRange)
		case 2:
			m := kmsg.NewPtrCreatePartitionsRequest()
			m.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: name, Count: int32(2 + rng.IntN(3))}}
			wants("create partitions", c.ask(m, 3).(*kmsg.CreatePartitionsResponse).Topics[0].ErrorCode, codeInvalidPartitions)
		case 3:
			m := kmsg.NewPtrListOffsetsRequest()
			m.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: name, Partitions: []kmsg.ListOffsetsRequestTopicPartition{{CurrentLeaderEpoch: -1, Timestamp: int64(rng.IntN(1010)) - 4}}}}
			wants("list offsets", c.ask(m, 10).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0].ErrorCode)
		case 4:
			m := kmsg.NewPtrMetadataRequest()
			for _, topic := range c.ask(m, 12).(*kmsg.MetadataResponse).Topics {
				wants("metadata", topic.ErrorCode)
			}
		}
	}
}

// leave connects again and again and leaves in the middle: of a fetch that waits,
// of a Produce that was not answered, of a task.
func (s *stress) leave(c *client, rng *rand.Rand) {
	for i := range s.rounds {
		conn, err := net.Dial("tcp", s.server.Addr().String())
		if err != nil {
			c.t.Fatal(err)
		}
		wait := fetchOf(s.frontend, wantedOf{topic: "a"}, wantedOf{topic: "b"})
		wait.MaxWaitMillis, wait.MinBytes = 20, 1<<20
		frames := frameOf(kmsg.NewPtrApiVersionsRequest(), 3, 1)
		switch rng.IntN(3) {
		case 0:
			frames = append(frames, frameOf(inSession(wait, 0, 0), 12, 2)...)
		case 1:
			frames = append(frames, frameOf(produceTo(s.frontend, "a", 9, -1, batchOf(c.t, "to nowhere")), 9, 2)...)
			frames = append(frames, frameOf(wait, 12, 3)...)
		case 2:
			frames = append(frames, frameOf(kmsg.NewPtrDescribeLogDirsRequest(), 4, 2)...)
			frames = append(frames, frameOf(wait, 12, 3)...)
		}
		conn.Write(frames)
		if i%3 == 0 {
			conn.(*net.TCPConn).SetLinger(0) // a reset
		}
		conn.Close()
	}
}
