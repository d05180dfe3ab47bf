package server

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/rollway/rollway/wire"
)

// consumerProtocol is the protocol type of groups whose assignments are those of
// consumers.
const consumerProtocol = "consumer"

// parseAssignment reads the partitions that a consumer has out of its assignment,
// which the leader of its group wrote and the coordinator did not look into
// (ConsumerProtocolAssignment.json): int16 version, then an array of topics, each
// an int16 length and the name, and an array of int32, the partitions; what
// follows is the assignor's. Arrays begin with an int32, their count.
//
// It returns nil if p is no such thing, or names what no topic and no partition
// is called.
func parseAssignment(p []byte) []wire.TopicPartitions {
	r := assignmentReader{rest: p}
	r.take(2) // all versions so far begin alike
	var assigned []wire.TopicPartitions
	for n := r.count(2 + 4); n > 0 && !r.bad; n-- {
		topic := r.take(int(r.uint16()))
		if len(topic) == 0 || len(topic) > wire.MaxTopicName || !utf8.Valid(topic) {
			return nil
		}
		t := wire.TopicPartitions{Topic: string(topic)}
		for n := r.count(4); n > 0; n-- {
			partition := int32(r.uint32())
			if partition < 0 {
				return nil
			}
			t.Partitions = append(t.Partitions, partition)
		}
		assigned = append(assigned, t)
	}
	if r.bad {
		return nil
	}
	return assigned
}

// assignmentReader reads fields from the front of rest; once bad it reads zeros.
type assignmentReader struct {
	rest []byte
	bad  bool
}

func (r *assignmentReader) take(n int) []byte {
	if r.bad || n > len(r.rest) {
		r.bad = true
		return nil
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *assignmentReader) uint16() uint16 {
	if p := r.take(2); p != nil {
		return binary.BigEndian.Uint16(p)
	}
	return 0
}

func (r *assignmentReader) uint32() uint32 {
	if p := r.take(4); p != nil {
		return binary.BigEndian.Uint32(p)
	}
	return 0
}

// count reads the number of elements of an array, each of at least so many bytes:
// never more than what is left can hold.
func (r *assignmentReader) count(minBytes int) int {
	n := int32(r.uint32())
	if n < 0 || int(n) > len(r.rest)/minBytes {
		r.bad = true
		return 0
	}
	return int(n)
}
