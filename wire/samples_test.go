package wire

import (
	"encoding/binary"
	"hash/crc32"
	"reflect"
	"testing"

	"github.com/rollway/rollway/internal/golden"
)

// message is what all messages have in common.
type message interface {
	AppendTo(dst []byte, requestID uint32) []byte
}

// parsers has the Parse function of each kind.
var parsers = map[Kind]func(Frame) (message, error){
	KindHello:         parserOf(ParseHello),
	KindCreateTopic:   parserOf(ParseCreateTopic),
	KindDescribeTopic: parserOf(ParseDescribeTopic),
	KindListTopics:    parserOf(ParseListTopics),
	KindAlterTopic:    parserOf(ParseAlterTopic),
	KindDeleteTopic:   parserOf(ParseDeleteTopic),
	KindProduce:       parserOf(ParseProduce),
	KindFetch:         parserOf(ParseFetch),
	KindSubscribe:     parserOf(ParseSubscribe),
	KindCredit:        parserOf(ParseCredit),
	KindUnsubscribe:   parserOf(ParseUnsubscribe),
	KindListOffsets:   parserOf(ParseListOffsets),
	KindInitProducer:  parserOf(ParseInitProducer),
	KindDeleteRecords: parserOf(ParseDeleteRecords),
	KindSkipDamage:    parserOf(ParseSkipDamage),
	KindCommitOffset:  parserOf(ParseCommitOffset),
	KindFetchOffset:   parserOf(ParseFetchOffset),
	KindListGroups:    parserOf(ParseListGroups),
	KindDescribeGroup: parserOf(ParseDescribeGroup),
	KindDeleteGroup:   parserOf(ParseDeleteGroup),

	KindError:            func(f Frame) (message, error) { return ParseError(f) },
	KindWelcome:          parserOf(ParseWelcome),
	KindDone:             parserOf(ParseDone),
	KindTopicDescription: parserOf(ParseTopicDescription),
	KindTopicList:        parserOf(ParseTopicList),
	KindProduced:         parserOf(ParseProduced),
	KindData:             parserOf(ParseData),
	KindOffsetFound:      parserOf(ParseOffsetFound),
	KindProducerAssigned: parserOf(ParseProducerAssigned),
	KindRecordsDeleted:   parserOf(ParseRecordsDeleted),
	KindDamageSkipped:    parserOf(ParseDamageSkipped),
	KindOffsetsFetched:   parserOf(ParseOffsetsFetched),
	KindGroupList:        parserOf(ParseGroupList),
	KindGroupDescription: parserOf(ParseGroupDescription),
}

// parserOf gives what a Parse function returns the methods of its pointer.
func parserOf[M any, P interface {
	*M
	message
}](parse func(Frame) (M, error)) func(Frame) (message, error) {
	return func(f Frame) (message, error) {
		m, err := parse(f)
		return P(&m), err
	}
}

// parse reads the message of a frame, whichever it is.
func parse(f Frame) (message, error) {
	if parse, ok := parsers[f.Kind]; ok {
		return parse(f)
	}
	return nil, UnknownKind(f.Kind)
}

// sample is one good message with what its frame holds. Batches of Produce and
// Data are open-ended: tail is how many bytes at the end of the payload may be
// missing, or followed by others, without the codec minding.
type sample struct {
	name   string
	id     uint32
	m      message
	tail   int
	fields []golden.Field // of the payload
}

// frame returns the encoded message.
func (s *sample) frame() []byte { return s.m.AppendTo(nil, s.id) }

// kind returns the kind in the encoded message.
func (s *sample) kind() Kind { return Kind(s.frame()[4]) }

// dump returns the encoded message as annotated hex.
func (s *sample) dump() []byte {
	head := []golden.Field{
		{Len: 4, Name: "length"}, {Len: 1, Name: "kind: " + s.kind().String()}, {Len: 1, Name: "flags"},
		{Len: 2, Name: "reserved"}, {Len: 4, Name: "requestID"}, {Len: 4, Name: "check"},
	}
	return golden.Hex(s.frame(), append(head, s.fields...)...)
}

