package engine

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/rollway/rollway/internal/golden"
)

// testID is an id that tests can write down.
func testID(n byte) TopicID { return TopicID{0: 0xa0, 6: 0x40, 8: 0x80, 15: n} }

// imageOf returns the image after each group of records was committed.
func imageOf(t testing.TB, groups ...[]MetadataRecord) *MetadataImage {
	t.Helper()
	image := newMetadataImage(0)
	for _, records := range groups {
		next, err := image.with(records)
		if err != nil {
			t.Fatal(err)
		}
		image = next
	}
	return image
}

// text shows an image in a fixed order.
func (m *MetadataImage) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d:", m.Version)
	for _, r := range m.snapshot() {
		switch r := r.(type) {
		case TopicRecord:
			fmt.Fprintf(&b, " %s/%d/%d%v", r.Name, r.ID[15], r.Partitions, r.Configs)
		case RemoveTopicRecord:
			b.WriteString(" removed")
		case ProducerIDsRecord:
			fmt.Fprintf(&b, " ids/%d", r.Next)
		case NodeConfigRecord:
			fmt.Fprintf(&b, " node/%d/%s=%s", r.Node, r.Key, r.Value)
		}
	}
	return b.String()
}

// exampleGroups are commits that use each record.
var exampleGroups = [][]MetadataRecord{
	{
		TopicRecord{Name: "orders", ID: testID(1), Partitions: 3, Configs: map[string]string{"segment.bytes": "1048576", "flush.ms": "5"}},
		TopicRecord{Name: "a.b", ID: testID(2), Partitions: 1},
	},
	{
		PartitionsRecord{ID: testID(1), Partitions: 8},
		ConfigRecord{ID: testID(1), Key: "flush.ms", Remove: true},
		ConfigRecord{ID: testID(1), Key: "retention.ms", Value: "-1"},
		RemoveTopicRecord{ID: testID(2)},
		TopicRecord{Name: "a.b", ID: testID(3), Partitions: 2},
	},
	{
		PurgeTopicRecord{ID: testID(2)},
		ProducerIDsRecord{Next: 1000},
		NodeConfigRecord{Node: AllNodes, Key: "log.retention.ms", Value: "5"},
		NodeConfigRecord{Node: 7, Key: "log.roll.ms", Value: "6"},
		NodeConfigRecord{Node: 7, Key: "log.roll.ms", Remove: true},
	},
}

