package engine

import (
	"context"
	"fmt"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/engine/topicconfig"
	"github.com/rollway/rollway/internal/mutant"
)

// Acks is what a producer waits for. With one node Leader and All are the same
// promise: the answer comes when the high watermark has passed the batch.
type Acks int8

// The values are Kafka's.
const (
	AcksAll    Acks = -1
	AcksNone   Acks = 0
	AcksLeader Acks = 1
)

// AppendRequest is what one producer appends to one partition: all of it, in
// one piece, or nothing.
type AppendRequest struct {
	// Batches is one or more whole RecordBatches. Append patches base offset,
	// leader epoch and, for LogAppendTime, timestamps in place, and keeps no
	// reference once it returns.
	Batches []byte
	Acks    Acks

	// BaseOffset is that of the first record, NextOffset that behind the last:
	// the append may be acknowledged when the high watermark has reached it.
	BaseOffset Offset
	NextOffset Offset
	// Duplicate says that an idempotent producer has sent batches again that
	// are in the log: nothing was appended, and the offsets are those that they
	// have there.
	Duplicate bool
	// LogAppendTime is the broker's timestamp in ms, -1 unless the topic's
	// message.timestamp.type is LogAppendTime.
	LogAppendTime int64
	// Err is why nothing was appended, or nil.
	Err error

	sums     batchSums
	producer producedBy
	noSpace  error // why it is refused unless it is a duplicate
}

// batchSums is what an append needs to know of its batches together.
type batchSums struct {
	bytes   int64
	records int64
	newest  int64 // highest timestamp
}

// Append checks each request and appends those that pass, in order, adjacent
// ones by one pwritev. It waits for the page cache at most, never for a sync:
// see Await for when an append may be acknowledged. It may be called
// concurrently; requests of one call stay in order.
//
// A batch with a producer id is judged by its epoch and sequence; see admit.
//
// Errors, in each request: record.ErrCorrupt, record.ErrInvalid,
// ErrOutOfOrderSequence, ErrInvalidProducerEpoch, ErrMessageTooLarge,
// ErrInvalidTimestamp, ErrNotEnoughReplicas, ErrNotReady, ErrOffline,
// ErrUnknownTopic after a deletion, ErrNoSpace, ErrTooManyOpenFiles (nothing was
// appended, try again later), ErrStorageFailed (the directory has stopped; whether
// the batches survive a restart is unknown), *CorruptionError if the partition is
// damaged.
func (p *Partition) Append(requests ...*AppendRequest) {
	config := p.log.config()
	valid := 0
	for _, r := range requests {
		if r.Err = p.prepare(r, config); r.Err == nil {
			valid++
		}
	}
	if valid == 0 {
		return
	}
	p.mu.Lock()
	before := p.log.next
	err := p.appendLocked(requests, config)
	if isFinal(err) {
		p.engine.fail(err) // before the next append, so that none is acknowledged after it
	}
	end := p.log.end()
	p.mu.Unlock()
	if err == nil && end.offset > before {
		p.engine.space.wrote()
	} else if isNoSpace(err) && !isFinal(err) {
		p.engine.space.foundFull(err)
	}
	p.appended(end, config.Durable())
}

