package coord

import (
	"errors"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/internal/golden"
)

// Records have the format of docs/format/offsets-log.md, which shows the golden
// files.
func TestRecordFormat(t *testing.T) {
	f := func(n int, name string) golden.Field { return golden.Field{Len: n, Name: name} }
	show := func(name string, r Record, key, value []golden.Field) {
		t.Helper()
		dump := "key\n" + string(golden.Hex(r.Key, key...)) + "value\n" + string(golden.Hex(r.Value, value...))
		golden.Check(t, name, []byte(dump))
		doc, err := os.ReadFile("../../docs/format/offsets-log.md")
		if err != nil || !strings.Contains(strings.ReplaceAll(string(doc), "\n    ", "\n"), dump) {
			t.Errorf("docs/format/offsets-log.md does not show testdata/%s.golden: %v", name, err)
		}
	}
	show("offset-commit", offsetRecord(offsetKey{"tail", "logs", 3}, &offsetValue{
		offset: 42, leaderEpoch: 7, metadata: "a", committedMs: 1_700_000_000_000, expiresMs: -1, topicID: [16]byte{0: 0xaa, 15: 0xbb},
	}), []golden.Field{
		f(2, "version 1"), f(6, `group "tail"`), f(6, `topic "logs"`), f(4, "partition 3"),
	}, []golden.Field{
		f(2, "version 4"), f(8, "offset 42"), f(4, "leaderEpoch 7"), f(2, `metadata "a"`), f(8, "commitTimestamp"),
		f(1, "1 tagged field"), f(2, "tag 0, 16 bytes"), f(16, "topic id"),
	})
	show("group-metadata", groupRecord("tail", &groupValue{
		protocolType: "consumer", generation: 5, protocol: "range", leader: "c-1", stateSinceMs: 1_700_000_000_000,
		members: []memberValue{{id: "c-1", clientID: "c", clientHost: "/::1", rebalanceTimeoutMs: 300_000, sessionTimeout: 45_000,
			subscription: []byte{0, 1}, assignment: []byte{0, 1, 2}}},
	}), []golden.Field{
		f(2, "version 2"), f(6, `group "tail"`),
	}, []golden.Field{
		f(2, "version 3"), f(10, `protocolType "consumer"`), f(4, "generation 5"), f(7, `protocol "range"`), f(5, `leader "c-1"`),
		f(8, "currentStateTimestamp"), f(4, "1 member"), f(5, `memberId "c-1"`), f(2, "no groupInstanceId"), f(3, `clientId "c"`),
		f(6, `clientHost "/::1"`), f(4, "rebalanceTimeout 5 minutes"), f(4, "sessionTimeout 45 s"),
		f(6, "subscription"), f(7, "assignment"),
	})
}

// Groups go to the partitions that Kafka has them in: the sums are Java's
// String.hashCode, for characters beyond 16 bits too.
func TestPartitionOf(t *testing.T) {
	f := func(group string, partitions, want int32) {
		t.Helper()
		if got := PartitionOf(group, partitions); got != want {
			t.Errorf("%q of %d: partition %d, want %d", group, partitions, got, want)
		}
	}
	f("", 50, 0)
	f("a", 50, 97%50)
	f("hello", 50, 99162322%50)
	f("polygenelubricants", 50, 0) // the hash is the least integer, which has no absolute value
	f("Aa", 50, 2112%50)
	f("BB", 50, 2112%50)
	f("console-consumer-12345", 50, javaHash(t, "console-consumer-12345")%50)
	f("\U0001F600", 1000, 1772899%1000) // d83d de00
	f("é", 50, 0xe9%50)
}

// javaHash is String.hashCode of ASCII, as its documentation has it.
func javaHash(t *testing.T, s string) int32 {
	t.Helper()
	var sum, power int32 = 0, 1
	for i := len(s) - 1; i >= 0; i-- {
		sum += int32(s[i]) * power
		power *= 31
	}
	if sum < 0 {
		sum = -sum
	}
	return sum
}