// Each record does what it says, and the images before it stay as they were.
func TestMetadataImage(t *testing.T) {
	image := newMetadataImage(0)
	var images []*MetadataImage
	var texts []string
	f := func(want string, records ...MetadataRecord) {
		t.Helper()
		next, err := image.with(records)
		if err != nil {
			t.Fatal(err)
		}
		image = next
		if got := image.text(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		images, texts = append(images, image), append(texts, want)
	}
	f("1: a.b/2/1map[] orders/1/3map[flush.ms:5 segment.bytes:1048576]", exampleGroups[0]...)
	f("2: a.b/2/1map[] removed a.b/3/2map[] orders/1/8map[retention.ms:-1 segment.bytes:1048576]", exampleGroups[1]...)
	f("3: a.b/3/2map[] orders/1/8map[retention.ms:-1 segment.bytes:1048576] ids/1000 node/-1/log.retention.ms=5", exampleGroups[2]...)
	f("4: a.b/3/2map[] orders/1/8map[retention.ms:-1 segment.bytes:1048576] ids/1000", NodeConfigRecord{Node: AllNodes, Key: "log.retention.ms", Remove: true})
	f("5: a.b/3/2map[] orders/1/8map[retention.ms:-1 segment.bytes:1048576] ids/1000", ConfigRecord{ID: testID(3), Key: "k", Remove: true})
	f("6: a.b/3/2map[k:] orders/1/8map[retention.ms:-1 segment.bytes:1048576] ids/1000", ConfigRecord{ID: testID(3), Key: "k"})
	f("7: orders/1/8map[retention.ms:-1 segment.bytes:1048576] ids/1000", RemoveTopicRecord{testID(3)}, PurgeTopicRecord{testID(3)})
	f("8: orders/1/8map[retention.ms:-1 segment.bytes:1048576] ids/1000 node/0/k=v node/7/k=", NodeConfigRecord{Node: 7, Key: "k"}, NodeConfigRecord{Node: 0, Key: "k", Value: "v"})
	f("9: orders/1/8map[retention.ms:-1 segment.bytes:1048576] ids/1000 node/0/k=v node/7/k=w", NodeConfigRecord{Node: 7, Key: "k", Value: "w"})
	for i, image := range images {
		if got := image.text(); got != texts[i] {
			t.Errorf("image %d became %s, was %s", i, got, texts[i])
		}
		if len(image.Topics) != len(image.ByID) {
			t.Errorf("image %d: %d names, %d ids", i, len(image.Topics), len(image.ByID))
		}
		for name, topic := range image.Topics {
			if topic.Name != name || image.ByID[topic.ID] != topic {
				t.Errorf("image %d: %s is %+v by name, %+v by id", i, name, topic, image.ByID[topic.ID])
			}
		}
	}
}

// What contradicts the image is refused, and changes nothing.
func TestMetadataImageRefusals(t *testing.T) {
	image := imageOf(t, exampleGroups[:2]...)
	before := image.text()
	f := func(r MetadataRecord, target error, want string) {
		t.Helper()
		_, err := image.with([]MetadataRecord{r})
		matchError(t, err, target, want)
		// A group fails as a whole.
		_, err = image.with([]MetadataRecord{TopicRecord{Name: "new", ID: testID(9), Partitions: 1}, r})
		matchError(t, err, target, want)
		if got := image.text(); got != before {
			t.Errorf("%+v: image became %s, was %s", r, got, before)
		}
	}
	topic := func(change func(*TopicRecord)) TopicRecord {
		r := TopicRecord{Name: "x", ID: testID(4), Partitions: 1}
		change(&r)
		return r
	}
	f(topic(func(r *TopicRecord) { r.Name = "orders" }), ErrTopicExists, `"orders", with id`)
	f(topic(func(r *TopicRecord) { r.ID = testID(1) }), ErrTopicExists, `as "orders"`)
	f(topic(func(r *TopicRecord) { r.ID = testID(2) }), ErrTopicExists, "as a deleted topic")
	f(topic(func(r *TopicRecord) { r.ID = TopicID{} }), ErrInvalidMetadata, "want one that Kafka does not reserve")
	f(topic(func(r *TopicRecord) { r.Name = "a/b" }), ErrInvalidTopicName, "")
	f(topic(func(r *TopicRecord) { r.Name = "" }), ErrInvalidTopicName, "")
	f(topic(func(r *TopicRecord) { r.Partitions = 0 }), ErrInvalidMetadata, "0 partitions, want at least 1")
	f(topic(func(r *TopicRecord) { r.Partitions = -1 }), ErrInvalidMetadata, "-1 partitions")
	f(topic(func(r *TopicRecord) { r.Configs = map[string]string{"": "v"} }), ErrInvalidMetadata, "config key")
	f(topic(func(r *TopicRecord) { r.Configs = map[string]string{"k": strings.Repeat("v", 32768)} }), ErrInvalidMetadata, "value of 32768 bytes, want at most 32767")
	f(topic(func(r *TopicRecord) { r.Configs = map[string]string{"k": "\xff"} }), ErrInvalidMetadata, "want UTF-8")
	f(topic(func(r *TopicRecord) {
		r.Configs = make(map[string]string)
		for i := range 1025 {
			r.Configs[fmt.Sprint(i)] = ""
		}
	}), ErrInvalidMetadata, "1025 configs, want at most 1024")
	f(PartitionsRecord{testID(1), 8}, ErrInvalidMetadata, "8 partitions, want more than its 8")
	f(PartitionsRecord{testID(1), 7}, ErrInvalidMetadata, "7 partitions")
	f(PartitionsRecord{testID(4), 7}, ErrUnknownTopic, testID(4).String())
	f(PartitionsRecord{testID(2), 7}, ErrUnknownTopic, testID(2).String())
	f(ConfigRecord{ID: testID(4), Key: "k"}, ErrUnknownTopic, "")
	f(ConfigRecord{ID: testID(1), Key: strings.Repeat("k", 256)}, ErrInvalidMetadata, "of 256 bytes, want 1 to 255")
	f(ConfigRecord{ID: testID(1), Key: "k", Value: "v", Remove: true}, ErrInvalidMetadata, "removed with value")
	f(RemoveTopicRecord{testID(2)}, ErrUnknownTopic, "")
	f(PurgeTopicRecord{testID(1)}, ErrUnknownTopic, "among the deleted")
	f(ProducerIDsRecord{0}, ErrInvalidMetadata, "producer ids below 0, want more than 0")
	f(ProducerIDsRecord{-1}, ErrInvalidMetadata, "below -1")
	f(NodeConfigRecord{Node: -2, Key: "k"}, ErrInvalidMetadata, "node -2: want its number, or -1 for all")
	f(NodeConfigRecord{Node: 1}, ErrInvalidMetadata, `node 1: config key "" of 0 bytes`)
	f(NodeConfigRecord{Node: 1, Key: "k", Value: strings.Repeat("v", 32768)}, ErrInvalidMetadata, "node 1: config \"k\": value of 32768 bytes")
	f(NodeConfigRecord{Node: 1, Key: "k", Value: "v", Remove: true}, ErrInvalidMetadata, "removed with value")

	long := strings.Repeat("x", 249)
	image = imageOf(t, []MetadataRecord{TopicRecord{Name: long, ID: testID(1), Partitions: 1}})
	_, err := image.with([]MetadataRecord{PartitionsRecord{testID(1), 100_001}})
	matchError(t, err, ErrInvalidTopicName, "256 bytes")

	full := topic(func(r *TopicRecord) {
		r.Configs = make(map[string]string)
		for i := range 1024 {
			r.Configs[fmt.Sprint(i)] = ""
		}
	})
	image = imageOf(t, []MetadataRecord{full})
	_, err = image.with([]MetadataRecord{ConfigRecord{ID: testID(4), Key: "k"}})
	matchError(t, err, ErrInvalidMetadata, "1025 configs")

	var most []MetadataRecord
	for i := range 1024 {
		most = append(most, NodeConfigRecord{Node: int32(i % 2), Key: fmt.Sprint(i)})
	}
	image = imageOf(t, most)
	_, err = image.with([]MetadataRecord{NodeConfigRecord{Node: AllNodes, Key: "k"}})
	matchError(t, err, ErrInvalidMetadata, "1025 configs of all nodes")
	if _, err = image.with([]MetadataRecord{NodeConfigRecord{Node: 1, Key: "1", Value: "v"}}); err != nil {
		t.Error(err)
	}
}

// A snapshot leads to the image that it was taken of.
func TestMetadataSnapshot(t *testing.T) {
	for i := range exampleGroups {
		image := imageOf(t, exampleGroups[:i+1]...)
		got := newMetadataImage(image.Version - 1)
		if err := got.commit(image.snapshot()); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, image) {
			t.Errorf("%s, want %s", got.text(), image.text())
		}
	}
}

