package kafka

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/internal/netloop"
	"github.com/rollway/rollway/internal/node"
)

// Produce (key 0), versions 3 to 13: appends a batch to each of some partitions.
//
// Versions 0 to 2 are advertised and not carried out: librdkafka before 2.11.1
// compresses only where version 0 is there, and sends a later one. Version 5 has
// the start of the log in its answer, 7 allows zstd, 8 has texts of errors and
// errors of single records, 9 is flexible, 10 may name another leader, 13 names
// topics by their ids.
//
// With acks 0 there is no answer, and what goes wrong closes the connection.
var produceAPI = &api{
	key: 0, name: "Produce", min: 0, decodable: 3, max: 13, flexible: 9, overlaps: true,
	access: access{topicResource, writeOperation},
	handle: (*session).produce,
}

// produce is one Produce, from its decoding to its answer. Its memory is used
// again.
type produce struct {
	session *session
	header  header

	transactionalID []byte // a view of the request; nil is none
	acks            int16
	timeout         time.Duration
	topics          []produceTopic

	// Bounded for one request:
	inspected int // bytes that refused batches were inflated to
	texts     int // bytes of texts in the answer

	// While the answer waits.
	deadline time.Time // zero: none
	names    []byte    // memory of the topics' names
	topicAt  int       // all before this topic, and
	at       int       // before this partition of it, are acknowledged or refused
	awaited  *engine.Partition
	wait     node.HighWatermarkWait // of awaited
}

// produceTopic is a topic of a Produce.
type produceTopic struct {
	name       []byte         // a view of the request, or of produce.names; nil from version 13 on
	id         engine.TopicID // from version 13 on
	partitions []producePartition
}

// producePartition is what is to be appended to one partition, and what came of
// it.
type producePartition struct {
	index     int32
	code      code
	text      string            // why it was refused
	records   []recordError     // those of a refused batch to which that is due
	partition *engine.Partition // nil if it was refused before the append
	request   engine.AppendRequest
}

var produces = sync.Pool{New: func() any { return new(produce) }}

// maxProduceTexts bounds the texts in one answer: those of 800 partitions at
// least.
const maxProduceTexts = 256 << 10

// A produce that is larger is left to the garbage collector.
const (
	maxPooledTopics     = 64
	maxPooledPartitions = 1024
)

// produce gathers a Produce; flush appends it.
func (s *session) produce(r *request, out *netloop.Out) error {
	p := produces.Get().(*produce)
	if err := p.read(&r.body, r.version); err != nil {
		p.recycle()
		return err
	}
	p.session, p.header = s, r.header
	s.produces++
	s.inFlight += p.header.bytes
	return s.gather(p, out)
}

// read decodes a request. Nothing is allocated once p has the memory.
func (p *produce) read(r *reader, version int16) error {
	p.transactionalID = r.view()
	p.acks = r.int16()
	p.timeout = time.Duration(r.int32()) * time.Millisecond
	leastTopic, leastPartition := 6, 8
	switch {
	case version >= 13:
		leastTopic, leastPartition = 18, 6
	case version >= 9:
		leastTopic, leastPartition = 3, 6
	}
	n := r.array(leastTopic, sizeOf(produceTopic{}))
	p.topics = resized(p.topics, n)
	for i := range p.topics {
		t := &p.topics[i]
		t.name, t.id = nil, engine.TopicID{}
		if version >= 13 {
			t.id = r.uuid()
		} else if t.name = r.view(); t.name == nil {
			r.fail("topic without a name")
		}
		t.partitions = resized(t.partitions, r.array(leastPartition, sizeOf(producePartition{})))
		for j := range t.partitions {
			q := &t.partitions[j]
			q.index = r.int32()
			q.request = engine.AppendRequest{Batches: r.bytes()}
			r.tags()
		}
		r.tags()
		if r.err != nil {
			break
		}
	}
	r.tags()
	return r.end()
}

// resized returns s with n elements, none if n is negative. What was behind its
// end keeps its memory.
func resized[T any](s []T, n int) []T {
	n = max(n, 0)
	if n <= cap(s) {
		return s[:n]
	}
	grown := make([]T, n)
	copy(grown, s[:cap(s)])
	return grown
}