// topicID is the id of the topic in the samples.
var topicID = [16]byte{0x6f, 0x1d, 0x2c, 0x3b, 0x4a, 0x59, 0x48, 0x77, 0x86, 0x95, 0xa4, 0xb3, 0xc2, 0xd1, 0xe0, 0x0f}

// oneRecord returns a RecordBatch v2 with the record "hello" at offset base.
func oneRecord(base int64) []byte {
	record := []byte{0x16, 0x00, 0x00, 0x00, 0x01, 0x0a, 'h', 'e', 'l', 'l', 'o', 0x00}
	const timestamp = 1_700_000_000_000
	b := appendI64(nil, base)
	b = appendI32(b, int32(49+len(record))) // batchLength
	b = appendI32(b, 3)                     // partitionLeaderEpoch
	b = append(b, 2)                        // magic
	b = appendI32(b, 0)                     // crc
	b = appendU16(b, 0)                     // attributes
	b = appendI32(b, 0)                     // lastOffsetDelta
	b = appendI64(b, timestamp)             // baseTimestamp
	b = appendI64(b, timestamp)             // maxTimestamp
	b = appendI64(b, -1)                    // producerId
	b = appendU16(b, 0xffff)                // producerEpoch
	b = appendI32(b, -1)                    // baseSequence
	b = appendI32(b, 1)                     // recordsCount
	b = append(b, record...)
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// samples returns a good message of each kind, some in two forms.
func samples() []sample {
	produced := oneRecord(0)
	stored := append(oneRecord(42), oneRecord(43)[:20]...)
	return []sample{
		{name: "hello", id: 1, m: &Hello{
			MinVersion: 1, MaxVersion: 1, Software: "rollway-go", SoftwareVersion: "0.1.0", Auth: []byte{},
		}, fields: []golden.Field{
			{Len: 2, Name: "minVersion"}, {Len: 2, Name: "maxVersion"}, {Len: 12, Name: "software"},
			{Len: 7, Name: "softwareVersion"}, {Len: 2, Name: "mechanism"}, {Len: 2, Name: "auth"},
		}},
		{name: "hello_auth", id: 1, m: &Hello{
			MinVersion: 1, MaxVersion: 3, Software: "lab", SoftwareVersion: "2", Mechanism: "PLAIN", Auth: []byte("\x00ann\x00pw"),
		}, fields: []golden.Field{
			{Len: 2, Name: "minVersion"}, {Len: 2, Name: "maxVersion"}, {Len: 5, Name: "software"},
			{Len: 3, Name: "softwareVersion"}, {Len: 7, Name: "mechanism"}, {Len: 9, Name: "auth"},
		}},
		{name: "welcome", id: 1, m: &Welcome{
			Version: 1, Software: "rollway", SoftwareVersion: "0.1.0", NodeID: 1, ClusterID: "5L6g3nShT-eMCtK--X86sw",
			MaxFrame: DefaultMaxFrame, MaxInFlight: DefaultMaxInFlight, MaxCredit: DefaultMaxCredit,
			IdleTimeoutMs: uint32(DefaultIdleTimeout.Milliseconds()),
		}, fields: []golden.Field{
			{Len: 2, Name: "version"}, {Len: 9, Name: "software"}, {Len: 7, Name: "softwareVersion"}, {Len: 4, Name: "nodeID"},
			{Len: 24, Name: "clusterID"}, {Len: 4, Name: "maxFrame"}, {Len: 8, Name: "maxInFlight"}, {Len: 8, Name: "maxCredit"},
			{Len: 4, Name: "idleTimeoutMs"},
		}},
		{name: "create_topic", id: 2, m: &CreateTopic{
			Topic: "orders", Partitions: ServerDefault, Configs: []Config{{Key: "segment.bytes", Value: "1048576"}},
		}, fields: []golden.Field{
			{Len: 8, Name: "topic"}, {Len: 4, Name: "partitions"}, {Len: 4, Name: "configs, count"},
			{Len: 15, Name: "configs[0].key"}, {Len: 9, Name: "configs[0].value"},
		}},
		{name: "describe_topic", id: 3, m: &DescribeTopic{Topic: "orders"}, fields: []golden.Field{{Len: 8, Name: "topic"}}},
		{name: "topic_description", id: 3, m: &TopicDescription{
			Topic: "orders", TopicID: topicID,
			Partitions: []Partition{
				{Index: 0, LeaderEpoch: 3, State: StateReady, LogStart: 0, HighWatermark: 43, LogEnd: 44},
				{Index: 1, LeaderEpoch: -1, State: StateRecovering, LogStart: -1, HighWatermark: -1, LogEnd: -1},
			},
			Configs: []ConfigDescription{{
				Key: "segment.bytes", Value: "1048576", Source: SourceTopic, Documentation: "Size of a segment.", InForce: true,
			}},
		}, fields: []golden.Field{
			{Len: 8, Name: "topic"}, {Len: 16, Name: "topicID"}, {Len: 4, Name: "partitions, count"},
			{Len: 4, Name: "partitions[0].index"}, {Len: 4, Name: "partitions[0].leaderEpoch"}, {Len: 1, Name: "partitions[0].state"},
			{Len: 8, Name: "partitions[0].logStart"}, {Len: 8, Name: "partitions[0].highWatermark"}, {Len: 8, Name: "partitions[0].logEnd"},
			{Len: 4, Name: "partitions[1].index"}, {Len: 4, Name: "partitions[1].leaderEpoch"}, {Len: 1, Name: "partitions[1].state"},
			{Len: 8, Name: "partitions[1].logStart"}, {Len: 8, Name: "partitions[1].highWatermark"}, {Len: 8, Name: "partitions[1].logEnd"},
			{Len: 4, Name: "configs, count"}, {Len: 15, Name: "configs[0].key"}, {Len: 9, Name: "configs[0].value"},
			{Len: 1, Name: "configs[0].source"}, {Len: 20, Name: "configs[0].documentation"}, {Len: 1, Name: "configs[0].inForce"},
		}},
		{name: "list_topics", id: 4, m: &ListTopics{}},
		{name: "topic_list", id: 4, m: &TopicList{Topics: []TopicEntry{{Topic: "orders", TopicID: topicID, Partitions: 2}}}, fields: []golden.Field{
			{Len: 4, Name: "topics, count"}, {Len: 8, Name: "topics[0].topic"}, {Len: 16, Name: "topics[0].topicID"}, {Len: 4, Name: "topics[0].partitions"},
		}},
		{name: "alter_topic", id: 5, m: &AlterTopic{
			Topic: "orders", Set: []Config{{Key: "segment.ms", Value: "60000"}}, Reset: []string{"segment.bytes"}, Partitions: 4,
		}, fields: []golden.Field{
			{Len: 8, Name: "topic"}, {Len: 4, Name: "set, count"}, {Len: 12, Name: "set[0].key"}, {Len: 7, Name: "set[0].value"},
			{Len: 4, Name: "reset, count"}, {Len: 15, Name: "reset[0]"}, {Len: 4, Name: "partitions"},
		}},
		{name: "delete_topic", id: 6, m: &DeleteTopic{Topic: "orders"}, fields: []golden.Field{{Len: 8, Name: "topic"}}},
		{name: "done", id: 6, m: &Done{}},
		{name: "produce", id: 7, m: &Produce{Topic: []byte("orders"), Partition: 1, Acks: AcksAll, Batches: produced},
			tail: len(produced), fields: []golden.Field{
				{Len: 8, Name: "topic"}, {Len: 4, Name: "partition"}, {Len: 1, Name: "acks"}, {Len: len(produced), Name: "batches: one batch with one record"},
			}},
		{name: "produced", id: 7, m: &Produced{BaseOffset: 42, NextOffset: 43, LogAppendTimeMs: -1, LogStart: 0}, fields: []golden.Field{
			{Len: 8, Name: "baseOffset"}, {Len: 8, Name: "nextOffset"}, {Len: 8, Name: "logAppendTime"}, {Len: 8, Name: "logStart"},
		}},
		{name: "fetch", id: 8, m: &Fetch{
			Topic: []byte("orders"), Partition: 1, Offset: 42, MinBytes: 1, MaxBytes: 1 << 20, MaxWaitMs: 500,
		}, fields: []golden.Field{
			{Len: 8, Name: "topic"}, {Len: 4, Name: "partition"}, {Len: 8, Name: "offset"},
			{Len: 4, Name: "minBytes"}, {Len: 4, Name: "maxBytes"}, {Len: 4, Name: "maxWaitMs"},
		}},
		{name: "data", id: 8, m: &Data{
			Partition: 1, Offsets: Offsets{LogStart: 0, LastStable: 44, HighWatermark: 44}, LeaderEpoch: 3, Batches: stored,
		}, tail: len(stored), fields: []golden.Field{
			{Len: 4, Name: "partition"}, {Len: 8, Name: "logStart"}, {Len: 8, Name: "lastStable"}, {Len: 8, Name: "highWatermark"},
			{Len: 4, Name: "leaderEpoch"}, {Len: len(stored) - 20, Name: "batches: one whole batch, offset 42,"}, {Len: 20, Name: "and the first 20 bytes of the next"},
		}},
		{name: "subscribe", id: 9, m: &Subscribe{
			Topic: []byte("orders"), Partition: 1, Offset: 42, MaxBytes: 1 << 20, Credit: 8 << 20,
		}, fields: []golden.Field{
			{Len: 8, Name: "topic"}, {Len: 4, Name: "partition"}, {Len: 8, Name: "offset"}, {Len: 4, Name: "maxBytes"}, {Len: 8, Name: "credit"},
		}},
		{name: "credit", id: 9, m: &Credit{Bytes: 1 << 20}, fields: []golden.Field{{Len: 8, Name: "bytes"}}},
		{name: "unsubscribe", id: 9, m: &Unsubscribe{}},
		{name: "data_end", id: 9, m: &Data{
			End: true, Partition: 1, Offsets: Offsets{LogStart: 0, LastStable: 44, HighWatermark: 44}, LeaderEpoch: 3, Batches: []byte{},
		}, fields: []golden.Field{
			{Len: 4, Name: "partition"}, {Len: 8, Name: "logStart"}, {Len: 8, Name: "lastStable"}, {Len: 8, Name: "highWatermark"}, {Len: 4, Name: "leaderEpoch"},
		}},
		{name: "list_offsets", id: 10, m: &ListOffsets{
			Topic: []byte("orders"), Partition: 1, Query: QueryTimestamp, TimestampMs: 1_700_000_000_000,
		}, fields: []golden.Field{
			{Len: 8, Name: "topic"}, {Len: 4, Name: "partition"}, {Len: 1, Name: "query"}, {Len: 8, Name: "timestamp"},
		}},
		{name: "init_producer", id: 11, m: &InitProducer{ProducerID: NoProducer, Epoch: NoProducer}, fields: []golden.Field{
			{Len: 8, Name: "producerID"}, {Len: 2, Name: "epoch"},
		}},
		{name: "producer_assigned", id: 11, m: &ProducerAssigned{ProducerID: 4711, Epoch: 0}, fields: []golden.Field{
			{Len: 8, Name: "producerID"}, {Len: 2, Name: "epoch"},
		}},
		{name: "skip_damage", id: 13, m: &SkipDamage{Topic: []byte("orders"), Partition: 1, Offset: 42}, fields: []golden.Field{
			{Len: 8, Name: "topic"}, {Len: 4, Name: "partition"}, {Len: 8, Name: "offset"}, {Len: 1, Name: "dryRun"},
		}},
		{name: "skip_damage_dry_run", id: 14, m: &SkipDamage{Topic: []byte("orders"), Partition: 1, Offset: AllDamage, DryRun: true}, fields: []golden.Field{
			{Len: 8, Name: "topic"}, {Len: 4, Name: "partition"}, {Len: 8, Name: "offset"}, {Len: 1, Name: "dryRun"},
		}},
		{name: "damage_skipped", id: 14, m: &DamageSkipped{Ranges: []DamagedRange{{From: 7, To: 9, Skipped: true}, {From: 42, To: 43}}}, fields: []golden.Field{
			{Len: 4, Name: "ranges, count"}, {Len: 8, Name: "ranges[0].from"}, {Len: 8, Name: "ranges[0].to"}, {Len: 1, Name: "ranges[0].skipped"},
			{Len: 8, Name: "ranges[1].from"}, {Len: 8, Name: "ranges[1].to"}, {Len: 1, Name: "ranges[1].skipped"},
		}},
		{name: "offset_found", id: 10, m: &OffsetFound{Offset: 42, TimestampMs: 1_700_000_000_000, LeaderEpoch: 3}, fields: []golden.Field{
			{Len: 8, Name: "offset"}, {Len: 8, Name: "timestamp"}, {Len: 4, Name: "leaderEpoch"},
		}},
		{name: "delete_records", id: 12, m: &DeleteRecords{Topic: []byte("orders"), Partition: 1, Before: 42}, fields: []golden.Field{
			{Len: 8, Name: "topic"}, {Len: 4, Name: "partition"}, {Len: 8, Name: "before"},
		}},
		{name: "records_deleted", id: 12, m: &RecordsDeleted{LogStart: 42}, fields: []golden.Field{{Len: 8, Name: "logStart"}}},
		{name: "commit_offset", id: 15, m: &CommitOffset{
			Group: "billing", Topic: "orders", Partitions: []PartitionOffset{{Partition: 1, Offset: 42, LeaderEpoch: 3, Metadata: "a"}, {Partition: 2, Offset: 7, LeaderEpoch: -1}},
		}, fields: []golden.Field{
			{Len: 9, Name: "group"}, {Len: 8, Name: "topic"}, {Len: 4, Name: "partitions, count"},
			{Len: 4, Name: "partitions[0].partition"}, {Len: 8, Name: "partitions[0].offset"}, {Len: 4, Name: "partitions[0].leaderEpoch"}, {Len: 3, Name: "partitions[0].metadata"},
			{Len: 4, Name: "partitions[1].partition"}, {Len: 8, Name: "partitions[1].offset"}, {Len: 4, Name: "partitions[1].leaderEpoch"}, {Len: 2, Name: "partitions[1].metadata"},
		}},
		{name: "fetch_offset", id: 16, m: &FetchOffset{Group: "billing", Topic: "orders"}, fields: []golden.Field{{Len: 9, Name: "group"}, {Len: 8, Name: "topic"}}},
		{name: "offsets_fetched", id: 16, m: &OffsetsFetched{Topics: []TopicOffsets{
			{Topic: "orders", Partitions: []PartitionOffset{{Partition: 1, Offset: 42, LeaderEpoch: 3, Metadata: "a"}}},
		}}, fields: []golden.Field{
			{Len: 4, Name: "topics, count"}, {Len: 8, Name: "topics[0].topic"}, {Len: 4, Name: "topics[0].partitions, count"},
			{Len: 4, Name: "topics[0].partitions[0].partition"}, {Len: 8, Name: "topics[0].partitions[0].offset"},
			{Len: 4, Name: "topics[0].partitions[0].leaderEpoch"}, {Len: 3, Name: "topics[0].partitions[0].metadata"},
		}},
		{name: "list_groups", id: 17, m: &ListGroups{}},
		{name: "group_list", id: 17, m: &GroupList{Groups: []GroupEntry{{Group: "billing", State: GroupStable, ProtocolType: "consumer"}}, Missing: []int32{7}}, fields: []golden.Field{
			{Len: 4, Name: "groups, count"}, {Len: 9, Name: "groups[0].group"}, {Len: 1, Name: "groups[0].state"}, {Len: 10, Name: "groups[0].protocolType"},
			{Len: 4, Name: "missing, count"}, {Len: 4, Name: "missing[0]"},
		}},
		{name: "describe_group", id: 18, m: &DescribeGroup{Group: "billing"}, fields: []golden.Field{{Len: 9, Name: "group"}}},
		{name: "group_description", id: 18, m: &GroupDescription{
			Group: "billing", State: GroupStable, ProtocolType: "consumer", Protocol: "range", Generation: 5,
			Members: []GroupMember{{Member: "app-1", ClientID: "app", Host: "10.0.0.7", Assigned: []TopicPartitions{{Topic: "orders", Partitions: []int32{0, 1}}}}},
			Offsets: []GroupOffset{{Topic: "orders", Partition: 1, Committed: 42, LeaderEpoch: 3, LogStart: 7, HighWatermark: 50, Lag: 8, LagMs: 1500}},
		}, fields: []golden.Field{
			{Len: 9, Name: "group"}, {Len: 1, Name: "state"}, {Len: 10, Name: "protocolType"}, {Len: 7, Name: "protocol"}, {Len: 4, Name: "generation"},
			{Len: 4, Name: "members, count"}, {Len: 7, Name: "members[0].member"}, {Len: 2, Name: "members[0].instance"}, {Len: 5, Name: "members[0].clientID"},
			{Len: 10, Name: "members[0].host"}, {Len: 4, Name: "members[0].assigned, count"}, {Len: 8, Name: "members[0].assigned[0].topic"},
			{Len: 4, Name: "members[0].assigned[0].partitions, count"}, {Len: 4, Name: "members[0].assigned[0].partitions[0]"}, {Len: 4, Name: "members[0].assigned[0].partitions[1]"},
			{Len: 4, Name: "offsets, count"}, {Len: 8, Name: "offsets[0].topic"}, {Len: 4, Name: "offsets[0].partition"}, {Len: 8, Name: "offsets[0].committed"},
			{Len: 4, Name: "offsets[0].leaderEpoch"}, {Len: 8, Name: "offsets[0].logStart"}, {Len: 8, Name: "offsets[0].highWatermark"},
			{Len: 8, Name: "offsets[0].lag"}, {Len: 8, Name: "offsets[0].lagMs"},
		}},
		{name: "delete_group", id: 19, m: &DeleteGroup{Group: "billing"}, fields: []golden.Field{{Len: 9, Name: "group"}}},
		{name: "error", id: 7, m: parsedError(CodeNotReady, "orders-1: recovering, want ready"), fields: []golden.Field{
			{Len: 2, Name: "code"}, {Len: 34, Name: "text"},
		}},
		{name: "error_unsupported_version", id: 1, m: parsedError(CodeUnsupportedVersion, "Hello: versions 2..2, want one of 1..1"), fields: []golden.Field{
			{Len: 2, Name: "code"}, {Len: 40, Name: "text"},
		}},
	}
}

// parsedError returns an Error as ParseError does.
func parsedError(code Code, text string) *Error {
	e := Errorf(code, "%s", text)
	e.retryable = e.Retryable()
	return e
}

// Every kind of the protocol has a sample, so that every test over the samples covers it.
func TestSamplesAreComplete(t *testing.T) {
	have := map[Kind]bool{}
	for _, s := range samples() {
		have[s.kind()] = true
	}
	for kind, name := range kindNames {
		if !have[kind] {
			t.Errorf("no sample of %s", name)
		}
	}
}

// The golden files hold one frame of each message, byte by byte.
func TestGolden(t *testing.T) {
	for _, s := range samples() {
		golden.Check(t, s.name, s.dump())
	}
}

// What AppendTo wrote, Split and the Parse function give back, and AppendTo writes it the same again.
func TestRoundTrip(t *testing.T) {
	for _, s := range samples() {
		const before, after = "before", "after"
		stream := append(s.m.AppendTo([]byte(before), s.id), after...)
		f, rest, err := Split(stream[len(before):], 0)
		if err != nil || string(rest) != after || string(stream[:len(before)]) != before {
			t.Errorf("%s: split: rest %q, error %v, want %q, none", s.name, rest, err, after)
			continue
		}
		got, err := parse(f)
		if err != nil || !reflect.DeepEqual(got, s.m) || f.RequestID != s.id {
			t.Errorf("%s: parsed %+v, request id %d, error %v, want %+v, %d, none", s.name, got, f.RequestID, err, s.m, s.id)
			continue
		}
		if again := got.AppendTo(nil, s.id); string(again) != string(s.frame()) {
			t.Errorf("%s: appended again % x, want % x", s.name, again, s.frame())
		}
	}
}
