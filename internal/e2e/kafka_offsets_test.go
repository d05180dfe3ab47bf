package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// kafkaOffsetsRecord is a line of DumpLogSegments --offsets-decoder about a
// record, with its key and what it holds.
var kafkaOffsetsRecord = regexp.MustCompile(`^\| offset: \d+ CreateTime: \d+ keySize: \d+ valueSize: -?\d+ sequence: -1 headerKeys: \[\] key: (\{.*\}) payload: (\{.*\}|<DELETE>)$`)

// The types of keys that DumpLogSegments tells.
const (
	offsetCommitKey  = "1"
	groupMetadataKey = "2"
)

// decodedKey is a key of the offsets log as DumpLogSegments tells it.
type decodedKey struct {
	Type string
	Data struct {
		Group, Topic string
		Partition    int
	}
}

// decodedOffset is the value of a committed offset.
type decodedOffset struct {
	Offset      int64
	LeaderEpoch int
	Metadata    string
	TopicID     string
}

// decodedGroup is the value of a group.
type decodedGroup struct {
	ProtocolType string
	Generation   int32
	Protocol     string // "": none
	Members      []struct {
		MemberID, GroupInstanceID string
		Assignment                struct {
			AssignedPartitions []struct {
				Topic      string
				Partitions []int
			}
		}
	}
}

// decodedLog is what the offsets log says, after its last record.
type decodedLog struct {
	offsets map[string]decodedOffset // by offsetName
	groups  map[string]decodedGroup
	deleted map[string]int // records without a value, by offsetName or group
}

// offsetName names what an offset is committed for.
func offsetName(group, topic string, partition int) string {
	return fmt.Sprintf("%s %s-%d", group, topic, partition)
}

// decodeOffsets has Kafka's tool read the offsets log of a data directory, without
// a complaint.
func decodeOffsets(t *testing.T, data string) decodedLog {
	t.Helper()
	log := decodedLog{map[string]decodedOffset{}, map[string]decodedGroup{}, map[string]int{}}
	dumpLogSegments(t, glob(t, data, "__consumer_offsets-*/*.log"), func(line string) {
		m := kafkaOffsetsRecord.FindStringSubmatch(line)
		switch {
		case m != nil:
			log.replay(t, m[1], m[2])
		case kafkaComplaints.MatchString(line) || line[0] == '|':
			t.Errorf("Kafka says: %.300s", line)
		}
	}, "--offsets-decoder", "--deep-iteration")
	return log
}

// replay takes in a record.
func (l *decodedLog) replay(t *testing.T, key, payload string) {
	t.Helper()
	var k decodedKey
	into := func(text string, value any) {
		if err := json.Unmarshal([]byte(text), value); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	into(key, &k)
	name := k.Data.Group
	if k.Type == offsetCommitKey {
		name = offsetName(k.Data.Group, k.Data.Topic, k.Data.Partition)
	}
	if payload == "<DELETE>" {
		delete(l.offsets, name)
		delete(l.groups, name)
		l.deleted[name]++
		return
	}
	switch k.Type {
	case offsetCommitKey:
		var value struct{ Data decodedOffset }
		into(payload, &value)
		l.offsets[name] = value.Data
	case groupMetadataKey:
		var value struct{ Data decodedGroup }
		into(payload, &value)
		l.groups[name] = value.Data
	default:
		t.Errorf("a key of type %s: %s", k.Type, key)
	}
}

// topicID is the id of a topic as Kafka's tools print it.
func (s *server) topicID(topic string) string {
	s.t.Helper()
	m := kmsg.NewPtrMetadataRequest()
	m.Topics = []kmsg.MetadataRequestTopic{{Topic: &topic}}
	id := dialKafka(s.t, s).ask(m, 10).(*kmsg.MetadataResponse).Topics[0].TopicID
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// deleteOffset deletes the offset of the first partition of a topic.
func (s *server) deleteOffset(group, topic string) {
	s.t.Helper()
	m := kmsg.NewPtrOffsetDeleteRequest()
	m.Group = group
	m.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{}}}}
	if a := dialKafka(s.t, s).ask(m, 0).(*kmsg.OffsetDeleteResponse); a.ErrorCode != 0 || a.Topics[0].Partitions[0].ErrorCode != 0 {
		s.t.Fatalf("delete an offset of %s: %+v", group, a)
	}
}