// check finds the partition of q and refuses what the engine does not look at.
func (p *produce) check(t *produceTopic, q *producePartition) error {
	if p.acks < -1 || p.acks > 1 {
		return fmt.Errorf("%w: %d, want -1, 0 or 1", errInvalidAcks, p.acks)
	}
	if p.transactionalID != nil {
		// Cut before it is formatted, which would copy all of it for each partition.
		id := p.transactionalID[:min(len(p.transactionalID), 100)]
		return fmt.Errorf("%w: transactional id %q, want none: transactions are not supported", errNoTransactions, id)
	}
	found, err := p.session.partition(t.name, t.id, p.header.version >= 13, q.index)
	if err != nil {
		return err
	}
	if found.Internal() {
		return fmt.Errorf("%w: %s is written by the node alone", engine.ErrInternalTopic, found)
	}
	if err := p.checkBatch(found, q.request.Batches); err != nil {
		return err
	}
	q.partition = found
	q.request.Acks = engine.Acks(p.acks)
	return nil
}

// checkBatch refuses what is not exactly one batch that readers of every protocol
// can be given. The rest is the engine's to check.
func (p *produce) checkBatch(to *engine.Partition, records []byte) error {
	if len(records) == 0 {
		return fmt.Errorf("%w: %s: no batch, want exactly one", errInvalidRecord, to)
	}
	b, rest, err := record.Next(records)
	switch {
	case errors.Is(err, record.ErrShort):
		// The frame came whole, so sending it again does not help.
		return fmt.Errorf("%w: %s: %w", errInvalidRecord, to, err)
	case err != nil:
		return fmt.Errorf("%s: %w", to, err)
	case len(rest) > 0:
		return fmt.Errorf("%w: %s: %d bytes behind the batch, want exactly one batch", errInvalidRecord, to, len(rest))
	case b.Codec() == record.CodecZstd && p.header.version < 7:
		return fmt.Errorf("%w: %s: zstd in version %d, want version 7 or later", errUnsupportedCodec, to, p.header.version)
	case b.Attributes().Transactional():
		return fmt.Errorf("%w: %s: transactional batch", errNoTransactionalID, to)
	case b.Size() > int64(p.session.maxBatch):
		return fmt.Errorf("%w: %s: batch of %d bytes, want at most %d, so that a frame can carry it to its readers",
			engine.ErrMessageTooLarge, to, b.Size(), p.session.maxBatch)
	}
	return nil
}

// settle answers p, whose batches were appended, or leaves that to Poll. Its
// error ends the connection.
func (p *produce) settle(out *netloop.Out) error {
	for i := range p.topics {
		t := &p.topics[i]
		for j := range t.partitions {
			q := &t.partitions[j]
			if q.request.Err != nil {
				p.refuse(q, q.request.Err)
			}
			q.request.Batches = nil // the driver's again
			if p.acks == 0 && q.code != codeNone {
				err := fmt.Errorf("correlation id %d: Produce version %d with acks 0: %s", p.header.correlation, p.header.version, q.text)
				p.release()
				return err
			}
		}
	}
	switch {
	case p.acks == 0:
		p.session.count(&p.header, codeNone)
		p.release()
	case p.pending() == nil:
		p.answer(out)
		p.release()
	default:
		p.keepNames()
		if p.acks == -1 && p.timeout > 0 {
			// Kafka's timeout is about other replicas: with acks 1 it never waits,
			// and without time it still looks once, when on one node all is done.
			// Here the sync is yet to come, and is waited for in either case.
			p.deadline = time.Now().Add(p.timeout)
		}
		out.Defer(p)
	}
	return nil
}

// refuse notes why nothing was appended for q.
func (p *produce) refuse(q *producePartition, err error) {
	p.fail(q, err)
	if p.header.version >= 8 && q.code == codeInvalidTimestamp {
		q.records = p.untimely(q)
	}
}

// fail notes an error. Of a request that wants many the last come without a text:
// the first say what is wrong.
func (p *produce) fail(q *producePartition, err error) {
	q.code, q.text = p.session.refuse("Produce", err)
	q.text = shortened(q.text)
	if p.texts += len(q.text); p.texts > maxProduceTexts {
		q.text = ""
	}
}

// keepNames copies the names of the topics out of the request.
func (p *produce) keepNames() {
	p.names = p.names[:0]
	for i := range p.topics {
		p.names = append(p.names, p.topics[i].name...)
	}
	at := 0
	for i := range p.topics {
		t := &p.topics[i]
		t.name = p.names[at : at+len(t.name)]
		at += len(t.name)
	}
}

