package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/internal/node"
)

// An internal topic does not come into being because a client has asked for it,
// and its records are not for clients to write or delete.
func TestInternalTopics(t *testing.T) {
	f := openFrontend(t, node.Options{})
	c := dial(t, f)
	const name = "__consumer_offsets"
	m := kmsg.NewPtrMetadataRequest()
	m.AllowAutoTopicCreation = true
	m.Topics = []kmsg.MetadataRequestTopic{{Topic: kmsg.StringPtr(name)}}
	if got := c.ask(m, 12).(*kmsg.MetadataResponse).Topics; len(got) != 1 || code(got[0].ErrorCode) != codeUnknownTopicOrPartition {
		t.Errorf("metadata: %+v", got)
	}
	p := createTopic(t, f, name, 1).Partitions()[0]
	appendAll(t, p, batchOf(t, "x"))
	if got := c.produced(produceTo(f, name, 0, 1, batchOf(t, "y")), 9); code(got[0].ErrorCode) != codeInvalidTopic {
		t.Errorf("produce: %+v", got)
	}
	d := kmsg.NewPtrDeleteRecordsRequest()
	d.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: name, Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Offset: -1}}}}
	if got := c.ask(d, 2).(*kmsg.DeleteRecordsResponse).Topics[0].Partitions; code(got[0].ErrorCode) != codeInvalidTopic {
		t.Errorf("delete records: %+v", got)
	}
	if o := p.Offsets(); o.LogStart != 0 || o.LogEnd != 1 {
		t.Errorf("offsets %+v, want 0 to 1", o)
	}
}
