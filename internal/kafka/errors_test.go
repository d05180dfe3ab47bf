package kafka

import (
	"fmt"
	"testing"

	"github.com/rollway/rollway/engine"
)

// An error is answered by the code of what it is about: of the disk before what
// it names beside, and of damage where nothing else is meant.
func TestRefusal(t *testing.T) {
	f := func(err error, want code) {
		t.Helper()
		if got, text := refusal(err); got != want || (err == nil) != (text == "") {
			t.Errorf("%v: code %d, text %q, want %d", err, got, text, want)
		}
	}
	damage := &engine.CorruptionError{Path: "t-0/0.log", Offset: 1, Position: 2, Err: fmt.Errorf("crc")}
	f(nil, codeNone)
	f(damage, codeCorruptMessage)
	f(fmt.Errorf("%w: %w", engine.ErrOffline, damage), codeKafkaStorageError)
	f(fmt.Errorf("%w: %w", engine.ErrStorageFailed, damage), codeKafkaStorageError)
	f(fmt.Errorf("%w: %w", engine.ErrStorageFailed, engine.ErrUnknownTopic), codeKafkaStorageError)
	f(fmt.Errorf("%w: t", engine.ErrUnknownTopic), codeUnknownTopicOrPartition)
	f(fmt.Errorf("%w: t-9", engine.ErrUnknownPartition), codeUnknownTopicOrPartition)
	f(fmt.Errorf("%w: t", engine.ErrNotReady), codeNotLeaderOrFollower)
	f(fmt.Errorf("anything else"), codeUnknownServerError)
}