// Who changes a map after a commit changes no image.
func TestMetadataImageKeepsNoMap(t *testing.T) {
	configs := map[string]string{"k": "v"}
	image := imageOf(t, []MetadataRecord{TopicRecord{Name: "x", ID: testID(1), Partitions: 1, Configs: configs}})
	configs["k"] = "changed"
	if got := image.Topics["x"].Configs["k"]; got != "v" {
		t.Errorf("config is %q, want v", got)
	}
}

// Each field is where docs/format/metadata-log.md says, and comes back.
func TestMetadataRecordsGolden(t *testing.T) {
	var records []MetadataRecord
	for _, group := range exampleGroups {
		records = append(records, group...)
	}
	p := appendMetadataRecords(nil, records)
	f := func(n int, name string) golden.Field { return golden.Field{Len: n, Name: name} }
	head := []golden.Field{f(1, "kind"), f(1, "version"), f(16, "topic id")}
	fields := func(more ...golden.Field) []golden.Field { return append(append([]golden.Field{}, head...), more...) }
	var all []golden.Field
	all = append(all, fields(f(4, "partitions"), f(2, "length of name"), f(6, "name orders"), f(2, "number of configs"),
		f(2, "length of key"), f(8, "key flush.ms"), f(2, "length of value"), f(1, "value 5"),
		f(2, "length of key"), f(13, "key segment.bytes"), f(2, "length of value"), f(7, "value 1048576"))...)
	all = append(all, fields(f(4, "partitions"), f(2, "length of name"), f(3, "name a.b"), f(2, "number of configs"))...)
	all = append(all, fields(f(4, "partitions"))...)
	all = append(all, fields(f(1, "remove"), f(2, "length of key"), f(8, "key flush.ms"), f(2, "length of value"))...)
	all = append(all, fields(f(1, "remove"), f(2, "length of key"), f(12, "key retention.ms"), f(2, "length of value"), f(2, "value -1"))...)
	all = append(all, fields()...)
	all = append(all, fields(f(4, "partitions"), f(2, "length of name"), f(3, "name a.b"), f(2, "number of configs"))...)
	all = append(all, fields()...)
	all = append(all, f(1, "kind"), f(1, "version"), f(8, "next producer id"))
	node := func(key, value string) {
		all = append(all, f(1, "kind"), f(1, "version"), f(4, "node"), f(1, "remove"), f(2, "length of key"), f(len(key), "key "+key), f(2, "length of value"))
		if value != "" {
			all = append(all, f(len(value), "value "+value))
		}
	}
	node("log.retention.ms", "5")
	node("log.roll.ms", "6")
	node("log.roll.ms", "")
	golden.Check(t, "metadata-records", golden.Hex(p, all...))

	got, err := parseMetadataRecords(p)
	if err != nil || !reflect.DeepEqual(got, records) {
		t.Errorf("read %+v, %v; want %+v", got, err, records)
	}
}

