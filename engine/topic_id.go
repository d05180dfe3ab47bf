package engine

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
)

// TopicID tells a topic from an earlier one of the same name: it is given when
// the topic is created and never again. The zero value is no topic.
type TopicID [16]byte

// topicIDText is Kafka's form of a UUID: base64url without padding. Strict
// refuses a last character with bits that the id does not have, so that each
// id has one text.
var topicIDText = base64.RawURLEncoding.Strict()

// NewTopicID returns a random UUID of version 4 (RFC 9562). As with Kafka's
// Uuid.randomUuid, its text does not begin with "-", which a command line would
// take for a flag. Kafka's reserved ids, 0 and 1, are not of version 4.
func NewTopicID() TopicID {
	for {
		var id TopicID
		rand.Read(id[:]) // never fails (crypto/rand)
		id[6] = id[6]&0x0f | 0x40
		id[8] = id[8]&0x3f | 0x80
		if id.String()[0] != '-' {
			return id
		}
	}
}

// ParseTopicID reads what String wrote.
func ParseTopicID(s string) (TopicID, error) {
	var id TopicID
	want := topicIDText.EncodedLen(len(id))
	if len(s) != want {
		return TopicID{}, fmt.Errorf("topic id %s: %d characters, want %d of base64url", quoted(s), len(s), want)
	}
	p, err := topicIDText.DecodeString(s)
	if err != nil {
		return TopicID{}, fmt.Errorf("topic id %q: %w", s, err)
	}
	// The decoder skips line breaks, so the length says more than the text's.
	if len(p) != len(id) {
		return TopicID{}, fmt.Errorf("topic id %q: %d bytes, want %d", s, len(p), len(id))
	}
	copy(id[:], p)
	return id, nil
}

// String returns Kafka's form of the id: 22 characters of base64url.
func (id TopicID) String() string { return topicIDText.EncodeToString(id[:]) }

// isReserved tells whether no topic can have the id: Kafka keeps 0 for "none"
// and 1 for its metadata topic.
func (id TopicID) isReserved() bool {
	last := id[15]
	id[15] = 0
	return id == TopicID{} && last <= 1
}