// prepare does all of an append that needs no lock.
func (p *Partition) prepare(r *AppendRequest, config *topicconfig.Config) error {
	if err := p.usable(); err != nil {
		return err
	}
	if r.noSpace = p.engine.space.refusing(); r.noSpace != nil && !holdsProducer(r.Batches) {
		return p.engine.space.refused(r.noSpace)
	}
	if r.Acks == AcksAll && config.MinInsyncReplicas > 1 {
		return fmt.Errorf("%w: %s has 1 in-sync replica, min.insync.replicas wants %d", ErrNotEnoughReplicas, p, config.MinInsyncReplicas)
	}
	if len(r.Batches) == 0 {
		return fmt.Errorf("%w: %s: no batch in the request, want at least one", record.ErrInvalid, p)
	}
	if config.CompressionType != topicconfig.Producer {
		batches, err := recompressed(r.Batches, record.Codec(config.CompressionType), config)
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		r.Batches = batches
	}
	r.sums, r.producer, r.Duplicate = batchSums{newest: noTimestamp}, producedBy{id: -1}, false
	nowMs := p.engine.nowMs()
	for rest := r.Batches; len(rest) > 0; {
		b, after, err := record.Next(rest)
		if err == nil {
			err = b.VerifyProduced()
		}
		if err == nil && b.Attributes().Transactional() {
			// Nothing would keep it from readers if it were aborted.
			err = fmt.Errorf("%w: transactional batch, and there are no transactions", record.ErrInvalid)
		}
		if err == nil {
			err = r.producer.include(b, r.sums.records == 0)
		}
		if err != nil {
			return fmt.Errorf("%s: batch at byte %d of the request: %w", p, len(r.Batches)-len(rest), err)
		}
		if b.Size() > config.MaxMessageBytes {
			return fmt.Errorf("%w: %s: batch of %d bytes, max.message.bytes is %d", ErrMessageTooLarge, p, b.Size(), config.MaxMessageBytes)
		}
		if config.TimestampType == topicconfig.CreateTime {
			if err := checkTimestamps(b, config, nowMs); err != nil {
				return fmt.Errorf("%s: %w", p, err)
			}
		}
		r.sums.bytes += b.Size()
		r.sums.records += int64(b.Count())
		r.sums.newest = max(r.sums.newest, b.MaxTimestamp())
		rest = after
	}
	if r.sums.bytes > config.SegmentBytes {
		return fmt.Errorf("%w: %s: request of %d bytes, segment.bytes is %d", ErrMessageTooLarge, p, r.sums.bytes, config.SegmentBytes)
	}
	return nil
}

// holdsProducer tells whether the first batch is one of an idempotent producer, and so
// may be in the log already.
func holdsProducer(batches []byte) bool {
	b, _, err := record.Next(batches)
	return err == nil && b.ProducerID() >= 0
}

// recompressed returns the batches with those whose codec differs from target
// decompressed and compressed anew. It returns its argument if there are none.
func recompressed(batches []byte, target record.Codec, config *topicconfig.Config) ([]byte, error) {
	if !holdsOther(batches, target) {
		return batches, nil
	}
	// What a topic accepts bounds what a batch may inflate to, and so does what
	// the broker is ready to hold of any one batch.
	limit := int(min(max(config.MaxMessageBytes, 1<<20)*recompressFactor, maxInflated))
	var out []byte
	for rest := batches; len(rest) > 0; {
		b, after, err := record.Next(rest)
		if err == nil {
			err = b.VerifyProduced()
		}
		if err != nil {
			return nil, fmt.Errorf("batch at byte %d of the request: %w", len(batches)-len(rest), err)
		}
		if b.Codec() == target {
			out = append(out, b...)
		} else if out, err = record.Recompress(out, b, target, limit); err != nil {
			return nil, err
		}
		rest = after
	}
	return out, nil
}

// holdsOther tells whether a batch has another codec than target. It looks at
// headers only; what is wrong with a batch is for its check to say.
func holdsOther(batches []byte, target record.Codec) bool {
	for len(batches) > 0 {
		b, rest, err := record.Next(batches)
		if err != nil {
			return false
		}
		if b.Codec() != target {
			return true
		}
		batches = rest
	}
	return false
}

// recompressFactor bounds what a compressed batch may inflate to, as a multiple
// of max.message.bytes: logs compress 5 to 30 times, bombs a thousand times.
const recompressFactor = 64

// appendLocked assigns offsets to the valid requests and writes them in as few
// groups as the segments allow. A request that cannot be written fails together
// with all behind it.
func (p *Partition) appendLocked(requests []*AppendRequest, config *topicconfig.Config) error {
	err := p.usable()
	nowMs := p.engine.nowMs()
	for len(requests) > 0 && err == nil {
		var n int
		n, err = p.appendGroup(requests, config, nowMs)
		requests = requests[n:]
	}
	if err == nil {
		return nil
	}
	for _, r := range requests {
		if r.Err == nil {
			r.Err = p.refusal(err)
		}
	}
	return err
}