// What we write is read by kmsg, and has its bytes.
func TestEncodesLikeKmsg(t *testing.T) {
	for _, v := range []*offsetValue{
		{offset: 42, leaderEpoch: 7, metadata: "some text", committedMs: 1_700_000_000_000, expiresMs: -1},
		{offset: math.MaxInt64, leaderEpoch: -1, committedMs: 1, expiresMs: -1, topicID: [16]byte{1, 2, 3}},
		{offset: 1, leaderEpoch: -1, metadata: strings.Repeat("x", 200), committedMs: 5, expiresMs: 60},
	} {
		r := offsetRecord(offsetKey{"group", "topic", 3}, v)
		key := kmsg.NewOffsetCommitKey()
		if err := key.ReadFrom(r.Key); err != nil || key.Group != "group" || key.Topic != "topic" || key.Partition != 3 || key.Version != 1 {
			t.Errorf("key %+v, %v", key, err)
		}
		value := kmsg.NewOffsetCommitValue()
		if err := value.ReadFrom(r.Value); err != nil {
			t.Fatal(err)
		}
		if string(key.AppendTo(nil)) != string(r.Key) || string(value.AppendTo(nil)) != string(r.Value) {
			t.Errorf("kmsg encodes %+v otherwise", v)
		}
	}
	v := &groupValue{protocolType: "consumer", generation: 9, protocol: "range", leader: "m1", stateSinceMs: 77, members: []memberValue{
		{id: "m1", instance: "i1", clientID: "c", clientHost: "/127.0.0.1", rebalanceTimeoutMs: 1, sessionTimeout: 2, subscription: []byte("s"), assignment: []byte("a")},
		{id: "m2", clientID: "c", clientHost: "/127.0.0.1", rebalanceTimeoutMs: 1, sessionTimeout: 2},
	}}
	for _, v := range []*groupValue{v, {stateSinceMs: -1}} {
		r := groupRecord("group", v)
		value := kmsg.NewGroupMetadataValue()
		if err := value.ReadFrom(r.Value); err != nil {
			t.Fatal(err)
		}
		if string(value.AppendTo(nil)) != string(r.Value) {
			t.Errorf("kmsg encodes %+v otherwise", v)
		}
	}
}

// Every version that Kafka ever wrote is read as kmsg reads it.
func TestDecodesEveryVersion(t *testing.T) {
	for version := int16(0); version <= lastValueVersion; version++ {
		in := kmsg.NewOffsetCommitValue()
		in.Version, in.Offset, in.LeaderEpoch, in.Metadata, in.CommitTimestamp, in.ExpireTimestamp = version, 42, 7, "text", 1000, 2000
		in.TopicID = [16]byte{9}
		want := &offsetValue{offset: 42, leaderEpoch: -1, metadata: "text", committedMs: 1000, expiresMs: -1}
		if version >= 3 {
			want.leaderEpoch = 7
		}
		if version == 1 {
			want.expiresMs = 2000
		}
		if version >= 4 {
			want.topicID = in.TopicID
			in.UnknownTags.Set(5, []byte("later"))
		}
		if got, err := parseOffsetValue(in.AppendTo(nil)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("offset commit version %d: %+v, %v; want %+v", version, got, err, want)
		}

		group := kmsg.NewGroupMetadataValue()
		group.Version, group.ProtocolType, group.Generation, group.CurrentStateTimestamp = version, "consumer", 3, 50
		group.Protocol = kmsg.StringPtr("range")
		m := kmsg.NewGroupMetadataValueMember()
		m.MemberID, m.ClientID, m.ClientHost, m.SessionTimeoutMillis, m.RebalanceTimeoutMillis = "m", "c", "h", 10, 20
		m.InstanceID = kmsg.StringPtr("i")
		m.Subscription, m.Assignment = []byte("sub"), []byte("part")
		group.Members = append(group.Members, m)
		wantGroup := &groupValue{protocolType: "consumer", generation: 3, protocol: "range", stateSinceMs: -1, members: []memberValue{{
			id: "m", clientID: "c", clientHost: "h", rebalanceTimeoutMs: 10, sessionTimeout: 10, subscription: []byte("sub"), assignment: []byte("part"),
		}}}
		if version >= 1 {
			wantGroup.members[0].rebalanceTimeoutMs = 20
		}
		if version >= 2 {
			wantGroup.stateSinceMs = 50
		}
		if version >= 3 {
			wantGroup.members[0].instance = "i"
		}
		if got, err := parseGroupValue(group.AppendTo(nil)); err != nil || !reflect.DeepEqual(got, wantGroup) {
			t.Errorf("group version %d: %+v, %v; want %+v", version, got, err, wantGroup)
		}
	}
}