// pending returns the first partition of which it is not known whether it will be
// acknowledged; nil if there is none.
func (p *produce) pending() *producePartition {
	for ; p.topicAt < len(p.topics); p.topicAt++ {
		t := &p.topics[p.topicAt]
		for ; p.at < len(t.partitions); p.at++ {
			q := &t.partitions[p.at]
			if q.code != codeNone {
				continue
			}
			if ok, err := q.partition.Acknowledged(q.request.NextOffset); !ok && err == nil {
				return q
			}
		}
		p.at = 0
	}
	return nil
}

// Poll implements netloop.Deferred.
func (p *produce) Poll(out *netloop.Out, wake func()) (done bool) {
	for q := p.pending(); q != nil && !p.expired(); q = p.pending() {
		if q.partition != p.awaited {
			p.wait.Forget()
			p.wait.Reset(q.partition)
			p.awaited = q.partition
		}
		if p.wait.Await(q.request.NextOffset, wake) {
			return false
		}
	}
	p.answer(out)
	p.release()
	return true
}

// expired tells whether the client no longer waits.
func (p *produce) expired() bool { return !p.deadline.IsZero() && !time.Now().Before(p.deadline) }

// Deadline implements netloop.Deferred.
func (p *produce) Deadline() time.Time { return p.deadline }

// Cancel implements netloop.Deferred. What was appended stays so.
func (p *produce) Cancel() { p.release() }

// answer appends the answer.
func (p *produce) answer(out *netloop.Out) {
	version := p.header.version
	buf, start := p.header.begin(out.Buf)
	a := appender{p: buf, flexible: p.header.flexible()}
	a.array(len(p.topics))
	first := codeNone
	for i := range p.topics {
		t := &p.topics[i]
		if version >= 13 {
			a.uuid(t.id)
		} else {
			a.string(t.name)
		}
		a.array(len(t.partitions))
		for j := range t.partitions {
			q := &t.partitions[j]
			p.conclude(q)
			q.appendTo(&a, version)
			if first == codeNone {
				first = q.code
			}
		}
		a.noTags()
	}
	a.int32(0) // throttle time
	a.noTags()
	out.Buf = finish(a.p, start, 0)
	p.session.count(&p.header, first)
}

// conclude notes that what is not acknowledged now will not be.
func (p *produce) conclude(q *producePartition) {
	if q.code != codeNone {
		return
	}
	ok, err := q.partition.Acknowledged(q.request.NextOffset)
	if ok {
		return
	}
	if err == nil {
		err = fmt.Errorf("%w: %s: the batch is in the log and was not durable within %v", errUnacknowledged, q.partition, p.timeout)
	}
	p.fail(q, err)
}

// appendTo appends the answer for one partition.
//
//	index                int32
//	error code           int16
//	base offset          int64    -1 with an error
//	log append time, ms  int64    -1 unless the topic has LogAppendTime
//	log start offset     int64    from version 5 on
//	record errors        array    from version 8 on: index int32, text nullable string
//	error message        string   nullable, from version 8 on
//	tagged fields                 from version 9 on
func (q *producePartition) appendTo(a *appender, version int16) {
	base, appended, logStart := int64(-1), int64(-1), int64(-1)
	if q.code == codeNone {
		base, appended = int64(q.request.BaseOffset), q.request.LogAppendTime
		logStart = int64(q.partition.Offsets().LogStart)
	}
	a.int32(q.index)
	a.int16(int16(q.code))
	a.int64(base)
	a.int64(appended)
	if version >= 5 {
		a.int64(logStart)
	}
	if version >= 8 {
		a.array(len(q.records))
		for _, r := range q.records {
			a.int32(r.index)
			a.text(r.text)
			a.noTags()
		}
		a.text(q.text)
	}
	a.noTags()
}

// release ends p and gives its memory back.
func (p *produce) release() {
	s := p.session
	s.produces--
	s.inFlight -= p.header.bytes
	p.wait.Forget()
	p.recycle()
}

// recycle gives the memory of p back.
func (p *produce) recycle() {
	partitions := 0
	for i := range p.topics {
		t := &p.topics[i]
		partitions += cap(t.partitions)
		clear(t.partitions)
		t.partitions, t.name = t.partitions[:0], nil
	}
	if cap(p.topics) > maxPooledTopics || partitions > maxPooledPartitions {
		return
	}
	p.session, p.header, p.transactionalID = nil, header{}, nil
	p.inspected, p.texts = 0, 0
	p.topics, p.deadline, p.topicAt, p.at, p.awaited = p.topics[:0], time.Time{}, 0, 0, nil
	produces.Put(p)
}