// appendGroup writes the leading requests that fit into one segment, at least
// one, and returns how many it has dealt with.
func (p *Partition) appendGroup(requests []*AppendRequest, config *topicconfig.Config, nowMs int64) (int, error) {
	next := p.log.next
	var segment *Segment
	bytes := int64(0)
	p.group = p.group[:0]
	n := 0
	for ; n < len(requests); n++ {
		r := requests[n]
		if r.Err != nil {
			continue
		}
		if r.producer.id >= 0 {
			v := p.admit(r, requests[:n], nowMs, config)
			if v == deferred {
				break
			}
			if r.noSpace != nil && !r.Duplicate {
				// Whatever else is wrong with it: what it would follow was refused, too.
				r.Err = p.engine.space.refused(r.noSpace)
				continue
			}
			if v == answered {
				continue
			}
		}
		in := incoming{bytes: r.sums.bytes, last: next + Offset(r.sums.records) - 1, newest: r.sums.newest, nowMs: nowMs}
		if config.TimestampType == topicconfig.LogAppendTime {
			in.newest = p.appendTime(nowMs)
		}
		if segment == nil {
			s, err := p.room(in)
			if err != nil {
				return n, err
			}
			segment = s
		} else if p.log.full(segment, bytes, in) {
			break
		}
		p.assign(r, next, config, in.newest)
		p.group = append(p.group, r.Batches)
		bytes += r.sums.bytes
		next = r.NextOffset
	}
	if segment == nil {
		return n, nil
	}
	base, position := p.log.next, segment.size
	err := p.log.write(segment, p.group)
	if err == nil && config.Durable() {
		p.engine.committer.stage(p, segment, position, base, p.group, p.log.end())
	}
	clear(p.group)
	if err != nil {
		return 0, err
	}
	p.traffic.appendedBytes.Add(bytes)
	p.traffic.appendedRecords.Add(int64(next - base))
	p.noteProducers(requests[:n], nowMs)
	return n, nil
}

// room returns the segment that takes what comes next, and sees that the epoch that it
// gets is known.
func (p *Partition) room(in incoming) (*Segment, error) {
	if err := p.recordEpoch(); err != nil {
		return nil, err
	}
	return p.log.room(in)
}

// appendTime is the wall clock in ms, held so that a partition's append times
// never go back.
func (p *Partition) appendTime(nowMs int64) int64 {
	p.lastAppendMs = max(p.lastAppendMs, nowMs)
	return p.lastAppendMs
}

// assign writes into the batches what the log decides.
func (p *Partition) assign(r *AppendRequest, base Offset, config *topicconfig.Config, newest int64) {
	r.BaseOffset = base
	r.LogAppendTime = noTimestamp
	logAppendTime := config.TimestampType == topicconfig.LogAppendTime
	if logAppendTime {
		r.LogAppendTime = newest
	}
	for rest := r.Batches; len(rest) > 0; {
		b, after, err := record.Next(rest)
		if err != nil {
			panic(fmt.Sprintf("engine: batch changed between check and append: %v", err))
		}
		if logAppendTime {
			b.SetLogAppendTime(newest)
		}
		b.SetBaseOffset(base)
		b.SetLeaderEpoch(p.epoch)
		base = b.NextOffset()
		rest = after
	}
	r.NextOffset = base
}

// refusal is what a producer is told of an error of its append.
func (p *Partition) refusal(err error) error {
	switch {
	case isFinal(err):
		return err
	case isNoSpace(err):
		return fmt.Errorf("%w: %s: %w", ErrNoSpace, p, err)
	}
	return err
}

// appended publishes the new end of the log and sees that it becomes durable,
// unless it was staged for that.
func (p *Partition) appended(end mark, staged bool) {
	o := p.update(func(o *offsetMarks) {
		if end.offset > o.logEnd.offset {
			o.logEnd = end
		}
	})
	if staged {
		return
	}
	// The config of now, not of the append: either it is that of a change to
	// durable commits, or configure, which comes after it, sees this end.
	config := p.log.config()
	if mutant.Is(mutant.AckBeforeSync) {
		p.committed(end)
	}
	switch {
	case o.flushed.offset >= end.offset:
	case config.Durable(), int64(o.logEnd.offset-o.flushed.offset) >= config.FlushMessages:
		p.engine.committer.add(p)
	default:
		p.engine.committer.addWithin(p, config.FlushMs)
	}
}

// Produce appends and waits until the append may be acknowledged: until the
// high watermark has passed it, or for AcksNone not at all. Its error is that
// of the request, or ErrStorageFailed, or ctx's: then the append is in doubt.
func (p *Partition) Produce(ctx context.Context, r *AppendRequest) error {
	p.Append(r)
	if r.Err != nil || r.Acks == AcksNone {
		return r.Err
	}
	return p.AwaitHighWatermark(ctx, r.NextOffset)
}