// What is not in the table is refused, the next version by its name.
func TestParseMetadataRecords(t *testing.T) {
	id := testID(1)
	f := func(target error, want string, parts ...string) {
		t.Helper()
		_, err := parseMetadataRecords([]byte(strings.Join(parts, "")))
		matchError(t, err, target, want)
	}
	f(ErrUnknownVersion, "record 1: kind 0 version 1, want kind 1 to 7 version 1", "\x00\x01", string(id[:]))
	f(ErrUnknownVersion, "record 1: kind 8 version 1", "\x08\x01", string(id[:]))
	f(ErrUnknownVersion, "record 1: kind 7 version 2", "\x07\x02", "1234")
	f(ErrInvalidMetadata, "3 bytes left, want 4", "\x07\x01", "123")
	f(ErrInvalidMetadata, "flag 2, want 0 or 1", "\x07\x01", "1234\x02\x00\x01k\x00\x00")
	f(ErrUnknownVersion, "record 1: kind 4 version 2", "\x04\x02", string(id[:]))
	f(ErrUnknownVersion, "record 2: kind 4 version 0", "\x04\x01", string(id[:]), "\x04\x00")
	f(ErrInvalidMetadata, "0 bytes left, want 1", "\x04")
	f(ErrUnknownVersion, "record 1: kind 6 version 2", "\x06\x02", "12345678")
	f(ErrInvalidMetadata, "7 bytes left, want 8", "\x06\x01", "1234567")
	f(ErrInvalidMetadata, "15 bytes left, want 16", "\x04\x01", string(id[1:]))
	f(ErrInvalidMetadata, "flag 2, want 0 or 1", "\x03\x01", string(id[:]), "\x02\x00\x01k\x00\x00")
	f(ErrInvalidMetadata, "3 bytes left, want 65535", "\x03\x01", string(id[:]), "\x00\xff\xffabc")
	f(ErrInvalidMetadata, "2 configs in 4 bytes", "\x01\x01", string(id[:]), "\x00\x00\x00\x01\x00\x01x\x00\x02\x00\x00\x00\x00")
	f(ErrInvalidMetadata, `config key "a" after "b", want them sorted`, "\x01\x01", string(id[:]), "\x00\x00\x00\x01\x00\x01x\x00\x02\x00\x01b\x00\x00\x00\x01a\x00\x00")
	f(ErrInvalidMetadata, `config key "" after ""`, "\x01\x01", string(id[:]), "\x00\x00\x00\x01\x00\x01x\x00\x01\x00\x00\x00\x00")
}

// No bytes make the decoder or an image panic, and what is read is written the same.
func FuzzParseMetadataRecords(f *testing.F) {
	for _, records := range exampleGroups {
		f.Add(appendMetadataRecords(nil, records))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		records, err := parseMetadataRecords(p)
		if err != nil {
			if !errors.Is(err, ErrInvalidMetadata) && !errors.Is(err, ErrUnknownVersion) {
				t.Error(err)
			}
			return
		}
		if got := appendMetadataRecords(nil, records); string(got) != string(p) {
			t.Errorf("%x becomes %x", p, got)
		}
		if image, err := imageOf(t, exampleGroups[:1]...).with(records); err == nil {
			image.snapshot()
		}
	})
}
