package kafka

import (
	"encoding/binary"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/internal/node"
)

// What is advertised is the table, in every version, and a version that is too
// high is answered as KIP-511 has it; the connection goes on.
func TestApiVersions(t *testing.T) {
	c := dial(t, openFrontend(t, node.Options{}))
	m := kmsg.NewPtrApiVersionsRequest()
	m.ClientSoftwareName, m.ClientSoftwareVersion = "a-client", "1.0"
	for version := int16(0); version <= 4; version++ {
		answer := c.ask(m, version).(*kmsg.ApiVersionsResponse)
		if answer.ErrorCode != 0 || len(answer.ApiKeys) != len(apis) {
			t.Errorf("version %d: error %d, %d keys, want %d", version, answer.ErrorCode, len(answer.ApiKeys), len(apis))
		}
	}
	m.ClientSoftwareName = "no name!"
	if answer := c.ask(m, 3).(*kmsg.ApiVersionsResponse); answer.ErrorCode != int16(codeInvalidRequest) {
		t.Errorf("error %d for a client's name that is none, want %d", answer.ErrorCode, codeInvalidRequest)
	}

	c.sent++
	frame := frameOf(m, 3, c.sent)
	binary.BigEndian.PutUint16(frame[6:], 99)
	if _, err := c.Write(frame); err != nil {
		t.Fatal(err)
	}
	m.Version = 0
	answer := c.receive(m).(*kmsg.ApiVersionsResponse)
	if answer.ErrorCode != int16(codeUnsupportedVersion) || len(answer.ApiKeys) != 1 || answer.ApiKeys[0].ApiKey != 18 || answer.ApiKeys[0].MaxVersion != 4 {
		t.Errorf("answer to version 99: %+v", answer)
	}
}

// A request of a key or version that is not served, one that is no request, and
// one that is too large close the connection.
func TestRefused(t *testing.T) {
	f := openFrontend(t, node.Options{})
	check := func(name string, edit func(frame []byte) []byte) {
		t.Helper()
		c := dial(t, f)
		if _, err := c.Write(edit(frameOf(kmsg.NewPtrMetadataRequest(), 1, 7))); err != nil {
			t.Fatal(err)
		}
		if !c.closed() {
			t.Errorf("%s: the connection was not closed", name)
		}
	}
	put := func(at int, v ...byte) func([]byte) []byte {
		return func(p []byte) []byte {
			copy(p[at:], v)
			return p
		}
	}
	check("unknown key", put(4, 0, 99))
	check("negative key", put(4, 0xff, 0xff))
	check("unknown version", put(6, 0, 99))
	check("negative version", put(6, 0xff, 0xff))
	check("negative size", put(0, 0xff, 0xff, 0xff, 0xff))
	check("size of no header", put(0, 0, 0, 0, 9))
	check("large first frame", put(0, 0, 0, 0x40, 1))
	check("cut request", func(p []byte) []byte {
		p[3]--
		return p[:len(p)-1]
	})
}

// Bytes behind a request are passed over: librdkafka 2.16.0 sends three when it
// asks for all topics, and this is such a frame.
func TestBytesBehind(t *testing.T) {
	f := openFrontend(t, node.Options{})
	createTopic(t, f, "a", 1)
	c := dial(t, f)
	for correlation := range byte(2) {
		frame := []byte("\x00\x00\x00\x19\x00\x03\x00\x0d\x00\x00\x00\x03\x00\x07rdkafka\x00\x00\x00\x00\x00\x01\x00\x00")
		frame[11] = correlation
		if _, err := c.Write(frame); err != nil {
			t.Fatal(err)
		}
		m := kmsg.NewPtrMetadataRequest()
		m.Version, c.sent = 13, int32(correlation)
		if answer := c.receive(m).(*kmsg.MetadataResponse); len(answer.Topics) != 1 || *answer.Topics[0].Topic != "a" {
			t.Errorf("%+v, want one topic", answer.Topics)
		}
	}
}

