package generator

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Verification is what became of the messages of a run, each counted once for each
// subscription but where it is about producers.
type Verification struct {
	// Sent were given to producers, Acknowledged of them acknowledged as asked.
	Sent         int64 `json:"sent"`
	Acknowledged int64 `json:"acknowledged"`

	// Received came, whole and for the first time.
	Received int64 `json:"received"`

	// Lost were acknowledged and did not come. Corrupt are messages, or batches, that
	// are not what was sent. OutOfOrder came behind later ones of their producer and
	// partition. Duplicated are in the log more than once.
	Lost       int64 `json:"lost"`
	Corrupt    int64 `json:"corrupt"`
	OutOfOrder int64 `json:"outOfOrder"`
	Duplicated int64 `json:"duplicated"`

	// Redelivered came again from the same offset, as at-least-once allows.
	Redelivered int64 `json:"redelivered"`

	// Incomplete says why consumers were not given the time to receive all; then
	// nothing is known about loss. "" if they were.
	Incomplete string `json:"incomplete,omitempty"`

	// LossAllowed is true with acks 0, DuplicatesAllowed without idempotence, which is
	// what keeps order, too: then they are counted and are no failure.
	LossAllowed       bool `json:"lossAllowed,omitempty"`
	DuplicatesAllowed bool `json:"duplicatesAllowed,omitempty"`

	// Findings are the first of what was found, with where.
	Findings []string `json:"findings,omitempty"`
}

// maxFindings bounds Verification.Findings.
const maxFindings = 20

// Err returns a *VerificationError if messages were lost or corrupt, or in the log
// twice or out of order although that was ruled out.
func (v *Verification) Err() error {
	bad := v.Corrupt > 0 || v.Lost > 0 && !v.LossAllowed || (v.Duplicated > 0 || v.OutOfOrder > 0) && !v.DuplicatesAllowed
	if !bad {
		return nil
	}
	return &VerificationError{Verification: *v}
}

func (v *Verification) merge(other *Verification) {
	v.Sent += other.Sent
	v.Acknowledged += other.Acknowledged
	v.Received += other.Received
	v.Lost += other.Lost
	v.Corrupt += other.Corrupt
	v.OutOfOrder += other.OutOfOrder
	v.Duplicated += other.Duplicated
	v.Redelivered += other.Redelivered
	if v.Incomplete == "" {
		v.Incomplete = other.Incomplete
	}
	v.LossAllowed = v.LossAllowed || other.LossAllowed
	v.DuplicatesAllowed = v.DuplicatesAllowed || other.DuplicatesAllowed
	v.Findings = append(v.Findings, other.Findings...)
	v.Findings = v.Findings[:min(len(v.Findings), maxFindings)]
}

// VerificationError says that the server has not kept what it was given.
type VerificationError struct{ Verification }

// Error counts what was found and says where the first of it is.
func (e *VerificationError) Error() string {
	var counts []string
	for _, c := range []struct {
		n    int64
		what string
	}{{e.Lost, "lost"}, {e.Corrupt, "corrupt"}, {e.Duplicated, "duplicated"}, {e.OutOfOrder, "out of order"}} {
		if c.n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	text := "messages " + strings.Join(counts, ", ")
	if len(e.Findings) > 0 {
		text += "; first: " + e.Findings[0]
	}
	return text
}

// verifier checks what consumers receive. Each partition of a subscription is a
// partitionCheck of its own, which one consumer has.
type verifier struct {
	run         uint32
	messageSize int
	producers   int // of each topic; those of topic i are i*producers to (i+1)*producers-1
	checks      []*partitionCheck

	received, redelivered, corrupt, outOfOrder, duplicated atomic.Int64

	mu       sync.Mutex
	findings []string // +checklocks:mu
}

// found notes a finding, if there is room.
func (v *verifier) found(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.findings) < maxFindings {
		v.findings = append(v.findings, fmt.Sprintf(format, args...))
	}
}

// corruptBatch notes what a client says of a batch that is none.
func (v *verifier) corruptBatch(err error) {
	v.corrupt.Add(1)
	v.found("corrupt: %v", err)
}

// partitionCheck is what one subscription has received of one partition. Its fields
// but next are its consumer's alone until that has ended.
type partitionCheck struct {
	verifier     *verifier
	topic        string
	topicIndex   int
	partition    int32
	subscription int

	next    atomic.Int64 // offset behind the last that came
	streams []stream     // by producer of the topic
}

// stream is what came of one producer.
type stream struct {
	next    int64 // sequence
	offset  int64 // of the last that came, -1 before
	missing spans // below next
}