// Apache Kafka's own tool reads the offsets log without a complaint, and in it what
// was committed and deleted, and the group as it is: as a kill left it, and
// after more was written to what was loaded.
func TestKafkaReadsOffsets(t *testing.T) {
	needsKafka(t, "DumpLogSegments --offsets-decoder")
	data, flags := filepath.Join(t.TempDir(), "data"), append(shortJoins(t), "--kafka", "127.0.0.1:0")
	j := &javaTools{startServer(t, data, flags...)}
	const partitions = 3
	j.server.run(nil, "topic", "create", "orders", "--partitions", fmt.Sprint(partitions))
	id := j.topicID("orders")
	want := map[string]decodedOffset{}
	commit := func(group string, offsets ...int64) {
		t.Helper()
		j.commit(group, "orders", offsets...)
		for p, offset := range offsets {
			want[offsetName(group, "orders", p)] = decodedOffset{Offset: offset, LeaderEpoch: 5, TopicID: id}
		}
	}
	var groups []string
	for i := range 60 {
		groups = append(groups, fmt.Sprintf("group-%d-ü😀", i))
		commit(groups[i], int64(i), int64(i)<<32)
		commit(groups[i], int64(i)+1000)
	}
	remove := func(group string) {
		t.Helper()
		j.server.run(nil, "group", "delete", group)
		for p := range partitions {
			delete(want, offsetName(group, "orders", p))
		}
	}
	remove(groups[0])
	remove(groups[1])
	commit(groups[1], 5) // a later one of that name
	j.deleteOffset(groups[2], "orders")
	delete(want, offsetName(groups[2], "orders", 0))

	// check compares the log with that and with the group of the consumer.
	check := func(live describedGroup, consumers ...*verifiable) {
		t.Helper()
		log := decodeOffsets(t, copyOf(t, data))
		for name, w := range want {
			if got := log.offsets[name]; got != w {
				t.Errorf("%s: Kafka reads %+v, want %+v", name, got, w)
			}
		}
		if len(log.offsets) != len(want)+partitions {
			t.Errorf("Kafka reads %d offsets, want %d and %d of the consumer", len(log.offsets), len(want), partitions)
		}
		for _, name := range []string{offsetName(groups[0], "orders", 0), offsetName(groups[0], "orders", 1), offsetName(groups[1], "orders", 1), offsetName(groups[2], "orders", 0)} {
			if log.deleted[name] != 1 {
				t.Errorf("%s: Kafka reads %d deletions", name, log.deleted[name])
			}
		}
		for p := range partitions {
			var told [][]verifiableEvent
			for _, c := range consumers {
				told = append(told, c.all())
			}
			d, err := deliveryOf(told, p)
			got := log.offsets[offsetName("live", "orders", p)]
			if err != nil || got.Offset != d.committed && got.Offset != d.unheard || got.LeaderEpoch != -1 || got.TopicID != id {
				t.Errorf("partition %d: Kafka reads %+v of the consumer, who has told of %+v, %v", p, got, d, err)
			}
		}
		g := log.groups["live"]
		if g.ProtocolType != "consumer" || g.Protocol != live.Protocol || g.Generation != live.Generation || len(g.Members) != len(live.Members) {
			t.Fatalf("Kafka reads %+v, want %+v", g, live)
		}
		for i, m := range g.Members {
			a := m.Assignment.AssignedPartitions
			if m.MemberID != live.Members[i].Member || m.GroupInstanceID != "static" || len(a) != 1 || a[0].Topic != "orders" || !slices.Equal(a[0].Partitions, []int{0, 1, 2}) {
				t.Errorf("Kafka reads of a member %+v, want %+v", m, live.Members[i])
			}
		}
	}

	consumer := j.startConsumer(t, "orders", "live", "--session-timeout", "600000", "--group-instance-id", "static")
	share(t, partitions, consumer)
	j.produceLines("orders", partitions, 1000)
	await(t, "commits of all partitions", func() bool { return !slices.Contains(j.committed("live", "orders", partitions), -1) })
	live := j.describeGroup("live")
	if live.State != "Stable" || len(live.Members) != 1 {
		t.Fatalf("the group is %+v", live)
	}
	j.kill()
	consumer.kill()
	check(live, consumer)

	// It is loaded and goes on: what was there is there, and what comes is, too.
	j.server = startServer(t, data, flags...)
	j.server.run(nil, "group", "list") // waits until all are loaded
	commit(groups[3], 77, 78, 79)
	remove(groups[4])
	commit(groups[0], 9)
	second := j.startConsumer(t, "orders", "live", "--session-timeout", "600000", "--group-instance-id", "static")
	j.produceLines("orders", partitions, 500)
	await(t, "all that was produced", func() bool { return slices.Equal(j.committed("live", "orders", partitions), []int64{1500, 1500, 1500}) })
	after := j.describeGroup("live")
	if after.Generation != live.Generation || len(after.Members) != 1 || after.Members[0].Member == live.Members[0].Member {
		t.Errorf("the static member came back to %+v, was in %+v", after, live)
	}
	second.stop(t)
	j.stop()
	check(after, consumer, second)
}
