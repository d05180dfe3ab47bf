package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/internal/node"
)

// The ends of a log and its times are found in every version that knows them, to
// the record, and what cannot be answered is refused partition by partition.
func TestListOffsets(t *testing.T) {
	f := openFrontend(t, node.Options{})
	p := createTopic(t, f, "t", 2).Partitions()[0]
	appendAll(t, p, batchOf(t, "a", "b", "c"), batchOf(t, "d", "e"))
	c := dial(t, f)
	ask := func(version int16, topic string, partition, epoch int32, timestamps ...int64) []kmsg.ListOffsetsResponseTopicPartition {
		t.Helper()
		m := kmsg.NewPtrListOffsetsRequest()
		rt := kmsg.NewListOffsetsRequestTopic()
		rt.Topic = topic
		for i, ts := range timestamps {
			rp := kmsg.NewListOffsetsRequestTopicPartition()
			rp.Partition, rp.Timestamp, rp.CurrentLeaderEpoch = partition+int32(i), ts, epoch
			rt.Partitions = append(rt.Partitions, rp)
		}
		m.Topics = append(m.Topics, rt)
		answer := c.ask(m, version).(*kmsg.ListOffsetsResponse)
		if len(answer.Topics) != 1 || answer.Topics[0].Topic != topic || len(answer.Topics[0].Partitions) != len(timestamps) {
			t.Fatalf("version %d: %+v", version, answer)
		}
		return answer.Topics[0].Partitions
	}
	check := func(version int16, timestamp, offset, at int64, want code) {
		t.Helper()
		got := ask(version, "t", 0, -1, timestamp)[0]
		if got.Offset != offset || got.Timestamp != at || code(got.ErrorCode) != want {
			t.Errorf("version %d, timestamp %d: offset %d, timestamp %d, error %d, want %d, %d, %d",
				version, timestamp, got.Offset, got.Timestamp, got.ErrorCode, offset, at, want)
		}
		if version >= 4 && got.Offset >= 0 && got.LeaderEpoch != p.LeaderEpoch() {
			t.Errorf("version %d, timestamp %d: leader epoch %d, want %d", version, timestamp, got.LeaderEpoch, p.LeaderEpoch())
		}
	}
	since := func(version, from int16) code {
		if version < from {
			return codeUnsupportedVersion
		}
		return codeNone
	}
	for version := int16(1); version <= 11; version++ {
		check(version, -1, 5, -1, codeNone)
		check(version, -2, 0, -1, codeNone)
		check(version, 1001, 1, 1001, codeNone)
		check(version, 0, 0, 1000, codeNone)
		check(version, 5000, -1, -1, codeNone)
		if version >= 7 {
			check(version, -3, 2, 1002, codeNone)
		} else {
			check(version, -3, -1, -1, codeUnsupportedVersion)
		}
		if version >= 8 {
			check(version, -4, 0, -1, codeNone)
		} else {
			check(version, -4, -1, -1, codeUnsupportedVersion)
		}
		check(version, -5, -1, -1, since(version, 9))
		check(version, -6, -1, -1, since(version, 11))
		check(version, -7, -1, -1, codeUnsupportedVersion)
		if got := ask(version, "none", 0, -1, -1)[0]; code(got.ErrorCode) != codeUnknownTopicOrPartition {
			t.Errorf("version %d, unknown topic: error %d", version, got.ErrorCode)
		}
		if version >= 4 {
			for epoch, want := range map[int32]code{p.LeaderEpoch(): codeNone, p.LeaderEpoch() + 1: codeUnknownLeaderEpoch} {
				if got := ask(version, "t", 0, epoch, -1)[0]; code(got.ErrorCode) != want {
					t.Errorf("version %d, epoch %d: error %d, want %d", version, epoch, got.ErrorCode, want)
				}
			}
		}
	}
	// One that exists, one that is empty, one that does not exist.
	got := ask(7, "t", 0, -1, -1, -3, -1)
	if got[0].Offset != 5 || got[1].Offset != -1 || got[1].ErrorCode != 0 || code(got[2].ErrorCode) != codeUnknownTopicOrPartition {
		t.Errorf("of three partitions: %+v", got)
	}

	m := kmsg.NewPtrListOffsetsRequest()
	rp := kmsg.NewListOffsetsRequestTopicPartition()
	rp.Timestamp = -1
	other := rp
	other.Partition = 1
	m.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "t", Partitions: []kmsg.ListOffsetsRequestTopicPartition{rp, other, rp}}}
	answer := c.ask(m, 5).(*kmsg.ListOffsetsResponse)
	for i, want := range []code{codeInvalidRequest, codeNone, codeInvalidRequest} {
		if got := code(answer.Topics[0].Partitions[i].ErrorCode); got != want {
			t.Errorf("partition asked for twice: error %d of entry %d, want %d", got, i, want)
		}
	}
}