// newCheck adds the check of a partition.
func (v *verifier) newCheck(topic string, topicIndex int, partition int32, subscription int) *partitionCheck {
	c := &partitionCheck{
		verifier: v, topic: topic, topicIndex: topicIndex, partition: partition, subscription: subscription,
		streams: make([]stream, v.producers),
	}
	for i := range c.streams {
		c.streams[i].offset = -1
	}
	v.checks = append(v.checks, c)
	return c
}

// where names an offset of the partition.
func (c *partitionCheck) where(offset int64) string {
	return fmt.Sprintf("%s-%d at offset %d (subscription %d)", c.topic, c.partition, offset, c.subscription)
}

// take checks a value and returns when it was due; fresh is false unless it is whole
// and came for the first time.
func (c *partitionCheck) take(offset int64, value []byte) (due int64, fresh bool) {
	v := c.verifier
	again := offset < c.next.Load()
	c.next.Store(max(offset+1, c.next.Load()))
	m, err := parseMessage(value, v.messageSize)
	producer := int(m.producer) - c.topicIndex*v.producers
	if err == nil {
		switch {
		case m.run != v.run:
			err = fmt.Errorf("run %08x, want %08x", m.run, v.run)
		case producer < 0 || producer >= v.producers:
			err = fmt.Errorf("producer %d, want %d to %d", m.producer, c.topicIndex*v.producers, (c.topicIndex+1)*v.producers-1)
		case m.partition != c.partition:
			err = fmt.Errorf("partition %d, want %d", m.partition, c.partition)
		}
	}
	if err != nil {
		v.corrupt.Add(1)
		v.found("corrupt: %s: %v", c.where(offset), err)
		return 0, false
	}
	fresh = c.streams[producer].take(c, m, offset, again)
	if fresh {
		v.received.Add(1)
	}
	return m.due, fresh
}

// take notes a message, again being whether its offset came before.
func (s *stream) take(c *partitionCheck, m message, offset int64, again bool) (fresh bool) {
	v := c.verifier
	switch {
	case m.sequence > s.next:
		s.missing.add(span{from: s.next, to: m.sequence, before: s.offset, after: offset})
		fallthrough
	case m.sequence == s.next:
		s.next, s.offset = m.sequence+1, offset
		return true
	case s.missing.remove(m.sequence):
		v.outOfOrder.Add(1)
		v.found("out of order: %s: message %d of producer %d behind message %d at offset %d", c.where(offset), m.sequence, m.producer, s.next-1, s.offset)
		return true
	case again:
		v.redelivered.Add(1)
	default:
		v.duplicated.Add(1)
		v.found("duplicated: %s: message %d of producer %d, which came before", c.where(offset), m.sequence, m.producer)
	}
	return false
}

// finish returns what was found, once workers and consumers have ended. Without
// complete nothing is said about loss.
func (v *verifier) finish(workers []*worker, w Workload, incomplete string) Verification {
	out := Verification{
		Received: v.received.Load(), Redelivered: v.redelivered.Load(), Corrupt: v.corrupt.Load(),
		OutOfOrder: v.outOfOrder.Load(), Duplicated: v.duplicated.Load(), Incomplete: incomplete,
		LossAllowed: w.Acks == "0", DuplicatesAllowed: !w.Idempotence,
	}
	for _, worker := range workers {
		sent, failed := worker.outcome()
		out.Sent += sent
		out.Acknowledged += sent - failed
	}
	if incomplete == "" {
		for _, c := range v.checks {
			out.Lost += c.lost(workers)
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	out.Findings = slices.Clone(v.findings)
	return out
}

// lost counts and notes what was acknowledged and did not come.
func (c *partitionCheck) lost(workers []*worker) (lost int64) {
	for i := range c.streams {
		s := &c.streams[i]
		number := c.topicIndex*c.verifier.producers + i
		sent, failed := workers[number].partitionOutcome(c.partition)
		missing := s.missing
		if s.next < sent {
			missing.list = slices.Clone(missing.list)
			missing.count += sent - s.next
			missing.list = append(missing.list, span{from: s.next, to: sent, before: s.offset, after: -1})
		}
		if missing.count == 0 {
			continue
		}
		listed := int64(0)
		for _, p := range missing.without(&failed) {
			listed += p.to - p.from
			c.verifier.found("lost: %s-%d (subscription %d): messages %d to %d of producer %d, between offsets %d and %d",
				c.topic, c.partition, c.subscription, p.from, p.to-1, number, p.before, p.after)
		}
		if len(missing.list) > maxSpans {
			listed = max(listed, missing.count-failed.count) // there was no room for the list
		}
		lost += listed
	}
	return lost
}