// Bad keys and values are refused, those of a later version by its number; what a
// later Kafka has other keys for is passed over.
func TestBadRecords(t *testing.T) {
	refused := func(err error, text string) {
		t.Helper()
		if !errors.Is(err, ErrBadRecord) || !strings.Contains(err.Error(), text) {
			t.Errorf("%v, want %q", err, text)
		}
	}
	_, _, _, err := parseKey(nil)
	refused(err, "2 bytes wanted, 0 remain")
	_, _, _, err = parseKey([]byte{0, 1, 0, 9, 'x'})
	refused(err, "length 9, 1 bytes remain")
	_, _, _, err = parseKey([]byte{0xff, 0xff, 0, 0})
	refused(err, "key version -1")
	if _, _, known, err := parseKey([]byte{0, 3, 0, 1, 'g'}); known || err != nil {
		t.Errorf("a key of KIP-848: known %v, %v", known, err)
	}
	_, err = parseOffsetValue([]byte{0, 5})
	refused(err, "value version 5, want 0 to 4")
	_, err = parseGroupValue([]byte{0, 5})
	refused(err, "value version 5, want 0 to 4")
	huge := groupRecord("g", &groupValue{}).Value
	huge[len(huge)-4] = 0x7f // members
	_, err = parseGroupValue(huge)
	refused(err, "length 2130706432, 0 bytes remain")
	_, err = parseOffsetValue([]byte{0, 4, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 2, 1, 2})
	refused(err, "topic id of 2 bytes")
}

// No record makes the decoder panic or allocate by an unchecked length, and what
// it accepts comes out the same from a round through the encoder.
func FuzzRecord(f *testing.F) {
	r := offsetRecord(offsetKey{"g", "t", 1}, &offsetValue{offset: 1, metadata: "m", expiresMs: -1})
	f.Add(r.Key, r.Value)
	r = offsetRecord(offsetKey{"g", "t", 1}, &offsetValue{offset: 1, expiresMs: 5})
	f.Add(r.Key, r.Value)
	r = groupRecord("g", &groupValue{protocolType: "consumer", protocol: "range", members: []memberValue{{id: "m", instance: "i"}}})
	f.Add(r.Key, r.Value)
	f.Add([]byte{0, 9}, []byte(nil))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if max(len(key), len(value)) > maxString {
			return // strings of flexible versions may be longer than those we write
		}
		offset, group, known, err := parseKey(key)
		switch {
		case err != nil || !known:
			return
		case offset != nil:
			v, err := parseOffsetValue(value)
			if err != nil {
				return
			}
			r := offsetRecord(*offset, v)
			k, _, _, err := parseKey(r.Key)
			again, err2 := parseOffsetValue(r.Value)
			if v.expiresMs >= 0 { // its version has no leader epoch
				again.leaderEpoch = v.leaderEpoch
			} else {
				again.expiresMs = v.expiresMs // any negative one is none
			}
			if err != nil || err2 != nil || *k != *offset || !reflect.DeepEqual(again, v) {
				t.Errorf("%+v %+v after a round: %+v %+v, %v, %v", offset, v, k, again, err, err2)
			}
		default:
			v, err := parseGroupValue(value)
			if err != nil {
				return
			}
			r := groupRecord(group, v)
			_, g, _, err := parseKey(r.Key)
			again, err2 := parseGroupValue(r.Value)
			if err != nil || err2 != nil || g != group || !reflect.DeepEqual(again, v) {
				t.Errorf("%q %+v after a round: %q %+v, %v, %v", group, v, g, again, err, err2)
			}
		}
	})
}
