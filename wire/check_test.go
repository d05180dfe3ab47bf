package wire

import (
	"strings"
	"testing"
)

// Each message keeps the limits of its fields, good values beside bad ones, and its Parse function refuses what Check refuses.
func TestCheck(t *testing.T) {
	type checked interface {
		message
		Check() error
	}
	f := func(m checked, want Code) {
		t.Helper()
		frame := split(t, m.AppendTo(nil, 1))
		if err := m.Check(); CodeOf(err) != want {
			t.Errorf("check %s %+v: error %v, want %s", frame.Kind, m, err, want)
		}
		if _, err := parse(frame); CodeOf(err) != want {
			t.Errorf("parse %s %+v: error %v, want %s", frame.Kind, m, err, want)
		}
	}
	const good, bad, name Code = 0, CodeInvalidRequest, CodeInvalidTopicName
	long := func(n int) string { return strings.Repeat("x", n) }
	topic := []byte("orders")

	hello := func(low, high uint16, software, version, mechanism, auth string, want Code) {
		t.Helper()
		f(&Hello{low, high, software, version, mechanism, []byte(auth)}, want)
	}
	hello(1, 1, "a", "1", "", "", good)
	hello(1, 65535, long(MaxName), long(MaxName), long(MaxMechanism), long(MaxAuth), good)
	hello(0, 1, "a", "1", "", "", bad)
	hello(2, 1, "a", "1", "", "", bad)
	hello(2, 2, "a", "1", "", "", CodeUnsupportedVersion)
	hello(2, 65535, "a", "1", "", "", CodeUnsupportedVersion)
	hello(1, 1, "", "1", "", "", bad)
	hello(1, 1, "a", "", "", "", bad)
	hello(1, 1, long(MaxName+1), "1", "", "", bad)
	hello(1, 1, "a", long(MaxName+1), "", "", bad)
	hello(1, 1, "a\xff", "1", "", "", bad)
	hello(1, 1, "a", "1", long(MaxMechanism+1), "", bad)
	hello(1, 1, "a", "1", "PLAIN", long(MaxAuth+1), bad)
	hello(1, 1, "a", "1", "PLAIN", "", good)
	hello(1, 1, "a", "1", "", "secret", bad)

	welcome := func(change func(*Welcome), want Code) {
		t.Helper()
		m := &Welcome{Version: 1, Software: "a", SoftwareVersion: "1", MaxFrame: DefaultMaxFrame, MaxInFlight: DefaultMaxInFlight, MaxCredit: DefaultMaxCredit}
		change(m)
		f(m, want)
	}
	welcome(func(m *Welcome) {}, good)
	welcome(func(m *Welcome) { m.Version = 0 }, bad)
	welcome(func(m *Welcome) { m.Version = 2 }, bad)
	welcome(func(m *Welcome) { m.Software = "" }, bad)
	welcome(func(m *Welcome) { m.SoftwareVersion = "" }, bad)
	welcome(func(m *Welcome) { m.NodeID = -1 }, bad)
	welcome(func(m *Welcome) { m.ClusterID = long(MaxName) }, good)
	welcome(func(m *Welcome) { m.ClusterID = long(MaxName + 1) }, bad)
	welcome(func(m *Welcome) { m.MaxFrame = MinMaxFrame }, good)
	welcome(func(m *Welcome) { m.MaxFrame = MinMaxFrame - 1 }, bad)
	welcome(func(m *Welcome) { m.MaxFrame, m.MaxInFlight = MaxFrameCap, MaxFrameCap }, good)
	welcome(func(m *Welcome) { m.MaxFrame, m.MaxInFlight = MaxFrameCap+1, MaxFrameCap+1 }, bad)
	welcome(func(m *Welcome) { m.MaxInFlight = DefaultMaxFrame - 1 }, bad)
	welcome(func(m *Welcome) { m.MaxCredit = 0 }, bad)

	configs := func(key, value string) []Config { return []Config{{Key: key, Value: value}} }
	f(&CreateTopic{"t", 1, nil}, good)
	f(&CreateTopic{long(MaxTopicName), 1<<31 - 1, configs(long(MaxName), long(MaxConfigValue))}, good)
	f(&CreateTopic{"", 1, nil}, name)
	f(&CreateTopic{long(MaxTopicName + 1), 1, nil}, name)
	f(&CreateTopic{"t\xc0", 1, nil}, name)
	f(&CreateTopic{"t", ServerDefault, nil}, good)
	f(&CreateTopic{"t", 0, nil}, bad)
	f(&CreateTopic{"t", -2, nil}, bad)
	f(&CreateTopic{"t", 1, configs("k", "")}, good)
	f(&CreateTopic{"t", 1, configs("", "v")}, bad)
	f(&CreateTopic{"t", 1, configs(long(MaxName+1), "v")}, bad)
	f(&CreateTopic{"t", 1, configs("k", long(MaxConfigValue+1))}, bad)
	f(&CreateTopic{"t", 1, configs("k", "\xff")}, bad)

	f(&DescribeTopic{"t"}, good)
	f(&DescribeTopic{""}, name)
	f(&DeleteTopic{"t"}, good)
	f(&DeleteTopic{long(MaxTopicName + 1)}, name)
	f(&ListTopics{}, good)
	f(&Done{}, good)
	f(&Unsubscribe{}, good)

	f(&AlterTopic{"t", nil, nil, 0}, good)
	f(&AlterTopic{"t", configs("k", "v"), []string{"r", long(MaxName)}, 9}, good)
	f(&AlterTopic{"", nil, nil, 0}, name)
	f(&AlterTopic{"t", configs("", "v"), nil, 0}, bad)
	f(&AlterTopic{"t", nil, []string{""}, 0}, bad)
	f(&AlterTopic{"t", nil, []string{long(MaxName + 1)}, 0}, bad)
	f(&AlterTopic{"t", nil, make([]string, MaxConfigs+1), 0}, bad)
	f(&AlterTopic{"t", nil, nil, -1}, bad)

	partition := func(p Partition, want Code) {
		t.Helper()
		f(&TopicDescription{Topic: "t", Partitions: []Partition{p}}, want)
	}
	partition(Partition{0, 0, StateReady, 0, 0, 0}, good)
	partition(Partition{1, -1, StateFailed, -1, -1, -1}, good)
	partition(Partition{-1, 0, StateReady, 0, 0, 0}, bad)
	partition(Partition{0, -2, StateReady, 0, 0, 0}, bad)
	partition(Partition{0, 0, 0, 0, 0, 0}, bad)
	partition(Partition{0, 0, 4, 0, 0, 0}, bad)
	partition(Partition{0, 0, StateReady, -2, 0, 0}, bad)
	partition(Partition{0, 0, StateReady, 0, -2, 0}, bad)
	partition(Partition{0, 0, StateReady, 0, 0, -2}, bad)
	description := func(d ConfigDescription, want Code) {
		t.Helper()
		f(&TopicDescription{Topic: "t", Configs: []ConfigDescription{d}}, want)
	}
	description(ConfigDescription{"k", "", SourceDefault, "", false}, good)
	description(ConfigDescription{"k", "v", SourceTopic, "d", true}, good)
	description(ConfigDescription{"", "v", SourceTopic, "d", true}, bad)
	description(ConfigDescription{"k", "v", 0, "d", true}, bad)
	description(ConfigDescription{"k", "v", 4, "d", true}, bad)
	description(ConfigDescription{"k", long(MaxConfigValue + 1), SourceTopic, "d", true}, bad)
	description(ConfigDescription{"k", "v", SourceTopic, long(MaxConfigValue + 1), true}, bad)
	f(&TopicDescription{Topic: ""}, name)
	f(&TopicDescription{Topic: "t", Configs: make([]ConfigDescription, MaxConfigs+1)}, bad)

	f(&TopicList{}, good)
	f(&TopicList{[]TopicEntry{{"a", topicID, 1}, {"b", topicID, 1<<31 - 1}}}, good)
	f(&TopicList{[]TopicEntry{{"", topicID, 1}}}, name)
	f(&TopicList{[]TopicEntry{{"a", topicID, 0}}}, bad)

	f(&Produce{topic, 0, AcksAll, []byte{1}}, good)
	f(&Produce{[]byte(long(MaxTopicName)), 1<<31 - 1, AcksNone, []byte{1}}, good)
	f(&Produce{topic, 0, AcksLeader, []byte{1}}, good)
	f(&Produce{nil, 0, AcksAll, []byte{1}}, name)
	f(&Produce{[]byte(long(MaxTopicName + 1)), 0, AcksAll, []byte{1}}, name)
	f(&Produce{[]byte{0x80}, 0, AcksAll, []byte{1}}, name)
	f(&Produce{topic, -1, AcksAll, []byte{1}}, bad)
	f(&Produce{topic, 0, -2, []byte{1}}, bad)
	f(&Produce{topic, 0, 2, []byte{1}}, bad)
	f(&Produce{topic, 0, AcksAll, nil}, bad)

	f(&Produced{0, 1, -1, 0}, good)
	f(&Produced{5, 9, 0, 5}, good)
	f(&Produced{-1, 1, -1, 0}, bad)
	f(&Produced{5, 5, -1, 0}, bad)
	f(&Produced{5, 9, -2, 0}, bad)
	f(&Produced{5, 9, -1, -1}, bad)

	f(&Fetch{topic, 0, 0, 0, 1, 0}, good)
	f(&Fetch{topic, 0, 1<<63 - 1, 1<<31 - 1, 1<<31 - 1, 1<<32 - 1}, good)
	f(&Fetch{nil, 0, 0, 0, 1, 0}, name)
	f(&Fetch{topic, -1, 0, 0, 1, 0}, bad)
	f(&Fetch{topic, 0, -1, 0, 1, 0}, bad)
	f(&Fetch{topic, 0, 0, -1, 1, 0}, bad)
	f(&Fetch{topic, 0, 0, 2, 1, 0}, bad)
	f(&Fetch{topic, 0, 0, 0, 0, 0}, bad)
	f(&Fetch{topic, 0, 0, 0, -1, 0}, bad)

	f(&Data{false, 0, Offsets{0, 0, 0}, 0, nil}, good)
	f(&Data{true, 1, Offsets{1, 2, 3}, 4, []byte{5}}, good)
	f(&Data{false, -1, Offsets{0, 0, 0}, 0, nil}, bad)
	f(&Data{false, 0, Offsets{-1, 0, 0}, 0, nil}, bad)
	f(&Data{false, 0, Offsets{2, 1, 3}, 0, nil}, bad)
	f(&Data{false, 0, Offsets{1, 3, 2}, 0, nil}, bad)
	f(&Data{false, 0, Offsets{0, 0, 0}, -1, nil}, bad)

	f(&Subscribe{topic, 0, 0, 1, 0}, good)
	f(&Subscribe{topic, 0, 0, 1<<31 - 1, 1<<63 - 1}, good)
	f(&Subscribe{nil, 0, 0, 1, 0}, name)
	f(&Subscribe{topic, -1, 0, 1, 0}, bad)
	f(&Subscribe{topic, 0, -1, 1, 0}, bad)
	f(&Subscribe{topic, 0, 0, 0, 0}, bad)
	f(&Subscribe{topic, 0, 0, 1, -1}, bad)
	f(&Credit{1}, good)
	f(&Credit{0}, bad)
	f(&Credit{-1}, bad)

	f(&ListOffsets{topic, 0, QueryEarliest, 0}, good)
	f(&ListOffsets{topic, 0, QueryLatest, 0}, good)
	f(&ListOffsets{topic, 0, QueryMaxTimestamp, 0}, good)
	f(&ListOffsets{topic, 0, QueryTimestamp, 1<<63 - 1}, good)
	f(&ListOffsets{nil, 0, QueryEarliest, 0}, name)
	f(&ListOffsets{topic, -1, QueryEarliest, 0}, bad)
	f(&ListOffsets{topic, 0, 0, 0}, bad)
	f(&ListOffsets{topic, 0, 5, 0}, bad)
	f(&ListOffsets{topic, 0, QueryEarliest, 1}, bad)
	f(&ListOffsets{topic, 0, QueryTimestamp, -1}, bad)
	f(&DeleteRecords{topic, 0, ToHighWatermark}, good)
	f(&DeleteRecords{topic, 1<<31 - 1, 1<<63 - 1}, good)
	f(&DeleteRecords{nil, 0, 0}, name)
	f(&DeleteRecords{topic, -1, 0}, bad)
	f(&DeleteRecords{topic, 0, -2}, bad)
	f(&RecordsDeleted{0}, good)
	f(&RecordsDeleted{-1}, bad)

	f(&InitProducer{-1, -1}, good)
	f(&InitProducer{0, 0}, good)
	f(&InitProducer{1<<63 - 1, 1<<15 - 1}, good)
	f(&InitProducer{-2, -1}, bad)
	f(&InitProducer{7, -2}, bad)
	f(&InitProducer{7, -1}, bad)
	f(&InitProducer{-1, 0}, bad)
	f(&ProducerAssigned{0, 0}, good)
	f(&ProducerAssigned{-1, 0}, bad)
	f(&ProducerAssigned{0, -1}, bad)
	f(&SkipDamage{topic, 0, 0, false}, good)
	f(&SkipDamage{topic, 1<<31 - 1, 1<<63 - 1, true}, good)
	f(&SkipDamage{topic, 0, AllDamage, true}, good)
	f(&SkipDamage{nil, 0, 0, false}, name)
	f(&SkipDamage{topic, -1, 0, false}, bad)
	f(&SkipDamage{topic, 0, -2, false}, bad)
	f(&DamageSkipped{}, good)
	f(&DamageSkipped{[]DamagedRange{{0, 1, true}, {1, 1<<63 - 1, false}}}, good)
	f(&DamageSkipped{[]DamagedRange{{-1, 1, false}}}, bad)
	f(&DamageSkipped{[]DamagedRange{{0, 1, true}, {5, 5, false}}}, bad)

	offset := func(p PartitionOffset, want Code) {
		t.Helper()
		f(&CommitOffset{"g", "t", []PartitionOffset{p}}, want)
		f(&OffsetsFetched{[]TopicOffsets{{"t", []PartitionOffset{p}}}}, want)
	}
	offset(PartitionOffset{0, 0, -1, ""}, good)
	offset(PartitionOffset{1<<31 - 1, 1<<63 - 1, 1<<31 - 1, long(MaxGroupString)}, good)
	offset(PartitionOffset{-1, 0, -1, ""}, bad)
	offset(PartitionOffset{0, -1, -1, ""}, bad)
	offset(PartitionOffset{0, 0, -2, ""}, bad)
	offset(PartitionOffset{0, 0, -1, long(MaxGroupString + 1)}, bad)
	offset(PartitionOffset{0, 0, -1, "\xff"}, bad)
	offsets := []PartitionOffset{{}}
	f(&CommitOffset{long(MaxGroupString), long(MaxTopicName), offsets}, good)
	f(&CommitOffset{"", "t", offsets}, bad)
	f(&CommitOffset{long(MaxGroupString + 1), "t", offsets}, bad)
	f(&CommitOffset{"g\xff", "t", offsets}, bad)
	f(&CommitOffset{"g", "", offsets}, name)
	f(&CommitOffset{"g", "t", nil}, bad)
	f(&OffsetsFetched{}, good)
	f(&OffsetsFetched{[]TopicOffsets{{"t", nil}}}, good)
	f(&OffsetsFetched{[]TopicOffsets{{"", nil}}}, name)
	f(&FetchOffset{"", ""}, good)
	f(&FetchOffset{long(MaxGroupString), long(MaxTopicName)}, good)
	f(&FetchOffset{long(MaxGroupString + 1), ""}, bad)
	f(&FetchOffset{"g", long(MaxTopicName + 1)}, name)
	f(&ListGroups{}, good)
	f(&GroupList{}, good)
	f(&GroupList{Groups: []GroupEntry{{"", GroupEmpty, ""}, {long(MaxGroupString), GroupDead, long(MaxGroupString)}}, Missing: []int32{0, 49}}, good)
	f(&GroupList{Groups: []GroupEntry{{"g", 0, ""}}}, bad)
	f(&GroupList{Groups: []GroupEntry{{"g", 6, ""}}}, bad)
	f(&GroupList{Groups: []GroupEntry{{long(MaxGroupString + 1), GroupEmpty, ""}}}, bad)
	f(&GroupList{Groups: []GroupEntry{{"g", GroupEmpty, long(MaxGroupString + 1)}}}, bad)
	f(&GroupList{Missing: []int32{-1}}, bad)
	f(&DescribeGroup{""}, good)
	f(&DescribeGroup{long(MaxGroupString + 1)}, bad)
	f(&DeleteGroup{"g"}, good)
	f(&DeleteGroup{""}, bad)
	f(&DeleteGroup{long(MaxGroupString + 1)}, bad)

	group := func(change func(*GroupDescription), want Code) {
		t.Helper()
		m := &GroupDescription{
			Group: "g", State: GroupStable, Members: []GroupMember{{Assigned: []TopicPartitions{{"t", []int32{0}}}}},
			Offsets: []GroupOffset{{"t", 0, -1, -1, -1, -1, -1, -1}},
		}
		change(m)
		f(m, want)
	}
	group(func(m *GroupDescription) {}, good)
	group(func(m *GroupDescription) { m.Members, m.Offsets = nil, nil }, good)
	group(func(m *GroupDescription) { m.Group = long(MaxGroupString + 1) }, bad)
	group(func(m *GroupDescription) { m.State = 0 }, bad)
	group(func(m *GroupDescription) { m.ProtocolType = long(MaxGroupString + 1) }, bad)
	group(func(m *GroupDescription) { m.Protocol = long(MaxGroupString + 1) }, bad)
	group(func(m *GroupDescription) { m.Generation = -1 }, bad)
	group(func(m *GroupDescription) { m.Members[0].Member = long(MaxGroupString + 1) }, bad)
	group(func(m *GroupDescription) { m.Members[0].Instance = long(MaxGroupString + 1) }, bad)
	group(func(m *GroupDescription) { m.Members[0].ClientID = long(MaxGroupString + 1) }, bad)
	group(func(m *GroupDescription) { m.Members[0].Host = "\xff" }, bad)
	group(func(m *GroupDescription) { m.Members[0].Assigned[0].Topic = "" }, name)
	group(func(m *GroupDescription) { m.Members[0].Assigned[0].Partitions[0] = -1 }, bad)
	group(func(m *GroupDescription) { m.Offsets[0].Topic = "" }, name)
	group(func(m *GroupDescription) { m.Offsets[0].Partition = -1 }, bad)
	group(func(m *GroupDescription) { m.Offsets[0].Committed = -2 }, bad)
	group(func(m *GroupDescription) { m.Offsets[0].LeaderEpoch = -2 }, bad)
	group(func(m *GroupDescription) { m.Offsets[0].LogStart = -2 }, bad)
	group(func(m *GroupDescription) { m.Offsets[0].HighWatermark = -2 }, bad)
	group(func(m *GroupDescription) { m.Offsets[0].Lag = -2 }, bad)
	group(func(m *GroupDescription) { m.Offsets[0].LagMs = -2 }, bad)

	f(&OffsetFound{-1, -1, -1}, good)
	f(&OffsetFound{5, 0, 0}, good)
	f(&OffsetFound{-2, 0, 0}, bad)
	f(&OffsetFound{5, -2, 0}, bad)
	f(&OffsetFound{5, 0, -2}, bad)
}

