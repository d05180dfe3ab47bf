package engine

import (
	"strings"
	"testing"
)

// Random ids are UUIDs of version 4 whose text is no flag of a command line.
func TestNewTopicID(t *testing.T) {
	seen := make(map[TopicID]bool)
	for range 1000 {
		id := NewTopicID()
		text := id.String()
		if id[6]>>4 != 4 || id[8]>>6 != 2 || text[0] == '-' || len(text) != 22 || id.isReserved() || seen[id] {
			t.Fatalf("id %x with text %s", id, text)
		}
		if back, err := ParseTopicID(text); back != id || err != nil {
			t.Fatalf("ParseTopicID(%s) = %x, %v; want %x", text, back, err, id)
		}
		seen[id] = true
	}
}

// The text is Kafka's, and there is only one for each id.
func TestParseTopicID(t *testing.T) {
	f := func(text string, want TopicID, wantErr string) {
		t.Helper()
		id, err := ParseTopicID(text)
		if id != want || (err == nil) != (wantErr == "") || err != nil && !strings.Contains(err.Error(), wantErr) {
			t.Errorf("ParseTopicID(%q) = %x, %v; want %x, %q", text, id, err, want, wantErr)
		}
	}
	f("AAAAAAAAAAAAAAAAAAAAAA", TopicID{}, "")
	f("AAAAAAAAAAAAAAAAAAAAAQ", TopicID{15: 1}, "") // Kafka's METADATA_TOPIC_ID
	f("_-8AAAAAAAAAAAAAAAAAAA", TopicID{0: 0xff, 1: 0xef}, "")
	f("", TopicID{}, "0 characters, want 22")
	f("AAAAAAAAAAAAAAAAAAAAAA==", TopicID{}, "24 characters, want 22")
	f("AAAAAAAAAAAAAAAAAAAAAB", TopicID{}, "illegal base64")
	f("AAAAAAAAAAAAAAAAAAAA+/", TopicID{}, "illegal base64")
	f("AAAAAAAAAAAAAAAAAAAA\n\n", TopicID{}, "15 bytes, want 16")
}

// Kafka's two reserved ids are, others are not.
func TestTopicIDIsReserved(t *testing.T) {
	f := func(id TopicID, want bool) {
		t.Helper()
		if got := id.isReserved(); got != want {
			t.Errorf("%x: %v, want %v", id, got, want)
		}
	}
	f(TopicID{}, true)
	f(TopicID{15: 1}, true)
	f(TopicID{15: 2}, false)
	f(TopicID{0: 1, 15: 1}, false)
}