// Metadata lists topics in every version, by name and by id, creates unknown
// ones where that is wanted, and says what keeps a topic from being there.
func TestMetadata(t *testing.T) {
	f := openFrontend(t, node.Options{})
	a := createTopic(t, f, "a", 3)
	createTopic(t, f, "b", 1)
	c := dial(t, f)
	for version := int16(0); version <= 13; version++ {
		m := kmsg.NewPtrMetadataRequest()
		answer := c.ask(m, version).(*kmsg.MetadataResponse)
		if len(answer.Topics) != 2 || *answer.Topics[0].Topic != "a" || len(answer.Topics[0].Partitions) != 3 {
			t.Fatalf("version %d: topics %+v", version, answer.Topics)
		}
		if b := answer.Brokers; len(b) != 1 || b[0].Host != "127.0.0.1" || b[0].Port != 9092 {
			t.Errorf("version %d: brokers %+v", version, b)
		}
		p := answer.Topics[0].Partitions[2]
		if p.Partition != 2 || p.Leader != 0 || len(p.ISR) != 1 || version >= 7 && p.LeaderEpoch < 0 {
			t.Errorf("version %d: partition %+v", version, p)
		}
		if version >= 10 && answer.Topics[0].TopicID != a.ID() {
			t.Errorf("version %d: topic id %x", version, answer.Topics[0].TopicID)
		}
		if version >= 1 {
			m.Topics = []kmsg.MetadataRequestTopic{}
			if answer := c.ask(m, version).(*kmsg.MetadataResponse); len(answer.Topics) != 0 {
				t.Errorf("version %d: %d topics, asked for none", version, len(answer.Topics))
			}
		}
	}

	names := func(allow bool, topics ...string) *kmsg.MetadataResponse {
		m := kmsg.NewPtrMetadataRequest()
		m.AllowAutoTopicCreation = allow
		for i := range topics {
			m.Topics = append(m.Topics, kmsg.MetadataRequestTopic{Topic: &topics[i]})
		}
		return c.ask(m, 12).(*kmsg.MetadataResponse)
	}
	answer := names(false, "b", "new", "no/name")
	for i, want := range []code{codeNone, codeUnknownTopicOrPartition, codeInvalidTopic} {
		if got := code(answer.Topics[i].ErrorCode); got != want {
			t.Errorf("topic %d: error %d, want %d", i, got, want)
		}
	}
	answer = names(true, "new", "no/name")
	if answer.Topics[0].ErrorCode != 0 || len(answer.Topics[0].Partitions) != 1 || answer.Topics[1].ErrorCode != int16(codeInvalidTopic) {
		t.Errorf("with creation: %+v", answer.Topics)
	}

	m := kmsg.NewPtrMetadataRequest()
	m.Topics = []kmsg.MetadataRequestTopic{{TopicID: a.ID()}, {TopicID: [16]byte{1}}}
	m.IncludeTopicAuthorizedOperations = true
	answer = c.ask(m, 12).(*kmsg.MetadataResponse)
	if topics := answer.Topics; *topics[0].Topic != "a" || topics[0].AuthorizedOperations != topicOperations || topics[1].ErrorCode != int16(codeUnknownTopicID) {
		t.Errorf("by id: %+v", topics)
	}
}

// A PLAINTEXT listener tells who wants to authenticate that nobody does, and goes
// on.
func TestSasl(t *testing.T) {
	c := dial(t, openFrontend(t, node.Options{}))
	for version := int16(0); version <= 1; version++ {
		m := kmsg.NewPtrSASLHandshakeRequest()
		m.Mechanism = "PLAIN"
		if got := c.ask(m, version).(*kmsg.SASLHandshakeResponse); code(got.ErrorCode) != codeIllegalSaslState || len(got.SupportedMechanisms) > 0 {
			t.Errorf("handshake version %d: %+v", version, got)
		}
	}
	for version := int16(0); version <= 2; version++ {
		m := kmsg.NewPtrSASLAuthenticateRequest()
		m.SASLAuthBytes = []byte("\x00user\x00password")
		got := c.ask(m, version).(*kmsg.SASLAuthenticateResponse)
		if code(got.ErrorCode) != codeIllegalSaslState || got.ErrorMessage == nil || len(got.SASLAuthBytes) > 0 {
			t.Errorf("authenticate version %d: %+v", version, got)
		}
	}
}