// A boolean has two encodings, so that no two payloads mean the same.
func TestBoolean(t *testing.T) {
	m := TopicDescription{Topic: "t", Configs: []ConfigDescription{{Key: "k", Source: SourceTopic}}}
	f := split(t, m.AppendTo(nil, 1))
	f.Payload[len(f.Payload)-1] = 1
	if got, err := ParseTopicDescription(f); err != nil || !got.Configs[0].InForce {
		t.Errorf("byte 1: %+v, error %v, want in force", got, err)
	}
	f.Payload[len(f.Payload)-1] = 2
	_, err := ParseTopicDescription(f)
	wantCode(t, "byte 2", err, CodeInvalidRequest)

	dry := SkipDamage{Topic: []byte("t"), DryRun: true}
	f = split(t, dry.AppendTo(nil, 1))
	f.Payload[len(f.Payload)-1] = 2
	_, err = ParseSkipDamage(f)
	wantCode(t, "dry run 2", err, CodeInvalidRequest)
}

// A client of the next version is told which versions there are, whatever else its Hello holds; one that speaks both is welcome.
func TestNextVersion(t *testing.T) {
	next := appendU16(appendU16(nil, 2), 2)
	next = append(next, "a layout that is not known here"...)
	_, err := ParseHello(reframed(Head{Kind: KindHello, Flags: 0x40, RequestID: 1}, next))
	wantCode(t, "version 2", err, CodeUnsupportedVersion)
	if want := "Hello: versions 2..2, want one of 1..1"; err.(*Error).Text != want {
		t.Errorf("text %q, want %q", err.(*Error).Text, want)
	}

	both := Hello{MinVersion: 1, MaxVersion: 2, Software: "a", SoftwareVersion: "1"}
	if _, err := ParseHello(split(t, both.AppendTo(nil, 1))); err != nil {
		t.Errorf("versions 1..2: error %v, want none", err)
	}
}
